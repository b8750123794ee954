"""Writes what devices say in a dialect, or in a format of the user's own, column by column as the native format."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import orjson

from devices.firmware.batches import BatchRule
from devices.scenario.devices import Device
from devices.scenario.speech import spoken_messages
from devices.sensors.derived import DERIVED, spoken_fields
from devices.timeline.encode import join_rows
from devices.timeline.field_texts import TableRows, Vitals, field_texts, has_value
from devices.timeline.table import Table
from devices.timeline.wire_format import CommandAnswer, CommandRequest, HeardMessage, MessagePart, PublishOptions
from devices.world.random import Flags, Ints
from edgewire.dialects.base import Arrival, DialectDecoder, DialectError, MessageRole
from edgewire.dialects.encoder import (
    CommandOutcome,
    DeviceNames,
    DialectCommand,
    DialectEncoder,
    DialectSession,
    MessageTemplate,
    Publication,
    SessionEncoder,
)
from edgewire.dialects.encodings import Encoding
from edgewire.dialects.own_format import mapped_fields
from edgewire.dialects.payload_template import (
    FieldPart,
    NamePart,
    PayloadPart,
    compile_payload,
    fill_names,
    named_in,
)
from edgewire.dialects.values import Path, read_json, value_at
from edgewire.messages import CONTRACT, Channel
from edgewire.mqtt import Message, Properties

_KNOWN_NAMES = 100_000
_LINE_BREAK = b"\n"


class _Compiled(NamedTuple):
    template: MessageTemplate
    parts: tuple[PayloadPart, ...]


class DialectFormat:
    """Writes the messages of one group of devices through the encoder of a dialect."""

    def __init__(
        self,
        kind: str,
        encoder: DialectEncoder,
        names_of: Callable[[Device], DeviceNames],
        vitals: Vitals,
        decoder: DialectDecoder | None = None,
        encoding: Encoding | None = None,
    ) -> None:
        """Take what stands for the names in braces from `names_of`; `decoder` reads the dialect, where it is one.

        A format of the user's own may be sent in an `encoding`.
        """
        self._encoding = encoding
        self._encoder = encoder
        self._names_of = names_of
        self._vitals = vitals
        self._decoder = decoder
        self._names: dict[str, DeviceNames] = {}
        self._renamed: dict[str, DeviceNames] = {}
        self._compiled: dict[Channel, list[_Compiled]] = {}
        self._parts: dict[Channel, tuple[MessagePart, ...]] = {}
        self._addresses: list[MessageTemplate] = []
        # Where the boot stands in the messages of each address of a format of the user's own.
        self._boot_paths: list[Path | None] = []
        for channel, messages in spoken_messages(kind, encoder).items():
            known = spoken_fields(kind, channel)
            self._compiled[channel] = [
                _Compiled(message, compile_payload(message.payload, known)) for message in messages
            ]
            first = len(self._addresses)
            self._parts[channel] = tuple(
                MessagePart(first + place, message.role is not MessageRole.STATE)
                for place, message in enumerate(messages)
            )
            self._addresses += messages
            self._boot_paths += [None if decoder is not None else _boot_path(one, known) for one in messages]
        numbered = {
            part.address: sum(one.is_numbered for one in parts) for parts in self._parts.values() for part in parts
        }
        self.options = tuple(_options(message, numbered[at], encoding) for at, message in enumerate(self._addresses))
        self.leaves_out = any(message.needs for message in self._addresses) or any(
            not self._compiled.get(message.channel) for message in CONTRACT[kind].messages
        )
        """Whether some readings or events may have no message."""
        self.has_sessions = isinstance(encoder, SessionEncoder)
        self.shared_topics = tuple(encoder.shared_topics) if isinstance(encoder, SessionEncoder) else ()

    def parts(self, channel: Channel) -> tuple[MessagePart, ...]:
        """Return the messages that are made of each row of a table of this channel."""
        return self._parts.get(channel, ())

    def said_fields(self, channel: Channel) -> Sequence[Collection[str]]:
        """Return the fields that each of these messages says, or says what follows from."""
        return [
            {
                need
                for name in named_in(one.parts)[0]
                for need in (name, *(DERIVED[name].needs if name in DERIVED else ()))
            }
            | {*one.template.needs}
            for one in self._compiled.get(channel, ())
        ]

    def topics(self, device: Device) -> tuple[str, ...]:
        """Return the topics of a device's messages, by the address that their part names."""
        return self._topics_of(self.device_names(device))

    def topics_as(self, device: Device, name: str) -> tuple[str, ...]:
        """Return the same topics of a device as it is called by another name."""
        return self._topics_of({**self.device_names(device), "id": name})

    def _topics_of(self, names: DeviceNames) -> tuple[str, ...]:
        return tuple(fill_names(message.topic, names) for message in self._addresses)

    def command_topics(self, device: Device) -> Sequence[str]:
        """Return the topic filters that a device subscribes to for its commands."""
        return self._encoder.command_topics(self.device_names(device))

    def encode(self, table: Table, devices: Sequence[Device], timestamps_ms: Ints, boot: int) -> list[bytes]:
        """Return the payloads of each row of a table, row by row, and of each row in the order of its parts."""
        rows = TableRows(table, devices, timestamps_ms, boot, self._vitals)
        compiled = self._compiled[table.channel]
        if len(compiled) == 1:
            return self._written(compiled[0], rows)
        payloads: list[bytes] = [b""] * (len(devices) * len(compiled))
        numbered = [place for place, part in enumerate(self._parts[table.channel]) if part.is_numbered]
        for place, one in enumerate(compiled):
            # Each message of a reading has a number of its own, as it is accounted for.
            number = numbered.index(place) if place in numbered else 0
            seqs = table.seqs * max(1, len(numbered)) + number
            payloads[place :: len(compiled)] = self._written(one, rows._replace(table=replace(table, seqs=seqs)))
        return payloads

    def is_said(self, table: Table) -> Flags | None:
        """Return whether there is a message, of each row of a table and in it of each part; None where always."""
        compiled = self._compiled[table.channel]
        if not any(one.template.needs for one in compiled):
            return None
        said = np.ones((len(table.times), len(compiled)), dtype=bool)
        for place, one in enumerate(compiled):
            for name in one.template.needs:
                said[:, place] &= has_value(name, table, self._vitals)
        return said

    def status(self, device: Device, status: Mapping[str, Any], *, is_first: bool = True) -> Sequence[Publication]:
        """Return the messages that tell a device's state."""
        told = {**status, "interval_s": device.interval_ms / 1000}
        return tuple(self._encoder.state(self.device_names(device), told, is_first=is_first))

    def repeated_status(self, device: Device, status: Mapping[str, Any]) -> tuple[Publication, ...]:
        """Return nothing: what changes is in the readings, and availability is said once."""
        return ()

    def open_session(self, device: Device) -> DialectSession | None:
        """Return what the connection of a device needs; of one behind a gateway that is the gateway's."""
        if device.gateway is not None or not isinstance(self._encoder, SessionEncoder):
            return None
        return self._encoder.open_session(self.device_names(device))

    def will(self, device: Device, status: Mapping[str, Any]) -> Publication | None:
        """Return the message that the broker publishes when the device goes without a goodbye."""
        return self._encoder.will(self.device_names(device))

    def read_heard(self, device: Device, topic: str, payload: bytes) -> HeardMessage:
        """Return whether its sender is there, in the words of the dialect, or its boot in those of the user's own."""
        if self._decoder is None:
            return HeardMessage(boot=self._heard_boot(device, topic, payload))
        try:
            heard = self._decoder.decode(topic, payload, Arrival(0))
        except DialectError:
            return HeardMessage()
        if heard.role is not MessageRole.AVAILABILITY:
            return HeardMessage()
        return HeardMessage(is_online=heard.values.get("online") is not False)

    def _heard_boot(self, device: Device, topic: str, payload: bytes) -> object:
        topics = self.topics(device)
        path = self._boot_paths[topics.index(topic)] if topic in topics else None
        if path is None:
            return None
        try:
            read = payload if self._encoding is None else self._encoding.to_json(payload)
            return value_at(read_json(read, lenient=True), path)
        except DialectError:
            return None

    def read_command(self, device: Device, message: Message) -> CommandRequest | None:
        """Return what a message asks for; None where the device does not heed it."""
        found = self._encoder.read_command(self.device_names(device), message.topic, message.payload)
        if found is None:
            return None
        return CommandRequest(None, found.action, found.arguments, found.wants_reading, found)

    def result_topic(self, device: Device) -> str:
        """Return an empty text: no command has an id by which its answer could be asked for again."""
        return ""

    def answer_filters(self, device: Device) -> Sequence[str]:
        """Return topic filters of what a device publishes beside readings, events, its state and its will."""
        return self._encoder.answer_filters(self.device_names(device))

    def answer(self, device: Device, request: CommandRequest, answer: CommandAnswer) -> Sequence[Publication]:
        """Return what a device publishes when a command is done, or refused."""
        assert isinstance(request.spoken, DialectCommand)
        result = answer.result
        outcome = CommandOutcome(
            result["error"], result.get("data", {}), answer.status, answer.interval_s, answer.readings
        )
        return tuple(self._encoder.answer(self.device_names(device), request.spoken, outcome))

    # -- writing

    def _written(self, compiled: _Compiled, rows: TableRows) -> list[bytes]:
        payloads = self._joined(compiled, rows)
        rewrite = compiled.template.rewrite
        return payloads if rewrite is None else [rewrite(payload) for payload in payloads]

    def _joined(self, compiled: _Compiled, rows: TableRows) -> list[bytes]:
        count = len(rows.devices)
        if not count:
            return []
        first = compiled.parts[0]
        if isinstance(first, FieldPart) and first.is_bare:
            # It is the whole payload, and a text that the user gave for a missing value may have a line break.
            return self._padded(compiled, _whole(field_texts(first.field, rows, is_bare=True)))
        pieces: list[Sequence[bytes] | bytes] = []
        for part in compiled.parts:
            match part:
                case bytes():
                    pieces.append(part)
                case NamePart(text):
                    pieces.append(self._named_texts(text, rows.devices))
                case FieldPart(field, key):
                    texts = field_texts(field, rows)
                    pieces.append([b"" if text is None else key + text for text in texts] if key else _whole(texts))
        return self._padded(compiled, join_rows([*pieces, _LINE_BREAK], count).split(_LINE_BREAK)[:-1])

    def _padded(self, compiled: _Compiled, payloads: list[bytes]) -> list[bytes]:
        # What leaves with other readings is padded as they are joined.
        size = 0 if compiled.template.batch else compiled.template.pad_to
        return [payload.ljust(size) for payload in payloads] if size else payloads

    def _named_texts(self, text: str, devices: Sequence[Device]) -> list[bytes]:
        known: dict[str, bytes] = {}
        for device in devices:
            if device.device_id not in known:
                filled = fill_names(text, self.device_names(device))
                known[device.device_id] = _json_inside(filled)
        return [known[device.device_id] for device in devices]

    def device_names(self, device: Device) -> DeviceNames:
        """Return what stands for the names in braces of a device."""
        if device.device_id in self._renamed:
            return self._renamed[device.device_id]
        names = self._names.get(device.device_id)
        if names is None:
            if len(self._names) >= _KNOWN_NAMES:
                self._names.clear()
            self._names[device.device_id] = names = self._names_of(device)
        return names

    def rename(self, device: Device, name: str) -> None:
        """Call a device by another name from now on, where its own stands in a topic or a payload."""
        self._renamed[device.device_id] = {**self.device_names(device), "id": name}

    def properties_of(self, device: Device, options: PublishOptions) -> Properties | None:
        """Return the MQTT 5 properties of a device's message."""
        if not options.properties:
            return None
        names = self.device_names(device)
        given = options.properties
        found: Properties = {}
        if user := given.get("user"):
            found["user_property"] = tuple((name, fill_names(text, names)) for name, text in user.items())
        if "content_type" in given:
            found["content_type"] = given["content_type"]
        if "message_expiry_s" in given:
            found["message_expiry_interval"] = given["message_expiry_s"]
        return found


def _whole(texts: Sequence[bytes | None]) -> list[bytes]:
    return [b"null" if text is None else text for text in texts]


def _json_inside(text: str) -> bytes:
    """Return a text as it stands between the quotes of JSON."""
    return orjson.dumps(text)[1:-1]


def _boot_path(message: MessageTemplate, known: Collection[str]) -> Path | None:
    """Return where the boot stands in a message; None where it does not."""
    return next((field.path for field in mapped_fields(message.payload, known) if field.name == "boot"), None)


def _options(message: MessageTemplate, per_reading: int, encoding: Encoding | None) -> PublishOptions:
    batch = BatchRule(message.batch, per_reading, message.pad_to) if message.batch else None
    return PublishOptions(message.retain, dict(message.properties), batch, message.divide, encoding)
