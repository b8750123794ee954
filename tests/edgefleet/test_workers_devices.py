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
from edgefleet.launch.processes import Processes
from edgefleet.launch.shard import ShardJob
from edgefleet.launch.workers import Workers
from edgewire.messages import Status
from edgewire.mqtt import Version
from tests.devices.fleet.judge import Judge, assert_books_balance, judging, until

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
    workers = Workers(job, WORKERS, Processes("critical"))
    with judging(broker) as judge:
        running = asyncio.create_task(workers.run(stop))
        try:
            await until(lambda: all(judge.states(name) == ["online"] for name in NAMES), "all are online")
            await until(lambda: all(judge.of(name, "telemetry") for name in NAMES), "first readings")
            await each_worker_obeys(judge)
            await a_frozen_worker_is_gone_and_returns(judge, workers)
        finally:
            stop.set()
            record = (await running).record
        await until(lambda: all(judge.states(name)[-1] == "offline" for name in NAMES), "goodbye")
    assert record.failures == []
    assert_books_balance(record, judge)
    for name in NAMES:
        (seqs,) = judge.seqs(name).values()
        # What was not acknowledged before comes twice, as QoS 1 has it.
        assert sorted(set(seqs)) == list(range(max(seqs) + 1))


async def each_worker_obeys(judge: Judge) -> None:
    for name in NAMES[:WORKERS]:
        order = {"id": f"faster-{name}", "action": "set_interval", "arguments": {"interval": "250ms"}}
        judge.tell(f"edge/default/bme280/{name}/cmd", order)
    for name in NAMES[:WORKERS]:
        assert (await judge.answer(name, f"faster-{name}"))["data"] == {"interval": "250ms"}


async def a_frozen_worker_is_gone_and_returns(judge: Judge, workers: Workers) -> None:
    pid = workers.all[1].hand.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        await until(lambda: all(judge.states(name) == ["online", "offline"] for name in FROZEN), "every will")
        await until(lambda: workers.parts()[1][0].startswith("silent for"), "the parent notices")
        before = {name: newest(judge, name) for name in FROZEN}
        assert [judge.states(name) for name in OTHERS] == [["online"]] * len(OTHERS)
    finally:
        os.kill(pid, signal.SIGCONT)
    await until(lambda: all(judge.states(name) == ["online", "offline", "online"] for name in FROZEN), "all return")
    for name in FROZEN:
        boots = {Status.model_validate_json(one.payload).boot for one in judge.of(name, "status")}
        assert boots == set(judge.seqs(name)), "what was frozen was not reset"
        await until(lambda name=name: newest(judge, name) > before[name] + 10, "readings again")


def newest(judge: Judge, name: str) -> int:
    return max(max(seqs) for seqs in judge.seqs(name).values())
