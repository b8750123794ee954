"""Runs one timeline: paces its readings, and carries out what faults and commands change of it and its devices."""

from collections.abc import Callable, Sequence
from typing import Protocol

from devices.firmware.outbox import NO_SEQ, Reading
from devices.fleet.command_handler import CommandHandler
from devices.fleet.device_client import DeviceClient
from devices.fleet.fault_injector import FaultInjector
from devices.fleet.fault_state import DuplicateClient
from devices.fleet.latency import AckProbe
from devices.fleet.pacer import Pacer, ScheduledAction
from devices.fleet.standby_client import StandbyClient
from devices.timeline.timeline import Timeline
from edgewire.mqtt import Message


class PartOwner(Protocol):
    """Names what a part needs of the fleet around it."""

    acks: AckProbe

    def device_time_ms(self) -> int: ...

    def monotonic_s(self) -> float: ...

    def connect_duplicate(self, duplicate: DuplicateClient) -> None: ...


class FleetPart:
    """Holds devices that were powered on together: those of the start of a run, or those that came later.

    `begin_ms` is the devices' time as of which it emits. With `messages`, each device emits so many and no more.
    """

    def __init__(
        self, owner: PartOwner, timeline: Timeline, begin_ms: int, time_scale: float, messages: int | None
    ) -> None:
        self._owner = owner
        self._acks = owner.acks
        self._begin_ms = begin_ms
        self.timeline = timeline
        self.clients: list[DeviceClient] = []
        """By their position in the timeline."""
        self.pacer = Pacer(timeline, begin_ms, time_scale, self._emit, self._scheduled_actions, messages=messages)
        self.emitted = 0
        self._fault_injector = FaultInjector(self)
        self._command_handler = CommandHandler(self)

    def device_time_ms(self) -> int:
        """Return the devices' time now."""
        return self._owner.device_time_ms()

    def connect_duplicate(self, duplicate: DuplicateClient) -> None:
        """Let another client connect under the name of a device."""
        self._owner.connect_duplicate(duplicate)

    def handle_command(self, client: DeviceClient, message: Message) -> None:
        """Let a device do what it is told to."""
        self._command_handler.handle_command(client, message)

    def plan_return(self, client: StandbyClient, act: Callable[[int, int], None]) -> bool:
        """Let a device begin a boot at the first moment that is not computed, and `act` then; see `Standby`."""
        position = self._command_handler.position_of(client)
        if self._command_handler.is_restarting(position):
            return False
        assert client.absence is not None
        at_ms, overrides = self.pacer.computed_until_ms, self.timeline.overrides
        overrides.silence_since(position, client.absence.span.from_ms)
        boot = overrides.begin_boot(position, at_ms, client.least_boot)
        self.pacer.schedule_action(at_ms, lambda: act(boot, at_ms))
        return True

    def silence_since(self, client: DeviceClient, at_ms: int) -> None:
        """Take back what the timeline holds of a device since an instant: it was not emitted."""
        self.timeline.overrides.silence_since(self._command_handler.position_of(client), at_ms)

    def _emit(self, position: int, seq: int, address: int, payload: bytes) -> None:
        client = self.clients[position]
        if seq != NO_SEQ:
            self.emitted += 1
        if not payload:
            if seq != NO_SEQ:
                client.lose_reading(seq)
            return
        client.handle_reading(
            Reading(seq, client.topics[address], payload, client.device.qos, client.firmware.boot, address)
        )
        if self._acks.is_due() and client.is_online and client not in self._acks:
            self._acks.start_sample(client, client.session.inflight, self._owner.monotonic_s())

    def _scheduled_actions(self, from_ms: int, to_ms: int) -> Sequence[ScheduledAction]:
        return self._fault_injector.scheduled_actions(from_ms, to_ms, first=from_ms == self._begin_ms)
