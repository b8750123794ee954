"""Makes Arrow tables of messages: columns straight from the sensors' arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from devices.export.columns import Column, ColumnType, Values, column_values, distinct_objects
from devices.sensors.columns import (
    CountsColumn,
    DictionaryColumn,
    FixedTextColumn,
    NullableColumn,
    StructColumn,
    TimeColumn,
    plain_values,
)
from devices.timeline.table import Table
from devices.timeline.timeline import Timeline

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


def arrow_schema(columns: Sequence[Column], metadata: Mapping[str, str]) -> pa.Schema:
    """Return the schema of a table; texts of a few values are dictionaries in it."""
    return pa.schema([pa.field(column.name, _ARROW[column.type]) for column in columns], metadata=metadata or None)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema without dictionaries, for what cannot have others in every piece of a table."""
    fields = [pa.field(one.name, pa.string()) if pa.types.is_dictionary(one.type) else one for one in schema]
    return pa.schema(fields, metadata=schema.metadata)


class TableArrays:
    """Makes the tables of one file; it keeps what they share."""

    def __init__(self) -> None:
        self._names: tuple[Timeline, pa.Array] | None = None

    def table(
        self, timeline: Timeline, tables: Sequence[Table], columns: Sequence[Column], schema: pa.Schema
    ) -> pa.Table:
        """Return the rows of some tables as one, in the order of all output."""
        made = [pa.Table.from_arrays(self._arrays(timeline, table, columns), schema=schema) for table in tables]
        if len(made) == 1:
            return made[0]
        whole = pa.concat_tables(made).unify_dictionaries().combine_chunks()
        return whole.take(pa.array(timeline.merged_order(tables)))

    def _arrays(self, timeline: Timeline, table: Table, columns: Sequence[Column]) -> list[pa.Array]:
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
            for column in columns[len(head) :]
        ]


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
            if isinstance(objects, StructColumn):
                return _values_array(column.type, objects.fields.get(inner), len(objects))
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
    return _values_array(column.type, column_values(column, table), rows)


def _values_array(type_: ColumnType, values: Values | None, rows: int) -> pa.Array:
    kind = _ARROW[type_]
    if values is None:
        return pa.nulls(rows, kind)
    if isinstance(values, np.ndarray) and values.dtype.kind in "ifb":
        return pa.array(values).cast(kind)
    if isinstance(values, NullableColumn) and values.values.dtype.kind in "ifb":
        return pa.array(values.values, mask=~values.known).cast(kind)
    if isinstance(values, CountsColumn):
        return _map_array(values)
    if isinstance(values, TimeColumn) and type_ is ColumnType.TIME:
        return pa.array(values.times_ms).cast(kind)
    if isinstance(values, FixedTextColumn) and type_ is ColumnType.ID:
        return _fixed_text_array(values.characters)
    if isinstance(values, DictionaryColumn):
        found = values.compacted()
        indices = pa.array(found.indices.astype(np.int32))
        if type_ is not ColumnType.TEXT:
            return _from_list(type_, found.dictionary, kind).take(indices)
        return pa.array(found.dictionary, pa.string()).dictionary_encode().take(indices)
    return _from_list(type_, values, kind)


def _fixed_text_array(characters: NDArray[np.uint8]) -> pa.Array:
    count, length = characters.shape
    ends = np.arange(0, (count + 1) * length, length, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(characters)))


def _map_array(column: CountsColumn) -> pa.Array:
    there, width = column.counts > 0, len(column.names)
    begins = np.zeros(len(column) + 1, dtype=np.int32)
    np.cumsum(there.sum(axis=1), out=begins[1:])
    # Of both coordinates at once `np.nonzero` takes four times as long.
    places = np.flatnonzero(there)
    names = places - places // width * width
    counts = pa.array(column.counts.ravel().take(places))
    return pa.MapArray.from_arrays(begins, pa.array(column.names, pa.string()).take(pa.array(names)), counts)


def _from_list(type_: ColumnType, values: Values, kind: pa.DataType) -> pa.Array:
    listed = plain_values(values)
    if type_ is ColumnType.TEXT:
        return pa.array(listed, pa.string()).dictionary_encode()
    if type_ is ColumnType.TIME:
        return pa.array(listed, pa.string()).cast(kind)
    if type_ is ColumnType.COUNTS:
        return pa.array([None if value is None else list(value.items()) for value in listed], kind)
    return pa.array(listed, kind)
