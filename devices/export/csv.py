"""Writes CSV (RFC 4180, UTF-8, LF): the fields of a message as columns, empty where they are null.

Numbers and times have the text that they have in the JSON payload; lists and mappings are JSON in a quoted cell.
"""

import codecs
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from devices.export.base import ResumeState
from devices.export.columns import (
    HEAD,
    Column,
    ColumnType,
    TableSchema,
    Values,
    column_values,
    dump_columns,
    head_values,
    load_columns,
)
from devices.export.compression import Compress
from devices.export.files import PartialFile
from devices.sensors.columns import CountsColumn, DictionaryColumn, FixedTextColumn, TimeColumn
from devices.timeline.encode import join_rows, json_texts
from devices.timeline.table import Table
from devices.timeline.timeline import Timeline

_SPECIAL = (b",", b'"', b"\n", b"\r")
_TEXTS = (ColumnType.TEXT, ColumnType.ID, ColumnType.TIME)


class CsvDialect(Enum):
    """Names for which reader a file is."""

    PLAIN = "plain"
    """RFC 4180, as most readers have it."""
    EXCEL = "excel"
    """With a byte order mark, without which it takes UTF-8 for another encoding; times as it knows them, in UTC."""
    SPARK = "spark"
    """A quote in a quoted cell stands behind a backslash, and so does a backslash: what Spark reads by default."""


class CsvWriter:
    """Writes the file of one schema; its header is written with the first messages."""

    def __init__(
        self, path: Path, schema: TableSchema, compress: Compress | None = None, dialect: CsvDialect = CsvDialect.PLAIN
    ) -> None:
        self._dialect = dialect
        self._file = PartialFile(path, compress=compress)
        self._schema = schema
        self._columns: tuple[Column, ...] | None = None

    def open_file(self, state: ResumeState | None) -> None:
        """Begin the file, or go on with it."""
        self._file.open(state)
        if state and state["columns"]:
            self._columns = load_columns(state["columns"])

    def write(self, timeline: Timeline, tables: Sequence[Table]) -> None:
        """Append the rows of some tables, in the order of all output."""
        if self._columns is None:
            self._begin(self._schema.widened(tables[0]).columns)
        columns = self._columns or ()
        if len(tables) == 1:
            self._file.write(csv_rows(timeline, tables[0], columns, dialect=self._dialect))
            return
        rows = [
            row
            for table in tables
            for row in csv_rows(timeline, table, columns, end=b"\0", dialect=self._dialect).split(b"\0")[:-1]
        ]
        self._file.write(b"".join(rows[row] + b"\n" for row in timeline.merged_order(tables).tolist()))

    def save_state(self) -> dict[str, Any]:
        """Make durable what was written, and return what to go on from."""
        return {**self._file.save_state(), "columns": dump_columns(self._columns or ())}

    def finish(self) -> None:
        """Give the file its name; one without messages has its header."""
        if self._columns is None and not self._file.is_complete:
            self._begin(self._schema.columns)
        self._file.complete()

    def abandon(self) -> None:
        """Let go; the partial file stays."""
        self._file.close()

    def _begin(self, columns: tuple[Column, ...]) -> None:
        self._columns = columns
        mark = codecs.BOM_UTF8 if self._dialect is CsvDialect.EXCEL else b""
        self._file.write(mark + ",".join(column.name for column in columns).encode() + b"\n")


def csv_rows(
    timeline: Timeline,
    table: Table,
    columns: Sequence[Column],
    *,
    end: bytes = b"\n",
    dialect: CsvDialect = CsvDialect.PLAIN,
) -> bytes:
    """Return the rows of a table, which begin with `HEAD` as `columns` do."""
    names, times, boot, seqs = head_values(timeline, table)
    if dialect is CsvDialect.EXCEL:
        times = [_excel_time(text) for text in times]
    rows = len(names)
    parts: list[Sequence[bytes] | bytes] = [
        [name.encode() for name in names],
        b",",
        [time.encode() for time in times],
        b",%d," % boot if isinstance(boot, int) else [b",%d," % one for one in boot.tolist()],
        json_texts(seqs).values,
    ]
    for column in columns[len(HEAD) :]:
        values = column_values(column, table)
        parts.append(b",")
        if dialect is CsvDialect.EXCEL and column.type is ColumnType.TIME and values is not None:
            values = [None if value is None else _excel_time(value) for value in values]
        cells = b"" if values is None else csv_cells(column.type, values)
        if dialect is CsvDialect.SPARK and not isinstance(cells, bytes):
            cells = [_escaped(cell) for cell in cells]
        parts.append(cells)
    return join_rows([*parts, end], rows)


def _excel_time(text: str) -> str:
    return text.removesuffix("Z").replace("T", " ", 1)


def _escaped(cell: bytes) -> bytes:
    """Return a cell whose quotes stand behind backslashes instead of being doubled."""
    if cell == b'""' or not cell.startswith(b'"'):
        return cell
    return b'"' + cell[1:-1].replace(b'""', b'"').replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def csv_cells(kind: ColumnType, values: Values) -> Sequence[bytes]:
    """Return the cell of every value of a column."""
    if isinstance(values, TimeColumn | FixedTextColumn):
        # Nothing in them has to be quoted.
        return json_texts(values).values
    if kind in _TEXTS:
        return _text_cells(values.tolist() if isinstance(values, np.ndarray) else values)
    if kind in (ColumnType.FLOAT, ColumnType.INT, ColumnType.BOOL):
        texts = json_texts(values).values
        return texts if isinstance(values, np.ndarray) else [b"" if text == b"null" else text for text in texts]
    if isinstance(values, CountsColumn):
        values = values.distinct()
    if isinstance(values, DictionaryColumn):
        return values.with_dictionary([_json_cell(value) for value in values.dictionary]).tolist()
    return [_json_cell(value) for value in values]


def _text_cells(values: Sequence[str | None]) -> Sequence[bytes]:
    if isinstance(values, DictionaryColumn):
        return values.with_dictionary([_text_cell(value) for value in values.dictionary]).tolist()
    known = {value: _text_cell(value) for value in set(values)}
    return [known[value] for value in values]


def _json_cell(value: object) -> bytes:
    return b"" if value is None else _quoted(orjson.dumps(value))


def _text_cell(value: str | None) -> bytes:
    if value is None:
        return b""
    text = value.encode()
    # Quoted, an empty text is not the same as null to a database.
    return _quoted(text) if not text or any(sign in text for sign in _SPECIAL) else text


def _quoted(text: bytes) -> bytes:
    return b'"' + text.replace(b'"', b'""') + b'"'
