"""Databases that are one file, and Delta tables: exact after an interruption, and nothing is there twice."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from devices.export.base import ExportTarget
from devices.export.database import DuckdbFile, SqliteFile
from devices.export.files import TableFiles
from devices.export.job import ExportProgress, ExportSpan, export
from devices.export.parquet import ParquetWriter
from devices.export.provenance import Provenance
from devices.export.stores import S3Place
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.errors import EdgefleetError
from edgewire.output_lock import OutputBusyError, OutputLock
from tests.services.fixtures import require_package
from tests.services.s3 import KEY, SECRET, running_s3

pytestmark = pytest.mark.slow

FROM_MS = parse_ms("2026-03-04T12:00:00Z")
SPAN = ExportSpan(FROM_MS, FROM_MS + 60_000)
SCENARIO = Scenario(seed=7, devices=[{"kind": kind, "count": 2, "interval": "1s"} for kind in ("bme280", "gps")])
ABOUT = {"edgefleet.seed": "7"}


class Cut(Exception):
    """As a kill between two windows."""


def interrupted(target: ExportTarget, sidecar: Path, windows: int) -> None:
    """Export some windows and be killed: what was open is let go of, and nothing is saved any more."""
    seen = 0

    def report(_: ExportProgress) -> None:
        nonlocal seen
        seen += 1
        if seen == windows:
            raise Cut

    timeline = Timeline(SCENARIO, EPOCH_MS)
    with pytest.raises(Cut):
        export(
            timeline,
            SPAN,
            target,
            checkpoint=(sidecar, "mark"),
            window_rows=40,
            progress=ExportProgress(report=report),
        )


def whole(target: ExportTarget, sidecar: Path, *, resume: bool = True, span: ExportSpan = SPAN) -> None:
    timeline = Timeline(SCENARIO, EPOCH_MS)
    export(timeline, span, target, checkpoint=(sidecar, "mark"), resume=resume, window_rows=40)


def rows_of(path: Path) -> list[Any]:
    if path.suffix == ".sqlite":
        connect: Any = sqlite3.connect
    else:
        connect = require_package("duckdb").connect
    with closing(connect(str(path))) as connection:
        return [
            connection.execute(f"SELECT * FROM {table} ORDER BY device_id, seq").fetchall()
            for table in ("bme280", "gps", "edgefleet")
            if table != "edgefleet"
        ] + [sorted(connection.execute("SELECT * FROM edgefleet").fetchall())]


@pytest.mark.parametrize("suffix", ["duckdb", "sqlite"])
def test_a_database_is_gone_on_with_and_exact(tmp_path: Path, suffix: str) -> None:
    require_package("duckdb")
    database = DuckdbFile if suffix == "duckdb" else SqliteFile

    def made(name: str) -> Any:
        return database(Timeline(SCENARIO, EPOCH_MS), tmp_path / f"{name}.{suffix}", ABOUT)

    whole(made("one"), tmp_path / "a", resume=False)
    interrupted(made("two"), tmp_path / "b", 3)
    assert not (tmp_path / f"two.{suffix}").exists()
    (tmp_path / f"two.{suffix}.partial").write_bytes(b"half a database")
    whole(made("two"), tmp_path / "b")
    assert rows_of(tmp_path / f"two.{suffix}") == rows_of(tmp_path / f"one.{suffix}")
    assert sum(map(len, rows_of(tmp_path / f"one.{suffix}")[:2])) == 240
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"one.{suffix}", f"two.{suffix}"]
    # Killed after it had its name: it is known again by what it says.
    again = made("two")
    again.open({"rows": 240, "tables": {}})
    assert again.save_state() == {"rows": 240, "tables": {}}
    again.finish()
    with pytest.raises(EdgefleetError, match="leave out --resume"):
        made("two").open({"rows": 239, "tables": {"bme280": {"size": 9, "rows": 1}, "gps": {"size": 9, "rows": 1}}})
    lock = OutputLock(tmp_path / f"one.{suffix}")
    lock.acquire()
    with pytest.raises(OutputBusyError):
        made("one").open(None)
    lock.release()


def delta(place: Path | S3Place, span: ExportSpan = SPAN, scenario: Scenario = SCENARIO, **options: Any) -> Any:
    from devices.export.delta import DeltaTables

    part = options.pop("shard", Shard())
    provenance = Provenance.of_export(scenario, span, part, "1", delays=False)
    return DeltaTables(Timeline(scenario, EPOCH_MS, part), place, provenance, **options)


def keys(place: Path, name: str) -> list[tuple[str, int]]:
    table = require_package("deltalake").DeltaTable(place / name).to_pyarrow_table()
    return sorted(zip(table["device_id"].to_pylist(), table["seq"].to_pylist(), strict=True))


def test_delta_tables_have_every_row_once(tmp_path: Path) -> None:
    require_package("deltalake")
    whole(delta(tmp_path / "one"), tmp_path / "a", resume=False)
    # Killed: more windows are committed than the checkpoint knows.
    interrupted(delta(tmp_path / "two"), tmp_path / "b", 3)
    again = delta(tmp_path / "two")
    whole(again, tmp_path / "b")
    assert again.counts["already_there"] > 0
    for name in ("bme280", "gps"):
        assert keys(tmp_path / "two", name) == keys(tmp_path / "one", name)
        assert len(set(keys(tmp_path / "one", name))) == len(keys(tmp_path / "one", name)) == 120
    repeated = delta(tmp_path / "one")
    whole(repeated, tmp_path / "a", resume=False)
    assert repeated.counts == {"inserted": 0, "already_there": 240}
    later = ExportSpan(SPAN.to_ms, SPAN.to_ms + 10_000)
    whole(delta(tmp_path / "one", later), tmp_path / "a", resume=False, span=later)
    assert len(keys(tmp_path / "one", "gps")) == 140
    overlapping = ExportSpan(SPAN.to_ms - 1000, SPAN.to_ms + 1000)
    other = SCENARIO.model_copy(update={"seed": 8})
    for target, said in (
        (delta(tmp_path / "one", overlapping), "they would be there twice"),
        (delta(tmp_path / "one", scenario=other), "of another seed, scenario or option"),
        (delta(tmp_path / "one", options=["spark"]), "of another seed, scenario or option"),
    ):
        with pytest.raises(EdgefleetError, match=said):
            target.open(None)
    whole(delta(tmp_path / "one", overlapping, is_replacing=True), tmp_path / "a", resume=False, span=overlapping)
    assert len(keys(tmp_path / "one", "gps")) == 4


def test_delta_tables_take_shards_and_live_behind_s3(tmp_path: Path) -> None:
    require_package("deltalake")
    with running_s3("lake") as url:
        place = S3Place.parse(f"s3://{KEY}:{SECRET}@lake/x?endpoint={url}", {})
        for index in (0, 1):
            target = delta(place, shard=Shard(index, 2))
            timeline = Timeline(SCENARIO, EPOCH_MS, Shard(index, 2))
            export(timeline, SPAN, target, checkpoint=None)
            assert target.counts == {"inserted": 120, "already_there": 0}
        repeated = delta(place, shard=Shard(1, 2))
        export(Timeline(SCENARIO, EPOCH_MS, Shard(1, 2)), SPAN, repeated, checkpoint=None)
        assert repeated.counts == {"inserted": 0, "already_there": 120}
    away = S3Place.parse(f"s3://{KEY}:{SECRET}@lake/x?endpoint=http://127.0.0.1:9", {})
    with pytest.raises(EdgefleetError, match="cannot be written") as told:
        delta(away).open(None)
    assert SECRET not in str(told.value)
    assert "\x1b" not in str(told.value)


def test_what_finishes_alone_has_all_that_it_needs(tmp_path: Path) -> None:
    """Gone on with behind its last window, a database is made in a process that has written none."""
    code = (
        "import sys; from pathlib import Path; from devices.export.database import _fill; import sqlite3;"
        "_fill(sqlite3.connect(':memory:'), Path(sys.argv[1]))"
    )
    timeline = Timeline(SCENARIO, EPOCH_MS)
    export(timeline, SPAN, TableFiles(timeline, tmp_path, ".parquet", ParquetWriter), checkpoint=None)
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "bme280.parquet")], check=True)
