"""What is no MQTT: each of these ends the connection with the reason that version 5 has for it."""

import pytest

from edgewire.mqtt import PacketDecoder, ProtocolError, Unsendable, Version, Will, encode
from edgewire.mqtt.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from tests.edgewire.mqtt.peer import BOTH

MALFORMED, PROTOCOL_ERROR = 0x81, 0x82

EITHER = {
    "type 0": ("00 00", MALFORMED),
    "CONNECT with flags": ("11 00", MALFORMED),
    "PUBACK with flags": ("41 02 0001", MALFORMED),
    "PUBREL without its flags": ("60 02 0001", MALFORMED),
    "SUBSCRIBE without its flags": ("80 02 0001", MALFORMED),
    "PUBLISH of QoS 3": ("36 00", MALFORMED),
    "PUBLISH of QoS 0 with DUP": ("38 00", MALFORMED),
    "flags are judged before the body arrives": ("36", MALFORMED),
    "a length of five bytes": ("30 80808080", MALFORMED),
    "a length with a needless byte": ("c0 8000", MALFORMED),
    "PUBLISH that ends in its topic": ("30 02 0001", MALFORMED),
    "PUBLISH of one byte": ("30 01 00", MALFORMED),
    "PUBLISH that ends in its packet id": ("32 04 0001 74 00", MALFORMED),
    "PUBLISH that ends in the low byte of its packet id": ("32 04 0001 74 01", MALFORMED),
    "PUBACK without its packet id": ("40 01 00", MALFORMED),
    "PUBACK of packet 0": ("40 02 0000", MALFORMED),
    "PUBREC of packet 0": ("50 02 0000", MALFORMED),
    "SUBACK of packet 0": ("90 04 0000 00 00", MALFORMED),
    "DISCONNECT with flags": ("e1 00", MALFORMED),
    "PINGREQ with a body": ("c0 01 00", MALFORMED),
    "PINGRESP with a body": ("d0 01 00", MALFORMED),
    "CONNACK with reserved flags": ("20 03 02 00 00", MALFORMED),
    "CONNACK of one byte": ("20 01 00", MALFORMED),
}
ONLY_311 = {
    "PUBLISH of packet 0": ("32 05 0001 74 0000", MALFORMED),
    "PUBLISH without a topic": ("30 02 0000", PROTOCOL_ERROR),
    "PUBLISH to a wildcard": ("30 03 0001 23", 0x90),
    "PUBLISH to a level wildcard": ("30 05 0003 2f2b2f", 0x90),
    "PUBLISH to U+0000": ("30 03 0001 00", MALFORMED),
    "PUBLISH to a surrogate": ("30 05 0003 eda080", MALFORMED),
    "PUBLISH to an overlong form": ("30 04 0002 c080", MALFORMED),
    "PUBLISH to half a letter": ("30 03 0001 c3", MALFORMED),
    "PUBACK with a reason": ("40 03 0001 00", MALFORMED),
    "CONNACK with properties": ("20 03 00 00 00", MALFORMED),
    "CONNACK of an unknown code": ("20 02 00 06", MALFORMED),
    "CONNACK that refuses a present session": ("20 02 01 05", PROTOCOL_ERROR),
    "SUBACK of an unknown code": ("90 03 0001 03", MALFORMED),
    "SUBACK without codes": ("90 02 0001", PROTOCOL_ERROR),
    "UNSUBACK with codes": ("b0 03 0001 00", MALFORMED),
    "DISCONNECT with a reason": ("e0 01 00", MALFORMED),
    "AUTH": ("f0 00", MALFORMED),
    "CONNECT of another level": ("10 0c 0004 4d515454 05 02 0000 0000", 0x84),
    "CONNECT of another name": ("10 0c 0004 4d515458 04 02 0000 0000", 0x84),
    "CONNECT with the reserved flag": ("10 0c 0004 4d515454 04 03 0000 0000", MALFORMED),
    "CONNECT for the session of a client without an id": ("10 0c 0004 4d515454 04 00 0000 0000", 0x85),
    "CONNECT with a password alone": ("10 0f 0004 4d515454 04 42 0000 0000 0001 70", MALFORMED),
    "CONNECT with a will QoS but no will": ("10 0c 0004 4d515454 04 0a 0000 0000", MALFORMED),
    "CONNECT with a will of QoS 3": ("10 0c 0004 4d515454 04 1e 0000 0000", MALFORMED),
    "CONNECT with a will to a wildcard": ("10 11 0004 4d515454 04 06 0000 0000 0001 23 0000", 0x90),
    "CONNECT with more than it says": ("10 0d 0004 4d515454 04 02 0000 0000 00", MALFORMED),
    "SUBSCRIBE with reserved options": ("82 06 0001 0001 61 04", MALFORMED),
    "SUBSCRIBE of QoS 3": ("82 06 0001 0001 61 03", MALFORMED),
    "SUBSCRIBE to nothing": ("82 02 0001", PROTOCOL_ERROR),
    "SUBSCRIBE to a bad filter": ("82 07 0001 0002 612b 00", 0x8F),
    "UNSUBSCRIBE from nothing": ("a2 02 0001", PROTOCOL_ERROR),
}
ONLY_5 = {
    "PUBLISH of packet 0": ("32 06 0001 74 0000 00", MALFORMED),
    "PUBLISH that ends before its properties": ("30 03 0001 74", MALFORMED),
    "PUBLISH without topic or alias": ("30 03 0000 00", PROTOCOL_ERROR),
    "a property length beyond the packet": ("30 04 0001 74 05", MALFORMED),
    "a property that ends too soon": ("30 06 0001 74 02 02 00", MALFORMED),
    "an unknown property": ("30 06 0001 74 02 7f 00", MALFORMED),
    "a property of another packet": ("30 07 0001 74 03 21 0001", PROTOCOL_ERROR),
    "a property twice": ("30 08 0001 74 04 01 00 01 00", PROTOCOL_ERROR),
    "an alias of 0": ("30 07 0001 74 03 23 0000", PROTOCOL_ERROR),
    "a flag of 2": ("30 06 0001 74 02 01 02", PROTOCOL_ERROR),
    "a subscription identifier of 0": ("30 06 0001 74 02 0b 00", PROTOCOL_ERROR),
    "a response topic with a wildcard": ("30 08 0001 74 04 08 0001 23", PROTOCOL_ERROR),
    "a property text that is not UTF-8": ("30 08 0001 74 04 03 0001 ff", MALFORMED),
    "a user property whose name is not UTF-8": ("30 0b 0001 74 07 26 0001 ff 0001 76", MALFORMED),
    "a user property whose value is not UTF-8": ("30 0b 0001 74 07 26 0001 6b 0001 ff", MALFORMED),
    "a user property with U+0000": ("30 0b 0001 74 07 26 0001 6b 0001 00", MALFORMED),
    "AUTH with flags": ("f1 00", MALFORMED),
    "CONNECT whose will has a response topic with a wildcard": (
        "10 19 0004 4d515454 05 06 0000 00 0001 63 04 08 0001 2b 0001 77 0001 78",
        PROTOCOL_ERROR,
    ),
    "a property length of five bytes": ("20 07 00 00 8080808001", MALFORMED),
    "a property length with a needless byte": ("20 04 00 00 8000", MALFORMED),
    "PUBACK with more than it says": ("40 05 0001 00 00 00", MALFORMED),
    "CONNACK of success without properties": ("20 02 00 00", MALFORMED),
    "CONNACK with a maximum QoS of 2": ("20 05 00 00 02 24 02", PROTOCOL_ERROR),
    "CONNACK with a receive maximum of 0": ("20 06 00 00 03 21 0000", PROTOCOL_ERROR),
    "CONNACK with a packet size of 0": ("20 08 00 00 05 27 00000000", PROTOCOL_ERROR),
    "SUBACK without codes": ("90 03 0001 00", PROTOCOL_ERROR),
    "UNSUBACK without codes": ("b0 03 0001 00", PROTOCOL_ERROR),
    "DISCONNECT with more than it says": ("e0 03 00 00 00", MALFORMED),
    "SUBSCRIBE with reserved options": ("82 07 0001 00 0001 61 40", MALFORMED),
    "SUBSCRIBE with retain handling 3": ("82 07 0001 00 0001 61 30", MALFORMED),
    "SUBSCRIBE with two identifiers": ("82 0b 0001 04 0b 01 0b 02 0001 61 00", PROTOCOL_ERROR),
}
CASES = [
    *((version, *case) for version in BOTH for case in EITHER.items()),
    *((Version.V311, *case) for case in ONLY_311.items()),
    *((Version.V5, *case) for case in ONLY_5.items()),
]


@pytest.mark.parametrize(
    ("version", "fault"), [(v, f) for v, _, f in CASES], ids=[f"{v.name} {n}" for v, n, _ in CASES]
)
def test_a_broken_packet_is_a_protocol_error(version: Version, fault: tuple[str, int]) -> None:
    data, code = bytes.fromhex(fault[0]), fault[1]
    with pytest.raises(ProtocolError) as caught:
        list(PacketDecoder(version).feed(data))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("version", "packet", "why"),
    [
        (Version.V5, Publish(topic=""), "empty"),
        (Version.V5, Publish(topic="a/#"), "wildcard"),
        (Version.V5, Publish(topic="a\0"), r"U\+0000"),
        (Version.V5, Publish(topic="\ud800"), "UTF-8"),
        (Version.V5, Publish(topic="a" * 65536), "65535"),
        (Version.V5, Publish(topic="a", qos=3, packet_id=1), "QoS 3"),
        (Version.V5, Publish(topic="a", qos=1), "packet identifier"),
        (Version.V5, Publish(topic="a", packet_id=1), "packet identifier"),
        (Version.V5, Publish(topic="a", dup=True), "DUP"),
        (Version.V311, Publish(topic="a", properties={"topic_alias": 1}), "no properties"),
        (Version.V5, Publish(topic="a", properties={"receive_maximum": 1}), "no property 'receive_maximum'"),
        (Version.V5, Publish(topic="a", properties={"topic_alias": 0}), "out of range"),
        (Version.V5, Publish(topic="a", properties={"message_expiry_interval": 2**32}), "4 bytes"),
        (Version.V5, Publish(topic="a", properties={"subscription_identifier": (2**28,)}), "268435455"),
        (Version.V5, Publish(topic="a", properties={"response_topic": "a/+"}), "wildcard"),
        (Version.V5, Publish(topic="a", properties={"response_topic": "\ud800"}), "UTF-8"),
        (Version.V5, Publish(topic="a", properties={"content_type": "a\0"}), r"U\+0000"),
        (Version.V5, Publish(topic="a", properties={"user_property": (("a", "\ud800"),)}), "UTF-8"),
        (Version.V5, Connack(properties={"maximum_qos": 2}), "out of range"),
        (Version.V5, Subscribe(1, (), {}), "empty|0 bytes"),
        (Version.V5, Subscribe(1, (Subscription("a"),), {"subscription_identifier": (1, 2)}), "identifiers"),
        (Version.V5, Subscribe(1, (Subscription("a", 3),)), "QoS 3"),
        (Version.V5, Unsubscribe(0, ("a",)), "packet identifier"),
        (Version.V5, Unsubscribe(1, ("a#",)), "whole level"),
        (Version.V5, Suback(1, ()), "0 bytes"),
        (Version.V311, Unsuback(1, (0,)), "1 bytes"),
        (Version.V311, Puback(1, 0x10), "no reason code"),
        (Version.V311, Disconnect(4), "no reason code"),
        (Version.V311, Auth(), "no AUTH"),
        (Version.V311, Connect(client_id="c", password=b"p"), "user name"),
        (Version.V311, Connect(client_id="", clean_start=False), "without an id"),
        (Version.V311, Connect(client_id="\ud800"), "UTF-8"),
        (Version.V311, Connect(client_id="c" * 65536), "65535"),
        (Version.V5, Connect(client_id="c", keep_alive_s=65536), "2 bytes"),
        (Version.V5, Connect(client_id="c", will=Will(topic="t", payload=b"", qos=3)), "QoS 3"),
        (Version.V5, Connect(client_id="c", will=Will(topic="t", payload=bytes(65536))), "65535"),
    ],
)
def test_what_has_no_form_in_mqtt_is_not_sent(version: Version, packet: Packet, why: str) -> None:
    with pytest.raises(Unsendable, match=why):
        encode(packet, version)
