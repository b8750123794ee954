"""Against a real Mosquitto, judged by paho-mqtt as the other client, in both versions."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from edgefleet.embedded import MosquittoProcess
from edgewire.link import BrokerRefused, BrokerUrl, Link, connect_link
from edgewire.mqtt import (
    Acknowledged,
    Connected,
    ConnectionLost,
    Event,
    PublishRefused,
    ServerLimits,
    Session,
    SessionConfig,
    Subscription,
    Unsubscribed,
    Version,
    Will,
)
from tests.edgewire.link.wire_client import PahoClient, WireClients
from tests.services.fixtures import BrokerAddress
from tests.waiting import eventually

pytestmark = [
    pytest.mark.services,
    pytest.mark.parametrize("version", list(Version), ids=lambda version: version.name),
]


@pytest.fixture
def other(mosquitto: BrokerAddress, root: str) -> Iterator[PahoClient]:
    client = PahoClient(mosquitto.url, root)
    yield client
    client.stop()


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_what_we_publish_arrives(
    clients: WireClients, mosquitto: BrokerAddress, version: Version, root: str, other: PahoClient, qos: int
) -> None:
    ours = clients(mosquitto.url, version)
    await ours.connect()
    payloads = [b"", b"x", bytes(range(256)) * 400]
    for payload in payloads:
        ours.link.publish(f"{root}/é", payload, qos=qos, token=payload, properties={"user_property": (("k", "v"),)})
    await eventually(lambda: len(other.messages) == 3)
    assert other.payloads == payloads
    assert {(message.topic, message.qos) for message in other.messages} == {(f"{root}/é", qos)}
    if version is Version.V5:
        assert other.messages[0].properties.UserProperty == [("k", "v")]
    if qos:
        await eventually(lambda: len(ours.of(Acknowledged)) == 3)
        assert [event.token for event in ours.of(Acknowledged)] == payloads
        assert ours.session.inflight == 0
    await ours.stop()


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("manual_ack", [False, True])
async def test_what_others_publish_arrives(
    clients: WireClients,
    mosquitto: BrokerAddress,
    version: Version,
    root: str,
    other: PahoClient,
    qos: int,
    manual_ack: bool,
) -> None:
    ours = clients(mosquitto.url, version, manual_ack=manual_ack)
    await ours.connect()
    assert await ours.subscribe(Subscription(f"{root}/+/x", qos), Subscription(f"{root}/no", 0)) == (qos, 0)
    payloads = [b"", b"x", bytes(range(256)) * 400]
    for payload in payloads:
        other.publish(f"{root}/a/x", payload, 2, ContentType="j", ResponseTopic="r", CorrelationData=b"c")
    await eventually(lambda: len(ours.messages) == 3)
    assert [(one.topic, one.payload, one.qos, one.retain) for one in ours.messages] == [
        (f"{root}/a/x", payload, qos, False) for payload in payloads
    ]
    if version is Version.V5:
        assert ours.messages[0].properties == {"content_type": "j", "response_topic": "r", "correlation_data": b"c"}
    assert [ours.link.ack(one) for one in ours.messages] == [manual_ack and qos > 0] * 3
    ours.link.unsubscribe([f"{root}/+/x"])
    await eventually(lambda: ours.of(Unsubscribed))
    other.publish(f"{root}/a/x", b"after", 1)
    other.publish(f"{root}/no", b"last", 1)
    await eventually(lambda: len(ours.messages) == 4)
    assert ours.messages[-1].payload == b"last"
    await ours.stop()


async def test_retained_messages_go_both_ways(
    clients: WireClients, mosquitto: BrokerAddress, version: Version, root: str, other: PahoClient
) -> None:
    ours = clients(mosquitto.url, version)
    await ours.connect()
    ours.link.publish(f"{root}/ours", b"1", qos=1, retain=True)
    await eventually(lambda: ours.of(Acknowledged))
    late = PahoClient(mosquitto.url, root)
    await eventually(lambda: late.messages)
    assert (late.messages[0].payload, late.messages[0].retain) == (b"1", True)
    late.stop()
    other.publish(f"{root}/theirs", b"2", 1, retain=True)
    await ours.subscribe(Subscription(f"{root}/theirs", 1))
    await eventually(lambda: ours.messages)
    assert [(one.payload, one.retain) for one in ours.messages] == [(b"2", True)]
    if version is Version.V5:
        await ours.subscribe(Subscription(f"{root}/+", 1, retain_handling=2))
        other.publish(f"{root}/end", b"3", 1)
        await eventually(lambda: ours.messages[-1].payload == b"3")
        assert len(ours.messages) == 2
    await ours.stop()


@pytest.mark.parametrize(
    ("end", "fires"),
    [(Link.abort, True), (Link.close, False), (lambda link: link.close(4), True)],
    ids=["abort", "close", "close with will"],
)
async def test_the_will_fires_unless_we_say_goodbye(
    clients: WireClients,
    mosquitto: BrokerAddress,
    version: Version,
    root: str,
    other: PahoClient,
    end: Callable[[Link], None],
    fires: bool,
) -> None:
    ours = clients(mosquitto.url, version, will=Will(topic=f"{root}/will", payload=b"gone", qos=1, retain=True))
    await ours.connect()
    end(ours.link)
    await eventually(lambda: ours.of(ConnectionLost))
    if fires:
        await eventually(lambda: other.messages)
    other.publish(f"{root}/end", b"end", 1)
    await eventually(lambda: b"end" in other.payloads)
    assert (b"gone" in other.payloads) is fires


async def test_a_resumed_session_brings_what_came_meanwhile_and_what_was_not_acknowledged(
    clients: WireClients, mosquitto: BrokerAddress, version: Version, root: str, other: PahoClient
) -> None:
    ours = clients(mosquitto.url, version, clean_start=False, session_expiry_s=60, manual_ack=True)
    assert not (await ours.connect()).session_present
    await ours.subscribe(Subscription(f"{root}/#", 2))
    for qos in (1, 2):
        other.publish(f"{root}/t", b"acked %d" % qos, qos)
        other.publish(f"{root}/t", b"unacked %d" % qos, qos)
    await eventually(lambda: len(ours.messages) == 4)
    first, _, third, _ = ours.messages
    assert ours.link.ack(first)
    other.publish(f"{root}/t", b"after the acknowledgement", 0)
    await eventually(lambda: len(ours.messages) == 5)
    old = ours.messages
    ours.link.abort()
    other.publish(f"{root}/t", b"meanwhile", 1)
    assert (await ours.connect()).session_present
    await eventually(lambda: len(ours.messages) == 4)
    assert [one.payload for one in ours.messages] == [b"unacked 1", b"acked 2", b"unacked 2", b"meanwhile"]
    assert all(one.dup for one in ours.messages[:3])
    assert not ours.link.ack(third)
    assert not any(map(ours.link.ack, old))
    assert all(map(ours.link.ack, ours.messages))
    await ours.stop()
    # End the session at the broker too.
    last = clients(mosquitto.url, version, client_id=ours.session.config.client_id)
    assert not (await last.connect()).session_present
    await last.stop()


async def test_connections_that_are_cut_lose_no_qos_1_and_double_no_qos_2(
    clients: WireClients, mosquitto: BrokerAddress, version: Version, root: str, other: PahoClient
) -> None:
    ours = clients(mosquitto.url, version, clean_start=False, session_expiry_s=60)
    published: list[bytes] = []
    await ours.connect()
    for round_ in range(15):
        for number in range(4):
            payload = b"%d %d.%d" % (1 + number % 2, round_, number)
            ours.link.publish(f"{root}/t", payload, qos=1 + number % 2)
            published.append(payload)
        if round_ % 3:
            await eventually(lambda: len(ours.of(Acknowledged)) > 0)
        ours.link.abort()
        await ours.connect()
    await eventually(lambda: ours.session.inflight == 0)
    await eventually(lambda: set(other.payloads) == set(published))
    for payload in published:
        assert other.payloads.count(payload) == 1 or payload.startswith(b"1")
    await ours.stop()


async def test_a_client_whose_name_another_takes_loses_its_connection(
    clients: WireClients, mosquitto: BrokerAddress, version: Version
) -> None:
    first = clients(mosquitto.url, version)
    await first.connect()
    second = clients(mosquitto.url, version, client_id=first.session.config.client_id)
    await second.connect()
    await eventually(lambda: first.of(ConnectionLost))
    assert second.link.connected
    await second.stop()


async def test_an_attempt_that_is_cancelled_once_the_broker_has_answered_leaves_no_link_behind(
    mosquitto: BrokerAddress, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop so busy that CONNACK is there before the attempt looks again, and a fleet that stops just then."""

    def wait_for_the_answer(link: Link, transport: asyncio.BaseTransport) -> None:
        connection_made(link, transport)
        time.sleep(0.1)

    def on_events(_: Link, events: list[Event]) -> None:
        told.extend(events)
        if type(events[0]) is Connected:
            connecting.cancel()

    connection_made = Link.connection_made
    monkeypatch.setattr(Link, "connection_made", wait_for_the_answer)
    told: list[Event] = []
    session = Session(SessionConfig(client_id=f"test-{uuid.uuid4().hex}"), version)
    connecting = asyncio.create_task(connect_link(BrokerUrl.parse(mosquitto.url), session, on_events))
    await asyncio.wait([connecting])
    assert connecting.cancelled()
    await eventually(lambda: len(told) > 1)
    await asyncio.sleep(0.05)
    assert [type(event) for event in told] == [Connected, ConnectionLost]


async def test_keep_alive_keeps_the_connection_for_longer_than_the_broker_waits(
    clients: WireClients, mosquitto: BrokerAddress, version: Version, root: str
) -> None:
    ours = clients(mosquitto.url, version, keep_alive_s=1)
    await ours.connect()
    deadlines = set()
    # Mosquitto cuts at one and a half times the keep alive.
    while len(deadlines) < 4 and not ours.of(ConnectionLost):
        deadlines.add(ours.session.next_deadline())
        await eventually(lambda: ours.session.next_deadline() not in deadlines or ours.of(ConnectionLost))
    assert ours.of(ConnectionLost) == []
    await ours.stop()


async def test_the_receive_maximum_opens_the_window_of_the_broker(
    clients: WireClients, mosquitto_factory: Callable[..., MosquittoProcess], version: Version, root: str
) -> None:
    """Why the bridge speaks version 5: in 3.1.1 the window is what the broker's operator wrote."""
    broker = mosquitto_factory(options={"max_inflight_messages": "20"})
    window = 50 if version is Version.V5 else 20
    ours, other = clients(broker.url, version, manual_ack=True, receive_maximum=50), clients(broker.url, version)
    await ours.connect()
    await ours.subscribe(Subscription(f"{root}/t", 1))
    await other.connect()
    for number in range(60):
        await eventually(lambda: other.session.window_free)
        other.link.publish(f"{root}/t", b"%d" % number, qos=1)
    await eventually(lambda: len(ours.messages) == window)
    for message in reversed(ours.messages[:]):
        assert ours.link.ack(message)
    await eventually(lambda: len(ours.messages) >= min(60, 2 * window))
    for message in ours.messages[window:]:
        ours.link.ack(message)
    await eventually(lambda: len(ours.messages) == 60)
    assert [one.payload for one in ours.messages] == [b"%d" % number for number in range(60)]


async def test_the_limits_of_the_broker_are_known_and_obeyed(
    clients: WireClients, mosquitto_factory: Callable[..., MosquittoProcess], version: Version
) -> None:
    options = {"max_keepalive": "20", "max_qos": "1", "retain_available": "false", "max_packet_size": "1000"}
    broker = mosquitto_factory(options=options)
    ours = clients(broker.url, version, keep_alive_s=20)
    limits = (await ours.connect()).limits
    if version is Version.V311:
        assert limits == ServerLimits(keep_alive_s=20), "3.1.1 cannot state any"
        refusal = None
        try:
            await clients(broker.url, version).connect()  # 2.0.11 lets in who asks for more
        except BrokerRefused as error:
            refusal = str(error)
        assert refusal is None or "keep_alive may also be above what it takes" in refusal
        return
    await ours.stop()
    ours = clients(broker.url, version)
    limits = (await ours.connect()).limits
    assert (limits.keep_alive_s, limits.maximum_qos, limits.retain_available) == (20, 1, False)
    assert limits.maximum_packet_size == 1000
    for refused in ({"qos": 2}, {"retain": True}):
        with pytest.raises(PublishRefused):
            ours.link.publish("t", b"", **refused)
    with pytest.raises(PublishRefused):
        ours.link.publish("t", bytes(1000))
    ours.link.publish("t", bytes(990), qos=1)
    await eventually(lambda: ours.of(Acknowledged))
    await ours.stop()


async def test_a_client_without_credentials_is_refused(
    clients: WireClients, mosquitto_factory: Callable[..., MosquittoProcess], version: Version
) -> None:
    broker = mosquitto_factory(options={"allow_anonymous": "false"})
    with pytest.raises(BrokerRefused, match="not authorized") as caught:
        await clients(broker.url, version).connect()
    assert caught.value.code == (0x87 if version is Version.V5 else 5)


async def test_publishes_survive_a_restart_of_the_broker(
    clients: WireClients, mosquitto_factory: Callable[..., MosquittoProcess], version: Version, root: str
) -> None:
    broker = mosquitto_factory()
    ours = clients(broker.url, version, clean_start=False, session_expiry_s=60)
    await ours.connect()
    await ours.subscribe(Subscription(f"{root}/#", 1))
    broker.kill()
    await eventually(lambda: ours.of(ConnectionLost))
    broker.restart()
    await ours.connect()
    await ours.subscribe(Subscription(f"{root}/#", 1))
    ours.link.publish(f"{root}/t", b"alive", qos=2)
    await eventually(lambda: ours.messages and ours.of(Acknowledged))
    await ours.stop()
