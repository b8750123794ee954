"""Makes events of messages that are not in the format of the message contract: dialects, own formats, any bytes.

A device's own name may have letters that an id may not have: the id is then made of it, always the same one. Messages
without a boot and number of the device's own get those of the spool, which survive restarts, resends and replays: two
messages with the same content are two, and what a device or broker sends twice is twice there.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple, Protocol

import orjson

from bridge.message.config import NATIVE_FORMAT, OWN_FORMAT, RAW_FORMAT, RAW_KIND, SubscriptionConfig
from bridge.message.decoders import UndecodableMessage
from bridge.message.event import TopicInfo, topic_info
from bridge.message.payload_shapes import PayloadShape, mark_payload, read_shape_time, shape_of
from bridge.message.user_properties import load_properties, reading_place
from bridge.spool.message import SpooledMessage
from edgewire.clock import iso_ms
from edgewire.dialects.base import (
    Arrival,
    DialectDecoder,
    DialectError,
    DialectMessage,
    MessageRole,
    SteadyPayload,
    TimeSource,
)
from edgewire.dialects.encodings import Encoding, find_encoding
from edgewire.messages import Channel
from edgewire.messages.base import to_device_id
from edgewire.messages.contract import DEVICE_CONTRACT

_CHANNELS: Mapping[MessageRole, Channel] = {
    MessageRole.READING: Channel.TELEMETRY,
    MessageRole.EVENT: Channel.EVENT,
    MessageRole.AVAILABILITY: Channel.STATUS,
    MessageRole.STATE: Channel.STATUS,
    MessageRole.DESCRIPTION: Channel.STATUS,
    MessageRole.ANSWER: Channel.RESULT,
    MessageRole.COMMAND: Channel.CMD,
}
_OURS = frozenset({"device_id", "timestamp", "boot", "seq", "site", "source", "parts", "other"})
"""Names of values that are names of the message."""
_OCTETS = "application/octet-stream"
_KNOWN_INFOS = 100_000
_KNOWN_DESCRIPTIONS = 200_000
_KNOWN_SHAPES = 20_000
"""Topics of whose payloads the shape is remembered: an expression takes some kilobytes where each has its own."""
_KNOWN_BODIES = 5_000
_LEARN_AT = frozenset({10, 100, 1000, 10_000})
"""Messages on a topic after which a shape is looked for: that takes as long as it saves in some fifty messages."""
_MOST_MISSES = 8
"""So many payloads in a row may be of another one."""

_DESCRIPTION, _READING, _EVENT = MessageRole.DESCRIPTION, MessageRole.READING, MessageRole.EVENT
_BY_DEVICE, _BY_ARRIVAL = TimeSource.DEVICE, TimeSource.ARRIVAL
_PERIODIC = frozenset({"tasmota"})
"""Formats whose devices send a reading every so many seconds by their own clock."""
_iso_ms = lru_cache(4096)(iso_ms)
"""Devices write whole seconds, and many messages arrive in the same millisecond."""

OnDescribed = Callable[[str, str], None]
"""Called with topic and payload of a message that describes devices, where it is not the one that is known."""


DecodedEvent = tuple[TopicInfo, str, str, str, bytes | None]
"""What an event is made of: what the topic says that it would have in the contract, device id, message id, timestamp,
and its body, which is None where the payload is delivered as it came. A plain tuple, because one is made for every
message."""
_OriginKey = tuple[str, str, str, str, MessageRole, TimeSource]
"""The device's own name, its sensor, kind, site, role, and where the time is from."""


class DeviceCounters(Protocol):
    """Is told of what devices count, so that what is missing shows: each message once, in order."""

    def observe_number(self, device: str, boot: int, seq: int) -> None:
        """Look at a device's own number of a message."""

    def observe_reading(self, device: str, at_ms: int) -> None:
        """Look at a device's own time of a reading."""


class _Origin(NamedTuple):
    """Holds what messages with the same key have in common, in the form in which it is written."""

    info: TopicInfo
    device_id: str
    head: bytes
    """Of the body, up to the timestamp."""
    source: bytes
    """What `source` says, as JSON."""
    tail: bytes
    """The same as it stands in the body."""


@dataclass(slots=True)
class _Descriptions:
    """Tells when payloads are read otherwise, as devices have described themselves; shared with the decoder."""

    version: int = 0
    is_learning: bool = False


@dataclass(slots=True)
class _KnownShape:
    """Holds the shape of the payloads of a topic, and what their messages have in common."""

    shape: PayloadShape
    origin: _Origin
    name: str
    """Of the device."""
    time_source: TimeSource
    prefix: bytes
    """Of the payload: what is the same up to the first number."""
    learnt: int
    """By which version of what devices have described."""
    seen: int
    """How many messages there had been on the topic."""
    misses: int = 0


class ForeignDecoder:
    """Reads what comes by one subscription that is not in the format of the message contract."""

    def __init__(
        self,
        config: SubscriptionConfig,
        decoder: DialectDecoder | None,
        descriptions: _Descriptions | None = None,
    ) -> None:
        """Read with `decoder`; None for bytes that nobody looks into."""
        self.config = config
        self._descriptions = descriptions or _Descriptions()
        self._steady: Callable[[str, bytes], SteadyPayload | None] | None = getattr(decoder, "steady", None)
        self._shapes: dict[str, _KnownShape | int] = {}
        """Topic -> the shape of its payloads, or how many messages there have been."""
        self._known_bodies: dict[tuple[bytes, bytes], PayloadShape] = {}
        self.spool_boot = 0
        """The boot of messages that have none of their own; see `RouteTable.restore`."""
        self.on_described: OnDescribed | None = None
        self.counters: DeviceCounters | None = None
        self._counted = 0
        """Id of the newest message that they were told of: each sink that is behind asks again."""
        self._decoder = decoder
        self._encoding = find_encoding(config.encoding)
        self._zone = config.zone
        self._arrival = Arrival(0, zone=self._zone)
        """Of the last message: many arrive in the same millisecond."""
        self._reads_properties = getattr(decoder, "reads_properties", False) is True
        self._format = config.format
        self._is_periodic = self._format in _PERIODIC
        self._site = config.site
        self._kind = config.kind
        self._roles = tuple(map(MessageRole, config.roles))
        self._origins: dict[_OriginKey, _Origin] = {}
        self._last_origins: dict[str, tuple[_OriginKey, _Origin]] = {}  # by topic
        self._raw_info = self._info(config.site, config.kind or RAW_KIND, MessageRole.READING)
        self._device_ids: dict[str, str] = {}  # by topic, of bytes that nobody looks into
        # Topic -> id of the message that last described devices there, and the hash of what it said.
        self._described: dict[str, tuple[int, int]] = {}

    def restore(self, spool_boot: int, descriptions: Iterable[tuple[str, str]]) -> None:
        """Go on where an earlier run was: with the numbers of its spool, and what devices had described."""
        self.spool_boot = spool_boot
        if self._decoder is None:
            return
        for topic, payload in descriptions:
            self._described[topic] = 0, hash(payload)
            try:
                self._decoder.decode(topic, payload.encode(), Arrival(0, retained=True))
            except DialectError:
                # Options may have changed since; the device describes itself again.
                continue

    def decode_event(self, message: SpooledMessage) -> DecodedEvent | str:
        """Return what a message says, or the rule by which it is left out. Raises `UndecodableMessage`."""
        decoder = self._decoder
        if decoder is None:
            return self._raw(message)
        if self._encoding is not None:
            message = self._as_json(message, self._encoding)
        topic, received_ms, retain = message.topic, message.received_ms, message.retain
        arrival = self._arrival
        if arrival[0] != received_ms or arrival[1] != retain:
            arrival = self._arrival = Arrival(received_ms, retain, self._zone)
        known = self._shapes.get(topic)
        if type(known) is _KnownShape and not retain and known.learnt == self._descriptions.version:
            event = self._by_shape(known, message, arrival)
            if event is not None:
                return event
        if self._reads_properties and message.properties is not None:
            carried = load_properties(message.properties)
            arrival = arrival._replace(content_type=carried.content_type or "", user=carried.user)
        # Sinks that are behind ask again, in an order of their own: what is newer stays known, so what came before it
        # on its topic is read by a decoder that is thrown away.
        is_older = False
        if self._described and (described := self._described.get(topic)) is not None and message.id < described[0]:
            is_older = True
            decoder = self.config.make_decoder() or decoder
        try:
            found = decoder.decode(topic, message.payload, arrival)
        except DialectError as error:
            place = reading_place(message.properties)
            raise UndecodableMessage(f"{self._format}: {place}{': ' if place else ''}{error}") from None
        _, role, _, _, values, _, parts, extra, is_stale, _ = found
        if role is _DESCRIPTION and not is_older:
            self._descriptions.version = getattr(decoder, "version", 0)
            self._remember(message)
        if role not in self._roles:
            return f"{self._format}: {role.value}"
        if role is _READING or role is _EVENT:
            if is_stale and self.config.retained == "drop":
                return f"{self._format}: retained, the last known state and no new {role.value}"
            if not (values or parts or extra):
                return f"{self._format}: no values"
        event = self._event(message, found)
        if self._steady is not None and not (is_stale or is_older or self._descriptions.is_learning):
            self._learn_shape(message, event, known)
        return event

    def _as_json(self, message: SpooledMessage, encoding: Encoding) -> SpooledMessage:
        """Return a message with its payload as JSON. Raises `UndecodableMessage`."""
        try:
            return replace(message, payload=encoding.to_json(message.payload))
        except DialectError as error:
            raise UndecodableMessage(f"{self._format}: {error}") from None

    def _by_shape(self, known: "_KnownShape", message: SpooledMessage, arrival: Arrival) -> DecodedEvent | None:
        """Return what a message says that differs from an earlier one in numbers alone; None for any other."""
        shape, origin = known.shape, known.origin
        payload, prefix = message.payload, known.prefix
        found = shape.match(payload, len(prefix)) if payload.startswith(prefix) else None
        if found is None:
            known.misses += 1
            if known.misses > _MOST_MISSES:
                self._shapes[message.topic] = known.seen
            return None
        known.misses = 0
        groups = found.groups()
        if shape.time_at < 0:
            time_ms = message.received_ms
        else:
            time_ms, source, remark = read_shape_time(shape, groups[shape.time_at], arrival)
            if source is not known.time_source or remark:
                return None
        if self._is_periodic and message.id > self._counted and known.time_source is not _BY_ARRIVAL:
            self._counted = message.id
            if self.counters is not None:
                self.counters.observe_reading(known.name, time_ms)
        info, device_id, head, _, _ = origin
        boot, seq, timestamp = self.spool_boot, message.id, _iso_ms(time_ms)
        body = b'%b%b","boot":%d,"seq":%d' % (head, timestamp.encode(), boot, seq)
        body += shape.body % shape.numbers(groups) if shape.numbers is not None else shape.body % ()
        return info, device_id, f"{device_id}:{boot}:{seq}", timestamp, body

    def _learn_shape(self, message: SpooledMessage, event: DecodedEvent, known: "_KnownShape | int | None") -> None:
        """Remember the shape of a payload, where the messages on its topic are many."""
        topic = message.topic
        if isinstance(known, _KnownShape):
            if known.learnt == self._descriptions.version:
                return  # it is another case now and then
            seen = known.seen
        elif known is None and len(self._shapes) >= _KNOWN_SHAPES:
            return
        else:
            self._shapes[topic] = seen = (known or 0) + 1
            if seen not in _LEARN_AT:
                return
        self._descriptions.is_learning = True
        try:
            found = self._shape_of(message, event, seen)
        except (DialectError, UndecodableMessage):
            return
        finally:
            self._descriptions.is_learning = False
        if found is not None:
            self._shapes[topic] = found

    def _shape_of(self, message: SpooledMessage, event: DecodedEvent, seen: int) -> "_KnownShape | None":
        assert self._steady is not None
        steady = self._steady(message.topic, message.payload)
        marked = None if steady is None else mark_payload(message.payload, steady)
        if steady is None or marked is None:
            return None
        said = self.decode_event(replace(message, payload=marked.payload))
        if isinstance(said, str) or said[:2] != event[:2] or said[3] != event[3] or said[4] is None:
            return None
        key, origin = self._last_origins[message.topic]
        begin = b'%b%b","boot":%d,"seq":%d' % (origin.head, said[3].encode(), self.spool_boot, message.id)
        if not said[4].startswith(begin):
            return None  # the numbers are the device's own
        shape = shape_of(marked, said[4][len(begin) :], steady)
        if shape is None:
            return None
        if len(self._known_bodies) > _KNOWN_BODIES:
            self._known_bodies.clear()
        shape = self._known_bodies.setdefault((marked.pattern, shape.body), shape)
        found = _KnownShape(shape, origin, key[0], key[5], marked.prefix, self._descriptions.version, seen)
        # What it makes of the payload that it is from has to be what the decoder makes of it.
        return found if self._by_shape(found, message, self._arrival) in (event, None) else None

    def _remember(self, message: SpooledMessage) -> None:
        known = self._described.get(message.topic)
        if known is None and len(self._described) >= _KNOWN_DESCRIPTIONS:
            return
        try:
            payload = message.payload.decode()
        except UnicodeDecodeError:
            return
        self._described[message.topic] = message.id, hash(payload)
        if (known is None or known[1] != hash(payload)) and self.on_described is not None:
            self.on_described(message.topic, payload)

    def _event(self, message: SpooledMessage, found: DialectMessage) -> DecodedEvent:
        name, role, time_ms, time_source, values, sensor, parts, extra, is_stale, remarks = found
        boot, seq, site = self.spool_boot, message.id, self._site
        if not _OURS.isdisjoint(values):
            values, extra = dict(values), dict(extra)
            own_site = values.pop("site", None)
            site = own_site if isinstance(own_site, str) and own_site else site
            # In a dialect it would be an entity, or a level of a topic, that is called so.
            own_boot, own_seq = values.get("boot"), values.get("seq")
            if self._format == OWN_FORMAT and type(own_boot) is int and type(own_seq) is int:
                boot, seq = own_boot, own_seq
                del values["boot"], values["seq"]
                if self.counters is not None and message.id > self._counted and not is_stale:
                    self._counted = message.id
                    self.counters.observe_number(name, boot, seq)
            # An entity may be called so; the names are those of the message here.
            extra |= {ours: values.pop(ours) for ours in _OURS.intersection(values)}
        if self._kind is None:
            is_air = "pressure_hpa" in values and "humidity" in values and "temperature_c" in values
            kind = "bme280" if is_air else DEVICE_CONTRACT.kind
        else:
            kind = self._kind
        if self._is_periodic and message.id > self._counted and role is _READING and time_source is not _BY_ARRIVAL:
            self._counted = message.id
            if self.counters is not None:
                self.counters.observe_reading(name, time_ms)
        # A topic is mostly of one sensor: comparing is faster than looking up what has six parts.
        key = name, sensor, kind, site, role, time_source
        known = self._last_origins.get(message.topic)
        if known is None or known[0] != key:
            known = self._keep_origin(message.topic, key)
        info, device_id, head, _, tail = known[1]
        timestamp = _iso_ms(time_ms)
        if values and not (is_stale or remarks or parts or extra):
            # As most are, in one go.
            inner = self._dumped(values)[1:-1]
            body = b'%b%b","boot":%d,"seq":%d,%b%b}' % (head, timestamp.encode(), boot, seq, inner, tail)
            return info, device_id, f"{device_id}:{boot}:{seq}", timestamp, body
        pieces = [b'%b%b","boot":%d,"seq":%d' % (head, timestamp.encode(), boot, seq)]
        if values:
            pieces += b",", self._dumped(values)[1:-1]
        if is_stale or remarks:
            source = orjson.loads(known[1].source)
            if is_stale:
                source["retained"] = True
            if remarks:
                source["remarks"] = remarks
            pieces += b',"source":', orjson.dumps(source)
        else:
            pieces.append(tail)
        if parts:
            pieces += b',"parts":', self._dumped(parts)
        if extra:
            pieces += b',"other":', self._dumped(extra)
        pieces.append(b"}")
        return info, device_id, f"{device_id}:{boot}:{seq}", timestamp, b"".join(pieces)

    def _dumped(self, found: object) -> bytes:
        """Return what was read as JSON. Raises `UndecodableMessage` for a whole number of more than 64 bits."""
        try:
            return orjson.dumps(found)
        except orjson.JSONEncodeError as error:
            raise UndecodableMessage(f"{self._format}: what it says cannot be written as JSON: {error}") from None

    def _keep_origin(self, topic: str, key: _OriginKey) -> tuple[_OriginKey, _Origin]:
        """Return what messages with this key have in common, and remember it for the next one on the topic."""
        origin = self._origins.get(key) or self._learn_origin(key)
        if len(self._last_origins) >= _KNOWN_INFOS:
            self._last_origins.clear()
        self._last_origins[topic] = known = key, origin
        return known

    def _learn_origin(self, key: _OriginKey) -> _Origin:
        """Remember what all messages have in common that say the same of where they are from."""
        name, sensor, kind, site, role, time_source = key
        source = {"format": self._format, "name": name}
        if time_source is not _BY_DEVICE:
            source["time"] = time_source.value
        if sensor:
            source["sensor"] = sensor
        info, device_id, dumped = self._info(site, kind, role), to_device_id(name or "unnamed"), orjson.dumps(source)
        head = b'{"device_id":%b,"timestamp":"' % orjson.dumps(device_id)
        if len(self._origins) >= _KNOWN_INFOS:
            self._origins.clear()
        origin = self._origins[key] = _Origin(info, device_id, head, dumped, b',"source":' + dumped)
        return origin

    def _raw(self, message: SpooledMessage) -> DecodedEvent | str:
        if message.retain and self.config.retained == "drop":
            return f"{RAW_FORMAT}: retained, the last known state and no new message"
        device_id = self._device_ids.get(message.topic)
        if device_id is None:
            if len(self._device_ids) >= _KNOWN_INFOS:
                self._device_ids.clear()
            device_id = self._device_ids[message.topic] = to_device_id(message.topic)
        message_id = f"{device_id}:{self.spool_boot}:{message.id}"
        return self._raw_info, device_id, message_id, iso_ms(message.received_ms), None

    def _info(self, site: str, kind: str, role: MessageRole) -> TopicInfo:
        """Return what the topics say that devices of the contract would have."""
        # Of a device, what happened is a reading too: the contract has no other messages of this kind.
        channel = Channel.TELEMETRY if role is _EVENT and kind == DEVICE_CONTRACT.kind else _CHANNELS[role]
        content_type = _OCTETS if self._decoder is None else None
        return topic_info(to_device_id(site), kind, channel, content_type, is_foreign=True)


def foreign_decoders(subscriptions: Iterable[SubscriptionConfig]) -> list[ForeignDecoder]:
    """Make the decoders of those subscriptions that are not in the format of the message contract.

    What is the same format with the same options is one decoder: devices may describe themselves by one subscription
    and speak by another.
    """
    shared: dict[str, tuple[DialectDecoder | None, _Descriptions]] = {}
    found = []
    for config in subscriptions:
        if config.format != NATIVE_FORMAT:
            key = repr(config.decode)
            if key not in shared:
                shared[key] = config.make_decoder(), _Descriptions()
            found.append(ForeignDecoder(config, *shared[key]))
    return found
