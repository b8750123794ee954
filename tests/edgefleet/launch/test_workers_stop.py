"""Workers that die, hang or are signalled while a run begins or ends: it ends all the same, and says what happened."""

import asyncio
import contextlib
import math
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import psutil
import pytest

from devices.fleet.metrics import FleetSnapshot, Gauges, KindGauges
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgefleet.launch.launcher import OnWorkerMessage, WorkerFailed, WorkerReady
from edgefleet.launch.processes import LocalProcess, ProcessLauncher
from edgefleet.launch.shard import ShardJob, ShardResult, starting_checkpoint
from edgefleet.launch.worker_status import WorkerLimits, WorkerState
from edgefleet.launch.workers import Workers
from edgefleet.report.fleet_metrics import FleetCollector
from edgefleet.report.run_summary import has_failed
from edgefleet.verify import Outcome, verify
from edgewire import logs
from edgewire.clock import SystemClock
from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.mqtt import Version
from edgewire.run_checkpoint import RunCheckpoint
from tests.run_records import small_record
from tests.waiting import eventually

JOB = ShardJob(
    scenario=Scenario(devices=[{"kind": "bme280", "count": 2}]), name="test", version=Version.V5, shard=Shard()
)


QUICK = WorkerLimits(silent_s=0.05, patience_s=0.2, drain_s=0.0)


class WorkerHandle:
    """A worker that is told things, and may do nothing about them."""

    def __init__(self, on_message: OnWorkerMessage, *, obeys: bool, ends: bool) -> None:
        self.say = on_message
        self._obeys = obeys
        self._ends = ends
        self.killed = False
        self.told: list[str] = []
        self.job: ShardJob | None = None

    def start_job(self, job: ShardJob) -> None:
        self.job = job
        self.say(FleetSnapshot(devices=1, connected=1, kinds=KindGauges({"gps": Gauges(devices=1, connected=1)})))
        if self._ends:
            self.say(ShardResult(record=small_record(), labels=[], final=FleetSnapshot(devices=1, connected=1)))
            self.say(None)

    def request_stop(self, *, at_once: bool = False) -> None:
        self.told.append("at once" if at_once else "stop")
        if self._obeys and not at_once:
            self.say(WorkerFailed("it was stopped"))
            self.say(None)

    def exit_description(self) -> str:
        return ""

    async def close(self, *, ended: bool) -> None:
        # One that the kernel holds back is not even heard of when it is killed.
        self.killed = self.killed or not ended


class Launcher:
    """Worker 0 obeys, and with `ends` comes to its end at once; no other does anything."""

    def __init__(self, *, ready: int = 99, ends: bool = False, per_core: float = 1.0) -> None:
        self._per_core = per_core
        self.handles: list[WorkerHandle] = []
        self._ready = ready
        self._ends = ends

    def launch_worker(self, number: int, on_message: OnWorkerMessage) -> WorkerHandle:
        self.handles.append(WorkerHandle(on_message, obeys=number == 0, ends=self._ends and number == 0))
        if number < self._ready:
            on_message(WorkerReady())
        return self.handles[-1]

    def workers_per_core(self, count: int) -> float:
        return self._per_core


class JumpingClock(SystemClock):
    """Goes on while nothing runs, as for a process that has been stopped."""

    jump_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.jump_s


async def test_a_worker_that_neither_ends_nor_speaks_is_killed_and_named() -> None:
    """As one that was stopped by SIGSTOP."""
    launcher, stop = Launcher(), asyncio.Event()
    stop.set()
    async with asyncio.timeout(5):
        result = await Workers(JOB, 2, launcher, limits=QUICK).run_workers(stop)
    assert [handle.killed for handle in launcher.handles] == [False, True]
    first, second = result.record.failures
    assert first == "worker 0: it was stopped"
    assert second.startswith("worker 1 did not end, and said nothing")


async def test_where_all_workers_fail_there_is_a_record_that_says_so() -> None:
    """Also of a run of which nothing was known yet."""
    launcher, stop = Launcher(), asyncio.Event()
    stop.set()
    result = await Workers(JOB, 2, launcher, limits=QUICK).run_workers(stop)
    record = result.record
    record.check()
    assert (record.state, record.shards, record.scenario_devices, record.run_id) == (
        "complete",
        [(0, 1)],
        2,
        JOB.run_id,
    )
    assert [part.device_ids for part in record.unaccounted] == [["bme280-0001"], ["bme280-0002"]]
    assert (result.final.devices, record.limited_by) == (2, "none"), "they were connected to the last"
    assert record.verdict.startswith("Failed: worker 0: it was stopped.")
    assert "Nothing was the limit" not in record.verdict
    assert has_failed(record)
    assert verify(record, http=[]).outcome is Outcome.INCOMPLETE


async def test_a_run_that_has_sent_nothing_yet_is_incomplete() -> None:
    record = starting_checkpoint(replace(JOB, from_ms=10**12, shard=Shard(1, 2))).to_record()
    assert (record.state, record.sim_started_ms, record.fixed_boots, record.shards) == (
        "running",
        10**12,
        True,
        [(1, 2)],
    )
    verdict = verify(record, http=[])
    assert verdict.outcome is Outcome.INCOMPLETE
    assert "checkpoint" in verdict.untold[0]
    assert verdict.untold[-1] == "1 device of the scenario: in no record"


async def test_whoever_asks_twice_does_not_wait_for_a_frozen_worker() -> None:
    launcher, stop, at_once = Launcher(ends=True), asyncio.Event(), asyncio.Event()
    stop.set()
    run = Workers(JOB, 2, launcher, limits=WorkerLimits(silent_s=0.05, patience_s=60))
    running = asyncio.create_task(run.run_workers(stop, at_once))
    await asyncio.sleep(0.1)
    assert (launcher.handles[1].told, running.done()) == (["stop"], False)
    at_once.set()
    async with asyncio.timeout(5):
        result = await running
    assert launcher.handles[1].told == ["stop", "at once"]
    assert len(result.record.failures) == 1


@pytest.mark.parametrize(("per_core", "share"), [(0.5, 1.0), (1.0, 1.0), (8.0, 0.125)])
async def test_a_worker_knows_which_part_of_a_core_it_has(per_core: float, share: float) -> None:
    launcher, stop = Launcher(per_core=per_core), asyncio.Event()
    running = asyncio.create_task(Workers(JOB, 1, launcher, limits=QUICK).run_workers(stop))
    await eventually(lambda: bool(launcher.handles) and launcher.handles[0].job is not None)
    job = launcher.handles[0].job
    assert job is not None
    assert job.core_share == share
    stop.set()
    await running


async def test_what_a_dead_worker_had_said_of_its_devices_is_in_the_record() -> None:
    record = small_record()
    parts = [replace(record, shards=[(number, 2)], devices=record.devices[number::2]) for number in range(2)]
    written: asyncio.Queue[RunCheckpoint] = asyncio.Queue()
    launcher = Launcher()
    run = Workers(JOB, 2, launcher, limits=WorkerLimits(), on_checkpoint=written.put, first_checkpoint_s=0.01)
    running = asyncio.create_task(run.run_workers(asyncio.Event()))
    await asyncio.sleep(0.05)
    first, second = launcher.handles
    first.say(RunCheckpoint.of(parts[0]))
    async with asyncio.timeout(5):
        early = (await written.get()).to_record()
        assert (early.state, early.shards, len(early.devices)) == ("running", [(0, 1)], 2)
        assert [part.reason for part in early.unaccounted] == ["worker 1 had not said anything of its devices"]
        second.say(RunCheckpoint.of(parts[1]))
        second.say(None)
        first.say(ShardResult(record=parts[0], labels=[], final=FleetSnapshot(devices=2)))
        first.say(None)
        result = await running
    assert sorted(device.device_id for device in result.record.devices) == ["b-1", "g-1", "p-1"]
    assert [part.reason for part in result.record.unaccounted] == result.record.failures
    assert result.record.failures == ["worker 1 died, its devices are unaccounted for"]


@pytest.mark.parametrize("duration_s", [0.1, math.inf], ids=["its duration is over", "all others have ended"])
async def test_a_frozen_worker_does_not_keep_a_run_from_ending(duration_s: float) -> None:
    launcher = Launcher(ends=True)
    async with asyncio.timeout(5):
        run = Workers(replace(JOB, duration_s=duration_s), 2, launcher, limits=QUICK)
        result = await run.run_workers(asyncio.Event())
    assert [handle.killed for handle in launcher.handles] == [False, True]
    (failure,) = result.record.failures
    assert failure.startswith("worker 1 did not end, and said nothing for 0 s: it was killed, its devices are unacc")
    assert result.record.verdict.startswith("Failed: worker 1 did not end")
    assert "Nothing was the limit" not in result.record.verdict


async def test_a_silent_worker_is_seen_and_may_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    launcher, stop = Launcher(), asyncio.Event()
    limits = WorkerLimits(silent_s=0.05, patience_s=60)
    run = Workers(JOB, 2, launcher, limits=limits)
    running = asyncio.create_task(run.run_workers(stop))
    async with asyncio.timeout(5):
        while [state for state, _ in run.snapshots()] != [WorkerState.RUNNING, WorkerState.SILENT]:
            await asyncio.sleep(0.01)
            if launcher.handles:
                kinds = KindGauges({"gps": Gauges(devices=1, connected=1)})
                launcher.handles[0].say(FleetSnapshot(devices=1, connected=1, kinds=kinds))
        assert FleetSnapshot.total(snapshot for _, snapshot in run.snapshots()).connected == 1
        metrics = {metric.name: metric for metric in FleetCollector(run.snapshots).collect()}
        assert [sample.value for sample in metrics["edgefleet_worker_up"].samples] == [1, 0]
        assert metrics["edgefleet_connected"].samples[0].value == 1
        said = ""
        while "worker silent" not in said:
            await asyncio.sleep(0.01)
            said += capsys.readouterr().err
        assert '"worker": 1' in said
        for handle in launcher.handles:
            handle.say(FleetSnapshot(devices=1, connected=1))
        assert [state for state, _ in run.snapshots()] == [WorkerState.RUNNING] * 2
        assert "worker speaks again" in capsys.readouterr().err
        for handle in launcher.handles:
            handle.say(ShardResult(record=small_record(), labels=[], final=FleetSnapshot(devices=1)))
            handle.say(None)
        with contextlib.suppress(ConfigError):  # two records of the same devices, which is not what this is about
            await running
    assert [worker.failure for worker in run.statuses] == [None, None]


async def test_whoever_was_stopped_itself_blames_nobody() -> None:
    """Ctrl-Z stops all processes of a terminal, and `fg` continues them."""
    clock, launcher, stop = JumpingClock(), Launcher(), asyncio.Event()
    run = Workers(
        replace(JOB, duration_s=0.0), 2, launcher, clock, WorkerLimits(silent_s=0.4, patience_s=60, drain_s=0)
    )
    running = asyncio.create_task(run.run_workers(stop))
    async with asyncio.timeout(5):
        await asyncio.sleep(0.05)
        assert len(launcher.handles) == 2
        clock.jump_s = 1000.0
        await asyncio.sleep(0.15)
        assert [worker.warned for worker in run.statuses] == [False, False]
        assert not any(handle.killed for handle in launcher.handles)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_worker_that_does_not_come_up_is_named() -> None:
    launcher = Launcher(ready=1)
    with pytest.raises(ServiceUnavailable, match=r"the run did not begin: worker 1 did not come up within 0 s; ask"):
        async with asyncio.timeout(5):
            await Workers(JOB, 2, launcher, limits=QUICK).run_workers(asyncio.Event())
    assert [handle.killed for handle in launcher.handles] == [True, True]


async def test_a_worker_that_cannot_be_started_is_named_and_the_others_end() -> None:
    class Full(Launcher):
        def launch_worker(self, number: int, on_message: OnWorkerMessage) -> WorkerHandle:
            if number == 1:
                raise BlockingIOError(11, "Resource temporarily unavailable")
            return super().launch_worker(number, on_message)

    launcher = Full()
    with pytest.raises(ServiceUnavailable, match=r"worker 1 cannot be started: .*unavailable; ask for fewer --workers"):
        await Workers(JOB, 2, launcher, limits=QUICK).run_workers(asyncio.Event())
    assert [handle.killed for handle in launcher.handles] == [True]


async def test_workers_that_are_let_go_are_no_failures() -> None:
    launcher, stop = Launcher(ready=0), asyncio.Event()
    run = Workers(JOB, 2, launcher)
    stop.set()
    with pytest.raises(ServiceUnavailable, match="the run was stopped before it began"):
        await run.run_workers(stop)
    assert [worker.failure for worker in run.statuses] == [None, None]


@pytest.mark.slow
async def test_a_process_that_starts_hears_no_ctrl_c_and_one_that_has_died_can_be_told_anything() -> None:
    """All processes of a terminal get Ctrl-C, and the parent alone says when to end."""
    loop = asyncio.get_running_loop()
    heard = {kind: loop.create_future() for kind in (WorkerReady, type(None))}
    handle = ProcessLauncher("critical").launch_worker(0, lambda said: heard[type(said)].set_result(None))
    os.kill(handle.process.pid, signal.SIGINT)
    async with asyncio.timeout(60):
        await heard[WorkerReady]
        handle.process.kill()
        handle.process.join()
        handle.start_job(JOB)
        handle.request_stop()
        await heard[type(None)]
    await handle.close(ended=True)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process is forked from another")
async def test_workers_are_forked_from_one_process_that_outlives_a_sigterm_to_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a service is stopped with reaches all of its processes, and the end of a worker is heard of through that."""
    parents = set()
    for code in ("3", "4"):
        # It has the environment of now, not that of the process that it is forked from.
        monkeypatch.setenv("EXIT_CODE", code)
        ended = asyncio.Event()
        handle = ProcessLauncher("critical").launch_worker(0, lambda said, e=ended: None if said else e.set())  # type: ignore[misc]
        parent = psutil.Process(handle.process.pid).parent()
        assert parent is not None
        parents.add(parent.pid)
        parent.send_signal(signal.SIGTERM)
        handle.start_job(EndByEnvironment())  # type: ignore[arg-type]
        async with asyncio.timeout(60):
            await ended.wait()
        assert handle.exit_description() == f" with exit code {code}"
        await handle.close(ended=True)
    assert len(parents) == 1
    assert os.getpid() not in parents


@pytest.mark.slow
async def test_where_nothing_can_be_forked_from_each_worker_is_started_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_folder() -> None:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("multiprocessing.forkserver.ensure_running", no_folder)
    ready = asyncio.Event()
    handle = ProcessLauncher("critical").launch_worker(0, lambda said: ready.set() if said else None)
    parent = psutil.Process(handle.process.pid).parent()
    assert parent is not None
    assert parent.pid == os.getpid()
    async with asyncio.timeout(60):
        await ready.wait()
    await handle.close(ended=False)


class EndByEnvironment:
    """A job that ends whoever reads it, with an exit code of the environment."""

    def __reduce__(self) -> tuple[Callable[[], NoReturn], tuple[()]]:
        return end_by_environment, ()


def end_by_environment() -> NoReturn:
    os._exit(int(os.environ["EXIT_CODE"]))


class NeverReady(ProcessLauncher):
    """Does not hear that a worker is ready, which it may be sooner than it can be killed."""

    def launch_worker(self, number: int, on_message: OnWorkerMessage) -> LocalProcess:
        return super().launch_worker(
            number, lambda message: None if isinstance(message, WorkerReady) else on_message(message)
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kills", "said"), [((3, 4), "died of SIGKILL, sent by the kernel"), ((3, 3), "died of SIGKILL, its")]
)
async def test_a_worker_that_the_kernel_kills_for_want_of_memory_is_named_so(kills: tuple[int, int], said: str) -> None:
    counts = iter(kills)
    launcher = NeverReady("critical", lambda: next(counts))
    run = Workers(JOB, 1, launcher)
    running = asyncio.create_task(run.run_workers(asyncio.Event()))
    await asyncio.sleep(0)
    handle = run.statuses[0].handle
    assert isinstance(handle, LocalProcess)
    handle.process.kill()
    with pytest.raises(ServiceUnavailable, match=f"the run did not begin: worker 0 {said}"):
        await running
