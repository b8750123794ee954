"""Bodies to packets, strictly: one reader a packet type. Raises `ProtocolError` and nothing else."""

from collections.abc import Iterator

from edgewire.mqtt.codec import Reader, decode_text, malformed
from edgewire.mqtt.decode_client import read_connect, read_pingreq, read_subscribe, read_unsubscribe
from edgewire.mqtt.decode_server import (
    BodyReader,
    read_acknowledgement,
    read_auth,
    read_connack,
    read_disconnect,
    read_pingresp,
    read_suback,
    read_unsuback,
)
from edgewire.mqtt.errors import ProtocolError
from edgewire.mqtt.framing import Frames
from edgewire.mqtt.packets import Packet, Puback, Pubcomp, Publish, Pubrec, Pubrel, Version
from edgewire.mqtt.properties import NO_PROPERTIES, Place, Properties, read_properties

PublishFields = tuple[str, bytes, int, bool, bool, int, Properties]
"""Topic, payload, QoS, retain, DUP, packet id, properties."""


class Decoder:
    """Takes the chunks of one connection, gives its packets. `limit` is the largest packet taken, in bytes."""

    __slots__ = ("_frames", "version")

    def __init__(self, version: Version, limit: int = 1 << 20) -> None:
        self.version = version
        self._frames = Frames(limit)

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that `data` completes; iterate to the end. Raises `ProtocolError` after those before a fault."""
        for first, body in self._frames.feed(data):
            yield decode(first, body, self.version)


def decode(first: int, body: bytes, version: Version) -> Packet:
    """One packet from its first byte (whose flags the framing has checked) and its body."""
    return _READERS[first >> 4](first, body, version)


def publish_fields(first: int, body: bytes, version: Version) -> PublishFields:
    """The fields of a PUBLISH; the hot path of every subscriber."""
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
        properties, payload = _publish_tail(body, pos)
    if not topic and "topic_alias" not in properties:
        raise ProtocolError("PUBLISH has an empty topic and no alias for it")
    return topic, payload, qos, first & 1 == 1, first & 8 == 8, packet_id, properties


def _publish_tail(body: bytes, pos: int) -> tuple[Properties, bytes]:
    reader = Reader(body, pos)
    properties = read_properties(reader, Place.PUBLISH)
    response_topic = properties.get("response_topic", "")
    if "+" in response_topic or "#" in response_topic:
        raise ProtocolError(f"PUBLISH has a wildcard in its response topic '{response_topic}'")
    return properties, reader.rest()


def _publish(first: int, body: bytes, version: Version) -> Publish:
    topic, payload, qos, retain, dup, packet_id, properties = publish_fields(first, body, version)
    return Publish(
        topic=topic, payload=payload, qos=qos, retain=retain, dup=dup, packet_id=packet_id, properties=properties
    )


def _reserved(first: int, body: bytes, version: Version) -> Packet:
    raise malformed("packet type 0 is reserved")


_READERS: tuple[BodyReader, ...] = (
    _reserved,
    read_connect,
    read_connack,
    _publish,
    read_acknowledgement(Puback),
    read_acknowledgement(Pubrec),
    read_acknowledgement(Pubrel),
    read_acknowledgement(Pubcomp),
    read_subscribe,
    read_suback,
    read_unsubscribe,
    read_unsuback,
    read_pingreq,
    read_pingresp,
    read_disconnect,
    read_auth,
)
"""By packet type."""
