"""Makes keys of what a message says, by which it is found again where it has no id of its device's own. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

HISTORICAL = "historical"
"""In `other` of a message that a device had kept before it was sent."""
_OF_THE_MESSAGE = frozenset({"device_id", "timestamp", "boot", "seq", "source"})
_MOST_LEVELS = 64
"""Of values in each other: more than any format has, and what stands in a sink may have any number."""
_WHOLE = 2.0**63
"""A number of this size or more is not written as a whole one: JSON is to be read where those have 64 bits."""
_FORM = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


class ContentKeys(NamedTuple):
    """Holds numbers of 64 bits that are equal where what they are made of is; never 0.

    They are those of this process. Of a million messages two that differ share one with a chance of one in ten million.
    """

    whole: int
    """Device, time and values."""
    moment: int
    """Device and time."""
    values: int
    """Device and values."""
    shape: int
    """Device and the names of the values."""


def content_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a message that the bridge has decoded, without what it says of the message itself."""
    content = {name: _plain(value) for name, value in fields.items() if name not in _OF_THE_MESSAGE}
    other = content.get("other")
    if isinstance(other, dict) and other.get(HISTORICAL) is True:
        # Whether it had to wait for a connection, nobody can compute again.
        content["other"] = {name: value for name, value in other.items() if name != HISTORICAL}
        if not content["other"]:
            del content["other"]
    return content


def content_keys(device: str, time_ms: int, content: Mapping[str, Any]) -> ContentKeys:
    """Return the keys of a message of a device, by the name that it has in a sink."""
    text = orjson.dumps(content, option=_FORM)
    return ContentKeys(
        hash((device, time_ms, text)) or 1,
        hash((device, time_ms)) or 1,
        hash((device, text)) or 1,
        hash((device, *sorted(content))) or 1,
    )


def has_own_time(fields: Mapping[str, Any]) -> bool:
    """Return whether the time of a decoded message is its device's, and not that of its arrival."""
    source = fields.get("source")
    return not (isinstance(source, dict) and source.get("time") == "arrival")


def is_decoded(fields: object) -> bool:
    """Return whether a message was read in a dialect or a format of the user's own."""
    return isinstance(fields, Mapping) and isinstance(fields.get("source"), dict)


def differing_fields(sent: Mapping[str, Any], came: Mapping[str, Any]) -> list[str]:
    """Return the names of what is not the same in two contents, of what is nested with a point before it."""
    found: list[str] = []
    for name in sorted({*sent, *came}):
        ours, theirs = sent.get(name), came.get(name)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            found += [f"{name}.{inner}" for inner in differing_fields(ours, theirs)]
        elif name not in sent or name not in came or _plain(ours) != _plain(theirs) or _is_flag(ours, theirs):
            found.append(name)
    return found


def _is_flag(one: object, other: object) -> bool:
    # To Python true is 1.
    return isinstance(one, bool) != isinstance(other, bool)


def _plain(value: Any, levels: int = _MOST_LEVELS) -> Any:
    """Return a value as it stays whoever writes it as JSON: to many, 21.0 and 21 are one number."""
    if type(value) is float and value.is_integer() and abs(value) < _WHOLE:
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(inner, levels - 1) for name, inner in value.items()} if levels else None
    if isinstance(value, list):
        return [_plain(inner, levels - 1) for inner in value] if levels else None
    return value
