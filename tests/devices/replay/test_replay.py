"""What was recorded is said again: as it was, in any window and shard, by several devices, in circles and faster."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from devices.replay.block import ReplayBlock
from devices.replay.recording import ReplayRecording
from devices.replay.targets import ReplayTarget
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.clock import iso_ms, parse_ms
from edgewire.messages import CONTRACT

NOON = parse_ms("2026-03-02T12:00:00Z")
MINUTE = 60_000
KINDS: dict[str, Any] = {
    "boiler": {
        "fields": {
            "flow_c": {"recorded": "number"},
            "pump": {"recorded": "flag"},
            "mode": {"recorded": "text"},
            "starts": {"recorded": "whole"},
            "hot": {"formula": "flow_c > 50"},
        }
    }
}
ROWS = [
    {
        "timestamp": iso_ms(parse_ms("2025-01-06T00:00:00Z") + 10_000 * n),
        "house": house,
        "flow_c": None if n % 7 == 3 else 40 + n / 4,
        "pump": n % 2 == 0,
        "mode": "eco" if n % 5 else "comfort",
        "starts": n,
    }
    for n in range(60)
    for house in ("a", "b", "c")
]


def write(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    """Write rows in the format of the name."""
    if path.suffix == ".jsonl":
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    elif path.suffix == ".csv":
        lines = [",".join("" if cell is None else str(cell) for cell in row.values()) for row in rows]
        path.write_text("\n".join([",".join(rows[0]), *lines]))
    else:
        parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=50)
    return path


def boilers(path: Path, *, count: int | None = None, **keys: Any) -> Scenario:
    """Return a scenario that plays a file back."""
    replay = {"file": str(path), "id": "house", **keys}
    group = {"kind": "boiler", "replay": replay} | ({} if count is None else {"count": count})
    return Scenario.model_validate({"seed": 3, "kinds": KINDS, "devices": [group]})


def said(scenario: Scenario, minutes: float = 20, shard: Shard | None = None) -> list[dict[str, Any]]:
    """Return what is said since noon."""
    timeline = Timeline(scenario, NOON, shard)
    return [orjson.loads(line) for line in timeline.batch(NOON, NOON + round(minutes * MINUTE)).payload]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_each_device_says_the_rows_of_its_own_and_is_silent_then(suffix: str, tmp_path: Path) -> None:
    found = said(boilers(write(tmp_path / f"b.{suffix}")))
    assert len(found) == len(ROWS)
    for number, house in enumerate(("a", "b", "c"), 1):
        mine = [row for row in found if row["device_id"] == f"boiler-{number:04d}"]
        recorded = [row for row in ROWS if row["house"] == house]
        names = ("flow_c", "pump", "mode", "starts")
        assert [[row[name] for name in names] for row in mine] == [[row[name] for name in names] for row in recorded]
        assert [row["seq"] for row in mine] == [*range(60)]
        assert all(row["hot"] is None for row in mine if row["flow_c"] is None)
        for row in mine:
            CONTRACT["boiler"].check(row)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 20 * MINUTE), st.integers(1, 4), st.booleans(), st.sampled_from(["csv", "parquet"]))
def test_the_same_bytes_come_in_any_window_and_shard(
    tmp_path: Path, cut_ms: int, shards: int, loop: bool, suffix: str
) -> None:
    path = tmp_path / f"b.{suffix}"
    if not path.exists():
        write(path)
    one = boilers(path, count=7, loop=loop)
    faults = [{"type": "stuck_at", "kind": "boiler", "field": "flow_c", "rate": "9/h", "duration": "1m..4m"}]
    one = Scenario.model_validate(one.model_dump(mode="json", exclude_unset=True) | {"faults": faults})
    end = NOON + 20 * MINUTE
    whole = Timeline(one, NOON).batch(NOON, end).payload
    timeline = Timeline(one, NOON)
    assert timeline.batch(NOON, NOON + cut_ms).payload + timeline.batch(NOON + cut_ms, end).payload == whole
    parts = [line for n in range(shards) for line in Timeline(one, NOON, Shard(n, shards)).batch(NOON, end).payload]
    assert sorted(parts) == sorted(whole)


def test_more_devices_than_were_recorded_are_elsewhere_in_it(tmp_path: Path) -> None:
    found = said(boilers(write(tmp_path / "b.jsonl"), count=6, loop=True), 10)
    starts = [[row["starts"] for row in found if row["device_id"] == f"boiler-{n:04d}"] for n in range(1, 7)]
    assert all(one == [*range(60)] for one in starts[:3])
    assert len({one[0] for one in starts}) > 2
    # Each goes through all of it, in its order, from where it begins.
    for one in starts[3:]:
        assert [(value - one[0]) % 60 for value in one] == [*range(60)]


def test_a_loop_goes_on_without_a_break_and_faster(tmp_path: Path) -> None:
    path = write(tmp_path / "b.csv")
    found = said(boilers(path, count=1, loop=True), 21)
    assert [row["starts"] for row in found] == [*range(60), *range(60), *range(6)]
    assert np.ptp(np.diff([parse_ms(row["timestamp"]) for row in found])) == 0
    fast = said(boilers(path, count=1, speed=60), 1)
    assert [row["starts"] for row in fast] == [*range(60)]
    assert parse_ms(fast[-1]["timestamp"]) - NOON < 10_000


def test_what_was_recorded_at_a_moment_is_said_at_it(tmp_path: Path) -> None:
    path = write(tmp_path / "b.csv")
    one = boilers(path, count=1, align="recorded")
    begin = parse_ms("2025-01-06T00:00:00Z")
    rows = [
        orjson.loads(line) for line in Timeline(one, begin - MINUTE).batch(begin - MINUTE, begin + 30 * MINUTE).payload
    ]
    assert [row["starts"] for row in rows] == [*range(60)]
    assert all(0 <= parse_ms(row["timestamp"]) - begin - 10_000 * row["starts"] < 10_000 for row in rows)


def test_ids_that_are_named_play_what_is_their_own(tmp_path: Path) -> None:
    path = write(tmp_path / "b.csv", [row | {"starts": row["starts"] + 1000 * (row["house"] == "b")} for row in ROWS])
    group = {"kind": "boiler", "ids": ["b", "x"], "replay": {"file": str(path), "id": "house"}}
    found = said(Scenario.model_validate({"kinds": KINDS, "devices": [group]}), 5)
    assert {row["starts"] >= 1000 for row in found if row["device_id"] == "b"} == {True}


POINT = '<trkpt lat="{lat:.5f}" lon="2.35000"><ele>35.5</ele><time>2026-05-01T08:00:{s:02d}Z</time></trkpt>'
GPX = '<?xml version="1.0"?><gpx xmlns="http://www.topografix.com/GPX/1/1">\n<trk><trkseg>\n{}\n</trkseg></trk></gpx>'


def test_a_track_is_driven_again_by_a_vehicle_of_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "track.gpx"
    path.write_text(GPX.format("\n".join(POINT.format(lat=48 + s * 1e-4, s=s) for s in range(0, 60, 5))))
    group = {"kind": "gps", "interval": "1s", "replay": {"file": str(path), "loop": True}}
    found = said(Scenario(devices=[group]), 2)
    for row in found:
        CONTRACT["gps"].check(row)
    assert {row["fix"] for row in found} <= {"2d", "3d"}
    north = np.array([row["latitude"] for row in found[:50]])
    assert np.allclose(np.diff(north), 1e-4, atol=2e-6)
    # 5e-4 degrees of latitude in 5 s are 11.12 m/s.
    assert found[20]["speed_kmh"] == pytest.approx(40.0, abs=0.2)
    assert {row["heading_deg"] for row in found[10:20]} == {0.0}


def test_what_a_file_does_not_have_is_measured_as_ever(tmp_path: Path) -> None:
    rows = [{"t": 1_780_000_000 + 10 * n, "air": {"temp": 20 + n}} for n in range(6)]
    path = write(tmp_path / "air.jsonl", rows)
    replay = {"file": str(path), "time": "t", "fields": {"temperature_c": "air.temp"}}
    found = said(Scenario(devices=[{"kind": "bme280", "replay": replay}]), 2)
    assert [row["temperature_c"] for row in found] == [20, 21, 22, 23, 24, 25]
    assert len({row["pressure_hpa"] for row in found} | {0}) > 1
    tasmota = Scenario(devices=[{"kind": "bme280", "replay": replay, "dialect": "tasmota", "interval": "10s"}])
    batch = Timeline(tasmota, NOON, in_dialects=True).batch(NOON, NOON + MINUTE)
    told = [orjson.loads(line) for line in batch.payload]
    assert [one["BME280"]["Temperature"] for one in told if "BME280" in one] == [20, 21, 22, 23, 24, 25]


def test_a_recording_keeps_few_of_its_blocks() -> None:
    rows, blocks = 1_000_000, 12
    loads: list[int] = []

    def load(number: int) -> ReplayBlock:
        loads.append(number)
        times = np.arange(rows, dtype=np.int64) + rows * number
        return ReplayBlock(np.zeros(rows, dtype=np.int32), times, {"v": np.full(rows, float(number))})

    recording = ReplayRecording([""], [], load, 1)
    for number in range(blocks):
        edge = np.array([rows * number, rows * (number + 1) - 1], dtype=np.int64)
        recording.add(number, ReplayBlock(np.zeros(2, dtype=np.int32), edge, {}))
    asked = np.arange(0, rows * blocks, rows // 2, dtype=np.int64)
    found = recording.read(np.zeros(len(asked), dtype=np.int64), asked, {"v": ReplayTarget("v", "number")})
    assert found["v"].tolist() == (asked // rows).tolist()
    assert loads == [*range(blocks)]
    recording.read(np.zeros(1, dtype=np.int64), asked[:1], {"v": ReplayTarget("v", "number")})
    assert loads[-1] == 0, "the first was let go"
