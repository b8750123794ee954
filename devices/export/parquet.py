"""Writes Parquet: a row group a window, columns straight from the sensors' arrays to Arrow.

A Parquet file ends with a footer that says where its row groups are. While an export is under way, the row groups are
in `NAME.partial`, and a footer for each of them in `NAME.index.partial`, so it can be gone on with wherever it was cut
off; at the end pyarrow makes one footer of them.

pyarrow begins files only at their beginning. So for every row group it is led to believe that it does, and moved to the
end of the file once it has written the magic number that all files begin with: then the offsets in its footer are true,
and no page is read or written twice. The magic number of all but the first, and the footers, are cut off again.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
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
from devices.export.files import PartialFile, merged_order
from devices.timeline.table import Table
from devices.timeline.timeline import Timeline

_MAGIC = b"PAR1"
"""Stands at the beginning of a Parquet file, and at its end behind the length of the footer."""
_TAIL_BYTES = 8
"""Length of the footer and the magic number."""
_LABEL = pa.dictionary(pa.int32(), pa.string())
_TIME = pa.timestamp("ms", tz="UTC")
_ARROW = {
    ColumnType.TEXT: _LABEL,
    ColumnType.ID: pa.string(),
    ColumnType.FLOAT: pa.float64(),
    ColumnType.INT: pa.int64(),
    ColumnType.BOOL: pa.bool_(),
    ColumnType.TIME: _TIME,
    ColumnType.TEXTS: pa.list_(pa.string()),
    ColumnType.COUNTS: pa.map_(pa.string(), pa.int64()),
    ColumnType.JSON: pa.string(),
}


class ParquetWriter:
    """Writes the file of one schema."""

    def __init__(self, path: Path, schema: TableSchema, metadata: Mapping[str, str] | None = None) -> None:
        """Write rows of a schema; the `metadata` is for whoever reads the footer."""
        self._metadata = dict(metadata or {})
        self._file = PartialFile(path, staged=True)
        self._index = PartialFile(path.with_name(path.name + ".index"), part_of=self._file)
        self._table_schema = schema
        self._schema: pa.Schema | None = None
        """None before the first messages, which may have fields that their model does not know."""
        self._names: tuple[Timeline, pa.Array] | None = None

    def open_file(self, state: ResumeState | None) -> None:
        """Begin the file, or go on with it."""
        self._file.open(state)
        if self._file.is_complete:
            return
        self._index.open(state["index"] if state else None)
        if state and state["columns"]:
            self._begin(replace(self._table_schema, columns=load_columns(state["columns"])))

    def write(self, timeline: Timeline, tables: Sequence[Table]) -> None:
        """Append the rows of some tables as a row group, in the order of all output."""
        if self._schema is None:
            self._begin(self._table_schema.widened(tables[0]))
        made = [pa.Table.from_arrays(self._arrays(timeline, table), schema=self._schema) for table in tables]
        if len(made) == 1:
            self._append_group(made[0])
            return
        whole = pa.concat_tables(made).unify_dictionaries().combine_chunks()
        self._append_group(whole.take(pa.array(merged_order(timeline, tables))))

    def save_state(self) -> dict[str, Any]:
        """Make durable what was written, and return what to go on from."""
        columns = dump_columns(self._table_schema.columns) if self._schema else []
        index = {} if self._file.is_complete else self._index.save_state()
        return {**self._file.save_state(), "index": index, "columns": columns}

    def finish(self) -> None:
        """Append the footer and give the file its name; one without messages has its schema."""
        if not self._file.is_complete:
            if self._schema is None:
                self._append_group(self._begin(self._table_schema).empty_table())
            self._index.save_state()
            self._file.write(_joined(self._index.partial.read_bytes()))
        self._file.complete()
        self._index.discard()

    def abandon(self) -> None:
        """Let go; the partial files stay."""
        self._file.close()
        self._index.close()

    def _begin(self, schema: TableSchema) -> pa.Schema:
        self._table_schema = schema
        fields = [pa.field(column.name, _ARROW[column.type]) for column in schema.columns]
        self._schema = pa.schema(fields, metadata=self._metadata or None)
        return self._schema

    def _append_group(self, table: pa.Table) -> None:
        """Write a row group to the file, and its footer to the index."""
        texts = [column.name for column in self._table_schema.columns if column.type is ColumnType.TEXT]
        footers: list[parquet.FileMetaData] = []
        begin = self._file.size
        with self._file.translate_errors(), pa.OSFile(str(self._file.partial), "ab") as stream:
            os.lseek(stream.fileno(), 0, os.SEEK_SET)
            with parquet.ParquetWriter(
                stream,
                table.schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=texts,
                metadata_collector=footers,
            ) as writer:
                if begin:
                    self._file.truncate(begin)
                    os.lseek(stream.fileno(), begin, os.SEEK_SET)
                writer.write_table(table, row_group_size=max(1, len(table)))
                end = stream.tell()
        self._file.truncate(end)
        self._index.write(_metadata_file(footers[0]))

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
        nested = _NestedFields(table)
        return head + [
            _array(column, table, rows) if len(column.path) == 1 else nested.array(column)
            for column in self._table_schema.columns[len(head) :]
        ]


def _joined(index: bytes) -> bytes:
    """Return the end of a file that has the row groups of all the footers in an index."""
    first, *others = [parquet.read_metadata(pa.BufferReader(file)) for file in _metadata_files(index)][::-1]
    for metadata in others:
        first.append_row_groups(metadata)
    return _metadata_file(first)[len(_MAGIC) :]


def _metadata_file(metadata: parquet.FileMetaData) -> bytes:
    """Return a footer as a file of its own: the magic number, the footer, its length, the magic number."""
    buffer = BytesIO()
    metadata.write_metadata_file(buffer)
    return buffer.getvalue()


def _metadata_files(index: bytes) -> Iterator[bytes]:
    """Yield the metadata files that an index has one behind the other, the last one first."""
    end = len(index)
    while end:
        length = int.from_bytes(index[end - _TAIL_BYTES : end - len(_MAGIC)], "little")
        begin = end - _TAIL_BYTES - length - len(_MAGIC)
        yield index[begin:end]
        end = begin


class _NestedFields:
    """Makes columns of nested objects' fields. An object that stands in many rows is opened once for all its fields."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._shared: dict[str, tuple[NDArray[np.int32], list[Any]]] = {}

    def array(self, column: Column) -> pa.Array:
        """Return the column of an inner field."""
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
