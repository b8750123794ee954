"""One connection: flow control both ways, its end in all ways, and what is told of it."""

import asyncio
import errno
import gc
import socket
import tracemalloc

import pytest

from edgewire.link import Link, close_and_wait, connect_link, protocol
from edgewire.mqtt import (
    Acknowledged,
    Connected,
    ConnectionLost,
    Event,
    Message,
    ServerDisconnected,
    Session,
    SessionConfig,
    SessionNotConnected,
    SessionState,
    Subscribed,
    Subscription,
    Unsubscribed,
    Version,
    encode,
)
from edgewire.mqtt.packets import (
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from tests.edgewire.link.broker import Broker, Connection, broker
from tests.waiting import eventually


class Owner:
    """Remembers what a link told it."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, link: Link, events: list[Event]) -> None:
        assert events
        self.events.extend(events)

    @property
    def losses(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, ConnectionLost)]

    @property
    def messages(self) -> list[Message]:
        return [event for event in self.events if isinstance(event, Message)]


async def connect(server: Broker, owner: Owner, session: Session | None = None) -> tuple[Link, Connection]:
    """Both ends of an accepted connection."""
    session = session or Session(SessionConfig(client_id="c", clean_start=False))
    connecting = asyncio.create_task(connect_link(server.url, session, owner))
    connection = await server.connection()
    await connection.accept()
    return await connecting, connection


async def test_what_is_asked_of_a_link_is_sent_at_once_and_its_answer_told() -> None:
    owner = Owner()
    async with broker() as server:
        link, connection = await connect(server, owner)
        assert isinstance(owner.events[0], Connected)
        assert (link.connected, link.writable) == (True, True)
        link.subscribe([Subscription("a")])
        assert await connection.packet() == Subscribe(1, (Subscription("a"),))
        link.unsubscribe(["a"])
        assert await connection.packet() == Unsubscribe(2, ("a",))
        link.publish("t", b"x", qos=1, retain=True, properties={"content_type": "j"}, token="token")
        wanted = Publish(topic="t", payload=b"x", qos=1, retain=True, packet_id=3, properties={"content_type": "j"})
        assert await connection.packet() == wanted
        connection.say(Suback(1, (1,)), Unsuback(2, (0,)), Puback(3))
        await eventually(lambda: len(owner.events) == 4)
        assert owner.events[1:] == [Subscribed(1, (1,)), Unsubscribed(2, (0,)), Acknowledged(3, 0, "token")]
        link.abort()


async def test_manual_acknowledgements_are_sent_at_once() -> None:
    owner = Owner()
    async with broker() as server:
        link, connection = await connect(server, owner, Session(SessionConfig(client_id="c", manual_ack=True)))
        connection.say(Publish(topic="t", qos=1, packet_id=1))
        await eventually(lambda: owner.messages)
        assert link.ack(owner.messages[0])
        assert not link.ack(owner.messages[0])
        assert await connection.packet() == Puback(1)
        link.abort()


async def test_a_publisher_learns_when_to_stop_and_when_to_go_on() -> None:
    owner, went_on = Owner(), asyncio.Event()

    def on_events(link: Link, events: list[Event]) -> None:
        if events:
            owner(link, events)
        else:
            went_on.set()

    async with broker() as server:
        session = Session(SessionConfig(client_id="c"))
        connecting = asyncio.create_task(connect_link(server.url, session, on_events))
        connection = await server.connection()
        await connection.accept()
        link = await connecting
        sent = 0
        while link.writable:
            link.publish("t", bytes(60_000))
            sent += 1
            await asyncio.sleep(0)
        assert not went_on.is_set()
        for _ in range(sent):
            assert isinstance(await connection.packet(), Publish)
        await went_on.wait()
        assert link.writable
        link.abort()


async def test_a_subscriber_that_pauses_holds_the_server_back_and_loses_nothing() -> None:
    owner = Owner()
    async with broker() as server:
        link, connection = await connect(server, owner)
        link.pause_reading()
        flood = [Publish(topic="t", payload=b"%d" % number + bytes(50_000)) for number in range(400)]
        connection.say(*flood)
        await asyncio.sleep(0.05)
        # What is in flight in the loop may still come; the rest stays with the server.
        assert len(owner.messages) < 40
        assert connection.writer.transport.get_write_buffer_size() > 0
        link.publish("still", b"alive")
        assert await connection.packet() == Publish(topic="still", payload=b"alive")
        link.resume_reading()
        await eventually(lambda: len(owner.messages) == 400)
        assert [one.payload for one in owner.messages] == [one.payload for one in flood]
        link.abort()


async def test_garbage_ends_the_connection_once_and_what_came_before_it_counts() -> None:
    owner = Owner()
    async with broker() as server:
        link, connection = await connect(server, owner)
        connection.writer.write(encode(Publish(topic="t"), Version.V5) + b"\xff\xff\xff")
        assert await connection.packet() == Disconnect(0x81)
        assert await connection.packet() is None
        await eventually(lambda: owner.losses)
        assert [one.topic for one in owner.messages] == ["t"]
        assert owner.losses == ["the server broke the protocol: a packet begins with the byte 0xff"]
        assert (link.connected, link.writable, link.session.state) == (False, False, SessionState.IDLE)


async def test_a_server_that_hangs_up_is_told_once() -> None:
    owner = Owner()
    async with broker() as server:
        link, connection = await connect(server, owner)
        connection.close()
        await eventually(lambda: owner.losses)
        link.close()
        link.abort()
        await asyncio.sleep(0.01)
        assert owner.losses == ["the server closed the connection"]


async def test_a_connection_that_is_reset_is_told_once() -> None:
    owner = Owner()
    async with broker() as server:
        _, connection = await connect(server, owner)
        raw: socket.socket = connection.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        connection.writer.transport.abort()
        await eventually(lambda: owner.losses)
        assert len(owner.losses) == 1
        assert owner.losses[0].startswith("the connection broke")


@pytest.mark.parametrize(
    ("follows", "loss"),
    [
        (b"\xff\xff\xff", "the server broke the protocol: a packet begins with the byte 0xff"),
        (
            encode(Connack(), Version.V5),
            "the server broke the protocol: the server sent CONNACK, which it may not do here",
        ),
        (encode(Disconnect(0x8E), Version.V5), "the server ended the connection: session taken over"),
    ],
    ids=["garbage", "second CONNACK", "DISCONNECT"],
)
async def test_what_is_bad_and_comes_with_connack_ends_a_connection_that_was_used(follows: bytes, loss: str) -> None:
    """The owner subscribes as soon as it is connected, as devices and the bridge do."""
    owner, failures = Owner(), list[dict[str, object]]()

    def subscribe(link: Link, events: list[Event]) -> None:
        if isinstance(events[0], Connected):
            link.subscribe([Subscription("a")])
        owner(link, events)

    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context))
    async with broker() as server:
        session = Session(SessionConfig(client_id="c"))
        connecting = asyncio.create_task(connect_link(server.url, session, subscribe))
        connection = await server.connection()
        assert isinstance(await connection.packet(), Connect)
        connection.writer.write(encode(Connack(), Version.V5) + follows)
        link = await connecting
        await eventually(lambda: owner.losses)
        assert (owner.losses, link.connected) == ([loss], False)
        assert await connection.packet() == Subscribe(1, (Subscription("a"),))
    assert failures == []


async def test_an_owner_does_not_take_a_connection_that_ends_in_the_same_bytes_for_one_that_stands() -> None:
    stands: list[tuple[bool, bool]] = []
    async with broker() as server:
        session = Session(SessionConfig(client_id="c"))
        connecting = asyncio.create_task(
            connect_link(server.url, session, lambda link, _: stands.append((link.connected, link.writable)))
        )
        connection = await server.connection()
        await connection.accept()
        await connecting
        connection.say(Publish(topic="a", payload=b"command"), Disconnect(0x98))
        await eventually(lambda: len(stands) == 3)
    assert stands == [(True, True), (False, False), (False, False)]


async def test_the_reason_of_the_server_is_told_before_the_loss() -> None:
    owner = Owner()
    async with broker() as server:
        _, connection = await connect(server, owner)
        connection.say(Disconnect(0x8B))
        await eventually(lambda: owner.losses)
        assert owner.events[1:] == [
            ServerDisconnected(0x8B, "server shutting down"),
            ConnectionLost("the server ended the connection: server shutting down"),
        ]
        assert await connection.packet() is None


@pytest.mark.parametrize(("reason", "said"), [(0, Disconnect()), (4, Disconnect(4))])
async def test_close_says_goodbye_after_all_that_was_published(reason: int, said: Disconnect) -> None:
    owner = Owner()
    async with broker() as server:
        link, connection = await connect(server, owner)
        link.publish("t", b"last")
        link.close(reason)
        assert await connection.packet() == Publish(topic="t", payload=b"last")
        assert await connection.packet() == said
        assert await connection.packet() is None
        await eventually(lambda: owner.losses)
        assert owner.losses == ["closed by us"]


async def test_abort_says_nothing() -> None:
    owner = Owner()
    async with broker() as server:
        link, connection = await connect(server, owner)
        link.abort()
        assert await connection.packet() is None
        await eventually(lambda: owner.losses)
        assert owner.losses == ["aborted by us"]


@pytest.mark.parametrize("end", [Link.close, Link.abort])
async def test_a_session_may_be_dialled_again_at_once_and_its_old_link_is_done(end: object) -> None:
    owner, second = Owner(), Owner()
    async with broker() as server:
        session = Session(SessionConfig(client_id="c", clean_start=False, manual_ack=True))
        old, connection = await connect(server, owner, session)
        connection.say(Publish(topic="t", qos=1, packet_id=1))
        await eventually(lambda: owner.messages)
        end(old)
        new, again = await connect(server, second, session)
        while await connection.packet() is not None:
            pass
        await eventually(lambda: owner.losses)
        for attempt in (lambda: old.publish("t", b""), lambda: old.subscribe([]), lambda: old.unsubscribe([])):
            with pytest.raises(SessionNotConnected, match="by us"):
                attempt()
        assert not old.ack(owner.messages[0])
        again.say(Publish(topic="t", qos=1, packet_id=1))
        await eventually(lambda: second.messages)
        assert not old.ack(second.messages[0])
        session.publish("t", b"for the new link", now=0.0)
        old.flush()
        old.tick()
        old.pause_reading()
        old.resume_reading()
        old.close()
        new.flush()
        assert await again.packet() == Publish(topic="t", payload=b"for the new link")
        assert (second.losses, new.connected) == ([], True)
        new.abort()


@pytest.mark.parametrize("paused", [False, True])
async def test_a_connection_is_closed_in_order_although_the_server_has_something_to_say(paused: bool) -> None:
    """A socket that is closed with something unread resets the connection."""
    owner = Owner()
    async with broker() as server:
        link, connection = await connect(server, owner)
        if paused:
            link.pause_reading()
        link.publish("t", b"last", qos=1)
        link.close()
        assert await connection.packet() == Publish(topic="t", payload=b"last", qos=1, packet_id=1)
        assert await connection.packet() == Disconnect()
        for _ in range(20):
            connection.say(Puback(1), Publish(topic="t", payload=bytes(1000)))
            await connection.writer.drain()
            await asyncio.sleep(0)
        assert owner.losses == []
        # `packet` would take a reset for an end.
        assert await connection.reader.read() == b""
        connection.close()
        await eventually(lambda: owner.losses)
        assert (owner.losses, link.is_gone) == (["closed by us"], True)


async def test_a_closing_link_does_not_wait_for_ever_for_a_peer_that_does_not_close(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol, "LINGER_S", 0.01)
    owner = Owner()
    async with broker() as server:
        link, _ = await connect(server, owner)
        link.close()
        await eventually(lambda: owner.losses)


async def test_a_closing_link_does_not_wait_for_ever_for_a_peer_that_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol, "LINGER_S", 0.01)
    owner = Owner()
    async with broker() as server:
        link, _ = await connect(server, owner)
        while link.writable:
            link.publish("t", bytes(100_000))
            await asyncio.sleep(0)
        link.close()
        await eventually(lambda: owner.losses)
        assert owner.losses == ["closed by us"]


@pytest.mark.slow
async def test_who_parts_knows_that_the_connection_is_gone() -> None:
    owner = Owner()
    async with broker() as server:
        link, connection = await connect(server, owner)
        await close_and_wait(link)
        assert link.is_gone
        assert owner.losses == ["closed by us"]
        assert await connection.packet() == Disconnect()
        await close_and_wait(link)
        assert len(owner.losses) == 1


async def test_two_links_cannot_share_a_session() -> None:
    owner, intruder = Owner(), Owner()
    async with broker() as server:
        link, connection = await connect(server, owner)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: Link(link.session, intruder), server.url.host, server.url.port)
        await eventually(lambda: intruder.losses)
        assert "CONNECTED cannot CONNECT" in intruder.losses[0]
        link.publish("t", b"alive")
        assert await connection.packet() == Publish(topic="t", payload=b"alive")
        assert owner.losses == []
        link.abort()


class ManualClock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_silent_server_is_given_up_by_the_owners_ticks() -> None:
    owner, clock = Owner(), ManualClock()
    async with broker() as server:
        session = Session(SessionConfig(client_id="c", keep_alive_s=60, response_timeout_s=5))
        link = Link(session, owner, clock)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: link, server.url.host, server.url.port)
        connection = await server.connection()
        await connection.accept()
        await eventually(lambda: link.connected)
        clock.now = session.next_deadline()
        link.tick()
        assert await connection.packet() == Pingreq()
        connection.say(Pingresp())
        await eventually(lambda: session.next_deadline() > clock.now + 5)
        clock.now = session.next_deadline()
        link.tick()
        assert await connection.packet() == Pingreq()
        clock.now = session.next_deadline()
        link.tick()
        assert await connection.packet() is None
        await eventually(lambda: owner.losses)
        link.tick()
        assert owner.losses == ["the server is silent: no PINGRESP within 5 s"]


async def test_while_reading_is_paused_a_server_is_not_given_up() -> None:
    owner, clock = Owner(), ManualClock()
    async with broker() as server:
        session = Session(SessionConfig(client_id="c", keep_alive_s=60, response_timeout_s=5))
        link = Link(session, owner, clock)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: link, server.url.host, server.url.port)
        connection = await server.connection()
        await connection.accept()
        await eventually(lambda: link.connected)
        link.pause_reading()
        for _ in range(3):
            clock.now = session.next_deadline()
            link.tick()
            assert await connection.packet() == Pingreq()
        link.resume_reading()
        assert session.next_deadline() == clock.now + 5
        clock.now += 5
        link.tick()
        await eventually(lambda: owner.losses)


@pytest.mark.slow
async def test_a_link_with_its_own_timer_pings_and_gives_up_by_itself() -> None:
    owner = Owner()
    async with broker() as server:
        # The wait for CONNACK is long, so the timer must have been set anew for the ping.
        session = Session(SessionConfig(client_id="c", keep_alive_s=1, response_timeout_s=600))
        _, connection = await connect(server, owner, session)
        assert await connection.packet() == Pingreq()
        await eventually(lambda: owner.losses)
        assert owner.losses == ["the server is silent: no PINGRESP within 1 s"]


class RecordingTransport(asyncio.Transport):
    """Keeps each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def can_write_eof(self) -> bool:
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.writes.append(b"closed")

    def abort(self) -> None:
        self.writes.append(b"aborted")


class ResetTransport(RecordingTransport):
    """Is that of a connection which the peer has reset, before asyncio tells of it."""

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return False

    def resume_reading(self) -> None:
        pass

    def write_eof(self) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")


def test_closing_what_the_peer_has_reset_is_no_error() -> None:
    transport = ResetTransport()
    link = Link(Session(SessionConfig(client_id="c"), Version.V311), Owner())
    link.connection_made(transport)
    link.data_received(encode(Connack(), Version.V311))
    link.close()
    assert transport.writes[-1] == b"aborted"


def test_the_answers_to_one_chunk_leave_in_one_write() -> None:
    def answer(link: Link, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Message):
                link.ack(event)
                link.publish("t", event.payload)

    transport = RecordingTransport()
    link = Link(Session(SessionConfig(client_id="c", manual_ack=True), Version.V311), answer)
    link.connection_made(transport)
    link.data_received(encode(Connack(), Version.V311))
    transport.writes.clear()
    chunk = [Publish(topic="t", payload=b"%d" % number, qos=1, packet_id=number) for number in (1, 2)]
    link.data_received(b"".join(encode(packet, Version.V311) for packet in chunk))
    answers = [Puback(1), Publish(topic="t", payload=b"1"), Puback(2), Publish(topic="t", payload=b"2")]
    assert transport.writes == [b"".join(encode(packet, Version.V311) for packet in answers)]


async def test_a_link_that_is_still_closing_does_not_take_what_is_meant_for_the_next() -> None:
    closing, transport = RecordingTransport(), RecordingTransport()
    session = Session(SessionConfig(client_id="c"), Version.V311)
    old, new = Link(session, Owner()), Link(session, Owner())
    old.connection_made(closing)
    old.close()
    new.connection_made(transport)
    new.data_received(encode(Connack(), Version.V311))
    closing.writes.clear()
    transport.writes.clear()
    session.publish("t", b"x", now=0.0)
    old.flush()
    new.flush()
    assert (closing.writes, transport.writes) == ([], [encode(Publish(topic="t", payload=b"x"), Version.V311)])
    old.connection_lost(None)
    new.abort()


def test_an_error_of_the_owner_does_not_stop_later_writes() -> None:
    def fail(link: Link, events: list[Event]) -> None:
        raise RuntimeError("mistake")

    transport = RecordingTransport()
    link = Link(Session(SessionConfig(client_id="c"), Version.V311), fail)
    link.connection_made(transport)
    with pytest.raises(RuntimeError):
        link.data_received(encode(Connack(), Version.V311))
    transport.writes.clear()
    link.publish("t", b"x")
    assert transport.writes == [encode(Publish(topic="t", payload=b"x"), Version.V311)]


def test_an_idle_link_and_its_session_are_small() -> None:
    config = SessionConfig(client_id="c")
    transport, owner = RecordingTransport(), Owner()
    connack = encode(Connack(False, 0, {"receive_maximum": 20}), Version.V5)
    gc.collect()
    tracemalloc.start()
    try:
        links = []
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(500):
            link = Link(Session(config), Owner())
            link.connection_made(transport)
            link.data_received(connack)
            links.append(link)
        del owner
        transport.writes.clear()
        assert (tracemalloc.get_traced_memory()[0] - before) / len(links) < 3000
    finally:
        tracemalloc.stop()
