"""Fills PostgreSQL by COPY: a table a shape of message; exporting the same messages again changes nothing.

What is there under the key of a message with other values is of another seed, scenario or option: the export ends
there, before anything of that window is written. `runs` says what each export was of, and what came of it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import numpy as np
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb

from devices.export.base import ExportError, ExportWindow, ResumeState
from devices.export.columns import Column, ColumnType, TableSchema, split_by_schema, table_schemas
from devices.export.csv import csv_rows
from devices.export.provenance import Provenance
from devices.faults.labels import Label
from devices.timeline.table import Table
from devices.timeline.timeline import Timeline
from edgewire.redact import KnownSecrets, escape_hint
from edgewire.service_url import postgres_address

_SQL = {
    ColumnType.TEXT: "text",
    ColumnType.ID: "text",
    ColumnType.FLOAT: "double precision",
    ColumnType.INT: "bigint",
    ColumnType.BOOL: "boolean",
    ColumnType.TIME: "timestamptz",
    ColumnType.TEXTS: "jsonb",
    ColumnType.COUNTS: "jsonb",
    ColumnType.JSON: "jsonb",
}
_LABELS_TABLE = """
    CREATE TABLE IF NOT EXISTS labels (
        device_id text, kind text, boot bigint, type text, fields text[], parameters jsonb, layer text,
        start_time timestamptz, end_time timestamptz, first_seq bigint, last_seq bigint, messages bigint,
        PRIMARY KEY (device_id, boot, type, fields, start_time)
    )"""
_ADD_LABEL = """
    INSERT INTO labels VALUES (
        %s, %s, %s, %s, %s, %s, %s, to_timestamp(%s / 1000.0), to_timestamp(%s / 1000.0), %s, %s, %s)
    ON CONFLICT (device_id, boot, type, fields, start_time) DO UPDATE SET
        first_seq = least(labels.first_seq, excluded.first_seq),
        last_seq = greatest(labels.last_seq, excluded.last_seq),
        messages = greatest(labels.messages, excluded.messages)
    WHERE labels.parameters = excluded.parameters AND labels.end_time IS NOT DISTINCT FROM excluded.end_time"""
_RUNS_TABLE = """
    CREATE TABLE IF NOT EXISTS runs (
        run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, seed numeric, scenario text, version text,
        begin_time timestamptz, end_time timestamptz, records bigint, shard text, clean boolean, delays boolean,
        devices text[], started timestamptz DEFAULT now(), finished timestamptz, replaced timestamptz,
        inserted bigint, already_there bigint
    )"""
_ADD_RUN = """
    INSERT INTO runs (seed, scenario, version, begin_time, end_time, records, shard, clean, delays, devices)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING run_id"""
_REPLACE_RUNS = """
    UPDATE runs SET replaced = now() WHERE replaced IS NULL AND EXISTS (
        SELECT 1 FROM unnest(devices) AS theirs(id) JOIN unnest(%s::text[]) AS ours(id) USING (id))"""
_OTHER_RUN = """
    SELECT run_id, seed, scenario, clean, delays FROM runs
    WHERE (scenario, clean, delays) IS DISTINCT FROM (%s, %s, %s) AND replaced IS NULL AND EXISTS (
        SELECT 1 FROM unnest(devices) AS theirs(id) JOIN unnest(%s::text[]) AS ours(id) USING (id))
    ORDER BY run_id DESC LIMIT 1"""
_END_RUN = "UPDATE runs SET finished = now(), inserted = %s, already_there = %s WHERE run_id = %s"
_TIMESCALE = """
    SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
    WHERE extname = 'timescaledb'"""
_IS_HYPERTABLE = """
    SELECT 1 FROM timescaledb_information.hypertables
    WHERE hypertable_schema = current_schema() AND hypertable_name = %s"""
_KEY = ("device_id", "boot", "seq")
_REMEDY = "replace them with --replace, or keep the exports apart with --schema NAME"
_DAY_MS = 86_400_000
_DEFINITIONS = 7_264_513_903_312_405
"""The advisory lock of whoever makes tables: PostgreSQL lets two that make the same one at once fail."""


@dataclass(frozen=True, slots=True)
class PostgresOptions:
    """Says how an export is stored."""

    schema: str | None = None
    """Of the tables; None for the one that the server's `search_path` says."""
    is_replacing: bool = False
    """Whether all rows of the devices are removed before."""
    has_day_partitions: bool = False
    """Whether tables that are made have a partition a day (UTC)."""
    has_hypertables: bool = False
    """Whether tables that are made are hypertables of TimescaleDB, with a chunk a day."""

    @property
    def has_time_in_key(self) -> bool:
        """Return whether the key has the timestamp, without which rows cannot be kept apart by it."""
        return self.has_day_partitions or self.has_hypertables


class PostgresTables:
    """Writes each window as one transaction: a reader never sees half of one."""

    def __init__(
        self,
        timeline: Timeline,
        url: str,
        provenance: Provenance | None = None,
        options: PostgresOptions | None = None,
    ) -> None:
        """Write to `url`, which is postgresql://USER:PASSWORD@HOST:PORT/DATABASE; `runs` tells of the `provenance`."""
        self._url = url
        self._place = f"PostgreSQL at {postgres_address(url)}"
        try:
            given = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # Its text shows what it does not understand, which may be of the password.
            raise ExportError(
                f"{self._place}: the URL cannot be read{escape_hint(url) or ': a % is written as %25'}"
            ) from None
        self._secrets = KnownSecrets([str(given.get("password") or "")])
        self._options = options or PostgresOptions()
        self._provenance = provenance
        self._run_id: int | None = None
        self._timescale = ""
        """The schema of TimescaleDB's functions."""
        self._device_ids = [device.device_id for device in timeline.devices]
        self._schemas = {schema.name: schema for schema in table_schemas(timeline)}
        self._ready: set[str] = set()
        self._had_rows: set[str] = set()
        self._partitions: set[tuple[str, int]] = set()
        self._connection: psycopg.Connection | None = None
        self.counts = {"inserted": 0, "already_there": 0}
        """Records, by what became of them."""

    def open(self, state: ResumeState | None) -> None:
        """Make the tables and columns that are missing; raises `ExportError` where the server cannot be reached."""
        try:
            self._connection = self._connect()
            with self._defining():
                self._require_timescale()
                for schema in self._schemas.values():
                    self._make_table(schema.name, schema.columns)
                self._begin_run(state)
        except psycopg.Error as error:
            raise self._failure(error) from None

    def write(self, window: ExportWindow) -> int:
        """Write a window's messages; raises `ExportError` where others are there under their keys."""
        tables = list(split_by_schema(list(self._schemas.values()), window.tables))
        try:
            self._prepare(window.timeline, tables)
            before = dict(self.counts)
            try:
                with self._open.transaction():
                    for schema, table in tables:
                        self._copy(window.timeline, self._schemas[schema.name], table)
            except BaseException:
                self.counts = before
                if self._run_id is not None and not any(before.values()) and not self._open.broken:
                    self._open.execute("DELETE FROM runs WHERE run_id = %s", [self._run_id])
                raise
        except psycopg.Error as error:
            raise self._failure(error) from None
        return window.rows

    def save_state(self) -> ResumeState:
        """Return what was counted: what is written is durable, and known again by its keys."""
        return {"run_id": self._run_id, **self.counts}

    def finish(self) -> None:
        """Say in `runs` that it is complete, and close the connection."""
        try:
            if self._run_id is not None:
                self._open.execute(_END_RUN, [*self.counts.values(), self._run_id])
        except psycopg.Error as error:
            raise self._failure(error) from None
        self.abandon()

    def abandon(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def add_labels(self, labels: Iterable[Label]) -> None:
        """Write the ground truth of what was exported; a label that is there grows where this one reaches further."""
        rows = [_label_row(label) for label in labels]
        try:
            self._connection = self._connect()
            with self._defining():
                self._open.execute(_LABELS_TABLE)
            with self._open.transaction(), self._open.cursor() as cursor:
                cursor.executemany(_ADD_LABEL, rows)
                if cursor.rowcount < len(rows):
                    others = f"{len(rows) - cursor.rowcount:,} of {len(rows):,} labels"
                    raise ExportError(
                        f"{self._place}: {others} are there already with other parameters, as of another scenario: "
                        f"{_REMEDY}"
                    )
        except psycopg.Error as error:
            raise self._failure(error) from None
        finally:
            self.abandon()

    @property
    def _open(self) -> psycopg.Connection:
        assert self._connection is not None, "the target is not open"
        return self._connection

    def _connect(self) -> psycopg.Connection:
        connection = psycopg.connect(self._url, connect_timeout=10, autocommit=True)
        if name := self._options.schema:
            found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [name]).fetchone()
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", [_DEFINITIONS])
                if not found:
                    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(name)))
            connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(name)))
        return connection

    @contextmanager
    def _defining(self) -> Iterator[None]:
        """Define tables, one process after the other, in a transaction that holds no rows: so nobody waits for two."""
        with self._open.transaction():
            self._open.execute("SELECT pg_advisory_xact_lock(%s)", [_DEFINITIONS])
            yield

    def _begin_run(self, state: ResumeState | None) -> None:
        """Say in `runs` what this export is of, and remove what it is to replace, unless it is gone on with."""
        if state is not None:
            self._run_id = state.get("run_id")
            self.counts = {name: state.get(name, 0) for name in self.counts}
        elif self._options.is_replacing:
            tables = [*self._schemas, *(["labels"] if self._columns_of("labels") else [])]
            for name in tables:
                delete = sql.SQL("DELETE FROM {} WHERE device_id = ANY(%s)").format(sql.Identifier(name))
                self._open.execute(delete, [self._device_ids])
        for name in self._schemas:
            if self._open.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(name))).fetchone():
                self._had_rows.add(name)
        of = self._provenance
        if of is None:
            return
        columns = self._columns_of("runs")
        if columns and not {"run_id", "scenario", "devices", "replaced"} <= columns:
            raise ExportError(f"{self._place}: there is a table runs of somebody else: keep apart with --schema NAME")
        self._open.execute(_RUNS_TABLE)
        if self._run_id is None:
            if self._options.is_replacing:
                self._open.execute(_REPLACE_RUNS, [self._device_ids])
            self._refuse_mixture(of)
            values = [of.seed, of.scenario, of.version, of.begin, of.end, of.records, of.shard, of.clean, of.delays]
            values.append(self._device_ids)
            row = self._open.execute(_ADD_RUN, values).fetchone()
            self._run_id = row[0] if row else None

    def _refuse_mixture(self, of: Provenance) -> None:
        """Raise `ExportError` where rows of our devices are of another scenario: its numbers may be others."""
        ours = [of.scenario, of.clean, of.delays, self._device_ids]
        other = self._open.execute(_OTHER_RUN, ours).fetchone()
        if other:
            run_id, seed, scenario, clean, delays = other
            options = "".join(f", --{name}" for name, given in (("clean", clean), ("delays", delays)) if given)
            raise ExportError(
                f"{self._place}: rows of these devices are there already, as of another seed, scenario or option: run "
                f"{run_id} in the table runs had seed {seed}, scenario {scenario}{options}; this one has seed "
                f"{of.seed}, scenario {of.scenario}. {_REMEDY.capitalize()}"
            )

    def _columns_of(self, table: str) -> set[str]:
        """Return the columns that a table has, none where it does not exist."""
        found = self._open.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
            [f'"{table}"'],
        )
        return {str(name) for (name,) in found}

    def _make_table(self, name: str, columns: Sequence[Column]) -> None:
        """Make a table, or what columns it lacks: nothing is altered, and nobody waited for, where it lacks none."""
        table, there = sql.Identifier(name), self._columns_of(name)
        if not there:
            by_day = self._options.has_day_partitions
            by_time = self._options.has_time_in_key
            listed = sql.SQL(", ").join(
                sql.SQL("{} " + _SQL[column.type]).format(sql.Identifier(column.name)) for column in columns
            )
            key = sql.SQL(", ").join(map(sql.Identifier, (*_KEY, "timestamp") if by_time else _KEY))
            end: LiteralString = " PARTITION BY RANGE (timestamp)" if by_day else ""
            self._open.execute(sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY ({}))" + end).format(table, listed, key))
            if self._options.has_hypertables:
                self._open.execute(make_hypertable(self._timescale, name))
            return
        self._refuse_other_partitions(name)
        for column in columns:
            if column.name not in there:
                self._open.execute(
                    sql.SQL("ALTER TABLE {} ADD COLUMN {} " + _SQL[column.type]).format(
                        table, sql.Identifier(column.name)
                    )
                )

    def _require_timescale(self) -> None:
        """Find the extension that makes hypertables; raises `ExportError` where the database has none."""
        if not self._options.has_hypertables:
            return
        row = self._open.execute(_TIMESCALE).fetchone()
        if row is None:
            raise ExportError(
                f"{self._place}: the database has no extension timescaledb, which makes hypertables: let a superuser "
                "say CREATE EXTENSION timescaledb there, or give --partition day"
            )
        self._timescale = str(row[0])

    def _refuse_other_partitions(self, name: str) -> None:
        """Raise `ExportError` where a table that is there is not kept as the options say."""
        row = self._open.execute("SELECT relkind FROM pg_class WHERE oid = to_regclass(%s)", [f'"{name}"']).fetchone()
        if self._options.has_day_partitions != (row == ("p",)):
            said, instead = ("is not", "leave out") if self._options.has_day_partitions else ("is", "add")
            raise ExportError(f"{self._place}: the table {name} {said} partitioned: {instead} --partition day")
        if self._options.has_hypertables and not self._open.execute(_IS_HYPERTABLE, [name]).fetchone():
            raise ExportError(f"{self._place}: the table {name} is no hypertable: leave out --partition hypertable")

    def _prepare(self, timeline: Timeline, tables: Sequence[tuple[TableSchema, Table]]) -> None:
        """Make the columns and partitions that these rows need and that are not there yet."""
        for schema, table in tables:
            known = self._schemas[schema.name]
            wide = known.widened(table)
            days = set()
            if self._options.has_day_partitions:
                found = np.unique(timeline.timestamps_ms(table) // _DAY_MS).tolist()
                days = {(schema.name, day) for day in found} - self._partitions
            if wide is known and not days:
                continue
            with self._defining():
                if wide is not known:
                    self._make_table(wide.name, wide.columns)
                for name, day in sorted(days):
                    self._make_partition(name, day)
            if wide is not known:
                self._ready.discard(schema.name)
            self._schemas[schema.name] = wide
            self._partitions |= days

    def _make_partition(self, table: str, day: int) -> None:
        begin, end = (np.datetime64(number, "D") for number in (day, day + 1))
        self._open.execute(
            sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})").format(
                sql.Identifier(f"{table}_p{str(begin).replace('-', '')}"),
                sql.Identifier(table),
                sql.Literal(f"{begin} 00:00:00+00"),
                sql.Literal(f"{end} 00:00:00+00"),
            )
        )

    def _copy(self, timeline: Timeline, schema: TableSchema, table: Table) -> None:
        target, staging = sql.Identifier(schema.name), sql.Identifier(f"edgefleet_{schema.name}")
        columns = [sql.Identifier(column.name) for column in schema.columns]
        names = sql.SQL(", ").join(columns)
        if schema.name not in self._ready:
            self._open.execute(sql.SQL("DROP TABLE IF EXISTS pg_temp.{}").format(staging))
            # Of our columns alone: a table that was there may have others, with defaults that hold in it only.
            self._open.execute(
                sql.SQL("CREATE TEMP TABLE {} ON COMMIT DELETE ROWS AS SELECT {} FROM {} WITH NO DATA").format(
                    staging, names, target
                )
            )
            self._ready.add(schema.name)
        with (
            self._open.cursor() as cursor,
            cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(staging, names)) as copy,
        ):
            copy.write(csv_rows(timeline, table, schema.columns))
        insert = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT DO NOTHING")
        inserted = self._open.execute(insert.format(target, names, names, staging)).rowcount
        rows = len(table.times)
        # By day, the key has the timestamp: rows that differ in it are no conflict to PostgreSQL.
        if inserted < rows or (self._options.has_time_in_key and schema.name in self._had_rows):
            self._refuse_others(schema.name, staging, target, rows, columns)
        for other in self._schemas.values():
            # What a message of several shapes says is of one sequence: none has a number of another's.
            if other.kind == schema.kind and other.name != schema.name and other.name in self._had_rows:
                self._refuse_others(schema.name, staging, sql.Identifier(other.name), rows)
        self.counts["inserted"] += inserted
        self.counts["already_there"] += rows - inserted
        self._open.execute(sql.SQL("TRUNCATE {}").format(staging))

    def _refuse_others(
        self,
        name: str,
        staging: sql.Identifier,
        target: sql.Identifier,
        rows: int,
        columns: Sequence[sql.Identifier] = (),
    ) -> None:
        """Raise `ExportError` where rows are there under the same key; with other values, where there are `columns`.

        As texts: a table that was there may have types that cannot be compared, such as json.
        """
        condition: sql.Composable = sql.SQL("true")
        if columns:
            new, old = (
                sql.SQL(", ").join(sql.SQL("{}.{}::text").format(sql.Identifier(side), column) for column in columns)
                for side in ("n", "o")
            )
            condition = sql.SQL("ROW({}) IS DISTINCT FROM ROW({})").format(new, old)
        differing = self._open.execute(
            sql.SQL(
                "SELECT count(*) OVER (), device_id, boot, seq FROM {} AS n JOIN {} AS o USING (device_id, boot, seq) "
                "WHERE {} ORDER BY n.timestamp, device_id LIMIT 1"
            ).format(staging, target, condition)
        ).fetchone()
        if differing is None:
            return
        count, *key = differing
        raise ExportError(
            f"{self._place}: {count:,} of {rows:,} rows of {name} are there already with other values, the first "
            f"(device_id, boot, seq) = ({', '.join(map(str, key))}), as of another seed, scenario or option. Of these "
            f"{rows:,} none was written; before them {self.counts['inserted']:,} were inserted and "
            f"{self.counts['already_there']:,} were there: {_REMEDY}"
        )

    def _failure(self, error: psycopg.Error) -> ExportError:
        said = self._secrets.hide(" ".join(str(error).split()))
        return ExportError(f"{self._place}: {said}")


def make_hypertable(extension_schema: str, table: str) -> sql.Composed:
    """Return what makes a table a hypertable with a chunk a day; the functions are in the extension's schema.

    It needs TimescaleDB 2.13, the first with `by_range`. The key is index enough: it is all that we look rows up by.
    """
    functions = sql.Identifier(extension_schema)
    return sql.SQL(
        "SELECT {}.create_hypertable({}, {}.by_range('timestamp', INTERVAL '1 day'), create_default_indexes => false)"
    ).format(functions, sql.Literal(f'"{table}"'), functions)


def _label_row(label: Label) -> tuple[Any, ...]:
    return (
        label.device_id,
        label.kind,
        label.boot,
        label.type,
        list(label.fields),
        Jsonb(label.parameters),
        label.layer,
        label.start_ms,
        label.end_ms,
        label.first_seq,
        label.last_seq,
        label.messages,
    )
