"""Names the fields of a kind's readings that are one value each, for dialects that say whatever there is."""

import types
from collections.abc import Collection
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from edgewire.dialects.base import DialectError
from edgewire.messages import CONTRACT, Channel

_IDENTITY = frozenset({"device_id", "timestamp", "boot", "seq"})


class KindField(NamedTuple):
    """Names a field and what it holds."""

    name: str
    type: type[int] | type[float] | type[bool] | type[str]
    is_optional: bool
    """Whether a reading may have no value of it."""


def kind_fields(kind: str, dialect: str) -> tuple[KindField, ...]:
    """Return the fields of a kind. Raises `DialectError` for one without any."""
    messages = CONTRACT[kind].messages
    message = next((one for one in messages if one.channel is Channel.TELEMETRY), messages[0])
    found = []
    for name, field in message.model.model_fields.items():
        held, may_lack = _held_type(field.annotation)
        if name not in _IDENTITY and held is not None:
            found.append(KindField(name, held, may_lack or not field.is_required()))
    if not found:
        raise DialectError(f"{dialect} says values one by one, and {kind} has none; use a format of your own")
    return tuple(found)


def measured_mapping(kind: str, dialect: str) -> dict[str, Any]:
    """Return the fields of a kind in the notation of `own_format`; those without a value are left out.

    Raises `DialectError` for a kind without any.
    """
    fields = kind_fields(kind, dialect)
    # An object has at least one key that is always there.
    may_leave_out = not all(field.is_optional for field in fields)
    return {
        field.name: {"from": field.name, "optional": True} if field.is_optional and may_leave_out else field.name
        for field in fields
    }


def measures(kind: str, names: Collection[str]) -> bool:
    """Return whether the readings of a kind have all these fields, as numbers that are always there."""
    if kind not in CONTRACT:
        return False
    messages = [one for one in CONTRACT[kind].messages if one.channel is Channel.TELEMETRY]
    fields = messages[0].model.model_fields if messages else {}
    return all(name in fields and _held_type(fields[name].annotation)[0] in (int, float) for name in names)


def event_mapping(kind: str) -> dict[str, Any]:
    """Return the fields of a kind's events beside its readings in the notation of `own_format`; empty without any.

    What not all of them have is left out of those that have it not.
    """
    messages = [one.model.model_fields for one in CONTRACT[kind].messages if one.channel is Channel.EVENT]
    if len(messages) == len(CONTRACT[kind].messages):
        return {}
    names = dict.fromkeys(name for fields in messages for name in fields if name not in _IDENTITY)
    common = [name for name in names if all(name in fields and fields[name].is_required() for fields in messages)]
    # An object has at least one key that is always there.
    return {name: name if name in common or not common else {"from": name, "optional": True} for name in names}


def _held_type(annotation: Any) -> tuple[Any, bool]:
    """Return which of the four types is held, and whether nothing may be; None where it is none of them."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        arguments = get_args(annotation)
        inner = [one for one in arguments if one is not type(None)]
        held = _held_type(inner[0])[0] if len(inner) == 1 else None
        return held, len(inner) < len(arguments)
    if origin is Literal:
        return str, False
    if hasattr(annotation, "__metadata__"):
        return _held_type(annotation.__origin__)
    return (annotation if annotation in (int, float, bool, str) else None), False
