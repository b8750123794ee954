"""Which fields a payload can have, as far as the contract of the messages knows: for templates, when they are read."""

from collections.abc import Collection, Iterable, Mapping
from inspect import isclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from bridge.message.template import Field, Template
from edgewire.messages import CONTRACT, KindContract, MessageType

Values = Mapping[str, str | int | bool | list[str | int | bool]]


def require_known(templates: Iterable[Template], topic: str, match: Values, further: Collection[str] = ()) -> None:
    """Raise `ValueError` for a template of a field that no message of this filter and match has.

    `further` are fields of the payload that are known from elsewhere. A field with a default may be missing anywhere.
    Filters of kinds that the contract does not know are not judged.
    """
    shapes = shapes_of(topic, match)
    for template in templates:
        for field in template.fields:
            if field.path and field.default is None and shapes and field.path[0] not in further:
                _require(field, template, shapes)


def shapes_of(topic: str, match: Values) -> list[type[BaseModel]]:
    """The shapes of message of the contract that a route with this filter and `match` may be given."""
    levels = topic.split("/")
    if levels[0] == "$share":
        levels = levels[2:]
    wanted = match.get("event_type")
    events = {wanted} if isinstance(wanted, str) else set(wanted) if isinstance(wanted, list) else set()
    return [
        message.model
        for contract in CONTRACT.values()
        for message in contract.messages
        if _may_match(levels, contract, message) and (not events or _takes(message, events))
    ]


def _takes(message: MessageType, events: set[Any]) -> bool:
    return not message.event_types or not events.isdisjoint(message.event_types)


def _may_match(levels: list[str], contract: KindContract, message: MessageType) -> bool:
    topic = ("edge", None, contract.kind, None, message.channel.value)
    for position, level in enumerate(levels):
        if level == "#":
            return True
        if position >= len(topic) or (level != "+" and topic[position] not in (None, level)):
            return False
    return len(levels) == len(topic)


def _require(field: Field, template: Template, shapes: list[type[BaseModel]]) -> None:
    path = field.path or ()
    if any(_has(shape, path) for shape in shapes):
        return
    names = sorted({name for shape in shapes for name in shape.model_fields})
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    raise ValueError(
        f"template '{template.text}' names '{{{field.name}}}', which no message of this route has: it has {shown};"
        f" write {{{field.name}|DEFAULT}} for a field that may be missing"
    )


def _has(annotation: Any, path: tuple[str, ...]) -> bool:
    if not path:
        return True
    if isclass(annotation) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(path[0])
        return field is not None and _has(field.annotation, path[1:])
    if get_origin(annotation) is dict:
        return _has(get_args(annotation)[1], path[1:])
    return any(_has(part, path) for part in get_args(annotation))
