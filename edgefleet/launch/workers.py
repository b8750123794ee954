"""Splits a run over workers: each runs a part of the shard, this process collects what they say.

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
    """Tells that a worker has started and waits for its job."""


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """Tells that a worker could not go on, for this reason."""

    reason: str


WorkerMessage = WorkerReady | FleetSnapshot | ShardResult | WorkerFailed

OnWorkerMessage = Callable[[WorkerMessage | None], None]
"""Is called on the event loop with each message of a worker, last with None when it has ended."""


class WorkerHandle(Protocol):
    """Reaches one worker, wherever it runs."""

    def start_job(self, job: ShardJob) -> None:
        """Give it its job, once it is ready."""

    def request_stop(self) -> None:
        """Let it end in order."""

    def exit_description(self) -> str:
        """Return how it ended, after "worker 1 died", for one that has ended without a word."""

    async def close(self, *, ended: bool) -> None:
        """Let go of it; one that has not ended is killed."""


class Launcher(Protocol):
    """Starts workers where they are to run."""

    def launch_worker(self, number: int, on_message: OnWorkerMessage) -> WorkerHandle:
        """Start one."""

    def workers_per_core(self, count: int) -> float:
        """Return how many of `count` workers share a core."""


@dataclass(slots=True)
class WorkerStatus:
    """Holds what is known of one worker."""

    number: int
    handle: WorkerHandle | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    snapshot: FleetSnapshot = field(default_factory=FleetSnapshot)
    last_message_s: float = 0.0
    result: ShardResult | None = None
    failure: str | None = None

    def state(self, now_s: float) -> str:
        """Return what it is doing, for people."""
        if self.failure:
            return "died"
        if self.result:
            return "done"
        if not self.ready.is_set():
            return "starting"
        silent_s = now_s - self.last_message_s
        return f"silent for {silent_s:.0f} s" if silent_s > SILENT_S else "running"


class Workers:
    """Starts, watches and ends the workers of one run."""

    def __init__(self, job: ShardJob, count: int, launcher: Launcher, clock: Clock | None = None) -> None:
        self._job = job
        self._count = count
        self._launcher = launcher
        self._clock = clock or SystemClock()
        self._is_over = False
        self.statuses: list[WorkerStatus] = []

    def snapshots(self) -> list[tuple[str, FleetSnapshot]]:
        """Return the state and the last known numbers of each worker."""
        now_s = self._clock.monotonic()
        return [(worker.state(now_s), worker.snapshot) for worker in self.statuses]

    async def run_workers(self, stop: asyncio.Event) -> ShardResult:
        """Run to the end, and return what the workers that came to theirs have done, with the failures of the others.

        Raises `ServiceUnavailable` where none did, or where the run did not begin.
        """
        try:
            self._launch()
            await self._all_ready(stop)
            self._start_jobs()
            ended = asyncio.gather(*(worker.ended.wait() for worker in self.statuses))
            stopper = asyncio.create_task(self._forward_stop(stop), name="stop workers")
            try:
                await ended
            finally:
                stopper.cancel()
        finally:
            await self._clean_up()
        results = [worker.result for worker in self.statuses if worker.result]
        return combine(results, [worker.failure for worker in self.statuses if worker.failure])

    def _launch(self) -> None:
        for number in range(self._count):
            worker = WorkerStatus(number, last_message_s=self._clock.monotonic())
            self.statuses.append(worker)
            worker.handle = self._launcher.launch_worker(number, partial(self._on_message, worker))

    async def _all_ready(self, stop: asyncio.Event) -> None:
        """Wait for all: half a fleet is no run, so a worker that does not come up, or Ctrl-C before, ends it."""
        for worker in self.statuses:
            await _wait_for_first(worker.ready, worker.ended, stop)
            if worker.failure:
                raise ServiceUnavailable(f"the run did not begin: {worker.failure}")
            if not worker.ready.is_set():
                raise ServiceUnavailable("the run was stopped before it began: there is no record of it")

    def _start_jobs(self) -> None:
        # The start lies far enough ahead for the slowest: all of them build their devices at the same time.
        shards, per_core = self._job.shard.count * self._count, self._launcher.workers_per_core(self._count)
        started_ms = self._clock.now_ms() + startup_delay_ms(self._job.scenario, shards, per_core)
        job = replace(self._job, started_ms=self._job.started_ms or started_ms)
        for worker in self._running():
            worker.last_message_s = self._clock.monotonic()
            assert worker.handle
            worker.handle.start_job(replace(job, shard=job.shard.part(worker.number, self._count)))

    def _running(self) -> list[WorkerStatus]:
        return [worker for worker in self.statuses if worker.handle and not worker.ended.is_set()]

    def _on_message(self, worker: WorkerStatus, message: WorkerMessage | None) -> None:
        worker.last_message_s = self._clock.monotonic()
        match message:
            case None:
                self._end(worker)
            case WorkerReady():
                worker.ready.set()
            case FleetSnapshot():
                worker.snapshot = message
            case ShardResult():
                worker.result, worker.snapshot = message, message.final
            case WorkerFailed(reason):
                worker.failure = f"worker {worker.number}: {reason}"

    def _end(self, worker: WorkerStatus) -> None:
        # After the run, who ends was killed by us.
        if worker.result is None and worker.failure is None and not self._is_over:
            assert worker.handle
            how = worker.handle.exit_description()
            worker.failure = f"worker {worker.number} died{how}, its devices are unaccounted for"
        worker.ended.set()
        if worker.failure:
            log.error("worker failed", worker=worker.number, reason=worker.failure, devices=worker.snapshot.devices)

    async def _forward_stop(self, stop: asyncio.Event) -> None:
        await stop.wait()
        told_s = self._clock.monotonic()
        for worker in self._running():
            assert worker.handle
            worker.handle.request_stop()
        while running := self._running():
            await asyncio.sleep(GIVE_UP_S / 60)
            for worker in running:
                # It may hang, or be stopped by SIGSTOP.
                if (
                    self._clock.monotonic() - max(told_s, worker.last_message_s) > GIVE_UP_S
                    and not worker.ended.is_set()
                ):
                    worker.failure = (
                        f"worker {worker.number} did not end, and said nothing for {GIVE_UP_S:.0f} s: it was killed, "
                        "its devices are unaccounted for"
                    )
                    assert worker.handle
                    await worker.handle.close(ended=False)

    async def _clean_up(self) -> None:
        self._is_over = True
        for worker in self.statuses:
            if worker.handle:
                await worker.handle.close(ended=worker.ended.is_set())


async def _wait_for_first(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
