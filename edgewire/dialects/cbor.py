"""Reads and writes CBOR (RFC 8949) as far as it says what JSON can say: the rest is refused, or told as text.

Byte strings are base64url without padding, as RFC 8949 section 6.1 has them in JSON; decimal fractions (tag 4) and
bigfloats (tag 5) are numbers; other tags are passed over, and what they are on is read. Numbers without a value (NaN
and infinities) and `undefined` are null. Keys of maps are texts, or whole numbers where the reader allows them.

It is not `cbor2`, which judges it in the tests from outside: that has no wheel for 32-bit ARM from 6.0 on, and makes
objects of tags that no JSON holds, such as dates and sets.
"""

import base64
import math
import struct
from typing import Any

from edgewire.dialects.base import DialectError

_MAX_DEPTH = 32
_MAX_EXPONENT = 400
_BREAK = object()
_HALF, _SINGLE, _DOUBLE = struct.Struct(">e"), struct.Struct(">f"), struct.Struct(">d")
_MAX_NUMBER = 1 << 64


def read_cbor(payload: bytes, *, whole_keys: bool = False) -> Any:
    """Return what a payload of CBOR says; with `whole_keys`, numbers may be keys. Raises `DialectError`."""
    reader = _Reader(payload, whole_keys=whole_keys)
    try:
        found = reader.read_item(0)
    except (IndexError, struct.error):
        raise DialectError(f"payload of CBOR ends in the middle, after {len(payload):,} bytes") from None
    if found is _BREAK:
        raise DialectError("payload of CBOR begins with the end of a list")
    if reader.at != len(payload):
        raise DialectError(f"payload of CBOR ends after {reader.at:,} bytes, and has {len(payload):,}")
    return found


class _Reader:
    def __init__(self, payload: bytes, *, whole_keys: bool) -> None:
        self._payload = payload
        self._whole_keys = whole_keys
        self.at = 0

    def read_item(self, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise DialectError(f"payload of CBOR is nested deeper than {_MAX_DEPTH} levels")
        first = self._payload[self.at]
        self.at += 1
        major, low = first >> 5, first & 31
        if major == 7:
            return self._read_simple(low)
        size = self._read_size(low)
        if major < 2:
            if size is None:
                raise DialectError("payload is not CBOR: a number without an end")
            return -1 - size if major else size
        if major < 4:
            data = self._read_chunks(major, depth) if size is None else self._take(size)
            return _text(data) if major == 3 else base64.urlsafe_b64encode(data).rstrip(b"=").decode()
        if major == 4:
            return self._read_list(size, depth)
        if major == 5:
            return self._read_map(size, depth)
        if size is None:
            raise DialectError("payload is not CBOR: a tag without a number")
        return self._read_tagged(size, depth)

    def _read_size(self, low: int) -> int | None:
        """Return a length or a number; None where there is an end mark instead."""
        if low < 24:
            return low
        if low < 28:
            return int.from_bytes(self._take(1 << low - 24), "big")
        if low == 31:
            return None
        raise DialectError(f"payload is not CBOR: it has the reserved length {low}")

    def _take(self, size: int) -> bytes:
        data = self._payload[self.at : self.at + size]
        if len(data) < size:
            raise IndexError
        self.at += size
        return data

    def _read_chunks(self, major: int, depth: int) -> bytes:
        pieces = []
        while self._payload[self.at] != 0xFF:
            first = self._payload[self.at]
            size = self._read_size(first & 31) if first >> 5 == major and self._step() else None
            if size is None:
                raise DialectError("payload is not CBOR: a text in pieces of something else")
            pieces.append(self._take(size))
        self.at += 1
        return b"".join(pieces)

    def _step(self) -> bool:
        self.at += 1
        return True

    def _read_list(self, size: int | None, depth: int) -> list[Any]:
        found: list[Any] = []
        while size is None or len(found) < size:
            item = self.read_item(depth + 1)
            if item is _BREAK:
                if size is not None:
                    raise DialectError("payload is not CBOR: the end of a list where none is open")
                break
            found.append(item)
        return found

    def _read_map(self, size: int | None, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        count = 0
        while size is None or count < size:
            key = self.read_item(depth + 1)
            if key is _BREAK and size is None:
                break
            if not (isinstance(key, str) or (self._whole_keys and type(key) is int)):
                raise DialectError(f"a map of CBOR has a {type(key).__name__} for a key, which JSON has no word for")
            value = self.read_item(depth + 1)
            if value is _BREAK:
                raise DialectError("payload is not CBOR: a key without a value")
            found[key] = value
            count += 1
        return found

    def _read_tagged(self, tag: int, depth: int) -> Any:
        item = self.read_item(depth + 1)
        if item is _BREAK:
            raise DialectError("payload is not CBOR: a tag on nothing")
        if tag not in (4, 5):
            return item
        is_pair = isinstance(item, list) and len(item) == 2 and all(type(one) is int for one in item)
        if not is_pair or abs(item[0]) > _MAX_EXPONENT or abs(item[1]) >= _MAX_NUMBER:
            raise DialectError("payload is not CBOR: a decimal number that is no pair of exponent and mantissa")
        try:
            number = float(f"{item[1]}e{item[0]}") if tag == 4 else math.ldexp(item[1], item[0])
        except OverflowError:
            return None
        return number if math.isfinite(number) else None

    def _read_simple(self, low: int) -> Any:
        if low in (20, 21):
            return low == 21
        if low in (22, 23):
            return None
        if low in (25, 26, 27):
            form = {25: _HALF, 26: _SINGLE, 27: _DOUBLE}[low]
            number = form.unpack(self._take(form.size))[0]
            return number if math.isfinite(number) else None
        if low == 31:
            return _BREAK
        raise DialectError(f"payload of CBOR has the simple value {low}, which JSON has no word for")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise DialectError("payload of CBOR has a text that is no UTF-8") from None


def write_cbor(value: Any) -> bytes:
    """Return a value of JSON as CBOR, in the deterministic form of RFC 8949 section 4.2 less the order of keys."""
    pieces: list[bytes] = []
    _write(value, pieces)
    return b"".join(pieces)


def _write(value: Any, pieces: list[bytes]) -> None:
    if value is None or value is True or value is False:
        pieces.append({None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value])
    elif isinstance(value, int):
        pieces.append(_head(0, value) if value >= 0 else _head(1, -1 - value))
    elif isinstance(value, float):
        pieces.append(_float(value))
    elif isinstance(value, str):
        data = value.encode()
        pieces += _head(3, len(data)), data
    elif isinstance(value, bytes):
        pieces += _head(2, len(value)), value
    elif isinstance(value, dict):
        pieces.append(_head(5, len(value)))
        for key, inner in value.items():
            _write(key, pieces)
            _write(inner, pieces)
    else:
        pieces.append(_head(4, len(value)))
        for inner in value:
            _write(inner, pieces)


def _head(major: int, size: int) -> bytes:
    if size < 24:
        return bytes([major << 5 | size])
    low = next(place for place in range(4) if size < 1 << (8 << place))
    return bytes([major << 5 | 24 + low]) + size.to_bytes(1 << low, "big")


def _float(value: float) -> bytes:
    """Return a number in the shortest form that loses nothing of it."""
    for first, form in ((b"\xf9", _HALF), (b"\xfa", _SINGLE)):
        try:
            packed = form.pack(value)
        except OverflowError:
            continue
        if form.unpack(packed)[0] == value:
            return first + packed
    return b"\xfb" + _DOUBLE.pack(value)
