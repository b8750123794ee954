"""Lets emulators in standby leave their places to real sensors and come back: all those of one process."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from devices.firmware.outbox import Reading
from devices.fleet.brokers import BrokerPool
from devices.fleet.incidents import IncidentRecorder
from devices.fleet.standby_client import Absence, StandbyClient
from devices.fleet.standby_watcher import SETTLE_S, StandbyWatcher
from edgewire.clock import Clock
from edgewire.link import BrokerUrl
from edgewire.mqtt import Version
from edgewire.run_record import StandbySpan

LOOK_S = 0.25
"""How often it is looked at who may return."""
READY_S = 5.0
"""So long devices wait at the start to hear whether a real sensor is in their place."""


class StandbyTimeline(Protocol):
    """Names what a return needs of the part of the fleet that a device belongs to."""

    def plan_return(self, client: StandbyClient, act: Callable[[int, int], None]) -> int | None:
        """Let a device begin a boot as soon as that can be, and `act` then, with boot and device time.

        Return the device time of it; None where it cannot be now.
        """
        ...

    def silence_since(self, client: StandbyClient, at_ms: int) -> None:
        """Take back what the timeline holds of a device since an instant."""
        ...


class Standby:
    """Knows the devices in standby, watches for real sensors, and lets devices return."""

    def __init__(
        self,
        timeline: StandbyTimeline,
        brokers: BrokerPool,
        version: Version | None,
        run_id: str,
        clock: Clock,
        incidents: IncidentRecorder,
    ) -> None:
        self._timeline = timeline
        self._brokers = brokers
        self._version = version
        self._run_id = run_id
        self._clock = clock
        self._incidents = incidents
        self._watchers: dict[BrokerUrl, StandbyWatcher] = {}
        self._watcher_of: dict[StandbyClient, StandbyWatcher] = {}
        self._changed = asyncio.Event()
        self._arrived: list[StandbyClient] = []

    @property
    def clients(self) -> Iterable[StandbyClient]:
        """All devices in standby."""
        return self._watcher_of

    def add_client(self, client: StandbyClient) -> None:
        """Take care of one more."""
        watcher = self._watchers.get(client.broker)
        if watcher is None:
            client_id = f"edgefleet-standby-{self._run_id[:8]}-{id(self) & 0xFFFFFF:x}-{len(self._watchers)}"
            watcher = self._watchers[client.broker] = StandbyWatcher(
                client.broker, self._brokers, self._version, client_id, self._clock, self._incidents
            )
            self._changed.set()
        self._watcher_of[client] = watcher
        watcher.add_client(client)

    def unwatch_client(self, client: StandbyClient) -> None:
        """Listen no more to what is said in the place of a device that leaves the fleet."""
        self._watcher_of[client].remove_client(client)

    def hand_in(self, client: StandbyClient, readings: Iterable[Reading]) -> None:
        """Publish what a client could not over its own connection."""
        self._watcher_of[client].hand_in(client, readings)

    def watch_readings(self, client: StandbyClient, watched: bool) -> None:
        """Listen to its telemetry and events over another connection, or no longer."""
        self._watcher_of[client].watch_readings(client, watched)

    def spans(self) -> list[StandbySpan]:
        """Return when real sensors were there."""
        return [span for client in self.clients for span in client.spans]

    def close_books(self) -> None:
        """Let the timeline know no messages of those that are away as the run ends."""
        for client in self.clients:
            client.give_up_return()
            if client.absence is not None:
                self._timeline.silence_since(client, client.absence.span.from_ms)

    async def run_standby(self, connect: Callable[[StandbyClient], None], waiting: Sequence[StandbyClient]) -> None:
        """Watch until cancelled; `connect` those that wait once it is known whether a real sensor is there."""
        self._arrived.extend(waiting)
        async with asyncio.TaskGroup() as tasks:
            began: set[StandbyWatcher] = set()
            while True:
                for watcher in set(self._watchers.values()) - began:
                    began.add(watcher)
                    tasks.create_task(watcher.run_watcher(), name="standby watcher")
                if self._arrived:
                    arrived = self._arrived.copy()
                    self._arrived.clear()
                    tasks.create_task(self._connect_waiting(connect, arrived), name="standby start")
                self._changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S if self._watchers else None):
                        await self._changed.wait()
                self._look_for_returns()

    def welcome(self, client: StandbyClient) -> None:
        """Let a device that came as the run went on connect, once it is known whether a real sensor is there."""
        self._arrived.append(client)
        self._changed.set()

    async def _connect_waiting(
        self, connect: Callable[[StandbyClient], None], waiting: Sequence[StandbyClient]
    ) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                for watcher in list(self._watchers.values()):
                    # It may have to hear of their topics first.
                    await asyncio.sleep(SETTLE_S if watcher.ready.is_set() else 0)
                    await watcher.ready.wait()
        for client in waiting:
            connect(client)

    def _look_for_returns(self) -> None:
        now_s = self._clock.monotonic()
        for client, watcher in self._watcher_of.items():
            absence, watching_s = client.absence, watcher.watching_since_s
            if absence is None or absence.is_held or watching_s is None or client.link is not None:
                continue
            if client.is_returning or client.is_leaving:
                continue
            if now_s - max(absence.heard_s, watching_s) >= client.standby_after_s and not client.is_off:
                act = partial(self._return, client, absence, absence.heard_s)
                client.is_returning = self._timeline.plan_return(client, act) is not None

    def recall(self, client: StandbyClient) -> int | None:
        """Let a device that is away return as soon as that can be, though a real sensor may still be there.

        Return the device time of it; None where it cannot be now.
        """
        at_ms = self._timeline.plan_return(client, partial(self._come_back, client))
        client.is_returning = at_ms is not None
        return at_ms

    def _come_back(self, client: StandbyClient, boot: int, at_ms: int) -> None:
        client.is_returning = False
        if client.absence is None or client.is_leaving:
            client.begin_return(boot, at_ms)
            return
        client.come_back(boot, at_ms)

    def _return(self, client: StandbyClient, absence: Absence, heard_s: float, boot: int, at_ms: int) -> None:
        client.begin_return(boot, at_ms)
        client.is_returning = False
        # It may be back since the return was planned.
        if absence.heard_s == heard_s:
            self._incidents.log_return(client.device.device_id, self._clock.monotonic() - heard_s)
            client.complete_return(at_ms)
