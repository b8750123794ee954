"""Runs the service with uvicorn until it is told to stop."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import uvicorn

from edgefleet.ingest.app import LIMITS, create_app
from edgefleet.ingest.body import BodyLimits
from edgefleet.ingest.connections import WatchedProtocol
from edgefleet.ingest.store import open_store
from edgewire.errors import EdgefleetError

_GRACE_S = 10
"""How long requests under way may take after the order to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestConfig:
    """Says where to listen, and where to store."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0 takes a free one."""
    store: str = field(default="sqlite:///edgefleet.db", repr=False)
    limits: BodyLimits = LIMITS
    tokens: Sequence[str] = field(default=(), repr=False)
    """Bearer tokens, one of which is needed to post or read; none: everybody may."""


async def serve(config: IngestConfig, stop: asyncio.Event, on_ready: Callable[[str], None] | None = None) -> None:
    """Serve until `stop` is set, then finish the requests under way and close the store.

    `on_ready` is called with the URL once requests are taken. Raises `EdgefleetError` where the address is taken or
    the store cannot be opened.
    """
    with _listen(config.host, config.port) as listener:
        store = await open_store(config.store)
        try:
            app = create_app(store, limits=config.limits, tokens=config.tokens)
            server = _Server(
                uvicorn.Config(
                    app,
                    http=WatchedProtocol,
                    log_config=None,
                    access_log=False,
                    timeout_graceful_shutdown=_GRACE_S,
                    lifespan="off",
                )
            )
            await _run(server, listener, stop, on_ready)
        finally:
            await store.close()


async def _run(
    server: uvicorn.Server, listener: socket.socket, stop: asyncio.Event, on_ready: Callable[[str], None] | None
) -> None:
    async def stop_server() -> None:
        await stop.wait()
        server.should_exit = True

    stopping = asyncio.create_task(stop_server(), name="ingest.stop")
    try:
        if on_ready:
            host, port = listener.getsockname()[:2]
            # Connections wait in the backlog from `listen` on, so nobody who acts on this is refused.
            on_ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        await server.serve(sockets=[listener])
    finally:
        stopping.cancel()


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it: uvicorn would raise SIGTERM again and end the process unfinished."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals alone."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY; without, the body of an answer waits 40 ms for a delayed ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise EdgefleetError(f"cannot listen on {host}:{port}: {reason}; choose another --host or --port") from None
    return listener
