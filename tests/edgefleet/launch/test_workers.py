"""A run in several processes: the same messages however many there are, and a death that does not go unnoticed."""

import asyncio
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import paho.mqtt.client as mqtt
import pytest
import uvloop

from devices.fleet.steering import DeviceSelection, EndFaults
from devices.scenario.devices import Shard, device_ids
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from edgefleet.embedded import MosquittoProcess
from edgefleet.launch.processes import ProcessLauncher
from edgefleet.launch.shard import ShardJob, ShardResult, combine, run_shard
from edgefleet.launch.workers import Workers
from edgewire.clock import parse_ms
from edgewire.errors import ServiceUnavailable
from edgewire.mqtt import Version
from tests.processes import not_outliving
from tests.waiting import eventually

pytestmark = pytest.mark.services

GROUPS = [
    {"kind": "bme280", "count": 12, "interval": "10s"},
    {"kind": "gps", "count": 4, "interval": "5s"},
    {"kind": "traffic", "count": 3, "interval": "10s"},
]


@contextmanager
def listening(*brokers: MosquittoProcess) -> Iterator[list[list[bytes]]]:
    """The payloads of all telemetry that each broker delivers while the block runs."""
    clients = []
    heard: list[list[bytes]] = []
    for broker in brokers:
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        payloads: list[bytes] = []
        client.on_message = lambda _client, _data, message, payloads=payloads: payloads.append(message.payload)
        client.connect(broker.host, broker.port)
        client.subscribe("edge/+/+/+/telemetry", qos=1)
        client.loop_start()
        clients.append(client)
        heard.append(payloads)
    try:
        yield heard
    finally:
        for client in clients:
            client.disconnect()
            client.loop_stop()


def job(*brokers: MosquittoProcess, **changes: object) -> ShardJob:
    scenario = Scenario(
        seed=5, broker=tuple(broker.url for broker in brokers), time_scale=40, devices=GROUPS, connects_per_second=1000
    )
    fixed = {"from_ms": parse_ms("2026-03-04T12:00:00Z"), "power_on_ms": EPOCH_MS, "messages": 3}
    return ShardJob(scenario=scenario, name="test", version=Version.V5, shard=Shard(), **(fixed | changes))


@pytest.mark.long
async def test_the_messages_are_the_same_for_1_2_and_5_workers(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    brokers = mosquitto_factory(), mosquitto_factory()
    said: list[list[list[bytes]]] = []
    for workers in (1, 2, 5):
        with listening(*brokers) as heard:
            if workers == 1:
                result = await run_shard(job(*brokers), asyncio.Event())
            else:
                result = await Workers(job(*brokers), workers, ProcessLauncher("warning")).run_workers(asyncio.Event())
            await eventually(lambda heard=heard: sum(map(len, heard)) >= 57)
        assert result.record.totals == {
            "emitted": 57,
            "acknowledged": 57,
            "sent_qos0": 0,
            "refused": 0,
            "dropped": 0,
            "unsent": 0,
        }
        assert result.final.devices == len(result.record.devices) == 19
        assert result.record.failures == []
        said.append([sorted(payloads) for payloads in heard])
    assert said[0] == said[1] == said[2]
    assert all(len(payloads) > 20 for payloads in said[0]), "both brokers have their share, always the same"


def test_a_result_larger_than_a_pipe_arrives(mosquitto_factory: Callable[[], MosquittoProcess]) -> None:
    """On uvloop, as the command line runs it, where what a loop watches is made non-blocking."""
    scenario = Scenario(broker=mosquitto_factory().url, devices=[{"kind": "bme280", "count": 3000, "interval": "1h"}])
    started = ShardJob(scenario=scenario, name="test", version=Version.V5, shard=Shard(), duration_s=0.2)

    async def run() -> ShardResult:
        async with asyncio.timeout(100):
            return await Workers(started, 2, ProcessLauncher("critical")).run_workers(asyncio.Event())

    result = uvloop.run(run())
    assert result.record.failures == []
    assert len(result.record.devices) == 3000


async def test_a_worker_that_dies_is_reported_and_the_others_go_on(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    broker = mosquitto_factory()
    stop = asyncio.Event()
    endless = job(broker, messages=None)
    all_ids = device_ids(endless.scenario)
    workers = Workers(endless, 2, ProcessLauncher("critical"))
    running = asyncio.create_task(workers.run_workers(stop))
    await eventually(
        lambda: len(workers.statuses) == 2 and all(one.snapshot.acknowledged > 20 for one in workers.statuses)
    )
    workers.statuses[1].handle.process.kill()
    before = workers.statuses[0].snapshot.acknowledged
    await eventually(lambda: workers.statuses[0].snapshot.acknowledged > before + 20)
    await eventually(lambda: [state for state, _ in workers.snapshots()] == ["running", "died"])
    # Whoever ends all processes of a service, as systemd does, ends the worker in order too.
    workers.statuses[0].handle.process.terminate()
    stop.set()
    record = (await running).record
    assert record.failures == ["worker 1 died of SIGKILL, its devices are unaccounted for"]
    assert record.verdict.startswith("Failed: worker 1 died of SIGKILL")
    assert record.connected_after_s is None
    # Its devices as it last spoke of them.
    assert len(record.devices) == 19
    (part,) = record.unaccounted
    assert (part.name, part.shard, part.reason) == ("worker 1", (1, 2), record.failures[0])
    assert sorted(one.device_id for one in record.devices) == sorted(all_ids)
    assert part.device_ids == all_ids[1::2]
    assert (record.shards, record.scenario_devices) == ([(0, 1)], 19)
    others = [one for one in record.devices if one.device_id not in part.device_ids]
    assert sum(one.acknowledged for one in others) == sum(one.emitted for one in others) > before


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such schedules: run it on Linux")
@pytest.mark.parametrize(("per_core", "policy"), [(1.0, "SCHED_OTHER"), (4.0, "SCHED_BATCH")])
async def test_workers_that_share_a_core_do_not_interrupt_each_other(
    mosquitto_factory: Callable[[], MosquittoProcess], per_core: float, policy: str
) -> None:
    class Launcher(ProcessLauncher):
        def workers_per_core(self, count: int) -> float:
            return per_core

    stop = asyncio.Event()
    workers = Workers(job(mosquitto_factory(), messages=None), 1, Launcher("critical"))
    running = asyncio.create_task(workers.run_workers(stop))
    await eventually(lambda: bool(workers.statuses) and workers.statuses[0].snapshot.acknowledged > 0)
    assert os.sched_getscheduler(workers.statuses[0].handle.process.pid) == getattr(os, policy)
    stop.set()
    await running


class Unsendable(str):
    """Text that no other process can be given."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle a socket")


async def test_a_job_that_cannot_be_handed_to_a_process_ends_the_run_at_once(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    started = replace(job(mosquitto_factory()), name=Unsendable("test"))
    async with asyncio.timeout(60):  # and not only when their patience is over
        record = (await Workers(started, 2, ProcessLauncher("critical")).run_workers(asyncio.Event())).record
    why = "its job cannot be handed to a process: TypeError: cannot pickle a socket; run it without --workers"
    assert record.failures == [f"worker {number}: {why}" for number in range(2)]
    assert len(record.unaccounted) == 2


async def test_what_cannot_be_asked_of_a_process_costs_the_run_nothing(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    stop = asyncio.Event()
    workers = Workers(job(mosquitto_factory(), messages=None), 2, ProcessLauncher("critical"))
    running = asyncio.create_task(workers.run_workers(stop))
    await eventually(lambda: len(workers.statuses) == 2 and all(one.snapshot.connected for one in workers.statuses))
    with pytest.raises(ServiceUnavailable, match="cannot be handed to a process: TypeError: cannot pickle a socket"):
        await workers.ask(EndFaults(DeviceSelection(), Unsendable("x")))
    stop.set()
    assert (await running).record.failures == []


PARENT = """
import asyncio, pickle, sys
from edgefleet.launch.processes import ProcessLauncher
from edgefleet.launch.workers import Workers

async def main() -> None:
    workers = Workers(pickle.loads(sys.stdin.buffer.read()), 2, ProcessLauncher("critical"))
    running = asyncio.create_task(workers.run_workers(asyncio.Event()))
    while len(workers.statuses) < 2 or not all(one.snapshot.acknowledged for one in workers.statuses):
        await asyncio.sleep(0.05)
    print(*(one.handle.process.pid for one in workers.statuses), flush=True)
    await running

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_workers_do_not_outlive_the_run_that_started_them(
    tmp_path: Path, mosquitto_factory: Callable[[], MosquittoProcess]
) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, script], **streams) as parent, not_outliving(parent):
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(pickle.dumps(job(mosquitto_factory(), messages=None)))
        parent.stdin.close()
        pids = [int(text) for text in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.kill()
    for _ in range(400):
        if not any(map(_lives, pids)):
            return
        time.sleep(0.05)
    raise AssertionError(f"{pids} are still there")


def _lives(pid: int) -> bool:
    try:
        # A zombie waits only for whoever adopts orphans here.
        return b" Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


def test_where_nothing_is_known_of_any_worker_there_is_no_record() -> None:
    none: list[ShardResult] = []
    with pytest.raises(ServiceUnavailable, match="worker 0 died"):
        combine(none, ["worker 0 died of SIGKILL"])
