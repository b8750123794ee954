"""Holds a message with what its topic and payload say of it, found out once and used by every sink."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from bridge.message.user_properties import media_type
from bridge.spool.message import SpooledMessage
from edgewire.messages import Channel, Topic
from edgewire.messages.cloudevents import event_source, event_type

_KNOWN_INFOS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class TopicInfo:
    """Holds what the topics of all devices of a site, kind and channel say: one a device would be most of what is kept.

    `topic_info` makes them.
    """

    site: str
    kind: str
    channel: Channel
    source_prefix: str
    """The CloudEvents source without its end, the id of the device."""
    type: str
    """CloudEvents type: kind and channel."""
    decode_fields: Callable[[bytes], dict[str, Any]] = orjson.loads
    """Decodes a payload that is known to be of the topic's format."""
    content_type: str | None = None
    """Of payloads that may be anything, where a message does not say itself; None for JSON."""
    is_foreign: bool = False
    """Whether it came in another format than that of the contract, and so on another topic than `topic_of` says."""

    def topic_of(self, device_id: str) -> Topic:
        """Return the topic that a device has in the message contract."""
        return Topic(self.site, self.kind, device_id, self.channel)


@lru_cache(_KNOWN_INFOS)
def topic_info(
    site: str, kind: str, channel: Channel, content_type: str | None = None, *, is_foreign: bool = False
) -> TopicInfo:
    """Return what the topics of a site, kind and channel say, mostly the same object as before."""
    topic = Topic(site, kind, "", channel)
    return TopicInfo(
        site,
        kind,
        channel,
        event_source(topic),
        event_type(topic),
        content_type=content_type,
        is_foreign=is_foreign,
    )


@dataclass(slots=True, eq=False)
class Event:
    """Holds a message of a device with its id, and its fields when somebody asks for them."""

    message: SpooledMessage
    topic_info: TopicInfo
    device_id: str
    message_id: str
    """`{device_id}:{boot}:{seq}`."""
    timestamp: str
    """When it was measured, as in the payload."""
    expires_ms: int | None = field(default=None, init=False, repr=False)
    """When it is of no use any more, milliseconds since 1970 UTC; mostly None: never."""
    decoded: dict[str, Any] | None = field(default=None, init=False, repr=False)
    """The payload decoded, where that was done already; `fields` has it in any case."""
    decoded_body: bytes | None = field(default=None, init=False, repr=False)
    """Its fields as JSON, where it came in another format than that of the message contract."""

    @property
    def source(self) -> str:
        """Return the CloudEvents source: the device."""
        return self.topic_info.source_prefix + self.device_id

    @property
    def fields(self) -> dict[str, Any]:
        """Return the payload decoded; it is kept once somebody has asked."""
        if self.decoded is None:
            self.decoded = self.topic_info.decode_fields(self.body)
        return self.decoded

    @property
    def body(self) -> bytes:
        """Return what is delivered: the payload as it came, or what was read in it."""
        return self.message.payload if self.decoded_body is None else self.decoded_body

    @property
    def content_type(self) -> str | None:
        """Return the media type of the body, where it is not the JSON that a sink takes it for."""
        if self.decoded_body is not None:
            return None
        return media_type(self.message.properties) or self.topic_info.content_type

    @property
    def is_raw(self) -> bool:
        """Return whether the body is bytes that nobody has looked into."""
        return self.topic_info.content_type is not None
