"""A TCP server of a test, of which nothing is left when the test ends."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def tcp_server(
    serve: Serve, *, port: int = 0, tls: ssl.SSLContext | None = None, limit: int = 2**16
) -> AsyncIterator[int]:
    """`asyncio.start_server` on loopback; yields the port.

    At the end it cuts every connection and waits until it is gone. asyncio alone leaves open what `serve` had no time
    to close, and what a loop is closed over becomes a ResourceWarning in whatever test runs then.
    """
    connections: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[writer] = asyncio.create_task(run(reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", port, ssl=tls, limit=limit)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer, task in connections.items():
            task.cancel()
            writer.transport.abort()
        outcomes = await asyncio.gather(*connections.values(), return_exceptions=True)
        # Links that a failed test leaves behind end with this: uvloop cannot close over them.
        await asyncio.sleep(0.01)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError | ConnectionError):
            raise outcome
