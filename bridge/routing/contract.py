"""Checks templates, when they are read, against the fields that a payload can have by the contract of the messages."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from inspect import isclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from bridge.message.template import Template, TemplateField
from edgewire.messages import ACCEPTED, KindContract, MessageType

MatchValues = Mapping[str, str | int | bool | list[str | int | bool]]
"""Field of the payload -> the value, or values, that it must have."""


def check_template_fields(
    templates: Iterable[Template], topic: str, match: MatchValues, further: Collection[str] = ()
) -> None:
    """Raise `ValueError` for a template of a field that no message of this filter and match has.

    `further` are fields of the payload that are known from elsewhere. A field with a default may be missing anywhere.
    Filters of kinds that the contract does not know are not judged.
    """
    models = [message.model for message in message_types_for(topic, match)]
    for template in templates:
        for field in template.fields:
            if field.path and field.default is None and models and field.path[0] not in further:
                _require_field(field, template, models)


def message_types_for(topic: str, match: MatchValues) -> list[MessageType]:
    """Return the types of message of the contract that a route with this filter and `match` may be given."""
    levels = topic.split("/")
    if levels[0] == "$share":
        levels = levels[2:]
    wanted = match.get("event_type")
    events = {wanted} if isinstance(wanted, str) else set(wanted) if isinstance(wanted, list) else set()
    return [
        message
        for contract in ACCEPTED.values()
        for message in contract.messages
        if _may_match(levels, contract, message) and (not events or _has_one_of(message, events))
    ]


def _has_one_of(message: MessageType, events: set[Any]) -> bool:
    return not message.event_types or not events.isdisjoint(message.event_types)


def _may_match(levels: list[str], contract: KindContract, message: MessageType) -> bool:
    topic = ("edge", None, contract.kind, None, message.channel.value)
    for position, level in enumerate(levels):
        if level == "#":
            return True
        if position >= len(topic) or (level != "+" and topic[position] not in (None, level)):
            return False
    return len(levels) == len(topic)


def _require_field(field: TemplateField, template: Template, models: Sequence[type[BaseModel]]) -> None:
    path = field.path or ()
    if any(_has_path(model, path) for model in models):
        return
    names = sorted({name for model in models for name in model.model_fields})
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    raise ValueError(
        f"template '{template.text}' names '{{{field.name}}}', which no message of this route has: it has {shown};"
        f" write {{{field.name}|DEFAULT}} for a field that may be missing"
    )


def _has_path(annotation: Any, path: tuple[str, ...]) -> bool:
    if not path:
        return True
    if isclass(annotation) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(path[0])
        return field is not None and _has_path(field.annotation, path[1:])
    if get_origin(annotation) is dict:
        return _has_path(get_args(annotation)[1], path[1:])
    return any(_has_path(part, path) for part in get_args(annotation))
