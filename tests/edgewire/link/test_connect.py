"""Reaching a broker, failing to, and falling back to MQTT 3.1.1."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from ssl import CERT_NONE, SSLContext, create_default_context

import pytest

from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.link import BrokerRefused, BrokerUrl, Link, connect, connect_link, probe_version
from edgewire.mqtt import Connected, Event, Message, Session, SessionConfig, Subscription, Version, Will
from edgewire.mqtt.packets import Connack, Connect, Publish
from tests.edgewire.link.broker import Broker, Connection, broker
from tests.waiting import eventually

Handler = Callable[[Connection], Awaitable[None]]
CONFIG = SessionConfig(client_id="c", will=Will(topic="w", payload=b""), username="u", password=b"p")


def silent(link: Link, events: list[Event]) -> None:
    """For an attempt that must fail: its owner hears nothing."""
    raise AssertionError(events)


def ignored(link: Link, events: list[Event]) -> None:
    """For an owner whose events do not matter."""


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that says nothing is probed soon."""
    monkeypatch.setattr(connect, "SILENCE_S", 0.2)


async def serve(server: Broker, *handlers: Handler) -> None:
    """The n-th connection is for the n-th handler, further ones for the last."""
    for number in range(100):
        connection = await server.connection()
        await handlers[min(number, len(handlers) - 1)](connection)


def closed_port() -> BrokerUrl:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return BrokerUrl("mqtt", "127.0.0.1", probe.getsockname()[1])


async def hang_up(connection: Connection) -> None:
    await connection.packet()
    connection.close()


async def say_nothing(connection: Connection) -> None:
    await connection.packet()


async def accept(connection: Connection) -> None:
    await connection.accept()


async def only_311(connection: Connection) -> None:
    """As Mosquitto of old: refuses another level, in its own form."""
    await connection.packet()
    if connection.version is Version.V311:
        connection.say(Connack())
    else:
        connection.writer.write(b"\x20\x02\x00\x01")
        connection.close()


async def only_311_says_84(connection: Connection) -> None:
    await connection.packet()
    connection.say(Connack(False, 0x84 if connection.version is Version.V5 else 0))


async def only_311_hangs_up(connection: Connection) -> None:
    await connection.packet()
    if connection.version is Version.V311:
        connection.say(Connack())
    else:
        connection.close()


async def as_amqtt(connection: Connection) -> None:
    """Takes the lengths of properties and will for those of texts, and waits for the texts; refuses a plain CONNECT."""
    connect = await connection.packet()
    assert isinstance(connect, Connect)
    if connection.version is Version.V311:
        connection.say(Connack())
    elif not (connect.properties or connect.will or connect.username):
        connection.writer.write(b"\x20\x02\x00\x01")
        connection.close()


async def test_a_broker_that_is_not_there_is_named() -> None:
    url = closed_port()
    with pytest.raises(ServiceUnavailable, match=f"broker {url} cannot be reached: .*start it or correct the URL"):
        await connect_link(url, Session(CONFIG), silent)
    with pytest.raises(ServiceUnavailable, match="cannot be reached"):
        await probe_version(url)


async def test_a_name_that_does_not_resolve_is_named() -> None:
    with pytest.raises(ServiceUnavailable, match=r"broker mqtt://no-such-host\.invalid:1883 cannot be reached"):
        await connect_link(BrokerUrl.parse("mqtt://no-such-host.invalid"), Session(CONFIG), silent)


async def test_a_broker_that_does_not_answer_is_named_and_the_version_is_kept() -> None:
    async with broker() as server, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve(server, say_nothing))
        session = Session(CONFIG)
        with pytest.raises(ServiceUnavailable, match=f"{server.url} did not answer client 'c' within 0.1 s"):
            await connect_link(server.url, session, silent, timeout_s=0.1)
        with pytest.raises(ServiceUnavailable, match=r"did not answer within 0.05 s"):
            await probe_version(server.url, timeout_s=0.05)
        assert (session.version, session.state.name) == (Version.V5, "IDLE")
        serving.cancel()


async def test_a_refusal_is_told_with_its_code() -> None:
    async def refuse(connection: Connection) -> None:
        await connection.packet()
        connection.say(Connack(False, 0x87, {"reason_string": "go away"}))

    async with broker() as server, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve(server, refuse))
        with pytest.raises(BrokerRefused, match="refused client 'c': not authorized: go away") as caught:
            await connect_link(server.url, Session(CONFIG), silent)
        assert (caught.value.code, caught.value.text) == (0x87, "not authorized: go away")
        serving.cancel()


@pytest.mark.parametrize("handler", [only_311, only_311_says_84, only_311_hangs_up, as_amqtt])
async def test_a_broker_of_311_is_spoken_to_in_311(handler: Handler) -> None:
    events: list[Event] = []
    async with broker() as server, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve(server, handler))
        assert await probe_version(server.url) is Version.V311
        session = Session(CONFIG)
        link = await connect_link(server.url, session, lambda _, found: events.extend(found), timeout_s=20)
        assert session.version is Version.V311
        assert [type(event) for event in events] == [Connected]
        link.abort()
        before = len(server.all)
        again = await connect_link(server.url, session, ignored)
        assert len(server.all) == before + 1, "the session keeps to 3.1.1"
        again.abort()
        serving.cancel()


async def test_a_hiccup_of_a_broker_of_version_5_does_not_end_version_5() -> None:
    async with broker() as server, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve(server, hang_up, accept))
        session = Session(CONFIG)
        with pytest.raises(ServiceUnavailable, match="the server closed the connection"):
            await connect_link(server.url, session, silent)
        link = await connect_link(server.url, session, ignored)
        assert session.version is Version.V5
        link.abort()
        serving.cancel()


async def test_a_broker_that_hangs_up_on_everyone_does_not_end_version_5() -> None:
    async with broker() as server, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve(server, hang_up))
        session = Session(CONFIG)
        with pytest.raises(ServiceUnavailable):
            await connect_link(server.url, session, silent)
        assert session.version is Version.V5
        serving.cancel()


async def test_a_session_that_was_accepted_once_does_not_wonder_about_the_version() -> None:
    async with broker() as server, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve(server, accept, only_311_hangs_up))
        session = Session(CONFIG)
        (await connect_link(server.url, session, ignored)).abort()
        with pytest.raises(ServiceUnavailable, match="the server closed the connection"):
            await connect_link(server.url, session, silent)
        assert session.version is Version.V5
        assert len(server.all) == 2
        serving.cancel()


@pytest.mark.parametrize("welcome", [True, False], ids=["probe accepted", "probe hung up on"])
async def test_a_slow_broker_of_version_5_is_waited_for(welcome: bool) -> None:
    async def slow(connection: Connection) -> None:
        await connection.packet()
        probe = await server.connection()
        connection.say(Connack())
        await connected.wait()
        if welcome:
            await probe.accept()
        else:
            await hang_up(probe)

    connected = asyncio.Event()
    async with broker() as server, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve(server, slow))
        session = Session(CONFIG)
        link = await connect_link(server.url, session, lambda *_: connected.set(), timeout_s=20)
        assert (session.version, link.connected) == (Version.V5, True)
        link.abort()
        serving.cancel()


async def test_a_cancelled_dial_leaves_no_connection() -> None:
    async with broker() as server:
        session = Session(CONFIG)
        connecting = asyncio.create_task(connect_link(server.url, session, silent))
        connection = await server.connection()
        await connection.packet()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert await connection.packet() is None
        assert session.state.name == "IDLE"


async def test_what_follows_connack_in_the_same_chunk_is_told_to_the_owner() -> None:
    async def talkative(connection: Connection) -> None:
        await connection.packet()
        connection.say(Connack(), Publish(topic="t"))

    events: list[Event] = []
    async with broker() as server, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve(server, talkative))
        link = await connect_link(server.url, Session(CONFIG), lambda _, found: events.extend(found))
        await eventually(lambda: len(events) == 2)
        assert [type(event) for event in events] == [Connected, Message]
        link.abort()
        serving.cancel()


async def test_who_asks_is_told_that_a_connection_is_open_though_nobody_answers() -> None:
    opened: list[bool] = []
    async with broker() as server, asyncio.TaskGroup() as tasks:
        session = Session(CONFIG)
        dial = connect_link(server.url, session, ignored, on_open=lambda: opened.append(session.accepted))
        dialling = tasks.create_task(dial)
        connection = await server.connection()
        await eventually(lambda: opened == [False])
        await connection.accept()
        (await dialling).close()
    assert opened == [False]


async def test_a_local_address_can_be_chosen() -> None:
    async with broker() as server, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve(server, accept))
        link = await connect_link(server.url, Session(CONFIG), ignored, local_addr=("127.0.0.2", 0))
        assert server.all[0].writer.get_extra_info("peername")[0] == "127.0.0.2"
        link.abort()
        serving.cancel()


@pytest.mark.parametrize(
    ("address", "said"),
    [("192.0.2.1", "192.0.2.1 is not an address of this machine"), ("::1", "::1 is of another family than 127.0.0.1")],
)
async def test_a_local_address_that_cannot_be_is_named(address: str, said: str) -> None:
    async with broker() as server:
        with pytest.raises(ConfigError, match=said):
            await connect_link(server.url, Session(CONFIG), ignored, local_addr=(address, 0))


async def test_tls_carries_messages_both_ways(certificate: tuple[Path, Path], server_context: SSLContext) -> None:
    events: list[Event] = []
    trusted = create_default_context(cafile=certificate[0])
    async with broker(server_context) as server, asyncio.TaskGroup() as tasks:
        connecting = tasks.create_task(
            connect_link(server.url, Session(CONFIG), lambda _, found: events.extend(found), tls=trusted)
        )
        connection = await server.connection()
        await connection.accept()
        link = await connecting
        link.publish("up", bytes(100_000))
        assert await connection.packet() == Publish(topic="up", payload=bytes(100_000))
        connection.say(Publish(topic="down", payload=bytes(100_000)))
        await eventually(lambda: len(events) == 2)
        link.close()
        await eventually(lambda: len(events) == 3)


async def test_a_certificate_that_is_not_trusted_is_told(server_context: SSLContext) -> None:
    async with broker(server_context) as server:
        with pytest.raises(ServiceUnavailable, match=r"(?i)certificate"):
            await connect_link(server.url, Session(CONFIG), silent)


async def test_certificates_need_an_encrypted_url() -> None:
    context = create_default_context()
    context.check_hostname = False
    context.verify_mode = CERT_NONE
    with pytest.raises(ConfigError, match="write mqtts://"):
        await connect_link(closed_port(), Session(CONFIG), silent, tls=context)


async def test_amqtt_which_speaks_311_alone_is_fallen_back_to(caplog: pytest.LogCaptureFixture) -> None:
    amqtt = pytest.importorskip("amqtt.broker")
    caplog.set_level(logging.CRITICAL)
    port = closed_port().port
    anonymous = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    listeners = {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}
    events: list[Event] = []
    real = amqtt.Broker({"listeners": listeners, "plugins": anonymous})
    await real.start()
    try:
        url = BrokerUrl("mqtt", "127.0.0.1", port)
        assert await probe_version(url) is Version.V311
        session = Session(CONFIG)
        link = await connect_link(url, session, lambda _, found: events.extend(found), timeout_s=20)
        assert session.version is Version.V311
        link.subscribe([Subscription("t/#", 1)])
        await eventually(lambda: len(events) == 2)
        link.publish("t/x", b"hello", qos=1)
        await eventually(lambda: any(isinstance(event, Message) and event.payload == b"hello" for event in events))
        link.close()
        await eventually(lambda: type(events[-1]).__name__ == "ConnectionLost")
    finally:
        await real.shutdown()
