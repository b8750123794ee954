"""The contract for Protobuf: a file of proto3 for every message, with the types that `spark` finds in its model.

Fields are numbered in the order of the model, so a field that is added goes to its end: a registry refuses another
order as incompatible.
"""

from typing import NamedTuple

from edgewire.messages.avro import NAMESPACE, Json, inner_name, typed_struct
from edgewire.messages.base import ContractError
from edgewire.messages.contract import CONTRACT, MessageType
from edgewire.messages.spark import DataType

TIMESTAMP = "google.protobuf.Timestamp"
TIMESTAMP_FILE = "google/protobuf/timestamp.proto"
_ATOMS = {"string": "string", "boolean": "bool", "long": "int64", "double": "double", "timestamp": TIMESTAMP}


class ProtoField(NamedTuple):
    """Describes a field of a message."""

    name: str
    number: int
    type: str
    """A scalar type, `TIMESTAMP`, or the name of a message that stands inside this one."""
    is_optional: bool = False
    """Whether it may have no value, and that can be told from zero."""
    is_repeated: bool = False
    is_map: bool = False
    """Whether it is a map from texts to `type`."""
    comment: str = ""


class ProtoMessage(NamedTuple):
    """Describes a message, with those that stand inside it."""

    name: str
    fields: tuple[ProtoField, ...]
    inner: tuple["ProtoMessage", ...] = ()
    comment: str = ""


def protobuf_schemas() -> dict[str, str]:
    """Return for each Kafka topic of the contract the proto3 file of the records' values."""
    return {
        message.kafka_topic: proto_text(proto_message(message))
        for contract in CONTRACT.values()
        for message in contract.messages
    }


def proto_message(message: MessageType) -> ProtoMessage:
    """Return the Protobuf message of a message of the contract. Raises `ContractError` as `avro.avro_schema`."""
    return _message(message.model.__name__, typed_struct(message), (message.model.__doc__ or "").partition("\n")[0])


def proto_text(message: ProtoMessage) -> str:
    """Return the file that defines a message."""
    lines = ['syntax = "proto3";', "", f"package {NAMESPACE};", ""]
    if has_times(message):
        lines += [f'import "{TIMESTAMP_FILE}";', ""]
    return "\n".join([*lines, *_lines(message, "")]) + "\n"


def has_times(message: ProtoMessage) -> bool:
    """Return whether a message, or one inside it, has an instant."""
    return any(field.type == TIMESTAMP for field in message.fields) or any(map(has_times, message.inner))


def _message(name: str, struct: Json, comment: str = "") -> ProtoMessage:
    fields: list[ProtoField] = []
    inner: list[ProtoMessage] = []
    for number, field in enumerate(struct["fields"], 1):
        data_type, label = field["type"], ""
        if isinstance(data_type, dict) and data_type["type"] in ("array", "map"):
            label = data_type["type"]
            data_type = data_type["elementType" if label == "array" else "valueType"]
        said = _type_name(field["name"], data_type)
        if isinstance(data_type, dict):
            inner.append(_message(said, data_type))
        # A message or a list that is not there shows as it is; a number would be 0.
        is_optional = field["nullable"] and not label and isinstance(data_type, str) and said != TIMESTAMP
        said_of = " ".join(field["metadata"].get("comment", "").split())
        fields.append(ProtoField(field["name"], number, said, is_optional, label == "array", label == "map", said_of))
    return ProtoMessage(name, tuple(fields), tuple(inner), comment)


def _type_name(field: str, data_type: DataType) -> str:
    if isinstance(data_type, str):
        return _ATOMS[data_type]
    if data_type["type"] == "struct":
        return inner_name(field)
    raise ContractError(f"field '{field}' is a list or map of such: Protobuf has no word for it")


def _lines(message: ProtoMessage, indent: str) -> list[str]:
    lines = [f"{indent}// {message.comment}"] if message.comment else []
    lines.append(f"{indent}message {message.name} {{")
    for inner in message.inner:
        lines += _lines(inner, indent + "  ")
    for field in message.fields:
        if field.comment:
            lines.append(f"{indent}  // {field.comment}")
        said = f"map<string, {field.type}>" if field.is_map else field.type
        label = "optional " if field.is_optional else "repeated " if field.is_repeated else ""
        lines.append(f"{indent}  {label}{said} {field.name} = {field.number};")
    return [*lines, f"{indent}}}"]
