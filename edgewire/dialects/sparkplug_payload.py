"""Reads and writes payloads of Sparkplug B, as `sparkplug_b.proto` of Eclipse Tahu describes them in Protocol Buffers.

Field numbers and datatypes are those of that file and of chapter 6 of the Sparkplug 3.0 specification. Datasets,
templates, property lists and metadata are passed over; their bytes stay in `SparkplugMetric.written`. Whatever comes is
read or refused with `DialectError`: each step takes bytes, and metrics are not nested as far as they are read here.
"""

import math
import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

from edgewire.dialects.base import DialectError
from edgewire.dialects.values import MAX_PAYLOAD, shown

MAX_METRICS = 5_000
"""In one payload; births of large nodes have some hundreds."""
MAX_NAME = 500
_MAX_PROPERTIES = 100
_QUALITY = b"Quality"
_DOUBLE, _FLOAT = struct.Struct("<d"), struct.Struct("<f")
_FIXED = {1: 8, 5: 4}
"""Wire type -> bytes."""
_VARINT, _BYTES, _FIXED32, _FIXED64 = 0, 2, 5, 1
_NAME, _DATATYPE = 1, 4
_TIME_TAG = 3 << 3 | _VARINT


class SparkplugType(IntEnum):
    """Names the datatypes of single values, by the number that a metric says."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15


_T = SparkplugType
SIGNED_BITS = {_T.INT8: 8, _T.INT16: 16, _T.INT32: 32, _T.INT64: 64}
UNSIGNED_BITS = {_T.UINT8: 8, _T.UINT16: 16, _T.UINT32: 32, _T.UINT64: 64, _T.DATETIME: 64}
_TEXTS = frozenset({_T.STRING, _T.TEXT, _T.UUID})


class ValueField(IntEnum):
    """Names the field of a metric that its value stands in."""

    INT = 10
    LONG = 11
    FLOAT = 12
    DOUBLE = 13
    BOOLEAN = 14
    STRING = 15
    BYTES = 16
    DATASET = 17
    TEMPLATE = 18


class SparkplugMetric(NamedTuple):
    """Holds a metric as it is written; what it means depends on the birth."""

    name: str | None
    alias: int | None
    timestamp: int | None
    """Milliseconds since 1970 UTC."""
    datatype: int | None
    is_historical: bool
    is_transient: bool
    is_null: bool
    quality: int | None
    """Of the property `Quality`: 0 bad, 192 good, 500 stale."""
    field: ValueField | None
    value: int | float | bool | bytes | None
    """The bits of a whole number, a number, a truth value, or bytes."""
    written: bytes
    """The metric as it came."""


class SparkplugPayload(NamedTuple):
    """Holds a payload."""

    timestamp: int | None
    """Milliseconds since 1970 UTC."""
    seq: int | None
    metrics: list[SparkplugMetric]


def read_payload(payload: bytes) -> SparkplugPayload:
    """Return what a payload has. Raises `DialectError`."""
    if len(payload) > MAX_PAYLOAD:
        raise DialectError(f"payload of {len(payload):,} bytes is longer than the {MAX_PAYLOAD:,} allowed")
    timestamp = seq = None
    metrics: list[SparkplugMetric] = []
    for number, wire, value in _fields(payload):
        if number == 1 and wire == _VARINT:
            timestamp = _whole(value)
        elif number == 3 and wire == _VARINT:
            seq = _whole(value)
        elif number == 2:
            if len(metrics) >= MAX_METRICS:
                raise DialectError(f"more than the {MAX_METRICS:,} metrics allowed in one payload")
            metrics.append(_metric(_data(value, wire, "metric")))
        elif number in (1, 3):
            raise DialectError(f"payload is not Sparkplug: field {number} is no number")
    return SparkplugPayload(timestamp, seq, metrics)


def _metric(data: bytes) -> SparkplugMetric:
    name: str | None = None
    numbers: dict[int, int] = {}
    quality: int | None = None
    field: ValueField | None = None
    value: int | float | bool | bytes | None = None
    for number, wire, said in _fields(data):
        if number == 1:
            name = _text(_data(said, wire, "name"), "name")
            if len(name) > MAX_NAME:
                raise DialectError(f"a metric has a name of {len(name):,} letters, more than the {MAX_NAME} allowed")
        elif number in (2, 3, 4, 5, 6, 7):
            if wire != _VARINT:
                raise DialectError(f"payload is not Sparkplug: field {number} of a metric is no number")
            numbers[number] = _whole(said)
        elif number == 9:
            quality = _quality(_data(said, wire, "properties"))
        elif 10 <= number <= 18:
            field = ValueField(number)
            value = _value(field, wire, said)
    flags = (bool(numbers.get(number)) for number in (5, 6, 7))
    is_historical, is_transient, is_null = flags
    return SparkplugMetric(
        name, numbers.get(2), numbers.get(3), numbers.get(4), is_historical, is_transient, is_null, quality, field,
        value, data,
    )  # fmt: skip


def _value(field: ValueField, wire: int, said: int | bytes) -> int | float | bool | bytes:
    wanted = {ValueField.FLOAT: _FIXED32, ValueField.DOUBLE: _FIXED64}.get(
        field, _VARINT if field in (ValueField.INT, ValueField.LONG, ValueField.BOOLEAN) else _BYTES
    )
    if wire != wanted:
        raise DialectError(f"payload is not Sparkplug: a value in field {int(field)} is written otherwise")
    if isinstance(said, int):
        return bool(said) if field is ValueField.BOOLEAN else said
    if field is ValueField.FLOAT:
        return _shortest(_FLOAT.unpack(said)[0])
    return float(_DOUBLE.unpack(said)[0]) if field is ValueField.DOUBLE else said


def _shortest(single: float) -> float:
    """Return a number of single precision with as few digits as tell it from its neighbours: 21.43, not 21.4300003."""
    if not math.isfinite(single):
        return single
    packed = _FLOAT.pack(single)
    for digits in range(6, 9):
        found = float(f"{single:.{digits}g}")
        try:
            if _FLOAT.pack(found) == packed:
                return found
        except OverflowError:
            continue
    return float(f"{single:.9g}")


def _quality(properties: bytes) -> int | None:
    """Return the property `Quality` of a property set, keys 1 and values 2 side by side; None where there is none."""
    keys: list[bytes] = []
    values: list[bytes] = []
    for number, wire, said in _fields(properties):
        if number in (1, 2):
            (keys if number == 1 else values).append(_data(said, wire, "property"))
        if max(len(keys), len(values)) > _MAX_PROPERTIES:
            raise DialectError(f"a metric has more than the {_MAX_PROPERTIES} properties allowed")
    place = keys.index(_QUALITY) if _QUALITY in keys else len(values)
    if place >= len(values):
        return None
    # Of a property value: type 1, is_null 2, int_value 3, long_value 4.
    whole = {number: said for number, wire, said in _fields(values[place]) if wire == _VARINT}
    quality = whole.get(3, whole.get(4))
    return quality if isinstance(quality, int) else None


def _fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Yield number, wire type and content of each field of a message. Raises `DialectError`."""
    at, size = 0, len(data)
    while at < size:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not 1 <= number < 1 << 29:
            raise DialectError(f"payload is not Protocol Buffers: field number {number}: {shown(data)}")
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in _FIXED:
            length = _FIXED[wire]
        else:
            raise DialectError(f"payload is not Protocol Buffers: wire type {wire}: {shown(data)}")
        if length > size - at:
            raise DialectError(f"payload of Protocol Buffers ends in the middle of field {number}")
        yield number, wire, data[at : at + length]
        at += length


def _places(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield number, begin and end of each field of a message that was read already."""
    at = 0
    while at < len(data):
        begin = at
        tag, at = _varint(data, at)
        length = 0
        if tag & 7 == _VARINT:
            _, at = _varint(data, at)
        elif tag & 7 == _BYTES:
            length, at = _varint(data, at)
        else:
            length = _FIXED[tag & 7]
        at += length
        yield tag >> 3, begin, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of 64 bits, and where it ends."""
    found = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise DialectError("payload of Protocol Buffers ends in the middle of a number")
        byte = data[at]
        at += 1
        found |= (byte & 127) << shift
        if byte < 128:
            return found & (1 << 64) - 1, at
    raise DialectError(f"payload is not Protocol Buffers: a number of more than 10 bytes: {shown(data)}")


def _whole(value: int | bytes) -> int:
    assert isinstance(value, int)
    return value


def _data(value: int | bytes, wire: int, what: str) -> bytes:
    if wire != _BYTES or not isinstance(value, bytes):
        raise DialectError(f"payload is not Sparkplug: a {what} is no length and bytes")
    return value


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise DialectError(f"a {what} is no UTF-8: {shown(data)}") from None


def metric_value(metric: SparkplugMetric, datatype: int | None, name: str) -> int | float | bool | str | None:
    """Return the value of a metric by the datatype that it or its birth says.

    None for none: null, a number that is none, and what is no single value, which `is_single` tells. Raises
    `DialectError` for a value that is not of the datatype.
    """
    value = metric.value
    if metric.is_null or value is None:
        return None
    if metric.field is ValueField.BOOLEAN and datatype in (None, 0, _T.BOOLEAN):
        return bool(value)
    if metric.field is ValueField.STRING and datatype in (None, 0, *_TEXTS) and isinstance(value, bytes):
        return _text(value, f"value of {shown(name)}")
    if metric.field in (ValueField.FLOAT, ValueField.DOUBLE) and datatype in (None, 0, _T.FLOAT, _T.DOUBLE):
        return value if isinstance(value, float) and math.isfinite(value) else None
    if metric.field in (ValueField.INT, ValueField.LONG) and isinstance(value, int):
        return _whole_value(value, datatype, name)
    raise DialectError(f"metric {shown(name)} is of datatype {datatype}, and its value is not: it is in field "
                       f"{int(metric.field or 0)}")  # fmt: skip


def _whole_value(bits: int, datatype: int | None, name: str) -> int:
    """Return a whole number of its bits; a negative one may come in its own width, in 32 bits, or in 64 (tahu 71)."""
    if datatype in UNSIGNED_BITS:
        if bits < 1 << UNSIGNED_BITS[_T(datatype)]:
            return bits
    elif datatype in SIGNED_BITS:
        width = SIGNED_BITS[_T(datatype)]
        half = 1 << width - 1
        if bits < half:
            return bits
        for whole in (width, 32, 64):
            if (1 << whole) - half <= bits < 1 << whole:
                return bits - (1 << whole)
    else:
        raise DialectError(f"metric {shown(name)} is a whole number of datatype {datatype}: whether it has a sign is"
                           " told by a birth, and none was received")  # fmt: skip
    raise DialectError(f"metric {shown(name)} is {bits:,}, which is more than its datatype {_T(datatype).name} holds")


def is_single(metric: SparkplugMetric, datatype: int | None) -> bool:
    """Say whether the value of a metric is one number, text or truth value: no bytes, array, dataset or template."""
    if metric.field in (ValueField.BYTES, ValueField.DATASET, ValueField.TEMPLATE):
        return False
    return datatype in (None, 0) or datatype in _T.__members__.values()


# -- writing


def write_payload(timestamp: int | None, seq: int | None, metrics: Iterable[bytes]) -> bytes:
    """Return a payload of metrics that are written already; times are milliseconds since 1970 UTC."""
    pieces = [] if timestamp is None else [_number(1, timestamp)]
    pieces += [_bytes(2, metric) for metric in metrics]
    if seq is not None:
        pieces.append(_number(3, seq))
    return b"".join(pieces)


def write_metric(
    name: str | None,
    datatype: int,
    value: int | float | bool | str | None,
    *,
    timestamp: int | None = None,
    alias: int | None = None,
    says_datatype: bool = True,
    is_historical: bool = False,
) -> bytes:
    """Return a metric with a single value, or a null where it is None; `datatype` says how it is written."""
    pieces = [] if name is None else [_bytes(1, name.encode())]
    pieces += [_number(place, said) for place, said in ((2, alias), (3, timestamp)) if said is not None]
    if says_datatype:
        pieces.append(_number(4, datatype))
    if is_historical:
        pieces.append(_number(5, 1))
    pieces.append(_number(7, 1) if value is None else _written_value(datatype, value))
    return b"".join(pieces)


def name_metric(written: bytes, name: str, datatype: int | None) -> bytes:
    """Return a metric as it is written, with the name and datatype that its birth said."""
    return written + _bytes(1, name.encode()) + (b"" if datatype is None else _number(4, datatype))


def mark_historical(written: bytes) -> bytes:
    """Return a metric as it is written, marked as one of the past."""
    return written + _number(5, 1)


def alias_metric(written: bytes, alias: int) -> bytes:
    """Return a metric as it is written, with an alias beside its name, as a birth has it."""
    return written + _number(2, alias)


def time_metric(written: bytes, timestamp: int) -> bytes:
    """Return a metric as it is written, with a time in milliseconds since 1970 UTC."""
    return written + _number(3, timestamp)


def shorten_metric(written: bytes, alias: int | None) -> bytes:
    """Return a metric as data has it after its birth: without datatype, and by alias where there is one."""
    dropped = (_DATATYPE,) if alias is None else (_NAME, _DATATYPE)
    kept = b"".join([written[begin:end] for number, begin, end in _places(written) if number not in dropped])
    return kept if alias is None else _number(2, alias) + kept


def split_payload(payload: bytes) -> list[tuple[bytes, bytes, bool]]:
    """Return the metrics of a payload of our own: each with its name as UTF-8, and whether it has a time."""
    found = []
    for number, begin, end in _places(payload):
        if number != 2:
            continue
        _, at = _varint(payload, begin + 1)
        written = payload[at:end]
        # `write_metric` begins with the name, and a time follows it.
        length, at = _varint(written, 1)
        found.append((written[at : at + length], written, written[at + length] == _TIME_TAG))
    return found


def _written_value(datatype: int, value: int | float | bool | str) -> bytes:
    if isinstance(value, str):
        return _bytes(ValueField.STRING, value.encode())
    if datatype == _T.BOOLEAN:
        return _number(ValueField.BOOLEAN, int(value))
    if datatype == _T.FLOAT:
        return _tag(ValueField.FLOAT, _FIXED32) + _FLOAT.pack(value)
    if datatype == _T.DOUBLE:
        return _tag(ValueField.DOUBLE, _FIXED64) + _DOUBLE.pack(value)
    width = SIGNED_BITS.get(_T(datatype)) or UNSIGNED_BITS[_T(datatype)]
    # As the reference implementation does, a negative number has the bits of its field: 32, or 64.
    field, bits = (ValueField.LONG, 64) if width == 64 else (ValueField.INT, 32)
    return _number(field, int(value) % (1 << bits))


def _tag(number: int, wire: int) -> bytes:
    return _written_varint(number << 3 | wire)


def _number(number: int, value: int) -> bytes:
    return _tag(number, _VARINT) + _written_varint(value)


def _bytes(number: int, data: bytes) -> bytes:
    return _tag(number, _BYTES) + _written_varint(len(data)) + data


def _written_varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)
