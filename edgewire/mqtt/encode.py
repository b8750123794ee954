"""Packets to bytes. Raises `Unsendable` for a packet that has no valid form, and nothing else."""

import struct

from edgewire.mqtt.codec import U16, write_binary, write_int, write_text, write_varint
from edgewire.mqtt.errors import Unsendable
from edgewire.mqtt.filters import check_filter, encode_topic
from edgewire.mqtt.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    PacketType,
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
)
from edgewire.mqtt.properties import Properties, PropertyScope, write_properties

PINGREQ = b"\xc0\x00"
PINGRESP = b"\xd0\x00"

_SHORT_PUBLISH = struct.Struct(">BBH")
_LONG_PUBLISH = struct.Struct(">BBBH")
_ACKNOWLEDGEMENT = struct.Struct(">BBH")


def encode(packet: Packet, version: Version) -> bytes:
    """Return the bytes of one packet."""
    match packet:
        case Publish():
            return _publish(packet, version)
        case Puback() | Pubrec() | Pubrel() | Pubcomp():
            return _acknowledgement(packet, version)
        case Connect():
            return _frame(0x10, _connect(packet, version))
        case Connack():
            head = bytes((packet.session_present, packet.code))
            return _frame(0x20, head + _properties(packet.properties, PropertyScope.CONNACK, version))
        case Subscribe() | Suback() | Unsubscribe() | Unsuback():
            return _subscription(packet, version)
        case Pingreq():
            return PINGREQ
        case Pingresp():
            return PINGRESP
        case Disconnect():
            return _ending(packet, PacketType.DISCONNECT, version)
        case Auth() if version is Version.V5:
            return _ending(packet, PacketType.AUTH, version)
        case Auth():
            raise Unsendable("MQTT 3.1.1 has no AUTH packet")


def publish_frame(flags: int, topic: bytes, packet_id: int, properties: bytes, payload: bytes) -> bytes:
    """Return a PUBLISH from its ready parts; the hot path of every publisher.

    `flags` are the lower four bits of the first byte; `properties` are encoded, empty in 3.1.1.
    Raises `Unsendable` for a topic or payload that is too long.
    """
    topic_length = len(topic)
    remaining = topic_length + len(properties) + len(payload) + (4 if packet_id else 2)
    if topic_length > 65535:
        raise Unsendable(f"a topic of {topic_length} bytes is longer than 65535")
    if remaining < 128:
        head = _SHORT_PUBLISH.pack(0x30 | flags, remaining, topic_length)
    elif remaining < 16384:
        head = _LONG_PUBLISH.pack(0x30 | flags, remaining & 127 | 128, remaining >> 7, topic_length)
    else:
        head = bytes((0x30 | flags,)) + write_varint(remaining) + U16.pack(topic_length)
    if packet_id:
        return b"".join((head, topic, U16.pack(packet_id), properties, payload))
    return b"".join((head, topic, properties, payload))


def short_acknowledgement(first: int, packet_id: int) -> bytes:
    """Return a PUBACK (0x40), PUBREC (0x50), PUBREL (0x62) or PUBCOMP (0x70) that reports success."""
    return _ACKNOWLEDGEMENT.pack(first, 2, packet_id)


def _frame(first: int, body: bytes) -> bytes:
    return bytes((first,)) + write_varint(len(body)) + body


def _properties(properties: Properties, scope: PropertyScope, version: Version) -> bytes:
    if version is Version.V5:
        return write_properties(properties, scope)
    if properties:
        raise Unsendable(f"MQTT 3.1.1 has no properties: {', '.join(properties)}")
    return b""


def _packet_id(value: int) -> bytes:
    if not 0 < value < 65536:
        raise Unsendable(f"{value} is no packet identifier: it is 1 to 65535")
    return U16.pack(value)


def _publish(packet: Publish, version: Version) -> bytes:
    if packet.qos not in (0, 1, 2) or (packet.dup and not packet.qos):
        raise Unsendable(f"no PUBLISH has QoS {packet.qos} and DUP {packet.dup}")
    if packet.qos:
        _packet_id(packet.packet_id)
    elif packet.packet_id:
        raise Unsendable("a PUBLISH of QoS 0 has no packet identifier")
    # Version 5 lets an alias stand for the topic.
    aliased = "topic_alias" in packet.properties and not packet.topic
    topic = b"" if aliased else encode_topic(packet.topic)
    flags = packet.dup << 3 | packet.qos << 1 | packet.retain
    properties = _properties(packet.properties, PropertyScope.PUBLISH, version)
    return publish_frame(flags, topic, packet.packet_id, properties, packet.payload)


def _acknowledgement(packet: Puback | Pubrec | Pubrel | Pubcomp, version: Version) -> bytes:
    scope = PropertyScope[type(packet).__name__.upper()]
    first = PacketType[scope.name] << 4 | (2 if scope is PropertyScope.PUBREL else 0)
    body = _packet_id(packet.packet_id)
    if packet.code or packet.properties:
        if version is not Version.V5:
            raise Unsendable(f"MQTT 3.1.1 has no reason code in {scope.name}")
        body += write_int(packet.code, 1)
    if packet.properties:
        body += write_properties(packet.properties, scope)
    return _frame(first, body)


def _connect(packet: Connect, version: Version) -> bytes:
    will = packet.will
    if version is not Version.V5 and packet.password is not None and packet.username is None:
        raise Unsendable("MQTT 3.1.1 takes a password only together with a user name: set both")
    if version is not Version.V5 and not packet.client_id and not packet.clean_start:
        raise Unsendable("MQTT 3.1.1 keeps no session of a client without an id: name the client, or begin clean")
    flags = packet.clean_start << 1 | (packet.username is not None) << 7 | (packet.password is not None) << 6
    if will:
        if will.qos not in (0, 1, 2):
            raise Unsendable(f"the will has QoS {will.qos}, which is none of 0, 1, 2")
        flags |= 4 | will.qos << 3 | will.retain << 5
    parts = [
        write_text("MQTT"),
        bytes((version, flags)),
        write_int(packet.keep_alive_s, 2),
        _properties(packet.properties, PropertyScope.CONNECT, version),
        write_text(packet.client_id),
    ]
    if will:
        if version is Version.V5:
            properties: Properties = {**packet.will_properties}
            if will.delay_s:
                properties["will_delay_interval"] = will.delay_s
            parts.append(write_properties(properties, PropertyScope.WILL))
        parts += (write_binary(encode_topic(will.topic)), write_binary(will.payload))
    if packet.username is not None:
        parts.append(write_text(packet.username))
    if packet.password is not None:
        parts.append(write_binary(packet.password))
    return b"".join(parts)


def _subscription(packet: Subscribe | Suback | Unsubscribe | Unsuback, version: Version) -> bytes:
    scope = PropertyScope[type(packet).__name__.upper()]
    head = _packet_id(packet.packet_id) + _properties(packet.properties, scope, version)
    match packet:
        case Subscribe():
            first, items = 0x82, b"".join(_one_subscription(one, version) for one in packet.subscriptions)
        case Unsubscribe():
            first, items = 0xA2, b"".join(map(_filter, packet.filters))
        case Suback():
            first, items = 0x90, bytes(packet.codes)
        case Unsuback():
            first, items = 0xB0, bytes(packet.codes)
    # In 3.1.1 UNSUBACK alone lists nothing, not even codes.
    bare = scope is PropertyScope.UNSUBACK and version is Version.V311
    if bool(items) is bare:
        raise Unsendable(f"{scope.name} has {len(items)} bytes of filters or codes, which its version does not allow")
    return _frame(first, head + items)


def _filter(topic_filter: str) -> bytes:
    check_filter(topic_filter)
    return write_text(topic_filter)


def _one_subscription(one: Subscription, version: Version) -> bytes:
    if one.qos not in (0, 1, 2) or one.retain_handling not in (0, 1, 2):
        raise Unsendable(
            f"filter '{one.filter}' has QoS {one.qos} and retain handling {one.retain_handling}, not 0 to 2"
        )
    options = one.qos
    if version is Version.V5:
        options |= one.no_local << 2 | one.retain_as_published << 3 | one.retain_handling << 4
    return _filter(one.filter) + bytes((options,))


def _ending(packet: Disconnect | Auth, packet_type: PacketType, version: Version) -> bytes:
    if version is not Version.V5:
        if packet.code or packet.properties:
            raise Unsendable(f"MQTT 3.1.1 has no reason code in {packet_type.name}")
        return _frame(packet_type << 4, b"")
    body = write_int(packet.code, 1) if packet.code or packet.properties else b""
    if packet.properties:
        body += write_properties(packet.properties, PropertyScope[packet_type.name])
    return _frame(packet_type << 4, body)
