"""Messages from the server: acknowledgement in receipt order, QoS 2 exactly once, our limits, topic aliases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.mqtt import Message, ProtocolError, Version
from edgewire.mqtt.packets import Disconnect, Puback, Pubcomp, Publish, Pubrec, Pubrel
from tests.edgewire.mqtt.peer import BOTH, messages, opened


def message(qos: int, packet_id: int, payload: bytes = b"", *, dup: bool = False) -> Publish:
    return Publish(topic="t", payload=payload, qos=qos, packet_id=packet_id, dup=dup)


@pytest.mark.parametrize("version", BOTH)
def test_a_message_is_what_the_server_said(version: Version) -> None:
    peer = opened(version)
    properties = {"content_type": "j", "subscription_identifier": (1, 2)} if version is Version.V5 else {}
    publish = Publish(
        topic="a/é",
        payload=b"x",
        qos=1,
        retain=True,
        dup=True,
        packet_id=9,
        properties=properties,
    )
    assert peer.say(publish) == [Message("a/é", b"x", 1, True, True, 9, properties, 1)]


@pytest.mark.parametrize("version", BOTH)
def test_without_manual_ack_answers_follow_at_once_in_order(version: Version) -> None:
    peer = opened(version)
    events = peer.say(message(1, 5), message(0, 0), message(2, 6), message(1, 7))
    assert [one.packet_id for one in messages(events)] == [5, 0, 6, 7]
    assert peer.sent() == [Puback(5), Pubrec(6), Puback(7)]
    assert peer.say(Pubrel(6)) == []
    assert peer.sent() == [Pubcomp(6)]


@pytest.mark.parametrize("version", BOTH)
def test_manual_answers_leave_in_the_order_of_receipt(version: Version) -> None:
    peer = opened(version, manual_ack=True)
    session = peer.session
    a, b, c, d = messages(peer.say(message(1, 1), message(2, 2), message(1, 3), message(1, 4)))
    assert session.ack(c)
    assert session.ack(b)
    assert peer.sent() == [], "the first is not acknowledged yet"
    assert session.ack(a)
    assert peer.sent() == [Puback(1), Pubrec(2), Puback(3)]
    assert session.ack(d)
    assert peer.sent() == [Puback(4)]


def test_an_acknowledgement_counts_once() -> None:
    peer = opened(manual_ack=True)
    first, second = messages(peer.say(message(1, 1), message(1, 2)))
    assert peer.session.ack(second)
    assert not peer.session.ack(second)
    assert peer.session.ack(first)
    assert not peer.session.ack(first)
    assert peer.sent() == [Puback(1), Puback(2)]
    (again,) = messages(peer.say(message(1, 1)))
    assert not peer.session.ack(first), "a later message may have the same packet identifier"
    assert peer.sent() == []
    assert peer.session.ack(again)
    assert peer.sent() == [Puback(1)]


@given(
    qualities=st.lists(st.integers(0, 2), max_size=12),
    turns=st.lists(st.lists(st.integers(0, 11), max_size=12), max_size=6),
)
def test_many_acknowledgements_at_once_are_as_many_alone(qualities: list[int], turns: list[list[int]]) -> None:
    alone, together = opened(manual_ack=True), opened(manual_ack=True)
    sent = [message(qos, number if qos else 0) for number, qos in enumerate(qualities, 1)]
    theirs, ours = messages(alone.say(*sent)), messages(together.say(*sent))
    for turn in [*turns, list(range(len(sent)))]:
        positions = [position for position in turn if position < len(sent)]
        for position in positions:
            alone.session.ack(theirs[position])
        together.session.ack_all([ours[position] for position in positions])
        assert together.sent() == alone.sent()


def test_qos_0_needs_no_acknowledgement() -> None:
    peer = opened(manual_ack=True)
    (only,) = messages(peer.say(message(0, 0)))
    assert not peer.session.ack(only)
    assert peer.sent() == []


@pytest.mark.parametrize("version", BOTH)
def test_an_acknowledgement_of_an_earlier_connection_is_ignored(version: Version) -> None:
    peer = opened(version, manual_ack=True)
    old = messages(peer.say(message(1, 1), message(2, 2)))
    peer.session.connection_lost()
    assert not any(map(peer.session.ack, old))
    peer.open(session_present=True)
    new = messages(peer.say(message(1, 1, dup=True), message(2, 2, dup=True)))
    assert [(one.dup, one.epoch) for one in new] == [(True, 2), (True, 2)]
    assert not any(map(peer.session.ack, old))
    assert peer.sent() == []
    assert all(map(peer.session.ack, new))
    assert peer.sent() == [Puback(1), Pubrec(2)]


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("manual", [False, True])
def test_qos_2_is_delivered_once_even_over_a_reconnection(version: Version, manual: bool) -> None:
    peer = opened(version, manual_ack=manual)
    (one,) = messages(peer.say(message(2, 5)))
    assert peer.session.ack(one) is manual
    assert peer.sent() == [Pubrec(5)]
    assert peer.reopen(session_present=True) == []
    assert peer.say(message(2, 5, dup=True)) == [], "PUBREC was lost, the message was not"
    assert peer.sent() == [Pubrec(5)]
    peer.say(Pubrel(5))
    assert peer.sent() == [Pubcomp(5)]
    assert messages(peer.say(message(2, 5))), "the identifier is free for another message"


def test_a_known_message_of_qos_2_waits_its_turn_behind_those_before_it() -> None:
    peer = opened(manual_ack=True)
    first, second = messages(peer.say(message(2, 1), message(2, 2)))
    peer.session.ack(second)
    peer.reopen(session_present=True)
    (again,) = messages(peer.say(message(2, 1, dup=True), message(2, 2, dup=True)))
    assert (again.packet_id, peer.sent()) == (1, [])
    assert not peer.session.ack(first)
    assert peer.session.ack(again)
    assert peer.sent() == [Pubrec(1), Pubrec(2)]


def test_a_message_of_qos_2_sent_twice_while_its_owner_has_it_is_answered_once() -> None:
    peer = opened(Version.V311, manual_ack=True)
    (one,) = messages(peer.say(message(2, 1), message(2, 1, dup=True)))
    peer.session.ack(one)
    assert peer.sent() == [Pubrec(1)]


@pytest.mark.parametrize("version", BOTH)
def test_a_release_after_a_reconnection_is_completed(version: Version) -> None:
    peer = opened(version)
    peer.say(message(2, 5))
    peer.reopen(session_present=True)
    peer.say(Pubrel(5))
    assert peer.sent() == [Pubcomp(5)]


def test_a_server_that_lost_the_session_starts_its_identifiers_anew() -> None:
    peer = opened()
    peer.say(message(2, 5, b"old"))
    peer.reopen(session_present=False)
    assert [one.payload for one in messages(peer.say(message(2, 5, b"new")))] == [b"new"]


@pytest.mark.parametrize(("version", "code"), [(Version.V5, 0x92), (Version.V311, 0)])
def test_an_unknown_release_is_completed_so_that_the_server_can_end_it(version: Version, code: int) -> None:
    peer = opened(version)
    peer.say(Pubrel(8))
    assert peer.sent() == [Pubcomp(8, code)]


def test_a_release_before_pubrec_is_a_protocol_error() -> None:
    peer = opened(manual_ack=True)
    peer.say(message(2, 5))
    with pytest.raises(ProtocolError, match="before PUBREC"):
        peer.say(Pubrel(5))


@pytest.mark.parametrize("qos", [1, 2])
def test_a_server_that_exceeds_our_receive_maximum_is_not_cut_off(qos: int) -> None:
    """Mosquitto 2.0.11 does: every message is delivered and answered all the same."""
    peer = opened(manual_ack=True, receive_maximum=2)
    taken = messages(peer.say(*(message(qos, packet_id) for packet_id in range(1, 6))))
    for one in taken:
        assert peer.session.ack(one)
    assert [answer.packet_id for answer in peer.sent()] == [1, 2, 3, 4, 5]


def test_a_topic_alias_stands_for_its_topic_on_this_connection() -> None:
    peer = opened(topic_alias_maximum=2)

    def alias(number: int, topic: str = "") -> list[str]:
        return [one.topic for one in messages(peer.say(Publish(topic=topic, properties={"topic_alias": number})))]

    assert alias(2, "long") + alias(2) + alias(1, "other") + alias(2) == ["long", "long", "other", "long"]
    assert alias(2, "changed") + alias(2) == ["changed", "changed"]
    peer.reopen(session_present=True)
    with pytest.raises(ProtocolError, match="before it gives its topic"):
        alias(2)
    assert peer.sent() == [Disconnect(0x94)]


def test_an_alias_that_we_did_not_offer_is_a_protocol_error() -> None:
    peer = opened()
    with pytest.raises(ProtocolError, match="we allow 0"):
        peer.say(Publish(topic="t", properties={"topic_alias": 1}))
    assert peer.sent() == [Disconnect(0x94)]


def test_any_chunks_bring_the_same_events() -> None:
    peer = opened()
    stream = b"\x30\x05\x00\x01t\x00x" + b"\x32\x07\x00\x01t\x00\x09\x00y" + b"\xd0\x00"
    events = [event for byte in stream for event in peer.hear(bytes((byte,)))]
    assert [one.payload for one in messages(events)] == [b"x", b"y"]
    assert peer.sent() == [Puback(9)]
