"""A publisher's trace goes through the spool to HTTP and Kafka, and the bridge's spans are part of it."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bridge.config import BridgeConfig
from bridge.message import cloudevents
from bridge.message.user_properties import dump_properties, trace_context
from bridge.routing.routed import RoutedEvent
from bridge.routing.table import RouteTable
from bridge.service import build_tracing
from bridge.sinks.kafka.record import RecordBuilder
from bridge.tracing import Tracing
from edgewire.clock import SystemClock
from edgewire.errors import ConfigError
from edgewire.link import BrokerUrl, close_and_wait, connect_link
from edgewire.mqtt import Properties, Session, SessionConfig
from tests.bridge.fakes import ingest_stub, payload, spooled
from tests.bridge.live import staged
from tests.waiting import eventually

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
PROPERTIES: Properties = {"user_property": (("traceparent", TRACEPARENT), ("tracestate", "a=1"))}
HEADERS = (("traceparent", TRACEPARENT), ("tracestate", "a=1"))


def traced(number: int = 1) -> RoutedEvent:
    message = spooled(number)
    message.properties = dump_properties(PROPERTIES)
    found = RouteTable().resolve(message)
    assert isinstance(found, RoutedEvent)
    return found


@pytest.mark.parametrize(
    ("user", "headers"),
    [
        ((), ()),
        ((("traceparent", "nonsense"),), ()),
        ((("traceparent", TRACEPARENT + "\r\nX: 1"),), ()),
        ((("tracestate", "a=1"),), ()),
        ((("Traceparent", TRACEPARENT),), HEADERS[:1]),
        ((("traceparent", TRACEPARENT), ("tracestate", "a\n")), HEADERS[:1]),
        ((("traceparent", TRACEPARENT), ("tracestate", "a=1")), HEADERS),
    ],
)
def test_only_a_context_that_is_one_is_handed_on(user: Any, headers: Any) -> None:
    assert trace_context(dump_properties({"user_property": user})) == headers


def test_it_goes_into_the_headers_of_kafka_and_into_cloud_events() -> None:
    headers = RecordBuilder().build_record(traced()).headers
    assert [(name, value) for name, value in headers if name.startswith("trace")] == [
        (name, value.encode()) for name, value in HEADERS
    ]
    event = orjson.loads(cloudevents.structured(traced(), b"{}"))
    assert (event["traceparent"], event["tracestate"]) == (TRACEPARENT, "a=1")
    plain = spooled(2)
    found = RouteTable().resolve(plain)
    assert isinstance(found, RoutedEvent)
    assert "traceparent" not in orjson.loads(cloudevents.structured(found, b"{}"))


def test_spans_are_of_the_publishers_trace_and_inside_each_other() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing(BridgeConfig(http={}, tracing={}), SystemClock(), SimpleSpanProcessor(exporter))
    routed = traced()
    tracing.trace_commit([routed.message, spooled(2)])
    tracing.trace_delivery("http", [routed])
    spool, receive, deliver = exporter.get_finished_spans()
    assert [one.name for one in (receive, spool, deliver)] == ["receive", "spool", "deliver http"]
    assert {f"{one.context.trace_id:032x}" for one in (receive, spool, deliver) if one.context} == {TRACE}
    assert receive.parent
    assert f"{receive.parent.span_id:016x}" == SPAN
    for inner in (spool, deliver):
        assert inner.parent
        assert receive.context
        assert inner.parent.span_id == receive.context.span_id
    # After a restart its receipt is not known any more.
    tracing.trace_delivery("kafka", [traced(9)])
    late = exporter.get_finished_spans()[-1]
    assert late.parent
    assert f"{late.parent.span_id:016x}" == SPAN
    tracing.close()


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert build_tracing(BridgeConfig(http={}), SystemClock()) is None
    monkeypatch.setitem(__import__("sys").modules, "bridge.tracing", None)
    with pytest.raises(ConfigError, match=r"pip install 'edgefleet\[otel\]'"):
        build_tracing(BridgeConfig(http={}, tracing={}), SystemClock())


@pytest.mark.services
async def test_from_a_publisher_to_a_single_post(mosquitto: Any, tmp_path: Path) -> None:
    async with ingest_stub() as ingest:
        http = {"url": ingest.url, "mode": "single"}
        async with staged(mosquitto.url, tmp_path, ingest, http=http) as stage:
            link = await connect_link(
                BrokerUrl.parse(mosquitto.url), Session(SessionConfig(client_id=f"p{stage.site}")), lambda *_: None
            )
            topic = f"edge/{stage.site}/bme280/a/telemetry"
            link.publish(topic, payload("a", 1), qos=1, properties=PROPERTIES)
            link.publish(topic, payload("a", 2), qos=1)
            await eventually(lambda: len(ingest.requests) == 2)
            await close_and_wait(link)
            await asyncio.sleep(0)
    (_, first, _), (_, second, _) = ingest.requests
    assert (first["traceparent"], first["tracestate"]) == (TRACEPARENT, "a=1")
    assert "traceparent" not in second
