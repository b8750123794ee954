"""A part of a fleet, as every launcher runs it."""

import asyncio

from devices.scenario import Scenario
from devices.timeline import Shard
from edgefleet.shard import ShardJob, combine, run_shard
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
