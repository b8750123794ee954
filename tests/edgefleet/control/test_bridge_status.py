"""What is told of the bridge and the ingest behind a run, from the pages they serve."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from bridge.metrics import BridgeMetrics
from edgefleet.control.bridge_status import NAMES, BridgeMonitor, BridgeStatus, bridge_status
from edgefleet.control.flow_problems import find_flow_problems
from edgefleet.control.metrics_page import parse_samples, parse_service_url
from edgefleet.control.store_status import StoreMonitor
from edgefleet.ingest.metrics import IngestMetrics
from edgewire.errors import ConfigError, ServiceUnavailable
from tests.edgefleet.control.runs import SCENARIO, ScriptedShards, controller_of

READY = {"ready": True, "reasons": [], "waiting": [], "warnings": [], "brokers": []}


def metrics_of_a_bridge() -> BridgeMetrics:
    metrics = BridgeMetrics()
    for sink in ("http", "kafka"):
        metrics.init_sink(sink)
        metrics.init_destination(sink, f"http://user:word@{sink}/")
    metrics.set_connected("mqtt://b", True)
    metrics.balanced.set(1)
    metrics.received.labels("1").inc(1000)
    metrics.delivered.labels("http").inc(900)
    for entry, count in {"received": 1000, "delivered": 900, "dead_lettered": 3, "pending": 97}.items():
        metrics.ledger.labels("http", entry).set(count)
    return metrics


def told(metrics: BridgeMetrics, before: BridgeStatus, moment_s: float, **ready: Any) -> BridgeStatus:
    samples = parse_samples(generate_latest(metrics.registry), NAMES)
    return bridge_status(before, moment_s, samples, READY | ready)


def problems_of(bridge: BridgeStatus) -> dict[str, str]:
    """What is wrong with the flow of a run behind which is such a bridge."""
    status = controller_of(ScriptedShards(SCENARIO), None).status
    all_there = {"connected": status["devices"], "never_connected": 0}
    return dict(find_flow_problems({**status, **all_there, "bridge": bridge.document()}))


def test_a_bridge_tells_its_books_rates_and_breakers() -> None:
    metrics = metrics_of_a_bridge()
    first = told(metrics, BridgeStatus(url="http://b"), 100.0)
    assert (first.received, first.received_per_s, first.is_connected, first.is_ready) == (1000, 0.0, True, True)
    assert problems_of(first) == {}
    metrics.received.labels("0").inc(50)
    metrics.delivered.labels("http").inc(20)
    metrics.retries.labels("http", "503").inc(8)
    metrics.remarks.labels("http", "known").inc(2)
    metrics.missing.inc(5)
    metrics.found_late.inc(4)
    metrics.breaker_state.labels("http", "http://user:word@http/").set(2)
    second = told(metrics, first, 102.0)
    http, kafka = second.sinks
    assert (second.received_per_s, second.missing) == (25.0, 1)
    assert (http.delivered, http.delivered_per_s, http.pending, http.dead_letters) == (900, 10.0, 97, 3)
    assert (http.retries, http.causes, http.duplicates, http.breaker) == (8, {"503": 8}, 2, "open")
    assert (kafka.breaker, kafka.delivered) == ("closed", 0)
    why = "its circuit breaker is open after 503; 97 messages wait in the spool."
    assert problems_of(second) == {"sink:http": f"Nothing gets through to http: {why}"}
    assert "word" not in str(second.document())
    metrics.breaker_state.labels("http", "http://user:word@http/").set(0)
    assert problems_of(told(metrics, second, 104.0)) == {}


def test_a_sink_that_an_operator_has_paused_is_said_to_be() -> None:
    held = told(metrics_of_a_bridge(), BridgeStatus(url="http://b"), 100.0, paused=["http"])
    assert problems_of(held) == {"sink:http": "An operator has paused http; 97 messages wait in the spool."}


def test_a_bridge_that_was_started_again_has_no_rate_below_zero() -> None:
    busy = told(metrics_of_a_bridge(), BridgeStatus(url="http://b"), 100.0)
    anew = BridgeMetrics()
    anew.init_sink("http")
    anew.received.labels("1").inc(30)
    assert told(anew, busy, 101.0).received_per_s == 30.0


@pytest.mark.parametrize(
    ("changes", "place", "said"),
    [
        ({"is_reachable": False, "error": "no connection: refused"}, "bridge", "no connection: refused"),
        ({"is_connected": False}, "received", "not connected to the broker"),
        ({"is_ready": False, "reasons": ["the spool is full"]}, "bridge", "takes no messages: the spool is full"),
        ({"spool_bytes": 95, "spool_limit_bytes": 100}, "bridge", "95 % full"),
        ({"is_balanced": False}, "bridge", "do not balance"),
    ],
)
def test_what_is_wrong_with_a_bridge_is_said_where_it_is(changes: dict[str, Any], place: str, said: str) -> None:
    well = told(metrics_of_a_bridge(), BridgeStatus(url="http://b"), 100.0)
    assert said in problems_of(replace(well, **changes))[place]


class ScriptedPages:
    """Answers with a page, or with an error."""

    def __init__(self, **pages: bytes | None) -> None:
        self.pages = pages

    async def read(self, path: str, *_: int) -> bytes:
        page = self.pages[path.strip("/")]
        if page is None:
            raise ServiceUnavailable("no answer within 3 s")
        return page


async def test_numbers_that_are_old_stay_with_the_reason() -> None:
    monitor = BridgeMonitor("http://user:word@bridge:9464")
    assert monitor.status.error == "it was not asked yet"
    page = generate_latest(metrics_of_a_bridge().registry)
    await monitor.ask(ScriptedPages(metrics=page, readyz=orjson.dumps(READY)))
    assert (monitor.status.received, monitor.status.url) == (1000, "http://***@bridge:9464")
    for pages, error in (
        ({"metrics": None}, "no answer within 3 s"),
        ({"metrics": b"up 1\n"}, "admin.port"),
        ({"metrics": page, "readyz": b"<html>"}, "no JSON"),
        ({"metrics": b"\xff"}, "no metrics"),
    ):
        await monitor.ask(ScriptedPages(**pages))
        assert error in (monitor.status.error or "")
        assert (monitor.status.received, monitor.status.is_reachable) == (1000, False)


async def test_a_store_tells_what_it_has_stored_and_known() -> None:
    metrics = IngestMetrics()
    metrics.count({("gps", "stored"): 70, ("gps", "known"): 2, ("bme280", "rejected"): 1})
    times = iter((10.0, 12.0))
    monitor = StoreMonitor("http://ingest:8000", clock=lambda: next(times))
    await monitor.ask(ScriptedPages(metrics=metrics.text()))
    metrics.count({("gps", "stored"): 30})
    await monitor.ask(ScriptedPages(metrics=metrics.text()))
    found = monitor.status
    assert (found.stored, found.known, found.rejected, found.stored_per_s) == (100, 2, 1, 15.0)
    await monitor.ask(ScriptedPages(metrics=b""))
    assert "no `edgefleet ingest`" in (monitor.status.error or "")


@given(st.binary(max_size=200))
def test_a_page_that_is_none_is_refused_or_tells_nothing(page: bytes) -> None:
    for text in (page, b"edgefleet_bridge_queued " + page, b"edgefleet_bridge_queued{" + page):
        try:
            found = parse_samples(text, NAMES)
        except ServiceUnavailable:
            continue
        assert set(found) == NAMES
        bridge_status(BridgeStatus(url="http://b"), 1.0, found, {})


@pytest.mark.parametrize(
    "text", ["9464", "127.0.0.1:9464", "ftp://b:1", "http://", "http://b:1/?token=abc", "http://b:x"]
)
def test_an_address_of_a_service_is_a_url(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--bridge: .* write http://HOST:PORT") as error:
        parse_service_url("--bridge", text)
    assert "abc" not in str(error.value)
