"""Writes messages as Avro: `fastavro` makes the bytes, and what does not fit is found before, with its place."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any
from uuid import UUID

import orjson
from fastavro import parse_schema, schemaless_writer
from fastavro.schema import SchemaParseException, UnknownType

from bridge.message.decoders import preview_value
from bridge.sinks.kafka.schema_values import (
    Convert,
    UnfitMessage,
    UnusableSchema,
    below,
    flag,
    items,
    members,
    microseconds,
    missing,
    real_number,
    single_number,
    text,
    unfit,
    unknown,
    whole_number,
)

_INT, _LONG = 1 << 31, 1 << 63
_TIMES = {"timestamp-millis": 1000, "timestamp-micros": 1}
"""Logical type -> how many microseconds it counts in."""


class AvroCodec:
    """Writes the fields of messages by one schema of Avro."""

    def __init__(self, schema: str, *, drops_unknown: bool) -> None:
        """Take a schema as JSON. Raises `UnusableSchema` for one that is none, or has a type beyond JSON."""
        try:
            self._schema = parse_schema(orjson.loads(schema))
        except (orjson.JSONDecodeError, SchemaParseException, UnknownType, ValueError, KeyError, TypeError) as error:
            raise UnusableSchema(f"it is no schema of Avro: {str(error)[:200]}") from None
        if not isinstance(self._schema, dict) or self._schema.get("type") != "record":
            raise UnusableSchema("it is no record: a message has fields with names")
        self._drops_unknown = drops_unknown
        self._named: dict[str, Convert] = {}
        self._definitions: dict[str, Mapping[str, Any]] = {}
        self._defaults: list[tuple[str, Any, Any]] = []
        try:
            self._convert = self._compile(self._schema)
            # A default may be of a type that is defined further on.
            for at, default, of_type in self._defaults:
                if not self._takes(default, of_type):
                    raise UnusableSchema(f"the default of {at} is {preview_value(default)}, which its type is not")
        except RecursionError:
            raise UnusableSchema("its types are nested too deep") from None

    def encode(self, fields: dict[str, Any]) -> bytes:
        """Return the fields in the binary form of Avro, without a header. Raises `UnfitMessage`."""
        written = BytesIO()
        try:
            converted = self._convert(fields, "")
            try:
                schemaless_writer(written, self._schema, converted)
            except (ValueError, TypeError, OverflowError) as error:
                raise UnfitMessage(f"the writer of Avro does not take it: {str(error)[:200]}") from None
        except RecursionError:
            raise UnfitMessage("it is nested too deep") from None
        return written.getvalue()

    def _compile(self, schema: Any) -> Convert:
        if isinstance(schema, list):
            return self._union(schema)
        if isinstance(schema, str):
            return self._primitive(schema, "")
        of_type = schema["type"]
        match of_type:
            case "record":
                return self._record(schema)
            case "enum":
                symbols = schema["symbols"]
                if not isinstance(symbols, list):  # of a text the parser takes each letter for one
                    raise UnusableSchema(f"the symbols of {schema['name']} are {preview_value(symbols)}, and no list")
                return self._remember(schema, _enum(frozenset(symbols)))
            case "array":
                return _array(self._compile(schema["items"]))
            case "map":
                return _map(self._compile(schema["values"]))
        if isinstance(of_type, str):
            logical = schema.get("logicalType", "")
            if not isinstance(logical, str):  # which the parser does not look at
                raise UnusableSchema(f"it has the logical type {preview_value(logical)}, which is no text")
            return self._primitive(of_type, logical)
        return self._compile(of_type)

    def _primitive(self, name: str, logical: str) -> Convert:
        if logical in _TIMES and name == "long":
            return _time(_TIMES[logical])
        if logical == "uuid" and name == "string":
            return _uuid
        # A logical type of numbers, such as a decimal, would be another value than the number that stands there.
        if logical:
            raise UnusableSchema(f"it has the type {logical}, which no value of JSON is")
        if name in _PRIMITIVES:
            return _PRIMITIVES[name]
        if name in self._named:
            # Found when it is needed: a record may have itself in it.
            return lambda value, at: self._named[name](value, at)
        raise UnusableSchema(f"it has the type {name}, which no value of JSON is")

    def _remember(self, schema: Mapping[str, Any], convert: Convert) -> Convert:
        if schema["name"] in _PRIMITIVES:
            raise UnusableSchema(f"one of its types is named {schema['name']}, which is the name of a simple type")
        self._named[schema["name"]] = convert
        self._definitions[schema["name"]] = schema
        return convert

    def _takes(self, default: Any, schema: Any) -> bool:
        """Return whether a default is of its type; the parser looks at those of simple types alone."""
        if isinstance(schema, list):
            return any(self._takes(default, one) for one in schema)
        if isinstance(schema, str):
            if schema in _PRIMITIVES:
                return _fits(default, _PRIMITIVES[schema])
            return self._takes(default, self._definitions[schema])
        match schema["type"]:
            case "record":
                # A field that has a default of its own may be missing.
                return isinstance(default, dict) and all(
                    self._takes(default[field["name"]], field["type"])
                    if field["name"] in default
                    else "default" in field
                    for field in schema["fields"]
                )
            case "enum":
                return default in schema["symbols"]
            case "array":
                return isinstance(default, list) and all(self._takes(one, schema["items"]) for one in default)
            case "map":
                return isinstance(default, dict) and all(self._takes(one, schema["values"]) for one in default.values())
        return self._takes(default, schema["type"])

    def _record(self, schema: Mapping[str, Any]) -> Convert:
        self._named[schema["name"]] = _unset
        for field in schema["fields"]:
            if not isinstance(field["name"], str):
                raise UnusableSchema(
                    f"its record {schema['name']} has a field whose name is {preview_value(field['name'])}, no text"
                )
        fields = [
            (field["name"], self._compile(field["type"]), field.get("default", _NO_DEFAULT))
            for field in schema["fields"]
        ]
        self._defaults += [
            (f"{schema['name']}.{field['name']}", field["default"], field["type"])
            for field in schema["fields"]
            if "default" in field
        ]
        names = frozenset(name for name, _, _ in fields)
        if len(names) < len(fields):
            raise UnusableSchema(f"its record {schema['name']} has two fields of one name")
        drops_unknown = self._drops_unknown

        def convert(value: Any, at: str) -> dict[str, Any]:
            members(value, at)
            if not drops_unknown and not names.issuperset(value):
                raise unknown(below(at, next(name for name in value if name not in names)))
            found: dict[str, Any] = {}
            for name, inner, default in fields:
                if name in value:
                    found[name] = inner(value[name], below(at, name))
                elif default is _NO_DEFAULT:
                    raise missing(below(at, name))
                else:
                    found[name] = default
            return found

        return self._remember(schema, convert)

    def _union(self, branches: list[Any]) -> Convert:
        if not branches or any(isinstance(one, list) for one in branches):
            raise UnusableSchema(f"it has the union {preview_value(branches)}: one needs types, and none is a union")
        has_null = "null" in branches
        others = [self._compile(one) for one in branches if one != "null"]
        if not others:
            return _PRIMITIVES["null"]

        def convert(value: Any, at: str) -> Any:
            if value is None and has_null:
                return None
            for inner in others[:-1]:
                try:
                    return inner(value, at)
                except UnfitMessage:
                    continue
            return others[-1](value, at)

        return convert


_NO_DEFAULT = object()


def _fits(value: Any, convert: Convert) -> bool:
    try:
        convert(value, "")
    except UnfitMessage:
        return False
    return True


def _unset(value: Any, at: str) -> Any:
    raise UnfitMessage(f"{at or 'the message'} has a type that is not yet known")


def _null(value: Any, at: str) -> None:
    if value is not None:
        raise unfit(value, at, "null")


_PRIMITIVES: Mapping[str, Convert] = {
    "null": _null,
    "boolean": flag,
    "int": lambda value, at: whole_number(value, at, -_INT, _INT - 1),
    "long": lambda value, at: whole_number(value, at, -_LONG, _LONG - 1),
    "float": single_number,
    "double": real_number,
    "string": text,
}


def _uuid(value: Any, at: str) -> str:
    try:
        return str(UUID(text(value, at)))
    except ValueError:
        raise unfit(value, at, "a UUID") from None


def _time(unit: int) -> Convert:
    return lambda value, at: microseconds(value, at) // unit


def _enum(symbols: frozenset[str]) -> Convert:
    def convert(value: Any, at: str) -> str:
        if type(value) is not str or value not in symbols:
            raise unfit(value, at, f"one of {', '.join(sorted(symbols))[:200]}")
        return value

    return convert


def _array(inner: Convert) -> Convert:
    def convert(value: Any, at: str) -> list[Any]:
        return [inner(one, below(at, str(place))) for place, one in enumerate(items(value, at))]

    return convert


def _map(inner: Convert) -> Convert:
    def convert(value: Any, at: str) -> dict[str, Any]:
        return {name: inner(one, below(at, name)) for name, one in members(value, at).items()}

    return convert
