"""Parquet: a row group a window, columns straight from the sensors' arrays to Arrow.

A Parquet file has its index at its end. While an export is under way, the row groups are in `NAME.partial` and what the
index will say of them in `NAME.index.partial`, so it can be gone on with wherever it was cut off.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from devices.export.base import ResumeState
from devices.export.columns import (
    Column,
    ColumnType,
    TableSchema,
    Values,
    column_values,
    distinct_objects,
    dump_columns,
    load_columns,
)
from devices.export.files import PartialFile
from devices.export.parquet_footer import MAGIC, joined, moved, split
from devices.timeline.table import Table
from devices.timeline.timeline import Timeline

_LABEL = pa.dictionary(pa.int32(), pa.string())
_FRAME_BYTES = 4
"""Length of a footer, before it in the index."""
_TIME = pa.timestamp("ms", tz="UTC")
_ARROW = {
    ColumnType.TEXT: _LABEL,
    ColumnType.FLOAT: pa.float64(),
    ColumnType.INT: pa.int64(),
    ColumnType.BOOL: pa.bool_(),
    ColumnType.TIME: _TIME,
    ColumnType.TEXTS: pa.list_(pa.string()),
    ColumnType.COUNTS: pa.map_(pa.string(), pa.int64()),
    ColumnType.JSON: pa.string(),
}


class ParquetWriter:
    """The file of one shape."""

    def __init__(self, path: Path, shape: TableSchema) -> None:
        self._file = PartialFile(path)
        self._index = PartialFile(path.with_name(path.name + ".index"))
        self._shape = shape
        self._schema: pa.Schema | None = None
        self._size = 0
        self._names: tuple[Timeline, pa.Array] | None = None

    def open(self, state: ResumeState | None) -> None:
        self._file.open(state)
        if self._file.is_complete:
            return
        self._index.open(state["index"] if state else None)
        if state and state["columns"]:
            self._begin(replace(self._shape, columns=load_columns(state["columns"])))
            self._size = state["size"]
        else:
            self._append(MAGIC)

    def write(self, timeline: Timeline, table: Table) -> None:
        if self._schema is None:
            self._begin(self._shape.widened(table))
        self._append_group(pa.Table.from_arrays(self._arrays(timeline, table), schema=self._schema))

    def save_state(self) -> dict[str, Any]:
        columns = dump_columns(self._shape.columns) if self._schema else []
        index = {} if self._file.is_complete else self._index.save_state()
        return {**self._file.save_state(), "index": index, "columns": columns}

    def finish(self) -> None:
        if not self._file.is_complete:
            if self._schema is None:
                self._append_group(self._begin(self._shape).empty_table())
            self._index.save_state()
            self._append(joined(list(_framed(self._index.partial.read_bytes()))))
            self._file.complete()
        self._index.discard()

    def abandon(self) -> None:
        self._file.close()
        self._index.close()

    def _begin(self, shape: TableSchema) -> pa.Schema:
        self._shape = shape
        self._schema = pa.schema([pa.field(column.name, _ARROW[column.type]) for column in shape.columns])
        return self._schema

    def _append_group(self, table: pa.Table) -> None:
        """Write a row group, and where it is to the index."""
        buffer = pa.BufferOutputStream()
        labels = [column.name for column in self._shape.columns if column.type is ColumnType.TEXT]
        with parquet.ParquetWriter(
            buffer, table.schema, compression="zstd", compression_level=1, use_dictionary=labels
        ) as writer:
            writer.write_table(table, row_group_size=max(1, len(table)))
        pages, footer = split(buffer.getvalue().to_pybytes())
        footer = moved(footer, self._size - len(MAGIC))
        self._append(pages)
        self._index.write(len(footer).to_bytes(_FRAME_BYTES, "little") + footer)

    def _append(self, data: bytes) -> None:
        self._file.write(data)
        self._size += len(data)

    def _arrays(self, timeline: Timeline, table: Table) -> list[pa.Array]:
        if self._names is None or self._names[0] is not timeline:
            self._names = timeline, pa.array([device.device_id for device in timeline.devices], pa.string())
        rows = len(table.times)
        head = [
            pa.DictionaryArray.from_arrays(pa.array(table.positions.astype(np.int32)), self._names[1]),
            pa.array(timeline.timestamps_ms(table)).cast(_TIME),
            pa.array(np.broadcast_to(timeline.boots(table), rows)),
            pa.array(table.seqs),
        ]
        opened = _Opened(table)
        return head + [
            _array(column, table, rows) if len(column.path) == 1 else opened.array(column)
            for column in self._shape.columns[len(head) :]
        ]


def _framed(index: bytes) -> Iterator[bytes]:
    """The footers in an index."""
    at = 0
    while at < len(index):
        begin = at + _FRAME_BYTES
        at = begin + int.from_bytes(index[at:begin], "little")
        yield index[begin:at]


class _Opened:
    """The fields of nested objects. One that stands in many rows is opened once, however many fields it has."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._shared: dict[str, tuple[NDArray[np.int32], list[Any]]] = {}

    def array(self, column: Column) -> pa.Array:
        """The column of an inner field."""
        outer, inner = column.path
        if outer not in self._shared:
            objects = column_values(Column(outer, ColumnType.JSON, (outer,)), self._table)
            if objects is None:
                return pa.nulls(len(self._table.times), _ARROW[column.type])
            self._shared[outer] = distinct_objects(objects)
        rows, distinct = self._shared[outer]
        values = [None if each is None else each.get(inner) for each in distinct]
        if column.type is not ColumnType.TEXT:
            return _from_list(column.type, values, _ARROW[column.type]).take(pa.array(rows))
        known = [text for text in dict.fromkeys(values) if text is not None]
        texts = {text: position for position, text in enumerate(known)}
        indices = np.array([texts.get(value, -1) for value in values], np.int32)[rows]
        return pa.DictionaryArray.from_arrays(pa.array(indices, mask=indices < 0), pa.array(list(texts), pa.string()))


def _array(column: Column, table: Table, rows: int) -> pa.Array:
    values = column_values(column, table)
    kind = _ARROW[column.type]
    if values is None:
        return pa.nulls(rows, kind)
    if isinstance(values, np.ndarray) and values.dtype.kind in "ifb":
        return pa.array(values).cast(kind)
    return _from_list(column.type, values, kind)


def _from_list(type_: ColumnType, values: Values, kind: pa.DataType) -> pa.Array:
    listed: list[Any] = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if type_ is ColumnType.TEXT:
        return pa.array(listed, pa.string()).dictionary_encode()
    if type_ is ColumnType.TIME:
        return pa.array(listed, pa.string()).cast(kind)
    if type_ is ColumnType.COUNTS:
        return pa.array([None if value is None else list(value.items()) for value in listed], kind)
    return pa.array(listed, kind)
