"""The task of one lane: take what may be written, write it, report, and wait as long as the lane says."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

from bridge.delivery.connection import Connection
from bridge.delivery.lane import Lane, Outcome
from bridge.routing import Routed
from edgewire.clock import Clock


class Worker:
    """Writes one lane in order. `run` until `stop`, which lets the write under way end."""

    def __init__(
        self,
        name: str,
        lane: Lane,
        connection: Connection,
        report: Callable[[str, Outcome], None],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        """`report` is called with the name of the lane after every write."""
        self._name = name
        self._lane = lane
        self._connection = connection
        self._report = report
        self._clock = clock
        self._rng = rng
        self._wake = asyncio.Event()
        self._stopping = False

    def push(self, routed: Routed) -> None:
        """The next message of this lane."""
        self._lane.push(routed)
        self._wake.set()

    def hurry(self) -> None:
        """See `Lane.hurry`."""
        self._lane.hurry()
        self._wake.set()

    def stop(self) -> None:
        """Begin no further write."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        sink = self._connection.sink
        while not self._stopping:
            wait_s = self._lane.wait_s(self._clock.monotonic())
            if wait_s is None or wait_s > 0:
                await self._sleep(wait_s)
                if wait_s is None and sink.linger_s:
                    await asyncio.sleep(sink.linger_s)  # the first message is here: others may join it
                continue
            batch = self._lane.take(sink.batch_messages, self._clock.monotonic())
            if batch:
                failures = await self._connection.write(self._name, batch)
                outcome = self._lane.complete(batch, failures, self._clock.monotonic(), self._rng.random())
                self._report(self._name, outcome)

    async def _sleep(self, longest_s: float | None) -> None:
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._wake.wait()
