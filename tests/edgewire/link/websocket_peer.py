"""The server's end of a WebSocket, which does what the test tells it, also what no server should."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Pong, Request

from tests.tcp import Serve


class WebSocketPeer:
    """Accepts one handshake, and then gives the client's events and sends what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.frames = WSConnection(ConnectionType.SERVER)
        self.request: Request | None = None
        self._events: list[Event] = []

    async def handshake(self, subprotocol: str | None = "mqtt", also: bytes = b"") -> Request:
        """Answer the handshake with 101; `also` leaves in the same write."""
        event = await self.event()
        assert isinstance(event, Request)
        self.request = event
        self.writer.write(self.frames.send(AcceptConnection(subprotocol=subprotocol)) + also)
        return event

    async def event(self) -> Event | None:
        """Return the next event; None at the end of the connection."""
        while not self._events:
            with contextlib.suppress(ConnectionError):
                if data := await self.reader.read(65536):
                    self.frames.receive_data(data)
                    self._events.extend(self.frames.events())
                    continue
            return None
        return self._events.pop(0)

    def send(self, *events: Event) -> None:
        self.writer.write(b"".join(self.frames.send(event) for event in events))


async def relay(peer: WebSocketPeer, serve: Serve) -> None:
    """Let `serve`, which knows bytes alone, be the server behind a WebSocket."""
    ours, theirs = await _socket_pair()
    inner = asyncio.create_task(_serve(serve, *theirs))

    async def up() -> None:
        while (event := await peer.event()) is not None:
            if isinstance(event, BytesMessage):
                ours[1].write(bytes(event.data))
            elif isinstance(event, CloseConnection):
                peer.send(event.response())
                break
            elif isinstance(event, Pong):
                continue
        ours[1].close()

    async def down() -> None:
        with contextlib.suppress(ConnectionError):
            while data := await ours[0].read(65536):
                peer.send(BytesMessage(data=data))
        peer.writer.close()

    try:
        await asyncio.gather(up(), down())
    finally:
        inner.cancel()
        ours[1].transport.abort()
        theirs[1].transport.abort()
        await asyncio.gather(inner, return_exceptions=True)


async def _serve(serve: Serve, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await serve(reader, writer)


async def _socket_pair() -> tuple[
    tuple[asyncio.StreamReader, asyncio.StreamWriter], tuple[asyncio.StreamReader, asyncio.StreamWriter]
]:
    """Connect two streams; a client that leaves at once may end the server's task in between."""
    one, other = socket.socketpair()
    ours = await asyncio.open_connection(sock=one)
    try:
        return ours, await asyncio.open_connection(sock=other)
    except BaseException:
        ours[1].transport.abort()
        other.close()
        raise


def over_websocket(serve: Serve) -> Serve:
    """Return a server of WebSockets that has `serve` behind it."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = WebSocketPeer(reader, writer)
        await peer.handshake()
        await relay(peer, serve)

    return accept


@asynccontextmanager
async def unix_server(serve: Serve, path: str) -> AsyncIterator[None]:
    """`asyncio.start_unix_server`, of which nothing is left at the end."""
    tasks: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks[writer] = asyncio.create_task(_serve(serve, reader, writer))

    server = await asyncio.start_unix_server(accept, path)
    try:
        yield
    finally:
        server.close()
        for writer, task in tasks.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        await asyncio.sleep(0.01)
