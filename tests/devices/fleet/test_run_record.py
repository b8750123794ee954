"""The account of a fleet, also while it runs: every message of every device is in it once."""

from collections.abc import Callable

import pytest

from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.embedded import MosquittoProcess
from edgewire.run_record import RunRecord, count_seqs
from tests.devices.fleet.observer import conduct
from tests.waiting import eventually

pytestmark = pytest.mark.services


async def test_a_checkpoint_is_a_whole_account_and_disturbs_nothing(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    scenario = Scenario(
        broker=mosquitto_factory().url,
        connects_per_second=1000,
        devices=[{"kind": "gps", "count": 300, "interval": "100ms", "qos": 1}],
    )
    checkpoints: list[RunRecord] = []

    async def script(fleet: Fleet) -> None:
        while len(checkpoints) < 3:
            reached = fleet.snapshot().acknowledged + 300
            await eventually(lambda reached=reached: fleet.snapshot().acknowledged > reached, "more is acknowledged")
            checkpoints.append((await fleet.checkpoint()).to_record())

    final = await conduct(scenario, script)
    assert (final.state, final.totals["unsent"]) == ("complete", 0)
    for before, after in zip(checkpoints, [*checkpoints[1:], final], strict=True):
        before.check()
        assert before.state == "running"
        assert (before.run_id, before.shards, before.scenario_sha256) == (
            final.run_id,
            final.shards,
            final.scenario_sha256,
        )
        assert before.stopped_ms < after.stopped_ms
        assert 0 < before.totals["emitted"] <= after.totals["emitted"]
        assert before.totals["acknowledged"] <= after.totals["acknowledged"]
        for device in before.devices:
            ended = count_seqs([*device.dropped, *device.unsent, *device.refused_ranges])
            assert device.emitted == device.acknowledged + device.sent_qos0 + ended
