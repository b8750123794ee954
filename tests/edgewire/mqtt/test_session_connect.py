"""CONNECT, CONNACK, DISCONNECT, and the limits that a server states."""

import pytest

from edgewire.errors import ConfigError
from edgewire.mqtt import (
    Connected,
    ConnectionLost,
    ConnectRefused,
    IllegalTransition,
    PeerFault,
    ProtocolError,
    PublishRefused,
    ServerDisconnected,
    ServerLimits,
    SessionConfig,
    SessionNotConnected,
    SessionState,
    Subscription,
    Unsendable,
    Version,
    Will,
    encode,
)
from edgewire.mqtt.packets import Auth, Connack, Connect, Disconnect, Pingresp, Puback, Publish, Pubrec, Subscribe
from tests.edgewire.mqtt.peer import BOTH, Peer, messages, opened

FULL = SessionConfig(
    client_id="c",
    clean_start=False,
    keep_alive_s=30,
    session_expiry_s=3600,
    receive_maximum=500,
    maximum_packet_size=4096,
    topic_alias_maximum=3,
    username="u",
    password=b"p",
    will=Will(topic="w", payload=b"gone", qos=1, retain=True, delay_s=7),
    user_properties=(("k", "v"),),
)


def test_connect_says_all_that_was_asked_for() -> None:
    (packet,) = Peer(FULL).connect()
    assert packet == Connect(
        client_id="c",
        clean_start=False,
        keep_alive_s=30,
        will=FULL.will,
        username="u",
        password=b"p",
        properties={
            "maximum_packet_size": 4096,
            "session_expiry_interval": 3600,
            "receive_maximum": 500,
            "topic_alias_maximum": 3,
            "user_property": (("k", "v"),),
        },
    )


def test_connect_of_311_leaves_out_what_it_cannot_say() -> None:
    (packet,) = Peer(FULL, Version.V311).connect()
    assert packet == Connect(
        client_id="c",
        clean_start=False,
        keep_alive_s=30,
        will=Will(topic="w", payload=b"gone", qos=1, retain=True),
        username="u",
        password=b"p",
    )


def test_the_limits_of_connack_are_known() -> None:
    peer = Peer(SessionConfig(client_id=""))
    connected = peer.open(
        receive_maximum=5,
        maximum_packet_size=100,
        maximum_qos=1,
        retain_available=0,
        server_keep_alive=7,
        session_expiry_interval=9,
        topic_alias_maximum=3,
        assigned_client_identifier="me",
        wildcard_subscription_available=0,
        shared_subscription_available=0,
    )
    assert connected == Connected(
        False,
        "",
        ServerLimits(
            receive_maximum=5,
            maximum_packet_size=100,
            maximum_qos=1,
            retain_available=False,
            keep_alive_s=7,
            session_expiry_s=9,
            topic_alias_maximum=3,
            assigned_client_id="me",
            wildcard_available=False,
            shared_available=False,
        ),
    )
    assert peer.session.limits is connected.limits
    assert (peer.session.state, peer.session.window_free) == (SessionState.CONNECTED, 5)


def test_without_a_word_of_the_server_our_own_wishes_hold() -> None:
    limits = opened(keep_alive_s=11, session_expiry_s=12).session.limits
    assert limits == ServerLimits(keep_alive_s=11, session_expiry_s=12)


def test_an_assigned_client_id_is_kept_for_the_next_connection() -> None:
    peer = Peer(SessionConfig(client_id=""))
    peer.open(assigned_client_identifier="me")
    peer.session.connection_lost()
    (packet,) = peer.connect()
    assert isinstance(packet, Connect)
    assert packet.client_id == "me"
    peer.accept()
    assert peer.session.limits.assigned_client_id == "me"


def test_a_server_must_assign_the_client_id_that_was_left_to_it() -> None:
    peer = Peer(SessionConfig(client_id=""))
    peer.connect()
    with pytest.raises(ProtocolError, match="assigned"):
        peer.accept()


@pytest.mark.parametrize("version", BOTH)
def test_a_refusal_is_told_by_its_name(version: Version) -> None:
    peer = Peer(SessionConfig(client_id="c"), version)
    peer.connect()
    code = 0x87 if version is Version.V5 else 5
    assert peer.say(Connack(False, code)) == [ConnectRefused(code, "not authorized")]
    assert peer.session.state is SessionState.CLOSED


def test_a_refusal_says_what_the_server_adds() -> None:
    peer = Peer(SessionConfig(client_id="c"))
    peer.connect()
    events = peer.say(Connack(False, 0x9C, {"reason_string": "full", "server_reference": "b:1883"}))
    assert events == [ConnectRefused(0x9C, "use another server: full (use b:1883)", "b:1883")]


@pytest.mark.parametrize("version", BOTH)
def test_a_session_that_we_asked_to_forget_may_not_be_resumed(version: Version) -> None:
    peer = Peer(SessionConfig(client_id="c", clean_start=True), version)
    peer.connect()
    with pytest.raises(ProtocolError, match="asked it to forget"):
        peer.accept(session_present=True)


@pytest.mark.parametrize("follows", [encode(Disconnect(0x8E), Version.V5), b"\xff\xff", encode(Connack(), Version.V5)])
def test_what_comes_with_connack_waits_until_the_owner_has_used_the_connection(follows: bytes) -> None:
    peer = Peer(SessionConfig(client_id="c"))
    peer.connect()
    session = peer.session
    events = session.receive(encode(Connack(), Version.V5) + follows, peer.now)
    assert [type(event) for event in events] == [Connected]
    session.subscribe([Subscription("a")], peer.now)
    if follows[0] == 0xE0:
        assert session.receive(b"", peer.now) == [ServerDisconnected(0x8E, "session taken over")]
    else:
        with pytest.raises(PeerFault):
            session.receive(b"", peer.now)
    assert session.state is SessionState.CLOSED
    assert isinstance(peer.sent()[0], Subscribe)


@pytest.mark.parametrize("packet", [Publish(topic="t"), Puback(1), Pingresp(), Disconnect(), Auth()])
def test_nothing_may_come_before_connack(packet: Publish) -> None:
    peer = Peer(SessionConfig(client_id="c"))
    peer.connect()
    with pytest.raises(ProtocolError, match="before CONNACK"):
        peer.say(packet)
    assert peer.sent() == []


@pytest.mark.parametrize(
    "packet",
    [Connack(), Connect(client_id="c"), Subscribe(1, (Subscription("a"),)), Auth(0x18)],
)
def test_what_a_server_may_not_send_ends_the_connection(packet: Connack) -> None:
    peer = opened()
    with pytest.raises(ProtocolError, match=type(packet).__name__.upper()):
        peer.say(packet)
    assert peer.sent() == [Disconnect(0x82)]
    assert peer.session.state is SessionState.CLOSED


def test_a_311_server_has_no_disconnect() -> None:
    peer = opened(Version.V311)
    with pytest.raises(ProtocolError, match="DISCONNECT"):
        peer.say(Disconnect())
    assert peer.sent() == []


def test_malformed_bytes_are_answered_with_their_reason_and_keep_what_came_before() -> None:
    peer = opened()
    with pytest.raises(PeerFault) as caught:
        peer.hear(b"\x30\x04\x00\x01t\x00" + b"\x00")
    assert [event.topic for event in caught.value.events] == ["t"]
    assert peer.sent() == [Disconnect(0x81)]
    assert peer.hear(b"\x30\x04\x00\x01t\x00") == []


def test_a_packet_beyond_our_limit_is_too_large() -> None:
    peer = opened(maximum_packet_size=100)
    with pytest.raises(ProtocolError):
        peer.say(Publish(topic="t", payload=bytes(100)))
    assert peer.sent() == [Disconnect(0x95)]


def test_the_server_says_why_it_disconnects() -> None:
    peer = opened()
    events = peer.say(Disconnect(0x8E), Publish(topic="after"))
    assert events == [ServerDisconnected(0x8E, "session taken over")]
    assert peer.session.state is SessionState.CLOSED
    with pytest.raises(SessionNotConnected):
        peer.publish(0)


def test_a_server_may_not_change_the_session_expiry_when_it_disconnects() -> None:
    with pytest.raises(ProtocolError, match="session_expiry_interval"):
        opened().say(Disconnect(0, {"session_expiry_interval": 1}))


@pytest.mark.parametrize("version", BOTH)
def test_disconnect_takes_the_will_back(version: Version) -> None:
    peer = opened(version)
    peer.session.disconnect()
    assert peer.sent() == [Disconnect()]
    assert peer.hear(b"\xd0\x00") == []


@pytest.mark.parametrize("version", BOTH)
def test_after_disconnect_nothing_is_sent(version: Version) -> None:
    peer = opened(version, keep_alive_s=10, manual_ack=True)
    (message,) = messages(peer.say(Publish(topic="t", qos=1, packet_id=7)))
    under_way = peer.publish(2)
    peer.session.disconnect()
    peer.sent()
    for attempt in (lambda: peer.publish(0), lambda: peer.session.subscribe([Subscription("a")], peer.now)):
        with pytest.raises(SessionNotConnected):
            attempt()
    assert not peer.session.ack(message)
    assert peer.say(Pubrec(under_way), Publish(topic="t", qos=1, packet_id=8)) == []
    assert peer.session.tick(peer.now + 100) == []
    assert peer.sent() == []


@pytest.mark.parametrize(("version", "said"), [(Version.V5, [Disconnect(4)]), (Version.V311, [])])
def test_disconnect_with_a_reason_lets_the_will_fire(version: Version, said: list[Disconnect]) -> None:
    peer = opened(version)
    peer.session.disconnect(4)
    assert peer.sent() == said


def test_disconnect_may_follow_connect_at_once() -> None:
    peer = Peer(SessionConfig(client_id="c"))
    peer.connect()
    peer.session.disconnect()
    assert peer.sent() == [Disconnect()]


def test_the_steps_of_a_connection_are_a_table() -> None:
    peer = opened()
    with pytest.raises(IllegalTransition, match="CONNECTED cannot CONNECT"):
        peer.connect()
    peer.session.connection_lost()
    peer.session.connection_lost()
    with pytest.raises(IllegalTransition, match="IDLE cannot CLOSE"):
        peer.session.disconnect()
    peer.open()


def test_a_version_is_changed_between_connections_only() -> None:
    peer = opened()
    with pytest.raises(IllegalTransition, match="CONNECTED cannot change"):
        peer.session.set_version(Version.V311)


def test_a_session_knows_whether_its_version_was_ever_accepted() -> None:
    peer = Peer(SessionConfig(client_id="c"))
    peer.connect()
    assert not peer.session.accepted
    peer.accept()
    assert peer.session.accepted
    peer.session.connection_lost()
    assert peer.session.accepted
    peer.session.set_version(Version.V311)
    assert not peer.session.accepted


def test_without_a_connection_nothing_is_sent() -> None:
    peer = Peer(SessionConfig(client_id="c"))
    for attempt in (
        lambda: peer.publish(0),
        lambda: peer.publish(1),
        lambda: peer.session.subscribe([Subscription("a")], 0.0),
        lambda: peer.session.unsubscribe(["a"], 0.0),
    ):
        with pytest.raises(SessionNotConnected):
            attempt()
    assert peer.session.window_free == 0


def test_settings_that_a_version_cannot_carry_leave_the_session_as_it_was() -> None:
    peer = Peer(SessionConfig(client_id="c", password=b"p"), Version.V311)
    with pytest.raises(Unsendable, match="user name"):
        peer.connect()
    assert peer.session.state is SessionState.IDLE
    assert peer.session.data_to_send() == b""


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"client_id": "a\0"}, r"U\+0000"),
        ({"keep_alive_s": 65536}, "keep_alive_s of client 'c' is 65536"),
        ({"receive_maximum": 0}, "receive_maximum"),
        ({"maximum_packet_size": 0}, "maximum_packet_size"),
        ({"session_expiry_s": -1}, "session_expiry_s"),
        ({"topic_alias_maximum": 65536}, "topic_alias_maximum"),
        ({"username": "\ud800"}, "UTF-8"),
        ({"password": bytes(65536)}, "password"),
        ({"user_properties": (("a", "b\0"),)}, r"U\+0000"),
        ({"will": Will(topic="a/#", payload=b"")}, "wildcard"),
        ({"will": Will(topic="a", payload=b"", qos=3)}, "QoS"),
        ({"will": Will(topic="a", payload=bytes(65536))}, "65535"),
        ({"will": Will(topic="a", payload=b"", delay_s=2**32)}, "delayed"),
    ],
)
def test_a_setting_that_mqtt_cannot_carry_is_named(settings: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        SessionConfig(**{"client_id": "c", **settings})


def test_the_limits_of_the_server_are_obeyed() -> None:
    peer = Peer(SessionConfig(client_id="c"))
    peer.open(maximum_qos=1, retain_available=0, maximum_packet_size=30)
    session, now = peer.session, peer.now
    with pytest.raises(PublishRefused, match="QoS not supported"):
        session.publish("t", b"", qos=2, now=now)
    with pytest.raises(PublishRefused, match="retain not supported"):
        session.publish("t", b"", retain=True, now=now)
    with pytest.raises(PublishRefused, match="31 bytes: packet too large"):
        session.publish("t", bytes(25), now=now)
    session.publish("t", bytes(24), now=now)
    assert (session.inflight, len(session.data_to_send())) == (0, 30)


def test_no_event_follows_the_end_of_a_silent_connection() -> None:
    peer = opened(keep_alive_s=10)
    peer.now += 9
    assert peer.session.tick(peer.now) == []
    peer.now += 10
    assert peer.session.tick(peer.now) == [ConnectionLost("the server is silent: no PINGRESP within 10 s")]
    assert peer.say(Publish(topic="late")) == []
    assert peer.session.tick(peer.now + 100) == []
