"""An export that is cut off anywhere is gone on with to the same files, also where a schema has had no row yet."""

from functools import cache
from pathlib import Path

import orjson
import pytest
from pyarrow import parquet

from devices.export.arrow import ArrowWriter
from devices.export.base import ExportError, ExportTarget, ExportWindow
from devices.export.csv import CsvWriter
from devices.export.files import TableFiles
from devices.export.job import ExportProgress, ExportSpan, export
from devices.export.jsonl import JsonlFile
from devices.export.parquet import ParquetWriter
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms

pytestmark = pytest.mark.slow

POINTS = 70
FROM_MS = parse_ms("2026-03-04T00:00:00Z")
SPAN = ExportSpan(FROM_MS, FROM_MS + 20 * 3_600_000)


@cache
def timeline_of(window_rows: int) -> Timeline:
    """About 75 windows of so many rows; those of the shop's first customers are hours after its first count."""
    sensor_interval_ms = 20 * 3_600_000 * 3 // (75 * window_rows)
    devices = [
        {"kind": "people", "count": 1, "interval": "1h", "settings": {"daily_customers": 2}},
        {"kind": "bme280", "count": 3, "interval": f"{sensor_interval_ms}ms"},
    ]
    return Timeline(Scenario(seed=7, devices=devices), EPOCH_MS)


def target_for(format_: str, timeline: Timeline, folder: Path) -> ExportTarget:
    if format_ == "jsonl":
        return JsonlFile(folder / "all.jsonl")
    return TableFiles(timeline, folder, f".{format_}", CsvWriter if format_ == "csv" else ParquetWriter)


@pytest.mark.parametrize("window_rows", [20, 40, 60])
@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
def test_an_export_that_is_cut_off_at_seventy_points_is_the_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str, window_rows: int
) -> None:
    monkeypatch.setattr("devices.export.files.os.fsync", lambda _: None)  # nothing here loses its power
    timeline = timeline_of(window_rows)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    ends: list[int] = [0]
    expected = exported(timeline, whole, format_, window_rows, ends)
    assert len(ends) > POINTS
    checkpoint = (tmp_path / "checkpoint", "an export")
    missing = 0
    for point in range(POINTS):
        # Not even one window is written before the first point, and one between each and the next.
        asked = iter([False] * (point > 0) + [True])
        target = target_for(format_, timeline, parts)
        found = export(
            timeline,
            SPAN,
            target,
            checkpoint=checkpoint,
            resume=True,
            window_rows=window_rows,
            stop=lambda asked=asked: next(asked),
        )
        assert (found.finished, found.records) == (False, ends[point])
        for name, content in contents(parts).items():
            if ".index." not in name:
                assert expected[name.removesuffix(".partial")].startswith(content), f"at point {point}"
        missing += lacks_rows(checkpoint[0])
    assert format_ == "jsonl" or 10 < missing < POINTS
    export(
        timeline,
        SPAN,
        target_for(format_, timeline, parts),
        checkpoint=checkpoint,
        resume=True,
        window_rows=window_rows,
    )
    assert contents(parts) == expected
    assert format_ != "parquet" or sum(len(parquet.read_table(path)) for path in parts.iterdir()) == ends[-1]


@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
def test_an_export_that_is_cut_off_once_is_the_uninterrupted_one(tmp_path: Path, format_: str) -> None:
    timeline = timeline_of(60)
    expected = exported(timeline, tmp_path / "whole", format_, 60, ends := [0])
    checkpoint = (tmp_path / "checkpoint", "an export")
    for stop_after in (0, 1, 25, 50, len(ends) - 2):
        parts = tmp_path / f"after-{stop_after}"
        asked = iter([False] * stop_after + [True])
        target = target_for(format_, timeline, parts)
        cut = export(
            timeline, SPAN, target, checkpoint=checkpoint, window_rows=60, stop=lambda asked=asked: next(asked)
        )
        assert (cut.finished, cut.records) == (False, ends[stop_after])
        target = target_for(format_, timeline, parts)
        done = export(timeline, SPAN, target, checkpoint=checkpoint, window_rows=60, resume=True)
        assert (done.finished, done.resumed, done.records) == (True, ends[stop_after], ends[-1])
        assert contents(parts) == expected
        assert not checkpoint[0].exists()


def exported(timeline: Timeline, folder: Path, format_: str, window_rows: int, ends: list[int]) -> dict[str, bytes]:
    """The files of an export in one go; `ends` gets the number of records after each window."""
    progress = ExportProgress(report=lambda progress: ends.append(progress.records))
    export(
        timeline,
        SPAN,
        target_for(format_, timeline, folder),
        checkpoint=None,
        window_rows=window_rows,
        progress=progress,
    )
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def lacks_rows(checkpoint: Path) -> bool:
    """Whether some file has had no row yet, so no columns either."""
    files = orjson.loads(checkpoint.read_bytes())["target"].values()
    return any(not file["columns"] for file in files if isinstance(file, dict))


@pytest.mark.parametrize("writer", [ParquetWriter, ArrowWriter])
def test_a_full_disk_is_told_of(tmp_path: Path, writer: type) -> None:
    """/dev/full takes nothing; a file that leads there is what a full disk is to a writer."""
    timeline = Timeline(Scenario(devices=[{"kind": "bme280"}]), EPOCH_MS)
    target = TableFiles(timeline, tmp_path, f".{writer.__name__}", writer, folder=True)
    target.open(None)
    (partial,) = (path for path in tmp_path.iterdir() if path.suffix == ".partial" and len(path.suffixes) == 2)
    partial.unlink()
    partial.symlink_to("/dev/full")

    def write() -> None:
        target.write(ExportWindow(timeline, EPOCH_MS, EPOCH_MS + 100_000))
        target.finish()

    with pytest.raises(ExportError, match="cannot be written: No space left on device"):
        write()
    target.abandon()
