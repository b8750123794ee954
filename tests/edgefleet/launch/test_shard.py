"""A part of a fleet, as every launcher runs it."""

import asyncio
import time

import pytest

from devices.fleet.fleet import Fleet
from devices.fleet.metrics import FleetSnapshot
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgefleet.launch import shard
from edgefleet.launch.shard import ShardJob, combine, run_shard
from edgewire.mqtt import Version


async def test_a_part_may_have_no_devices() -> None:
    """More workers or pods than devices are no mistake."""
    scenario = Scenario(
        devices=[{"kind": "bme280", "count": 2}],
        faults=[{"type": "delay", "kind": "bme280", "rate": 24, "duration": [1000, 60000]}],
    )
    job = ShardJob(scenario=scenario, name="test", version=Version.V5, shard=Shard(3, 4), duration_s=0.1)
    result = combine([await run_shard(job, asyncio.Event())])
    assert (result.record.devices, result.labels, result.record.connected_after_s) == ([], [], 0.0)
    assert result.record.limited_by == "none"


async def test_a_part_is_heard_of_until_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is silent after Ctrl-C is taken for one that hangs, and the labels of a long run take a while."""
    said: list[FleetSnapshot] = []
    before: list[int] = []

    def labels(_: Fleet) -> list[object]:
        before.append(len(said))
        deadline = time.monotonic() + 20
        while len(said) <= before[0] + 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return []

    monkeypatch.setattr(shard, "SNAPSHOT_S", 0.01)
    monkeypatch.setattr(Fleet, "labels", labels)
    scenario = Scenario(devices=[{"kind": "bme280", "count": 1}])
    job = ShardJob(scenario=scenario, name="test", version=Version.V5, shard=Shard(1, 2), duration_s=0)
    await run_shard(job, asyncio.Event(), said.append)
    assert len(said) > before[0] + 2
