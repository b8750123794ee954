"""The models of the contract tell which fields of a kind's messages are numbers, and which are times."""

import types
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AwareDatetime

from edgewire.messages import CONTRACT, Measurement, MessageType

_HEAD = ("boot", "seq")


def reading_of(kind: str) -> MessageType:
    """Return the message that a kind sends at intervals: the last one of its contract. The others are events."""
    return CONTRACT[kind].messages[-1]


def numeric_fields(kind: str) -> tuple[str, ...]:
    """Return the numbers of a kind's reading, in the order of the message."""
    return _numbers(reading_of(kind).model)


def whole_numbers(kind: str) -> frozenset[str]:
    """Return the numbers of that reading that have no fraction."""
    return _whole(reading_of(kind).model)


def time_fields(kind: str) -> tuple[str, ...]:
    """Return the times in messages of a kind beside `timestamp`: they come from the same clock."""
    return _times(tuple(message.model for message in CONTRACT[kind].messages))


# By the models and not by the name: a scenario may declare a kind of its own anew.


@cache
def _numbers(model: type[Measurement]) -> tuple[str, ...]:
    fields = model.model_fields
    return tuple(
        name for name, field in fields.items() if name not in _HEAD and _types(field.annotation) & {int, float}
    )


@cache
def _whole(model: type[Measurement]) -> frozenset[str]:
    fields = model.model_fields
    return frozenset(name for name in _numbers(model) if float not in _types(fields[name].annotation))


@cache
def _times(models: tuple[type[Measurement], ...]) -> tuple[str, ...]:
    fields = [field for model in models for field in model.model_fields.items()]
    names = dict.fromkeys(name for name, field in fields if AwareDatetime in _types(field.annotation))
    return tuple(name for name in names if name != "timestamp")


def _types(annotation: Any) -> set[Any]:
    """Return the plain types that a field's annotation allows."""
    if get_origin(annotation) is Annotated:
        return _types(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return set().union(*(_types(part) for part in get_args(annotation)))
    return {annotation}
