"""Devices of several processes on a real Mosquitto: commands reach each; a frozen process is noticed, and returns."""

import asyncio
import math
import os
import signal
from collections.abc import Callable

import pytest

from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgefleet.embedded import MosquittoProcess
from edgefleet.launch.processes import ProcessLauncher
from edgefleet.launch.shard import ShardJob
from edgefleet.launch.worker_status import WorkerState
from edgefleet.launch.workers import Workers
from edgewire.messages import Status
from edgewire.mqtt import Version
from tests.devices.fleet.observer import Observer, assert_books_balance, observing
from tests.waiting import eventually

pytestmark = pytest.mark.services

WORKERS = 3
NAMES = [f"bme280-{number:04d}" for number in range(1, 13)]
# Every n-th device is in the same process.
FROZEN, OTHERS = NAMES[1::WORKERS], NAMES[0::WORKERS] + NAMES[2::WORKERS]


async def test_commands_reach_every_worker_and_a_frozen_one_returns(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    broker, stop = mosquitto_factory(), asyncio.Event()
    scenario = Scenario(
        broker=broker.url,
        keep_alive="2s",
        reconnect={"base": "100ms", "cap": "500ms"},
        devices=[{"kind": "bme280", "count": len(NAMES), "interval": "500ms"}],
    )
    job = ShardJob(scenario=scenario, name="test", version=Version.V5, shard=Shard(), duration_s=math.inf)
    workers = Workers(job, WORKERS, ProcessLauncher("critical"))
    with observing(broker) as observer:
        running = asyncio.create_task(workers.run_workers(stop))
        try:
            await eventually(lambda: all(observer.states(name) == ["online"] for name in NAMES), "all are online")
            await eventually(lambda: all(observer.of(name, "telemetry") for name in NAMES), "first readings")
            await each_worker_obeys(observer)
            await a_frozen_worker_is_gone_and_returns(observer, workers)
        finally:
            stop.set()
            record = (await running).record
        await eventually(lambda: all(observer.states(name)[-1] == "offline" for name in NAMES), "goodbye")
    assert record.failures == []
    assert_books_balance(record, observer)
    for name in NAMES:
        (seqs,) = observer.seqs(name).values()
        # What was not acknowledged before comes twice, as QoS 1 has it.
        assert sorted(set(seqs)) == list(range(max(seqs) + 1))


async def each_worker_obeys(observer: Observer) -> None:
    for name in NAMES[:WORKERS]:
        order = {"id": f"faster-{name}", "action": "set_interval", "arguments": {"interval": "250ms"}}
        observer.send_command(f"edge/default/bme280/{name}/cmd", order)
    for name in NAMES[:WORKERS]:
        assert (await observer.result(name, f"faster-{name}"))["data"] == {"interval": "250ms"}


async def a_frozen_worker_is_gone_and_returns(observer: Observer, workers: Workers) -> None:
    pid = workers.statuses[1].handle.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        await eventually(lambda: all(observer.states(name) == ["online", "offline"] for name in FROZEN), "every will")
        await eventually(lambda: workers.snapshots()[1][0] is WorkerState.SILENT, "the parent notices")
        before = {name: newest(observer, name) for name in FROZEN}
        assert [observer.states(name) for name in OTHERS] == [["online"]] * len(OTHERS)
    finally:
        os.kill(pid, signal.SIGCONT)
    await eventually(
        lambda: all(observer.states(name) == ["online", "offline", "online"] for name in FROZEN), "all return"
    )
    for name in FROZEN:
        boots = {Status.model_validate_json(one.payload).boot for one in observer.of(name, "status")}
        assert boots == set(observer.seqs(name)), "what was frozen was not reset"
        await eventually(lambda name=name: newest(observer, name) > before[name] + 10, "readings again")


def newest(observer: Observer, name: str) -> int:
    return max(max(seqs) for seqs in observer.seqs(name).values())
