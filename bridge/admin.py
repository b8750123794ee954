"""Answers what an operator and a monitoring system may ask a running bridge, over HTTP.

What changes something is in `operator`.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakSet

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bridge.config import AdminConfig
from bridge.metrics import BridgeMetrics
from bridge.operator.api import SENTENCES, Handler, OperatedBridge, OperatorApi, answer_expectation
from bridge.operator.openapi import describe_admin
from bridge.spool.accounting import lag_s, read_spool_report
from bridge.spool.spool import Spool
from edgewire.clock import Clock
from edgewire.errors import ServiceUnavailable
from edgewire.http_index import ServedPath, render_index
from edgewire.paced_listener import accept_connections, listen_on
from edgewire.redact import hide_urls

_SENTENCES = {
    "/healthz": "200 while the process works.",
    "/readyz": "200 while messages are received and kept safe, else 503; says why not, and which sinks wait.",
    "/metrics": "Metrics in the Prometheus text format.",
    "/ledger": "The books of every sink, counted from the spool.",
    "/openapi.json": "All of this for programs, as OpenAPI.",
}
"""Path -> what it is for, as `/` says it."""

MOST_CONNECTIONS = 100
NEW_PER_S = 50.0
"""Connections that are taken in a second, and as many at once: messages need the time, and the files, more."""
HEAD_S = 10.0
"""How long a new connection may be without a request."""
CLOSE_S = 1.0
"""How long a bridge that ends waits for a client that does not finish its request, or does not take its answer."""


class Readiness(NamedTuple):
    """Says why the bridge takes no messages, what waits although they are safe, and what else is worth knowing.

    All of them but `brokers` are empty when all is well.
    """

    reasons: list[str]
    waiting: list[str]
    warnings: list[str]
    brokers: list[str]
    """From which it receives now."""
    paused: list[str]
    """Sinks to which nothing is delivered, because an operator wants it so."""


class Admin:
    """Serves the HTTP endpoints of one bridge."""

    def __init__(
        self,
        config: AdminConfig,
        spool: Spool,
        metrics: BridgeMetrics,
        clock: Clock,
        readiness: Callable[[], Readiness],
        bridge: OperatedBridge,
    ) -> None:
        self._config = config
        self._spool = spool
        self._metrics = metrics
        self._clock = clock
        self._readiness = readiness
        handlers = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics_page,
            "/ledger": self._ledger,
            "/openapi.json": self._openapi,
        }
        self.operator = OperatorApi(config, spool.path, bridge)
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._heard: WeakSet[asyncio.BaseTransport] = WeakSet()
        application = web.Application(middlewares=[self._hear])
        pages = {"/": self._index, **{path: handlers[path] for path in _SENTENCES}}
        application.add_routes(web.get(path, page, expect_handler=answer_expectation) for path, page in pages.items())
        application.add_routes(self.operator.routes())
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSE_S)

    async def start(self) -> None:
        """Listen. Raises `ServiceUnavailable` where the port is taken."""
        config = self._config
        try:
            self._listener = await asyncio.to_thread(listen_on, config.host, config.port, MOST_CONNECTIONS)
        except OSError as error:
            raise ServiceUnavailable(
                f"cannot listen on {config.host}:{config.port}: {error.strerror}; set admin.port"
            ) from None
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        self._accepting = asyncio.create_task(
            accept_connections(
                self._listener,
                lambda: self._watched(server()),
                lambda: len(server.connections),
                most=MOST_CONNECTIONS,
                per_s=NEW_PER_S,
            ),
            name="admin.accept",
        )

    def _watched(self, protocol: asyncio.BaseProtocol) -> asyncio.BaseProtocol:
        """Return a new connection, which is closed unless it asks for something soon."""

        def look() -> None:
            transport = getattr(protocol, "transport", None)
            if transport is not None and transport not in self._heard:
                transport.close()

        asyncio.get_running_loop().call_later(HEAD_S, look)
        return protocol

    @web.middleware
    async def _hear(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.transport is not None:
            self._heard.add(request.transport)
        return await handler(request)

    @property
    def url(self) -> str:
        """Return the address on which it listens, once started."""
        assert self._listener is not None
        host, port = self._listener.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def close(self) -> None:
        """Stop listening."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()

    async def _index(self, request: web.Request) -> web.Response:
        paths = [ServedPath("GET", path, sentence) for path, sentence in _SENTENCES.items()]
        paths += [ServedPath(method, path, sentence) for (method, path), sentence in SENTENCES.items()]
        page = render_index("edgefleet bridge", paths, request.headers.getall("Accept", []))
        return web.Response(body=page.body, headers=page.headers)

    async def _healthz(self, _: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def _readyz(self, _: web.Request) -> web.Response:
        readiness = self._readiness()
        said = {name: list(map(hide_urls, texts)) for name, texts in readiness._asdict().items()}
        return _json({"ready": not readiness.reasons, **said}, 503 if readiness.reasons else 200)

    async def _ledger(self, _: web.Request) -> web.Response:
        report = await asyncio.to_thread(read_spool_report, self._spool.path)
        return _json(report.document(self._clock.now_ms()))

    async def _openapi(self, _: web.Request) -> web.Response:
        return _json(describe_admin(has_token=self.operator.has_token))

    async def _metrics_page(self, _: web.Request) -> web.Response:
        metrics, spool = self._metrics, self._spool
        self._readiness()  # sets what is only known now
        metrics.spool_bytes.set(spool.used_bytes)
        metrics.queued.set(spool.queued)
        headroom_s = spool.headroom_s()
        metrics.headroom_s.set(-1 if headroom_s is None else headroom_s)
        now_ms = self._clock.now_ms()
        report = await asyncio.to_thread(read_spool_report, spool.path)
        metrics.balanced.set(report.balanced)
        for counts in report.sinks:
            metrics.pending.labels(counts.sink).set(counts.pending)
            metrics.oldest_s.labels(counts.sink).set(lag_s(counts.oldest_pending_ms, now_ms))
            for entry in ("received", "delivered", "dead_lettered", "dropped", "discarded", "pending"):
                metrics.ledger.labels(counts.sink, entry).set(getattr(counts, entry))
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _json(document: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")
