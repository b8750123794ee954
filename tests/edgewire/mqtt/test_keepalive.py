"""Pings, and the detection of a connection that only one end believes in."""

from math import inf

import pytest

from edgewire.mqtt import ConnectionLost, SessionConfig, Subscription, Version
from edgewire.mqtt.packets import Pingreq, Pingresp, Puback, Publish
from tests.edgewire.mqtt.peer import BOTH, Peer, opened


def quiet(peer: Peer) -> bool:
    """Ticks at `peer.now`; whether neither a ping nor an event came of it."""
    return peer.session.tick(peer.now) == [] and peer.sent() == []


@pytest.mark.parametrize("version", BOTH)
def test_a_ping_is_sent_before_the_keep_alive_ends_and_its_answer_starts_the_next(version: Version) -> None:
    peer = opened(version, keep_alive_s=60)
    for _ in range(3):
        due = peer.session.next_deadline()
        assert peer.now < due < peer.now + 60
        peer.now = due - 0.001
        assert quiet(peer)
        peer.now = due
        assert peer.session.tick(peer.now) == []
        assert peer.sent() == [Pingreq()]
        peer.now += 1
        assert peer.say(Pingresp()) == []
    assert peer.session.next_deadline() == pytest.approx(peer.now - 1 + 54)


def test_the_servers_keep_alive_replaces_ours() -> None:
    peer = Peer(SessionConfig(client_id="c", keep_alive_s=600))
    peer.open(server_keep_alive=10)
    assert peer.session.next_deadline() == peer.now + 9


@pytest.mark.parametrize("said", [False, True])
def test_keep_alive_0_is_off(said: bool) -> None:
    peer = Peer(SessionConfig(client_id="c", keep_alive_s=60 if said else 0))
    peer.open(**({"server_keep_alive": 0} if said else {}))
    assert peer.session.next_deadline() == inf


def test_an_unanswered_ping_ends_the_connection() -> None:
    peer = opened(keep_alive_s=60, response_timeout_s=5)
    peer.now += 54
    peer.session.tick(peer.now)
    assert peer.sent() == [Pingreq()]
    assert peer.session.next_deadline() == peer.now + 5
    peer.now += 4.9
    assert quiet(peer)
    peer.now += 0.2
    assert peer.session.tick(peer.now) == [ConnectionLost("the server is silent: no PINGRESP within 5 s")]
    assert peer.session.next_deadline() == inf


def test_any_packet_shows_that_the_server_is_there() -> None:
    peer = opened(keep_alive_s=60, response_timeout_s=5)
    peer.now += 54
    peer.session.tick(peer.now)
    peer.now += 4
    peer.say(Publish(topic="t"))
    assert peer.session.next_deadline() > peer.now + 40


def test_a_publisher_that_hears_nothing_asks() -> None:
    """QoS 0 needs no answers: without this, nothing would tell that nobody is listening."""
    peer = opened(keep_alive_s=60)
    for _ in range(8):
        peer.now += 6
        peer.publish(0)
        peer.sent()
        assert quiet(peer)
    peer.now += 6
    peer.publish(0)
    assert peer.session.tick(peer.now) == []
    assert peer.sent()[-1] == Pingreq()


def test_a_subscriber_that_sends_nothing_pings() -> None:
    peer = opened(keep_alive_s=60)
    for _ in range(9):
        peer.now += 6
        peer.say(Publish(topic="t"))
    assert peer.session.tick(peer.now) == []
    assert peer.sent() == [Pingreq()]


def test_all_that_is_sent_counts_as_a_sign_of_life() -> None:
    peer = opened(keep_alive_s=60)
    sends = [
        lambda: peer.publish(1),
        lambda: peer.session.subscribe([Subscription("a")], peer.now),
        lambda: peer.say(Publish(topic="t", qos=1, packet_id=1)),
    ]
    for send in sends:
        peer.now += 40
        send()
        peer.sent()
        peer.hear(b"\xd0\x00")
        assert peer.session.next_deadline() == pytest.approx(peer.now + 54)


def test_connack_is_awaited_for_a_time() -> None:
    peer = Peer(SessionConfig(client_id="c", response_timeout_s=7))
    peer.connect()
    assert peer.session.next_deadline() == peer.now + 7
    peer.now += 7
    assert peer.session.tick(peer.now) == [ConnectionLost("the server is silent: no CONNACK within 7 s")]


def test_while_reading_is_paused_silence_proves_nothing_but_pings_go_on() -> None:
    peer = opened(keep_alive_s=10, response_timeout_s=5)
    peer.session.pause_reading()
    for _ in range(10):
        peer.now += 9
        assert peer.session.tick(peer.now) == []
        assert peer.sent() == [Pingreq()]
    peer.session.resume_reading(peer.now)
    assert peer.session.next_deadline() == peer.now + 5
    peer.now += 5
    assert len(peer.session.tick(peer.now)) == 1


def test_a_server_that_is_heard_after_the_pause_is_there() -> None:
    peer = opened(keep_alive_s=10, response_timeout_s=5)
    peer.session.pause_reading()
    peer.now += 9
    peer.session.tick(peer.now)
    peer.now += 100
    peer.session.resume_reading(peer.now)
    peer.now += 4
    peer.say(Pingresp())
    assert peer.session.next_deadline() > peer.now + 4


def test_a_pause_ends_with_its_connection() -> None:
    peer = opened(keep_alive_s=10, response_timeout_s=5)
    peer.session.pause_reading()
    peer.reopen(session_present=True)
    peer.now += 9
    peer.session.tick(peer.now)
    peer.now += 5
    assert len(peer.session.tick(peer.now)) == 1


def test_a_pause_before_connack_waits_for_it_without_pings() -> None:
    peer = opened(keep_alive_s=10)
    peer.session.connection_lost()
    peer.connect()
    peer.session.pause_reading()
    assert peer.session.next_deadline() == inf
    peer.session.resume_reading(peer.now)
    assert peer.session.next_deadline() == peer.now + 20


def test_a_ping_does_not_come_late_because_of_a_long_patience() -> None:
    peer = opened(keep_alive_s=4, response_timeout_s=1000)
    peer.now += 3.6
    peer.session.tick(peer.now)
    assert peer.session.next_deadline() == pytest.approx(peer.now + 4)


def test_an_answer_to_a_publish_answers_a_ping() -> None:
    peer = opened(keep_alive_s=60)
    packet_id = peer.publish(1)
    peer.now += 54
    peer.session.tick(peer.now)
    peer.sent()
    peer.say(Puback(packet_id))
    peer.now += 30
    assert quiet(peer)
