"""Bodies to packets, strictly. Raises `ProtocolError` and nothing else.

One reader a packet type: first PUBLISH and the acknowledgements, which both sides send, then what servers send, then
what clients send, for whoever plays the server.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TypeVar

from edgewire.mqtt.codec import FieldReader, decode_text, malformed
from edgewire.mqtt.errors import ProtocolError, Unsendable
from edgewire.mqtt.filters import check_filter
from edgewire.mqtt.framing import FrameReader
from edgewire.mqtt.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Version,
    Will,
)
from edgewire.mqtt.properties import NO_PROPERTIES, Properties, PropertyScope, read_properties

PublishFields = tuple[str, bytes, int, bool, bool, int, Properties]
"""Topic, payload, QoS, retain, DUP, packet id, properties."""

BodyReader = Callable[[int, bytes, Version], Packet]
"""Takes the first byte, the body and the version."""

_T = TypeVar("_T")


class PacketDecoder:
    """Reads packets from the chunks of one connection. `limit` is the largest packet taken, in bytes."""

    __slots__ = ("_frames", "version")

    def __init__(self, version: Version, limit: int = 1 << 20) -> None:
        self.version = version
        self._frames = FrameReader(limit)

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yield the packets that `data` completes; iterate to the end. Raises `ProtocolError` after those before it."""
        for first, body in self._frames.feed(data):
            yield decode(first, body, self.version)


def decode(first: int, body: bytes, version: Version) -> Packet:
    """Return one packet from its first byte (whose flags the framing has checked) and its body."""
    return _READERS[first >> 4](first, body, version)


def publish_fields(first: int, body: bytes, version: Version) -> PublishFields:
    """Return the fields of a PUBLISH; the hot path of every subscriber."""
    size = len(body)
    if size < 2:
        raise malformed("PUBLISH ends inside its topic")
    pos = 2 + (body[0] << 8 | body[1])
    topic = decode_text(body[2:pos])
    if "#" in topic or "+" in topic:
        raise ProtocolError(f"PUBLISH has a wildcard in its topic '{topic}'", 0x90)
    qos = first >> 1 & 3
    packet_id = 0
    if qos:
        packet_id = int.from_bytes(body[pos : pos + 2], "big")
        pos += 2
        if not packet_id:
            raise malformed("PUBLISH has the packet identifier 0")
    if pos > size:
        raise malformed("PUBLISH ends inside its header")
    if version is not Version.V5:
        properties = NO_PROPERTIES
        payload = body[pos:]
    elif pos < size and not body[pos]:
        properties = NO_PROPERTIES
        payload = body[pos + 1 :]
    else:
        properties, payload = _read_publish_tail(body, pos)
    if not topic and "topic_alias" not in properties:
        raise ProtocolError("PUBLISH has an empty topic and no alias for it")
    return topic, payload, qos, first & 1 == 1, first & 8 == 8, packet_id, properties


def _read_publish_tail(body: bytes, pos: int) -> tuple[Properties, bytes]:
    reader = FieldReader(body, pos)
    return read_properties(reader, PropertyScope.PUBLISH), reader.rest()


def _read_publish(first: int, body: bytes, version: Version) -> Publish:
    topic, payload, qos, retain, dup, packet_id, properties = publish_fields(first, body, version)
    return Publish(
        topic=topic, payload=payload, qos=qos, retain=retain, dup=dup, packet_id=packet_id, properties=properties
    )


def _read_acknowledgement(kind: type[Puback] | type[Pubrec] | type[Pubrel] | type[Pubcomp]) -> BodyReader:
    scope = PropertyScope[kind.__name__.upper()]

    def read(first: int, body: bytes, version: Version) -> Packet:
        reader = FieldReader(body)
        return kind(reader.packet_id(), *_read_code_and_properties(reader, scope, version))

    return read


@lru_cache(maxsize=64)
def _read_connack(first: int, body: bytes, version: Version) -> Connack:
    # Read once for all clients of a server: it says the same to each, unless it gives them names.
    reader = FieldReader(body)
    flags, code = reader.u8(), reader.u8()
    if flags > 1:
        raise malformed(f"CONNACK has the flags 0x{flags:02x}")
    if flags and code:
        raise ProtocolError("CONNACK refuses the connection and has a session for it")
    if version is Version.V5 and reader.more:
        properties = read_properties(reader, PropertyScope.CONNACK)
    else:
        # Also a server that knows 3.1.1 alone and refuses our version 5 in its own form.
        properties = NO_PROPERTIES
        if not code if version is Version.V5 else code > 5:
            raise malformed(f"CONNACK has the code {code} and no properties")
    reader.end()
    return Connack(bool(flags), code, properties)


def _read_suback(first: int, body: bytes, version: Version) -> Suback:
    reader = FieldReader(body)
    packet_id = reader.packet_id()
    properties = _read_optional_properties(reader, PropertyScope.SUBACK, version)
    codes = _require_items(tuple(reader.rest()), "SUBACK")
    if version is not Version.V5 and not {0, 1, 2, 0x80}.issuperset(codes):
        raise malformed(f"SUBACK has the codes {codes}")
    return Suback(packet_id, codes, properties)


def _read_unsuback(first: int, body: bytes, version: Version) -> Unsuback:
    reader = FieldReader(body)
    packet_id = reader.packet_id()
    if version is not Version.V5:
        reader.end()
        return Unsuback(packet_id)
    properties = read_properties(reader, PropertyScope.UNSUBACK)
    return Unsuback(packet_id, _require_items(tuple(reader.rest()), "UNSUBACK"), properties)


def _read_pingresp(first: int, body: bytes, version: Version) -> Pingresp:
    FieldReader(body).end()
    return Pingresp()


def _read_disconnect(first: int, body: bytes, version: Version) -> Disconnect:
    return Disconnect(*_read_code_and_properties(FieldReader(body), PropertyScope.DISCONNECT, version))


def _read_auth(first: int, body: bytes, version: Version) -> Auth:
    if version is not Version.V5:
        raise malformed("MQTT 3.1.1 has no AUTH packet")
    return Auth(*_read_code_and_properties(FieldReader(body), PropertyScope.AUTH, version))


def _read_connect(first: int, body: bytes, version: Version) -> Connect:
    reader = FieldReader(body)
    if reader.text() != "MQTT" or reader.u8() != version:
        raise ProtocolError(f"CONNECT is not for MQTT protocol level {version}", 0x84)
    flags = reader.u8()
    has_will, will_qos = flags & 4, flags >> 3 & 3
    if flags & 1 or will_qos == 3 or (not has_will and flags & 0x38):
        raise malformed(f"CONNECT has the flags 0x{flags:02x}")
    if version is not Version.V5 and flags & 0xC0 == 0x40:
        raise malformed("CONNECT has a password without a user name")
    keep_alive_s = reader.u16()
    properties = _read_optional_properties(reader, PropertyScope.CONNECT, version)
    client_id = reader.text()
    if version is not Version.V5 and not client_id and not flags & 2:
        raise ProtocolError("CONNECT asks for the session of a client without an id", 0x85)
    will, will_properties = _read_will(reader, flags, version) if has_will else (None, NO_PROPERTIES)
    username = reader.text() if flags & 0x80 else None
    password = reader.binary() if flags & 0x40 else None
    reader.end()
    return Connect(
        client_id=client_id,
        clean_start=bool(flags & 2),
        keep_alive_s=keep_alive_s,
        will=will,
        username=username,
        password=password,
        properties=properties,
        will_properties=will_properties,
    )


def _read_will(reader: FieldReader, flags: int, version: Version) -> tuple[Will, Properties]:
    properties: Properties = {**_read_optional_properties(reader, PropertyScope.WILL, version)}
    delay_s = properties.pop("will_delay_interval", 0)
    topic = reader.text()
    if not topic or "+" in topic or "#" in topic:
        raise ProtocolError(f"the will has the topic '{topic}'", 0x90)
    will = Will(topic=topic, payload=reader.binary(), qos=flags >> 3 & 3, retain=bool(flags & 0x20), delay_s=delay_s)
    return will, properties or NO_PROPERTIES


def _read_subscribe(first: int, body: bytes, version: Version) -> Subscribe:
    reader = FieldReader(body)
    packet_id = reader.packet_id()
    properties = _read_optional_properties(reader, PropertyScope.SUBSCRIBE, version)
    subscriptions = []
    while reader.more:
        topic_filter = _read_filter(reader)
        options = reader.u8()
        if options & (0xC0 if version is Version.V5 else 0xFC) or options & 3 == 3 or options >> 4 == 3:
            raise malformed(f"SUBSCRIBE has the options 0x{options:02x} for '{topic_filter}'")
        flags = bool(options & 4), bool(options & 8)
        subscriptions.append(Subscription(topic_filter, options & 3, *flags, options >> 4))
    return Subscribe(packet_id, _require_items(tuple(subscriptions), "SUBSCRIBE"), properties)


def _read_unsubscribe(first: int, body: bytes, version: Version) -> Unsubscribe:
    reader = FieldReader(body)
    packet_id = reader.packet_id()
    properties = _read_optional_properties(reader, PropertyScope.UNSUBSCRIBE, version)
    filters = []
    while reader.more:
        filters.append(_read_filter(reader))
    return Unsubscribe(packet_id, _require_items(tuple(filters), "UNSUBSCRIBE"), properties)


def _read_filter(reader: FieldReader) -> str:
    topic_filter = reader.text()
    try:
        check_filter(topic_filter)
    except Unsendable as error:
        raise ProtocolError(str(error), 0x8F) from None
    return topic_filter


def _read_pingreq(first: int, body: bytes, version: Version) -> Pingreq:
    FieldReader(body).end()
    return Pingreq()


def _refuse_reserved(first: int, body: bytes, version: Version) -> Packet:
    raise malformed("packet type 0 is reserved")


def _read_optional_properties(reader: FieldReader, scope: PropertyScope, version: Version) -> Properties:
    return read_properties(reader, scope) if version is Version.V5 else NO_PROPERTIES


def _read_code_and_properties(reader: FieldReader, scope: PropertyScope, version: Version) -> tuple[int, Properties]:
    """Read the optional end of many version 5 packets: nothing means success, a code may stand without properties."""
    code, properties = 0, NO_PROPERTIES
    if version is Version.V5 and reader.more:
        code = reader.u8()
        if reader.more:
            properties = read_properties(reader, scope)
    reader.end()
    return code, properties


def _require_items(items: tuple[_T, ...], name: str) -> tuple[_T, ...]:
    if not items:
        raise ProtocolError(f"{name} is empty")
    return items


_READERS: tuple[BodyReader, ...] = (
    _refuse_reserved,
    _read_connect,
    _read_connack,
    _read_publish,
    _read_acknowledgement(Puback),
    _read_acknowledgement(Pubrec),
    _read_acknowledgement(Pubrel),
    _read_acknowledgement(Pubcomp),
    _read_subscribe,
    _read_suback,
    _read_unsubscribe,
    _read_unsuback,
    _read_pingreq,
    _read_pingresp,
    _read_disconnect,
    _read_auth,
)
"""By packet type."""
