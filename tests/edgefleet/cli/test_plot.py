"""`edgefleet plot`: a picture of a scenario or an export; what cannot be drawn is one sentence."""

import gzip
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from matplotlib.axes import Axes
from pyarrow import ipc
from typer.testing import CliRunner

from devices.export.base import ExportError
from devices.export.plots import FaultWindow, draw_figure, fault_windows
from devices.export.series import MOST_OF_A_DEVICE, Recording, read_export, read_timeline
from devices.scenario.loading import load_scenario
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.sensors.registry import KINDS
from devices.timeline.timeline import Timeline
from edgefleet.cli import app
from edgewire.clock import iso_ms, parse_ms
from edgewire.errors import EdgefleetError

MONDAY_MS = parse_ms("2026-03-02")
LABEL = {
    "device_id": "bme280-0001",
    "kind": "bme280",
    "boot": 1,
    "type": "drift",
    "fields": ["temperature_c"],
    "parameters": {},
    "layer": "sensor",
    "start_ms": MONDAY_MS,
    "end_ms": None,
    "first_seq": 0,
    "last_seq": 9,
    "messages": 10,
}


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "scenario.yaml"
    path.write_text("devices:\n" + "".join(f"  - {{kind: {kind}, count: 2, interval: 60s}}\n" for kind in KINDS))
    return path


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, list(map(str, arguments)))


def titles(axes: list[Axes]) -> list[str]:
    return [axis.get_title(loc="left") for axis in axes]


@pytest.mark.slow
def test_a_scenario_and_its_exports_give_the_same_picture(scenario: Path, tmp_path: Path) -> None:
    arguments = ("--from", "2026-03-02T08:00", "--to", "2026-03-02T09:00")
    exported = tmp_path / "scenario.jsonl"
    assert invoke("generate", scenario, *arguments, "--out", exported).exit_code == 0
    assert invoke("plot", scenario, *arguments, "--out", tmp_path / "a.png").exit_code == 0
    result = invoke("plot", exported, "--out", tmp_path / "b.png", "--json")
    assert orjson.loads(result.stdout)["records"] == len(exported.read_bytes().splitlines())
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    for kind, format_ in (("bme280", "csv"), ("gps", "parquet")):
        folder = f"{tmp_path}/{format_}/"
        assert invoke("generate", scenario, *arguments, "--out", folder, "--format", format_).exit_code == 0
        assert read_export(Path(folder) / f"{kind}.{format_}").kinds[kind] == read_export(exported).kinds[kind]


@pytest.mark.slow
def test_a_page_has_the_picture_in_it(scenario: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = invoke("plot", scenario, "--from", "2026-03-02", "--to", "2026-03-02T00:30", "--out", page)
    assert result.exit_code == 0
    assert '<img alt="scenario.yaml"' in page.read_text()
    assert "data:image/png;base64,iVBOR" in page.read_text()


def reading(minute: int, **fields: object) -> dict[str, object]:
    return {"device_id": "bme280-0001", "timestamp": iso_ms(MONDAY_MS + minute * 60_000)} | fields


def test_the_time_of_a_fault_is_shaded_where_it_shows() -> None:
    recording = Recording()
    for minute in range(60):
        recording.add(reading(minute, temperature_c=20.0, humidity=50.0, pressure_hpa=1000.0))
    fault = FaultWindow("bme280-0001", "drift", ("temperature_c",), MONDAY_MS + 600_000, MONDAY_MS + 1_200_000)
    axes = draw_figure(recording, "test", [fault]).axes
    assert [axis.get_ylabel() for axis in axes] == ["temperature (°C)", "relative humidity (%)", "pressure (hPa)"]
    shaded = [[patch.get_label() for patch in axis.patches] for axis in axes]
    assert shaded == [["drift: bme280-0001"], [], []]


@pytest.mark.slow
def test_a_scenario_shades_its_own_faults_and_names_each_type_once(scenario: Path) -> None:
    fault = "{type: bias, kind: bme280, field: humidity, offset: 5, rate: 1/h, duration: 5m}"
    scenario.write_text(scenario.read_text() + f"faults: [{fault}]\n")
    timeline = Timeline(load_scenario(scenario), EPOCH_MS)
    faults = fault_windows(timeline.labels(MONDAY_MS, MONDAY_MS + 6 * 3_600_000))
    axes = draw_figure(read_timeline(timeline, MONDAY_MS, MONDAY_MS + 6 * 3_600_000), "test", faults).axes
    humidity = next(axis for axis in axes if axis.get_ylabel() == "relative humidity (%)")
    labels = [text.get_text() for text in humidity.get_legend().get_texts()]
    assert labels == ["bme280-0001", "bme280-0002", "bias: 2 devices"]
    assert len(humidity.patches) == len(faults) > 6


def test_a_track_breaks_where_the_position_was_not_known() -> None:
    recording = Recording()
    for minute in (*range(10), *range(30, 40)):
        recording.add(
            reading(minute, fix="3d", speed_kmh=50.0, latitude=None if minute < 2 else 48.0, longitude=minute / 1000)
        )
    (axis,) = [axis for axis in draw_figure(recording, "test").axes if axis.get_xlabel()]
    assert axis.get_title(loc="left") == "tracks of 1 vehicle around 48.00° N, 0.03° E; a dot is where one was last"
    assert [number for number, value in enumerate(axis.lines[0].get_ydata()) if value != value] == [8]


def test_a_line_breaks_at_a_null_and_at_a_silence() -> None:
    recording = Recording()
    for minute in (*range(10), *range(30, 40)):
        recording.add(reading(minute, temperature_c=None if minute == 5 else 20.0, humidity=50.0, pressure_hpa=1000.0))
    temperature, humidity, _ = (axis.lines[0].get_ydata() for axis in draw_figure(recording, "test").axes)
    assert [number for number, value in enumerate(temperature) if value != value] == [5, 10]
    assert [number for number, value in enumerate(humidity) if value != value] == [10]


def test_a_profile_is_the_mean_of_whole_hours() -> None:
    recording = Recording()
    for minute in range(1, 5 * 60 + 31):
        recording.add(reading(minute, vehicle_count=minute // 60 + 1, avg_speed=30.0))
    axes = draw_figure(recording, "test").axes
    profile = axes[titles(axes).index("traffic: by hour of day (UTC)")]
    assert [round(bar.get_height()) for bar in profile.patches] == [61, 121, 181, 241, 301]


def test_a_profile_has_every_device_in_every_hour_whatever_its_phase() -> None:
    recording = Recording()
    for minute in range(5, 3 * 60 + 1, 5):
        recording.add(reading(minute, vehicle_count=10, avg_speed=30.0))
        other = reading(minute - 2, vehicle_count=100, avg_speed=30.0) | {"device_id": "traffic-0002"}
        recording.add(other)
    axes = draw_figure(recording, "test").axes
    profile = axes[titles(axes).index("traffic: by hour of day (UTC)")]
    assert [round(bar.get_height()) for bar in profile.patches] == [660, 660, 660]


@pytest.mark.parametrize(
    ("source", "out", "said"),
    [
        ("missing.jsonl", "a.png", "there is no such file"),
        ("garbage.jsonl", "a.png", "line 1: is not JSON"),
        ("other.jsonl", "a.png", "other.jsonl, line 1: is no message of ours"),
        ("empty.jsonl", "a.png", "has no readings to draw"),
        ("garbage.parquet", "a.png", "is no Parquet file"),
        ("cells.csv", "a.png", "cells.csv, line 3: is no message of ours: could not convert"),
        ("list.jsonl", "a.png", "list.jsonl, line 1: is no message of ours"),
        ("cut.jsonl.gz", "a.png", "cannot be read: "),
        ("nothing/", "a.png", "has no export to draw"),
        ("both/", "a.png", "has exports as csv and as jsonl: give one of its files"),
        ("empty.jsonl", "a.pdf", "write FILE.png or FILE.html"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(tmp_path: Path, source: str, out: str, said: str) -> None:
    (tmp_path / "garbage.jsonl").write_text("garbage\n")
    (tmp_path / "garbage.parquet").write_text("garbage\n")
    (tmp_path / "other.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "empty.jsonl").write_text("")
    head, row = "device_id,timestamp,boot,seq,temperature_c,pressure_hpa", "a,2026-03-02T00:00:00Z,1,1"
    (tmp_path / "cells.csv").write_text(f"{head}\n{row},1.5,1000\n{row},warm,1000\n")
    (tmp_path / "list.jsonl").write_text("[1]\n")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"")[:8])
    (tmp_path / "nothing").mkdir()
    (tmp_path / "both").mkdir()
    for name in ("a.csv", "a.jsonl"):
        (tmp_path / "both" / name).write_text("")
    result = invoke("plot", tmp_path / source, "--out", tmp_path / out)
    assert isinstance(result.exception, EdgefleetError)
    assert said in str(result.exception)


def test_a_time_is_of_a_scenario_and_forward(scenario: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    out = ("--out", tmp_path / "a.png")
    assert "is not after" in str(invoke("plot", scenario, "--to", "2026-03-01", *out).exception)
    assert "are for a scenario" in str(invoke("plot", tmp_path / "empty.jsonl", "--to", "2026-03-01", *out).exception)


@pytest.mark.slow
def test_an_arrow_file_whose_texts_begin_before_their_bytes_is_refused(tmp_path: Path) -> None:
    path, text = tmp_path / "damaged.arrow", "x" * 77
    table = pa.table({"device_id": [text]})
    with ipc.new_file(path, table.schema) as file:
        file.write_table(table)
    offsets = np.array([0, len(text)], dtype=np.int32).tobytes()
    head, said, tail = path.read_bytes().partition(text.encode())
    at = head.rindex(offsets)
    path.write_bytes(head[:at] + np.array([-1280, len(text)], dtype=np.int32).tobytes() + head[at + 8 :] + said + tail)
    # It ended the process by a segmentation fault.
    with pytest.raises(ExportError, match=r"is no Arrow file: .*negative offset"):
        read_export(path)


@pytest.mark.parametrize("format_", ["jsonl.zst", "arrow"])
def test_a_folder_is_drawn_as_a_whole(scenario: Path, tmp_path: Path, format_: str) -> None:
    arguments = ("--from", "2026-03-02T08:00", "--to", "2026-03-02T08:20")
    assert invoke("generate", scenario, *arguments, "--out", tmp_path / "one.jsonl").exit_code == 0
    for part in range(2):
        shard = ("--shard", f"{part}/2", "--format", format_)
        assert invoke("generate", scenario, *arguments, "--out", f"{tmp_path}/f/", *shard).exit_code == 0
    (tmp_path / "f" / "mine.jsonl").write_text("not of the manifest\n")
    assert read_export(tmp_path / "f") == read_export(tmp_path / "one.jsonl")
    assert invoke("plot", f"{tmp_path}/f/", "--out", tmp_path / "a.png").exit_code == 0


@pytest.mark.slow
def test_labels_come_from_a_file(scenario: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    arguments = ("plot", scenario, "--to", "2026-03-02T00:30", "--labels", labels, "--out", tmp_path / "a.png")
    labels.write_bytes(orjson.dumps(LABEL) + b"\n")
    assert invoke(*arguments).exit_code == 0
    labels.write_bytes(orjson.dumps(LABEL) + b'\n{"a": 1}\n')
    assert "labels.jsonl: line 2 is no label of a fault" in str(invoke(*arguments).exception)


def test_a_long_series_keeps_the_least_and_the_most_of_each_stretch() -> None:
    recording, count = Recording(), 40_000
    reading = {"humidity": 50.0, "pressure_hpa": 1000.0, "boot": 1, "device_id": "bme280-0001"}
    for number in range(count):
        value = {20_000: -30.0, 30_001: 60.0}.get(number, 20.0)
        time_ms = MONDAY_MS + 1000 * number + (3_600_000 if number > 35_000 else 0)
        recording.add({**reading, "seq": number, "timestamp": iso_ms(time_ms), "temperature_c": value})
    series = recording.kinds["bme280"]["bme280-0001"]
    assert recording.records == count
    assert len(series.times) <= MOST_OF_A_DEVICE
    assert series.times == sorted(series.times)
    assert {len(column) for column in series.values.values()} == {len(series.times)}
    kept = dict(zip(series.times, series.values["temperature_c"], strict=True))
    assert (kept[MONDAY_MS + 20_000_000], kept[MONDAY_MS + 30_001_000]) == (-30.0, 60.0)
    steps = [after - before for before, after in pairwise(series.times)]
    assert [step for step in steps if step > series.long_gap_ms()] == [max(steps)], "the hour of silence alone"


def test_a_daily_profile_is_of_all_readings() -> None:
    recording = Recording()
    reading = {"device_id": "p", "boot": 1, "event_type": "count", "interval_s": 1.0, "exits": 0, "entries": 1}
    for number in range(1, 20_001):
        totals = {"total_entries": number, "total_exits": 0, "occupancy": number}
        recording.add({**reading, **totals, "seq": number, "timestamp": iso_ms(MONDAY_MS + 1000 * number)})
    series = recording.kinds["people"]["p"]
    assert len(series.times) < 20_000
    assert sum(series.hours.values()) == 20_000
    assert series.hours[MONDAY_MS // 3_600_000] == 3600


def test_of_too_many_records_stretches_of_time_are_drawn() -> None:
    """Evenly spread, every device in each; the profile counts as if all were there."""
    scenario = Scenario(seed=5, devices=[{"kind": "traffic", "count": 3, "interval": "10s"}])
    timeline = Timeline(scenario, EPOCH_MS)
    end_ms = MONDAY_MS + 24 * 3_600_000
    whole = read_timeline(timeline, MONDAY_MS, end_ms)
    some = read_timeline(timeline, MONDAY_MS, end_ms, most=20_000, sampled=4000)
    assert (whole.records, whole.expected) == (25_920, None)
    assert 3500 < some.records < 4500
    assert some.expected == 25_920
    for device, series in some.kinds["traffic"].items():
        total = sum(whole.kinds["traffic"][device].hours.values())
        assert len(series.hours) == 24
        assert sum(series.hours.values()) == pytest.approx(total, rel=0.2)
        steps = [after - before for before, after in pairwise(series.times)]
        assert max(steps) <= series.long_gap_ms()  # the line is not broken
