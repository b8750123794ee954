"""Runs one timeline: paces its readings, and carries out what faults and commands change of it and its devices."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from devices.faults.base import Fault
from devices.faults.labels import Label
from devices.faults.schedule import FOREVER_MS
from devices.firmware.outbox import NO_SEQ, Reading
from devices.fleet.command_handler import CommandHandler, affected_clients
from devices.fleet.device_client import DeviceClient
from devices.fleet.device_tap import DeviceTap, TappedMessage
from devices.fleet.fault_injector import FaultInjector
from devices.fleet.fault_state import DuplicateClient
from devices.fleet.latency import AckProbe
from devices.fleet.pacer import MOST_AT_ONCE, Pacer, ScheduledAction
from devices.fleet.standby_client import StandbyClient
from devices.timeline.timeline import Timeline
from edgewire.device_time import DeviceTime
from edgewire.dialects.encoder import Publication
from edgewire.dialects.payload_template import READING_MARK, join_readings
from edgewire.link import Link
from edgewire.messages.control import CommandAction
from edgewire.mqtt import Message

MOST_TAPS = 32
"""Devices that are looked at, at the same time."""


class PartOwner(Protocol):
    """Names what a part needs of the fleet around it."""

    acks: AckProbe

    def device_time_ms(self) -> int: ...

    def monotonic_s(self) -> float: ...

    def connect_duplicate(self, duplicate: DuplicateClient) -> None: ...

    def on_asked_for(self, client: DeviceClient, at_ms: int, message: Publication) -> None: ...


MOST_OF_EACH, FEW_CONNECTIONS = 8, 1024
"""Where so few connections are late, so many messages of each leave together, in one write (see `_on_burst`): there are
not many others that wait to be made meanwhile."""


class FleetPart:
    """Holds devices that were powered on together: those of the start of a run, or those that came later.

    `begin_ms` is the devices' time as of which it emits, in the run whose `time` this is. With `messages`, each device
    emits so many and no more. Of the `barriers` (see `Pacer`), those after its begin are its own.
    """

    def __init__(
        self,
        owner: PartOwner,
        timeline: Timeline,
        begin_ms: int,
        time: DeviceTime,
        messages: int | None,
        barriers: Sequence[int] = (),
    ) -> None:
        self._owner = owner
        self._acks = owner.acks
        self.begin_ms = begin_ms
        self.timeline = timeline
        self.clients: list[DeviceClient] = []
        """By their position in the timeline."""
        own = [at_ms for at_ms in barriers if at_ms >= begin_ms]
        self.pacer = Pacer(
            timeline,
            begin_ms,
            time,
            self._emit,
            self._scheduled_actions,
            messages=messages,
            barriers=own,
            on_burst=self._on_burst,
        )
        self._connections = 0
        # Whether several messages of a connection are to be expected in the burst that is emitted, and the links on
        # which they are held back.
        self._is_burst = False
        self._corked: list[Link] = []
        self.emitted = 0
        self.boots: dict[int, int] = {}
        """Position -> first boot, of devices whose ids others had before."""
        self.interval_changes: dict[tuple[int, int], list[str]] = {}
        """Ids of devices by the devices' time from which, and the interval (ms) at which, they measure."""
        self._fault_injector = FaultInjector(self)
        self._command_handler = CommandHandler(self)
        self._taps: dict[int, DeviceTap] = {}
        # What was asked of them before, and waits for a restart, is not done any more.
        self._taken_out: set[DeviceClient] = set()
        self._left = 0
        self._ended = asyncio.Event()

    async def run_part(self, began: float, duration_s: float, stop: asyncio.Event) -> None:
        """Emit until `stop` is set, all devices have left, or the run is over: see `Pacer.run_pacer`."""
        self._connections = len({client.carrier for client in self.clients})
        if self._connections <= FEW_CONNECTIONS:
            self.pacer.most_at_once = max(MOST_AT_ONCE, MOST_OF_EACH * self._connections)
        forward = asyncio.create_task(_set_after(stop, self._ended), name="stop part")
        try:
            await self.pacer.run_pacer(began, duration_s, self._ended)
        finally:
            forward.cancel()

    def labels(self) -> list[Label]:
        """Return the ground truth of what was emitted so far: the faults that show in it."""
        return self.timeline.labels(self.begin_ms, self.pacer.reached_ms, live=True)

    def position_of(self, client: DeviceClient) -> int:
        """Return the position of one of its devices in the timeline."""
        return self._command_handler.position_of(client)

    def take_out(self, clients: Sequence[DeviceClient], act: Callable[[], None]) -> None:
        """Let devices measure no more from the first moment that is not computed, and `act` then."""
        at_ms, overrides = self.pacer.computed_until_ms, self.timeline.overrides
        for client in clients:
            position = self.position_of(client)
            overrides.silence_since(position, at_ms)
            self.pacer.release(position)
        self._taken_out.update(clients)
        self.pacer.schedule_action(at_ms, act)

    def has_reached(self, at_ms: int) -> bool:
        """Return whether everything due before a device time is computed, or being computed, or nothing more is."""
        return self._ended.is_set() or self.pacer.computed_until_ms >= at_ms

    def on_gone(self) -> None:
        """Count one more device that has left; without any, there is nothing more to do."""
        self._left += 1
        if self._left == len(self.clients):
            self._ended.set()

    def change_interval(self, client: DeviceClient, interval_ms: int) -> None:
        """Let a device measure this often as soon as that can be."""
        if client in self._taken_out:
            return
        at_ms, position, overrides = self.pacer.computed_until_ms, self.position_of(client), self.timeline.overrides
        if self._command_handler.is_restarting(position):
            # What is planned for after the restart is not to be turned upside down.
            self.pacer.schedule_action(at_ms + 1, partial(self.change_interval, client, interval_ms))
            return
        is_stopped = overrides.is_stopped(position)
        overrides.set_interval(position, interval_ms, at_ms)
        if is_stopped:
            overrides.stop_sampling(position, at_ms)
        self.interval_changes.setdefault((at_ms, interval_ms), []).append(client.device.device_id)

    def stop_readings(self, client: DeviceClient) -> None:
        """Let a device take no readings as soon as that can be."""
        self._change_sampling(client, stop=True)

    def resume_readings(self, client: DeviceClient) -> None:
        """Let a device that takes no readings take them again."""
        self._change_sampling(client, stop=False)

    def _change_sampling(self, client: DeviceClient, *, stop: bool) -> None:
        if client in self._taken_out:
            return
        at_ms, position, overrides = self.pacer.computed_until_ms, self.position_of(client), self.timeline.overrides
        if self._command_handler.is_restarting(position):
            self.pacer.schedule_action(at_ms + 1, partial(self._change_sampling, client, stop=stop))
            return
        if overrides.is_stopped(position) == stop:
            return
        if stop:
            overrides.stop_sampling(position, at_ms)
        else:
            overrides.resume_sampling(position, at_ms)
        self._note_change(client, at_ms)

    def set_fault(self, clients: Sequence[DeviceClient], fault: Fault, duration_ms: int | None, stream: str) -> int:
        """Have devices affected by a fault, for so long or until it is cleared; return the devices' time of its start.

        `stream` names it, and its random draws.
        """
        at_ms = self.pacer.computed_until_ms
        end_ms = FOREVER_MS if duration_ms is None else at_ms + duration_ms
        self.timeline.faults.set_fault(fault, [self.position_of(one) for one in clients], at_ms, end_ms, stream)
        for client in clients:
            self._note_change(client, at_ms)
        return at_ms

    def clear_faults(self, clients: Sequence[DeviceClient], stream: str | None) -> int:
        """End the faults that were set while the run went on, or that of one name; return how many, device by device.

        Nothing that the scenario's calendar has is ended.
        """
        positions = [self.position_of(client) for client in clients]
        return self.timeline.faults.clear_faults(positions, self.pacer.computed_until_ms, stream)

    def carry_out(
        self, client: DeviceClient, action: CommandAction, arguments: Mapping[str, Any]
    ) -> tuple[str | None, dict[str, Any] | None]:
        """Let a device do what a command says; return why it does not, or None, and what it tells."""
        return self._command_handler.carry_out(client, action, arguments)

    def tap_device(self, client: DeviceClient) -> DeviceTap:
        """Return the last messages and commands of a device since this was first asked; of the one that was asked for
        longest ago no more is kept."""
        position = self.position_of(client)
        tap = self._taps.pop(position, None) or DeviceTap()
        while len(self._taps) >= MOST_TAPS:
            del self._taps[next(iter(self._taps))]
        self._taps[position] = tap
        instants = tap.unknown_instants()
        tap.learn_clean(instants, self.timeline.clean_readings(position, instants))
        return tap

    def tap_of(self, client: DeviceClient) -> DeviceTap | None:
        """Return what keeps the messages and commands of a device that somebody looks at; None where nobody does."""
        if not self._taps:
            return None
        taps = (self._taps.get(self.position_of(one)) for one in affected_clients(client))
        return next((tap for tap in taps if tap is not None), None)

    @staticmethod
    def _note_change(client: DeviceClient, at_ms: int) -> None:
        if client.changed_ms is None:
            client.changed_ms = at_ms

    def device_time_ms(self) -> int:
        """Return the devices' time now."""
        return self._owner.device_time_ms()

    def connect_duplicate(self, duplicate: DuplicateClient) -> None:
        """Let another client connect under the name of a device."""
        self._owner.connect_duplicate(duplicate)

    def on_asked_for(self, client: DeviceClient, at_ms: int, message: Publication) -> None:
        """Take note of what a device says because somebody has asked for it."""
        self._owner.on_asked_for(client, at_ms, message)

    def handle_command(self, client: DeviceClient, message: Message) -> None:
        """Let a device do what it is told to."""
        self._command_handler.handle_command(client, message)

    def stand_by(self, client: StandbyClient) -> None:
        """Let a device leave its place at the first moment that is not computed, until it is told to return."""
        at_ms = self.pacer.computed_until_ms
        client.plan_leave(at_ms)
        self.pacer.schedule_action(at_ms, partial(client.stand_by, at_ms))

    def plan_return(self, client: StandbyClient, act: Callable[[int, int], None]) -> int | None:
        """Let a device begin a boot at the first moment that is not computed, and `act` then; see `Standby`."""
        position, since_ms = self.position_of(client), client.away_since_ms
        if self._command_handler.is_restarting(position):
            return None
        assert since_ms is not None
        at_ms, overrides = self.pacer.computed_until_ms, self.timeline.overrides
        overrides.silence_since(position, since_ms)
        boot = overrides.begin_boot(position, at_ms, client.least_boot)
        self.pacer.schedule_action(at_ms, lambda: act(boot, at_ms))
        return at_ms

    def silence_since(self, client: DeviceClient, at_ms: int) -> None:
        """Take back what the timeline holds of a device since an instant: it was not emitted."""
        self.timeline.overrides.silence_since(self.position_of(client), at_ms)

    def _on_burst(self, messages: int) -> None:
        """Have what a connection is to send at once leave in one write, where there is more than a message of each.

        A write takes most of what a message takes, and more than to hold it back. Where the fleet is on time there are
        several only of gateways.
        """
        self._is_burst = messages > self._connections
        if not messages:
            for link in self._corked:
                link.uncork()
            self._corked.clear()

    def _emit(self, position: int, seq: int, address: int, payload: bytes) -> None:
        client = self.clients[position]
        if self._is_burst and (link := client.carrier.link) is not None and link.cork():
            self._corked.append(link)
        if seq != NO_SEQ:
            self.emitted += 1
        if self._taps and (tap := self._taps.get(position)) is not None:
            now_ms = self._owner.device_time_ms()
            text = join_readings([payload]) if READING_MARK in payload else payload
            tap.messages.append(TappedMessage(now_ms, client.topic(address).decode(), text, client.firmware.boot, seq))
        if not payload:
            if seq != NO_SEQ:
                client.lose_reading(seq, address)
            return
        client.handle_reading(
            Reading(seq, client.topic(address), payload, client.device.qos, client.firmware.boot, address)
        )
        if self._acks.is_due() and client.is_online and client not in self._acks and client.publishes(address, seq):
            self._acks.start_sample(client, client.inflight, self._owner.monotonic_s())

    def _scheduled_actions(self, from_ms: int, to_ms: int) -> Sequence[ScheduledAction]:
        return self._fault_injector.scheduled_actions(from_ms, to_ms, first=from_ms == self.begin_ms)


async def _set_after(first: asyncio.Event, then: asyncio.Event) -> None:
    await first.wait()
    then.set()
