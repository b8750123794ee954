"""Runs one sink: feeds it from the spool, tries again, keeps its books. Each sink has a runner; none waits for another.

Messages come straight from the commit while the runner keeps up, and from the file while it is behind. Its window
bounds what it has in memory, and nothing else: when it is full, what has to wait for a destination or a device gives
its memory up, and the others go on.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress

from bridge.delivery import dead_letter_publisher as dead_letters
from bridge.delivery.ack_tracker import AckTracker
from bridge.delivery.buffer import MemoryBudget
from bridge.delivery.circuit_breaker import DestinationBreakers
from bridge.delivery.queue import BatchOutcome, DeliveryQueue
from bridge.delivery.sink_connection import SinkConnection
from bridge.delivery.worker import QueueWorker
from bridge.metrics import Metrics
from bridge.routing.routed import Dropped, RoutedEvent, Unroutable
from bridge.routing.table import RouteTable
from bridge.sinks.base import Sink
from bridge.spool.message import DeadLetter
from bridge.spool.spool import Spool
from edgewire import logs
from edgewire.backoff import Backoff
from edgewire.clock import Clock

_READ_MESSAGES = 500


_WINDOW_BYTES = 64 << 20


_LOOK_EVERY_S = 1.0
"""How often a runner looks for dead letters to be replayed, and for lanes that have become slow."""


class SinkRunner:
    """One sink at work: `run` until `stop`."""

    def __init__(
        self,
        sink: Sink,
        spool: Spool,
        table: RouteTable,
        metrics: Metrics,
        clock: Clock,
        rng: random.Random,
        on_delivered: Callable[[str, Sequence[RoutedEvent]], None] | None = None,
    ) -> None:
        """`on_delivered` is told of every delivery."""
        self.name = sink.name
        self._on_delivered = on_delivered
        self._sink = sink
        self._retry = retry = sink.config.retry
        self._window = MemoryBudget(sink.config.window, _WINDOW_BYTES)
        self._backoff = Backoff(retry.base / 1000, retry.cap / 1000)
        self._spool = spool
        self._table = table
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._log = logs.get(f"sink.{sink.name}")
        self._progress = AckTracker(sink.name, spool.cursor(sink.name), spool.done_above(sink.name))
        self._connection = SinkConnection(sink, self._backoff, rng)
        self._workers: dict[str, QueueWorker] = {}
        self._destinations = DestinationBreakers(sink.name, retry, metrics, rng)
        self._looked_at = clock.monotonic() - _LOOK_EVERY_S
        metrics.begin(sink.name)
        self._tasks: set[asyncio.Task[None]] = set()
        self._group = asyncio.TaskGroup()
        self._more = asyncio.Event()
        self._taking = self._stopping = False

    @property
    def troubles(self) -> list[str]:
        """What keeps this sink from delivering, one sentence each; empty when all is well."""
        whole = self._connection.trouble or self._sink.last_error
        alone: dict[str, str] = {}
        for worker in self._workers.values():
            alone |= worker.waiting_devices(self._retry.open_after)
        self._metrics.devices_waiting.labels(self.name).set(len(alone))
        device, why = next(iter(alone.items()), ("", ""))
        more = f" and {len(alone) - 1} others" if len(alone) > 1 else ""
        devices = [f"device {device}{more} must wait, the others go on: {why}"] if alone else []
        return list(dict.fromkeys([*([whole] if whole else []), *self._destinations.troubles(), *devices]))

    def takes(self, first_id: int, count: int) -> bool:
        """Whether the runner would have these messages now, rather than read them from the file later."""
        return self._taking and first_id == self._progress.position + 1 and count <= self._window.room

    def take(self, messages: Sequence[RoutedEvent | Unroutable | Dropped]) -> None:
        """The next messages of the spool, the one after `position` first."""
        self._take(messages)
        self._progress.position = messages[-1].message.id

    def wake(self) -> None:
        """There is something new in the spool."""
        self._more.set()

    def stop(self) -> None:
        """Take and begin nothing more."""
        self._stopping, self._taking = True, False
        self._more.set()
        for worker in self._workers.values():
            worker.stop()

    async def run(self, finish_s: float) -> None:
        """Deliver until `stop`, then give writes under way `finish_s` seconds. Raises `ConfigError`, `SpoolError`."""
        try:
            async with self._group:
                connecting = self._group.create_task(self._connection.run(), name=f"{self.name}.connection")
                await self._feed()
                if self._tasks and self._connection.trouble is None:
                    await asyncio.wait(self._tasks, timeout=finish_s)
                for task in (connecting, *self._tasks):
                    task.cancel()
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._destinations.forget()
            await self._sink.close()

    async def _feed(self) -> None:
        self._taking = not self._stopping
        while not self._stopping:
            await self._look_for_replays()
            behind = self._progress.position < self._spool.last_id
            if behind and self._window.room <= 0:
                self._park()
            if behind and self._window.room > 0:
                self._read()
                await asyncio.sleep(0)  # reading is not waiting: let the others have their turn
            else:
                self._more.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await self._more.wait()

    def _read(self) -> None:
        """Take the next messages from the file; of those beyond the cursor some may be done with, or deleted."""
        progress, last_id = self._progress, self._spool.last_id
        messages = self._spool.read(progress.position, min(self._window.room, _READ_MESSAGES))
        resolve = self._table.resolve
        self._take([resolve(message) for message in messages if not progress.is_done(message.id)])
        progress.position = messages[-1].id if messages else last_id

    async def _look_for_replays(self) -> None:
        """Take dead letters that an operator wants to have tried again."""
        now = self._clock.monotonic()
        if now - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = now
        progress, number = self._progress, 0
        in_hand = progress.replaying
        if len(in_hand) >= self._spool.replays_waiting(self.name):
            return
        # Those that have ended leave the file with the next commit; until then they would be taken once more.
        await self._spool.run_on_writer(lambda _: None)
        while self._window.room > 0 and not self._stopping:
            letters = self._spool.replays(self.name, number, _READ_MESSAGES)
            if not letters:
                break
            number = letters[-1][0]
            fresh = [one for _, one in letters if one.id not in in_hand]
            if fresh:
                progress.replay(one.id for one in fresh)
                self._log.info("dead letters are tried again", count=len(fresh))
                self._take([self._table.resolve(one) for one in fresh])

    def _take(self, messages: Sequence[RoutedEvent | Unroutable | Dropped]) -> None:
        hold, workers = self._window.hold, self._workers
        for lane, routed in self._sort_out(messages):
            hold(routed)
            (workers.get(lane) or self._employ(lane)).push(routed)
        self._settle()

    def _sort_out(self, messages: Sequence[RoutedEvent | Unroutable | Dropped]) -> list[tuple[str, RoutedEvent]]:
        """Those that are for this sink, with their lanes; the others are done with."""
        queue_key_of = self._sink.queue_key
        ours: list[tuple[str, RoutedEvent]] = []
        dead: list[DeadLetter] = []
        dropped = 0
        for routed in messages:
            if isinstance(routed, RoutedEvent) and (key := queue_key_of(routed)) is not None:
                ours.append((key, routed))
            elif isinstance(routed, Unroutable) and routed.concerns(self.name):
                dead.append(dead_letters.unroutable(self.name, routed, self._clock.now_ms()))
            else:
                self._progress.dropped(routed.message.id)
                dropped += 1
        if dropped:
            self._metrics.dropped.labels(self.name).inc(dropped)
        self._bury(dead)
        return ours

    def _fetch(self, ids: Sequence[int]) -> list[RoutedEvent]:
        """Messages that had given their memory up."""
        resolved = [self._table.resolve(message) for message in self._spool.fetch(self.name, ids)]
        return [routed for _, routed in self._sort_out(resolved)]

    def _park(self) -> None:
        """Have those that wait give up memory, unless all wait."""
        if self._connection.trouble is None:
            freed = sum(worker.park() for worker in self._workers.values())
            if freed:
                self._log.info("what has to wait is left in the spool, the others go on", messages=freed)

    def _employ(self, name: str) -> QueueWorker:
        lane = DeliveryQueue(self._backoff, self._retry.pause / 1000, self._window, self._fetch)
        destination = self._destinations.of(name)
        worker = QueueWorker(name, lane, destination, self._connection, self._report, self._clock, self._rng)
        self._workers[name] = worker
        self._tasks.add(self._group.create_task(worker.run(), name=f"{self.name}.{name}"))
        return worker

    def _report(self, outcome: BatchOutcome) -> None:
        """A worker has written a batch."""
        now_ms = self._clock.now_ms()
        if outcome.delivered:
            self._progress.delivered([routed.message.id for routed in outcome.delivered])
            self._metrics.delivered.labels(self.name).inc(len(outcome.delivered))
            oldest_ms = outcome.delivered[0].message.received_ms
            self._metrics.delivery_s.labels(self.name).observe(max(0, now_ms - oldest_ms) / 1000)
            if self._on_delivered:
                self._on_delivered(self.name, outcome.delivered)
        for routed in outcome.delivered:
            self._window.release(routed)
        for routed, _, _ in outcome.rejected:
            self._window.release(routed)
        for cause, count in outcome.retried.items():
            self._metrics.retries.labels(self.name, cause).inc(count)
        for device, alarm in outcome.operator_errors.items():
            self._log.error("a device must wait, the others go on", device=device, reason=alarm.reason)
        self._bury(
            [
                dead_letters.rejected(self.name, routed.message, verdict, attempts, now_ms)
                for routed, verdict, attempts in outcome.rejected
            ]
        )
        self._settle()
        self._more.set()

    def _bury(self, letters: Sequence[DeadLetter]) -> None:
        if not letters:
            return
        for letter in letters:
            self._progress.dead(letter)
        self._metrics.dead_letters.labels(self.name).inc(len(letters))
        self._log.warning("messages given up", count=len(letters), topic=letters[0].topic, reason=letters[0].reason)

    def _settle(self) -> None:
        settlement = self._progress.advance()
        if settlement:
            self._spool.commit_cursor(settlement)
