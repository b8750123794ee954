"""Lets devices connect when their turn comes, and says how many a second may begin to.

Devices that connect for the first time keep to the ramp. One that has lost its connection comes back when its own
firmware says so, as it does in the field, where nobody spreads reconnections but the devices themselves: neither the
ramp nor the number of handshakes under way holds it back. But a fleet that had no processor for a while has not waited
meanwhile: all whose time had come would come at once, which devices of their own do not.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from devices.fleet.device_client import DeviceClient
from devices.fleet.fault_state import DuplicateClient

# An answer to CONNECT that takes longer shows that handshakes queue up.
SLOW_S = 1.0
# Handshakes that began before a change say nothing about it.
SETTLE_S = 1.0
FASTER = 1.5
LEAST_PER_S = 1.0

# First handshakes under way with one broker. Mosquitto lets 100 wait to be accepted; the kernel drops what comes beyond
# that, and sends it again only after a second.
CONCURRENT_CONNECTS = 96
# Of a process that shares its brokers with many others.
LEAST_CONNECTS = 4

STEP_S = 0.25
"""So much of any wait passes at once, at the most, and so much of the ramp is made up for."""

Connectable = DeviceClient | DuplicateClient

_Turn = tuple[float, int, Connectable]


class Ramp:
    """Holds how many devices a second may begin to connect; `now` is seconds of the caller's clock.

    A broker that is overrun with handshakes answers later and later until they time out, and each timed-out handshake
    comes again. So slow answers halve the rate, and quick ones bring it back, up to the one given.
    """

    def __init__(self, per_second: float) -> None:
        self._limit = per_second
        self._changed = 0.0
        self._slowed_since: float | None = None
        self._slowed_s = 0.0
        self.per_second = per_second
        """The rate now."""

    def record_accepted(self, latency_s: float, now: float) -> None:
        """Adjust the rate to a broker that took so long at the least to accept a device."""
        if latency_s > SLOW_S:
            self.record_overload(now)
        elif self.per_second < self._limit and now - self._changed >= SETTLE_S:
            self._change(min(self._limit, self.per_second * FASTER), now)

    def record_overload(self, now: float) -> None:
        """Slow down for a broker that did not answer, or said that it has no room now."""
        if now - self._changed >= SETTLE_S:
            self._change(max(min(LEAST_PER_S, self._limit), self.per_second / 2), now)

    def slowed_s(self, now: float) -> float:
        """Return how long the rate has been below its limit, in all."""
        return self._slowed_s + (0.0 if self._slowed_since is None else now - self._slowed_since)

    def _change(self, per_second: float, now: float) -> None:
        self._changed = now
        self.per_second = per_second
        if per_second < self._limit and self._slowed_since is None:
            self._slowed_since = now
        elif per_second >= self._limit and self._slowed_since is not None:
            self._slowed_s += now - self._slowed_since
            self._slowed_since = None


class WaitingTime:
    """Tells the time that waits are measured by: it stands still while the process does.

    Whoever reads it reads it often: what has passed since the last time beyond `STEP_S` is taken for a stop.
    """

    def __init__(self, now: float) -> None:
        """Begin with the time that others call `now`, in seconds."""
        self._last = now
        self._stood = 0.0

    def read(self, now: float) -> float:
        """Return the time, by what it is for others; both in seconds."""
        self._stood += max(0.0, now - self._last - STEP_S)
        self._last = now
        return now - self._stood


class ConnectQueue:
    """Holds two queues of devices that want a connection, ordered by when they may ask for one.

    `brokers` is how many of them are this process's share.
    """

    def __init__(
        self, ramp: Ramp, connect: Callable[[Connectable], Coroutine[Any, Any, None]], *, brokers: float = 1
    ) -> None:
        self._ramp = ramp
        self._connect = connect
        self._first: list[_Turn] = []
        self._again: list[_Turn] = []
        self._tie = itertools.count()
        self._changed = asyncio.Event()
        self._free = max(LEAST_CONNECTS, round(CONCURRENT_CONNECTS * brokers))
        self._next_turn = 0.0
        self._time: WaitingTime | None = None

    def enqueue_connect(self, client: Connectable, delay_s: float = 0, *, again: bool = False) -> None:
        """Connect this client after `delay_s` at the earliest; with `again`, not held back by the ramp."""
        due = self._now() + delay_s
        heapq.heappush(self._again if again else self._first, (due, next(self._tie), client))
        self._changed.set()

    async def run_queue(self) -> None:
        """Let clients connect until cancelled."""
        self._next_turn = self._now()
        async with asyncio.TaskGroup() as connects:
            while True:
                self._changed.clear()
                queue, moment = self._next()
                wait_s = moment - self._now()
                if wait_s > 0:
                    # Someone with an earlier turn may come meanwhile.
                    with suppress(TimeoutError):
                        async with asyncio.timeout(None if queue is None else min(wait_s, STEP_S / 2)):
                            await self._changed.wait()
                    continue
                assert queue is not None
                _, _, client = heapq.heappop(queue)
                task = connects.create_task(self._connect(client), name=f"connect {client.device.device_id}")
                if queue is self._first:
                    self._free -= 1
                    task.add_done_callback(self._release)
                    # Falling far behind is not made up for: bursts of handshakes are what the ramp is to prevent.
                    self._next_turn = max(self._next_turn + 1 / self._ramp.per_second, self._now() - STEP_S)

    def _now(self) -> float:
        now = asyncio.get_running_loop().time()
        if self._time is None:
            self._time = WaitingTime(now)
        return self._time.read(now)

    def _release(self, _: "asyncio.Task[None]") -> None:
        """Free the place of a first handshake that is over."""
        self._free += 1
        self._changed.set()

    def _next(self) -> tuple[list[_Turn] | None, float]:
        """Return the queue whose turn comes first, and when."""
        first = max(self._next_turn, self._first[0][0]) if self._first and self._free else float("inf")
        again = self._again[0][0] if self._again else float("inf")
        if first == again == float("inf"):
            return None, first
        return (self._first, first) if first < again else (self._again, again)
