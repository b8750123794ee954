"""Takes messages that say several readings apart, as they come: each reading is a message of its own after that.

So each has its number in the spool, its fate at every sink and, where it cannot be read, its dead letter. They are
spooled together: none of them without the others, and the acknowledgement after all.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from bridge.message.config import NATIVE_FORMAT, SubscriptionConfig
from bridge.message.user_properties import with_reading_place
from bridge.spool.message import SpooledMessage
from edgewire.dialects.base import DialectDecoder, DialectError, MessageSplitter
from edgewire.dialects.encodings import Encoding, find_encoding
from edgewire.mqtt.filters import filter_matches

_KNOWN_TOPICS = 100_000

Split = Callable[[str, bytes], list[bytes]]
"""Takes a payload of a topic apart."""


class ReadingSplitter:
    """Splits what comes by subscriptions whose messages may have several readings; see `make_splitter`."""

    def __init__(self, formats: Iterable[tuple[str, Split | None]]) -> None:
        """Take filters and what splits what comes by them: as in a route table, the first that matches counts."""
        self._formats = tuple(formats)
        self._by_topic: dict[str, Split | None] = {}

    def split_messages(self, messages: list[SpooledMessage]) -> list[SpooledMessage]:
        """Return these messages, with those of several readings in as many parts, in their order."""
        found: list[SpooledMessage] = []
        for message in messages:
            topic = message.topic
            split = self._by_topic[topic] if topic in self._by_topic else self._find(topic)
            if split is None:
                found.append(message)
            else:
                found += _split(message, split)
        return found

    def _find(self, topic: str) -> Split | None:
        if len(self._by_topic) >= _KNOWN_TOPICS:
            self._by_topic.clear()
        split = next((split for one, split in self._formats if filter_matches(one, topic)), None)
        self._by_topic[topic] = split
        return split


def _split(message: SpooledMessage, split: Split) -> list[SpooledMessage]:
    parts = split(message.topic, message.payload)
    if len(parts) < 2:
        return [message]
    return [
        replace(message, payload=payload, properties=with_reading_place(message.properties, number, len(parts)))
        for number, payload in enumerate(parts, 1)
    ]


def make_splitter(subscriptions: Iterable[SubscriptionConfig]) -> ReadingSplitter | None:
    """Return what splits the messages of these subscriptions; None where each message is one reading."""
    formats = [
        (config.plain_filter, _encoded(_split_of(config.make_decoder()), find_encoding(config.encoding)))
        for config in subscriptions
        if config.format != NATIVE_FORMAT
    ]
    return ReadingSplitter(formats) if any(split is not None for _, split in formats) else None


def _encoded(split: Split | None, encoding: Encoding | None) -> Split | None:
    """Return what splits payloads that are in another encoding than JSON, as its parts are then."""
    if split is None or encoding is None:
        return split

    def found(topic: str, payload: bytes) -> list[bytes]:
        try:
            parts = split(topic, encoding.to_json(payload))
        except DialectError:
            return [payload]  # which is told when it is decoded
        return [payload] if len(parts) < 2 else [encoding.from_json(part) for part in parts]

    return found


def _split_of(decoder: DialectDecoder | None) -> Split | None:
    if isinstance(decoder, MessageSplitter):
        return decoder.split_message
    lists = getattr(decoder, "lists", None)
    return None if lists is None else lambda _topic, payload: lists.split_payload(payload)
