"""Takes the payload of a `MessageTemplate` apart once, so that a million of them can be joined from columns."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from edgewire.dialects.base import DialectError
from edgewire.dialects.own_format import LEAF_KEYS, MAX_DEPTH, MappedField, check_constant, check_keys, read_leaf
from edgewire.dialects.reading_lists import EACH, is_each

READING_MARK = b"\x1e"
"""Stands before and after what a list has of each reading: no JSON has this byte as it is."""
_FIELD = re.compile(r"[a-z_][a-z0-9_]*")
_BRACES = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


class FieldPart(NamedTuple):
    """Marks where the value of a field stands."""

    field: MappedField
    key: bytes = b""
    """What comes before the value where there is one, if the key is left out where there is none."""
    is_bare: bool = False
    """Whether the value is the whole payload: a text stands without quotes then."""


class NamePart(NamedTuple):
    """Marks where a text with names in braces stands, which is the same in all messages of a device."""

    text: str


PayloadPart = bytes | FieldPart | NamePart


def compile_payload(payload: Any, names: frozenset[str] = frozenset()) -> tuple[PayloadPart, ...]:
    """Return the parts of a payload, in their order; `names` are fields beside those that every mapping may name.

    Raises `ValueError` for what is no payload, with its place.
    """
    if (field := _field_of(payload, "payload", names)) is not None:
        return (FieldPart(_never_left_out(field, "payload"), is_bare=True),)
    joined: list[PayloadPart] = []
    for part in _parts(payload, "payload", names):
        if isinstance(part, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += part
        else:
            joined.append(part)
    return tuple(joined)


def _field_of(node: Any, where: str, names: frozenset[str]) -> MappedField | None:
    """Return the field that a node stands for; None where it is a constant or has others in it."""
    if isinstance(node, str) and _FIELD.fullmatch(node):
        return read_leaf({"from": node}, (), where, set(names))
    if isinstance(node, dict) and node and node.keys() <= LEAF_KEYS and "const" not in node:
        return read_leaf(node, (), where, set(names))
    return None


def is_bare(payload: Any) -> bool:
    """Return whether a payload is one value alone, without an object or a list around it."""
    if isinstance(payload, dict):
        return bool(payload) and payload.keys() <= LEAF_KEYS
    return payload is not None and not isinstance(payload, list)


def _never_left_out(field: MappedField, where: str) -> MappedField:
    """Return a field that stands under no key. Raises `ValueError` for one whose key could be left out."""
    if field.is_optional:
        raise ValueError(
            f"{where}: optional leaves a key of an object out, and this has none; say what is missing instead"
        )
    return field


def _parts(node: Any, where: str, names: frozenset[str]) -> Iterator[PayloadPart]:
    if where.count(".") > MAX_DEPTH:
        raise ValueError(f"{where[:40]}…: more than {MAX_DEPTH} objects or lists in each other")
    if (field := _field_of(node, where, names)) is not None:
        yield FieldPart(_never_left_out(field, where))
    elif isinstance(node, dict) and is_each(node, where):
        yield b"[" + READING_MARK
        yield from _parts(node[EACH], f"{where}.0", names)
        yield READING_MARK + b"]"
    elif isinstance(node, dict) and node.keys() == {"const"}:
        check_constant(node["const"], where)
        yield orjson.dumps(node["const"])
    elif isinstance(node, dict) and "const" in node and node.keys() <= LEAF_KEYS:
        read_leaf(node, (), where, set(names))  # which says that const stands alone
    elif isinstance(node, dict):
        yield from _object(node, where, names)
    elif isinstance(node, list):
        for place, inner in enumerate(node):
            yield b"[" if not place else b","
            yield from _parts(inner, f"{where}.{place}", names)
        yield b"]" if node else b"[]"
    elif isinstance(node, str) and _BRACES.search(node):
        yield b'"'
        yield NamePart(node)
        yield b'"'
    else:
        check_constant(node, where)
        yield orjson.dumps(node)


def _object(node: dict[Any, Any], where: str, names: frozenset[str]) -> Iterator[PayloadPart]:
    if not node:
        yield b"{}"
        return
    check_keys(node, where)
    # Fields that may be left out go last: the comma before each is left out with it.
    entries = [(str(key), inner, _field_of(inner, f"{where}.{key}", names)) for key, inner in node.items()]
    entries.sort(key=lambda entry: entry[2] is not None and entry[2].is_optional)
    if entries[0][2] is not None and entries[0][2].is_optional:
        raise ValueError(f"{where}: all its keys are optional; it needs one that is always there")
    for place, (key, inner, field) in enumerate(entries):
        head = (b"," if place else b"{") + orjson.dumps(key) + b":"
        if field is not None and field.is_optional:
            yield FieldPart(field, head)
        else:
            yield head
            yield from _parts(inner, f"{where}.{key}", names)
    yield b"}"


def join_readings(payloads: Sequence[bytes], pad_to: int = 0) -> bytes:
    """Return the payload of a message with the readings of these, the oldest first, which have one each.

    They are as the parts of one `compile_payload` make them; what is outside its lists is of the last.
    """
    pieces = payloads[-1].split(READING_MARK)
    if len(payloads) > 1:
        every = [payload.split(READING_MARK) for payload in payloads]
        for place in range(1, len(pieces), 2):
            pieces[place] = b",".join([one[place] for one in every])
    return b"".join(pieces).ljust(pad_to)


def with_outside_of(payload: bytes, newest: bytes) -> bytes:
    """Return what a reader makes of one of several readings: with what the newest has outside the lists."""
    pieces = newest.split(READING_MARK)
    pieces[1::2] = payload.split(READING_MARK)[1::2]
    return b"".join(pieces)


def braced_names(text: str) -> list[str]:
    """Return the names that stand in braces in a text."""
    return _BRACES.findall(text)


def fill_names(text: str, device_names: Any) -> str:
    """Return a text in which each name in braces is replaced by what the device has for it. Raises `DialectError`."""
    try:
        return _BRACES.sub(lambda found: str(device_names[found[1]]), text)
    except KeyError as error:
        raise DialectError(f"'{text}': nothing is called {error}") from None


def named_in(parts: Iterable[PayloadPart]) -> tuple[list[str], list[str]]:
    """Return the fields whose values stand in a payload, and the names that stand in braces."""
    fields = [part.field.name for part in parts if isinstance(part, FieldPart)]
    return fields, [name for part in parts if isinstance(part, NamePart) for name in braced_names(part.text)]
