"""Dials devices when their turn comes: no more per second than the ramp allows, no more at once than is sensible."""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from devices.fleet.connection import DeviceConnection

# Handshakes under way. More would only queue up in the broker's accept backlog and time out there.
CONCURRENT_DIALS = 200


class Dialer:
    """A queue of devices that want a connection, ordered by when they may ask for one."""

    def __init__(self, per_second: float, dial: Callable[[DeviceConnection], Coroutine[Any, Any, None]]) -> None:
        self._interval_s = 1 / per_second
        self._dial = dial
        self._waiting: list[tuple[float, int, DeviceConnection]] = []
        self._tie = itertools.count()
        self._changed = asyncio.Event()
        self._slots = asyncio.Semaphore(CONCURRENT_DIALS)

    def add(self, connection: DeviceConnection, delay_s: float = 0) -> None:
        """Dial this device after `delay_s` at the earliest."""
        due = asyncio.get_running_loop().time() + delay_s
        heapq.heappush(self._waiting, (due, next(self._tie), connection))
        self._changed.set()

    async def run(self) -> None:
        """Dial until cancelled."""
        loop = asyncio.get_running_loop()
        next_turn = loop.time()
        async with asyncio.TaskGroup() as dials:
            while True:
                wait_s = max(next_turn, await self._next_due()) - loop.time()
                if wait_s > 0:
                    self._changed.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), wait_s)
                    # Someone with an earlier turn may have come meanwhile.
                    continue
                await self._slots.acquire()
                _, _, connection = heapq.heappop(self._waiting)
                task = dials.create_task(self._dial(connection), name=f"dial {connection.device.device_id}")
                task.add_done_callback(lambda _: self._slots.release())
                # Falling behind is not made up for: a burst of dials is what the ramp is there to prevent.
                next_turn = max(next_turn + self._interval_s, loop.time() - 0.05)

    async def _next_due(self) -> float:
        while not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        return self._waiting[0][0]
