"""What is wrong with a file that is played back is said before anybody connects: file, line, and what to do."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from devices.scenario.loading import load_scenario
from edgewire.errors import ConfigError

AIR = "timestamp,temperature_c\n2026-03-01T12:00:00Z,20\n2026-03-01T12:00:10Z,21\n"
POINT = '<trkpt lat="48.1" lon="2.3"><time>2026-05-01T08:00:00Z</time></trkpt>'
GPX = "<gpx><trk><trkseg>\n{}\n</trkseg></trk></gpx>"
PLAIN = {"kind": "bme280"}

FILES: list[tuple[str, str | bytes, dict[str, Any], str]] = [
    ("a.csv", "", {}, "a.csv: is empty"),
    ("a.csv", "timestamp,temperature_c\n", {}, "has no row with a reading"),
    ("a.csv", AIR + "2026-03-01T12:00:05Z,22\n", {}, "a.csv:4: timestamp 2026-03-01T12:00:05Z is before"),
    ("a.csv", AIR.replace("timestamp", "timestmp"), {}, "no column 'timestamp', did you mean 'timestmp'?"),
    ("a.csv", AIR, {"id": "device"}, "no column 'device'; it has timestamp"),
    ("a.csv", AIR, {"fields": {"humidity": "humid"}}, "no column 'humid'; it has"),
    ("a.csv", AIR, {"fields": {"humidty": "temperature_c"}}, "did you mean 'humidity'?"),
    ("a.csv", AIR, {"fields": {"humidity": "temperature_c"}}, "is taken by"),
    ("a.csv", AIR.replace("temperature_c", "temp"), {}, "has no column that is a field of bme280"),
    ("a.csv", AIR.replace("10Z", "10"), {}, "a.csv:3: timestamp: '2026-03-01T12:00:10' has no offset"),
    ("a.csv", AIR.replace(",21", ",nan"), {}, "a.csv:3: temperature_c has no value"),
    ("a.csv", AIR.replace(",21", ","), {}, "a.csv:3: temperature_c has no value"),
    ("a.csv", AIR.replace(",21", ",inf"), {}, "a.csv:3: temperature_c is inf, and temperature_c goes from -40 to 85"),
    ("a.csv", AIR.replace(",21", ",99"), {}, "a.csv:3: temperature_c is 99"),
    ("a.csv", AIR.replace(",21", ",warm"), {}, "a.csv:3: temperature_c is 'warm', and temperature_c is a number"),
    ("a.csv", AIR.replace(",21", ",21,5"), {}, "a.csv:3: has 3 values, and the head 2"),
    ("a.csv", AIR + "soon,5\n", {}, "a.csv:4: timestamp: 'soon' is no time"),
    ("a.csv", AIR + "9e99,5\n", {}, "a.csv:4: timestamp: is no time between 1900 and 2100"),
    ("a.csv", AIR.replace("temperature_c", "timestamp"), {}, "two columns 'timestamp'"),
    ("a.csv", AIR.encode("utf-16"), {}, "is no text in UTF-8"),
    ("a.csv", AIR, {"timezone": "Mars/Base"}, "there is no zone 'Mars/Base'"),
    ("a.csv", AIR, {"align": "recorded", "speed": 2}, "leave one of both out"),
    ("a.csv", AIR, {"speed": 0}, "speed"),
    ("a.csv", AIR, {"loops": True}, "did you mean 'loop'"),
    ("a.xlsx", AIR, {}, "is none of .csv, .jsonl"),
    ("a.jsonl", '{"timestamp":1780000000,"temperature_c":20}\n{"timest', {}, "a.jsonl:2: is no JSON"),
    ("a.jsonl", '{"timestamp":1780000000,"temperature_c":20}\n[1]', {}, "a.jsonl:2: is JSON, but no object"),
    ("a.jsonl", "", {}, "a.jsonl: is empty"),
    ("a.jsonl", '{"timestamp":1780000000,"temperature_c":NaN}\n', {}, "a.jsonl:1: is no JSON"),
    ("a.jsonl", '{"timestamp":1780000000,"temperature_c":true}\n', {}, "temperature_c is 'True'"),
    (
        "t.gpx",
        GPX.format(POINT.replace("<time>2026-05-01T08:00:00Z</time>", "")),
        {},
        "t.gpx:2: the point has no <time>",
    ),
    ("t.gpx", GPX.format(POINT.replace('"48.1"', '"148"')), {}, "t.gpx:2: lat is '148'"),
    ("t.gpx", GPX.format(POINT)[:-20], {}, "t.gpx:3: is no XML"),
    (
        "t.gpx",
        '<?xml version="1.0" encoding="utf-4"?><gpx/>',
        {},
        "t.gpx: its encoding cannot be read: unknown encoding",
    ),
    ("t.gpx", GPX.format(""), {}, "has no row"),
    ("t.gpx", "<kml/>", {}, "is no GPX: its root is <kml>"),
    ("t.gpx", '<!DOCTYPE gpx [<!ENTITY a "aa">]>' + GPX.format(POINT), {}, "declares a document type"),
    ("t.gpx", "<gpx>" + "<a>" * 60 + "</a>" * 60 + "</gpx>", {}, "more than 50 deep"),
    ("t.gpx", GPX.format(POINT), {"time": "when"}, "have times of their own"),
    ("a.parquet", b"PAR1 and nothing else", {}, "is no Parquet file, or was cut off"),
    ("none.csv", b"", {"file": "there-is-none.csv"}, "there-is-none.csv: cannot be read"),
]


@pytest.mark.parametrize(("name", "text", "keys", "told"), FILES)
def test_a_file_that_cannot_be_played_back(
    name: str, text: str | bytes, keys: dict[str, Any], told: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert told in refused({"kind": "gps" if name == "t.gpx" else "bme280", "replay": {"file": name} | keys}, tmp_path)


@pytest.mark.parametrize(
    ("group", "told"),
    [
        ({"kind": "people"}, "people tells events"),
        ({"kind": "telematics"}, "telematics tells events"),
        (PLAIN | {"working_hours": {"from": "08:00", "to": "18:00"}}, "write loop: true"),
        ({"kind": "boiler"}, "'flow' is recorded, and"),
    ],
)
def test_a_group_that_cannot_play_back(group: dict[str, Any], told: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(AIR)
    assert told in refused(group | {"replay": {"file": "a.csv"}}, tmp_path)


def test_a_kind_whose_fields_are_recorded_needs_a_file(tmp_path: Path) -> None:
    assert "field 'flow' of boiler is recorded: write replay" in refused({"kind": "boiler"}, tmp_path)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"timestamp": [2.0e9, 1.9e9], "temperature_c": [1.0, 2.0]}, "row group 0, row 1: timestamp"),
        ({"timestamp": [2.0e9, 2.1e9], "temperature_c": [1.0, None]}, "temperature_c has no value in 1 rows"),
        ({"timestamp": [2.0e9, 2.1e9], "temperature_c": [1.0, 900.0]}, "temperature_c has 900, and temperature_c goes"),
        (
            {"timestamp": [2.0e9, 2.1e9], "temperature_c": ["1", "2"]},
            "is of type string, and temperature_c is a number",
        ),
        ({"timestamp": [2.0e9, None], "temperature_c": [1.0, 2.0]}, "timestamp has no value in 1 rows"),
        ({"timestamp": [True, False], "temperature_c": [1.0, 2.0]}, "is of type bool, which is no time"),
    ],
)
def test_a_parquet_file_is_looked_through_before_anybody_connects(
    columns: dict[str, list[Any]], told: str, tmp_path: Path
) -> None:
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert told in refused(PLAIN | {"replay": {"file": "a.parquet"}}, tmp_path)


def test_a_parquet_file_that_was_cut_off_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"timestamp": [2.0e9 + n for n in range(999)], "temperature_c": [1.0] * 999}), path)
    path.write_bytes(path.read_bytes()[:-300])
    assert "is no Parquet file, or was cut off" in refused(PLAIN | {"replay": {"file": "a.parquet"}}, tmp_path)


def refused(group: dict[str, Any], folder: Path) -> str:
    """Return what a scenario with a group is refused with; fails the test where it is not, or by a traceback."""
    kinds = {"boiler": {"fields": {"flow": {"recorded": "number"}}}}
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump({"kinds": kinds, "devices": [group]}))
    with pytest.raises(ConfigError) as told:
        load_scenario(path)
    assert told.value.exit_code == 2
    assert str(path) in str(told.value)
    return str(told.value)
