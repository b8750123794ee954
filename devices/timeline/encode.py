"""Turns columns into JSON: the hot path between the sensors and the wire.

No model object is built here; a contract test proves that what this writes is what `edgewire.messages` accepts.
A table is encoded column by column: the texts of all its values are laid out between the constant parts of its rows
and joined once, which costs a fraction of one JSON document a row.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from devices.sensors.columns import (
    Column,
    Columns,
    CountsColumn,
    DictionaryColumn,
    NullableColumn,
    PackedColumn,
    StructColumn,
)
from devices.world.timestamps import MILLISECONDS, split_timestamps, timestamps

_PLAIN = frozenset({int, float, bool, type(None)})
"""Types whose JSON has no comma in it."""
_ROWS_JOINED = 512
"""At once, so that the pieces of what is joined stay in the processor's cache."""


class Texts(NamedTuple):
    """Holds the JSON of a column's values, without the quotes that all of them stand in."""

    quote: bytes
    values: Sequence[bytes]


def encode_columns(
    device_ids: Sequence[str],
    times_ms: NDArray[np.int64],
    boot: int,
    seqs: NDArray[np.int64],
    columns: Columns,
) -> list[bytes]:
    """Return one JSON payload a row: who, when, which, then the sensor's columns in their order."""
    rows = len(device_ids)
    if not rows:
        return []
    heads = {name: b'{"device_id":' + orjson.dumps(name) + b',"timestamp":"' for name in set(device_ids)}
    ends = _ends(boot)
    seconds, milliseconds = split_timestamps(times_ms)
    parts: list[Sequence[bytes] | bytes] = [
        [heads[name] for name in device_ids],
        [second.encode() for second in seconds],
        [ends[number] for number in milliseconds],
        json_texts(seqs).values,
    ]
    close = b""
    for name, column in columns.items():
        close = _lay_out(parts, close + b"," + orjson.dumps(name) + b":", column)
    return join_rows([*parts, close + b"}\n"], rows).split(b"\n")[:-1]


def encode_events(
    device_ids: Sequence[str],
    times_ms: NDArray[np.int64],
    boot: int,
    seqs: NDArray[np.int64],
    events: Sequence[dict[str, Any]],
) -> list[bytes]:
    """Return one JSON payload a row, where the rows have fields of their own."""
    heads = zip(device_ids, timestamps(times_ms), seqs.tolist(), events, strict=True)
    return _dumped(
        {"device_id": device_id, "timestamp": timestamp, "boot": boot, "seq": seq, **rest}
        for device_id, timestamp, seq, rest in heads
    )


def json_texts(column: NDArray[Any] | Sequence[Any]) -> Texts:
    """Return the JSON of every value of a column."""
    if isinstance(column, CountsColumn):
        column = column.distinct()
    if isinstance(column, DictionaryColumn):
        return Texts(b"", column.with_dictionary(_dumped(column.dictionary)).tolist())
    if isinstance(column, NullableColumn) and column.values.dtype.kind in "iuf":
        return Texts(b"", _nullable_texts(column))
    if isinstance(column, StructColumn):
        return Texts(b"", _struct_texts(column))
    if isinstance(column, np.ndarray) and column.dtype.kind in "iufb":
        return Texts(b"", _array_texts(column))
    if isinstance(column, np.ndarray | PackedColumn):
        column = list(column.tolist())
    types = set(map(type, column))
    if types <= _PLAIN:
        return Texts(b"", orjson.dumps(column)[1:-1].split(b",") if column else [])
    if types == {str}:
        dumped = orjson.dumps(column)
        # An escaped quote could look like the end of a text.
        if b"\\" not in dumped:
            return Texts(b'"', dumped[2:-2].split(b'","'))
    return Texts(b"", _shared_texts(column))


def join_rows(parts: Sequence[Sequence[bytes] | bytes], rows: int) -> bytes:
    """Return the rows of these parts side by side, where a part is one text a row, or the same for all."""
    template = [part if isinstance(part, bytes) else b"" for part in parts]
    varying = [(place, part) for place, part in enumerate(parts) if not isinstance(part, bytes)]
    joined: list[bytes] = []
    for start in range(0, rows, _ROWS_JOINED):
        count = min(_ROWS_JOINED, rows - start)
        pieces = template * count
        for place, part in varying:
            pieces[place :: len(parts)] = part[start : start + count]
        joined.append(b"".join(pieces))
    return b"".join(joined)


def _lay_out(parts: list[Sequence[bytes] | bytes], lead: bytes, column: Column) -> bytes:
    """Add a column's texts behind what leads to them, and return what has to follow."""
    if not isinstance(column, StructColumn):
        quote, values = json_texts(column)
        parts += [lead + quote, values]
        return quote
    lead += b"{"
    for name, field in column.fields.items():
        lead = _lay_out(parts, lead + orjson.dumps(name) + b":", field) + b","
    return lead[:-1] + b"}"


def _array_texts(numbers: NDArray[Any]) -> list[bytes]:
    dumped = orjson.dumps(np.ascontiguousarray(numbers), option=orjson.OPT_SERIALIZE_NUMPY)
    return dumped[1:-1].split(b",") if len(numbers) else []


def _nullable_texts(column: NullableColumn) -> list[bytes]:
    values, known = column.values, column.known
    if values.dtype.kind == "f":
        # JSON has no NaN: it is written as null.
        return _array_texts(np.where(known, values, np.nan))
    texts = _array_texts(values)
    for row in np.flatnonzero(~known).tolist():
        texts[row] = b"null"
    return texts


def _struct_texts(column: StructColumn) -> list[bytes]:
    """Return an object a row."""
    parts: list[Sequence[bytes] | bytes] = []
    close = _lay_out(parts, b"", column)
    return join_rows([*parts, close + b"\n"], len(column)).split(b"\n")[:-1]


def _shared_texts(column: Sequence[Any]) -> list[bytes]:
    """Return the JSON of every value; an object that stands in many rows is encoded once."""
    keys = list(map(id, column))
    distinct = dict(zip(keys, column, strict=True))
    if 2 * len(distinct) > len(keys):
        return _dumped(column)
    known = dict(zip(distinct, _dumped(distinct.values()), strict=True))
    return [known[key] for key in keys]


def _dumped(values: Iterable[Any]) -> list[bytes]:
    """Return the JSON of each value.

    orjson begins every text in a kilobyte and gives back the rest, in pieces too small for the next one. Kept by the
    ten thousand that costs ten times their length, so the texts are copied (none has a line break in it).
    """
    texts: list[bytes] = []
    remaining = iter(values)
    while some := list(islice(remaining, _ROWS_JOINED)):
        texts += b"\n".join(map(orjson.dumps, some)).split(b"\n")
    return texts


@lru_cache(16)
def _ends(boot: int) -> list[bytes]:
    """Return what follows the seconds, up to the seq, for each millisecond."""
    return [b'%s","boot":%d,"seq":' % (text.encode(), boot) for text in MILLISECONDS]
