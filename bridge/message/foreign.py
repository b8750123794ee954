"""Makes events of messages that are not in the format of the message contract: dialects, own formats, any bytes.

A device's own name may have letters that an id may not have: the id is then made of it, always the same one. Messages
without a boot and number of the device's own get those of the spool, which survive restarts, resends and replays: two
messages with the same content are two, and what a device or broker sends twice is twice there.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from bridge.message.config import NATIVE_FORMAT, OWN_FORMAT, RAW_FORMAT, RAW_KIND, SubscriptionConfig
from bridge.message.decoders import UndecodableMessage
from bridge.message.event import TopicInfo
from bridge.spool.message import SpooledMessage
from edgewire.clock import iso_ms
from edgewire.dialects.base import Arrival, DialectDecoder, DialectError, DialectMessage, MessageRole, TimeSource
from edgewire.messages import Channel, Topic
from edgewire.messages.base import DEVICE_ID
from edgewire.messages.cloudevents import event_source, event_type

_CHANNELS: Mapping[MessageRole, Channel] = {
    MessageRole.READING: Channel.TELEMETRY,
    MessageRole.EVENT: Channel.EVENT,
    MessageRole.AVAILABILITY: Channel.STATUS,
    MessageRole.STATE: Channel.STATUS,
    MessageRole.DESCRIPTION: Channel.STATUS,
    MessageRole.ANSWER: Channel.RESULT,
    MessageRole.COMMAND: Channel.CMD,
}
_BME280 = frozenset({"temperature_c", "humidity", "pressure_hpa"})
_OURS = frozenset({"device_id", "timestamp", "boot", "seq", "source", "parts", "other"})
_OCTETS = "application/octet-stream"
_ID = re.compile(DEVICE_ID)
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_.-]+")
_KNOWN_INFOS = 100_000
_KNOWN_DESCRIPTIONS = 200_000

OnDescribed = Callable[[str, str], None]
"""Called with topic and payload of a message that describes devices, where it is not the one that is known."""


class DecodedEvent(NamedTuple):
    """Holds what an event is made of."""

    info: TopicInfo
    device_id: str
    message_id: str
    timestamp: str
    fields: dict[str, Any]
    body: bytes | None
    """None where the payload is delivered as it came."""


class ForeignDecoder:
    """Reads what comes by one subscription that is not in the format of the message contract."""

    def __init__(self, config: SubscriptionConfig, decoder: DialectDecoder | None) -> None:
        """Read with `decoder`; None for bytes that nobody looks into."""
        self.config = config
        self.spool_boot = 0
        """The boot of messages that have none of their own; see `RouteTable.restore`."""
        self.on_described: OnDescribed | None = None
        self._decoder = decoder
        self._zone = config.zone
        self._format = config.format
        self._roles = frozenset(map(MessageRole, config.roles))
        self._infos: dict[tuple[str, str, str, MessageRole], TopicInfo] = {}
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
        # Sinks that are behind ask again, in an order of their own: what is newer stays known, so what came before it
        # on its topic is read by a decoder that is thrown away.
        is_older = message.topic in self._described and message.id < self._described[message.topic][0]
        if is_older:
            decoder = self.config.make_decoder() or decoder
        arrival = Arrival(message.received_ms, message.retain, self._zone)
        try:
            found = decoder.decode(message.topic, message.payload, arrival)
        except DialectError as error:
            raise UndecodableMessage(f"{self._format}: {error}") from None
        if found.role is MessageRole.DESCRIPTION and not is_older:
            self._remember(message)
        if found.role not in self._roles:
            return f"{self._format}: {found.role.value}"
        if found.role in (MessageRole.READING, MessageRole.EVENT):
            if found.is_stale and self.config.retained == "drop":
                return f"{self._format}: retained, the last known state and no new {found.role.value}"
            if not (found.values or found.parts or found.extra):
                return f"{self._format}: no values"
        return self._event(message, found)

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
        values = dict(found.values)
        own_site = values.pop("site", None)
        boot, seq = values.get("boot"), values.get("seq")
        # In a dialect it would be an entity, or a level of a topic, that is called so.
        if self._format == OWN_FORMAT and type(boot) is int and type(seq) is int:
            del values["boot"], values["seq"]
        else:
            boot, seq = self.spool_boot, message.id
        kind = self.config.kind or ("bme280" if values.keys() >= _BME280 else "device")
        site = own_site if isinstance(own_site, str) and own_site else self.config.site
        info = self._info(site, kind, found.device_id or "unnamed", found.role)
        device_id = info.topic.device_id
        timestamp = iso_ms(found.time_ms)
        source: dict[str, Any] = {"format": self._format, "name": found.device_id}
        if found.time_source is not TimeSource.DEVICE:
            source["time"] = found.time_source.value
        if found.sensor:
            source["sensor"] = found.sensor
        if found.is_stale:
            source["retained"] = True
        if found.remarks:
            source["remarks"] = list(found.remarks)
        extra = dict(found.extra)
        for name in () if _OURS.isdisjoint(values) else _OURS.intersection(values):
            # An entity may be called so; the names are those of the message here.
            extra[name] = values.pop(name)
        fields: dict[str, Any] = {"device_id": device_id, "timestamp": timestamp, "boot": boot, "seq": seq, **values}
        fields["source"] = source
        if found.parts:
            fields["parts"] = found.parts
        if extra:
            fields["other"] = extra
        return DecodedEvent(info, device_id, f"{device_id}:{boot}:{seq}", timestamp, fields, orjson.dumps(fields))

    def _raw(self, message: SpooledMessage) -> DecodedEvent | str:
        if message.retain and self.config.retained == "drop":
            return f"{RAW_FORMAT}: retained, the last known state and no new message"
        info = self._info(self.config.site, self.config.kind or RAW_KIND, message.topic, MessageRole.READING)
        device_id = info.topic.device_id
        message_id = f"{device_id}:{self.spool_boot}:{message.id}"
        return DecodedEvent(info, device_id, message_id, iso_ms(message.received_ms), {}, None)

    def _info(self, site: str, kind: str, name: str, role: MessageRole) -> TopicInfo:
        """Return the topic that a device of the contract would have; made once."""
        key = site, kind, name, role
        info = self._infos.get(key)
        if info is None:
            if len(self._infos) >= _KNOWN_INFOS:
                self._infos.clear()
            topic = Topic(to_device_id(site), kind, to_device_id(name), _CHANNELS[role])
            content_type = _OCTETS if self._decoder is None else None
            info = TopicInfo(topic, event_source(topic), event_type(topic), orjson.loads, content_type, is_foreign=True)
            self._infos[key] = info
        return info


def foreign_decoders(subscriptions: Iterable[SubscriptionConfig]) -> list[ForeignDecoder]:
    """Make the decoders of those subscriptions that are not in the format of the message contract.

    What is the same format with the same options is one decoder: devices may describe themselves by one subscription
    and speak by another.
    """
    shared: dict[str, DialectDecoder | None] = {}
    found = []
    for config in subscriptions:
        if config.format != NATIVE_FORMAT:
            key = repr(config.decode)
            if key not in shared:
                shared[key] = config.make_decoder()
            found.append(ForeignDecoder(config, shared[key]))
    return found


def to_device_id(name: str) -> str:
    """Return a name as an id: itself where it may be one, else its letters that may, and a digest that tells it apart.

    The digest has 32 bits: of 10,000 such names two are the same with a chance of 1 %, where their letters are, too.
    """
    if _ID.fullmatch(name):
        return name
    letters = _NOT_IN_IDS.sub("-", name).strip("-._")[:50] or "device"
    return f"{letters}-{hashlib.blake2b(name.encode('utf-8', 'surrogatepass'), digest_size=4).hexdigest()}"
