"""Tells how the bridge behind a run is: what it has received, what waits in its spool, and how each of its sinks does.

It is asked for its own pages, `/metrics` and `/readyz`; nothing here changes it. What it does not answer is not made
up: the last numbers stay, with a sentence why they are old.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from edgefleet.control.metrics_page import MetricSample, PageReader, ask_service, read_samples
from edgewire.errors import ServiceUnavailable
from edgewire.redact import hide_urls, show_url

MOST_SENTENCES = 20
MOST_SINKS = 50
MOST_NAMED = 10
"""Destinations of a sink that are named."""

_PREFIX = "edgefleet_bridge_"
_TOTALS = {
    "received": "received_total",
    "spooled": "spooled_total",
    "redelivered": "redelivered_total",
    "reconnects": "reconnects_total",
    "sessions_lost": "sessions_lost_total",
    "broker_dropped": "broker_dropped_total",
    "missing": "missing_total",
    "found_late": "found_late_total",
    "queued": "queued",
    "spool_bytes": "spool_bytes",
    "spool_limit_bytes": "spool_limit_bytes",
}
_OF_SINKS = (
    *("delivered_total", "dead_letters_total", "retries_total", "remarks_total", "paused", "devices_waiting"),
    *("breaker_state", "ledger_messages", "oldest_pending_seconds", "connected", "ledger_balanced"),
)
NAMES = frozenset(f"{_PREFIX}{name}" for name in (*_TOTALS.values(), *_OF_SINKS))
"""Metrics that are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkStatus:
    """Says how one sink of the bridge does, in messages."""

    sink: str
    delivered: int = 0
    """Since the spool was made, as the books have it."""
    delivered_total: int = 0
    """Since the bridge was started."""
    delivered_per_s: float = 0.0
    pending: int = 0
    oldest_s: float = 0.0
    """Age of the oldest one that is pending."""
    dead_letters: int = 0
    """Kept now."""
    filtered: int = 0
    """Left out by a rule."""
    discarded: int = 0
    """Dead letters that were dropped."""
    retries: int = 0
    retries_per_s: float = 0.0
    causes: Mapping[str, int] = field(default_factory=dict)
    """Retries by their cause."""
    duplicates: int = 0
    """Resent ones that the other side has said to know."""
    open: Sequence[str] = ()
    """Destinations whose circuit breaker is open."""
    half_open: Sequence[str] = ()
    """Destinations that are being tried again."""
    is_held: bool = False
    """Whether an operator has paused it."""
    paused: int = 0
    """Queues that wait for another configuration."""
    devices_waiting: int = 0

    @property
    def breaker(self) -> str:
        """Return the state of the worst of its circuit breakers."""
        return "open" if self.open else "half-open" if self.half_open else "closed"

    def document(self) -> dict[str, Any]:
        """Return it as `/v1/status` has it."""
        named = {name: [show_url(one) for one in getattr(self, name)[:MOST_NAMED]] for name in ("open", "half_open")}
        return {**_fields(self), **named, "breaker": self.breaker, "destinations_open": len(self.open)}


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeStatus:
    """Says how the bridge is, as far as it has told."""

    url: str
    """Without secrets."""
    moment_s: float = -math.inf
    """When it has told so, by the monotonic clock."""
    is_reachable: bool = False
    error: str | None = "it was not asked yet"
    """Why these numbers are not of now."""
    is_ready: bool = False
    reasons: Sequence[str] = ()
    """Why it takes no messages."""
    waiting: Sequence[str] = ()
    """What waits although it is safe."""
    is_connected: bool = False
    """To a broker."""
    is_balanced: bool = True
    received: int = 0
    received_per_s: float = 0.0
    spooled: int = 0
    redelivered: int = 0
    """Came from the broker again."""
    reconnects: int = 0
    sessions_lost: int = 0
    broker_dropped: int = 0
    missing: int = 0
    """By the numbers of the devices; those that came late are not in it."""
    queued: int = 0
    """Received and not in the spool yet."""
    spool_bytes: int = 0
    spool_limit_bytes: int = 0
    sinks: Sequence[SinkStatus] = ()

    def document(self) -> dict[str, Any]:
        """Return it as `/v1/status` has it."""
        return {**_fields(self, "moment_s"), "sinks": [one.document() for one in self.sinks]}


def _fields(status: Any, *without: str) -> dict[str, Any]:
    return {name: getattr(status, name) for name in status.__dataclass_fields__ if name not in without}


def bridge_status(
    before: BridgeStatus, moment_s: float, samples: Mapping[str, list[MetricSample]], readiness: Mapping[str, Any]
) -> BridgeStatus:
    """Return how the bridge is by what it has just told; rates are since `before`."""
    seconds = max(moment_s - before.moment_s, 0.001)

    def all_of(name: str) -> list[MetricSample]:
        return samples.get(f"{_PREFIX}{name}", [])

    totals = {name: round(sum(one.value for one in all_of(metric))) for name, metric in _TOTALS.items()}
    found_late = totals.pop("found_late")
    totals["missing"] = max(0, totals["missing"] - found_late)
    # Of the oldest of its messages every sink is told, whatever else has not happened yet.
    names = sorted({one.labels.get("sink", "") for one in all_of("delivered_total")})[:MOST_SINKS]
    held = _sentences(readiness.get("paused"))
    sinks_before = {one.sink: one for one in before.sinks}
    return BridgeStatus(
        url=before.url,
        moment_s=moment_s,
        is_reachable=True,
        error=None,
        is_ready=readiness.get("ready") is True,
        reasons=_sentences(readiness.get("reasons")),
        waiting=_sentences(readiness.get("waiting")),
        is_connected=any(one.value for one in all_of("connected")),
        is_balanced=all(one.value for one in all_of("ledger_balanced")),
        received_per_s=_rate(totals["received"], before.received, seconds),
        sinks=[
            replace(_sink_status(name, all_of, sinks_before.get(name), seconds), is_held=name in held) for name in names
        ],
        **totals,
    )


def _sink_status(
    name: str, all_of: Callable[[str], list[MetricSample]], before: SinkStatus | None, seconds: float
) -> SinkStatus:
    def of_sink(metric: str) -> Iterable[MetricSample]:
        return (one for one in all_of(metric) if one.labels.get("sink") == name)

    def total(metric: str) -> int:
        return round(sum(one.value for one in of_sink(metric)))

    books: defaultdict[str, int] = defaultdict(int)
    books.update((one.labels.get("entry", ""), round(one.value)) for one in of_sink("ledger_messages"))
    delivered, retries = total("delivered_total"), total("retries_total")
    states = {one.labels.get("destination", ""): one.value for one in of_sink("breaker_state")}
    causes = {one.labels.get("cause", ""): round(one.value) for one in of_sink("retries_total") if one.value}
    return SinkStatus(
        sink=name,
        delivered=books["delivered"],
        delivered_total=delivered,
        delivered_per_s=_rate(delivered, before.delivered_total if before else None, seconds),
        pending=books["pending"],
        oldest_s=round(max((one.value for one in of_sink("oldest_pending_seconds")), default=0.0), 1),
        dead_letters=books["dead_lettered"],
        filtered=books["dropped"],
        discarded=books["discarded"],
        retries=retries,
        retries_per_s=_rate(retries, before.retries if before else None, seconds),
        causes=dict(sorted(causes.items(), key=lambda pair: -pair[1])[:MOST_NAMED]),
        duplicates=round(sum(one.value for one in of_sink("remarks_total") if one.labels.get("cause") == "known")),
        open=sorted(name for name, value in states.items() if value == 2),
        half_open=sorted(name for name, value in states.items() if value == 1),
        paused=total("paused"),
        devices_waiting=total("devices_waiting"),
    )


def _rate(now: int, before: int | None, seconds: float) -> float:
    """Return a rate since an earlier count; one that has begun anew meanwhile counts from 0."""
    if before is None or math.isinf(seconds):
        return 0.0
    return round((now - before if now >= before else now) / seconds, 1)


def _sentences(found: Any) -> list[str]:
    texts = found if isinstance(found, list) else []
    return [hide_urls(str(text))[:500] for text in texts[:MOST_SENTENCES]]


class BridgeMonitor:
    """Asks a bridge how it is, again and again, and keeps what it has told last."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.url = url
        """Of its pages; may hold secrets."""
        self.status = BridgeStatus(url=show_url(url))
        """As it was told a moment ago."""
        self._clock = clock

    async def watch(self) -> None:
        """Ask until cancelled."""
        await ask_service(self.url, self.ask, self._clock)

    async def ask(self, pages: PageReader) -> None:
        """Ask once."""
        try:
            samples = await read_samples(await pages.read("/metrics"), NAMES)
            if not samples[f"{_PREFIX}spooled_total"]:
                raise ServiceUnavailable("what answers there is no bridge: give the address of its admin.port")
            readiness = _read_object(await pages.read("/readyz", 503))
        except ServiceUnavailable as error:
            self.status = replace(self.status, is_reachable=False, error=str(error), received_per_s=0.0)
            return
        self.status = bridge_status(self.status, self._clock(), samples, readiness)


def _read_object(page: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(page)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ServiceUnavailable("/readyz is no JSON object")
    return found
