"""Readers of the packets that clients send: for whoever plays the server. See `decode`."""

from edgewire.mqtt.codec import Reader, malformed
from edgewire.mqtt.decode_server import not_empty, properties_of
from edgewire.mqtt.errors import ProtocolError, Unsendable
from edgewire.mqtt.filters import check_filter
from edgewire.mqtt.packets import Connect, Pingreq, Subscribe, Subscription, Unsubscribe, Version, Will
from edgewire.mqtt.properties import NO_PROPERTIES, Place, Properties


def read_connect(first: int, body: bytes, version: Version) -> Connect:
    reader = Reader(body)
    if reader.text() != "MQTT" or reader.u8() != version:
        raise ProtocolError(f"CONNECT is not for MQTT protocol level {version}", 0x84)
    flags = reader.u8()
    has_will, will_qos = flags & 4, flags >> 3 & 3
    if flags & 1 or will_qos == 3 or (not has_will and flags & 0x38):
        raise malformed(f"CONNECT has the flags 0x{flags:02x}")
    if version is not Version.V5 and flags & 0xC0 == 0x40:
        raise malformed("CONNECT has a password without a user name")
    keep_alive_s = reader.u16()
    properties = properties_of(reader, Place.CONNECT, version)
    client_id = reader.text()
    will, will_properties = _will(reader, flags, version) if has_will else (None, NO_PROPERTIES)
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


def _will(reader: Reader, flags: int, version: Version) -> tuple[Will, Properties]:
    properties: Properties = {**properties_of(reader, Place.WILL, version)}
    delay_s = properties.pop("will_delay_interval", 0)
    topic = reader.text()
    if not topic or "+" in topic or "#" in topic:
        raise ProtocolError(f"the will has the topic '{topic}'", 0x90)
    will = Will(topic=topic, payload=reader.binary(), qos=flags >> 3 & 3, retain=bool(flags & 0x20), delay_s=delay_s)
    return will, properties or NO_PROPERTIES


def read_subscribe(first: int, body: bytes, version: Version) -> Subscribe:
    reader = Reader(body)
    packet_id = reader.packet_id()
    properties = properties_of(reader, Place.SUBSCRIBE, version)
    subscriptions = []
    while reader.more:
        topic_filter = _filter(reader)
        options = reader.u8()
        if options & (0xC0 if version is Version.V5 else 0xFC) or options & 3 == 3 or options >> 4 == 3:
            raise malformed(f"SUBSCRIBE has the options 0x{options:02x} for '{topic_filter}'")
        flags = bool(options & 4), bool(options & 8)
        subscriptions.append(Subscription(topic_filter, options & 3, *flags, options >> 4))
    return Subscribe(packet_id, not_empty(tuple(subscriptions), "SUBSCRIBE"), properties)


def read_unsubscribe(first: int, body: bytes, version: Version) -> Unsubscribe:
    reader = Reader(body)
    packet_id = reader.packet_id()
    properties = properties_of(reader, Place.UNSUBSCRIBE, version)
    filters = []
    while reader.more:
        filters.append(_filter(reader))
    return Unsubscribe(packet_id, not_empty(tuple(filters), "UNSUBSCRIBE"), properties)


def _filter(reader: Reader) -> str:
    topic_filter = reader.text()
    try:
        check_filter(topic_filter)
    except Unsendable as error:
        raise ProtocolError(str(error), 0x8F) from None
    return topic_filter


def read_pingreq(first: int, body: bytes, version: Version) -> Pingreq:
    Reader(body).end()
    return Pingreq()
