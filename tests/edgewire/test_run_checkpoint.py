"""A checkpoint says what the record would, in pieces that can be joined without being read."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from edgewire.errors import ConfigError
from edgewire.run_checkpoint import RunCheckpoint
from edgewire.run_record import DeviceRecord, RunRecord, UnaccountedPart, write_record
from tests.run_records import run_record, small_record


def test_what_is_in_a_checkpoint_is_what_the_record_says(tmp_path: Path) -> None:
    record = small_record()
    record.devices[0].refused = {"not authorized": [(2, 3)]}
    record.devices[0].unacknowledged = record.devices[0].unsent = [(9, 9)]
    record.limits = {"duration_s": 60.0}
    checkpoint = RunCheckpoint.of(record)
    expected = replace(record, state="running")
    assert checkpoint.to_record() == expected
    write_record(tmp_path, checkpoint.to_bytes())
    assert RunRecord.load(tmp_path) == expected
    written, saved = orjson.loads(checkpoint.to_bytes()), orjson.loads(record.save(tmp_path).read_bytes())
    assert written["totals"] == saved["totals"]
    assert written.keys() == saved.keys() - {"refused"}


@pytest.mark.parametrize("empty", [False, True], ids=["with devices", "of a part that has none"])
def test_parts_are_joined_with_what_failed(*, empty: bool) -> None:
    one = run_record(DeviceRecord(device_id="b-1", kind="bme280", site="s", boot=7, first_seq=0, last_seq=4))
    other = run_record(*([] if empty else [DeviceRecord(device_id="b-2", kind="bme280", site="s", boot=7)]))
    one.shards, other.shards = [(0, 3)], [(1, 3)]
    lost = UnaccountedPart(name="worker 2", shard=(2, 3), reason="it died", device_ids=["b-3"])
    checkpoint = RunCheckpoint.join([RunCheckpoint.of(one), RunCheckpoint.of(other)], [(0, 1)], [lost])
    joined = checkpoint.to_record()
    assert checkpoint.totals == joined.totals, "also what is nothing"
    assert [device.device_id for device in joined.devices] == ["b-1", "b-2"][: 1 if empty else 2]
    assert (joined.state, joined.shards, joined.unaccounted) == ("running", [(0, 1)], [lost])
    assert joined.totals["emitted"] == 5


def test_one_that_contradicts_itself_is_refused() -> None:
    twice = RunCheckpoint.of(run_record(*small_record().devices, small_record().devices[0]))
    with pytest.raises(ValueError, match="is there twice"):
        twice.to_record()


def test_parts_of_different_runs_are_not_joined() -> None:
    parts = [RunCheckpoint.of(replace(small_record(), shards=[(index, 2)], seed=index)) for index in (0, 1)]
    with pytest.raises(ConfigError, match="not of one run"):
        RunCheckpoint.join(parts, [(0, 1)], [])
