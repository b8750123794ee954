"""The contract for Avro: the schema of every message as a record, with the types that `spark` finds in its model."""

import re
from typing import Any

from edgewire.messages.base import ContractError
from edgewire.messages.contract import CONTRACT, MessageType
from edgewire.messages.spark import DataType, spark_struct

Json = dict[str, Any]

NAMESPACE = "edgefleet"
_ATOMS: dict[str, str | Json] = {
    "string": "string",
    "boolean": "boolean",
    "long": "long",
    "double": "double",
    "timestamp": {"type": "long", "logicalType": "timestamp-micros"},
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def avro_schemas() -> dict[str, Json]:
    """Return for each Kafka topic of the contract the Avro schema of the records' values."""
    return {
        message.kafka_topic: avro_schema(message) for contract in CONTRACT.values() for message in contract.messages
    }


def avro_schema(message: MessageType) -> Json:
    """Return the Avro schema of a message: a record in which what may be missing or null is null by default.

    Raises `ContractError` for a message whose fields have no fixed types.
    """
    return record_schema(
        message.model.__name__, typed_struct(message), (message.model.__doc__ or "").partition("\n")[0]
    )


def typed_struct(message: MessageType) -> Json:
    """Return the fields of a message with their types. Raises `ContractError` where one has none, or an odd name."""
    try:
        struct = spark_struct(message)
    except TypeError:
        raise ContractError(
            f"{message.model.__name__} has fields of any name and type, and so no schema of its own: use one that is"
            " in the registry"
        ) from None
    _check_names(struct)
    return struct


def inner_name(field: str) -> str:
    """Return the name of the record that a field holds."""
    return "".join(part[:1].upper() + part[1:] for part in field.split("_"))


def record_schema(name: str, struct: Json, doc: str = "") -> Json:
    """Return a record of the fields of a StructType."""
    record: Json = {"type": "record", "name": name, "namespace": NAMESPACE}
    if doc:
        record["doc"] = doc
    record["fields"] = [_field(name, field) for field in struct["fields"]]
    return record


def _field(parent: str, field: Json) -> Json:
    found: Json = {"name": field["name"], "type": _type(parent, field["name"], field["type"])}
    if field["nullable"]:
        found |= {"type": ["null", found["type"]], "default": None}
    if comment := field["metadata"].get("comment"):
        found["doc"] = comment
    return found


def _type(parent: str, name: str, data_type: DataType) -> str | Json | list[Any]:
    if isinstance(data_type, str):
        return _ATOMS[data_type]
    match data_type["type"]:
        case "array":
            inner = _type(parent, name, data_type["elementType"])
            return {"type": "array", "items": ["null", inner] if data_type["containsNull"] else inner}
        case "map":
            inner = _type(parent, name, data_type["valueType"])
            return {"type": "map", "values": ["null", inner] if data_type["valueContainsNull"] else inner}
        case _:
            # A name means one record in the whole schema.
            return record_schema(parent + inner_name(name), data_type)


def _check_names(struct: Json) -> None:
    for field in struct["fields"]:
        if not _NAME.fullmatch(field["name"]):
            raise ContractError(
                f"field '{field['name']}' can have no such name in Avro and Protobuf: letters, digits, _"
            )
        if isinstance(field["type"], dict) and field["type"]["type"] == "struct":
            _check_names(field["type"])
