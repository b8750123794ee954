"""SUBSCRIBE and UNSUBSCRIBE."""

import pytest

from edgewire.mqtt import (
    ProtocolError,
    SessionConfig,
    StrayAnswer,
    Subscribed,
    SubscribeRefused,
    Subscription,
    Unsubscribed,
    Version,
)
from edgewire.mqtt.packets import Suback, Subscribe, Unsuback, Unsubscribe
from tests.edgewire.mqtt.peer import BOTH, Peer, opened


@pytest.mark.parametrize("version", BOTH)
def test_a_subscription_is_asked_for_and_granted(version: Version) -> None:
    peer = opened(version)
    filters = (Subscription("a/+", 2), Subscription("$share/g/b/#", 0))
    packet_id = peer.session.subscribe(filters, peer.now)
    assert peer.sent() == [Subscribe(packet_id, filters)]
    assert peer.say(Suback(packet_id, (2, 0x80))) == [Subscribed(packet_id, (2, 0x80))]


def test_the_options_of_version_5_are_sent_there_alone() -> None:
    wanted = Subscription("a", 1, no_local=True, retain_as_published=True, retain_handling=2)
    for version, seen in ((Version.V5, wanted), (Version.V311, Subscription("a", 1))):
        peer = opened(version)
        packet_id = peer.session.subscribe([wanted], peer.now)
        assert peer.sent() == [Subscribe(packet_id, (seen,))]


@pytest.mark.parametrize("version", BOTH)
def test_unsubscribe_is_answered(version: Version) -> None:
    peer = opened(version)
    packet_id = peer.session.unsubscribe(["a", "b"], peer.now)
    assert peer.sent() == [Unsubscribe(packet_id, ("a", "b"))]
    codes = (0, 0x11) if version is Version.V5 else ()
    assert peer.say(Unsuback(packet_id, codes)) == [Unsubscribed(packet_id, codes)]


def test_an_answer_with_another_number_of_codes_is_a_protocol_error() -> None:
    peer = opened()
    assert peer.session.subscribe([Subscription("a")], peer.now) == 1
    with pytest.raises(ProtocolError, match="2 codes for 1 filters"):
        peer.say(Suback(1, (0, 0)))


@pytest.mark.parametrize("answer", [Suback(2, (0,)), Unsuback(1, (0,))], ids=["not asked", "another kind"])
def test_an_answer_to_what_was_not_asked_is_ignored_and_told(answer: Suback) -> None:
    peer = opened()
    assert peer.session.subscribe([Subscription("a")], peer.now) == 1
    assert peer.say(answer) == [StrayAnswer(type(answer).__name__.upper(), answer.packet_id)]
    assert peer.say(Suback(1, (0,))) == [Subscribed(1, (0,))]


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (Subscription("a/#/b"), "last level"),
        (Subscription("a", 3), "QoS 3"),
        (Subscription("a", retain_handling=3), "retain handling 3"),
        (Subscription("$share/g/a", no_local=True), "no_local"),
        (Subscription("a" * 60_000), "60010 bytes"),
        (Subscription("a/+"), "no wildcards"),
        (Subscription("$share/g/a"), "no shared"),
    ],
)
def test_what_the_server_will_never_take_is_refused(one: Subscription, why: str) -> None:
    peer = Peer(SessionConfig(client_id="c"))
    forbidden = {
        "no wildcards": {"wildcard_subscription_available": 0},
        "no shared": {"shared_subscription_available": 0},
    }
    peer.open(maximum_packet_size=60_000, **forbidden.get(why, {}))
    with pytest.raises(SubscribeRefused, match=why):
        peer.session.subscribe([one], peer.now)
    assert (peer.sent(), peer.session.window_free) == ([], 65535)


def test_subscribing_to_nothing_is_refused() -> None:
    peer = opened()
    with pytest.raises(SubscribeRefused):
        peer.session.subscribe([], peer.now)
    with pytest.raises(SubscribeRefused):
        peer.session.unsubscribe([], peer.now)
