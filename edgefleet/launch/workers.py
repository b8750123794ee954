"""A run split over workers: each runs a part of the shard, this process collects what they say.

A worker says when it is ready; only then is the moment of the start set, the same for all. It stops when it is told to
or when this process is gone. One that dies is reported, and the others go on. Where they run is up to a launcher.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from devices.fleet.metrics import FleetSnapshot
from devices.fleet.pacer import startup_delay_ms
from edgefleet.launch.shard import ShardJob, ShardResult, combine
from edgewire import logs
from edgewire.clock import Clock, SystemClock
from edgewire.errors import ServiceUnavailable

# A worker speaks every half-second; one that is silent for so long is shown as such.
SILENT_S = 3.0


# One that is to end, and says nothing for so long, is killed. To build a large part of a fleet, or to hand in its
# record, takes seconds.
GIVE_UP_S = 60.0


log = logs.get("workers")


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker has started and waits for its job."""


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """A worker could not go on, for this reason."""

    reason: str


WorkerMessage = WorkerReady | FleetSnapshot | ShardResult | WorkerFailed


OnWorkerMessage = Callable[[WorkerMessage | None], None]
"""Is told on the event loop what a worker says; None, last, that it has ended."""


class WorkerHandle(Protocol):
    """Reaches one worker, wherever it runs."""

    def start(self, job: ShardJob) -> None:
        """Give it its job, once it is ready."""

    def stop(self) -> None:
        """Let it end in order."""

    def death(self) -> str:
        """How it ended, after "worker 1 died"; of one that has ended without a word."""

    async def close(self, *, ended: bool) -> None:
        """Let go of it; one that has not ended is killed."""


class Launcher(Protocol):
    """Where workers run."""

    def launch(self, number: int, hear: OnWorkerMessage) -> WorkerHandle:
        """Start one."""

    def crowd(self, count: int) -> float:
        """How many of `count` workers share a core."""


@dataclass(slots=True)
class WorkerStatus:
    """One worker and what is known of it."""

    number: int
    hand: WorkerHandle | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    snapshot: FleetSnapshot = field(default_factory=FleetSnapshot)
    heard_s: float = 0.0
    result: ShardResult | None = None
    failure: str | None = None

    def state(self, now_s: float) -> str:
        """For people: what it is doing."""
        if self.failure:
            return "died"
        if self.result:
            return "done"
        if not self.ready.is_set():
            return "starting"
        silent_s = now_s - self.heard_s
        return f"silent for {silent_s:.0f} s" if silent_s > SILENT_S else "running"


class Workers:
    """The workers of one run."""

    def __init__(self, job: ShardJob, count: int, launcher: Launcher, clock: Clock | None = None) -> None:
        self._job = job
        self._count = count
        self._launcher = launcher
        self._clock = clock or SystemClock()
        self._is_over = False
        self.all: list[WorkerStatus] = []

    def parts(self) -> list[tuple[str, FleetSnapshot]]:
        """State and last known numbers of each worker."""
        now_s = self._clock.monotonic()
        return [(worker.state(now_s), worker.snapshot) for worker in self.all]

    async def run(self, stop: asyncio.Event) -> ShardResult:
        """Run to the end; what the workers that came to theirs have done, with the failures of the others.

        Raises `ServiceUnavailable` where none did, or where the run did not begin.
        """
        try:
            self._launch()
            await self._all_ready(stop)
            self._hand_out()
            ended = asyncio.gather(*(worker.ended.wait() for worker in self.all))
            stopper = asyncio.create_task(self._pass_on(stop), name="stop workers")
            try:
                await ended
            finally:
                stopper.cancel()
        finally:
            await self._clean_up()
        results = [worker.result for worker in self.all if worker.result]
        return combine(results, [worker.failure for worker in self.all if worker.failure])

    def _launch(self) -> None:
        for number in range(self._count):
            worker = WorkerStatus(number, heard_s=self._clock.monotonic())
            self.all.append(worker)
            worker.hand = self._launcher.launch(number, partial(self._hear, worker))

    async def _all_ready(self, stop: asyncio.Event) -> None:
        """Half a fleet is no run: a worker that does not come up, or Ctrl-C before, ends it."""
        for worker in self.all:
            await _first(worker.ready, worker.ended, stop)
            if worker.failure:
                raise ServiceUnavailable(f"the run did not begin: {worker.failure}")
            if not worker.ready.is_set():
                raise ServiceUnavailable("the run was stopped before it began: there is no record of it")

    def _hand_out(self) -> None:
        # The start lies far enough ahead for the slowest: all of them build their devices at the same time.
        shards, crowd = self._job.shard.count * self._count, self._launcher.crowd(self._count)
        started_ms = self._clock.now_ms() + startup_delay_ms(self._job.scenario, shards, crowd)
        job = replace(self._job, started_ms=self._job.started_ms or started_ms)
        for worker in self._running():
            worker.heard_s = self._clock.monotonic()
            assert worker.hand
            worker.hand.start(replace(job, shard=job.shard.part(worker.number, self._count)))

    def _running(self) -> list[WorkerStatus]:
        return [worker for worker in self.all if worker.hand and not worker.ended.is_set()]

    def _hear(self, worker: WorkerStatus, said: WorkerMessage | None) -> None:
        worker.heard_s = self._clock.monotonic()
        match said:
            case None:
                self._end(worker)
            case WorkerReady():
                worker.ready.set()
            case FleetSnapshot():
                worker.snapshot = said
            case ShardResult():
                worker.result, worker.snapshot = said, said.final
            case WorkerFailed(reason):
                worker.failure = f"worker {worker.number}: {reason}"

    def _end(self, worker: WorkerStatus) -> None:
        # After the run, who ends was killed by us.
        if worker.result is None and worker.failure is None and not self._is_over:
            assert worker.hand
            how = worker.hand.death()
            worker.failure = f"worker {worker.number} died{how}, its devices are unaccounted for"
        worker.ended.set()
        if worker.failure:
            log.error("worker failed", worker=worker.number, reason=worker.failure, devices=worker.snapshot.devices)

    async def _pass_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        told_s = self._clock.monotonic()
        for worker in self._running():
            assert worker.hand
            worker.hand.stop()
        while running := self._running():
            await asyncio.sleep(GIVE_UP_S / 60)
            for worker in running:
                # It may hang, or be stopped by SIGSTOP.
                if self._clock.monotonic() - max(told_s, worker.heard_s) > GIVE_UP_S and not worker.ended.is_set():
                    worker.failure = (
                        f"worker {worker.number} did not end, and said nothing for {GIVE_UP_S:.0f} s: it was killed, "
                        "its devices are unaccounted for"
                    )
                    assert worker.hand
                    await worker.hand.close(ended=False)

    async def _clean_up(self) -> None:
        self._is_over = True
        for worker in self.all:
            if worker.hand:
                await worker.hand.close(ended=worker.ended.is_set())


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
