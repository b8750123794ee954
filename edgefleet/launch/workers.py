"""Splits a run over workers: each runs a part of the shard, this process collects what they say.

A worker says when it is ready; only then is the moment of the start set, the same for all. It stops when it is told to
or when this process is gone. One that dies is reported, and the others go on. One that is silent may come back, as
after SIGCONT, until the run is over: then it is killed and reported. Where they run is up to a launcher.
"""

import asyncio
import math
from dataclasses import replace
from functools import partial

from devices.fleet.metrics import FleetSnapshot
from devices.fleet.steering import ApplyScenario, FleetAnswer, FleetRequest
from devices.scenario.changes import DeviceShares, ScenarioChange, compare_scenarios
from devices.scenario.scenario import Scenario
from edgefleet.launch.launcher import Launcher, WorkerFailed, WorkerMessage, WorkerReady
from edgefleet.launch.requests import ReplyBook, ShardReply
from edgefleet.launch.shard import (
    CHECKPOINT_S,
    FIRST_CHECKPOINT_S,
    OnCheckpoint,
    ShardJob,
    ShardResult,
    combine,
    starting_checkpoint,
)
from edgefleet.launch.worker_status import WorkerLimits, WorkerState, WorkerStatus
from edgewire import logs
from edgewire.clock import Clock, SystemClock
from edgewire.errors import ServiceUnavailable
from edgewire.run_checkpoint import RunCheckpoint
from edgewire.run_record import UnaccountedPart

# How often the workers are looked at.
LOOK_S = 0.25

log = logs.get("workers")


class Workers:
    """Starts, watches and ends the workers of one run."""

    def __init__(
        self,
        job: ShardJob,
        count: int,
        launcher: Launcher,
        clock: Clock | None = None,
        limits: WorkerLimits | None = None,
        on_checkpoint: OnCheckpoint | None = None,
        first_checkpoint_s: float = FIRST_CHECKPOINT_S,
    ) -> None:
        self._job = job
        self._count = count
        self._launcher = launcher
        self._clock = clock or SystemClock()
        self._limits = limits or WorkerLimits()
        self._patience_s = self._limits.patience_s
        self._on_checkpoint = on_checkpoint
        self._first_checkpoint_s = first_checkpoint_s
        self._ends_s = math.inf
        """When all workers should have ended, or at least speak of it."""
        self._is_over = False
        self._begun = asyncio.Event()
        self._scenario = job.scenario
        self._shares: DeviceShares | None = None
        self._replies = ReplyBook()
        self.statuses: list[WorkerStatus] = []

    @property
    def started_ms(self) -> int | None:
        """Return when the devices begin, ms since 1970 UTC; None until all workers are ready."""
        return self._job.started_ms

    def snapshots(self) -> list[tuple[WorkerState, FleetSnapshot]]:
        """Return the state and the numbers of each worker; one that is not up has no device connected."""
        now_s = self._clock.monotonic()
        return [worker.view(now_s, self._limits.silent_s) for worker in self.statuses]

    async def run_workers(self, stop: asyncio.Event, at_once: asyncio.Event | None = None) -> ShardResult:
        """Run to the end, and return what the workers that came to theirs have done, with the failures of the others.

        They are told to end in order once `stop` is set, and not to wait for anything once `at_once` is. What was known
        of the devices of those that failed is in the record, which is there also where all did. Raises
        `ServiceUnavailable` where the run did not begin.
        """
        try:
            self._launch()
            await self._all_ready(stop)
            self._start_jobs()
            ended = asyncio.gather(*(worker.ended.wait() for worker in self.statuses))
            helpers = [
                asyncio.create_task(self._forward_stop(stop), name="stop workers"),
                asyncio.create_task(self._watch_silence(), name="watch workers"),
                asyncio.create_task(self._join_checkpoints(), name="checkpoints"),
            ]
            if at_once:
                helpers.append(asyncio.create_task(self._forward_stop(at_once, at_once=True), name="end workers"))
            try:
                await ended
            finally:
                for helper in helpers:
                    helper.cancel()
        finally:
            await self._clean_up()
        results = [worker.result for worker in self.statuses if worker.result]
        known = [worker.checkpoint for worker in self.statuses if worker.checkpoint and not worker.result]
        return combine(
            results,
            [worker.failure for worker in self.statuses if worker.failure],
            shard=self._job.shard,
            unaccounted=self._failed_parts(),
            known=known if results or known else [starting_checkpoint(self._job)],
            snapshots=[worker.snapshot for worker in self.statuses],
        )

    def _unaccounted(self, worker: WorkerStatus, reason: str) -> UnaccountedPart:
        shard = self._job.shard.part(worker.number, self._count)
        devices = self._shares_now().device_ids(shard.index)
        number = (shard.index, shard.count)
        return UnaccountedPart(name=f"worker {worker.number}", shard=number, reason=reason, device_ids=devices)

    def _shares_now(self) -> DeviceShares:
        if self._shares is None:
            self._shares = DeviceShares(self._job.scenario, self._job.shard.count * self._count)
        return self._shares

    async def apply(self, scenario: Scenario) -> ScenarioChange:
        """Let all workers go on with another scenario, once they have begun. Raises as `Fleet.apply`."""
        await self._begun.wait()
        change = await asyncio.to_thread(compare_scenarios, self._scenario, scenario)
        self._shares, self._scenario = self._shares_now().dealt(change), scenario
        return replace(change, at_ms=(await self.ask(ApplyScenario(scenario))).at_ms)

    async def ask(self, request: FleetRequest) -> FleetAnswer:
        """Return what all workers answer together. Raises as `FleetSteering.answer`, also before they have begun."""
        if not self._begun.is_set():
            raise ServiceUnavailable("the run has not begun: its workers are being started")
        replies = []
        for worker in self._running():
            assert worker.handle
            name = f"worker {worker.number}"
            numbered, reply = self._replies.enter(request, name)
            worker.handle.send_request(numbered)
            replies.append((name, reply))
        return await self._replies.collect(request, replies)

    def _launch(self) -> None:
        for number in range(self._count):
            worker = WorkerStatus(number, last_message_s=self._clock.monotonic())
            self.statuses.append(worker)
            try:
                worker.handle = self._launcher.launch_worker(number, partial(self._on_message, worker))
            except (OSError, RuntimeError) as error:  # what a thread that cannot be started raises
                raise ServiceUnavailable(
                    f"the run did not begin: worker {number} cannot be started: {error}; ask for fewer --workers, or "
                    "raise the limits of processes and open files (ulimit -u, ulimit -n, the container's pids)"
                ) from None

    async def _all_ready(self, stop: asyncio.Event) -> None:
        """Wait for all: half a fleet is no run, so a worker that does not come up, or Ctrl-C before, ends it."""
        # Those that share a core share its time as well.
        limit_s = self._limits.patience_s * max(1.0, self._launcher.workers_per_core(self._count))
        try:
            async with asyncio.timeout(limit_s):
                for worker in self.statuses:
                    await _wait_for_first(worker.ready, worker.ended, stop)
                    if worker.failure:
                        raise ServiceUnavailable(f"the run did not begin: {worker.failure}")
                    if not worker.ready.is_set():
                        raise ServiceUnavailable("the run was stopped before it began: there is no record of it")
        except TimeoutError:
            missing = ", ".join(str(worker.number) for worker in self.statuses if not worker.ready.is_set())
            raise ServiceUnavailable(
                f"the run did not begin: worker {missing} did not come up within {limit_s:.0f} s; "
                "ask for fewer --workers, or look whether something stops them"
            ) from None

    def _start_jobs(self) -> None:
        # The start lies far enough ahead for the slowest: all of them build their devices at the same time.
        shards, per_core = self._job.shard.count * self._count, self._launcher.workers_per_core(self._count)
        started_ms = self._clock.now_ms() + self._job.lead_ms(shards, per_core)
        job = self._job = replace(
            self._job, started_ms=self._job.started_ms or started_ms, core_share=1 / max(1.0, per_core)
        )
        lead_s = ((job.started_ms or started_ms) - self._clock.now_ms()) / 1000
        self._ends_s = self._clock.monotonic() + lead_s + self._job.duration_s + self._limits.drain_s
        for worker in self._running():
            worker.last_message_s = self._clock.monotonic()
            assert worker.handle
            worker.handle.start_job(replace(job, shard=job.shard.part(worker.number, self._count)))
        self._begun.set()

    def _running(self) -> list[WorkerStatus]:
        return [worker for worker in self.statuses if worker.handle and not worker.ended.is_set()]

    def _on_message(self, worker: WorkerStatus, message: WorkerMessage | None) -> None:
        worker.last_message_s = self._clock.monotonic()
        if worker.warned and message is not None:
            worker.warned = False
            log.warning("worker speaks again", worker=worker.number, devices=worker.snapshot.devices)
        match message:
            case None:
                self._end(worker)
            case WorkerReady():
                worker.ready.set()
            case FleetSnapshot():
                worker.snapshot = message
            case RunCheckpoint():
                worker.checkpoint = message
            case ShardReply():
                self._replies.on_reply(message)
            case ShardResult():
                worker.result, worker.snapshot = message, message.final
            case WorkerFailed(reason):
                worker.failure = f"worker {worker.number}: {reason}"

    def _end(self, worker: WorkerStatus) -> None:
        if worker.ended.is_set():
            return
        # After the run, who ends was killed by us.
        if worker.result is None and worker.failure is None and not self._is_over:
            assert worker.handle
            how = worker.handle.exit_description()
            worker.failure = f"worker {worker.number} died{how}, its devices are unaccounted for"
        worker.ended.set()
        self._replies.on_end(f"worker {worker.number}")
        if worker.failure:
            log.error("worker failed", worker=worker.number, reason=worker.failure, devices=worker.snapshot.devices)

    async def _forward_stop(self, stop: asyncio.Event, *, at_once: bool = False) -> None:
        await stop.wait()
        self._ends_s = min(self._ends_s, self._clock.monotonic())
        if at_once:
            self._patience_s = self._limits.silent_s
        for worker in self._running():
            assert worker.handle
            worker.handle.request_stop(at_once=at_once)

    async def _join_checkpoints(self) -> None:
        """Hand on what the workers have said of their devices, more often in the first seconds than later."""
        pause_s, before = self._first_checkpoint_s, 0
        while self._on_checkpoint:
            await asyncio.sleep(pause_s)
            found = [worker.checkpoint for worker in self.statuses if worker.checkpoint]
            if (moments := sum(one.head.stopped_ms for one in found)) > before:
                before = moments
                missing = [
                    self._unaccounted(worker, f"worker {worker.number} had not said anything of its devices")
                    for worker in self.statuses
                    if not worker.checkpoint and not worker.failure
                ]
                shard = (self._job.shard.index, self._job.shard.count)
                await self._on_checkpoint(RunCheckpoint.join(found, [shard], [*self._failed_parts(), *missing]))
                pause_s = min(CHECKPOINT_S, 2 * pause_s)

    def _failed_parts(self) -> list[UnaccountedPart]:
        failed = ((worker, worker.failure) for worker in self.statuses if worker.failure and not worker.result)
        return [self._unaccounted(worker, failure) for worker, failure in failed]

    async def _watch_silence(self) -> None:
        """Tell of workers that are silent, and end those that still are when the run should be over."""
        look_s = min(LOOK_S, self._limits.silent_s / 4, self._limits.patience_s / 4)
        before_s = self._clock.monotonic()
        while running := self._running():
            await asyncio.sleep(look_s)
            now_s = self._clock.monotonic()
            # Where we were stopped ourselves, as by Ctrl-Z, nobody has been silent meanwhile.
            if (lost_s := now_s - before_s - look_s) > self._limits.silent_s / 4:
                self._ends_s += lost_s
                for worker in running:
                    worker.last_message_s += lost_s
            before_s = now_s
            if len(running) < self._count and all(self._is_silent(worker, now_s) for worker in running):
                # All others have ended, so it is time.
                self._ends_s = min(self._ends_s, now_s)
            for worker in running:
                await self._judge_silence(worker, now_s)

    def _is_silent(self, worker: WorkerStatus, now_s: float) -> bool:
        return now_s - worker.last_message_s > self._limits.silent_s

    async def _judge_silence(self, worker: WorkerStatus, now_s: float) -> None:
        if self._is_silent(worker, now_s) and not worker.warned and not worker.ended.is_set():
            worker.warned = True
            log.warning(
                "worker silent: it is stopped, or has no processor",
                worker=worker.number,
                silent_s=round(now_s - worker.last_message_s, 1),
                devices=worker.snapshot.devices,
            )
        if now_s - max(self._ends_s, worker.last_message_s) <= self._patience_s or worker.ended.is_set():
            return
        if worker.result is None and worker.failure is None:
            worker.failure = (
                f"worker {worker.number} did not end, and said nothing for {now_s - worker.last_message_s:.0f} s: "
                "it was killed, its devices are unaccounted for"
            )
        assert worker.handle
        await worker.handle.close(ended=False)
        # Whether or not it can still be heard of.
        self._end(worker)

    async def _clean_up(self) -> None:
        self._is_over = True
        for worker in self.statuses:
            if worker.handle:
                await worker.handle.close(ended=worker.ended.is_set())


async def _wait_for_first(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
