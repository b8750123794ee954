"""The models of the contract tell which fields of a kind's messages are numbers, and which are times."""

import types
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AwareDatetime

from edgewire.messages import CONTRACT, MessageType

_HEAD = ("boot", "seq")


def reading_of(kind: str) -> MessageType:
    """Return the message that a kind sends at intervals: the last one of its contract. The others are events."""
    return CONTRACT[kind].messages[-1]


@cache
def numeric_fields(kind: str) -> tuple[str, ...]:
    """Return the numbers of a kind's reading, in the order of the message."""
    fields = reading_of(kind).model.model_fields
    return tuple(
        name for name, field in fields.items() if name not in _HEAD and _types(field.annotation) & {int, float}
    )


@cache
def whole_numbers(kind: str) -> frozenset[str]:
    """Return the numbers of that reading that have no fraction."""
    fields = reading_of(kind).model.model_fields
    return frozenset(name for name in numeric_fields(kind) if float not in _types(fields[name].annotation))


@cache
def time_fields(kind: str) -> tuple[str, ...]:
    """Return the times in messages of a kind beside `timestamp`: they come from the same clock."""
    fields = [field for message in CONTRACT[kind].messages for field in message.model.model_fields.items()]
    names = dict.fromkeys(name for name, field in fields if AwareDatetime in _types(field.annotation))
    return tuple(name for name in names if name != "timestamp")


def _types(annotation: Any) -> set[Any]:
    """Return the plain types that a field's annotation allows."""
    if get_origin(annotation) is Annotated:
        return _types(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return set().union(*(_types(part) for part in get_args(annotation)))
    return {annotation}
