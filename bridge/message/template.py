"""Templates over the levels of a topic and the fields of a payload, taken apart when the configuration is read.

`{device_id}`, `{site}`, `{kind}`, `{channel}`, `{topic}`, `{message_id}` and `{timestamp}` are there for every message;
`{payload.a.b}` is field `b` of field `a` of the payload, and `{payload.a|none}` is `none` where there is no such field.
`{property.NAME}` is a user property of MQTT 5, or `content_type`, and may have a default too.
`{{` and `}}` are braces.


Bodies made from a message: the payload as it is, or a template of JSON or text."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from bridge.message.event import Address
from bridge.message.user_properties import unpack
from bridge.routing.routed import RoutedEvent
from edgewire.errors import EdgefleetError

_ALWAYS: Mapping[str, Callable[[RoutedEvent], str]] = {
    "device_id": lambda routed: routed.device_id,
    "site": lambda routed: routed.address.topic.site,
    "kind": lambda routed: routed.address.topic.kind,
    "channel": lambda routed: routed.address.topic.channel.value,
    "topic": lambda routed: routed.message.topic,
    "message_id": lambda routed: routed.message_id,
    "timestamp": lambda routed: routed.timestamp,
}


_OF_LANE: Mapping[str, Callable[[Address], str]] = {
    "site": lambda address: address.topic.site,
    "kind": lambda address: address.topic.kind,
    "channel": lambda address: address.topic.channel.value,
}


_PART = re.compile(r"\{\{|\}\}|\{([^{}|]*)(?:\|([^{}]*))?\}|[{}]")


_PROPERTY = "property."


_PATH = re.compile(r"payload(\.[^\s.{}|]+)*")


class TemplateError(EdgefleetError):
    """A message has not what a template names, or something that cannot stand there; says which field."""


@dataclass(frozen=True, slots=True)
class Field:
    """One `{…}` of a template."""

    name: str
    default: str | None = None
    path: tuple[str, ...] | None = None
    """Names below the payload; None for what is not of the payload."""

    @property
    def device_level(self) -> bool:
        """Whether it may differ between messages of one site, kind and channel."""
        return self.name not in _OF_LANE

    def of_lane(self, address: Address) -> str:
        """Its value where that is the same for all messages of the address, else the field as it is written."""
        return f"{{{self.name}}}" if self.device_level else _OF_LANE[self.name](address)

    def value(self, routed: RoutedEvent) -> Any:
        """What stands for it in this message, of its own JSON type. Raises `TemplateError` if nothing does."""
        if self.name in _ALWAYS:
            return _ALWAYS[self.name](routed)
        found: Any
        if self.path is None:
            found = unpack(routed.message.properties).named(self.name.removeprefix(_PROPERTY))
        else:
            found = routed.fields
            for step in self.path:
                found = found.get(step) if isinstance(found, dict) else None
        if found is not None:
            return found
        if self.default is not None:
            return self.default
        raise TemplateError(f"template field '{{{self.name}}}' has no value in this message")

    def rendered(self, routed: RoutedEvent) -> str:
        """Its value as text. Raises `TemplateError` for a list or mapping too."""
        found = self.value(routed)
        if type(found) is str:
            return found
        if isinstance(found, dict | list):
            raise TemplateError(f"template field '{{{self.name}}}' is no text or number in this message")
        return orjson.dumps(found).decode()


class Template:
    """A text with fields. Equal to another of the same text."""

    __slots__ = ("_only_device", "fields", "fixed", "parts", "text")

    def __init__(self, text: str) -> None:
        """Raises `ValueError` for what is no template."""
        self.text = text
        self.parts = tuple(_parts(text))
        self.fields = tuple(part for part in self.parts if isinstance(part, Field))
        self.fixed: str | None = None if self.fields else "".join(map(str, self.parts))
        """The result, where it is the same for every message."""
        self._only_device = self.parts == (Field("device_id"),)

    def render(self, routed: RoutedEvent, escape: Callable[[str], str] = str) -> str:
        """The text for this message, every field's value through `escape`. Raises `TemplateError`."""
        if self.fixed is not None:
            return self.fixed
        if self._only_device:
            return escape(routed.device_id)
        return "".join([part if isinstance(part, str) else escape(part.rendered(routed)) for part in self.parts])

    def of_lane(self, address: Address) -> str:
        """Site, kind and channel filled in, all other fields as they are written: few different texts."""
        return self.fixed or "".join([part if isinstance(part, str) else part.of_lane(address) for part in self.parts])

    @property
    def of_device(self) -> bool:
        """Whether it may differ between messages of one site, kind and channel."""
        return any(field.device_level for field in self.fields)

    @property
    def of_payload(self) -> bool:
        """Whether it looks into the payload."""
        return any(field.path is not None for field in self.fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Template({self.text!r})"

    @classmethod
    def __get_pydantic_json_schema__(cls, _core: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string"}

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _from_config, serialization=core_schema.plain_serializer_function_ser_schema(lambda template: template.text)
        )


def templates_in(values: Iterable[Any]) -> Iterator[Template]:
    """Every template in nested lists, mappings and objects that have `templates`."""
    for value in values:
        if isinstance(value, Template):
            yield value
        elif isinstance(value, Mapping):
            yield from templates_in(value.values())
        elif isinstance(value, list | tuple):
            yield from templates_in(value)
        elif hasattr(value, "templates"):
            yield from value.templates()


def _from_config(value: object) -> Template:
    if isinstance(value, Template):
        return value
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError("should be a text, with {fields} in braces")
    return Template(str(value))


def _parts(text: str) -> Iterator[str | Field]:
    literal, at = "", 0
    for match in _PART.finditer(text):
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
            yield _field(match[1], match[2])
    if literal + text[at:]:
        yield literal + text[at:]


def _field(name: str, default: str | None) -> Field:
    if name in _ALWAYS:
        return Field(name)
    if name.startswith(_PROPERTY) and len(name) > len(_PROPERTY):
        return Field(name, default)
    if not _PATH.fullmatch(name):
        raise ValueError(
            f"'{{{name}}}' is no field of a template: it knows {', '.join(_ALWAYS)}, payload.FIELD and property.NAME"
        )
    return Field(name, default, tuple(name.split(".")[1:]))


_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")


class Body:
    """A template of a whole body: a text, or a mapping or list of JSON whose texts are templates.

    In JSON a text that is one field of the payload and nothing else, such as `"{payload.speed}"`, becomes the value
    with its type; `"{payload}"` is the whole payload.
    """

    __slots__ = ("_compiled", "is_text", "source")

    def __init__(self, source: Any) -> None:
        """Raises `ValueError` for what is no template."""
        self.source = source
        self.is_text = isinstance(source, str)
        self._compiled = _compile(source)

    def render(self, routed: RoutedEvent) -> bytes:
        """The body of a message. Raises `TemplateError`."""
        if self.is_text:
            return str(self._compiled.render(routed)).encode()
        return orjson.dumps(_fill(self._compiled, routed))

    def templates(self) -> Iterator[Template]:
        """Every template in it."""
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


def one_line(data: bytes) -> bytes:
    """JSON, or text, as one line. In valid JSON a line break is white space: inside a text it is escaped."""
    return data.translate(_LINE_BREAKS) if b"\n" in data or b"\r" in data else data


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


def _fill(compiled: Any, routed: RoutedEvent) -> Any:
    if isinstance(compiled, Template):
        field = compiled.fields[0] if len(compiled.parts) == 1 and compiled.fields else None
        return field.value(routed) if field else compiled.render(routed)
    if isinstance(compiled, dict):
        return {key: _fill(value, routed) for key, value in compiled.items()}
    if isinstance(compiled, list):
        return [_fill(value, routed) for value in compiled]
    return compiled
