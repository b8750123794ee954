"""Workers that die, hang or are signalled while a run begins or ends: it ends all the same, and says what happened."""

import asyncio
import os
import signal

import pytest

from devices.fleet.metrics import FleetSnapshot
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgefleet.launch import workers
from edgefleet.launch.processes import ProcessLauncher
from edgefleet.launch.shard import ShardJob
from edgefleet.launch.workers import OnWorkerMessage, WorkerFailed, WorkerReady, Workers
from edgewire.errors import ServiceUnavailable
from edgewire.mqtt import Version

JOB = ShardJob(
    scenario=Scenario(devices=[{"kind": "bme280", "count": 2}]), name="test", version=Version.V5, shard=Shard()
)


class WorkerHandle:
    """A worker that is told things, and may do nothing about them."""

    def __init__(self, on_message: OnWorkerMessage, *, obeys: bool) -> None:
        self._on_message = on_message
        self._obeys = obeys
        self.killed = False

    def start_job(self, job: ShardJob) -> None:
        self._on_message(FleetSnapshot(devices=1))

    def request_stop(self) -> None:
        if self._obeys:
            self._on_message(WorkerFailed("it was stopped"))
            self._on_message(None)

    def exit_description(self) -> str:
        return ""

    async def close(self, *, ended: bool) -> None:
        if not ended:
            self.killed = True
            self._on_message(None)


class Launcher:
    def __init__(self, *, ready: bool = True) -> None:
        self.handles: list[WorkerHandle] = []
        self._ready = ready

    def launch_worker(self, number: int, on_message: OnWorkerMessage) -> WorkerHandle:
        self.handles.append(WorkerHandle(on_message, obeys=number == 0))
        if self._ready:
            on_message(WorkerReady())
        return self.handles[-1]

    def workers_per_core(self, count: int) -> float:
        return 1.0


async def test_a_worker_that_neither_ends_nor_speaks_is_killed_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that was stopped by SIGSTOP."""
    monkeypatch.setattr(workers, "GIVE_UP_S", 0.1)
    launcher, stop = Launcher(), asyncio.Event()
    stop.set()
    run = Workers(JOB, 2, launcher)
    with pytest.raises(ServiceUnavailable, match="worker 0: it was stopped; worker 1 did not end, and said nothing"):
        async with asyncio.timeout(5):
            await run.run_workers(stop)
    assert [handle.killed for handle in launcher.handles] == [False, True]


async def test_workers_that_are_let_go_are_no_failures() -> None:
    launcher, stop = Launcher(ready=False), asyncio.Event()
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
    async with asyncio.timeout(20):
        await heard[WorkerReady]
        handle.process.kill()
        handle.process.join()
        handle.start_job(JOB)
        handle.request_stop()
        await heard[type(None)]
    await handle.close(ended=True)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
