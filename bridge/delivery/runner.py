"""Runs one sink: feeds it from the spool, keeps its cursor. Each sink has a runner; none waits for another.

Messages come straight from the commit while the runner keeps up, and from the file while it is behind. Its budget
bounds what it has in memory, and nothing else: when that is used up, what has to wait for a destination or a device
gives its memory up, and the others go on.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from bridge.delivery.ack_tracker import AckTracker
from bridge.delivery.buffer import MemoryBudget
from bridge.delivery.circuit_breaker import DestinationBreakers
from bridge.delivery.dead_letter_publisher import dead_letter_for_rejection, dead_letter_for_unroutable
from bridge.delivery.queue import BatchOutcome, DeliveryQueue
from bridge.delivery.remark_log import RemarkLog
from bridge.delivery.repeat_limit import RepeatLimit
from bridge.delivery.sink_connection import SinkConnection
from bridge.delivery.worker import QueueWorker
from bridge.metrics import BridgeMetrics
from bridge.routing.routed import Dropped, RoutedEvent, Unroutable
from bridge.routing.table import RouteTable
from bridge.sinks.base import Sink
from bridge.spool.message import DeadLetter
from bridge.spool.spool import Spool
from edgewire import logs
from edgewire.backoff import Backoff
from edgewire.clock import Clock

_READ_MESSAGES = 500

_BUDGET_BYTES = 64 << 20

_LOOK_EVERY_S = 1.0
"""How often a runner looks for dead letters to be replayed, and for queues that have become slow."""


class SinkRunner:
    """Delivers to one sink: `run` until `stop`."""

    def __init__(
        self,
        sink: Sink,
        spool: Spool,
        table: RouteTable,
        metrics: BridgeMetrics,
        clock: Clock,
        rng: random.Random,
        on_delivered: Callable[[str, Sequence[RoutedEvent]], None] | None = None,
    ) -> None:
        """Begin where the spool says the sink is; `on_delivered` is told of every delivery."""
        self.name = sink.name
        self._on_delivered = on_delivered
        self._sink = sink
        self._retry = retry = sink.config.retry
        self._budget = MemoryBudget(sink.config.window, _BUDGET_BYTES)
        self._backoff = Backoff(retry.base / 1000, retry.cap / 1000)
        self._spool = spool
        self._table = table
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._log = logs.get(f"sink.{sink.name}")
        self._acks = AckTracker(sink.name, spool.cursor(sink.name), spool.done_bitmaps(sink.name))
        self._repeat_limit = RepeatLimit()
        self._connection = SinkConnection(sink, self._backoff, rng)
        self._workers: dict[str, QueueWorker] = {}
        self._destinations = DestinationBreakers(sink.name, retry, metrics, rng)
        self._looked_at = clock.monotonic() - _LOOK_EVERY_S
        metrics.init_sink(sink.name)
        for destination in sink.destinations:
            self._destinations.for_queue(destination)
        self._remarks = RemarkLog(sink.name, metrics, clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._group = asyncio.TaskGroup()
        self._more = asyncio.Event()
        self._accepting = self._stopping = False

    @property
    def problems(self) -> list[str]:
        """Say what keeps this sink from delivering, one sentence each; empty when all is well."""
        whole = self._connection.last_error or self._sink.last_error
        alone: dict[str, str] = {}
        for worker in self._workers.values():
            alone |= worker.waiting_devices(self._retry.open_after)
        self._metrics.devices_waiting.labels(self.name).set(len(alone))
        device, why = next(iter(alone.items()), ("", ""))
        more = f" and {len(alone) - 1} others" if len(alone) > 1 else ""
        devices = [f"device {device}{more} must wait, the others go on: {why}"] if alone else []
        return list(dict.fromkeys([*([whole] if whole else []), *self._destinations.problems(), *devices]))

    @property
    def warnings(self) -> list[str]:
        """Say what an operator should know of messages that were delivered, one sentence each."""
        return self._remarks.warnings

    def can_accept(self, first_id: int, count: int) -> bool:
        """Say whether the runner would have these messages now, rather than read them from the file later."""
        return self._accepting and first_id == self._acks.position + 1 and count <= self._budget.available

    def accept_messages(self, messages: Sequence[RoutedEvent | Unroutable | Dropped]) -> None:
        """Take the next messages of the spool, the one after `position` first."""
        self._enqueue(messages)
        self._acks.position = messages[-1].message.id

    def wake_up(self) -> None:
        """Look into the spool: there is something new."""
        self._more.set()

    def stop(self) -> None:
        """Accept and begin nothing more."""
        self._stopping, self._accepting = True, False
        self._more.set()
        for worker in self._workers.values():
            worker.stop()

    async def run_sink(self, finish_s: float) -> None:
        """Deliver until `stop`, then give writes under way `finish_s` seconds. Raises `ConfigError`, `SpoolError`."""
        try:
            async with self._group:
                connecting = self._group.create_task(self._connection.keep_connected(), name=f"{self.name}.connection")
                await self._feed()
                if self._tasks and self._connection.last_error is None:
                    await asyncio.wait(self._tasks, timeout=finish_s)
                for task in (connecting, *self._tasks):
                    task.cancel()
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._destinations.remove_metrics()
            await self._sink.close()

    async def _feed(self) -> None:
        self._accepting = not self._stopping
        while not self._stopping:
            await self._look_for_replays()
            behind = self._acks.position < self._spool.last_id
            if behind and self._budget.available <= 0:
                self._evict()
            if behind and self._budget.available > 0:
                self._read_from_spool()
                await asyncio.sleep(0)  # reading is not waiting: let the others have their turn
            else:
                self._more.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await self._more.wait()

    def _read_from_spool(self) -> None:
        """Take the next messages from the file; of those beyond the cursor some may be done with, or deleted."""
        acks, last_id = self._acks, self._spool.last_id
        messages = self._spool.read_messages(acks.position, min(self._budget.available, _READ_MESSAGES))
        resolve = self._table.resolve
        self._enqueue([resolve(message) for message in messages if not acks.is_done(message.id)])
        acks.position = messages[-1].id if messages else last_id

    async def _look_for_replays(self) -> None:
        """Take dead letters that an operator wants to have tried again."""
        now = self._clock.monotonic()
        if now - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = now
        acks, number = self._acks, 0
        in_hand = acks.replaying
        if len(in_hand) >= self._spool.count_replays(self.name):
            return
        # Those that have ended leave the file with the next commit; until then they would be taken once more.
        await self._spool.run_on_writer(lambda _: None)
        while self._budget.available > 0 and not self._stopping:
            letters = self._spool.read_replays(self.name, number, _READ_MESSAGES)
            if not letters:
                break
            number = letters[-1][0]
            fresh = [one for _, one in letters if one.id not in in_hand]
            if fresh:
                acks.add_replays(one.id for one in fresh)
                self._log.info("dead letters are tried again", count=len(fresh))
                self._enqueue([self._table.resolve(one) for one in fresh])

    def _enqueue(self, messages: Sequence[RoutedEvent | Unroutable | Dropped]) -> None:
        reserve, workers = self._budget.reserve, self._workers
        for key, routed in self._select_own(messages):
            reserve(routed)
            (workers.get(key) or self._add_worker(key)).enqueue(routed)
        self._commit_progress()

    def _select_own(self, messages: Sequence[RoutedEvent | Unroutable | Dropped]) -> list[tuple[str, RoutedEvent]]:
        """Return those that are for this sink, with the keys of their queues; the others are done with."""
        queue_key_of = self._sink.queue_key
        ours: list[tuple[str, RoutedEvent]] = []
        dead: list[DeadLetter] = []
        dropped = 0
        for routed in messages:
            if isinstance(routed, RoutedEvent) and (key := queue_key_of(routed)) is not None:
                ours.append((key, routed))
            elif isinstance(routed, Unroutable) and routed.concerns(self.name):
                dead.append(dead_letter_for_unroutable(self.name, routed, self._clock.now_ms()))
            else:
                self._acks.record_dropped(routed.message.id)
                dropped += 1
        if dropped:
            self._metrics.dropped.labels(self.name).inc(dropped)
        self._dead_letter(dead)
        return ours

    def _reload(self, ids: Sequence[int]) -> list[RoutedEvent]:
        """Return messages that had given their memory up."""
        resolved = [self._table.resolve(message) for message in self._spool.fetch_messages(self.name, ids)]
        return [routed for _, routed in self._select_own(resolved)]

    def _evict(self) -> None:
        """Have those that wait give up memory, unless all wait."""
        if self._connection.last_error is None:
            freed = sum(worker.evict() for worker in self._workers.values())
            if freed:
                self._log.info("what has to wait is left in the spool, the others go on", messages=freed)

    def _add_worker(self, name: str) -> QueueWorker:
        queue = DeliveryQueue(self._backoff, self._retry.pause / 1000, self._budget, self._reload)
        destination = self._destinations.for_queue(name)
        worker = QueueWorker(
            name,
            queue,
            destination,
            self._connection,
            self._repeat_limit,
            self._on_outcome,
            self._clock,
            self._rng,
        )
        self._workers[name] = worker
        self._tasks.add(self._group.create_task(worker.run_worker(), name=f"{self.name}.{destination.name}"))
        return worker

    def _on_outcome(self, outcome: BatchOutcome) -> None:
        """Note what became of a batch that a worker has written."""
        now_ms = self._clock.now_ms()
        if outcome.delivered:
            self._acks.record_delivered([routed.message.id for routed in outcome.delivered])
            self._metrics.delivered.labels(self.name).inc(len(outcome.delivered))
            oldest_ms = outcome.delivered[0].message.received_ms
            self._metrics.delivery_s.labels(self.name).observe(max(0, now_ms - oldest_ms) / 1000)
            if self._on_delivered:
                self._on_delivered(self.name, outcome.delivered)
        for routed in outcome.delivered:
            self._budget.release(routed)
        for routed, _, _ in outcome.rejected:
            self._budget.release(routed)
        if outcome.remarks:
            self._remarks.record(outcome.remarks)
        for cause, count in outcome.retried.items():
            self._metrics.retries.labels(self.name, cause).inc(count)
        for device, alarm in outcome.operator_errors.items():
            self._log.error("a device must wait, the others go on", device=device, reason=alarm.reason)
        self._dead_letter(
            [
                dead_letter_for_rejection(self.name, routed.message, verdict, attempts, now_ms)
                for routed, verdict, attempts in outcome.rejected
            ]
        )
        self._commit_progress()
        self._more.set()

    def _dead_letter(self, letters: Sequence[DeadLetter]) -> None:
        if not letters:
            return
        for letter in letters:
            self._acks.record_dead(letter)
        self._metrics.dead_letters.labels(self.name).inc(len(letters))
        self._log.warning("messages given up", count=len(letters), topic=letters[0].topic, reason=letters[0].reason)

    def _commit_progress(self) -> None:
        update = self._acks.flush()
        if update:
            settled = update.delivered + len(update.dead_letters)
            self._repeat_limit.record_settled(settled)
            self._spool.commit_cursor(update, partial(self._repeat_limit.record_committed, settled))
