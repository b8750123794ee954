"""Packets against bytes worked out by hand from the two standards."""

import pytest

from edgewire.mqtt import PacketDecoder, Subscription, Version, Will, encode
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
    Unsuback,
    Unsubscribe,
)

V311 = [
    (Connect(client_id=""), "10 0c 0004 4d515454 04 02 0000 0000"),
    (
        Connect(
            client_id="a",
            clean_start=False,
            keep_alive_s=60,
            will=Will(topic="w", payload=b"\x00\xff", qos=2, retain=True),
            username="u",
            password=b"p",
        ),
        "10 1a 0004 4d515454 04 f4 003c 0001 61 0001 77 0002 00ff 0001 75 0001 70",
    ),
    (Connack(True, 0), "20 02 01 00"),
    (Connack(False, 5), "20 02 00 05"),
    (Publish(topic="a/b", payload=b"hi"), "30 07 0003 612f62 6869"),
    (Publish(topic="a/b", qos=1, packet_id=10, payload=b"hi"), "32 09 0003 612f62 000a 6869"),
    (Publish(topic="é", qos=2, dup=True, retain=True, packet_id=65535), "3d 06 0002 c3a9 ffff"),
    (Publish(topic="\ufeffa"), "30 06 0004 efbbbf61"),
    (Publish(topic="t", payload=b"x" * 200), "30 cb01 0001 74" + "78" * 200),
    (Publish(topic="t", payload=b"x" * 20000), "30 a39c01 0001 74" + "78" * 20000),
    (Puback(10), "40 02 000a"),
    (Pubrec(10), "50 02 000a"),
    (Pubrel(10), "62 02 000a"),
    (Pubcomp(10), "70 02 000a"),
    (Subscribe(1, (Subscription("a/b", 1), Subscription("c/#", 2))), "82 0e 0001 0003 612f62 01 0003 632f23 02"),
    (Suback(1, (1, 0x80)), "90 04 0001 01 80"),
    (Unsubscribe(2, ("a/b", "+")), "a2 0a 0002 0003 612f62 0001 2b"),
    (Unsuback(2), "b0 02 0002"),
    (Pingreq(), "c0 00"),
    (Pingresp(), "d0 00"),
    (Disconnect(), "e0 00"),
]
V5 = [
    (Connect(client_id=""), "10 0d 0004 4d515454 05 02 0000 00 0000"),
    (
        Connect(
            client_id="a",
            keep_alive_s=10,
            will=Will(topic="w", payload=b"x", qos=1, retain=False, delay_s=5),
            password=b"p",
            properties={
                "session_expiry_interval": 3600,
                "receive_maximum": 100,
                "maximum_packet_size": 65536,
                "topic_alias_maximum": 7,
                "user_property": (("k", "v"), ("k", "w")),
            },
        ),
        "10 3b 0004 4d515454 05 4e 000a"
        " 1e 11 00000e10 21 0064 27 00010000 22 0007 26 0001 6b 0001 76 26 0001 6b 0001 77"
        " 0001 61 05 18 00000005 0001 77 0001 78 0001 70",
    ),
    (Connack(True, 0), "20 03 01 00 00"),
    (Connack(False, 0x87, {"reason_string": "no"}), "20 08 00 87 05 1f 0002 6e6f"),
    (
        Connack(
            False,
            0,
            {
                "receive_maximum": 20,
                "maximum_qos": 1,
                "retain_available": 0,
                "maximum_packet_size": 1000,
                "assigned_client_identifier": "x",
                "topic_alias_maximum": 10,
                "server_keep_alive": 30,
            },
        ),
        "20 19 00 00 16 21 0014 24 01 25 00 27 000003e8 12 0001 78 22 000a 13 001e",
    ),
    (Publish(topic="a/b", payload=b"hi"), "30 08 0003 612f62 00 6869"),
    (Publish(topic="a/b", qos=1, packet_id=10, payload=b"hi"), "32 0a 0003 612f62 000a 00 6869"),
    (
        Publish(
            topic="",
            properties={
                "topic_alias": 3,
                "payload_format_indicator": 1,
                "message_expiry_interval": 9,
                "content_type": "j",
                "response_topic": "r",
                "correlation_data": b"\x00",
                "subscription_identifier": (1, 300),
            },
        ),
        "30 1e 0000 1b 23 0003 01 01 02 00000009 03 0001 6a 08 0001 72 09 0001 00 0b 01 0b ac02",
    ),
    (Puback(10), "40 02 000a"),
    (Puback(10, 0x10), "40 03 000a 10"),
    (Pubrec(10, 0x97, {"reason_string": "q"}), "50 08 000a 97 04 1f 0001 71"),
    (Pubrel(10, 0x92), "62 03 000a 92"),
    (Pubcomp(10, 0x92), "70 03 000a 92"),
    (
        Subscribe(1, (Subscription("a", 2, True, True, 2),), {"subscription_identifier": (200,)}),
        "82 0a 0001 03 0b c801 0001 61 2e",
    ),
    (Suback(1, (1, 0x87)), "90 05 0001 00 01 87"),
    (Unsubscribe(2, ("a",)), "a2 06 0002 00 0001 61"),
    (Unsuback(2, (0, 0x11)), "b0 05 0002 00 00 11"),
    (Pingreq(), "c0 00"),
    (Pingresp(), "d0 00"),
    (Disconnect(), "e0 00"),
    (Disconnect(0x04), "e0 01 04"),
    (Disconnect(0x9C, {"server_reference": "s"}), "e0 06 9c 04 1c 0001 73"),
    (Auth(0x18, {"authentication_method": "m", "authentication_data": b"d"}), "f0 0a 18 08 15 0001 6d 16 0001 64"),
    (Auth(), "f0 00"),
]
VECTORS = [(Version.V311, *one) for one in V311] + [(Version.V5, *one) for one in V5]


@pytest.mark.parametrize(("version", "packet", "written"), VECTORS)
def test_a_packet_has_the_bytes_of_the_standard(version: Version, packet: Packet, written: str) -> None:
    data = bytes.fromhex(written)
    assert encode(packet, version).hex(" ") == data.hex(" ")
    assert list(PacketDecoder(version).feed(data)) == [packet]


@pytest.mark.parametrize(
    "written",
    ["40 03 0001 00", "40 04 0001 00 00", "e0 01 00", "e0 02 00 00"],
)
def test_a_success_may_also_be_written_out(written: str) -> None:
    (packet,) = PacketDecoder(Version.V5).feed(bytes.fromhex(written))
    assert packet in (Puback(1), Disconnect())


@pytest.mark.parametrize("code", [1, 5])
def test_a_311_server_refuses_version_5_in_its_own_form(code: int) -> None:
    assert list(PacketDecoder(Version.V5).feed(bytes((0x20, 2, 0, code)))) == [Connack(False, code)]
