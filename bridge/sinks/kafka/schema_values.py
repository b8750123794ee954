"""Checks the values of a message for a schema: what the codecs of Avro and Protobuf have in common. Pure."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from bridge.message.decoders import preview_value
from edgewire.errors import EdgefleetError

Convert = Callable[[Any, str], Any]
"""Makes of a value of JSON, and its place in the message, what a codec writes. Raises `UnfitMessage`."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MAX_SINGLE = 3.4028234663852886e38


class UnfitMessage(EdgefleetError):
    """A message does not fit its schema; says which field and why."""


class UnusableSchema(EdgefleetError):
    """A schema cannot be written with; says why."""


class SchemaCodec(Protocol):
    """Writes the fields of messages by one schema."""

    def encode(self, fields: dict[str, Any]) -> bytes:
        """Return the fields as the schema has them. Raises `UnfitMessage`."""


def unfit(value: Any, at: str, wanted: str) -> UnfitMessage:
    """Return the error of a value that is another than the schema asks for."""
    return UnfitMessage(f"{at} is {preview_value(value)}, and its schema has {wanted} there")


def missing(at: str) -> UnfitMessage:
    """Return the error of a field that the schema needs."""
    return UnfitMessage(f"there is no {at}, and its schema needs one")


def unknown(at: str) -> UnfitMessage:
    """Return the error of a field that the schema does not have."""
    return UnfitMessage(f"its schema has no {at}: add it there, or write unknown_fields: drop")


def below(at: str, name: str) -> str:
    """Return the place of a field in what is at a place."""
    return f"{at}.{name}" if at else name


def whole_number(value: Any, at: str, least: int, most: int) -> int:
    """Return a whole number in a range. Raises `UnfitMessage`."""
    if type(value) is not int or not least <= value <= most:
        raise unfit(value, at, f"a whole number from {least} to {most}")
    return value


def real_number(value: Any, at: str) -> float:
    """Return a number. Raises `UnfitMessage`."""
    if type(value) is not float and type(value) is not int:
        raise unfit(value, at, "a number")
    return float(value)  # JSON has whole numbers of 64 bits at most


def single_number(value: Any, at: str) -> float:
    """Return a number that 32 bits hold. Raises `UnfitMessage`."""
    found = real_number(value, at)
    if abs(found) > _MAX_SINGLE:
        raise unfit(value, at, "a number of 32 bits")
    return found


def flag(value: Any, at: str) -> bool:
    """Return true or false. Raises `UnfitMessage`."""
    if value is not True and value is not False:
        raise unfit(value, at, "true or false")
    return value


def text(value: Any, at: str) -> str:
    """Return a text. Raises `UnfitMessage`."""
    if type(value) is not str:
        raise unfit(value, at, "a text")
    return value


def items(value: Any, at: str) -> list[Any]:
    """Return a list. Raises `UnfitMessage`."""
    if type(value) is not list:
        raise unfit(value, at, "a list")
    return value


def members(value: Any, at: str) -> dict[str, Any]:
    """Return an object. Raises `UnfitMessage`."""
    if type(value) is not dict:
        raise unfit(value, at, "an object")
    return value


def microseconds(value: Any, at: str) -> int:
    """Return an instant, written in ISO 8601 with an offset, in microseconds since 1970 UTC. Raises `UnfitMessage`."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise unfit(value, at, "an instant") from None
    if moment.tzinfo is None:
        raise unfit(value, at, "an instant, which is written with an offset")
    return (moment - _EPOCH) // _MICROSECOND
