"""Fills levels of a topic and fields of a payload into templates, taken apart when the configuration is read.

`{device_id}`, `{site}`, `{kind}`, `{channel}`, `{topic}`, `{message_id}` and `{timestamp}` are there for every message;
`{payload.a.b}` is field `b` of field `a` of the payload, and `{payload.a|none}` is `none` where there is no such field.
`{property.NAME}` is a user property of MQTT 5, or `content_type`, or `expiry_s`, and may have a default too, as may
`{expires}`, which is when the message is of no use any more.
`{{` and `}}` are braces. A `Template` makes a text, a `Body` a whole body of JSON or text.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from bridge.message.event import Event, TopicInfo
from bridge.message.user_properties import load_properties
from edgewire.clock import iso_ms
from edgewire.errors import EdgefleetError
from edgewire.redact import MASK

_BUILTIN_FIELDS: Mapping[str, Callable[[Event], str]] = {
    "device_id": lambda event: event.device_id,
    "site": lambda event: event.topic_info.site,
    "kind": lambda event: event.topic_info.kind,
    "channel": lambda event: event.topic_info.channel.value,
    "topic": lambda event: event.message.topic,
    "message_id": lambda event: event.message_id,
    "timestamp": lambda event: event.timestamp,
}
"""The fields that every message has."""

_STATIC_FIELDS: Mapping[str, Callable[[TopicInfo], str]] = {
    "site": lambda info: info.site,
    "kind": lambda info: info.kind,
    "channel": lambda info: info.channel.value,
}
"""Those of them that are the same for all devices of a site, kind and channel."""

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}|]*)(?:\|([^{}]*))?\}|[{}]")
_PROPERTY = "property."
_EXPIRES = "expires"
_PAYLOAD_PATH = re.compile(r"payload(\.[^\s.{}|]+)*")
_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")


class TemplateError(EdgefleetError):
    """A message has not what a template names, or something that cannot stand there; says which field."""


@dataclass(frozen=True, slots=True)
class TemplateField:
    """Finds the value of one `{…}` of a template."""

    name: str
    default: str | None = None
    path: tuple[str, ...] | None = None
    """Names below the payload; None for what is not of the payload."""

    @property
    def varies_by_device(self) -> bool:
        """Return whether it may differ between messages of one site, kind and channel."""
        return self.name not in _STATIC_FIELDS

    def render_static(self, info: TopicInfo) -> str:
        """Return its value where that is the same for a site, kind and channel, else the field as it is written."""
        return f"{{{self.name}}}" if self.varies_by_device else _STATIC_FIELDS[self.name](info)

    def value_in(self, event: Event) -> Any:
        """Return what stands for it in this message, of its own JSON type. Raises `TemplateError` if nothing does."""
        if self.name in _BUILTIN_FIELDS:
            return _BUILTIN_FIELDS[self.name](event)
        found: Any
        if self.name == _EXPIRES:
            found = None if event.expires_ms is None else iso_ms(event.expires_ms)
        elif self.path is None:
            found = load_properties(event.message.properties).lookup(self.name.removeprefix(_PROPERTY))
        else:
            found = event.fields
            for step in self.path:
                found = found.get(step) if isinstance(found, dict) else None
        if found is not None:
            return found
        if self.default is not None:
            return self.default
        raise TemplateError(f"template field '{{{self.name}}}' has no value in this message")

    def text_in(self, event: Event) -> str:
        """Return its value as text. Raises `TemplateError` for a list or mapping too."""
        found = self.value_in(event)
        if type(found) is str:
            return found
        if isinstance(found, dict | list):
            raise TemplateError(f"template field '{{{self.name}}}' is no text or number in this message")
        return orjson.dumps(found).decode()


class Template:
    """Renders a text with fields. Equal to another of the same text."""

    __slots__ = ("_is_device_id", "fields", "fixed", "parts", "text")

    def __init__(self, text: str) -> None:
        """Take a template apart. Raises `ValueError` for what is none."""
        self.text = text
        self.parts = tuple(_parse(text))
        self.fields = tuple(part for part in self.parts if isinstance(part, TemplateField))
        self.fixed: str | None = None if self.fields else "".join(map(str, self.parts))
        """The result, where it is the same for every message."""
        self._is_device_id = self.parts == (TemplateField("device_id"),)

    def render(self, event: Event, escape: Callable[[str], str] = str) -> str:
        """Return the text for this message, every field's value through `escape`. Raises `TemplateError`."""
        if self.fixed is not None:
            return self.fixed
        if self._is_device_id:
            return escape(event.device_id)
        return "".join([part if isinstance(part, str) else escape(part.text_in(event)) for part in self.parts])

    def render_static(self, info: TopicInfo) -> str:
        """Fill in site, kind and channel, and leave all other fields as they are written: few different texts."""
        return self.fixed or "".join(
            [part if isinstance(part, str) else part.render_static(info) for part in self.parts]
        )

    @property
    def varies_by_device(self) -> bool:
        """Return whether it may differ between messages of one site, kind and channel."""
        return any(field.varies_by_device for field in self.fields)

    @property
    def reads_payload(self) -> bool:
        """Return whether it looks into the payload."""
        return any(field.path is not None for field in self.fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        # What it says itself may be a secret: a key in a query, the value of a header.
        shown = "".join(MASK if isinstance(part, str) else f"{{{part.name}}}" for part in self.parts)
        return f"Template({shown!r})"

    @classmethod
    def __get_pydantic_json_schema__(cls, _core: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string"}

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _from_config, serialization=core_schema.plain_serializer_function_ser_schema(lambda template: template.text)
        )


class Body:
    """Renders a whole body: a text, or a mapping or list of JSON whose texts are templates.

    In JSON a text that is one field of the payload and nothing else, such as `"{payload.speed}"`, becomes the value
    with its type; `"{payload}"` is the whole payload.
    """

    __slots__ = ("_compiled", "is_text", "source")

    def __init__(self, source: Any) -> None:
        """Take a template apart. Raises `ValueError` for what is none."""
        self.source = source
        self.is_text = isinstance(source, str)
        self._compiled = _compile(source)

    def render(self, event: Event) -> bytes:
        """Return the body of a message. Raises `TemplateError`."""
        if self.is_text:
            return str(self._compiled.render(event)).encode()
        return orjson.dumps(_fill_in(self._compiled, event))

    def templates(self) -> Iterator[Template]:
        """Yield every template in it."""
        return templates_in([self._compiled])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Body) and other.source == self.source

    def __hash__(self) -> int:
        return hash(repr(self.source))

    def __str__(self) -> str:
        return str(self.source)

    @classmethod
    def __get_pydantic_json_schema__(cls, _core: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": ["string", "object", "array", "number", "boolean", "null"]}

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, Body) else Body(value),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda body: body.source),
        )


def templates_in(values: Iterable[Any]) -> Iterator[Template]:
    """Yield every template in nested lists, mappings and objects that have `templates`."""
    for value in values:
        if isinstance(value, Template):
            yield value
        elif isinstance(value, Mapping):
            yield from templates_in(value.values())
        elif isinstance(value, list | tuple):
            yield from templates_in(value)
        elif hasattr(value, "templates"):
            yield from value.templates()


def one_line(data: bytes) -> bytes:
    """Return JSON, or text, as one line. In valid JSON a line break is white space: inside a text it is escaped."""
    return data.translate(_LINE_BREAKS) if b"\n" in data or b"\r" in data else data


def _from_config(value: object) -> Template:
    if isinstance(value, Template):
        return value
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError("should be a text, with {fields} in braces")
    return Template(str(value))


def _parse(text: str) -> Iterator[str | TemplateField]:
    literal, at = "", 0
    for match in _TOKEN.finditer(text):
        literal += text[at : match.start()]
        at = match.end()
        if match[0] in ("{{", "}}"):
            literal += match[0][0]
        elif match[1] is None:
            raise ValueError(f"'{text}' has a brace without its other half: write {{{{ and }}}} for a brace itself")
        else:
            if literal:
                yield literal
            literal = ""
            yield _parse_field(match[1], match[2])
    if literal + text[at:]:
        yield literal + text[at:]


def _parse_field(name: str, default: str | None) -> TemplateField:
    if name in _BUILTIN_FIELDS:
        return TemplateField(name)
    if name == _EXPIRES:
        return TemplateField(name, default)
    if name.startswith(_PROPERTY) and len(name) > len(_PROPERTY):
        return TemplateField(name, default)
    if not _PAYLOAD_PATH.fullmatch(name):
        raise ValueError(
            f"'{{{name}}}' is no field of a template:"
            f" it knows {', '.join(_BUILTIN_FIELDS)}, expires, payload.FIELD and property.NAME"
        )
    return TemplateField(name, default, tuple(name.split(".")[1:]))


def _compile(source: Any) -> Any:
    match source:
        case str():
            return Template(source)
        case dict():
            return {str(key): _compile(value) for key, value in source.items()}
        case list():
            return [_compile(value) for value in source]
        case None | bool() | int() | float():
            return source
        case _:
            raise ValueError(f"a body cannot have {source!r} in it: it is text, or JSON of texts, numbers and lists")


def _fill_in(compiled: Any, event: Event) -> Any:
    if isinstance(compiled, Template):
        field = compiled.fields[0] if len(compiled.parts) == 1 and compiled.fields else None
        return field.value_in(event) if field else compiled.render(event)
    if isinstance(compiled, dict):
        return {key: _fill_in(value, event) for key, value in compiled.items()}
    if isinstance(compiled, list):
        return [_fill_in(value, event) for value in compiled]
    return compiled
