"""Writes messages as Protobuf: the messages are made from descriptors as they come, so that no code is generated."""

from base64 import b64decode
from binascii import Error as BadBase64
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from google.protobuf import timestamp_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

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
from edgewire.messages.avro import NAMESPACE
from edgewire.messages.protobuf import TIMESTAMP, TIMESTAMP_FILE, ProtoField, ProtoMessage, has_times

_TYPES = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
}
_WHOLE = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}
_FIRST_MESSAGE = b"\x00"
"""The path of the first message of a file, as Confluent's wire format has it."""


class ProtobufCodec:
    """Writes the fields of messages as the first message of one file."""

    def __init__(self, file: FileDescriptorProto, *, drops_unknown: bool) -> None:
        """Take the file. Raises `UnusableSchema` for one that needs others, or has no message."""
        pool = DescriptorPool()
        pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
        if not file.message_type:
            raise UnusableSchema("it has no message")
        try:
            pool.Add(file)
            descriptor = pool.FindFileByName(file.name).message_types_by_name[file.message_type[0].name]
        except (TypeError, KeyError, ValueError) as error:
            raise UnusableSchema(f"it cannot be used alone: {' '.join(str(error).split())[:200]}") from None
        self._new: Callable[[], Message] = GetMessageClass(descriptor)
        self._drops_unknown = drops_unknown
        self._fillers: dict[str, _Filler] = {}
        self._fill = self._compile(descriptor)

    def encode(self, fields: dict[str, Any]) -> bytes:
        """Return the fields behind the path of their message. Raises `UnfitMessage`."""
        message = self._new()
        try:
            self._fill(message, fields, "")
        except RecursionError:
            raise UnfitMessage("it is nested too deep") from None
        return _FIRST_MESSAGE + message.SerializeToString()

    def _compile(self, descriptor: Descriptor) -> "_Filler":
        known = self._fillers.get(descriptor.full_name)
        if known is None:
            known = self._fillers[descriptor.full_name] = _Filler(self._drops_unknown)
            for field in descriptor.fields:
                known.setters[field.name] = self._setter(field)
                if field.is_required or not (field.is_repeated or field.has_presence):
                    known.needed.append(field.name)
        return known

    def _setter(self, field: FieldDescriptor) -> "_Set":
        inner = field.message_type
        if field.is_repeated and inner is not None and inner.GetOptions().map_entry:
            return self._map_setter(field.name, inner)
        if inner is not None and inner.full_name == TIMESTAMP:
            return partial(_add_times if field.is_repeated else _set_time, field.name)
        if inner is not None:
            return partial(_add_messages if field.is_repeated else _set_message, field.name, self._compile(inner))
        return partial(_extend if field.is_repeated else _set_scalar, field.name, _scalar(field))

    def _map_setter(self, name: str, entry: Descriptor) -> "_Set":
        key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
        if key.type != FieldDescriptor.TYPE_STRING:
            raise UnusableSchema(f"its map {name} has keys that are no texts")
        if value.message_type is None:
            return partial(_set_map, name, _scalar(value))
        if value.message_type.full_name == TIMESTAMP:
            return partial(_set_message_map, name, _fill_time)
        return partial(_set_message_map, name, self._compile(value.message_type))


_Set = Callable[[Message, Any, str], None]
"""Sets a field of a message to a value of JSON that is not null."""


class _Filler:
    """Fills a message with fields."""

    def __init__(self, drops_unknown: bool) -> None:
        self._drops_unknown = drops_unknown
        self.setters: dict[str, _Set] = {}
        self.needed: list[str] = []

    def __call__(self, message: Message, value: Any, at: str) -> None:
        members(value, at)
        setters = self.setters
        for name, inner in value.items():
            setter = setters.get(name)
            if setter is not None:
                if inner is not None:
                    setter(message, inner, below(at, name))
            elif not self._drops_unknown:
                raise unknown(below(at, name))
        for name in self.needed:
            # Left out, it would be read as zero.
            if value.get(name) is None:
                raise missing(below(at, name))


def _set_scalar(name: str, convert: Convert, message: Message, value: Any, at: str) -> None:
    setattr(message, name, convert(value, at))


def _extend(name: str, convert: Convert, message: Message, value: Any, at: str) -> None:
    getattr(message, name).extend([convert(one, below(at, str(place))) for place, one in enumerate(items(value, at))])


def _set_message(name: str, fill: _Filler, message: Message, value: Any, at: str) -> None:
    inner = getattr(message, name)
    inner.SetInParent()
    fill(inner, value, at)


def _add_messages(name: str, fill: _Filler, message: Message, value: Any, at: str) -> None:
    for place, one in enumerate(items(value, at)):
        fill(getattr(message, name).add(), one, below(at, str(place)))


def _set_time(name: str, message: Message, value: Any, at: str) -> None:
    inner = getattr(message, name)
    inner.SetInParent()
    _fill_time(inner, value, at)


def _add_times(name: str, message: Message, value: Any, at: str) -> None:
    for place, one in enumerate(items(value, at)):
        _fill_time(getattr(message, name).add(), one, below(at, str(place)))


def _fill_time(message: Message, value: Any, at: str) -> None:
    seconds, rest = divmod(microseconds(value, at), 1_000_000)
    message.seconds, message.nanos = seconds, rest * 1000  # type: ignore[attr-defined]


def _set_map(name: str, convert: Convert, message: Message, value: Any, at: str) -> None:
    target = getattr(message, name)
    for key, one in members(value, at).items():
        target[key] = convert(one, below(at, key))


def _set_message_map(name: str, fill: Callable[[Any, Any, str], None], message: Message, value: Any, at: str) -> None:
    target = getattr(message, name)
    for key, one in members(value, at).items():
        target[key].SetInParent()
        fill(target[key], one, below(at, key))


def _scalar(field: FieldDescriptor) -> Convert:
    """Return what makes the value of a field. Raises `UnusableSchema` for one of which JSON has no values."""
    if field.cpp_type in _WHOLE:
        least, most = _WHOLE[field.cpp_type]
        return lambda value, at: whole_number(value, at, least, most)
    if field.enum_type is not None:
        return partial(_enum_number, {one.name: one.number for one in field.enum_type.values})
    match field.type:
        case FieldDescriptor.TYPE_BOOL:
            return flag
        case FieldDescriptor.TYPE_STRING:
            return text
        case FieldDescriptor.TYPE_DOUBLE:
            return real_number
        case FieldDescriptor.TYPE_FLOAT:
            return single_number
    raise UnusableSchema(f"its field {field.name} is of a type which no value of JSON is")


def _enum_number(numbers: Mapping[str, int], value: Any, at: str) -> int:
    if type(value) is not str or value not in numbers:
        raise unfit(value, at, f"one of {', '.join(numbers)[:200]}")
    return numbers[value]


def file_of(message: ProtoMessage) -> FileDescriptorProto:
    """Return the file that `edgewire.messages.protobuf.proto_text` writes, as its compiler would read it."""
    file = FileDescriptorProto(name=f"{NAMESPACE}/{message.name}.proto", package=NAMESPACE, syntax="proto3")
    if has_times(message):
        file.dependency.append(TIMESTAMP_FILE)
    _describe(file.message_type.add(), message, f".{NAMESPACE}")
    return file


def read_serialized(said: str) -> FileDescriptorProto:
    """Return a file that a registry gives as base64 of its descriptor. Raises `UnusableSchema`."""
    try:
        file = FileDescriptorProto.FromString(b64decode(said, validate=True))
        file.name = file.name or "registered.proto"
    except (BadBase64, DecodeError, ValueError):
        raise UnusableSchema(
            "the registry gives it as text alone, and a descriptor (format=serialized) is needed: let the bridge"
            " register its own, or use Avro"
        ) from None
    return file


def _describe(target: DescriptorProto, message: ProtoMessage, scope: str) -> None:
    target.name = message.name
    path = f"{scope}.{message.name}"
    for inner in message.inner:
        _describe(target.nested_type.add(), inner, path)
    for field in message.fields:
        if field.is_map:
            entry = target.nested_type.add(name=f"{''.join(part.capitalize() for part in field.name.split('_'))}Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, type=_TYPES["string"], label=FieldDescriptorProto.LABEL_OPTIONAL)
            value = entry.field.add(name="value", number=2, label=FieldDescriptorProto.LABEL_OPTIONAL)
            _set_type(value, field, path)
            found = target.field.add(name=field.name, number=field.number, type=FieldDescriptorProto.TYPE_MESSAGE)
            found.type_name = f"{path}.{entry.name}"
            found.label = FieldDescriptorProto.LABEL_REPEATED
            continue
        found = target.field.add(name=field.name, number=field.number)
        found.label = FieldDescriptorProto.LABEL_REPEATED if field.is_repeated else FieldDescriptorProto.LABEL_OPTIONAL
        _set_type(found, field, path)
        if field.is_optional:
            found.proto3_optional = True
            found.oneof_index = len(target.oneof_decl)
            target.oneof_decl.add(name=f"_{field.name}")


def _set_type(target: FieldDescriptorProto, field: ProtoField, path: str) -> None:
    if field.type in _TYPES:
        target.type = _TYPES[field.type]
        return
    target.type = FieldDescriptorProto.TYPE_MESSAGE
    target.type_name = f".{TIMESTAMP}" if field.type == TIMESTAMP else f"{path}.{field.type}"
