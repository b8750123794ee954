"""The run record: written whole, read back the same, and refused where it makes no sense."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from edgewire.errors import ConfigError
from edgewire.run_record import FORMAT, DeviceRecord, RunRecord, TimeChange, UnaccountedPart
from tests.run_records import STARTED_MS, run_record, small_record

STANDBY = {"device_id": "g-1", "kind": "gps", "from_ms": 0, "why": "heard"}
DEVICE = {"device_id": "g-1", "kind": "gps", "site": "s", "boot": 1}


@pytest.fixture
def record() -> RunRecord:
    return small_record()


def test_what_is_saved_is_loaded(record: RunRecord, tmp_path: Path) -> None:
    record.devices[0].dropped = [(2, 4)]
    record.limits = {"duration_s": 60}
    record.unaccounted = [UnaccountedPart(name="worker 1", shard=(1, 2), reason="it died", device_ids=["g-2"])]
    path = record.save(tmp_path / "runs" / "r-1")
    assert path.name == "run.json"
    assert RunRecord.load(path.parent) == record
    assert [entry.name for entry in path.parent.iterdir()] == ["run.json"]


def test_the_file_has_the_sums_for_other_readers(record: RunRecord, tmp_path: Path) -> None:
    record.devices[0].acknowledged = 9
    record.devices[0].dropped = [(2, 4), (7, 7)]
    record.devices[0].refused = {"not authorized (0x87)": [(0, 1)], "packet too large (0x95)": [(8, 8)]}
    written = orjson.loads(record.save(tmp_path).read_bytes())
    assert written["totals"] == {
        "emitted": 17, "acknowledged": 9, "sent_qos0": 0, "refused": 3, "dropped": 4, "unsent": 2
    }  # fmt: skip
    assert written["refused"] == {"gps": {"not authorized (0x87)": 2, "packet too large (0x95)": 1}}
    assert [device["emitted"] for device in written["devices"]] == [10, 7, 0]
    assert written["devices"][2]["first_seq"] is None


def test_a_folder_that_cannot_be_written_is_named(record: RunRecord, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/run\.json: the run record cannot be written"):
        record.save(tmp_path / "file")


def test_a_folder_without_a_record_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigError, match=f"{folder}: there is no run.json; give the folder"):
            RunRecord.load(folder)


@pytest.mark.parametrize("text", ["", '{"run_id": "r', "[]", "{}"])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ConfigError, match=r"run\.json: "):
        RunRecord.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"time_scale": 0}, "time_scale"),
        # JSON has no infinity, so the next who writes it would write nothing.
        ({"time_scale": "1e999"}, "time_scale"),
        ({"connected_after_s": "1e999"}, "connected_after_s"),
        ({"started_ms": "noon"}, "started_ms"),
        # What cannot be written as a date ended whatever had to.
        ({"started_ms": 10**18}, "started_ms"),
        ({"stopped_ms": -(10**17)}, "stopped_ms"),
        ({"time_changes": [{"at_ms": 0, "time_scale": 2}]}, "time_changes: 0 is before 1700000000000"),
        ({"time_changes": [{"at_ms": 1_700_000_000_001, "time_scale": 1e-300}]}, "time_scale"),
        ({"standby": [STANDBY | {"withheld": {"7": [[3, 1]]}}]}, r"standby\[0\].withheld of g-1: 7"),
        ({"standby": [STANDBY | {"withheld": {"a": [[1, 1]]}}]}, r"standby\[0\].withheld of g-1: a"),
        # What devices said since then would be computed again.
        (
            {"powered": [{"shard": [0, 1], "power_on_ms": 0, "begun_ms": 1_699_999_999_999}]},
            r"powered\[0\].begun_ms is before sim_started_ms",
        ),
        ({"devices": [DEVICE | {"acknowledged": -5}]}, r"devices\[0\]\.acknowledged"),
        ({"devices": [DEVICE | {"first_seq": -5, "last_seq": -1}]}, r"devices\[0\]\.first_seq"),
        ({"devices": [{"device_id": "d"}]}, r"devices\[0\]\.kind' is missing"),
    ],
)
def test_a_record_of_the_wrong_shape_names_the_key(
    record: RunRecord, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    path = record.save(tmp_path)
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | change))
    with pytest.raises(ConfigError, match=reason):
        RunRecord.load(tmp_path)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"first_seq": 0, "last_seq": None}, "only one of"),
        ({"first_seq": 9, "last_seq": 5}, "first_seq 9 comes after last_seq 5"),
        ({"dropped": [(4, 3)]}, "4..3"),
        ({"dropped": [(0, 3)], "unsent": [(3, 5)]}, "overlaps"),
        ({"unsent": [(8, 12)]}, "never emitted"),
        ({"dropped": [(0, 1)], "first_seq": 1}, "never emitted"),
        ({"dropped": [(0, 1)], "first_seq": None, "last_seq": None}, "never emitted"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(
    record: RunRecord, tmp_path: Path, fields: dict[str, Any], reason: str
) -> None:
    sound = {"device_id": "d", "kind": "gps", "site": "s", "boot": 1, "first_seq": 0, "last_seq": 9}
    record.devices.append(DeviceRecord(**(sound | fields)))
    record.save(tmp_path)
    with pytest.raises(ConfigError, match=rf"devices\[3\] \(d, boot 1\): .*{reason}"):
        RunRecord.load(tmp_path)


def test_a_boot_that_is_there_twice_is_refused(record: RunRecord, tmp_path: Path) -> None:
    record.devices.append(record.devices[0])
    record.save(tmp_path)
    with pytest.raises(ConfigError, match="is there twice"):
        RunRecord.load(tmp_path)


def test_the_records_of_shards_are_joined() -> None:
    one = run_record(DeviceRecord(device_id="b-2", kind="bme280", site="s", boot=7, first_seq=0, last_seq=1))
    other = run_record(DeviceRecord(device_id="b-1", kind="bme280", site="s", boot=7, first_seq=0, last_seq=4))
    one.shards, other.shards = [(0, 2)], [(1, 2)]
    one.faults, other.faults, other.failures = {"stuck": 2}, {"stuck": 1, "spike": 1}, ["worker 1 died"]
    other.broker, other.stopped_ms = "mqtt://10.0.0.2:1883", other.stopped_ms + 5
    joined = RunRecord.join([one, other])
    assert [device.device_id for device in joined.devices] == ["b-1", "b-2"]
    assert joined.totals["emitted"] == 7
    assert joined.missing_shards() == []
    assert joined.faults == {"stuck": 3, "spike": 1}
    assert joined.failures == ["worker 1 died"]
    assert joined.broker == "mqtt://127.0.0.1:1883, mqtt://10.0.0.2:1883"
    assert (joined.started_ms, joined.stopped_ms) == (one.started_ms, other.stopped_ms)
    assert RunRecord.join([one]) is one


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 2}, "not of one run: seed is 1 and 2"),
        ({"sim_started_ms": 0}, "devices' time began at 2023-.* and at 1970-.*; give all shards the same --from"),
        ({"scenario": "other.yaml"}, "scenario is 'fleet.yaml' and 'other.yaml'"),
        ({"scenario_devices": 4}, "scenario_devices is None and 4"),
        ({"shards": [(0, 2)]}, "two are of shard 0/2; give each once"),
        ({"shards": [(1, 3)]}, "one is of shard 0/2, another of 1/3"),
        (
            {"run_id": "r-2", "started_ms": STARTED_MS + 60_001, "stopped_ms": STARTED_MS + 90_000},
            r"r-1 had ended at 2027-01-15T08:01:00\.000Z, and r-2 began at 2027-01-15T08:01:00\.001Z",
        ),
        ({}, "not of different shards: devices"),
    ],
)
def test_records_that_do_not_belong_together_are_refused(record: RunRecord, change: dict[str, Any], said: str) -> None:
    record.shards = [(0, 2)]
    with pytest.raises(ConfigError, match=said):
        RunRecord.join([record, replace(record, **({"shards": [(1, 2)]} | change))])


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_shards_that_began_apart_are_joined_and_each_keeps_its_times(record: RunRecord, order: slice) -> None:
    """As those do that are started by hand on two machines, with the same `--from`."""
    one = replace(record, shards=[(0, 2)], devices=record.devices[:1])
    other = replace(record, shards=[(1, 2)], devices=record.devices[1:], run_id="r-2", started_ms=STARTED_MS + 7_000)
    joined = RunRecord.join([one, other][order])
    assert (joined.started_ms, joined.sim_started_ms) == (STARTED_MS, record.sim_started_ms)
    assert {device.device_id: device.due_offset_ms for device in joined.devices} == {
        "g-1": 0,
        "b-1": 7_000,
        "p-1": 7_000,
    }


def test_shards_of_a_fast_run_that_began_now_are_joined_by_the_time_of_the_wall(record: RunRecord) -> None:
    record = replace(record, time_scale=60.0, sim_started_ms=STARTED_MS)
    one = replace(record, shards=[(0, 2)], devices=record.devices[:1])
    later_ms = STARTED_MS + 6_000
    other = replace(record, shards=[(1, 2)], devices=record.devices[1:], started_ms=later_ms, sim_started_ms=later_ms)
    joined = RunRecord.join([one, other])
    # What was due as the second began, was due 100 ms after the start by the first one's clock.
    assert {device.due_offset_ms for device in joined.devices} == {0, 5_900}


def test_changes_of_the_time_scale_are_those_of_all_shards(record: RunRecord, tmp_path: Path) -> None:
    changes = [TimeChange(at_ms=record.sim_started_ms + 1000 * n, time_scale=n) for n in (2, 4)]
    one = replace(record, shards=[(0, 2)], devices=record.devices[:1], time_changes=changes)
    # It died before it was told of the last.
    other = replace(record, shards=[(1, 2)], devices=record.devices[1:], time_changes=changes[:1])
    RunRecord.join([other, one]).save(tmp_path)
    loaded = RunRecord.load(tmp_path)
    assert loaded.time_changes == changes
    assert loaded.device_time.elapsed_ms(record.sim_started_ms + 6000) == 2000 + 1000 + 500
    other.time_changes = changes[1:]
    with pytest.raises(ConfigError, match="the time scale was changed to another, or at another moment"):
        RunRecord.join([one, other])


def test_the_third_of_three_shards_is_looked_at_too(record: RunRecord) -> None:
    shards = [replace(record, shards=[(index, 3)], devices=[]) for index in (0, 1, 1)]
    with pytest.raises(ConfigError, match="two are of shard 1/3"):
        RunRecord.join(shards)


def test_a_file_kept_elsewhere_is_the_same_scenario(record: RunRecord) -> None:
    """What counts is what is in it."""
    here = replace(record, shards=[(0, 2)], scenario_sha256="1f", devices=[])
    joined = RunRecord.join([here, replace(here, shards=[(1, 2)], scenario="/etc/fleet.yaml")])
    assert joined.shards == [(0, 2), (1, 2)]
    with pytest.raises(ConfigError, match="scenario_sha256 is '1f' and '2e'"):
        RunRecord.join([here, replace(here, shards=[(1, 2)], scenario_sha256="2e")])


def test_a_shard_knows_which_others_there_are(record: RunRecord) -> None:
    part = replace(record, shards=[(1, 4), (3, 4)], scenario_devices=10)
    assert part.missing_shards() == [(0, 4), (2, 4)]
    assert [part.devices_in(shard) for shard in ((0, 4), (1, 4), (2, 4), (3, 4))] == [3, 3, 2, 2]
    assert record.missing_shards() == []
    assert record.devices_in((0, 1)) is None, "an older record does not say"


@pytest.mark.parametrize(
    ("shard", "reason"),
    [
        ([2, 2], "there is no shard 2/2"),
        ([-1, 2], r"shards\[0\]\[0\]"),
        ([0, 0], "there is no shard 0/0"),
        # Each that is missing is looked for.
        ([0, 10**12], "there is no shard 0/1000000000000"),
    ],
)
def test_a_shard_that_cannot_be_is_refused(record: RunRecord, tmp_path: Path, shard: list[int], reason: str) -> None:
    path = record.save(tmp_path)
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | {"shards": [shard]}))
    with pytest.raises(ConfigError, match=reason):
        RunRecord.load(tmp_path)


@pytest.mark.parametrize("written", [FORMAT + 1, f"{FORMAT + 1}", FORMAT + 1.0])
def test_a_record_of_a_newer_edgefleet_is_refused(record: RunRecord, tmp_path: Path, written: object) -> None:
    path = record.save(tmp_path)
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | {"format": written}))
    with pytest.raises(ConfigError, match=f"was written by a newer edgefleet .format {FORMAT + 1}.; update"):
        RunRecord.load(tmp_path)


def test_a_device_that_was_reset_is_one_device() -> None:
    boots = [
        DeviceRecord(device_id=name, kind="gps", site="s", boot=boot) for name, boot in (("a", 1), ("a", 2), ("b", 1))
    ]
    record = RunRecord(
        run_id="r", scenario="s", seed=0, broker="b", started_ms=0, stopped_ms=1, sim_started_ms=0, devices=boots
    )
    record.check()
    assert record.device_count == 2
