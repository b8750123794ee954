"""Runs one sink: feeds it from the spool, tries again, keeps its books. Each sink has a runner; none waits for another.

Messages come straight from the commit while the runner keeps up, and from the file while it is behind. Its window
bounds what it has in memory: a lane that waits for long fills it, and then the sink waits, but nothing is lost.
"""

import asyncio
import random
from collections.abc import Sequence

from bridge.delivery import dead_letters
from bridge.delivery.connection import Connection
from bridge.delivery.lane import Lane, Outcome
from bridge.delivery.progress import Progress
from bridge.delivery.worker import Worker
from bridge.metrics import Metrics
from bridge.routing import Dropped, Routed, RouteTable, Unroutable
from bridge.sinks.base import Sink
from bridge.spool import DeadLetter, Spool
from edgewire import logs
from edgewire.backoff import Backoff
from edgewire.clock import Clock

_READ_MESSAGES = 500
_WINDOW_BYTES = 64 << 20


class Runner:
    """One sink at work: `run` until `stop`."""

    def __init__(
        self,
        sink: Sink,
        spool: Spool,
        table: RouteTable,
        metrics: Metrics,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.name = sink.name
        self._sink = sink
        retry = sink.config.retry
        self._window = sink.config.window
        self._backoff = Backoff(retry.base / 1000, retry.cap / 1000)
        self._pause_s = retry.pause / 1000
        self._spool = spool
        self._table = table
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._log = logs.get(f"sink.{sink.name}")
        self._progress = Progress(sink.name, spool.cursor(sink.name))
        self._connection = Connection(sink, self._backoff, rng)
        self._workers: dict[str, Worker] = {}
        self._troubles: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._group = asyncio.TaskGroup()
        self._more = asyncio.Event()
        self._stopping = False

    @property
    def troubles(self) -> list[str]:
        """What keeps this sink from delivering, one sentence each; empty when all is well."""
        whole = self._connection.trouble or self._sink.trouble
        return list(dict.fromkeys([*([whole] if whole else []), *self._troubles.values()]))

    def takes(self, first_id: int, count: int) -> bool:
        """Whether the runner would have these messages now, rather than read them from the file later."""
        return not self._stopping and first_id == self._progress.position + 1 and count <= self._room()

    def take(self, messages: Sequence[Routed | Unroutable | Dropped]) -> None:
        """The next messages of the spool."""
        progress, lane_of, workers = self._progress, self._sink.lane, self._workers
        dead: list[DeadLetter] = []
        dropped = 0
        for routed in messages:
            message = routed.message
            progress.take(message.id, len(message.payload))
            if isinstance(routed, Unroutable) and routed.concerns(self.name):
                dead.append(dead_letters.unroutable(self.name, routed, self._clock.now_ms()))
            elif isinstance(routed, Routed) and (lane := lane_of(routed)) is not None:
                (workers.get(lane) or self._employ(lane)).push(routed)
            else:
                progress.dropped(message.id)
                dropped += 1
        if dropped:
            self._metrics.dropped.labels(self.name).inc(dropped)
        self._bury(dead)
        self._settle()

    def wake(self) -> None:
        """There is something new in the spool."""
        self._more.set()

    def stop(self) -> None:
        """Take and begin nothing more."""
        self._stopping = True
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
            await self._sink.close()

    async def _feed(self) -> None:
        while not self._stopping:
            room = self._room()
            if room > 0 and self._progress.position < self._spool.last_id:
                messages = self._spool.read(self._progress.position, min(room, _READ_MESSAGES))
                self.take([self._table.resolve(message) for message in messages])
                await asyncio.sleep(0)  # reading is not waiting: let the others have their turn
            else:
                self._more.clear()
                await self._more.wait()

    def _room(self) -> int:
        """Messages that may still be taken into memory."""
        return self._window - len(self._progress) if self._progress.bytes < _WINDOW_BYTES else 0

    def _employ(self, name: str) -> Worker:
        lane = Lane(self._backoff, self._pause_s)
        worker = Worker(name, lane, self._connection, self._report, self._clock, self._rng)
        self._workers[name] = worker
        self._tasks.add(self._group.create_task(worker.run(), name=f"{self.name}.{name}"))
        return worker

    def _report(self, lane: str, outcome: Outcome) -> None:
        """A worker has written a batch."""
        now_ms = self._clock.now_ms()
        for routed in outcome.delivered:
            self._progress.delivered(routed.message.id)
        if outcome.delivered:
            self._metrics.delivered.labels(self.name).inc(len(outcome.delivered))
            oldest_ms = outcome.delivered[0].message.received_ms
            self._metrics.delivery_s.labels(self.name).observe(max(0, now_ms - oldest_ms) / 1000)
        for cause, count in outcome.retried.items():
            self._metrics.retries.labels(self.name, cause).inc(count)
        self._bury(
            [
                dead_letters.rejected(self.name, routed.message, verdict, attempts, now_ms)
                for routed, verdict, attempts in outcome.rejected
            ]
        )
        self._notice(lane, outcome)
        self._settle()
        self._more.set()

    def _notice(self, lane: str, outcome: Outcome) -> None:
        """Say when a lane begins to wait and when it goes on, not at every attempt."""
        trouble = outcome.trouble
        if trouble:
            if lane not in self._troubles:
                say = self._log.error if trouble.configuration else self._log.warning
                say("delivery waits, trying again", lane=lane, reason=trouble.reason)
            self._troubles[lane] = trouble.reason
            self._metrics.paused.labels(self.name, lane).set(trouble.configuration)
        elif lane in self._troubles:
            del self._troubles[lane]
            self._log.info("delivery goes on", lane=lane)
            self._metrics.paused.labels(self.name, lane).set(0)
            destination = lane.partition("#")[0]
            for other in self._troubles:
                if other.partition("#")[0] == destination:
                    self._workers[other].hurry()

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
            self._spool.settle(settlement)
