"""What common readers make of an export with their defaults: every value, as the messages have it."""

import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from devices.export.arrow import ArrowWriter
from devices.export.columns import table_schemas
from devices.export.csv import CsvDialect, CsvWriter
from devices.export.database import DuckdbFile, SqliteFile
from devices.export.files import TableFiles
from devices.export.job import ExportSpan, export
from devices.export.parquet import ParquetWriter
from devices.export.provenance import Provenance
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.messages import CONTRACT
from tests.devices.export.test_parts import parted, written
from tests.services.fixtures import require_package

pytestmark = pytest.mark.slow

FROM_MS = parse_ms("2026-03-04T12:00:00Z")
SPAN = ExportSpan(FROM_MS, FROM_MS + 120_000, clean=True)
# Its first three vehicles are driven in these minutes.
SCENARIO = Scenario(
    seed=7,
    world=1,
    devices=[{"kind": kind, "count": 3, "interval": "2s"} for kind in CONTRACT],
    faults=[{"type": "clock_step", "kind": "bme280", "offset": "1h", "from": "2026-03-04T12:01:00Z"}],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("exports")
    timeline = Timeline(SCENARIO, EPOCH_MS)
    for suffix, writer in ((".csv", CsvWriter), (".parquet", ParquetWriter), (".arrow", ArrowWriter)):
        export(timeline, SPAN, TableFiles(timeline, found / suffix[1:], suffix, writer), checkpoint=None)
    spark = TableFiles(timeline, found / "spark", ".csv", partial(CsvWriter, dialect=CsvDialect.SPARK))
    export(timeline, SPAN, spark, checkpoint=None)
    return found


@pytest.fixture(scope="module")
def messages() -> dict[tuple[str, int], dict[str, Any]]:
    payloads = Timeline(SCENARIO, EPOCH_MS).batch(SPAN.from_ms, SPAN.to_ms, clean=True).payload
    return {(one["device_id"], one["seq"]): one for one in map(orjson.loads, payloads)}


def plain(value: Any) -> Any:
    """A value as JSON would have it, whatever a reader makes of it."""
    if (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in ("NaTType", "NAType")
    ):
        return None
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        pairs = [tuple(one) if isinstance(one, list | tuple) else one for one in value]
        if pairs and all(isinstance(one, tuple) and len(one) == 2 for one in pairs):
            return dict(pairs)
        return [plain(one) for one in value]
    if isinstance(value, str) and value[:1] in "[{":
        return orjson.loads(value)
    return value


def compare(rows: list[dict[str, Any]], messages: dict[tuple[str, int], dict[str, Any]]) -> int:
    for row in rows:
        message = messages[row["device_id"], int(row["seq"])]
        for name, value in message.items():
            if name in ("metadata", "inter_arrival_stats"):
                for inner, each in value.items():
                    assert plain(row[f"{name}_{inner}"]) == each, (name, inner)
            else:
                found = plain(row[name])
                assert (found or None) == (value or None) if isinstance(value, list | dict) else found == value, name
    return len(rows)


def read_all(folder: Path, suffix: str, read: Callable[[Path], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    names = [schema.name for schema in table_schemas(Timeline(SCENARIO, EPOCH_MS))]
    return [row for name in names for row in read(folder / suffix / f"{name}.{suffix}")]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow"])
def test_pandas(folder: Path, messages: dict[Any, Any], suffix: str) -> None:
    pandas = require_package("pandas")
    read = {"parquet": pandas.read_parquet, "csv": pandas.read_csv, "arrow": pandas.read_feather}[suffix]
    rows = read_all(folder, suffix, lambda path: read(path).to_dict("records"))
    assert compare(rows, messages) == len(messages)


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow"])
def test_polars(folder: Path, messages: dict[Any, Any], suffix: str) -> None:
    polars = require_package("polars")
    read = {"parquet": polars.read_parquet, "csv": polars.read_csv, "arrow": polars.read_ipc}[suffix]
    rows = read_all(folder, suffix, lambda path: read(path).to_dicts())
    assert compare([{key: as_map(value) for key, value in row.items()} for row in rows], messages) == len(messages)
    if suffix == "parquet":
        both = [polars.scan_parquet(folder / suffix / f"{name}.parquet") for name in ("gps", "telematics")]
        assert polars.concat(both, how="diagonal").select(polars.len()).collect().item() > 0


def as_map(value: Any) -> Any:
    """A map as polars has it: a list of keys and values."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {one["key"]: one["value"] for one in value}
    return value


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_duckdb(folder: Path, messages: dict[Any, Any], suffix: str) -> None:
    duckdb = require_package("duckdb")
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")

    def read(path: Path) -> list[dict[str, Any]]:
        cursor = connection.execute(f"SELECT * FROM '{path}'")
        return [dict(zip([one[0] for one in cursor.description], row, strict=True)) for row in cursor.fetchall()]

    assert compare(read_all(folder, suffix, read), messages) == len(messages)
    if suffix == "parquet":
        everything = f"read_parquet('{folder}/parquet/*.parquet', union_by_name=true)"
        asked = f"SELECT count(*), count(DISTINCT heading_deg) FROM {everything}"
        count, headings = connection.execute(asked).fetchone()
        assert count == len(messages)
        assert headings > 10


def names() -> list[str]:
    return [schema.name for schema in table_schemas(Timeline(SCENARIO, EPOCH_MS))]


@pytest.mark.parametrize("name", ["x.duckdb", "x.sqlite"])
def test_a_database_of_one_file(folder: Path, messages: dict[Any, Any], name: str) -> None:
    duckdb = require_package("duckdb")
    connect = {"x.duckdb": partial(duckdb.connect, read_only=True), "x.sqlite": sqlite3.connect}[name]
    database = {"x.duckdb": DuckdbFile, "x.sqlite": SqliteFile}[name]
    target = database(Timeline(SCENARIO, EPOCH_MS), folder / name, {"edgefleet.seed": "7"})
    export(Timeline(SCENARIO, EPOCH_MS), SPAN, target, checkpoint=None)
    with closing(connect(str(folder / name))) as connection:
        if name == "x.duckdb":
            connection.execute("SET TimeZone = 'UTC'")
        found = []
        for table in names():
            cursor = connection.execute(f'SELECT * FROM "{table}"')
            found += [dict(zip([one[0] for one in cursor.description], row, strict=True)) for row in cursor.fetchall()]
        assert compare(found, messages) == len(messages)
        about = dict(connection.execute("SELECT name, value FROM edgefleet").fetchall())
        assert about == {"edgefleet.seed": "7", "rows": str(len(messages))}
    assert not list(folder.glob(".x.*"))


@pytest.fixture(scope="module")
def delta_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_package("deltalake")
    from devices.export.delta import DeltaTables

    found = tmp_path_factory.mktemp("delta")
    timeline = Timeline(SCENARIO, EPOCH_MS)
    delta = DeltaTables(timeline, found, Provenance.of_export(SCENARIO, SPAN, Shard(), "1", delays=False))
    export(timeline, SPAN, delta, checkpoint=None, window_rows=300)
    return found


@pytest.mark.parametrize("reader", ["polars", "pandas", "arrow"])
def test_delta(delta_folder: Path, messages: dict[Any, Any], reader: str) -> None:
    polars = require_package("polars")
    rows: list[dict[str, Any]] = []
    for name in names():
        place = delta_folder / name
        table = require_package("deltalake").DeltaTable(place)
        if reader == "polars":
            found = polars.read_delta(str(place)).to_dicts()
        elif reader == "pandas":
            found = table.to_pandas().to_dict("records")
        else:
            found = table.to_pyarrow_table().to_pylist()
        assert len(table.history()) > 1
        rows += [{key: as_map(value) for key, value in row.items()} for row in found]
    assert compare(rows, messages) == len(messages)


@pytest.mark.spark
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:.*unclosed <socket:pytest.PytestUnraisableExceptionWarning")  # py4j's
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_spark(spark: Any, folder: Path, messages: dict[Any, Any], tmp_path: Path) -> None:
    """All kinds at once, whose schemas are merged; a data set of parts; JSON lines; a CSV with quotes in its cells."""
    zone = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    try:
        merged = spark.read.option("mergeSchema", "true").parquet(str(folder / "parquet"))
        assert merged.count() == len(messages)
        assert merged.selectExpr("count(DISTINCT heading_deg) > 10").first()[0]
        tables = [spark.read.parquet(str(path)) for path in sorted((folder / "parquet").iterdir())]
        read = [row.asDict(recursive=True) for table in tables for row in table.collect()]
        assert compare(read, messages) == len(messages)
        parts = written(parted(tmp_path / "lake"))
        lake = spark.read.option("mergeSchema", "true").parquet(str(tmp_path / "lake"))
        assert lake.count() == sum(part.rows for part in parts.done.values()) > 0
        assert {str(row.date) for row in lake.select("date").distinct().collect()} == {"2026-03-04", "2026-03-05"}
        (tmp_path / "lines.jsonl").write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in messages.values()))
        assert spark.read.json(str(tmp_path / "lines.jsonl")).count() == len(messages)
        plain = spark.read.csv(str(folder / "csv" / "traffic.csv"), header=True, escape='"')
        marked = spark.read.csv(str(folder / "spark" / "traffic.csv"), header=True)
        rows = [row.asDict() for row in plain.collect()]
        assert rows == [row.asDict() for row in marked.collect()]
        for row in rows:
            message = messages[row["device_id"], int(row["seq"])]
            assert orjson.loads(row["color_counts"]) == message["color_counts"]
    finally:
        spark.conf.set("spark.sql.session.timeZone", zone)


READS = {
    "pandas": (test_pandas, test_delta),
    "polars": (test_polars, test_delta),
    "DuckDB": (test_duckdb, test_a_database_of_one_file),
    "PySpark": (test_spark,),
    "pyarrow": (test_delta,),
    "sqlite3": (test_a_database_of_one_file,),
}
"""Reader -> the tests that read with it."""
TABLE = """\
| | Parquet | CSV | Arrow | `.duckdb` | `.sqlite` | Delta |
|---|---|---|---|---|---|---|
| pandas | `read_parquet` | `read_csv` | `read_feather` | | | `DeltaTable.to_pandas` |
| polars | `read_parquet` | `read_csv` | `read_ipc` | | | `read_delta` |
| DuckDB | `FROM 'x.parquet'` | `FROM 'x.csv'` | | `connect` | | |
| PySpark | `read.parquet`, with `mergeSchema` all kinds | `--csv spark` | | | | |
| pyarrow | `parquet.read_table` | | `ipc.open_file` | | | `DeltaTable.to_pyarrow_table` |
| sqlite3 | | | | | `connect` | |
"""


def test_the_table_of_the_manual_is_of_what_is_read_here() -> None:
    assert TABLE in (Path(__file__).parents[3] / "docs/exporting.md").read_text(encoding="utf-8")
    assert list(READS) == [line.split("|")[1].strip() for line in TABLE.splitlines()[2:]]
