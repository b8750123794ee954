"""The message `Payload` of Eclipse Tahu's sparkplug_b.proto, for protobuf's own parser."""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_F = descriptor_pb2.FieldDescriptorProto
_PAYLOAD = {"timestamp": (1, _F.TYPE_UINT64), "metrics": (2, ".Metric"), "seq": (3, _F.TYPE_UINT64),
            "uuid": (4, _F.TYPE_STRING), "body": (5, _F.TYPE_BYTES)}  # fmt: skip
_METRIC = {
    "name": (1, _F.TYPE_STRING), "alias": (2, _F.TYPE_UINT64), "timestamp": (3, _F.TYPE_UINT64),
    "datatype": (4, _F.TYPE_UINT32), "is_historical": (5, _F.TYPE_BOOL), "is_transient": (6, _F.TYPE_BOOL),
    "is_null": (7, _F.TYPE_BOOL), "int_value": (10, _F.TYPE_UINT32), "long_value": (11, _F.TYPE_UINT64),
    "float_value": (12, _F.TYPE_FLOAT), "double_value": (13, _F.TYPE_DOUBLE), "boolean_value": (14, _F.TYPE_BOOL),
    "string_value": (15, _F.TYPE_STRING), "bytes_value": (16, _F.TYPE_BYTES),
}  # fmt: skip


def _payload_class() -> Any:
    """The message `Payload` of Tahu's sparkplug_b.proto, less what a metric of one value has not."""
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_b.proto", syntax="proto2")
    for name, fields in (("Metric", _METRIC), ("Payload", _PAYLOAD)):
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            one = message.field.add(name=field, number=number, label=_F.LABEL_OPTIONAL)
            if isinstance(kind, str):
                one.type, one.type_name, one.label = _F.TYPE_MESSAGE, kind, _F.LABEL_REPEATED
            else:
                one.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Payload"))


Payload = _payload_class()
