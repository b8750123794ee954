"""Makes the contract of a kind that somebody has declared: its fields by name and type, without code of its own."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import Field, create_model

from edgewire.messages.base import Measurement, example_head
from edgewire.messages.contract import KindContract, MessageType
from edgewire.messages.topics import Channel

FieldType = Literal["number", "whole", "flag", "text"]
_TYPES: Mapping[FieldType, type] = {"number": float, "whole": int, "flag": bool, "text": str}
_EXAMPLES: Mapping[FieldType, Any] = {"number": 1.5, "whole": 1, "flag": True, "text": "a"}


class DeclaredField(NamedTuple):
    """Describes a field of a message."""

    name: str
    type: FieldType
    is_nullable: bool = False
    """Whether it may have no value: null."""
    description: str = ""


def declared_contract(kind: str, fields: Sequence[DeclaredField], description: str) -> KindContract:
    """Return the contract of a kind with one message, its reading.

    It is posted to `/ingest/KIND`, and its topic in Kafka is called as the kind is.
    """
    definitions: dict[str, Any] = {}
    for field in fields:
        found: Any = _TYPES[field.type]
        annotation = found | None if field.is_nullable else found
        definitions[field.name] = (annotation, Field(description=field.description or None))
    name = "".join(part.capitalize() for part in kind.split("_")) + "Reading"
    model = create_model(name, __base__=Measurement, __doc__=description, **definitions)
    example = example_head(f"{kind}-0001", 12) | {field.name: _EXAMPLES[field.type] for field in fields}
    return KindContract(
        kind, fields[0].name, _http_path(kind), (MessageType(model, Channel.TELEMETRY, kind, (example,)),)
    )


def open_contract(kind: str) -> KindContract:
    """Return the contract of a kind of which the name alone is known: whatever a measurement may say."""
    message = MessageType(Measurement, Channel.TELEMETRY, kind, (example_head(f"{kind}-0001", 12),))
    return KindContract(kind, "device_id", _http_path(kind), (message,))


def _http_path(kind: str) -> str:
    return f"/ingest/{kind}"
