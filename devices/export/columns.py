"""Derives the columns of every shape of message from its model in `edgewire.messages`: messages as tables.

A nested object with known fields becomes one column a field, its name before theirs (`metadata_weather_event_type`);
a list or a mapping stays together. Fields that the model does not know get columns behind the others.
"""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from functools import cache
from itertools import chain
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime

from devices.sensors.columns import DictionaryColumn, PackedColumn, StructColumn
from devices.sensors.packed_events import PackedEvents
from devices.timeline.table import Table
from devices.timeline.timeline import Timeline
from devices.world.timestamps import timestamps
from edgewire.messages import CONTRACT, KindContract, MessageType
from edgewire.messages.base import Payload

HEAD = ("device_id", "timestamp", "boot", "seq")
"""Columns that every schema begins with; together, without the timestamp, they are the message id."""
Values = NDArray[Any] | Sequence[Any]


class ColumnType(Enum):
    """Names what is in a column."""

    TEXT = "text"
    """One of some: a category."""
    ID = "id"
    """A text that stands in one row, or few."""
    FLOAT = "float"
    INT = "int"
    BOOL = "bool"
    TIME = "time"
    TEXTS = "texts"
    """A list of texts."""
    COUNTS = "counts"
    """A mapping of texts to whole numbers."""
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Column:
    """Describes one column of a schema."""

    name: str
    type: ColumnType
    path: tuple[str, ...]
    """Where its values are in a message."""


@dataclass(frozen=True, slots=True)
class TableSchema:
    """Describes a shape of message as a table."""

    name: str
    """Of its file or database table: the kind, or the Kafka topic where a kind has several schemas."""
    kind: str
    message: MessageType
    columns: tuple[Column, ...]

    def widened(self, table: Table) -> "TableSchema":
        """Return this schema with columns for fields of `table` that it does not have yet."""
        known = {column.path[0] for column in self.columns}
        first = table.columns if isinstance(table.columns, dict) else table.columns[0]
        extra = [Column(name, self._type_of(name, table), (name,)) for name in first if name not in known]
        return replace(self, columns=(*self.columns, *extra)) if extra else self

    def _type_of(self, name: str, table: Table) -> ColumnType:
        """Return the type of a column that the model does not know: a clean value is of the type of its field."""
        field = name.removeprefix("clean_")
        known = {column.name: column.type for column in self.columns}
        if name == "split":
            return ColumnType.TEXT  # its first value may be null
        return known[field] if field in known and field != name else _type_of_values(_values(table, name))


def dump_columns(columns: Sequence[Column]) -> list[list[Any]]:
    """Return columns as JSON has them."""
    return [[column.name, column.type.value, list(column.path)] for column in columns]


def load_columns(saved: Sequence[Sequence[Any]]) -> tuple[Column, ...]:
    """Return the columns that were dumped."""
    return tuple(Column(name, ColumnType(kind), tuple(path)) for name, kind, path in saved)


def table_schemas(timeline: Timeline) -> list[TableSchema]:
    """Return the schemas of all messages that the devices of a timeline can send."""
    kinds = {device.kind for device in timeline.devices}
    return [schema for kind, contract in CONTRACT.items() if kind in kinds for schema in _schemas(contract)]


def all_schemas() -> list[TableSchema]:
    """Return the schemas of all messages of all kinds."""
    return [schema for contract in CONTRACT.values() for schema in _schemas(contract)]


def split_by_schema(schemas: Sequence[TableSchema], tables: Sequence[Table]) -> Iterator[tuple[TableSchema, Table]]:
    """Yield each table with its schema; a table whose rows have several schemas comes in parts."""
    for table in chain.from_iterable(map(_by_shape, tables)):
        candidates = [
            schema for schema in schemas if schema.kind == table.kind and schema.message.channel is table.channel
        ]
        if len(candidates) == 1:
            yield candidates[0], table
            continue
        said = _values(table, "event_type")
        assert said is not None, f"{table.kind} has several shapes of message on one channel"
        numbers, names = distinct_objects(said)
        for schema in candidates:
            rows = np.flatnonzero(np.isin(names, schema.message.event_types)[numbers])
            if len(rows) == len(table.times):
                yield schema, table
            elif len(rows):
                yield schema, table.rows(rows)


def _by_shape(table: Table) -> Iterator[Table]:
    """Yield a table whose events are packed in parts, each of columns."""
    if not isinstance(table.columns, PackedEvents):
        yield table
        return
    for rows, columns in table.columns.by_shape():
        yield replace(table.rows(rows), columns=columns)


def column_values(column: Column, table: Table) -> Values | None:
    """Return a column's values beyond `HEAD`, one a row; None where no message of this table has that field."""
    values = _values(table, column.path[0])
    if values is None or len(column.path) == 1:
        return values
    inner = column.path[1]
    if isinstance(values, StructColumn):
        return values.fields.get(inner)
    if isinstance(values, DictionaryColumn):
        return values.with_dictionary([None if value is None else value.get(inner) for value in values.dictionary])
    # An object that stands in many rows is opened once.
    keys = list(map(id, values))
    known = {
        key: None if value is None else value.get(inner) for key, value in dict(zip(keys, values, strict=True)).items()
    }
    return [known[key] for key in keys]


def distinct_objects(values: Values) -> tuple[NDArray[np.int32], list[Any]]:
    """Return the objects in a column, each once, and for every row the number of its own."""
    if isinstance(values, DictionaryColumn):
        return values.indices.astype(np.int32), list(values.dictionary)
    if isinstance(values, PackedColumn):
        values = values.tolist()
    keys = list(map(id, values))
    objects = dict(zip(keys, values, strict=True))
    number = {key: position for position, key in enumerate(objects)}
    return np.fromiter(map(number.__getitem__, keys), np.int32, len(keys)), list(objects.values())


def head_values(
    timeline: Timeline, table: Table
) -> tuple[list[str], list[str], int | NDArray[np.int64], NDArray[np.int64]]:
    """Return device id and timestamp of every row, the boot of all or of every row, and the seqs."""
    names = [timeline.devices[position].device_id for position in table.positions.tolist()]
    return names, timestamps(timeline.timestamps_ms(table)), timeline.boots(table), table.seqs


def _values(table: Table, name: str) -> Values | None:
    if isinstance(table.columns, dict):
        return table.columns.get(name)
    return [row.get(name) for row in table.columns]


def _schemas(contract: KindContract) -> Iterator[TableSchema]:
    for message in contract.messages:
        name = contract.kind if len(contract.messages) == 1 else message.kafka_topic
        yield TableSchema(name, contract.kind, message, tuple(_columns(message.model)))


def _columns(model: type[Payload], prefix: tuple[str, ...] = ()) -> Iterator[Column]:
    for name, field in model.model_fields.items():
        path = (*prefix, name)
        annotation = _bare(field.annotation)
        if isinstance(annotation, type) and issubclass(annotation, Payload):
            yield from _columns(annotation, path)
        else:
            column = "_".join(path)
            type_ = _type(annotation)
            if type_ is ColumnType.TEXT and any(_UUID in str(getattr(each, "pattern", "")) for each in field.metadata):
                type_ = ColumnType.ID
            yield Column(column, ColumnType.FLOAT if column in _fractional_names(_models()) else type_, path)


def _models() -> tuple[type[Payload], ...]:
    return tuple(message.model for contract in CONTRACT.values() for message in contract.messages)


@cache
def _fractional_names(models: tuple[type[Payload], ...]) -> frozenset[str]:
    """Return the names of what has a fraction in some kind: then it has in all, or readers could not join them."""
    return frozenset(
        name
        for model in models
        for name, field in model.model_fields.items()
        if _type(_bare(field.annotation)) is ColumnType.FLOAT
    )


def _bare(annotation: Any) -> Any:
    """Return an annotation without `Annotated` and `| None`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _bare(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        rest = [part for part in get_args(annotation) if part is not types.NoneType]
        return _bare(rest[0]) if len(rest) == 1 else annotation
    return annotation


_UUID = "[0-9a-f]{"
"""In the pattern of a text that is made of random digits."""
_TYPES: Mapping[Any, ColumnType] = {
    str: ColumnType.TEXT,
    float: ColumnType.FLOAT,
    int: ColumnType.INT,
    bool: ColumnType.BOOL,
    list[str]: ColumnType.TEXTS,
}


def _type(annotation: Any) -> ColumnType:
    if get_origin(annotation) is Literal:
        return ColumnType.TEXT
    if get_origin(annotation) is dict and _bare(get_args(annotation)[1]) is int:
        return ColumnType.COUNTS
    if annotation in (datetime, AwareDatetime):
        return ColumnType.TIME
    return _TYPES.get(annotation, ColumnType.JSON)


def _type_of_values(values: Values | None) -> ColumnType:
    """Return the type of a field that no model knows: that of its first value that is not null."""
    listed = values.tolist() if isinstance(values, np.ndarray) else values or []
    first = next((value for value in listed if value is not None), 0.0)
    if isinstance(first, list):
        return ColumnType.TEXTS
    return _TYPES.get(type(first), ColumnType.JSON)
