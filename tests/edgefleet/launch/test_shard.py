"""A part of a fleet, as every launcher runs it."""

import asyncio
import gc
import resource
import sys
import time
from dataclasses import replace

import pytest

from devices.fleet.fleet import Fleet
from devices.fleet.metrics import FleetSnapshot
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgefleet.launch import shard
from edgefleet.launch.process_tuning import GC_THRESHOLDS, tuned_process
from edgefleet.launch.shard import ShardJob, combine, run_shard
from edgewire.clock import SystemClock
from edgewire.mqtt import Version
from edgewire.run_checkpoint import RunCheckpoint


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


async def test_nothing_is_said_of_devices_before_their_first_readings_are_due() -> None:
    """A large fleet connects then, and what it lacks is in the record since the start."""
    scenario = Scenario(devices=[{"kind": "bme280", "count": 1}])
    said: list[int] = []
    clock = SystemClock()
    started_ms = clock.now_ms() + 300

    async def keep(_: RunCheckpoint) -> None:
        said.append(clock.now_ms())

    job = ShardJob(
        scenario=scenario,
        name="test",
        version=Version.V5,
        shard=Shard(1, 2),
        duration_s=0.2,
        started_ms=started_ms,
        core_share=0.1,
    )
    await run_shard(job, asyncio.Event(), on_checkpoint=keep)
    assert said
    assert min(said) >= started_ms


def test_a_run_begins_later_by_the_time_for_connecting_alone() -> None:
    scenario = Scenario(devices=[{"kind": "bme280", "count": 5000}])
    job = ShardJob(scenario=scenario, name="test", version=Version.V5, shard=Shard())
    later = replace(job, connect_first_ms=45_000)
    for shards, per_core in ((1, 1.0), (4, 2.0)):
        assert later.lead_ms(shards, per_core) - job.lead_ms(shards, per_core) == 45_000
        assert job.lead_ms(shards, per_core) > 300


@pytest.mark.parametrize("fails", [False, True])
async def test_whoever_runs_a_part_as_a_library_has_its_process_back(
    monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 200), hard))
    try:
        before = settings()
        meanwhile: list[object] = []

        def labels(_: Fleet) -> list[object]:
            meanwhile.append(settings())
            if fails:
                raise RuntimeError("a mistake")
            return []

        monkeypatch.setattr(Fleet, "labels", labels)
        scenario = Scenario(devices=[{"kind": "bme280", "count": 1}])
        job = ShardJob(scenario=scenario, name="test", version=Version.V5, shard=Shard(1, 2), duration_s=0)
        (outcome,) = await asyncio.gather(run_shard(job, asyncio.Event()), return_exceptions=True)
        assert isinstance(outcome, RuntimeError) is fails
        assert meanwhile == [((hard, hard), GC_THRESHOLDS, 0.0005)]
        assert settings() == before
        assert gc.get_freeze_count() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_last_of_several_parts_puts_the_settings_back() -> None:
    before = settings()
    first, second = tuned_process(), tuned_process()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold() == GC_THRESHOLDS
    second.__exit__(None, None, None)
    assert settings() == before


def settings() -> tuple[tuple[int, int], tuple[int, int, int], float]:
    return resource.getrlimit(resource.RLIMIT_NOFILE), gc.get_threshold(), round(sys.getswitchinterval(), 6)
