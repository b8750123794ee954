"""Runs one queue: takes what may be written, writes it, reports, and waits as long as queue and breaker say."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf

from bridge.delivery.circuit_breaker import BreakerState, DestinationBreaker
from bridge.delivery.queue import BatchOutcome, DeliveryQueue
from bridge.delivery.repeat_limit import RepeatLimit
from bridge.delivery.sink_connection import SinkConnection
from bridge.routing.routed import RoutedEvent
from bridge.sinks.base import Failure, Failures, Rejected, Remark
from edgewire.clock import Clock, iso_ms

_SLOW_S = 1.0
"""A write that takes longer holds up its queue; the others should not wait for it."""


_TURN_S = 0.02
"""For which the queue that had the last probe leaves the next one to others."""


class QueueWorker:
    """Writes one queue in order. `run` until `stop`, which lets the write under way end."""

    def __init__(
        self,
        name: str,
        queue: DeliveryQueue,
        destination: DestinationBreaker,
        connection: SinkConnection,
        repeat_limit: RepeatLimit,
        on_outcome: Callable[[BatchOutcome], None],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        """Take what is written, whereto, over what and within which limit; `on_outcome` is called after every write."""
        self._name = name
        self._queue = queue
        self._destination = destination
        self._connection = connection
        self._repeat_limit = repeat_limit
        self._on_outcome = on_outcome
        self._clock = clock
        self._rng = rng
        self._wake = asyncio.Event()
        self._writing_since: float | None = None
        self._wrote_at = -inf
        self._is_lingering = False
        self._has_probed = False
        """Whether the last write was the probe of an open breaker."""
        self._stopping = False
        destination.listeners.append(self.retry_now)
        repeat_limit.listeners.append(self._wake.set)

    def enqueue(self, routed: RoutedEvent) -> None:
        """Add the next message."""
        self._queue.enqueue(routed)
        if not self._is_lingering or len(self._queue) >= self._connection.sink.batch_messages:
            self._wake.set()

    def retry_now(self) -> None:
        """Wait no longer: the destination may work again."""
        self._queue.retry_now()
        self._wake.set()

    def evict(self) -> int:
        """Give up memory that is not needed soon; return how many messages that were."""
        now = self._clock.monotonic()
        waiting = self._destination.breaker.last_error is not None
        slow = self._writing_since is not None and now - self._writing_since > _SLOW_S
        return self._queue.evict(self._connection.sink.batch_messages, stalled=waiting or slow)

    def waiting_devices(self, retries: int) -> dict[str, str]:
        """Return what `DeliveryQueue.waiting_devices` does."""
        return self._queue.waiting_devices(retries)

    def stop(self) -> None:
        """Begin no further write."""
        self._stopping = True
        self._wake.set()

    async def run_worker(self) -> None:
        """Write until `stop`."""
        sink, queue, breaker = self._connection.sink, self._queue, self._destination.breaker
        while not self._stopping:
            now = self._clock.monotonic()
            queue_s, breaker_s = queue.wait_s(now), breaker.wait_s(now)
            if queue_s is None or breaker_s is None or queue_s > 0 or breaker_s > 0:
                await self._sleep(None if queue_s is None or breaker_s is None else max(queue_s, breaker_s))
                continue
            if self._repeat_limit.is_reached:
                await self._sleep(None)
                continue
            linger_s = self._wrote_at + sink.linger_s - now
            if linger_s > 0 and len(queue) < sink.batch_messages:
                self._is_lingering = True  # others may join
                await self._sleep(linger_s)
                self._is_lingering = False
                continue
            closed = breaker.state is BreakerState.CLOSED
            if not closed and self._has_probed:
                # Another queue of the destination may have something that gets through.
                self._has_probed = False
                await asyncio.sleep(_TURN_S)
                continue
            limit = breaker.allow(sink.batch_messages, now)
            batch = queue.take_batch(limit, now, probe=not closed) if limit else []
            if batch:
                self._has_probed = not closed
                await self._write(batch, probe=not closed)
            elif not closed:
                self._destination.release_probe()

    async def _write(self, batch: list[RoutedEvent], *, probe: bool) -> None:
        self._writing_since = self._wrote_at = self._clock.monotonic()
        now_ms = self._clock.now_ms()
        expired = [
            position
            for position, event in enumerate(batch)
            if event.expires_ms is not None and event.expires_ms <= now_ms
        ]
        failures = await (self._write_expired(batch, expired, now_ms) if expired else self._write_batch(batch))
        self._writing_since = None
        now = self._clock.monotonic()
        outcome = self._queue.complete_batch(batch, failures, now, self._rng.random())
        self._destination.record_outcome(outcome, len(batch), now, probe=probe)
        if self._destination.breaker.state is not BreakerState.CLOSED:
            self._queue.retry_now()  # from here on the breaker decides
        self._on_outcome(outcome)

    async def _write_batch(self, batch: Sequence[RoutedEvent]) -> Failures:
        return await self._connection.write_batch(self._name, batch)

    async def _write_expired(self, batch: Sequence[RoutedEvent], expired: Sequence[int], now_ms: int) -> Failures:
        """Write a batch in which the expiry of some messages is over: by their route they are given up, or noted."""
        failures: dict[int, Failure] = {}
        for position in expired:
            if batch[position].route.expired == "dead_letter":
                failures[position] = Rejected(_expired_text(batch[position], now_ms))
        left = [position for position in range(len(batch)) if position not in failures]
        told = await self._write_batch([batch[position] for position in left]) if left else {}
        failures |= {left[position]: failure for position, failure in told.items()}
        for position in expired:
            failures.setdefault(position, Remark("expired", _expired_text(batch[position], now_ms)))
        return failures

    async def _sleep(self, longest_s: float | None) -> None:
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._wake.wait()


def _expired_text(event: RoutedEvent, now_ms: int) -> str:
    expires_ms = event.expires_ms or 0
    return f"the message expired at {iso_ms(expires_ms)}, {(now_ms - expires_ms) / 1000:,.0f} s before its turn came"
