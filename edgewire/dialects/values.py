"""Reads JSON and values as devices write them: leniently where a firmware is known to be wrong, strictly elsewhere."""

import math
import re
from typing import Any

import orjson

from edgewire.dialects.base import DialectError

MAX_PAYLOAD = 1 << 20
"""Bytes. The largest message of a dialect here is a gateway's list of devices, about 2 kB a device."""
_SHORT = 4096
_MAX_DEPTH = 32
_SHOWN = 80

NO_VALUE = frozenset(
    {"", "nan", "-nan", "none", "null", "unavailable", "unknown", "n/a", "undefined", "inf", "+inf", "-inf", "infinity",
     "-infinity"}
)  # fmt: skip
"""Texts, in small letters, that stand where there is no value; C's printf writes `-nan` as well."""

_STRING_OR_BARE = re.compile(
    r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|(?<![\w.])-?(?:nan|inf(?:inity)?)(?![\w.])', re.IGNORECASE | re.DOTALL
)
"""A string, which is left as it is, or a number that C's printf writes and JSON does not have.

A string without an end goes to the end of the payload: were it tried again from each of its quotes, 1 MB of them would
take hours.
"""
_NUMBER = re.compile(r"[+-]?[0-9]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")

LEAST_WHOLE, MOST_WHOLE = -(1 << 63), (1 << 64) - 1
"""Of the whole numbers that can be written."""

Number = int | float

Path = tuple[str | int, ...]
"""Keys and positions, from the outside in, of a value in a JSON payload."""


def read_object(payload: bytes, *, lenient: bool = False) -> dict[str, Any]:
    """Return the JSON object that a payload is. Raises `DialectError`."""
    try:
        # As most are; the rest is looked at again.
        if len(payload) <= _SHORT and payload.count(b"{") + payload.count(b"[") <= _MAX_DEPTH:
            fields = orjson.loads(payload)
        else:
            fields = read_json(payload, lenient=lenient)
    except orjson.JSONDecodeError:
        fields = read_json(payload, lenient=lenient)
    if type(fields) is not dict:
        raise DialectError(f"payload is no JSON object: {shown(payload)}")
    return fields


def read_json(payload: bytes, *, lenient: bool = False) -> Any:
    """Return what a JSON payload says; with `lenient`, bare `nan` and `inf` stand for null. Raises `DialectError`.

    Its numbers are finite: one that a double cannot hold is an error.
    """
    if len(payload) > MAX_PAYLOAD:
        raise DialectError(f"payload of {len(payload):,} bytes is longer than the {MAX_PAYLOAD:,} allowed")
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        found = _read_bare(payload) if lenient else None
        if found is None:
            raise DialectError(f"payload is not JSON: {error}: {shown(payload)}") from None
    # What has fewer brackets than that cannot be so deep, and counting them costs nothing.
    if payload.count(b"{") + payload.count(b"[") > _MAX_DEPTH and _is_deep(found):
        raise DialectError(f"payload is nested deeper than {_MAX_DEPTH} levels")
    return found


def read_text(payload: bytes) -> str:
    """Return a payload that is one short text. Raises `DialectError`."""
    if len(payload) > 1024:
        raise DialectError(f"payload of {len(payload):,} bytes is too long for one value")
    try:
        return payload.decode().strip()
    except UnicodeDecodeError:
        raise DialectError(f"payload is no UTF-8: {shown(payload)}") from None


def number(value: object) -> Number | None:
    """Return a number, also one that is written as a text; None for all that stands for no value.

    Raises `DialectError` for what is neither, and for a bool, which is no number.
    """
    if value is None:
        return None
    if type(value) is int or type(value) is float:
        return value if math.isfinite(value) else None
    if type(value) is str:
        text = value.strip()
        if text.lower() in NO_VALUE:
            return None
        try:
            found = float(text)
        except ValueError:
            found = math.nan
        # float() also takes "1_000", "١" and "infinity", which no firmware writes for a number.
        if math.isfinite(found) and _NUMBER.fullmatch(text):
            return int(text) if _WHOLE_NUMBER.fullmatch(text) else found
    raise DialectError(f"{shown(value)} is no number")


def scaled(value: Number, factor: float, offset: float) -> float:
    """Return a value in another unit, to nine decimals, which is finer than any sensor's step.

    Raises `DialectError` for one that a double does not hold.
    """
    found = round(value * factor + offset, 9)
    if not math.isfinite(found):
        raise DialectError(f"{shown(value)} is more than can be told in another unit")
    # A whole number times a whole number is one, and JSON is written with 64 bits at the most.
    return found if LEAST_WHOLE <= found <= MOST_WHOLE else float(found)


def value_at(body: Any, path: Path) -> Any:
    """Return what stands at a path of a JSON payload; None where nothing does."""
    for step in path:
        if isinstance(body, dict) and isinstance(step, str):
            body = body.get(step)
        elif isinstance(body, list) and isinstance(step, int) and step < len(body):
            body = body[step]
        else:
            return None
    return body


def shown(value: object) -> str:
    """Return a value as an error repeats it, cut where it is long."""
    text = value[: _SHOWN + 1].decode("utf-8", "backslashreplace") if isinstance(value, bytes) else repr(value)
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _read_bare(payload: bytes) -> Any:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    mended = _STRING_OR_BARE.sub(lambda match: match[0] if match[0][0] == '"' else "null", text)
    try:
        return orjson.loads(mended)
    except orjson.JSONDecodeError:
        return None


def _is_deep(found: Any) -> bool:
    level = [found]
    for _ in range(_MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
