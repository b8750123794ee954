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
    FixedTextColumn,
    NullableColumn,
    PackedColumn,
    StructColumn,
    TimeColumn,
)
from devices.world.timestamps import MILLISECONDS, split_timestamps, timestamps

_PLAIN = frozenset({int, float, bool, type(None)})
"""Types whose JSON has no comma in it."""
_SCALES = (10, 100, 1000)
_LOOKED_AT = 64
"""Numbers that tell whether it is worth looking at all."""
_MOST_STEPS = 2**40
_MILLISECONDS = [text.encode() for text in MILLISECONDS]
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
    names = list(dict.fromkeys(device_ids))
    numbers = {name: number for number, name in enumerate(names)}
    indices = np.fromiter(map(numbers.__getitem__, device_ids), np.int64, len(device_ids))
    return encode_lines(DictionaryColumn(indices, names), times_ms, boot, seqs, columns).split(b"\n")[:-1]


def encode_lines(
    device_ids: DictionaryColumn, times_ms: NDArray[np.int64], boot: int, seqs: NDArray[np.int64], columns: Columns
) -> bytes:
    """Return the same payloads as NDJSON, each with its line break."""
    rows = len(device_ids)
    if not rows:
        return b""
    found = device_ids.compacted()
    heads = [b'{"device_id":' + orjson.dumps(name) + b',"timestamp":"' for name in found.dictionary]
    parts: list[Sequence[bytes] | bytes] = [
        _looked_up(heads, found.indices),
        *_time_parts(times_ms, _ends(boot)),
        json_texts(seqs).values,
    ]
    close = b""
    for name, column in columns.items():
        close = _lay_out(parts, close + b"," + orjson.dumps(name) + b":", column)
    return join_rows([*parts, close + b"}\n"], rows)


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
    if isinstance(column, TimeColumn):
        return Texts(
            b'"', [second + end for second, end in zip(*_time_parts(column.times_ms, _MILLISECONDS), strict=True)]
        )
    if isinstance(column, FixedTextColumn):
        return Texts(b'"', column.encoded())
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
    """Add a column's texts behind what leads to them, and return what has to follow.

    What there is of each text once has what leads to it put before it there: fewer pieces are joined sooner.
    """
    if isinstance(column, StructColumn):
        lead += b"{"
        for name, field in column.fields.items():
            lead = _lay_out(parts, lead + orjson.dumps(name) + b":", field) + b","
        return lead[:-1] + b"}"
    if isinstance(column, TimeColumn):
        parts += [lead + b'"', *_time_parts(column.times_ms, _MILLISECONDS)]
        return b'"'
    found = _few_texts(lead, column)
    if isinstance(found, bytes):
        return found
    if found is not None:
        parts.append(found)
        return b""
    quote, values = json_texts(column)
    parts += [lead + quote, values]
    return quote


def _few_texts(lead: bytes, column: Column) -> Sequence[bytes] | bytes | None:
    """Return the texts of a column of few different ones, behind what leads to them, or the one that all rows have.

    None of another column.
    """
    if not len(column):
        return None
    if isinstance(column, CountsColumn):
        column = column.distinct()
    if isinstance(column, DictionaryColumn):
        first = int(column.indices[0])
        if (column.indices == first).all():
            return lead + orjson.dumps(column.dictionary[first])
        return _looked_up([lead + text for text in _dumped(column.dictionary)], column.indices)
    if isinstance(column, NullableColumn):
        if not column.known.any():
            return lead + b"null"
        if column.values.dtype.kind not in "if":
            return None
        if column.known.all():
            return _texts_by_table(column.values, lead)
        known = np.flatnonzero(column.known)
        numbers = _texts_by_table(column.values[known], lead)
        return None if numbers is None else _with_nulls(numbers, known, len(column), lead)
    return _texts_by_table(column, lead) if isinstance(column, np.ndarray) and column.dtype.kind in "if" else None


def _array_texts(numbers: NDArray[Any]) -> list[bytes]:
    if not len(numbers):
        return []
    texts = _texts_by_table(numbers) if numbers.dtype.kind in "if" else None
    return _dumped_numbers(numbers) if texts is None else texts


def _dumped_numbers(numbers: NDArray[Any]) -> list[bytes]:
    return orjson.dumps(np.ascontiguousarray(numbers), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")


def _texts_by_table(numbers: NDArray[Any], lead: bytes = b"") -> list[bytes] | None:
    """Return the texts out of a table of all numbers from the least to the greatest, in a third of the time.

    Each stands behind `lead`. None where the table has more than half as many numbers as there are rows, or they have
    more than three decimals.
    """
    codes: NDArray[Any] | None = numbers
    scale = 1
    if numbers.dtype.kind == "f":
        codes, scale = _in_whole_steps(numbers)
    if codes is None:
        return None
    least, most = int(codes.min()), int(codes.max())
    if most - least >= len(numbers) // 2:
        return None
    steps = np.arange(least, most + 1)
    texts = _dumped_numbers(steps if scale == 1 else steps / scale)
    return _looked_up([lead + text for text in texts] if lead else texts, codes - least)


def _in_whole_steps(numbers: NDArray[Any]) -> tuple[NDArray[Any] | None, int]:
    """Return how many steps of 0.1, 0.01 or 0.001 each number is, and how many steps are 1; None where they are not."""
    if not np.abs(numbers).max() < _MOST_STEPS:
        return None, 1
    for scale in _SCALES:
        some = numbers[:_LOOKED_AT]
        if (np.rint(some * scale) / scale == some).all():
            steps = np.rint(numbers * scale)
            # Zero has a sign in JSON.
            if (steps / scale == numbers).all() and not (np.signbit(numbers) & (numbers == 0)).any():
                return steps.astype(np.int64), scale
    return None, 1


def _looked_up(texts: Sequence[bytes], rows: NDArray[Any]) -> list[bytes]:
    objects = np.empty(len(texts), dtype=object)
    objects[:] = texts
    found: list[bytes] = objects[rows].tolist()
    return found


def _nullable_texts(column: NullableColumn) -> list[bytes]:
    values, known = column.values, column.known
    if known.all():
        return _array_texts(values)
    rows = np.flatnonzero(known)
    # JSON has no NaN: it is written as null.
    return _with_nulls(_array_texts(values[rows]), rows, len(known))


def _with_nulls(texts: Sequence[bytes], rows: NDArray[np.int64], count: int, lead: bytes = b"") -> list[bytes]:
    """Return the texts of some rows, and null in the others."""
    objects = np.full(count, lead + b"null", dtype=object)
    if len(rows):
        objects[rows] = texts
    found: list[bytes] = objects.tolist()
    return found


def _time_parts(times_ms: NDArray[np.int64], ends: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return the text of each instant up to the second, and what follows it by its milliseconds."""
    seconds, rows, milliseconds = split_timestamps(times_ms)
    return _looked_up([second.encode() for second in seconds], rows), _looked_up(ends, milliseconds)


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
