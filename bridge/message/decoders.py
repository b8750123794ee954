"""Reads topics and payloads: the one place that knows in which format devices write.

A further format is a class that keeps `MessageDecoder` and a line in `DECODERS`. Pure: bytes in, values out.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

import orjson

from bridge.message.event import TopicInfo, topic_info
from edgewire.dialects.encodings import likely_encoding
from edgewire.errors import EdgefleetError
from edgewire.messages import Topic

_SHOWN = 80
"""Characters of a wrong value that an error repeats."""

_MAX_COUNT = 10**15
"""Boot and seq stay below it, see `MessageId`."""

_LONGEST_TIMESTAMP = 64
"""Twice what ISO 8601 needs. A server refuses headers that are too long in a way that may look like wrong settings."""

_SEQUENCE = re.compile(rb'"boot":\s?(\d{1,15}),\s?"seq":\s?(\d{1,15})[,}]')
"""As the message contract writes it. Looking for two numbers costs a fraction of parsing the whole payload."""


class UndecodableMessage(EdgefleetError):
    """A payload is not in the format of its topic; says what is wrong with it."""


DecodedMessage = tuple[str, str, str, dict[str, Any]]
"""Device id; message id, `{device_id}:{boot}:{seq}`, the same through every retry and restart; when it was measured, in
ISO 8601; and the fields. A plain tuple, because one is made for every message."""


class MessageDecoder(Protocol):
    """Reads one format in which devices write."""

    name: str

    def decode_topic(self, topic: str) -> tuple[TopicInfo, str]:
        """Return site, kind and channel of a topic, and its device. Raises `ContractError` for another format's."""

    def decode_message(self, device_id: str, payload: bytes) -> DecodedMessage:
        """Return what a payload says on a topic of this device. Raises `UndecodableMessage`."""

    def sequence_of(self, topic: str) -> tuple[str, str]:
        """Return the key under which the messages of a topic are numbered, and the name of the device, for people."""

    def find_sequence(self, payload: bytes) -> tuple[int, int] | None:
        """Return boot and number of a message without decoding it; None where it has none."""

    def expected(self, boot: int, seq: int) -> bytes:
        """Return how a message with these numbers says them, mostly; with it no other may be meant."""


class NativeDecoder:
    """Reads the format of `edgewire.messages`: `edge/{site}/{kind}/{device_id}/{channel}` and flat JSON."""

    name = "native"

    def decode_topic(self, topic: str) -> tuple[TopicInfo, str]:
        """Return the levels of the topic, and the CloudEvents attributes made of them. Raises `ContractError`."""
        site, kind, device_id, channel = Topic.parse(topic)
        return topic_info(site, kind, channel), device_id

    def decode_message(self, device_id: str, payload: bytes) -> DecodedMessage:
        """Return identity, time and fields. Raises `UndecodableMessage`."""
        try:
            fields = orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            raise UndecodableMessage(f"payload is not JSON: {error}{_likely(payload)}") from None
        if type(fields) is not dict:
            raise UndecodableMessage(f"payload is no JSON object: {preview_value(fields)}")
        boot, seq, timestamp = fields.get("boot"), fields.get("seq"), fields.get("timestamp")
        # `type() is`: JSON's true is no number, and isinstance would take it for one.
        if type(boot) is not int or type(seq) is not int or not (0 <= boot < _MAX_COUNT and 0 <= seq < _MAX_COUNT):
            found = f"boot is {preview_value(boot)}, seq is {preview_value(seq)}"
            raise UndecodableMessage(f"payload has no message id: {found}")
        # Sinks write it into headers, where a line break would begin another one.
        if (
            type(timestamp) is not str
            or len(timestamp) > _LONGEST_TIMESTAMP
            or not (timestamp.isascii() and timestamp.isprintable())
        ):
            raise UndecodableMessage(f"payload has no timestamp: it is {preview_value(timestamp)}")
        if fields.get("device_id") != device_id:
            found = preview_value(fields.get("device_id"))
            raise UndecodableMessage(f"payload says device_id {found}, its topic '{device_id}'")
        return device_id, f"{device_id}:{boot}:{seq}", timestamp, fields

    def sequence_of(self, topic: str) -> tuple[str, str]:
        """Return the first four levels of a topic, over whose channels a device counts, and the fourth."""
        levels = topic.split("/")
        return "/".join(levels[:4]), levels[3] if len(levels) > 3 else topic

    def find_sequence(self, payload: bytes) -> tuple[int, int] | None:
        """Return `boot` and `seq` where one follows the other."""
        match = _SEQUENCE.search(payload)
        return (int(match[1]), int(match[2])) if match else None

    def expected(self, boot: int, seq: int) -> bytes:
        """Return both keys as our devices write them, without a space."""
        return b'"boot":%d,"seq":%d,' % (boot, seq)


def _likely(payload: bytes) -> str:
    found = likely_encoding(payload)
    return "" if found is None else f"; it begins as {found.title} does: write encoding: {found.name} beside its filter"


NATIVE = NativeDecoder()

DECODERS: Mapping[str, MessageDecoder] = MappingProxyType({decoder.name: decoder for decoder in (NATIVE,)})
"""Name -> format."""


def preview_value(value: object) -> str:
    """Return a value of a payload as JSON, cut where it is long."""
    text = orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
