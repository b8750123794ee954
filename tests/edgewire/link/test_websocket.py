"""MQTT over WebSockets: any frames give the same bytes, and what no server should do ends with a sentence."""

import asyncio
import re
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, Request, TextMessage
from wsproto.frame_protocol import CloseReason

from edgewire.errors import ServiceUnavailable
from edgewire.link import BrokerUnreachable, BrokerUrl, Link, WebHandshake, connect_link, probe_version
from edgewire.link.endpoint import Endpoint
from edgewire.link.websocket import open_websocket
from edgewire.mqtt import ConnectionLost, Event, Message, PacketDecoder, Session, SessionConfig, Version, encode
from edgewire.mqtt.packets import Connack, Packet, Publish
from tests.edgewire.link.test_transport import Recorder
from tests.edgewire.link.websocket_peer import WebSocketPeer
from tests.tcp import tcp_server
from tests.waiting import eventually

Script = Callable[[WebSocketPeer], Awaitable[None]]


@asynccontextmanager
async def web_broker(script: Script) -> AsyncIterator[BrokerUrl]:
    """A server of which each connection is driven by an async `script`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await script(WebSocketPeer(reader, writer))

    async with tcp_server(serve) as port:
        yield BrokerUrl("ws", "127.0.0.1", port, path="/mqtt")


async def accept_mqtt(peer: WebSocketPeer) -> None:
    """Take the handshake and CONNECT, and say CONNACK."""
    await peer.handshake()
    await peer.event()
    peer.send(BytesMessage(data=encode(Connack(), Version.V5)))


async def end_of(script: Script) -> str:
    """Return why a connection ended that was accepted, and then had what the script does."""
    events: list[Event] = []

    async def run(peer: WebSocketPeer) -> None:
        await accept_mqtt(peer)
        await script(peer)
        while await peer.event() is not None:
            pass

    async with web_broker(run) as url:
        await connect_link(url, Session(SessionConfig(client_id="c")), lambda _, found: events.extend(found))
        await eventually(lambda: any(isinstance(event, ConnectionLost) for event in events))
    return next(event.reason for event in events if isinstance(event, ConnectionLost))


class LoopbackTransport(asyncio.Transport):
    """A transport without a network: what is written is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


class SilentConnector:
    """Gives a transport on which the server has said nothing, and keeps the protocol, so that a test feeds it."""

    def __init__(self) -> None:
        self.transport = LoopbackTransport()
        self.below: asyncio.Protocol | None = None

    async def open_transport(
        self, endpoint: Endpoint, make_protocol: Callable[[], asyncio.Protocol]
    ) -> asyncio.Transport:
        self.below = make_protocol()
        self.below.connection_made(self.transport)
        return self.transport


class LoopbackConnector(SilentConnector):
    """Gives a transport on which the server has taken the handshake."""

    async def open_transport(
        self, endpoint: Endpoint, make_protocol: Callable[[], asyncio.Protocol]
    ) -> asyncio.Transport:
        transport = await super().open_transport(endpoint, make_protocol)
        server = WSConnection(ConnectionType.SERVER)
        server.receive_data(bytes(self.transport.written))
        (request,) = server.events()
        assert isinstance(request, Request)
        self.transport.written.clear()
        assert self.below is not None
        self.below.data_received(server.send(AcceptConnection(subprotocol="mqtt")))
        return transport


PACKETS: list[Packet] = [
    Publish(topic=f"t/{number}", payload=bytes([number]) * (number * 37), qos=1, packet_id=number + 1)
    for number in range(6)
]
STREAM = b"".join(encode(packet, Version.V5) for packet in PACKETS)


def frame(payload: bytes, opcode: int = 2, fin: bool = True) -> bytes:
    """A frame of a server."""
    head = bytes([(0x80 if fin else 0) | opcode])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    return head + bytes([126]) + struct.pack("!H", len(payload)) + payload


@given(
    cuts=st.lists(st.integers(0, len(STREAM)), max_size=12),
    fins=st.lists(st.booleans(), min_size=14, max_size=14),
    chunks=st.lists(st.integers(1, 200), min_size=1, max_size=50),
    pings=st.sets(st.integers(0, 13)),
)
@settings(max_examples=25, deadline=None)
def test_any_frames_and_any_cuts_of_them_give_the_same_packets(
    cuts: list[int], fins: list[bool], chunks: list[int], pings: set[int]
) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    wire, continued = b"", False
    for number, (start, end) in enumerate(pairwise(edges)):
        fin = fins[number] or end == len(STREAM)
        if number in pings:
            wire += frame(b"p", opcode=9)
        wire += frame(STREAM[start:end], opcode=0 if continued else 2, fin=fin)
        continued = not fin

    async def receive() -> bytes:
        connector, above = LoopbackConnector(), Recorder()
        await open_websocket(connector, Endpoint("h", 80, path="/mqtt"), lambda: above)
        assert connector.below is not None
        at = 0
        while at < len(wire):
            size = chunks[at % len(chunks)]
            connector.below.data_received(wire[at : at + size])
            at += size
        return above.received

    received = asyncio.run(receive())
    assert received == STREAM
    assert list(PacketDecoder(Version.V5).feed(received)) == PACKETS


async def test_a_frame_that_has_no_end_is_handed_on_as_it_comes() -> None:
    connector, above = LoopbackConnector(), Recorder()
    await open_websocket(connector, Endpoint("h", 80, path="/mqtt"), lambda: above)
    assert connector.below is not None
    connector.below.data_received(b"\x82\x7f" + struct.pack("!Q", 1 << 60))
    for _ in range(3):
        connector.below.data_received(b"x" * 1000)
    assert above.received == b"x" * 3000
    assert not connector.transport.closed


async def test_messages_go_both_ways_and_the_goodbye_is_in_order() -> None:
    heard: list[object] = []

    async def run(peer: WebSocketPeer) -> None:
        # What comes in one write with the answer to the handshake is not lost.
        await peer.handshake()
        await peer.event()
        peer.send(BytesMessage(data=encode(Connack(), Version.V5)))
        peer.send(BytesMessage(data=encode(Publish(topic="down", payload=b"1"), Version.V5)))
        peer.send(Ping(payload=b"are you there"))
        while (event := await peer.event()) is not None:
            heard.append(event)
            if isinstance(event, CloseConnection):
                peer.send(event.response())
                peer.writer.close()

    events: list[Event] = []
    async with web_broker(run) as url:
        link = await connect_link(url, Session(SessionConfig(client_id="c")), lambda _, found: events.extend(found))
        link.publish("up", b"2")
        await eventually(lambda: any(isinstance(event, Message) for event in events))
        await eventually(lambda: any(isinstance(event, Pong) for event in heard))
        link.close()
        await eventually(lambda: link.is_gone)
    assert any(isinstance(event, Pong) and event.payload == b"are you there" for event in heard)
    sent = b"".join(bytes(event.data) for event in heard if isinstance(event, BytesMessage))
    assert sent == encode(Publish(topic="up", payload=b"2"), Version.V5) + b"\xe0\x00"
    assert isinstance(heard[-1], CloseConnection)
    assert heard[-1].code == 1000


async def test_the_request_has_path_host_subprotocol_and_headers() -> None:
    asked: list[Request] = []

    async def run(peer: WebSocketPeer) -> None:
        asked.append(await peer.handshake())
        await peer.event()
        peer.send(BytesMessage(data=encode(Connack(), Version.V5)))
        await peer.event()

    async with web_broker(run) as url:
        there = BrokerUrl.parse(f"{str(url).removesuffix('/mqtt')}/a%20b?token=x")
        link: Link = await connect_link(
            there, Session(SessionConfig(client_id="c")), lambda *_: None, web=WebHandshake((("X-Tenant", "blue"),))
        )
        link.abort()
        await eventually(lambda: link.is_gone)
    assert asked[0].target == "/a%20b?token=x"
    assert asked[0].host == f"127.0.0.1:{url.port}"
    assert asked[0].subprotocols == ["mqtt"]
    assert (b"x-tenant", b"blue") in asked[0].extra_headers


async def test_a_probe_asks_over_a_websocket_too() -> None:
    async with web_broker(accept_mqtt) as url:
        assert await probe_version(url) is Version.V5


def http(status: str, *headers: str, body: str = "") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body]).encode()


WRONG_ANSWERS = [
    (http("400 Bad Request"), "400 Bad Request: correct its path; if the port is for TLS, write wss://"),
    (http("401 Unauthorized"), "401 Unauthorized: it wants to know who asks"),
    (http("403 Forbidden"), "403 Forbidden: look at what it lets in"),
    (http("404 Not Found"), "404 Not Found: correct the path of the URL: many brokers have /mqtt"),
    (
        http("302 Found", "Location: https://u:s3cret@elsewhere/login?key=s3cret"),
        r"302 Found, which points to https://\*\*\*@elsewhere/login\?key=\*\*\*: redirections are not followed",
    ),
    (http("200 OK", body="<html></html>"), "200 OK: that is a page of a web server"),
    (http("503 Service Unavailable"), "503 Service Unavailable: it is busy"),
    (http("799 Odd"), "799: look into its log"),
    (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "its answer to the WebSocket handshake is none"),
    (b"\x20\x02\x00\x00\r\n\r\n", "its answer to the WebSocket handshake is none"),
    (
        http("101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: wrong"),
        r"its answer to the WebSocket handshake is none \(Bad accept token\)",
    ),
    (b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"y" * 100_000, "its answer to the WebSocket handshake is none"),
    (b"", "it ended the connection instead of answering the WebSocket handshake"),
]


@pytest.mark.parametrize(("answer", "said"), WRONG_ANSWERS, ids=[said[:20] for _, said in WRONG_ANSWERS])
async def test_a_server_that_does_not_take_the_handshake_is_told_of(answer: bytes, said: str) -> None:
    async def run(peer: WebSocketPeer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.writer.write(answer)
        if not answer:
            peer.writer.close()
        await peer.reader.read()

    async with web_broker(run) as url:
        with pytest.raises(BrokerUnreachable, match=said) as caught:
            await connect_link(url, Session(SessionConfig(client_id="c")), lambda *_: None)
    assert "s3cret" not in str(caught.value)
    assert str(caught.value).startswith(f"broker {url} cannot be reached: ")


@pytest.mark.parametrize("subprotocol", [None, "mqttv3.1"])
async def test_a_websocket_for_something_else_is_not_taken(subprotocol: str | None) -> None:
    async def run(peer: WebSocketPeer) -> None:
        data = await peer.reader.readuntil(b"\r\n\r\n")
        peer.frames.receive_data(data.replace(b"mqtt\r\n", b"mqtt, mqttv3.1\r\n"))
        list(peer.frames.events())
        peer.writer.write(peer.frames.send(AcceptConnection(subprotocol=subprotocol)))
        await peer.reader.read()

    async with web_broker(run) as url:
        with pytest.raises(BrokerUnreachable, match=r"its WebSocket is not for MQTT: it .* the subprotocol"):
            await connect_link(url, Session(SessionConfig(client_id="c")), lambda *_: None)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (CloseConnection(code=1008, reason="not you"), r"with code 1008 \(policy violation\): not you"),
        (CloseConnection(code=CloseReason.GOING_AWAY), r"with code 1001 \(going away\)$"),
        (CloseConnection(code=4001, reason="quota"), "with code 4001: quota"),
        (TextMessage(data="hello"), "the server sent text over the WebSocket, and MQTT is binary"),
    ],
    ids=["policy", "going away", "own code", "text"],
)
async def test_the_end_of_a_websocket_has_its_reason(sent: CloseConnection | TextMessage, said: str) -> None:
    async def script(peer: WebSocketPeer) -> None:
        peer.send(sent)

    reason = await end_of(script)
    assert re.search(said, reason), reason


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"\x82\x81\x00\x00\x00\x00x", "client received unexpected masked frame"),
        (b"\x83\x01x", "Invalid opcode"),
        (b"\x80\x01x", "unexpected CONTINUATION"),
        (b"\x89\x7e\x00\x7e" + b"x" * 126, "Control frame with payload len > 125"),
        (b"\x82\x7f" + b"\xff" * 8, "non-zero MSB"),
        (b"\xc2\x01x", "Reserved bit set unexpectedly"),
        (b"\x88\x01x", "CLOSE with 1 byte payload"),
    ],
    ids=["masked", "opcode", "continuation", "long ping", "length", "reserved bit", "close"],
)
async def test_a_server_that_breaks_the_rules_of_frames_is_left(sent: bytes, said: str) -> None:
    async def script(peer: WebSocketPeer) -> None:
        peer.writer.write(sent)

    reason = await end_of(script)
    assert "the server broke the rules of WebSocket" in reason
    assert said in reason


async def test_a_server_that_never_answers_the_handshake_is_given_up() -> None:
    async def run(peer: WebSocketPeer) -> None:
        await peer.reader.read()

    async with web_broker(run) as url:
        with pytest.raises(ServiceUnavailable, match="did not complete the WebSocket handshake within"):
            await connect_link(url, Session(SessionConfig(client_id="c")), lambda *_: None, timeout_s=0.1)
