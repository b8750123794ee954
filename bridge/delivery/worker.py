"""The task of one lane: take what may be written, write it, report, and wait as long as lane and breaker say."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

from bridge.delivery.circuit_breaker import DestinationBreaker, State
from bridge.delivery.queue import BatchOutcome, DeliveryQueue
from bridge.delivery.sink_connection import SinkConnection
from bridge.routing.routed import RoutedEvent
from edgewire.clock import Clock

_SLOW_S = 1.0
"""A write that takes longer holds up its lane; the others should not wait for it."""


class QueueWorker:
    """Writes one lane in order. `run` until `stop`, which lets the write under way end."""

    def __init__(
        self,
        name: str,
        lane: DeliveryQueue,
        destination: DestinationBreaker,
        connection: SinkConnection,
        report: Callable[[BatchOutcome], None],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        """`report` is called after every write."""
        self._name = name
        self._lane = lane
        self._destination = destination
        self._connection = connection
        self._report = report
        self._clock = clock
        self._rng = rng
        self._wake = asyncio.Event()
        self._writing_since: float | None = None
        self._stopping = False
        destination.changed.append(self._hurry)

    def push(self, routed: RoutedEvent) -> None:
        """The next message of this lane."""
        self._lane.push(routed)
        self._wake.set()

    def park(self) -> int:
        """Give up memory that is not needed soon; returns how many messages that were."""
        now = self._clock.monotonic()
        waiting = self._destination.breaker.reason is not None
        slow = self._writing_since is not None and now - self._writing_since > _SLOW_S
        return self._lane.park(self._connection.sink.batch_messages, stalled=waiting or slow)

    def waiting_devices(self, retries: int) -> dict[str, str]:
        """See `DeliveryQueue.waiting_devices`."""
        return self._lane.waiting_devices(retries)

    def stop(self) -> None:
        """Begin no further write."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        sink, lane, breaker = self._connection.sink, self._lane, self._destination.breaker
        while not self._stopping:
            now = self._clock.monotonic()
            lane_s, breaker_s = lane.wait_s(now), breaker.wait_s(now)
            if lane_s is None or breaker_s is None or lane_s > 0 or breaker_s > 0:
                await self._sleep(None if lane_s is None or breaker_s is None else max(lane_s, breaker_s))
                if lane_s is None and sink.linger_s:
                    await asyncio.sleep(sink.linger_s)  # the first message is here: others may join it
                continue
            closed = breaker.state is State.CLOSED
            batch = lane.take(breaker.permit(sink.batch_messages, now), now)
            if batch:
                await self._write(batch, probe=not closed)
            elif not closed:
                self._destination.withdraw()

    async def _write(self, batch: list[RoutedEvent], *, probe: bool) -> None:
        self._writing_since = self._clock.monotonic()
        failures = await self._connection.write(self._name, batch)
        self._writing_since = None
        now = self._clock.monotonic()
        outcome = self._lane.complete(batch, failures, now, self._rng.random())
        self._destination.note(outcome, len(batch), now, probe=probe)
        if self._destination.breaker.state is not State.CLOSED:
            self._lane.hurry()  # from here on the breaker decides
        self._report(outcome)

    def _hurry(self) -> None:
        self._lane.hurry()
        self._wake.set()

    async def _sleep(self, longest_s: float | None) -> None:
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._wake.wait()
