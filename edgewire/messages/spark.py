"""The contract for Apache Spark: the schema of every Kafka topic, as the JSON of a StructType and as DDL.

Generated from the models, as all other schemas. A field that a message may leave out, or that may be null in it, is
nullable. Fields that a model does not know are left out by Spark; their message is read all the same.
"""

import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime
from pydantic.fields import FieldInfo

from edgewire.messages.base import Payload
from edgewire.messages.contract import CONTRACT, MessageType

Json = dict[str, Any]
DataType = str | Json
"""A type as the JSON of a StructType has it: a name, or an object for what has parts."""

_ATOMS: Mapping[object, str] = {
    str: "string",
    bool: "boolean",
    int: "long",
    float: "double",
    AwareDatetime: "timestamp",
}
_DDL = {"string": "STRING", "boolean": "BOOLEAN", "long": "BIGINT", "double": "DOUBLE", "timestamp": "TIMESTAMP",
        "binary": "BINARY", "integer": "INT"}  # fmt: skip

HEADERS = {
    "ce_id": "`{device_id}:{boot}:{seq}`: the same for a message that is there twice",
    "ce_time": "when it was measured, ISO 8601",
    "ce_source": "`/edge/{site}/{kind}/{device_id}`",
    "ce_type": "`edge.{kind}.{channel}`",
}
"""Headers that every record of the bridge has; their values are UTF-8."""


def spark_schemas() -> dict[str, Json]:
    """Return for each Kafka topic of the contract its kind, its message, and the schema of the records' values."""
    return {
        message.kafka_topic: {
            "kind": contract.kind,
            "message": message.model.__name__,
            "struct": (struct := spark_struct(message)),
            "ddl": ddl(struct),
        }
        for contract in CONTRACT.values()
        for message in contract.messages
    }


def spark_struct(message: MessageType) -> Json:
    """Return the StructType of a message as JSON, as `StructType.fromJson` reads it."""
    return _struct(message.model)


def ddl(struct: Json) -> str:
    """Return a StructType as DDL, as `from_json` and `StructType.fromDDL` read it."""
    return ", ".join(_ddl_field(field, "") for field in struct["fields"])


def kafka_record() -> Json:
    """Return the StructType of a record of Spark's Kafka source, read with `includeHeaders`."""
    header = _struct_type([_field("key", "string", False), _field("value", "binary", True)])
    return _struct_type(
        [
            _field("key", "binary", True, "The device's id."),
            _field("value", "binary", True, "The message: JSON."),
            _field("topic", "string", True),
            _field("partition", "integer", True),
            _field("offset", "long", True),
            _field("timestamp", "timestamp", True, "When the bridge gave it to Kafka."),
            _field("timestampType", "integer", True),
            _field("headers", {"type": "array", "elementType": header, "containsNull": True}, True),
        ]
    )


def _struct(model: type[Payload]) -> Json:
    return _struct_type([_model_field(field.alias or name, field) for name, field in model.model_fields.items()])


def _model_field(name: str, field: FieldInfo) -> Json:
    data_type, may_be_null = _data_type(field.annotation)
    comment = " ".join((field.description or "").split())
    return _field(name, data_type, may_be_null or not field.is_required(), comment)


def _data_type(annotation: Any) -> tuple[DataType, bool]:
    """Return the type of a field, and whether it may be null. Raises `TypeError` for one that has none in Spark."""
    if get_origin(annotation) is Annotated:
        return _data_type(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        others = [one for one in get_args(annotation) if one is not type(None)]
        if len(others) == 1:
            return _data_type(others[0])[0], len(others) < len(get_args(annotation))
    elif get_origin(annotation) is Literal:
        kinds = {type(value) for value in get_args(annotation)}
        if len(kinds) == 1:
            return _data_type(kinds.pop())
    elif get_origin(annotation) in (list, tuple):
        element, contains_null = _data_type(get_args(annotation)[0])
        return {"type": "array", "elementType": element, "containsNull": contains_null}, False
    elif get_origin(annotation) is dict:
        key, value = get_args(annotation)
        found, contains_null = _data_type(value)
        return {
            "type": "map",
            "keyType": _data_type(key)[0],
            "valueType": found,
            "valueContainsNull": contains_null,
        }, False
    elif isinstance(annotation, type) and issubclass(annotation, Payload):
        return _struct(annotation), False
    elif annotation in _ATOMS:
        return _ATOMS[annotation], False
    raise TypeError(f"{annotation} has no counterpart in Spark: add it to edgewire/messages/spark.py")


def _struct_type(fields: list[Json]) -> Json:
    return {"type": "struct", "fields": fields}


def _field(name: str, data_type: DataType, nullable: bool, comment: str = "") -> Json:
    return {
        "name": name,
        "type": data_type,
        "nullable": nullable,
        "metadata": {"comment": comment} if comment else {},
    }


def _ddl_type(data_type: DataType) -> str:
    if isinstance(data_type, str):
        return _DDL[data_type]
    if data_type["type"] == "array":
        return f"ARRAY<{_ddl_type(data_type['elementType'])}>"
    if data_type["type"] == "map":
        return f"MAP<{_ddl_type(data_type['keyType'])}, {_ddl_type(data_type['valueType'])}>"
    return f"STRUCT<{', '.join(_ddl_field(field, ':') for field in data_type['fields'])}>"


def _ddl_field(field: Json, colon: str) -> str:
    return f"{_quoted(field['name'])}{colon} {_ddl_type(field['type'])}{'' if field['nullable'] else ' NOT NULL'}"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
