"""Writes the values of records by schemas that a registry knows: an id before the bytes tells consumers which.

The registry is asked once for each subject; while it does not answer, or refuses a schema, messages wait. What does
not fit its schema is rejected alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from bridge.routing.routed import RoutedEvent
from bridge.sinks.base import Failure, Rejected, Retry, Scope
from bridge.sinks.kafka.config import KafkaSinkConfig
from bridge.sinks.kafka.record import target_of
from bridge.sinks.kafka.schema_registry import SchemaRegistry
from bridge.sinks.kafka.schema_values import SchemaCodec, UnfitMessage, UnusableSchema
from bridge.sinks.kafka.value_config import ValueConfig
from edgewire.clock import Clock
from edgewire.messages import ACCEPTED, ContractError, MessageType
from edgewire.messages.avro import NAMESPACE, avro_schema
from edgewire.messages.protobuf import proto_message, proto_text

_KNOWN_SUBJECTS = 10_000
_MAGIC = b"\x00"


class _Key(NamedTuple):
    """Names a schema: what of it the messages of one topic and type have in common."""

    topic: str
    kind: str
    message: str
    """Name of the type of message; empty where the contract has none."""
    config: int
    """Identity of its `ValueConfig`."""


class _Known(NamedTuple):
    head: bytes
    codec: SchemaCodec


class _Refused(NamedTuple):
    failure: Retry
    until_ms: int


class ValueWriter:
    """Makes values between `open` and `close`."""

    def __init__(self, config: KafkaSinkConfig, registry: SchemaRegistry, clock: Clock) -> None:
        """Take the settings; the clock tells how long a refusal of the registry is remembered."""
        self._config = config
        self._registry = registry
        self._clock = clock
        self._known: dict[_Key, _Known | _Refused] = {}

    def open(self) -> None:
        """Get ready; nothing is sent. Raises `ConfigError`."""
        self._registry.open()

    async def close(self) -> None:
        """Drop connections, and forget what the registry has said."""
        self._known.clear()
        await self._registry.close()

    async def probe(self) -> str:
        """Reach the registry. Raises `ServiceUnavailable` or `ConfigError`."""
        return await self._registry.probe()

    async def write_values(
        self, batch: Sequence[RoutedEvent], topics: Sequence[str | None]
    ) -> tuple[list[bytes | None], dict[int, Failure]]:
        """Return the value of each message, and of those that have none why; `topics` has None for what has no topic.

        A message behind one of its device that has to wait, waits too. Raises `NotConnected`.
        """
        values: list[bytes | None] = [None] * len(batch)
        failures: dict[int, Failure] = {}
        held: dict[str, Retry] = {}
        for position, (event, topic) in enumerate(zip(batch, topics, strict=True)):
            if topic is None:
                continue
            found = held.get(event.device_id) or await self._value(event, topic)
            if isinstance(found, bytes):
                values[position] = found
                continue
            failures[position] = found
            if isinstance(found, Retry):
                if found.scope is Scope.QUEUE:
                    failures.update(dict.fromkeys(range(position, len(batch)), found))
                    break
                held[event.device_id] = found
        return values, failures

    async def _value(self, event: RoutedEvent, topic: str) -> bytes | Retry | Rejected:
        target = target_of(event)
        assert target is not None
        config = target.value or self._config.value
        if config.format == "json":
            return event.body
        if event.is_raw:
            return Rejected(f"bytes that nobody has looked into have no schema: write value: json for '{topic}'")
        info = event.topic_info
        message = message_of(event)
        key = _Key(topic, info.kind, "" if message is None else message.model.__name__, id(config))
        known: _Known | _Refused | Retry | Rejected | None = self._known.get(key)
        if known is None or (isinstance(known, _Refused) and known.until_ms <= self._clock.now_ms()):
            known = await self._learn(key, config, message)
        if isinstance(known, _Refused):
            return known.failure
        if not isinstance(known, _Known):
            return known
        try:
            return known.head + known.codec.encode(event.fields)
        except UnfitMessage as error:
            return Rejected(f"{config.format} for '{topic}': {error}")

    async def _learn(
        self, key: _Key, config: ValueConfig, message: MessageType | None
    ) -> _Known | _Refused | Retry | Rejected:
        """Ask the registry for the schema of messages, and remember what it says of them alone."""
        found: _Known | Retry | Rejected
        try:
            if config.auto_register:
                found = await self._register(key, config, message)
            else:
                found = await self._use_latest(key, config, message)
        except UnusableSchema as error:
            subject = _subject(config, key.topic, message)
            reason = f"the schema of subject {subject} cannot be used: {error}"
            found = Retry(cause="registry_schema", reason=reason, scope=Scope.DEVICE, needs_operator=True)
        if isinstance(found, Rejected) or (isinstance(found, Retry) and found.scope is Scope.QUEUE):
            return found
        if len(self._known) >= _KNOWN_SUBJECTS:
            self._known.clear()
        if isinstance(found, Retry):
            # Each of a thousand devices would ask again.
            refused = _Refused(found, self._clock.now_ms() + self._config.retry.base)
            self._known[key] = refused
            return refused
        self._known[key] = found
        return found

    async def _register(self, key: _Key, config: ValueConfig, message: MessageType | None) -> _Known | Retry | Rejected:
        if message is None:
            return _no_schema(key)
        drops_unknown = config.unknown_fields == "drop"
        try:
            text, codec = _own_schema(config.format, message, drops_unknown)
        except ContractError:
            return _no_schema(key)
        subject = _subject(config, key.topic, message)
        number = await self._registry.register(subject, config.format.upper(), text)
        return number if isinstance(number, Retry) else _Known(_head(number), codec)

    async def _use_latest(
        self, key: _Key, config: ValueConfig, message: MessageType | None
    ) -> _Known | Retry | Rejected:
        if message is None and config.subject != "topic":
            return _no_schema(key)
        is_avro = config.format == "avro"
        subject = _subject(config, key.topic, message)
        found = await self._registry.latest(subject, serialized=not is_avro)
        if isinstance(found, Retry):
            return found
        if found.type != config.format.upper():
            raise UnusableSchema(f"it is of {found.type}, and the route says {config.format}")
        if found.has_references:
            raise UnusableSchema("it refers to other subjects, which are not read: write all into one")
        drops_unknown = config.unknown_fields == "drop"
        return _Known(_head(found.id), _read_schema(found.text, is_avro=is_avro, drops_unknown=drops_unknown))


def message_of(event: RoutedEvent) -> MessageType | None:
    """Return the type of the contract that a message is of; None for a kind, or an event, that it does not know."""
    info = event.topic_info
    contract = ACCEPTED.get(info.kind)
    for message in () if contract is None else contract.messages:
        if message.channel is info.channel:
            event_types = message.event_types
            if not event_types or event.fields.get("event_type") in event_types:
                return message
    return None


def describe_value(event: RoutedEvent, config: ValueConfig, topic: str) -> dict[str, str]:
    """Return how the value of a message is written, for people."""
    message = message_of(event)
    if message is None and config.subject != "topic":
        return {"format": config.format}
    return {"format": config.format, "subject": _subject(config, topic, message)}


def _subject(config: ValueConfig, topic: str, message: MessageType | None) -> str:
    if config.subject == "topic" or message is None:
        return f"{topic}-value"
    record = f"{NAMESPACE}.{message.model.__name__}"
    return record if config.subject == "record" else f"{topic}-{record}"


def _head(number: int) -> bytes:
    return _MAGIC + number.to_bytes(4, "big")


def _no_schema(key: _Key) -> Rejected:
    return Rejected(
        f"messages of kind '{key.kind}' have no schema of their own: register one for '{key.topic}', and write"
        " auto_register: false and subject: topic"
    )


def _own_schema(form: str, message: MessageType, drops_unknown: bool) -> tuple[str, SchemaCodec]:
    """Return the schema of a message of the contract, and what writes by it. Raises `ContractError`."""
    if form == "avro":
        from bridge.sinks.kafka.avro_codec import AvroCodec

        text = orjson.dumps(avro_schema(message)).decode()
        return text, AvroCodec(text, drops_unknown=drops_unknown)
    from bridge.sinks.kafka.protobuf_codec import ProtobufCodec, file_of

    found = proto_message(message)
    return proto_text(found), ProtobufCodec(file_of(found), drops_unknown=drops_unknown)


def _read_schema(text: str, *, is_avro: bool, drops_unknown: bool) -> SchemaCodec:
    """Return what writes by a schema that the registry has. Raises `UnusableSchema`."""
    if is_avro:
        from bridge.sinks.kafka.avro_codec import AvroCodec

        return AvroCodec(text, drops_unknown=drops_unknown)
    from bridge.sinks.kafka.protobuf_codec import ProtobufCodec, read_serialized

    return ProtobufCodec(read_serialized(text), drops_unknown=drops_unknown)
