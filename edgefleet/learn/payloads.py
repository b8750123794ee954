"""Takes payloads apart: where each value stands, in JSON or alone."""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from edgefleet.learn.seen import Leaves, Scalar
from edgewire.dialects.values import NO_VALUE, Path

MAX_PAYLOAD = 1 << 16
"""Bytes of a payload that is looked into: devices' values take less, and what is longer is a picture or a list."""
MAX_LEAVES = 100
_MAX_DEPTH = 16
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_LARGEST = 1e19


def take_apart(payload: bytes) -> Leaves:
    """Return the values of a payload; raises `ValueError` with a reason that shows nothing of it."""
    if not payload.strip():
        raise ValueError("the payload is empty")
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"the payload has more than {MAX_PAYLOAD:,} bytes")
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError:
        raise ValueError("the payload is binary") from None
    if not all(one.isprintable() or one in "\t\r\n" for one in text):
        raise ValueError("the payload is binary")
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {(): _plain(text)}
    if isinstance(found, dict | list):
        leaves = dict(_walk(found, ()))
        if len(leaves) > MAX_LEAVES:
            raise ValueError(f"the payload has more than {MAX_LEAVES} values")
        if not leaves:
            raise ValueError("the payload has no value")
        return leaves
    return {(): _scalar(found)}


def _plain(text: str) -> Scalar:
    if text.lower() in NO_VALUE:
        return None
    if _NUMBER.fullmatch(text):
        return _scalar(float(text))
    return text


def _scalar(value: Any) -> Scalar:
    """Return a value of JSON; a number with more than 64 bits is none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) < _LARGEST:
        return None
    return value  # type: ignore[no-any-return]


def _walk(node: Any, path: Path) -> Iterator[tuple[Path, Scalar]]:
    if len(path) > _MAX_DEPTH:
        raise ValueError(f"the payload is nested deeper than {_MAX_DEPTH} levels")
    if isinstance(node, dict):
        for key, inner in node.items():
            yield from _walk(inner, (*path, key))
    elif isinstance(node, list):
        for place, inner in enumerate(node):
            yield from _walk(inner, (*path, place))
    else:
        yield path, _scalar(node)
