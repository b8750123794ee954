"""Serves the control interface on a thread and an event loop of its own, so that no device waits for who asks."""

import asyncio
import contextlib
import functools
import socket
import threading
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Scope

from edgefleet.control.address import AddressFile
from edgefleet.control.api import create_control_app
from edgefleet.control.controller import RunController
from edgefleet.control.events import EventHub
from edgefleet.control.guard import ControlGuard
from edgefleet.ingest.connections import WatchedProtocol
from edgewire import logs
from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.http_guard import is_loopback
from edgewire.os_support import run_coroutine
from edgewire.paced_listener import accept_connections, listen_on

MOST_CONNECTIONS = 100
NEW_PER_S = 50.0
"""Connections that are taken in a second, and as many at once: each costs some 2 ms, which the devices do not have."""
MOST_HEAD = 16 << 10
SEND_BUFFER = 64 << 10
"""Bytes that the system keeps for a listener that does not read."""
CLOSE_S = 2
BEGIN_S = 10

CreateApp = Callable[[Callable[[Scope], None]], ASGIApp]
"""Returns what is served; is given what ends the connection of a request though it is not served to its end."""

log = logs.get("control")


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlConfig:
    """Says where the control interface listens, and what whoever asks has to show."""

    host: str
    port: int
    """0 takes a free one."""
    token: str | None = field(default=None, repr=False)
    option: str = "--control"
    """By which it was said."""

    @classmethod
    def parse(cls, address: str, token: str | None, option: str = "--control") -> "ControlConfig":
        """Read `PORT` or `HOST:PORT`; raises `ConfigError`, also for one that others reach without a token."""
        host, _, port = address.rpartition(":")
        host = host.strip("[]") or "127.0.0.1"
        if not port.isdecimal() or int(port) > 65535:
            raise ConfigError(f"{option}: '{address}' is neither a port nor HOST:PORT, such as 127.0.0.1:8088")
        if token is None and not is_loopback(host):
            raise ConfigError(
                f"{option}: whoever reaches {host} could see the run, and change one that goes on: give "
                f"{option}-token-file FILE, or listen on 127.0.0.1"
            )
        return cls(host=host, port=int(port), token=token, option=option)


class _ControlServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals to the run."""
        yield

    def abort_connection(self, scope: Scope) -> None:
        """End the connection of a request, with all that it has not taken yet."""
        for protocol in [*self.server_state.connections]:
            if getattr(protocol, "client", None) == scope["client"]:
                protocol.transport.abort()


class ControlServer:
    """Runs the thread."""

    def __init__(self, config: ControlConfig, create_app: CreateApp, hubs: Sequence[EventHub]) -> None:
        """Serve what `create_app` returns, on whose `hubs` people listen to it. Raises `ServiceUnavailable`."""
        self._config = config
        self._create_app = create_app
        self._hubs = hubs
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: _ControlServer | None = None
        self._begun = threading.Event()
        self._listener = _listen(config)
        host, port = self._listener.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        """Where it listens."""
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    async def start(self) -> None:
        """Take requests from now on."""
        self._thread.start()
        await asyncio.to_thread(self._begun.wait, BEGIN_S)

    async def close(self) -> None:
        """Let everybody go."""
        loop, server = self._loop, self._server
        if loop is not None and server is not None:

            def end() -> None:
                for hub in self._hubs:
                    hub.close()
                server.should_exit = True

            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(end)
        await asyncio.to_thread(self._thread.join, 2 * CLOSE_S)
        self._listener.close()

    def publish(self, hub: EventHub, event: bytes, is_state: bool) -> None:
        """Tell those who listen on a hub; of what is told to a server that has not begun or has ended, nobody hears."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(lambda: hub.publish(event, is_state=is_state))

    def _run(self) -> None:
        try:
            run_coroutine(self._serve())
        except Exception:
            log.exception("the control interface has ended: a mistake of ours; the run goes on")
        finally:
            self._begun.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()

        def abort(scope: Scope) -> None:
            assert self._server is not None
            log.warning("a listener of the control interface does not read, and was let go", who=str(scope["client"]))
            self._server.abort_connection(scope)

        guarded: Any = ControlGuard(self._create_app(abort), token=self._config.token, hosts=[self._config.host])
        self._server = _ControlServer(
            uvicorn.Config(
                guarded,
                http=WatchedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                h11_max_incomplete_event_size=MOST_HEAD,
                timeout_graceful_shutdown=CLOSE_S,
            )
        )
        accepting = asyncio.create_task(self._accept_all(self._server), name="control.accept")
        self._begun.set()
        try:
            await self._server.serve(sockets=[])
        finally:
            accepting.cancel()
            await asyncio.gather(accepting, return_exceptions=True)

    async def _accept_all(self, server: _ControlServer) -> None:
        loop, state = asyncio.get_running_loop(), server.server_state

        def protocol() -> WatchedProtocol:
            return WatchedProtocol(config=server.config, server_state=state, app_state={}, _loop=loop)

        await accept_connections(
            self._listener, protocol, lambda: len(state.connections), most=MOST_CONNECTIONS, per_s=NEW_PER_S
        )


def _listen(config: ControlConfig) -> socket.socket:
    try:
        return listen_on(config.host, config.port, MOST_CONNECTIONS, send_buffer=SEND_BUFFER)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ServiceUnavailable(
            f"{config.option}: cannot listen on {config.host}:{config.port}: {reason}: name another port, or 0 for a "
            "free one"
        ) from None


@asynccontextmanager
async def controlled(config: ControlConfig, controller: RunController, file: AddressFile) -> AsyncIterator[str]:
    """Serve the control interface as long as the block runs; yields its URL. Raises `ServiceUnavailable`."""
    hub, run_loop = EventHub(), asyncio.get_running_loop()
    server = ControlServer(config, lambda abort: create_control_app(controller, run_loop, hub, abort), [hub])
    await server.start()
    controller.publish = functools.partial(server.publish, hub)
    try:
        try:
            file.write(server.url)
        except OSError as error:
            log.warning("the address of the control interface is not in the run's folder", reason=error.strerror)
        log.info("control", url=server.url, open_to="this machine" if config.token is None else "who has the token")
        yield server.url
    finally:
        file.remove()
        controller.publish = lambda _event, _is_state: None
        await server.close()
