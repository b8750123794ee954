"""Fills PostgreSQL by COPY: a table a shape of message; exporting the same messages again changes nothing."""

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb

from devices.export.base import ExportError, ExportWindow, ResumeState
from devices.export.columns import Column, ColumnType, TableSchema, split_by_schema, table_schemas
from devices.export.csv import csv_rows
from devices.faults.labels import Label
from devices.timeline.table import Table
from devices.timeline.timeline import Timeline
from edgewire.redact import KnownSecrets, escape_hint
from edgewire.service_url import postgres_address

_SQL = {
    ColumnType.TEXT: "text",
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
        messages = greatest(labels.messages, excluded.messages)"""
_KEY = ("device_id", "boot", "seq")


class PostgresTables:
    """Writes each window as one transaction: a reader never sees half of one."""

    def __init__(self, timeline: Timeline, url: str) -> None:
        """Write to `url`, which is postgresql://USER:PASSWORD@HOST:PORT/DATABASE."""
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
        self._schemas = {schema.name: schema for schema in table_schemas(timeline)}
        self._ready: set[str] = set()
        self._connection: psycopg.Connection | None = None

    def open(self, state: ResumeState | None) -> None:
        """Make the tables and columns that are missing; raises `ExportError` where the server cannot be reached."""
        try:
            self._connection = psycopg.connect(self._url, connect_timeout=10)
            with self._connection.transaction():
                for schema in self._schemas.values():
                    self._make_table(schema.name, schema.columns)
        except psycopg.Error as error:
            raise self._failure(error) from None

    def write(self, window: ExportWindow) -> int:
        """Write a window's messages."""
        try:
            with self._open.transaction():
                for schema, table in split_by_schema(list(self._schemas.values()), window.tables):
                    self._copy(window.timeline, schema, table)
        except psycopg.Error as error:
            raise self._failure(error) from None
        return sum(len(table.times) for table in window.tables)

    def save_state(self) -> ResumeState:
        """Return nothing: what is written is durable, and known again by its keys."""
        return {}

    def finish(self) -> None:
        """Close the connection."""
        self.abandon()

    def abandon(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.close()
            self._connection = None

    @property
    def _open(self) -> psycopg.Connection:
        assert self._connection is not None, "the target is not open"
        return self._connection

    def _make_table(self, name: str, columns: Sequence[Column]) -> None:
        table = sql.Identifier(name)
        listed = sql.SQL(", ").join(
            sql.SQL("{} " + _SQL[column.type]).format(sql.Identifier(column.name)) for column in columns
        )
        key = sql.SQL(", ").join(map(sql.Identifier, _KEY))
        self._open.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({}))").format(table, listed, key))
        for column in columns:
            self._open.execute(
                sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} " + _SQL[column.type]).format(
                    table, sql.Identifier(column.name)
                )
            )

    def _copy(self, timeline: Timeline, schema: TableSchema, table: Table) -> None:
        wide = schema.widened(table)
        if wide is not schema:
            self._make_table(wide.name, wide.columns)
            self._schemas[schema.name] = wide
        target, staging = sql.Identifier(schema.name), sql.Identifier(f"edgefleet_{schema.name}")
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column in wide.columns)
        if schema.name not in self._ready or wide is not schema:
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
            copy.write(csv_rows(timeline, table, wide.columns))
        self._open.execute(
            sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT DO NOTHING").format(
                target, names, names, staging
            )
        )
        self._open.execute(sql.SQL("TRUNCATE {}").format(staging))

    def add_labels(self, labels: Iterable[Label]) -> None:
        """Write the ground truth of what was exported; a label that is there grows where this one reaches further."""
        try:
            with psycopg.connect(self._url, connect_timeout=10) as connection, connection.cursor() as cursor:
                cursor.execute(_LABELS_TABLE)
                cursor.executemany(_ADD_LABEL, [_label_row(label) for label in labels])
        except psycopg.Error as error:
            raise self._failure(error) from None

    def _failure(self, error: psycopg.Error) -> ExportError:
        said = self._secrets.hide(" ".join(str(error).split()))
        return ExportError(f"{self._place}: {said}")


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
