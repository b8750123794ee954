"""The features that devices and the bridge rest on, with every broker and every version of MQTT that it speaks."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from edgefleet.embedded import Broker
from edgewire.link import Link
from edgewire.mqtt import Acknowledged, ConnectionLost, Subscription, Version, Will
from tests.brokers.programs import ForeignBroker
from tests.edgewire.link.wire_client import PahoClient, WireClients
from tests.waiting import eventually

pytestmark = pytest.mark.brokers


@pytest.fixture
def judge(url: str, root: str, version: Version) -> Iterator[PahoClient]:
    """Somebody else's client, subscribed to all below `root`."""
    client = PahoClient(url, root, version)
    yield client
    client.stop()


async def soon(condition: Callable[[], object]) -> None:
    """Wait for what must come, not too long: some of it is known never to come from some brokers."""
    await eventually(condition, timeout_s=10)


async def test_what_is_published_arrives(
    clients: WireClients, url: str, version: Version, root: str, judge: PahoClient
) -> None:
    ours = clients(url, version)
    await ours.connect()
    sent = [(qos, f"{qos}".encode()) for qos in (0, 1, 2)]
    for qos, payload in sent:
        ours.link.publish(f"{root}/é/{qos}", payload, qos=qos, token=payload)
    await soon(lambda: len(judge.messages) == 3)
    assert sorted(judge.payloads) == [payload for _, payload in sent]
    await soon(lambda: len(ours.of(Acknowledged)) == 2)
    assert ours.session.inflight == 0
    heard = clients(url, version)
    await heard.connect()
    await heard.subscribe(Subscription(f"{root}/back", 2))
    for qos, payload in sent:
        judge.publish(f"{root}/back", payload, qos)
    await soon(lambda: len(heard.messages) == 3)
    assert sorted(one.payload for one in heard.messages) == [payload for _, payload in sent]


async def test_a_message_keeps_its_qos(
    clients: WireClients, url: str, version: Version, root: str, judge: PahoClient
) -> None:
    ours = clients(url, version)
    await ours.connect()
    for qos in (0, 1, 2):
        ours.link.publish(f"{root}/t", b"%d" % qos, qos=qos)
    await soon(lambda: len(judge.messages) == 3)
    assert sorted((one.payload, one.qos) for one in judge.messages) == [(b"0", 0), (b"1", 1), (b"2", 2)]


async def test_a_burst_stays_in_order(
    clients: WireClients, url: str, version: Version, root: str, judge: PahoClient
) -> None:
    ours = clients(url, version)
    await ours.connect()
    sent = [b"%d" % number for number in range(500)]
    for payload in sent:
        await soon(lambda: ours.session.window_free)
        ours.link.publish(f"{root}/t", payload, qos=1)
    await soon(lambda: len(ours.of(Acknowledged)) == len(sent))
    await soon(lambda: len(judge.messages) >= len(sent))
    assert judge.payloads == sent


async def test_what_is_retained_reaches_who_comes_late(
    clients: WireClients, url: str, version: Version, root: str
) -> None:
    ours, late, later = (clients(url, version) for _ in range(3))
    await ours.connect()
    for payload in (b"old", b"new"):
        ours.link.publish(f"{root}/status", payload, qos=1, retain=True)
    await soon(lambda: len(ours.of(Acknowledged)) == 2)
    await late.connect()
    await late.subscribe(Subscription(f"{root}/#", 1))
    await soon(lambda: late.messages)
    assert [(one.payload, one.retain) for one in late.messages] == [(b"new", True)]
    ours.link.publish(f"{root}/status", b"", qos=1, retain=True)
    await soon(lambda: len(late.messages) == 2)
    assert (late.messages[1].payload, late.messages[1].retain) == (b"", False)
    await later.connect()
    await later.subscribe(Subscription(f"{root}/#", 1))
    ours.link.publish(f"{root}/end", b"end", qos=1)
    await soon(lambda: later.messages)
    assert [one.payload for one in later.messages] == [b"end"]


async def test_a_will_is_published_unless_the_client_says_goodbye(
    clients: WireClients, url: str, version: Version, root: str, judge: PahoClient
) -> None:
    for end in (Link.close, Link.abort):
        ours = clients(url, version, will=Will(topic=f"{root}/{end.__name__}", payload=b"offline", qos=1, retain=True))
        await ours.connect()
        end(ours.link)
        await soon(lambda ours=ours: ours.of(ConnectionLost))  # type: ignore[misc]
    await soon(lambda: judge.messages)
    assert [(one.topic, one.payload) for one in judge.messages] == [(f"{root}/abort", b"offline")]
    late = clients(url, version)
    await late.connect()
    await late.subscribe(Subscription(f"{root}/#", 1))
    await soon(lambda: late.messages)
    assert [(one.topic, one.retain) for one in late.messages] == [(f"{root}/abort", True)]


async def test_a_session_keeps_what_came_meanwhile(
    clients: WireClients, url: str, version: Version, root: str, judge: PahoClient
) -> None:
    ours = clients(url, version, clean_start=False, session_expiry_s=60)
    assert not (await ours.connect()).session_present
    await ours.subscribe(Subscription(f"{root}/t", 1))
    ours.link.abort()
    await soon(lambda: ours.of(ConnectionLost))
    sent = [b"%d" % number for number in range(50)]
    for payload in sent:
        judge.publish(f"{root}/t", payload, 1)
    assert (await ours.connect()).session_present
    await soon(lambda: len(ours.messages) >= len(sent))
    assert [one.payload for one in ours.messages] == sent


async def test_what_is_not_acknowledged_comes_again(
    clients: WireClients, url: str, version: Version, root: str, judge: PahoClient
) -> None:
    ours = clients(url, version, clean_start=False, session_expiry_s=60, manual_ack=True)
    await ours.connect()
    await ours.subscribe(Subscription(f"{root}/t", 1))
    for payload in (b"acknowledged", b"not"):
        judge.publish(f"{root}/t", payload, 1)
    await soon(lambda: len(ours.messages) == 2)
    ours.link.ack(ours.messages[0])
    judge.publish(f"{root}/t", b"third", 1)
    await soon(lambda: len(ours.messages) == 3)
    ours.link.abort()
    await soon(lambda: ours.of(ConnectionLost))
    await ours.connect()
    await soon(lambda: len(ours.messages) >= 2)
    assert {one.payload for one in ours.messages} == {b"not", b"third"}


async def test_what_comes_again_says_so(
    clients: WireClients, url: str, version: Version, root: str, judge: PahoClient
) -> None:
    ours = clients(url, version, clean_start=False, session_expiry_s=60, manual_ack=True)
    await ours.connect()
    await ours.subscribe(Subscription(f"{root}/t", 1))
    judge.publish(f"{root}/t", b"", 1)
    await soon(lambda: ours.messages)
    ours.link.abort()
    await soon(lambda: ours.of(ConnectionLost))
    await ours.connect()
    await soon(lambda: ours.messages)
    assert ours.messages[0].dup


async def test_who_takes_a_name_ends_the_connection_that_had_it(
    clients: WireClients, url: str, version: Version
) -> None:
    first = clients(url, version)
    await first.connect()
    second = clients(url, version, client_id=first.session.config.client_id)
    await second.connect()
    await soon(lambda: first.of(ConnectionLost))
    assert second.link.connected


async def test_large_payloads_arrive(
    clients: WireClients, url: str, version: Version, root: str, judge: PahoClient
) -> None:
    ours = clients(url, version)
    await ours.connect()
    payload = bytes(range(256)) * 800
    ours.link.publish(f"{root}/t", payload, qos=1)
    await soon(lambda: judge.messages and ours.of(Acknowledged))
    assert judge.payloads == [payload]


async def test_wildcards_match(clients: WireClients, url: str, version: Version, root: str, judge: PahoClient) -> None:
    ours = clients(url, version)
    await ours.connect()
    await ours.subscribe(Subscription(f"{root}/+/gps/+/telemetry", 1), Subscription(f"{root}/deep/#", 1))
    for topic in ("a/gps/1/telemetry", "a/bme280/1/telemetry", "a/b/gps/1/telemetry", "deep", "deep/a/b", "deeper"):
        judge.publish(f"{root}/{topic}", b"", 1)
    judge.publish(f"{root}/deep/end", b"end", 1)
    await soon(lambda: any(one.payload == b"end" for one in ours.messages))
    found = sorted(one.topic.removeprefix(f"{root}/") for one in ours.messages)
    assert found == ["a/gps/1/telemetry", "deep", "deep/a/b", "deep/end"]


async def test_members_share_a_subscription(
    clients: WireClients, url: str, version: Version, root: str, judge: PahoClient
) -> None:
    members = [clients(url, version) for _ in range(2)]
    for member in members:
        await member.connect()
        await member.subscribe(Subscription(f"$share/bridge/{root}/#", 1))
    sent = {b"%d" % number for number in range(100)}
    for payload in sorted(sent):
        judge.publish(f"{root}/t", payload, 1)
    await soon(lambda: sum(len(member.messages) for member in members) >= len(sent))
    heard = [{one.payload for one in member.messages} for member in members]
    assert heard[0] | heard[1] == sent
    assert not heard[0] & heard[1]
    assert all(heard), "each has a part of it"


async def test_properties_pass_through(
    clients: WireClients, url: str, version: Version, root: str, judge: PahoClient
) -> None:
    ours = clients(url, version)
    await ours.connect()
    properties = {
        "content_type": "application/json",
        "response_topic": f"{root}/answer",
        "correlation_data": b"\0\1",
        "user_property": (("traceparent", "00-1"), ("a", "1"), ("a", "2")),
    }
    ours.link.publish(f"{root}/t", b"", qos=1, properties=properties)
    await soon(lambda: judge.messages)
    found = judge.messages[0].properties
    assert (found.ContentType, found.ResponseTopic, found.CorrelationData) == tuple(properties.values())[:3]
    assert found.UserProperty == [("traceparent", "00-1"), ("a", "1"), ("a", "2")]


async def test_the_window_of_a_subscriber_is_kept(
    clients: WireClients, url: str, version: Version, root: str, judge: PahoClient
) -> None:
    """Who acknowledges only what is stored bounds by this what may be sent twice."""
    ours = clients(url, version, manual_ack=True, receive_maximum=10)
    await ours.connect()
    await ours.subscribe(Subscription(f"{root}/t", 1))
    for number in range(30):
        judge.publish(f"{root}/t", b"%d" % number, 1)
    for acknowledged in (0, 10, 20):
        await soon(lambda acknowledged=acknowledged: len(ours.messages) >= acknowledged + 10)  # type: ignore[misc]
        await asyncio.sleep(0.2)
        assert len(ours.messages) == acknowledged + 10
        for message in ours.messages[acknowledged:]:
            assert ours.link.ack(message)
    assert [one.payload for one in ours.messages] == [b"%d" % number for number in range(30)]


async def test_publishes_go_on_after_a_restart(
    clients: WireClients, own_broker: Broker | ForeignBroker, url: str, version: Version, root: str
) -> None:
    ours = clients(url, version, clean_start=False, session_expiry_s=60)
    await ours.connect()
    own_broker.kill()
    await soon(lambda: ours.of(ConnectionLost))
    await asyncio.to_thread(own_broker.start)
    await ours.connect()
    await ours.subscribe(Subscription(f"{root}/#", 1))
    ours.link.publish(f"{root}/t", b"alive", qos=2)
    await soon(lambda: ours.messages and ours.of(Acknowledged))


async def test_a_restart_keeps_sessions(
    clients: WireClients, own_broker: Broker | ForeignBroker, url: str, version: Version, root: str, judge: PahoClient
) -> None:
    ours = clients(url, version, clean_start=False, session_expiry_s=600)
    await ours.connect()
    await ours.subscribe(Subscription(f"{root}/t", 1))
    ours.link.publish(f"{root}/status", b"online", qos=1, retain=True)
    await soon(lambda: ours.of(Acknowledged))
    ours.link.close()
    await soon(lambda: ours.of(ConnectionLost))
    for number in range(20):
        judge.publish(f"{root}/t", b"%d" % number, 1)
    await asyncio.to_thread(own_broker.restart)
    assert (await ours.connect()).session_present
    await soon(lambda: len(ours.messages) == 20)
    assert [one.payload for one in ours.messages] == [b"%d" % number for number in range(20)]
    late = clients(url, version)
    await late.connect()
    await late.subscribe(Subscription(f"{root}/status", 1))
    await soon(lambda: late.messages)
    assert late.messages[0].payload == b"online"
