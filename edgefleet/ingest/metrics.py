"""Counts for Prometheus since the process began; `GET /stats` counts since the store was made."""

import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgefleet.ingest.store import StoreResult
from edgefleet.ingest.validation import UNKNOWN_KIND
from edgewire.messages import ACCEPTED

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class IngestMetrics:
    """Keeps one registry for one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._messages = Counter(
            "edgefleet_ingest_messages",
            "Messages received, by kind and by what became of them: stored, known, rejected or conflict.",
            ("kind", "result"),
            registry=self._registry,
        )
        # What has not happened yet is 0: the first time could not be seen as an increase otherwise.
        for kind in ACCEPTED:
            for result in (*StoreResult, "rejected"):
                self._messages.labels(kind, result)
        self._messages.labels(UNKNOWN_KIND, "rejected")
        self._responses = Counter(
            "edgefleet_ingest_responses",
            "Answered requests, by the class of their status.",
            ("status_class",),
            registry=self._registry,
        )
        for first_digit in range(2, 6):
            self._responses.labels(f"{first_digit}xx")
        self._requests = Histogram(
            "edgefleet_ingest_request_seconds",
            "Time from the request to the end of the answer, by route and status.",
            ("route", "status"),
            buckets=_SECONDS,
            registry=self._registry,
        )

    def count(self, results: Mapping[tuple[str, str], int]) -> None:
        """Add messages by kind and by what became of them."""
        for (kind, result), number in results.items():
            self._messages.labels(kind, result).inc(number)

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Add one answered request."""
        self._requests.labels(route, str(status)).observe(seconds)
        self._responses.labels(f"{status // 100}xx").inc()

    def text(self) -> bytes:
        """Return the metrics in the Prometheus text format."""
        return generate_latest(self._registry)


class RequestTimer:
    """Observes every request under the path template of its route, as ASGI middleware."""

    def __init__(self, app: ASGIApp, metrics: IngestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on to the application; what is not HTTP is not observed."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            # A path that no route took is anybody's invention and must not become a label.
            route = scope["route"].path if "route" in scope else "none"
            self._metrics.observe(route, status, time.perf_counter() - started)
