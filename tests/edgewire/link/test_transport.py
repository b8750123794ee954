"""The contract of transports, over every scheme there is, and that a new one is a class and a line of the table."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from edgewire.errors import ConfigError
from edgewire.link import BrokerUrl, connect_link, probe_version
from edgewire.link.local_address import connected_from
from edgewire.link.transport import TRANSPORTS, Endpoint, ProtocolFactory, TransportType, UrlForm
from edgewire.mqtt import Event, Message, Session, SessionConfig, Version
from edgewire.mqtt.packets import Connack, Publish
from tests.edgewire.link.broker import Connection
from tests.edgewire.link.websocket_peer import over_websocket, unix_server
from tests.tcp import tcp_server
from tests.waiting import eventually


class Recorder(asyncio.Protocol):
    """Remembers what a transport told it."""

    def __init__(self) -> None:
        self.made: list[asyncio.BaseTransport] = []
        self.received = b""
        self.ended: list[Exception | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made.append(transport)

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.append(exc)


class EchoServer:
    """What it is sent it sends back."""

    def __init__(self) -> None:
        self.ended = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        self.ended += 1


WITH_HOSTS = sorted(scheme for scheme, kind in TRANSPORTS.items() if kind.form is not UrlForm.FILE)


@pytest.fixture(params=sorted(TRANSPORTS))
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def kind(scheme: str) -> TransportType:
    return TRANSPORTS[scheme]


@pytest.fixture
def trusted(kind: TransportType, certificate: tuple[Path, Path]) -> ssl.SSLContext | None:
    """What a client of this transport connects with."""
    return ssl.create_default_context(cafile=certificate[0]) if kind.uses_tls else None


class Where(NamedTuple):
    """Where a server of a test is."""

    port: int
    path: str

    def endpoint(self, tls: ssl.SSLContext | None, local: tuple[str, int] | None = None) -> Endpoint:
        return Endpoint("127.0.0.1", self.port, tls, local, self.path)


@asynccontextmanager
async def echo(kind: TransportType, server_context: ssl.SSLContext) -> AsyncIterator[tuple[EchoServer, Where]]:
    server = EchoServer()
    serve = over_websocket(server.serve) if kind.form is UrlForm.WEB else server.serve
    if kind.form is UrlForm.FILE:
        with TemporaryDirectory() as folder:
            path = f"{folder}/echo.sock"
            async with unix_server(serve, path):
                yield server, Where(0, path)
        return
    async with tcp_server(serve, tls=server_context if kind.uses_tls else None) as port:
        yield server, Where(port, "/mqtt" if kind.form is UrlForm.WEB else "")


async def test_bytes_go_both_ways_and_the_end_is_told_once(
    kind: TransportType, trusted: ssl.SSLContext | None, server_context: ssl.SSLContext
) -> None:
    sent = bytes(range(256)) * 1000
    async with echo(kind, server_context) as (server, where):
        protocol = Recorder()
        transport = await kind.connector.open_transport(where.endpoint(trusted), lambda: protocol)
        assert protocol.made == [transport], "it is connected before it is returned"
        transport.write(sent)
        await eventually(lambda: protocol.received == sent)
        transport.close()
        await eventually(lambda: server.ended)
        await eventually(lambda: protocol.ended)
        assert protocol.ended == [None]


async def test_reading_can_be_paused(
    kind: TransportType, trusted: ssl.SSLContext | None, server_context: ssl.SSLContext
) -> None:
    async with echo(kind, server_context) as (_, where):
        paused, other = Recorder(), Recorder()
        endpoint = where.endpoint(trusted)
        transport = await kind.connector.open_transport(endpoint, lambda: paused)
        second = await kind.connector.open_transport(endpoint, lambda: other)
        transport.pause_reading()
        transport.write(b"first")
        second.write(b"second")
        await eventually(lambda: other.received == b"second")
        assert paused.received == b""
        transport.resume_reading()
        await eventually(lambda: paused.received == b"first")
        transport.abort()
        second.abort()
        await eventually(lambda: paused.ended and other.ended)


@pytest.mark.parametrize("scheme", WITH_HOSTS)
@pytest.mark.parametrize("local", ["127.0.0.1", "127.0.0.2", None])
async def test_the_local_address_is_the_one_that_was_chosen(
    kind: TransportType, trusted: ssl.SSLContext | None, server_context: ssl.SSLContext, local: str | None
) -> None:
    async with echo(kind, server_context) as (_, where):
        endpoint = where.endpoint(trusted, (local, 0) if local else None)
        protocol = Recorder()
        transport = await kind.connector.open_transport(endpoint, lambda: protocol)
        peer = local or "127.0.0.1"
        assert transport.get_extra_info("sockname")[0] == peer
        transport.abort()
        await eventually(lambda: protocol.ended)


@pytest.mark.slow
async def test_a_connection_from_a_local_address_may_take_a_while() -> None:
    """A listener whose queue is full lets it wait: the kernel asks again after a second."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        first = socket.create_connection(address)
        connecting = asyncio.create_task(connected_from(("127.0.0.2", 0), *address))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(connecting), 0.2)
        listener.accept()[0].close()
        async with asyncio.timeout(20):
            sock = await connecting
        assert sock.getpeername() == address
        sock.close()
        first.close()


@pytest.mark.parametrize("local", [None, ("127.0.0.1", 0)])
async def test_where_nobody_listens_an_os_error_says_so(
    kind: TransportType, trusted: ssl.SSLContext | None, local: tuple[str, int] | None
) -> None:
    async with tcp_server(EchoServer().serve) as port:
        pass
    protocol = Recorder()
    endpoint = Endpoint("127.0.0.1", port, trusted, local, "/nobody/listens")
    with pytest.raises(OSError, match=r"(?i)connect|refused|no such file"):
        await kind.connector.open_transport(endpoint, lambda: protocol)
    assert protocol.made == []


@pytest.mark.parametrize("scheme", WITH_HOSTS)
async def test_a_local_address_of_another_machine_is_a_mistake_of_the_configuration(
    kind: TransportType, trusted: ssl.SSLContext | None
) -> None:
    with pytest.raises(ConfigError, match=r"source address 192\.0\.2\.1 is not an address of this machine"):
        await kind.connector.open_transport(Endpoint("127.0.0.1", 1, trusted, ("192.0.2.1", 0)), Recorder)


@pytest.mark.parametrize("scheme", [scheme for scheme, kind in TRANSPORTS.items() if kind.uses_tls])
async def test_a_server_whose_certificate_is_not_trusted_is_not_spoken_to(
    kind: TransportType, server_context: ssl.SSLContext
) -> None:
    protocol = Recorder()
    async with echo(kind, server_context) as (_, where):
        endpoint = where.endpoint(ssl.create_default_context())
        with pytest.raises(ssl.SSLCertVerificationError):
            await kind.connector.open_transport(endpoint, lambda: protocol)
    assert protocol.made == []


def test_the_table_says_what_a_url_leaves_out(scheme: str, kind: TransportType) -> None:
    url = BrokerUrl.parse(f"{scheme}:///h" if kind.form is UrlForm.FILE else f"{scheme}://h")
    assert (url.port, url.uses_tls) == (kind.default_port, kind.uses_tls)


class PipeConnector:
    """A transport that is not there yet: the socket of a file that it knows by itself."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def open_transport(self, endpoint: Endpoint, make_protocol: ProtocolFactory) -> asyncio.Transport:
        transport, _ = await asyncio.get_running_loop().create_unix_connection(make_protocol, str(self._path))
        return transport


@pytest.mark.slow
async def test_a_new_transport_is_a_class_and_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "broker.sock"
    monkeypatch.setitem(TRANSPORTS, "pipe", TransportType(PipeConnector(path), 0, uses_tls=False))
    connections: asyncio.Queue[Connection] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        await connection.packet()
        connection.say(Connack())
        await connections.put(connection)

    events: list[Event] = []
    server = await asyncio.start_unix_server(accept, path)
    url = BrokerUrl.parse("pipe://local:1")
    assert await probe_version(url) is Version.V5
    link = await connect_link(url, Session(SessionConfig(client_id="c")), lambda _, found: events.extend(found))
    link.publish("up", b"hello")
    probed, connection = await connections.get(), await connections.get()
    assert await connection.packet() == Publish(topic="up", payload=b"hello")
    connection.say(Publish(topic="down"))
    await eventually(lambda: any(isinstance(event, Message) for event in events))
    link.close()
    await eventually(lambda: link.is_gone)
    for one in (probed, connection):
        one.close()
        await one.writer.wait_closed()
    server.close()
    await server.wait_closed()
    with pytest.raises(ConfigError, match="mqtt://HOST:PORT or mqtts:// or ws:// or wss:// or unix:///PATH or pipe://"):
        BrokerUrl.parse("htp://h")
