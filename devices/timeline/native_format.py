"""The native wire format: topics and payloads as `edgewire.messages` has them."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import orjson

from devices.scenario.devices import Device
from devices.sensors.packed_events import PackedEvents
from devices.timeline.encode import encode_columns, encode_events
from devices.timeline.table import Table
from devices.timeline.wire_format import CommandAnswer, CommandRequest, HeardMessage, MessagePart, PublishOptions
from devices.world.random import Ints
from edgewire.dialects.base import DialectError
from edgewire.dialects.encoder import Publication
from edgewire.dialects.encodings import Encoding
from edgewire.dialects.values import read_object
from edgewire.messages import Channel, Topic
from edgewire.messages.contract import DEVICE_CONTRACT
from edgewire.mqtt import Message, Properties

HOST_KIND = DEVICE_CONTRACT.kind
"""In topics of the message contract: a device with several parts has a status and commands, and no readings."""
_TELEMETRY, _EVENT = (MessagePart(0, is_numbered=True),), (MessagePart(1, is_numbered=True),)


class NativeFormat:
    """The contract of `edgewire.messages`: `edge/{site}/{kind}/{device_id}/{channel}`, and flat JSON.

    Readings and events may be sent in another encoding; status, commands and results are JSON in any case.
    """

    options: Sequence[PublishOptions] | None = None
    _encoding: Encoding | None = None
    leaves_out = False
    has_sessions = False
    shared_topics: tuple[str, ...] = ()

    @classmethod
    def encoded(cls, encoding: Encoding | None) -> Self:
        """Return a format whose readings and events are sent in an encoding; None for JSON."""
        made = cls()
        if encoding is not None:
            made._encoding = encoding
            made.options = (PublishOptions(encoding=encoding),) * 2
        return made

    def parts(self, channel: Channel) -> tuple[MessagePart, ...]:
        """Return the one message that each row is."""
        return _EVENT if channel is Channel.EVENT else _TELEMETRY

    def said_fields(self, channel: Channel) -> None:
        """Return None: a message says all that was measured."""
        return

    def topics(self, device: Device) -> tuple[str, str]:
        """Return the topics of telemetry and of events."""
        return self._topic(device, Channel.TELEMETRY), self._topic(device, Channel.EVENT)

    def command_topics(self, device: Device) -> tuple[str, ...]:
        """Return the one topic on which a device takes commands."""
        return (self._topic(device, Channel.CMD),)

    def encode(self, table: Table, devices: Sequence[Device], timestamps_ms: Ints, boot: int) -> list[bytes]:
        """Return the payload of each row of a table, whose rows are all of one boot."""
        columns = table.columns
        device_ids = [device.device_id for device in devices]
        if isinstance(columns, dict):
            return encode_columns(device_ids, timestamps_ms, boot, table.seqs, columns)
        if not isinstance(columns, PackedEvents):
            return encode_events(device_ids, timestamps_ms, boot, table.seqs, columns)
        payloads = [b""] * len(device_ids)
        for rows, fields in columns.by_shape():
            places = rows.tolist()
            ids = [device_ids[place] for place in places]
            encoded = encode_columns(ids, timestamps_ms[rows], boot, table.seqs[rows], fields)
            for place, payload in zip(places, encoded, strict=True):
                payloads[place] = payload
        return payloads

    def properties_of(self, device: Device, options: PublishOptions) -> Properties | None:
        """Return none: the contract has no properties."""
        return None

    def is_said(self, table: Table) -> None:
        """Return None: every row is a message."""
        return

    def open_session(self, device: Device) -> None:
        """Return None: each message stands for itself."""
        return

    def status(self, device: Device, status: Mapping[str, Any], *, is_first: bool = True) -> tuple[Publication]:
        """Return the retained message that tells a device's state."""
        return (self.will(device, status),)

    def repeated_status(self, device: Device, status: Mapping[str, Any]) -> tuple[Publication]:
        """Return the retained message again."""
        return (self.will(device, status),)

    def will(self, device: Device, status: Mapping[str, Any]) -> Publication:
        """Return what the broker publishes when the device goes without a goodbye: a status like any other."""
        return Publication(self._topic(device, Channel.STATUS), orjson.dumps(status), retain=True)

    def read_heard(self, device: Device, topic: str, payload: bytes) -> HeardMessage:
        """Return what a status says of its sender, or a reading of its boot."""
        try:
            if self._encoding is not None and topic != self._topic(device, Channel.STATUS):
                payload = self._encoding.to_json(payload)
            fields = read_object(payload)
        except DialectError:
            return HeardMessage()
        boot = fields.get("boot")
        if topic != self._topic(device, Channel.STATUS):
            return HeardMessage(boot=boot)
        state, origin = fields.get("state"), fields.get("origin")
        return HeardMessage(state != "offline", None if origin is None else origin == "hardware", boot)

    def read_command(self, device: Device, message: Message) -> CommandRequest:
        """Return the payload: it is a command of the contract."""
        return CommandRequest(message.payload)

    def result_topic(self, device: Device) -> str:
        """Return the topic on which a device answers."""
        return self._topic(device, Channel.RESULT)

    def answer_filters(self, device: Device) -> tuple[str, ...]:
        """Return the topic of results."""
        return tuple(filter(None, (self.result_topic(device),)))

    def answer(self, device: Device, request: CommandRequest, answer: CommandAnswer) -> tuple[Publication]:
        """Return the result."""
        return (Publication(self.result_topic(device), orjson.dumps(answer.result), retain=False),)

    def _topic(self, device: Device, channel: Channel) -> str:
        if device.host is not None and channel not in (Channel.TELEMETRY, Channel.EVENT):
            # Its state, and what it is told, is that of the whole device.
            return str(Topic(device.site, HOST_KIND, device.host.device_id, channel))
        return str(Topic(device.site, device.kind, device.device_id, channel))
