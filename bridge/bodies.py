"""Bodies made from a message: the payload as it is, or a template of JSON or text."""

from collections.abc import Iterator
from typing import Any

import orjson
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from bridge.routed import Routed
from bridge.templates import Template, templates_in

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

    def render(self, routed: Routed) -> bytes:
        """The body of a message. Raises `Unrenderable`."""
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


def _fill(compiled: Any, routed: Routed) -> Any:
    if isinstance(compiled, Template):
        field = compiled.fields[0] if len(compiled.parts) == 1 and compiled.fields else None
        return field.value(routed) if field else compiled.render(routed)
    if isinstance(compiled, dict):
        return {key: _fill(value, routed) for key, value in compiled.items()}
    if isinstance(compiled, list):
        return [_fill(value, routed) for value in compiled]
    return compiled
