"""Takes messages apart that say several readings at once: `{each: …}` marks what of a payload there is of each reading.

A payload has one such list or several of the same length: a list of objects, of lists or of bare values, or columns.
What stands outside the lists is of the newest reading, the last one. A message of several readings becomes as many with
lists of one, so that whoever reads a payload finds the place of each value with the same path.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from edgewire.dialects.base import DialectError
from edgewire.dialects.values import Path, read_json, shown, value_at

EACH: Final = "each"
MAX_READINGS = 1000
"""In one message: devices that wait for longer send several."""
MAX_SPLIT_BYTES = 2 << 20
"""Of all messages that one is taken apart into: what stands outside its lists is in each of them."""

_ABSENT: Final[Any] = object()


def is_each(node: Mapping[Any, Any], where: str) -> bool:
    """Return whether an object of a mapping stands for a list of readings. Raises `ValueError` with its place."""
    if EACH not in node:
        return False
    if len(node) > 1:
        others = ", ".join(sorted(str(key) for key in node if key != EACH))
        raise ValueError(f"{where}: each stands alone, without {others}: what is inside it is said of each reading")
    return True


def has_each(node: Any) -> bool:
    """Return whether a mapping has a list of readings somewhere."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if EACH in one:
                return True
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return False


class ReadingLists:
    """Finds the lists of readings in payloads of one format."""

    def __init__(self, fields: Iterable[tuple[Path, int]]) -> None:
        """Take the paths of fields, and where in them the place in a list stands."""
        self._shapes: dict[Path, type | None] = {}
        for path, at in fields:
            # What a reading is shows in the next step to its values.
            inner = path[at + 1 :]
            self._shapes[path[:at]] = None if not inner else dict if isinstance(inner[0], str) else list
        self._paths = tuple(self._shapes)

    def split_payload(self, payload: bytes) -> list[bytes]:
        """Return a payload for each of several readings, or this one alone where it has one or is not as it must be."""
        try:
            body = read_json(payload, lenient=True)
            lists = self._lists_of(body)
        except DialectError:
            return [payload]
        count = len(lists[0][1]) if lists else 0
        if count < 2:
            return [payload]
        found: list[bytes] = []
        size = 0
        for number in range(count):
            for path, readings in lists:
                if path:
                    value_at(body, path[:-1])[path[-1]] = [readings[number]]
                else:
                    body = [readings[number]]
            found.append(orjson.dumps(body))
            size += len(found[-1])
            if size > MAX_SPLIT_BYTES:
                return [payload]
        return found

    def has_reading(self, body: Any) -> bool:
        """Return whether a payload has a reading, of which there is no more than one in what `split_payload` gives.

        Raises `DialectError` for what could not be taken apart, or is none of what the mapping says.
        """
        lists = self._lists_of(body)
        if not lists or not lists[0][1]:
            return False
        if (count := len(lists[0][1])) > 1:
            raise DialectError(
                f"{count} readings in one message, which were not taken apart as it came: they would take more than"
                f" {MAX_SPLIT_BYTES:,} bytes, or its subscription had another decode then"
            )
        for path, readings in lists:
            shape = self._shapes[path]
            if shape is not None and readings[0] is not None and not isinstance(readings[0], shape):
                what = "object" if shape is dict else "list"
                raise DialectError(f"{_place(path)} has {shown(readings[0])} where the mapping has an {what}")
        return any(readings[0] is not None for _, readings in lists)

    def _lists_of(self, body: Any) -> list[tuple[Path, list[Any]]]:
        """Return the lists that a payload has, which are of one length. Raises `DialectError`."""
        found: list[tuple[Path, list[Any]]] = []
        is_there = False
        for path in self._paths:
            value = _find(body, path)
            is_there |= value is not _ABSENT
            if value is None or value is _ABSENT:
                continue
            if not isinstance(value, list):
                raise DialectError(f"{_place(path)} is no list of readings: {shown(value)}")
            found.append((path, value))
        if not is_there:
            raise DialectError(f"there is no list of readings at {' or '.join(map(_place, self._paths))}")
        lengths = {_place(path): len(readings) for path, readings in found}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{place} has {length}" for place, length in lengths.items())
            raise DialectError(f"lists of readings of different lengths: {told}")
        if found and len(found[0][1]) > MAX_READINGS:
            raise DialectError(f"{len(found[0][1]):,} readings in one message, more than the {MAX_READINGS:,} allowed")
        return found


def _find(body: Any, path: Path) -> Any:
    """Return what stands at a path; `_ABSENT` where its last key is missing, None where something before is."""
    if not path:
        return body
    parent = value_at(body, path[:-1]) if len(path) > 1 else body
    if isinstance(parent, dict):
        return parent.get(path[-1], _ABSENT)
    if isinstance(parent, list) and isinstance(path[-1], int):
        return parent[path[-1]] if path[-1] < len(parent) else _ABSENT
    return _ABSENT


def _place(path: Path) -> str:
    return ".".join(map(str, path)) or "payload"
