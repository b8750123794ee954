"""Reads the messages of a capture by the decoders that the bridge has for dialects."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from bridge.message.sparkplug_births import SparkplugBirths
from bridge.spool.message import SpooledMessage
from edgefleet.learn.messages import CapturedMessage, UnusedMessages
from edgewire.dialects.base import Arrival, DialectDecoder, DialectError, DialectMessage, MessageSplitter
from edgewire.mqtt.filters import filter_matches

SPARKPLUG = "sparkplug"
_COMPONENTS = frozenset({"sensor", "binary_sensor", "text_sensor", "switch", "light", "number", "select"})


class Read(NamedTuple):
    """Holds a message beside what its dialect makes of it, or of a part of it."""

    heard: CapturedMessage
    found: DialectMessage


def decode_captured(
    name: str, decoder: DialectDecoder, messages: Iterable[CapturedMessage], unused: UnusedMessages
) -> tuple[list[Read], list[CapturedMessage]]:
    """Return what a decoder reads, and the messages of others."""
    mine: list[CapturedMessage] = []
    others: list[CapturedMessage] = []
    for message in messages:
        is_mine = any(filter_matches(one, message.topic) for one in decoder.filters) and _may_be(name, message)
        (mine if is_mine else others).append(message)
    for message in mine:
        # Twice where it describes something: what stands before its description is read with it too.
        try:
            decoder.decode(message.topic, message.payload, _arrival(message))
        except DialectError:
            continue
    read: list[Read] = []
    for message, parts in _taken_apart(name, decoder, mine):
        try:
            found = [decoder.decode(one.topic, one.payload, _arrival(one)) for one in parts]
        except DialectError as error:
            if name == SPARKPLUG:
                unused.add(f"{name}: {'no birth was heard' if 'no birth' in str(error) else 'not readable'}")
            else:
                others.append(message)
        else:
            read += [Read(message, one) for one in found]
    return read, others


def _arrival(message: CapturedMessage) -> Arrival:
    return Arrival(message.at_ms, message.is_retained)


def _taken_apart(
    name: str, decoder: DialectDecoder, messages: Sequence[CapturedMessage]
) -> Iterator[tuple[CapturedMessage, list[CapturedMessage]]]:
    """Yield each message with its readings: some say several, and some need what was said before them."""
    births = SparkplugBirths()
    for message in messages:
        if name == SPARKPLUG:
            whole = SpooledMessage(
                0, message.at_ms, message.topic, message.payload, message.qos, retain=message.is_retained, dup=False
            )
            yield message, [message._replace(payload=one.payload) for one in births.name_metrics(whole, 0.0)]
        elif isinstance(decoder, MessageSplitter):
            parts = decoder.split_message(message.topic, message.payload)
            yield message, [message._replace(payload=one) for one in parts]
        else:
            yield message, [message]


def _may_be(name: str, message: CapturedMessage) -> bool:
    """Return whether a message that a filter takes may be of the dialect: some filters take nearly anything."""
    if name == SPARKPLUG:
        # Some write JSON there; a field of Protocol Buffers cannot begin like that.
        return not message.payload.startswith(b"{")
    if name != "esphome":
        return True
    levels = message.topic.split("/")
    return levels[-1] in ("status", "debug", "config") or levels[0] == "esphome" or levels[-3] in _COMPONENTS
