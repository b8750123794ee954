"""A TCP proxy that breaks connections in the ways a network does. Whatever passes, passes unchanged and in order.

Faults work on all connections: `reset` cuts them with a RST, `stall` holds one or both directions (one alone is a
half-open connection), `silent` accepts and says nothing, `delay_s` and `bytes_per_s` slow them down. `heal` ends all.
With `listen` it speaks TLS to clients, whatever the server speaks.
"""

import asyncio
import socket
import ssl
import struct
from contextlib import suppress
from enum import StrEnum
from typing import Self

from edgefleet.embedded import free_port

_HOST = "127.0.0.1"
_CHUNK_BYTES = 64 << 10
_CHUNKS_UNDER_WAY = 64
"""Per direction and connection; beyond them the proxy reads no more, and TCP holds the sender back."""
_THROTTLE_SLICE_BYTES = 2048
_LINGER_AND_RESET = struct.pack("ii", 1, 0)


class Direction(StrEnum):
    """Which way the bytes go."""

    UP = "up"
    """From the client to the server."""
    DOWN = "down"


class Proxy:
    """Listens on `port` of the loopback interface for the length of an `async with` block."""

    def __init__(self, upstream_port: int, *, port: int | None = None) -> None:
        self.port = port or free_port()
        self.delay_s = 0.0
        """Added on each way."""
        self.bytes_per_s: float | None = None
        """Of each way of each connection."""
        self.silent = False
        """New connections are accepted and get no answer."""
        self.connections = 0
        """Accepted so far."""
        self._upstream_port = upstream_port
        self._flowing = {direction: asyncio.Event() for direction in Direction}
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.heal()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen."""
        await self.listen(None)

    async def listen(self, tls: ssl.SSLContext | None) -> None:
        """Take new connections with this certificate, or without TLS; those that are open stay as they are."""
        if self._server:
            self._server.close()
        self._server = await asyncio.start_server(self._accept, _HOST, self.port, ssl=tls)

    async def close(self) -> None:
        """Stop listening and cut what is open."""
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Of those that were cancelled before their first step.
        self.reset()

    def reset(self) -> int:
        """Cut every connection with a RST at both ends; what was under way is lost. Returns how many there were."""
        cut = len(self._open)
        for writer in list(self._open):
            _reset(writer)
        self._open.clear()
        return cut

    def stall(self, *directions: Direction) -> None:
        """Hold what goes these ways (both, if none is named) until `heal`; connections stay open."""
        for direction in directions or tuple(Direction):
            self._flowing[direction].clear()

    def heal(self) -> None:
        """End every fault; what was held goes on its way. Connections that were never served are cut."""
        if self.silent:
            self.reset()
        self.silent = False
        self.delay_s = 0.0
        self.bytes_per_s = None
        for flowing in self._flowing.values():
            flowing.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        self._open.add(writer)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if self.silent:
                while await reader.read(_CHUNK_BYTES):
                    pass
                return
            try:
                up_reader, up_writer = await asyncio.open_connection(_HOST, self._upstream_port)
            except OSError:
                return
            self._open.add(up_writer)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._carry(reader, up_writer, Direction.UP))
                    group.create_task(self._carry(up_reader, writer, Direction.DOWN))
            finally:
                self._open.discard(up_writer)
                _reset(up_writer)
        except* OSError:
            pass  # one end is gone, so the other goes too
        finally:
            self._open.discard(writer)
            _reset(writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Direction) -> None:
        """One direction of one connection until its end, which is carried too."""
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_UNDER_WAY)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take(reader, chunks))
            group.create_task(self._give(chunks, writer, way))

    async def _take(self, reader: asyncio.StreamReader, chunks: "asyncio.Queue[tuple[float, bytes]]") -> None:
        loop = asyncio.get_running_loop()
        data = b"-"
        while data:
            data = await reader.read(_CHUNK_BYTES)
            await chunks.put((loop.time(), data))

    async def _give(
        self, chunks: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter, way: Direction
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            came, data = await chunks.get()
            if self.delay_s:
                await asyncio.sleep(max(0.0, came + self.delay_s - loop.time()))
            await self._flowing[way].wait()
            if not data:
                with suppress(OSError):
                    if writer.can_write_eof():
                        writer.write_eof()
                    else:  # TLS has no half of a connection
                        writer.close()
                return
            await self._write(writer, data, way)

    async def _write(self, writer: asyncio.StreamWriter, data: bytes, way: Direction) -> None:
        """At the rate allowed, which may change on the way."""
        while data:
            await self._flowing[way].wait()
            size = _THROTTLE_SLICE_BYTES if self.bytes_per_s else len(data)
            part, data = data[:size], data[size:]
            if self.bytes_per_s:
                await asyncio.sleep(len(part) / self.bytes_per_s)
            writer.write(part)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a RST. What was given to `write` and not yet sent is dropped."""
    transport = writer.transport
    with suppress(AttributeError):  # of a connection with TLS that has ended Python 3.11 knows nothing more
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_AND_RESET)
    transport.abort()
