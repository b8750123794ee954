"""Exports to files: the bytes of a live run, in every format, whole or not at all, and resumable anywhere."""

import contextlib
import csv
import hashlib
from pathlib import Path

import orjson
import pytest
from pyarrow import parquet

from devices.export.base import ExportError, ExportTarget
from devices.export.csv import CsvWriter
from devices.export.files import PartialFile, TableFiles
from devices.export.job import Checkpoint, ExportProgress, ExportSpan, export
from devices.export.jsonl import JsonlFile
from devices.export.parquet import ParquetWriter
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.timeline.timeline import Timeline
from edgewire.clock import iso_ms, parse_ms
from edgewire.messages import CONTRACT

FROM_MS = parse_ms("2026-03-04T12:00:00Z")
SPAN = ExportSpan(FROM_MS, FROM_MS + 120_000)
MIXED = Scenario(
    seed=7, devices=[{"kind": kind, "count": 3, "interval": "2s"} for kind in CONTRACT] + [{"kind": "gps", "count": 2}]
)
SHAPES = {"bme280", "traffic", "gps", "telematics", "foot_traffic", "foot_traffic_realistic", "foot_traffic_counts"}


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return Timeline(MIXED, EPOCH_MS)


@pytest.fixture(scope="module")
def payloads(timeline: Timeline) -> list[bytes]:
    return timeline.batch(SPAN.from_ms, SPAN.to_ms).payload


def target_for(format_: str, timeline: Timeline, folder: Path) -> ExportTarget:
    if format_ == "jsonl":
        return JsonlFile(folder / "all.jsonl")
    writer = CsvWriter if format_ == "csv" else ParquetWriter
    return TableFiles(timeline, folder, f".{format_}", writer)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.slow
def test_jsonl_is_what_a_run_publishes_in_its_order(timeline: Timeline, payloads: list[bytes], tmp_path: Path) -> None:
    done = export(timeline, SPAN, JsonlFile(tmp_path / "all.jsonl"), checkpoint=None, window_rows=50)
    assert (tmp_path / "all.jsonl").read_bytes().splitlines() == payloads
    assert done.finished
    assert done.records == len(payloads)
    keys = [(row["timestamp"], row["device_id"], row["seq"]) for row in map(orjson.loads, payloads)]
    assert keys == sorted(keys)


def flattened(message: dict[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in message.items():
        if name in ("metadata", "inter_arrival_stats"):
            flat |= {f"{name}_{inner}": each for inner, each in value.items()}  # type: ignore[attr-defined]
        else:
            flat[name] = value
    return flat


def shape_name(message: dict[str, object]) -> str:
    if "event_id" not in message and "event_type" in message:
        counts, session = message["event_type"] == "count", message["event_type"] == "foot_traffic"
        return "foot_traffic_counts" if counts else "foot_traffic" if session else "foot_traffic_realistic"
    return str(message["device_id"]).rpartition("-")[0]


def test_csv_has_every_message_with_the_texts_of_its_json(
    timeline: Timeline, payloads: list[bytes], tmp_path: Path
) -> None:
    export(timeline, SPAN, target_for("csv", timeline, tmp_path), checkpoint=None, window_rows=50)
    found = []
    for path in tmp_path.iterdir():
        with path.open(newline="", encoding="utf-8") as file:
            found += [(path.stem, row) for row in csv.DictReader(file)]
    assert {path.stem for path in tmp_path.iterdir()} == SHAPES
    messages = {(m["device_id"], m["seq"]): m for m in map(orjson.loads, payloads)}
    assert len(found) == len(messages)
    for name, row in found:
        message = messages[row["device_id"], int(row["seq"])]
        assert name == shape_name(message)
        expected = {key: text(value) for key, value in flattened(message).items()}
        assert {key: value for key, value in row.items() if value} == {k: v for k, v in expected.items() if v}


def text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else orjson.dumps(value).decode()


@pytest.mark.slow
def test_parquet_has_every_message_with_typed_columns(
    timeline: Timeline, payloads: list[bytes], tmp_path: Path
) -> None:
    export(timeline, SPAN, target_for("parquet", timeline, tmp_path), checkpoint=None, window_rows=50)
    messages = {(m["device_id"], m["seq"]): m for m in map(orjson.loads, payloads)}
    count = 0
    for path in tmp_path.iterdir():
        for row in parquet.read_table(path).to_pylist():
            count += 1
            message = messages[row["device_id"], row["seq"]]
            assert path.stem == shape_name(message)
            for name, value in flattened(message).items():
                got = row[name]
                if hasattr(got, "timestamp"):
                    got = iso_ms(round(got.timestamp() * 1000))
                assert (dict(got) if isinstance(value, dict) else got) == value, (path.stem, name)
    assert count == len(messages)


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("stop_after", [1, 4])
def test_an_interrupted_export_goes_on_to_the_same_bytes(
    timeline: Timeline, tmp_path: Path, format_: str, stop_after: int
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    export(timeline, SPAN, target_for(format_, timeline, whole), checkpoint=None, window_rows=60)
    checkpoint = (tmp_path / "checkpoint", "an export")
    windows = iter(range(100))

    def interrupted() -> bool:
        return next(windows) >= stop_after

    first = export(
        timeline,
        SPAN,
        target_for(format_, timeline, parts),
        checkpoint=checkpoint,
        window_rows=60,
        stop=interrupted,
    )
    assert not first.finished
    assert all(path.name.endswith(".partial") for path in parts.iterdir())
    second = export(
        timeline, SPAN, target_for(format_, timeline, parts), checkpoint=checkpoint, window_rows=60, resume=True
    )
    assert second.resumed == first.records > 0
    assert digests(parts) == digests(whole)
    assert not checkpoint[0].exists()


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
def test_what_was_written_behind_the_checkpoint_is_dropped(timeline: Timeline, tmp_path: Path, format_: str) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    export(timeline, SPAN, target_for(format_, timeline, whole), checkpoint=None, window_rows=60)
    checkpoint = (tmp_path / "checkpoint", "an export")
    windows = iter(range(100))
    export(
        timeline,
        SPAN,
        target_for(format_, timeline, parts),
        checkpoint=checkpoint,
        window_rows=60,
        stop=lambda: next(windows) >= 2,
    )
    for path in parts.iterdir():
        with path.open("ab") as file:
            file.write(b'{"device_id":"half a rec')
    export(timeline, SPAN, target_for(format_, timeline, parts), checkpoint=checkpoint, window_rows=60, resume=True)
    assert digests(parts) == digests(whole)


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("completed", [0, 1, 5])
def test_an_export_that_is_cut_off_while_its_files_get_their_names_goes_on(
    timeline: Timeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str, completed: int
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    export(timeline, SPAN, target_for(format_, timeline, whole), checkpoint=None)
    checkpoint = (tmp_path / "checkpoint", "an export")
    complete, calls = PartialFile.complete, iter(range(100))

    def cut_off(file: PartialFile) -> None:
        if next(calls) < completed:
            complete(file)
        else:
            raise _Killed

    def at_end(progress: ExportProgress) -> None:
        ends.append((progress.next_ms, progress.records))
        if len(ends) == 1:
            raise _Killed

    ends: list[tuple[int, int]] = []
    target = target_for(format_, timeline, parts)
    monkeypatch.setattr(PartialFile, "complete", cut_off)
    with pytest.raises(_Killed):
        export(timeline, SPAN, target, checkpoint=checkpoint, at_end=at_end)
    monkeypatch.undo()
    for _ in range(2 - len(ends)):
        target = target_for(format_, timeline, parts)
        with contextlib.suppress(_Killed):
            export(timeline, SPAN, target, checkpoint=checkpoint, resume=True, at_end=at_end)
    assert digests(parts) == digests(whole)
    assert len(ends) == 2
    assert len(set(ends)) == 1
    assert not checkpoint[0].exists()


class _Killed(Exception):
    pass


@pytest.mark.slow
def test_a_parquet_export_is_one_file_with_its_statistics(timeline: Timeline, tmp_path: Path) -> None:
    export(timeline, SPAN, target_for("parquet", timeline, tmp_path), checkpoint=None, window_rows=60)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.parquet" for name in SHAPES}
    with parquet.ParquetFile(tmp_path / "bme280.parquet") as file:
        metadata = file.metadata
        assert metadata.num_row_groups > 5
        moments = metadata.row_group(0).column(file.schema_arrow.names.index("timestamp"))
        assert "DELTA_BINARY_PACKED" in moments.encodings
        starts = [metadata.row_group(number).column(0).dictionary_page_offset for number in range(5)]
        assert starts == sorted(set(starts))
        position = file.schema_arrow.names.index("temperature_c")
        for number in range(metadata.num_row_groups):
            values = file.read_row_group(number, ["temperature_c"])["temperature_c"].to_pylist()
            told = metadata.row_group(number).column(position).statistics
            assert (told.min, told.max) == (min(values), max(values))


def test_a_partial_file_that_is_gone_is_one_sentence(timeline: Timeline, tmp_path: Path) -> None:
    checkpoint = (tmp_path / "checkpoint", "an export")
    Checkpoint("an export", FROM_MS, 1000, 5, {"size": 5}).save(checkpoint[0])
    with pytest.raises(ExportError, match="is gone, so it cannot be gone on with: leave out --resume"):
        export(timeline, SPAN, JsonlFile(tmp_path / "a.jsonl"), checkpoint=checkpoint, resume=True)


@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
def test_a_limit_of_records_takes_the_first_ones(
    timeline: Timeline, payloads: list[bytes], tmp_path: Path, format_: str
) -> None:
    span = ExportSpan(SPAN.from_ms, SPAN.to_ms, records=123)
    done = export(timeline, span, target_for(format_, timeline, tmp_path), checkpoint=None, window_rows=50)
    assert (done.records, done.finished) == (123, True)
    found = set()
    for path in tmp_path.iterdir():
        if format_ == "parquet":
            found |= {(row["device_id"], row["seq"]) for row in parquet.read_table(path).to_pylist()}
        elif format_ == "csv":
            with path.open(newline="", encoding="utf-8") as file:
                found |= {(row["device_id"], int(row["seq"])) for row in csv.DictReader(file)}
        else:
            found |= {(m["device_id"], m["seq"]) for m in map(orjson.loads, path.read_bytes().splitlines())}
    assert found == {(m["device_id"], m["seq"]) for m in map(orjson.loads, payloads[:123])}


def test_a_checkpoint_of_another_export_is_refused(timeline: Timeline, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    Checkpoint("this one", FROM_MS, 1000, 5, {"size": 0}).save(path)
    with pytest.raises(ExportError, match="another scenario"):
        export(timeline, SPAN, JsonlFile(tmp_path / "a.jsonl"), checkpoint=(path, "that one"), resume=True)
    path.write_text("no json")
    with pytest.raises(ExportError, match="is no checkpoint"):
        Checkpoint.load(path, "this one")


def test_one_csv_file_takes_one_shape_of_message(timeline: Timeline, tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match=r"one file has one schema, but there are bme280, traffic.*--out .*/ --format"
    ):
        TableFiles(timeline, tmp_path / "all.csv", ".csv", CsvWriter)
    alone = Timeline(Scenario(devices=[{"kind": "bme280", "count": 2}]), EPOCH_MS)
    export(alone, SPAN, TableFiles(alone, tmp_path / "b.csv", ".csv", CsvWriter), checkpoint=None)
    assert [path.name for path in tmp_path.iterdir()] == ["b.csv"]
    assert len((tmp_path / "b.csv").read_text().splitlines()) == 1 + 24


def test_an_empty_export_has_its_header(tmp_path: Path) -> None:
    later = Timeline(MIXED, SPAN.to_ms)
    export(later, SPAN, target_for("csv", later, tmp_path / "csv"), checkpoint=None)
    export(later, SPAN, target_for("parquet", later, tmp_path / "parquet"), checkpoint=None)
    assert (tmp_path / "csv" / "gps.csv").read_text().startswith("device_id,timestamp,boot,seq,vehicle_id,")
    assert parquet.read_table(tmp_path / "parquet" / "gps.parquet").num_rows == 0


@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
def test_a_full_disk_is_one_sentence(tmp_path: Path, format_: str) -> None:
    sensors = Timeline(Scenario(devices=[{"kind": "bme280", "count": 2}]), EPOCH_MS)
    name = "all.jsonl" if format_ == "jsonl" else f"bme280.{format_}"
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(ExportError, match=f"{name} cannot be written: No space left on device$"):
        export(sensors, SPAN, target_for(format_, sensors, tmp_path), checkpoint=None)
