"""Our publishes: the bytes, the window, packet identifiers, acknowledgement, and what a reconnection does to them."""

import pytest

from edgewire.mqtt import (
    Acknowledged,
    IllegalTransition,
    ProtocolError,
    PublishRefused,
    SessionConfig,
    StrayAnswer,
    Subscription,
    Version,
    WindowFull,
)
from edgewire.mqtt.packets import (
    Connack,
    Disconnect,
    Pingreq,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Unsubscribe,
)
from tests.edgewire.mqtt.peer import BOTH, Peer, opened


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("size", [0, 100, 200, 20_000])
@pytest.mark.parametrize("topic", ["a/é", "a/é".encode()])
def test_a_publish_is_what_the_owner_said(version: Version, size: int, topic: str | bytes) -> None:
    peer = opened(version)
    for qos in (0, 1, 2):
        packet_id = peer.session.publish(topic, bytes(size), qos=qos, retain=True, now=peer.now)
        assert peer.sent() == [Publish(topic="a/é", payload=bytes(size), qos=qos, retain=True, packet_id=packet_id)]
        assert bool(packet_id) is bool(qos)


def test_properties_are_sent_in_version_5_and_left_out_in_311() -> None:
    for version, expected in ((Version.V5, {"message_expiry_interval": 60}), (Version.V311, {})):
        peer = opened(version)
        peer.session.publish("t", b"", now=peer.now, properties={"message_expiry_interval": 60})
        assert peer.sent() == [Publish(topic="t", properties=expected)]


@pytest.mark.parametrize("topic", ["", "a/#", "+", "a\0", b"", b"a/+", b"#", b"a\0", b"a" * 65536, "a" * 65536])
def test_a_bad_topic_is_refused_and_takes_no_window(topic: str | bytes) -> None:
    peer = opened()
    with pytest.raises(PublishRefused):
        peer.session.publish(topic, b"", qos=1, now=peer.now)
    assert (peer.session.inflight, peer.session.window_free, peer.sent()) == (0, 65535, [])


@pytest.mark.parametrize("qos", [-1, 3])
def test_there_are_three_qualities_of_service(qos: int) -> None:
    with pytest.raises(PublishRefused):
        opened().publish(qos)


@pytest.mark.parametrize("properties", [{"topic_alias": 1}, {"subscription_identifier": (1,)}, {"maximum_qos": 1}])
def test_a_property_that_is_not_the_owners_is_refused(properties: dict[str, int]) -> None:
    peer = opened()
    with pytest.raises(PublishRefused):
        peer.session.publish("t", b"", now=peer.now, properties=properties)


@pytest.mark.parametrize("version", BOTH)
def test_puback_ends_qos_1_and_gives_the_token_back(version: Version) -> None:
    peer = opened(version)
    first, second = peer.publish(1, token="a"), peer.publish(1, token="b")
    assert peer.session.inflight == 2
    assert peer.say(Puback(second), Puback(first)) == [Acknowledged(second, 0, "b"), Acknowledged(first, 0, "a")]
    assert peer.session.inflight == 0


def test_the_tokens_of_what_is_under_way_are_known_even_without_a_connection() -> None:
    peer = opened()
    first, *_ = [peer.publish(qos, token=token) for qos, token in ((1, "a"), (2, "b"), (0, "c"), (1, "d"))]
    peer.say(Puback(first))
    assert peer.session.unacknowledged() == ["b", "d"]
    peer.session.connection_lost()
    assert peer.session.unacknowledged() == ["b", "d"]


def test_puback_tells_why_the_server_refuses() -> None:
    peer = opened()
    packet_id = peer.publish(1, token="a")
    assert peer.say(Puback(packet_id, 0x87, {"reason_string": "no"})) == [Acknowledged(packet_id, 0x87, "a")]
    assert (peer.session.inflight, peer.session.window_free) == (0, 65535)


@pytest.mark.parametrize("version", BOTH)
def test_qos_2_is_four_packets(version: Version) -> None:
    peer = opened(version)
    packet_id = peer.publish(2, token="a")
    peer.sent()
    assert peer.say(Pubrec(packet_id)) == []
    assert peer.sent() == [Pubrel(packet_id)]
    assert peer.session.inflight == 1
    assert peer.say(Pubcomp(packet_id)) == [Acknowledged(packet_id, 0, "a")]
    assert (peer.session.inflight, peer.sent()) == (0, [])


def test_an_error_in_pubrec_ends_qos_2() -> None:
    peer = opened()
    packet_id = peer.publish(2, token="a")
    peer.sent()
    assert peer.say(Pubrec(packet_id, 0x97)) == [Acknowledged(packet_id, 0x97, "a")]
    assert (peer.session.inflight, peer.session.window_free, peer.sent()) == (0, 65535, [])


def test_a_success_other_than_0_in_pubrec_goes_on() -> None:
    peer = opened()
    packet_id = peer.publish(2)
    peer.sent()
    assert peer.say(Pubrec(packet_id, 0x10)) == []
    assert peer.sent() == [Pubrel(packet_id)]


@pytest.mark.parametrize(("version", "code"), [(Version.V5, 0x92), (Version.V311, 0)])
def test_an_unknown_pubrec_is_answered_so_that_the_server_can_end_it(version: Version, code: int) -> None:
    peer = opened(version)
    assert peer.say(Pubrec(7)) == [StrayAnswer("PUBREC", 7)]
    assert peer.sent() == [Pubrel(7, code)]
    assert peer.say(Pubcomp(7)) == [StrayAnswer("PUBCOMP", 7)]


def test_pubrec_twice_is_answered_twice_and_counted_once() -> None:
    peer = opened()
    packet_id = peer.publish(2, token="a")
    peer.sent()
    peer.say(Pubrec(packet_id), Pubrec(packet_id))
    assert peer.sent() == [Pubrel(packet_id)] * 2
    events = peer.say(Pubcomp(packet_id), Pubcomp(packet_id))
    assert events == [Acknowledged(packet_id, 0, "a"), StrayAnswer("PUBCOMP", packet_id)]
    assert peer.session.window_free == 65535


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize(
    ("qos", "answers"),
    [
        (1, [Puback(9)]),
        (1, [Pubrec(1)]),
        (1, [Pubcomp(1)]),
        (2, [Puback(1)]),
        (2, [Pubcomp(1)]),
    ],
)
def test_an_answer_out_of_turn_is_ignored_and_told(version: Version, qos: int, answers: list[Puback]) -> None:
    peer = opened(version)
    assert peer.publish(qos, token="a") == 1
    window = peer.session.window_free
    (answer,) = answers
    assert peer.say(answer) == [StrayAnswer(type(answer).__name__.upper(), answer.packet_id)]
    assert (peer.session.unacknowledged(), peer.session.window_free) == (["a"], window)


@pytest.mark.parametrize("version", BOTH)
def test_the_second_of_two_acknowledgements_is_ignored(version: Version) -> None:
    peer = opened(version)
    packet_id = peer.publish(1, token="a")
    assert peer.say(Puback(packet_id), Puback(packet_id)) == [
        Acknowledged(packet_id, 0, "a"),
        StrayAnswer("PUBACK", packet_id),
    ]
    assert peer.session.window_free == 65535


def test_what_is_out_of_date_is_withdrawn_between_two_connections() -> None:
    peer, old = opened(), object()
    a, b = peer.publish(1, b"a", old), peer.publish(1, b"b", "b")
    c = peer.publish(2, b"c", old)
    with pytest.raises(IllegalTransition, match="end it first"):
        peer.session.withdraw_inflight(old)
    peer.session.connection_lost()
    peer.session.withdraw_inflight(old)
    peer.open(session_present=True)
    # An exchange of QoS 2 may be half done at the server.
    assert [one.packet_id for one in peer.sent()] == [b, c]
    assert peer.say(Puback(a)) == [StrayAnswer("PUBACK", a)]


def test_a_server_cannot_refuse_what_it_has_accepted() -> None:
    peer = opened()
    packet_id = peer.publish(2)
    with pytest.raises(ProtocolError, match="after it has accepted"):
        peer.say(Pubrec(packet_id), Pubrec(packet_id, 0x97))


def test_the_window_is_the_servers_receive_maximum() -> None:
    peer = Peer(SessionConfig(client_id="c"))
    peer.open(receive_maximum=2)
    first, second = peer.publish(1), peer.publish(2)
    assert peer.session.window_free == 0
    with pytest.raises(WindowFull):
        peer.publish(1)
    peer.publish(0)
    peer.say(Pubrec(second))
    assert peer.session.window_free == 0, "QoS 2 holds its place until PUBCOMP"
    peer.say(Puback(first))
    assert peer.session.window_free == 1
    peer.say(Pubcomp(second))
    assert peer.session.window_free == 2


def test_a_full_window_holds_back_publishes_alone() -> None:
    peer = Peer(SessionConfig(client_id="c", keep_alive_s=10))
    peer.open(receive_maximum=1)
    session, under_way = peer.session, peer.publish(2)
    peer.sent()
    with pytest.raises(WindowFull):
        peer.publish(1)
    peer.say(Publish(topic="t", qos=1, packet_id=7), Pubrec(under_way))
    subscribe, unsubscribe = session.subscribe([Subscription("a")], peer.now), session.unsubscribe(["a"], peer.now)
    peer.publish(0)
    assert peer.sent() == [
        Puback(7),
        Pubrel(under_way),
        Subscribe(subscribe, (Subscription("a"),)),
        Unsubscribe(unsubscribe, ("a",)),
        Publish(topic="t", payload=b"x"),
    ]
    peer.now += 10
    session.tick(peer.now)
    assert peer.sent() == [Pingreq()]
    session.disconnect()
    assert peer.sent() == [Disconnect()]


def test_311_is_bounded_by_its_packet_identifiers_which_subscribe_shares() -> None:
    peer = opened(Version.V311)
    subscribe = peer.session.subscribe([Subscription("a")], peer.now)
    assert peer.session.window_free == 65534
    ids = {peer.publish(1) for _ in range(65534)}
    assert ids | {subscribe} == set(range(1, 65536))
    assert peer.session.window_free == 0
    with pytest.raises(WindowFull):
        peer.publish(1)
    with pytest.raises(WindowFull):
        peer.session.unsubscribe(["a"], peer.now)
    peer.say(Puback(500))
    assert peer.publish(1) == 500


@pytest.mark.slow
def test_packet_identifiers_wrap_around_and_skip_those_in_use() -> None:
    peer = opened()
    kept = peer.publish(1)
    request = peer.session.subscribe([Subscription("a")], peer.now)
    for _ in range(65533):
        peer.say(Puback(peer.publish(1)))
    assert peer.publish(1) == 3 != kept != request


@pytest.mark.parametrize("version", BOTH)
def test_a_resumed_session_gets_its_publishes_again_in_order_with_dup(version: Version) -> None:
    peer = opened(version)
    a, b, c = peer.publish(1, b"a", "A"), peer.publish(2, b"b"), peer.publish(1, b"c")
    again = [
        Publish(topic="t", payload=payload, qos=qos, packet_id=packet_id, dup=True)
        for payload, qos, packet_id in ((b"a", 1, a), (b"b", 2, b), (b"c", 1, c))
    ]
    assert peer.reopen(session_present=True) == again
    assert peer.reopen(session_present=True) == again
    assert peer.say(Puback(a)) == [Acknowledged(a, 0, "A")]
    assert peer.reopen(session_present=True) == again[1:]


@pytest.mark.parametrize("version", BOTH)
def test_a_server_without_a_session_gets_everything_as_new(version: Version) -> None:
    peer = opened(version)
    a, b, c = peer.publish(2, b"a"), peer.publish(1, b"b"), peer.publish(2, b"c")
    peer.say(Pubrec(c))
    new = [
        Publish(topic="t", payload=payload, qos=qos, packet_id=packet_id)
        for payload, qos, packet_id in ((b"a", 2, a), (b"b", 1, b), (b"c", 2, c))
    ]
    assert peer.reopen(session_present=False) == new
    peer.say(Pubrec(c), Pubcomp(c), Puback(b), Pubrec(a), Pubcomp(a))
    assert peer.session.inflight == 0


@pytest.mark.parametrize("version", BOTH)
def test_after_pubrec_only_pubrel_is_sent_again_in_the_order_of_pubrec(version: Version) -> None:
    peer = opened(version)
    a, b, c = peer.publish(2, b"a"), peer.publish(2, b"b"), peer.publish(2, b"c")
    peer.say(Pubrec(b), Pubrec(a))
    third = Publish(topic="t", payload=b"c", qos=2, packet_id=c, dup=True)
    assert peer.reopen(session_present=True) == [Pubrel(b), Pubrel(a), third]


def test_a_release_whose_answer_was_lost_is_complete() -> None:
    peer = opened()
    packet_id = peer.publish(2, token="a")
    peer.say(Pubrec(packet_id))
    peer.reopen(session_present=True)
    assert peer.say(Pubcomp(packet_id, 0x92)) == [Acknowledged(packet_id, 0, "a")]


def test_a_smaller_window_lets_the_old_publishes_through_one_by_one_before_new_ones() -> None:
    peer = opened()
    a, b, c = peer.publish(1, b"a"), peer.publish(1, b"b"), peer.publish(1, b"c")
    assert [p.packet_id for p in peer.reopen(session_present=True, receive_maximum=1)] == [a]
    assert peer.session.window_free == 0
    peer.say(Puback(a))
    assert [p.packet_id for p in peer.sent()] == [b]
    with pytest.raises(WindowFull):
        peer.publish(1)
    assert peer.say(Puback(c)) == [StrayAnswer("PUBACK", c)], "it has not been sent again yet"
    assert [p.packet_id for p in peer.reopen(session_present=True, receive_maximum=2)] == [b, c]


def test_releases_take_no_window_and_give_none() -> None:
    """4.9: the quota starts anew with a connection, and PUBCOMP for a repeated PUBREL must not lift it above."""
    peer = Peer(SessionConfig(client_id="c", clean_start=False))
    peer.open(receive_maximum=2)
    a, b = peer.publish(2), peer.publish(2)
    peer.say(Pubrec(a), Pubrec(b))
    assert peer.reopen(session_present=True, receive_maximum=2) == [Pubrel(a), Pubrel(b)]
    assert peer.session.window_free == 2
    peer.say(Pubcomp(a), Pubcomp(b))
    assert peer.session.window_free == 2


def test_what_the_new_server_cannot_take_is_refused_and_the_rest_goes_on() -> None:
    peer = opened()
    large, exact, small = peer.publish(1, bytes(100), "l"), peer.publish(2, b"", "e"), peer.publish(1, b"s", "s")
    retained = peer.session.publish("t", b"", qos=1, retain=True, now=peer.now, token="r")
    peer.session.connection_lost()
    peer.connect()
    limits = {"maximum_packet_size": 50, "maximum_qos": 1, "retain_available": 0}
    events = peer.say(Connack(True, 0, limits))
    assert events[1:] == [
        Acknowledged(large, 0x95, "l"),
        Acknowledged(exact, 0x9B, "e"),
        Acknowledged(retained, 0x9A, "r"),
    ]
    assert peer.sent() == [Publish(topic="t", payload=b"s", qos=1, packet_id=small, dup=True)]
    assert peer.session.inflight == 1


def test_publishes_under_way_are_carried_into_another_version() -> None:
    peer = opened()
    session = peer.session
    first = session.publish("t", b"x", qos=1, retain=True, now=peer.now, properties={"content_type": "j"}, token="a")
    second = session.publish("t", bytes(200), qos=2, now=peer.now)
    session.connection_lost()
    session.set_version(Version.V311)
    peer.open(session_present=True)
    assert peer.sent() == [
        Publish(topic="t", payload=b"x", qos=1, retain=True, packet_id=first, dup=True),
        Publish(topic="t", payload=bytes(200), qos=2, packet_id=second, dup=True),
    ]
    assert peer.say(Puback(first)) == [Acknowledged(first, 0, "a")]
    session.connection_lost()
    session.set_version(Version.V5)
    peer.open()
    assert peer.sent() == [Publish(topic="t", payload=bytes(200), qos=2, packet_id=second)]


def test_a_lost_request_frees_its_packet_identifier() -> None:
    peer = opened()
    peer.session.subscribe([Subscription("a")], peer.now)
    peer.reopen(session_present=True)
    assert peer.session.window_free == 65535
    assert peer.say(Suback(1, (0,))) == [StrayAnswer("SUBACK", 1)]


def test_what_was_queued_for_a_lost_connection_does_not_leak_into_the_next() -> None:
    peer = opened()
    peer.publish(0, b"lost")
    peer.session.subscribe([Subscription("a")], peer.now)
    peer.session.connection_lost()
    assert peer.session.data_to_send() == b""
    assert not [one for one in peer.reopen(session_present=True) if isinstance(one, Publish | Subscribe)]
