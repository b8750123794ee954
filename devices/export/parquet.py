"""Parquet: a row group a window, columns straight from the sensors' arrays to Arrow.

A Parquet file has its index at its end. An interrupted export writes the index of what it has, and is gone on with by
taking over those row groups; one that was killed has no index and begins anew.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from devices.export.base import ExportError, State
from devices.export.shapes import Column, Shape, Type, Values, shared, values_of
from devices.timeline import Table, Timeline

_LABEL = pa.dictionary(pa.int32(), pa.string())
_TIME = pa.timestamp("ms", tz="UTC")
_ARROW = {
    Type.TEXT: _LABEL,
    Type.FLOAT: pa.float64(),
    Type.INT: pa.int64(),
    Type.BOOL: pa.bool_(),
    Type.TIME: _TIME,
    Type.TEXTS: pa.list_(pa.string()),
    Type.COUNTS: pa.map_(pa.string(), pa.int64()),
    Type.JSON: pa.string(),
}


class ParquetWriter:
    """The file of one shape."""

    def __init__(self, path: Path, shape: Shape) -> None:
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        self._shape = shape
        self._schema: pa.Schema | None = None
        self._writer: parquet.ParquetWriter | None = None
        self._row_groups = 0
        self._names: tuple[Timeline, pa.Array] | None = None

    def open(self, state: State | None) -> None:
        """Raises `ExportError` where the file cannot be written, or has no index to go on from."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if state and state["row_groups"]:
                self._take_over(state["row_groups"])
            else:
                self._partial.unlink(missing_ok=True)
        except pa.ArrowInvalid:
            raise ExportError(
                f"{self._partial} was cut off and has no index, so it cannot be gone on with: leave out --resume"
            ) from None
        except OSError as error:
            raise ExportError(f"{self._partial} cannot be written: {error.strerror or error}") from None

    def write(self, timeline: Timeline, table: Table) -> None:
        if self._writer is None:
            self._begin(self._shape.widened(table))
        self._append(pa.Table.from_arrays(self._arrays(timeline, table), schema=self._schema))

    def save(self) -> dict[str, Any]:
        return {"row_groups": self._row_groups}

    def finish(self) -> None:
        if self._writer is None:
            self._begin(self._shape)
        self.abandon()
        self._partial.replace(self._path)

    def abandon(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None

    def _begin(self, shape: Shape) -> None:
        self._shape = shape
        self._schema = pa.schema([pa.field(column.name, _ARROW[column.type]) for column in shape.columns])
        labels = [column.name for column in shape.columns if column.type is Type.TEXT]
        self._writer = parquet.ParquetWriter(
            self._partial, self._schema, compression="zstd", compression_level=1, use_dictionary=labels
        )

    def _append(self, table: pa.Table) -> None:
        assert self._writer is not None
        try:
            self._writer.write_table(table, row_group_size=len(table))
        except OSError as error:
            raise ExportError(f"{self._partial} cannot be written: {error}") from None
        self._row_groups += 1

    def _take_over(self, row_groups: int) -> None:
        """Begin anew with the first row groups of the file that is there."""
        before = self._partial.with_name(self._partial.name + ".before")
        # An earlier attempt to go on may have been killed right here.
        if not before.exists():
            self._partial.replace(before)
        with parquet.ParquetFile(before) as file:
            known = {column.name: column for column in self._shape.columns}
            extra = [
                Column(field.name, next(kind for kind, arrow in _ARROW.items() if arrow == field.type), (field.name,))
                for field in file.schema_arrow
                if field.name not in known
            ]
            self._begin(Shape(self._shape.name, self._shape.kind, self._shape.message, (*known.values(), *extra)))
            for group in range(row_groups):
                self._append(file.read_row_group(group))
        before.unlink()

    def _arrays(self, timeline: Timeline, table: Table) -> list[pa.Array]:
        if self._names is None or self._names[0] is not timeline:
            self._names = timeline, pa.array([device.device_id for device in timeline.devices], pa.string())
        rows = len(table.times)
        head = [
            pa.DictionaryArray.from_arrays(pa.array(table.positions.astype(np.int32)), self._names[1]),
            pa.array(timeline.stamps(table)).cast(_TIME),
            pa.array(np.full(rows, timeline.boot)),
            pa.array(table.seqs),
        ]
        opened = _Opened(table)
        return head + [
            _array(column, table, rows) if len(column.path) == 1 else opened.array(column)
            for column in self._shape.columns[len(head) :]
        ]


class _Opened:
    """The fields of nested objects. One that stands in many rows is opened once, however many fields it has."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._shared: dict[str, tuple[NDArray[np.int32], list[Any]]] = {}

    def array(self, column: Column) -> pa.Array:
        """The column of an inner field."""
        outer, inner = column.path
        if outer not in self._shared:
            objects = values_of(Column(outer, Type.JSON, (outer,)), self._table)
            if objects is None:
                return pa.nulls(len(self._table.times), _ARROW[column.type])
            self._shared[outer] = shared(objects)
        rows, distinct = self._shared[outer]
        values = [None if each is None else each.get(inner) for each in distinct]
        if column.type is not Type.TEXT:
            return _from_list(column.type, values, _ARROW[column.type]).take(pa.array(rows))
        known = [text for text in dict.fromkeys(values) if text is not None]
        texts = {text: position for position, text in enumerate(known)}
        indices = np.array([texts.get(value, -1) for value in values], np.int32)[rows]
        return pa.DictionaryArray.from_arrays(pa.array(indices, mask=indices < 0), pa.array(list(texts), pa.string()))


def _array(column: Column, table: Table, rows: int) -> pa.Array:
    values = values_of(column, table)
    kind = _ARROW[column.type]
    if values is None:
        return pa.nulls(rows, kind)
    if isinstance(values, np.ndarray) and values.dtype.kind in "ifb":
        return pa.array(values).cast(kind)
    return _from_list(column.type, values, kind)


def _from_list(type_: Type, values: Values, kind: pa.DataType) -> pa.Array:
    listed: list[Any] = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if type_ is Type.TEXT:
        return pa.array(listed, pa.string()).dictionary_encode()
    if type_ is Type.TIME:
        return pa.array(listed, pa.string()).cast(kind)
    if type_ is Type.COUNTS:
        return pa.array([None if value is None else list(value.items()) for value in listed], kind)
    return pa.array(listed, kind)
