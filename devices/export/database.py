"""Writes a database that is one file, of DuckDB or SQLite: a table for each schema, and `edgefleet`: what they are of.

Nothing appends to such a file and could be cut off anywhere. So while an export is under way its messages are Parquet
files in `.NAME.tables` beside it, which can be gone on with; at the end the database is made of them, as
`NAME.partial`, and given its name.
"""

import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
from pyarrow import compute, parquet

from devices.export.base import ExportError, ExportWindow, ResumeState
from devices.export.files import TableFiles
from devices.export.parquet import ParquetWriter
from devices.timeline.timeline import Timeline
from edgewire.output import is_stream, make_output_folder, partial_path, require_file
from edgewire.output_lock import OutputLock

_ABOUT = "edgefleet"
"""The table of names and values that says what the database is of."""
_INSERT_ABOUT = f"INSERT INTO {_ABOUT} VALUES (?, ?)"  # noqa: S608 - no text of others
_SELECT_ABOUT = f"SELECT name, value FROM {_ABOUT}"  # noqa: S608


class DatabaseFile(ABC):
    """Writes the messages of all schemas into one file."""

    def __init__(self, timeline: Timeline, path: Path, metadata: Mapping[str, str]) -> None:
        """Write to `path`; the `metadata` is what the table `edgefleet` says."""
        self.paths = [path]
        self._path = path
        self._metadata = dict(metadata)
        self._stage = path.with_name(f".{path.name}.tables")
        self._lock: OutputLock | None = None
        self._rows = 0
        self._is_complete = False
        writer = partial(ParquetWriter, metadata=metadata)
        self._tables = TableFiles(timeline, self._stage, ".parquet", writer, folder=True)

    def open(self, state: ResumeState | None) -> None:
        """Begin the tables, or go on with them; raises `ExportError` where the file cannot be written."""
        if is_stream(self._path):
            raise ExportError(f"{self._path}: a database is a file, and this is none")
        try:
            self._path = require_file(self._path)
            make_output_folder(self._path.parent)
            lock = OutputLock(self._path, self.paths[0])
            lock.acquire()
            self._lock = lock
        except OSError as error:
            raise ExportError(f"{self._path} cannot be written: {error.strerror}") from None
        self._rows = int(state["rows"]) if state else 0
        if state is not None and not self._stage.exists() and self._said() == self._about():
            self._is_complete = True
            return
        if state is None:
            shutil.rmtree(self._stage, ignore_errors=True)
        self._tables.open(state["tables"] if state else None)

    def write(self, window: ExportWindow) -> int:
        """Append a window's messages to their tables."""
        count = self._tables.write(window)
        self._rows += count
        return count

    def save_state(self) -> ResumeState:
        """Make durable what was written, and return what to go on from."""
        return {"rows": self._rows, "tables": {} if self._is_complete else dict(self._tables.save_state())}

    def finish(self) -> None:
        """Make the database of the tables and give it its name."""
        if not self._is_complete:
            self._tables.finish()
            made = partial_path(self._path)
            try:
                for left in (made, made.with_name(made.name + ".wal"), made.with_name(made.name + "-journal")):
                    left.unlink(missing_ok=True)
                self._make(made, sorted(self._stage.glob("*.parquet")), self._about())
                if self._lock:
                    self._lock.check()
                made.replace(self._path)
            except OSError as error:
                raise ExportError(f"{self._path} cannot be written: {error.strerror or error}") from None
            shutil.rmtree(self._stage, ignore_errors=True)
        self._let_go()

    def abandon(self) -> None:
        """Let go; what was written stays."""
        if not self._is_complete:
            self._tables.abandon()
        self._let_go()

    @abstractmethod
    def _make(self, path: Path, tables: list[Path], about: Mapping[str, str]) -> None:
        """Make a database of Parquet files; raises `ExportError`."""

    @abstractmethod
    def _said(self) -> dict[str, str]:
        """Return what the table `edgefleet` of the file says, nothing where there is none."""

    def _about(self) -> dict[str, str]:
        return self._metadata | {"rows": str(self._rows)}

    def _let_go(self) -> None:
        if self._lock:
            self._lock.release()
            self._lock = None


class DuckdbFile(DatabaseFile):
    """Writes a file of DuckDB, which reads the tables by itself; types are those of Parquet."""

    def _make(self, path: Path, tables: list[Path], about: Mapping[str, str]) -> None:
        import duckdb

        try:
            with closing(duckdb.connect(str(path))) as connection:
                connection.execute("SET preserve_insertion_order = true; SET TimeZone = 'UTC'")
                for table in tables:
                    connection.read_parquet(str(table)).create(table.stem)
                connection.execute(f"CREATE TABLE {_ABOUT} (name VARCHAR PRIMARY KEY, value VARCHAR)")
                connection.executemany(_INSERT_ABOUT, list(about.items()))
        except duckdb.Error as error:
            raise ExportError(f"{self._path} cannot be written: {' '.join(str(error).split())}") from None

    def _said(self) -> dict[str, str]:
        import duckdb

        with suppress(duckdb.Error, OSError), closing(duckdb.connect(str(self._path), read_only=True)) as connection:
            return dict(connection.execute(_SELECT_ABOUT).fetchall())
        return {}


class SqliteFile(DatabaseFile):
    """Writes a file of SQLite: times are texts as in JSON, truths 0 and 1, lists and mappings JSON."""

    def _make(self, path: Path, tables: list[Path], about: Mapping[str, str]) -> None:
        try:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA journal_mode = OFF")  # a file that is not complete is made anew
                for table in tables:
                    _fill(connection, table)
                connection.execute(f"CREATE TABLE {_ABOUT} (name TEXT PRIMARY KEY, value TEXT)")
                connection.executemany(_INSERT_ABOUT, list(about.items()))
                connection.commit()
        except sqlite3.Error as error:
            raise ExportError(f"{self._path} cannot be written: {error}") from None

    def _said(self) -> dict[str, str]:
        if not self._path.is_file():
            return {}
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._path)) as connection:
            return dict(connection.execute(_SELECT_ABOUT).fetchall())
        return {}


def _fill(connection: sqlite3.Connection, table: Path) -> None:
    with parquet.ParquetFile(table) as file:
        columns = ", ".join(f'"{field.name}" {_sqlite_type(field.type)}' for field in file.schema_arrow)
        connection.execute(f'CREATE TABLE "{table.stem}" ({columns}, PRIMARY KEY (device_id, boot, seq)) WITHOUT ROWID')
        places = ", ".join("?" * len(file.schema_arrow))
        for batch in file.iter_batches():
            rows = zip(*(_sqlite_values(column) for column in batch.columns), strict=True)
            connection.executemany(f'INSERT INTO "{table.stem}" VALUES ({places})', rows)  # noqa: S608
        connection.execute(f'CREATE INDEX "{table.stem}_timestamp" ON "{table.stem}" (timestamp)')


def _sqlite_type(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return "INTEGER"
    return "REAL" if pa.types.is_floating(kind) else "TEXT"


def _sqlite_values(column: pa.Array) -> Iterator[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        texts = compute.strftime(column, format="%Y-%m-%dT%H:%M:%SZ").to_pylist()
        return iter(texts)
    values = column.to_pylist()
    if pa.types.is_map(kind):
        return (None if value is None else orjson.dumps(dict(value)).decode() for value in values)
    if pa.types.is_list(kind):
        return (None if value is None else orjson.dumps(value).decode() for value in values)
    return iter(values)
