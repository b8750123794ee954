"""`edgefleet generate` never loses or mixes data silently: one writer a place, names that say what is written."""

import csv
import gzip
import hashlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from devices.export.jsonl import JsonlFile
from devices.sensors.registry import KINDS
from edgefleet.cli import app
from edgewire.errors import ConfigError
from edgewire.output_lock import OutputBusyError, OutputLock

pytestmark = pytest.mark.slow

SPAN = ("--from", "2026-03-04T12:00", "--to", "2026-03-04T12:01")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sensors(tmp_path: Path) -> Path:
    path = tmp_path / "sensors.yaml"
    path.write_text("seed: 3\ndevices: [{kind: bme280, count: 3, interval: 10s}]\n")
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    path = tmp_path / "mixed.yaml"
    path.write_text(
        "seed: 4\ndevices:\n" + "".join(f"  - {{kind: {kind}, count: 2, interval: 2s}}\n" for kind in KINDS)
    )
    return path


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["generate", *map(str, arguments)])


def done(*arguments: object) -> dict[str, Any]:
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.exception or result.output
    found: dict[str, Any] = orjson.loads(result.stdout.splitlines()[-1])
    return found


def refused(*arguments: object) -> str:
    result = invoke(*arguments)
    assert isinstance(result.exception, ConfigError)
    return str(result.exception)


@pytest.mark.parametrize(
    ("out", "options"),
    [("x.jsonl", ()), ("x.csv", ()), ("x.parquet", ()), ("f/", ("--format", "csv")), ("f/", ("--format", "jsonl"))],
)
def test_an_output_has_one_writer_at_a_time(
    sensors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, options: tuple[str, ...]
) -> None:
    """The second begins while the first one writes its files their names, which is as late as can be."""
    said: list[str] = []
    acquire = OutputLock.check

    def second_export(lock: OutputLock) -> None:
        acquire(lock)
        if not said:
            said.append("")
            said[0] = refused(sensors, "--from", "2026-03-05", "--to", "2026-03-06", "--out", out, *options)

    monkeypatch.setattr(OutputLock, "check", second_export)
    assert done(sensors, *SPAN, "--out", out, *options)["records"] == 18
    assert "is being written by another process" in said[0]
    assert not list(tmp_path.rglob(".*"))
    assert not list(tmp_path.rglob("*.partial"))


def test_an_output_that_is_another_writers_by_now_is_not_given_its_name(
    sensors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = JsonlFile.save_state

    def stolen(target: JsonlFile) -> Any:
        lock = tmp_path / ".x.jsonl.lock"
        lock.unlink()
        lock.write_text("{}")
        return save(target)

    monkeypatch.setattr(JsonlFile, "save_state", stolen)
    result = invoke(sensors, *SPAN, "--out", "x.jsonl")
    assert isinstance(result.exception, OutputBusyError)
    assert not (tmp_path / "x.jsonl").exists()


def test_labels_have_one_writer_at_a_time(sensors: Path, tmp_path: Path) -> None:
    lock = OutputLock(tmp_path / "labels.jsonl")
    lock.acquire()
    try:
        assert "labels.jsonl is being" in refused(sensors, *SPAN, "--out", "x.csv", "--labels", "labels.jsonl")
    finally:
        lock.release()


@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
def test_shards_fit_into_one_folder(sensors: Path, tmp_path: Path, format_: str) -> None:
    found = [done(sensors, *SPAN, "--out", "f/", "--format", format_, "--shard", f"{i}/2") for i in range(2)]
    assert [one["records"] for one in found] == [12, 6]
    assert [one["stale"] for one in found] == [[], []]
    kind = "all" if format_ == "jsonl" else "bme280"
    names = {f"{kind}-{i}-of-2.{format_}" for i in range(2)} | {f"_manifest-{i}-of-2.json" for i in range(2)}
    assert {path.name for path in (tmp_path / "f").iterdir()} == names


def test_a_folder_says_what_is_in_it_and_what_is_of_a_former_export(mixed: Path, sensors: Path, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    whole = done(mixed, *SPAN, "--out", "f/", "--format", "csv")
    told = orjson.loads((folder / "_manifest.json").read_bytes())
    assert (told["seed"], told["rows"], told["begin"]) == (4, whole["records"], "2026-03-04T12:00:00.000Z")
    for file in told["files"]:
        content = (folder / file["name"]).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert file["rows"] == content.count(b"\n") - 1

    (folder / "of-mine.csv").write_text("a\n1\n")
    result = invoke(sensors, *SPAN, "--out", "f/", "--format", "csv")
    assert result.exit_code == 0
    assert "f has 7 files that this export did not write" in result.stderr
    last = done(sensors, *SPAN, "--out", "f/", "--format", "csv", "--replace")
    assert last["stale"] == ["of-mine.csv"]
    assert {path.name for path in folder.iterdir()} == {"bme280.csv", "of-mine.csv", "_manifest.json"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--out", "x.jsonl", "--labels", "x.jsonl"), "are one file"),
        (("--out", "x.jsonl", "--labels", "./link.jsonl"), "are one file"),
        (("--out", "x.csv", "--labels", "x.csv.partial"), "are one file"),
        (("--out", "x.csv", "--labels", "x.csv.checkpoint"), "are one file"),
        (("--out", "f/", "--format", "csv", "--labels", "f/bme280.csv"), "labels are written as JSON Lines"),
        (("--out", "f/", "--format", "jsonl", "--labels", "f/all.jsonl"), "are one file"),
        (("--labels", "-"), "amid the messages on stdout"),
        (("--labels", "/dev/stdout"), "amid the messages on stdout"),
        (("--out", "own.jsonl",), "is the scenario that is read"),
        (("--out", "x.csv", "--labels", "own.jsonl",), "is the scenario that is read"),
        (("--out", "s3://b/x.parquet"), "a data set of parts: name a folder"),
        (("--out", "gs://b/", "--format", "csv"), "--out gs://…: there is no such place"),
        (("--out", "x.csv", "--labels", "s3://b/l.jsonl"), "--labels s3://…: there is no such place"),
        (("--out", "x.csv", "--labels", "l.parquet"), "labels are written as JSON Lines"),
        (("--out", "x.csv", "--labels", "l.jsonl.gz"), "labels are written as JSON Lines"),
        (("--out", "x.csv.bz2", "--format", "csv"), ".bz2 is not written"),
        (("--out", "x.parquet.gz"), "Parquet is compressed by itself"),
        (("--out", "x.gz", "--format", "jsonl"), ".gz is not written"),
        (("--out", "f/", "--format", "parquet.gz"), "Parquet is compressed by itself"),
        (("--out", "x.xlsx", "--format", "csv"), ".xlsx is not written"),
    ],
)  # fmt: skip
def test_names_say_what_is_written(sensors: Path, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "link.jsonl").symlink_to("x.jsonl")
    sensors.rename(tmp_path / "own.jsonl")
    scenario = tmp_path / "own.yaml"
    scenario.symlink_to("own.jsonl")
    before = {path.name for path in tmp_path.iterdir()}
    assert said in refused(scenario, *SPAN, *arguments)
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["x.CSV.gz", "x.csv.zst", "x.ndjson.gz", "x.json.zst", "x.json", "x.JSONL"])
def test_a_suffix_says_the_format_and_the_compression(sensors: Path, tmp_path: Path, name: str) -> None:
    plain = "x.csv" if "csv" in name.lower() else "plain.jsonl"
    done(sensors, *SPAN, "--out", plain)
    done(sensors, *SPAN, "--out", name)
    content = (tmp_path / name).read_bytes()
    if name.endswith("gz"):
        content = gzip.decompress(content)
    elif name.endswith("zst"):
        content = pa.CompressedInputStream(pa.BufferReader(content), "zstd").read()
    assert content == (tmp_path / plain).read_bytes()


def test_labels_to_stdout(sensors: Path) -> None:
    with sensors.open("a") as file:
        file.write("faults: [{type: bias, kind: bme280, field: humidity, offset: 5, from: 2026-03-04T12:00:10Z}]\n")
    result = invoke(sensors, *SPAN, "--out", "x.csv", "--labels", "-")
    assert [orjson.loads(line)["type"] for line in result.stdout.splitlines()[:-1]] == ["bias"] * 3


def test_what_no_device_was_on_for_is_said_at_once(sensors: Path) -> None:
    early = "have been running since 2000-01-01T00:00:00.000Z, and say nothing before"
    assert early in refused(sensors, "--from", "1965-01-01")
    assert early in refused(sensors, "--from", "1950-01-01", "--records", "3")
    assert early in refused(sensors, "--from", "1999-12-31", "--to", "2000-01-02")
    with sensors.open("a") as file:
        file.write("start: 2026-03-04T12:00:30Z\n")
    assert "are powered on at 2026-03-04T12:00:30.000Z" in refused(
        sensors, "--from", "2026-03-03", "--to", "2026-03-04"
    )
    result = invoke(sensors, "--from", "1990-01-01", "--to", "2026-03-04T12:01", "--out", "x.jsonl", "--json")
    assert orjson.loads(result.stdout)["records"] == 9
    assert "there is nothing before" in result.stderr


def test_why_an_export_has_no_record_is_said(sensors: Path) -> None:
    result = invoke(sensors, "--from", "2026-03-04", "--to", "2026-03-04T00:00:00.001", "--out", "x.csv")
    assert "none of the 3 devices has anything to say" in result.stderr
    result = invoke(sensors, *SPAN, "--out", "x.csv", "--shard", "3/4")
    assert "shard 3/4 has no device" in result.stderr


def test_parquet_says_what_it_is_of_and_keeps_ids_as_texts(mixed: Path, tmp_path: Path) -> None:
    done(mixed, *SPAN, "--out", "f/", "--format", "parquet")
    with parquet.ParquetFile(tmp_path / "f" / "telematics.parquet") as file:
        metadata, schema = file.metadata.metadata, file.schema_arrow
    assert metadata[b"edgefleet.seed"] == b"4"
    assert metadata[b"edgefleet.begin"] == b"2026-03-04T12:00:00.000Z"
    assert len(metadata[b"edgefleet.scenario"]) == 24
    assert metadata[b"edgefleet.version"]
    assert schema.field("event_id").type == pa.string()
    assert pa.types.is_dictionary(schema.field("driver_id").type)


def test_a_name_has_one_type_in_all_kinds(mixed: Path, tmp_path: Path) -> None:
    done(mixed, *SPAN, "--out", "f/", "--format", "parquet")
    types: dict[str, set[pa.DataType]] = {}
    for path in (tmp_path / "f").glob("*.parquet"):
        for field in parquet.read_schema(path):
            types.setdefault(field.name, set()).add(field.type)
    assert {name: found for name, found in types.items() if len(found) > 1} == {}
    assert types["heading_deg"] == {pa.float64()}
    assert types["clean_timestamp" if "clean_timestamp" in types else "timestamp"] == {pa.timestamp("ms", tz="UTC")}


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_groups_of_one_kind_are_in_the_order_of_time_together(tmp_path: Path, format_: str) -> None:
    path = tmp_path / "two.yaml"
    path.write_text("devices: [{kind: gps, count: 2, interval: 2s}, {kind: gps, count: 3, interval: 3s}]\n")
    done(path, *SPAN, "--out", f"x.{format_}")
    if format_ == "csv":
        times = [line.split(",")[1] for line in (tmp_path / "x.csv").read_text().splitlines()[1:]]
    else:
        with parquet.ParquetFile(tmp_path / "x.parquet") as file:
            assert file.metadata.num_row_groups == 1
            times = file.read(["timestamp"])["timestamp"].to_pylist()
    assert len(times) == 2 * 30 + 3 * 20
    assert times == sorted(times)


def test_a_clean_timestamp_is_a_time(sensors: Path, tmp_path: Path) -> None:
    with sensors.open("a") as file:
        file.write("faults: [{type: clock_step, kind: bme280, offset: 1h, from: 2026-03-04T12:00:10Z}]\n")
    done(sensors, *SPAN, "--out", "x.parquet", "--clean")
    table = parquet.read_table(tmp_path / "x.parquet")
    assert table.schema.field("clean_timestamp").type == table.schema.field("timestamp").type
    late = [a - b for a, b in zip(table["timestamp"].to_pylist(), table["clean_timestamp"].to_pylist(), strict=True)]
    assert {delta.total_seconds() for delta in late} == {0.0, 3600.0}


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_a_learner_needs_no_join(sensors: Path, tmp_path: Path, format_: str) -> None:
    with sensors.open("a") as file:
        file.write("faults: [{type: bias, kind: bme280, field: humidity, offset: 5, from: 2026-03-04T12:00:30Z}]\n")
    options = ("--label-column", "--split", "train=.7,test=.3", "--split-by", "time", "--local-time")
    done(sensors, *SPAN, "--out", f"x.{format_}", *options)
    if format_ == "csv":
        with (tmp_path / "x.csv").open(newline="") as lines:
            rows = [row | {"faults": orjson.loads(row["faults"])} for row in csv.DictReader(lines)]
    else:
        rows = parquet.read_table(tmp_path / "x.parquet").to_pylist()
    assert [row["faults"] for row in rows] == [[]] * 9 + [["bias"]] * 9
    assert Counter(row["split"] for row in rows) == {"train": 13, "test": 5}
    assert all(str(row["local_time"]).endswith("+00:00") for row in rows)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--split", "a=1", "--split-by", "time", "--records", "5"), "give --to"),
        (("--split-by", "time"), "add --split"),
        (("--split", "a=1", "--split-by", "site"), "there are device and time"),
        (("--split", "a=1", "--split-gap", "1h"), "add --split-by time"),
        (("--csv", "excel", "--out", "x.parquet"), "--csv is for files of CSV"),
        (("--csv", "numbers", "--out", "x.csv"), "there are excel and spark"),
        (("--schema", "x"), "--schema is for PostgreSQL"),
        (("--partition", "day"), "--partition is for PostgreSQL"),
        (("--replace", "--out", "x.csv"), "--replace is for FOLDER/ and PostgreSQL"),
        (("--stream", "--label-column"), "--label-column is for exports"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(sensors: Path, options: tuple[str, ...], said: str) -> None:
    assert said in refused(sensors, *options)


def test_csv_for_excel_and_for_spark(mixed: Path, tmp_path: Path) -> None:
    rows = {}
    for dialect in ("excel", "spark"):
        done(mixed, *SPAN, "--out", f"{dialect}/", "--format", "csv", "--csv", dialect)
    done(mixed, *SPAN, "--out", "plain/", "--format", "csv")
    for name in ("traffic", "telematics", "foot_traffic_realistic"):
        content = (tmp_path / "excel" / f"{name}.csv").read_bytes()
        assert content.startswith(b"\xef\xbb\xbfdevice_id,timestamp,")
        with (tmp_path / "excel" / f"{name}.csv").open(newline="", encoding="utf-8-sig") as lines:
            rows["excel"] = list(csv.DictReader(lines))
        with (tmp_path / "plain" / f"{name}.csv").open(newline="", encoding="utf-8") as lines:
            rows["plain"] = list(csv.DictReader(lines))
        with (tmp_path / "spark" / f"{name}.csv").open(newline="", encoding="utf-8") as lines:
            rows["spark"] = list(csv.DictReader(lines, doublequote=False, escapechar="\\"))
        assert rows["spark"] == rows["plain"]
        assert len(rows["plain"]) > 1
        for ours, other in zip(rows["plain"], rows["excel"], strict=True):
            datetime.strptime(other["timestamp"], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
            assert {key: text.replace(" ", "T").removesuffix("Z") for key, text in other.items()} == {
                key: text.replace(" ", "T").removesuffix("Z") for key, text in ours.items()
            }
    assert "–".encode() in (tmp_path / "excel" / "foot_traffic_realistic.csv").read_bytes()
