"""Which row of the table a message takes, or why it takes none."""

from typing import Any

import orjson
import pytest

from bridge.routing.config import RouteConfig
from bridge.routing.routed import RoutedEvent, Unroutable
from bridge.routing.table import RouteTable
from bridge.sinks.kafka.config import KafkaTarget
from bridge.sinks.kafka.record import RecordBuilder
from bridge.spool.message import SpooledMessage
from edgewire.errors import ConfigError
from tests.bridge.fakes import payload, routed, spooled


def path_of(found: RoutedEvent) -> str:
    target: Any = found.route.targets["http"]
    return str(target.path)


@pytest.mark.parametrize(
    ("kind", "channel", "event_type", "path", "topic"),
    [
        ("bme280", "telemetry", None, "/api/v1/sensors/bme280", "sensors.bme280"),
        ("traffic", "telemetry", None, "/ingest/traffic", "traffic_events"),
        ("gps", "telemetry", None, "/ingest/gps", "gps_positions"),
        ("telematics", "event", "harsh_accel", "/telematics/ingest", "telematics_events"),
        ("people", "event", "foot_traffic", "/ingest/people", "foot_traffic"),
        ("people", "event", "entry", "/ingest/people", "foot_traffic_realistic"),
        ("people", "event", "exit", "/ingest/people", "foot_traffic_realistic"),
        ("people", "telemetry", "count", "/ingest/people", "foot_traffic_counts"),
    ],
)
def test_without_routes_the_table_is_that_of_the_contract(
    kind: str, channel: str, event_type: str | None, path: str, topic: str
) -> None:
    fields = {"event_type": event_type} if event_type else {}
    found = routed(7, "dev-1", kind=kind, channel=channel, **fields)
    assert path_of(found) == path
    assert RecordBuilder().build_record(found)[:2] == (topic, "dev-1")
    assert found.message_id == "dev-1:1:7"
    assert found.timestamp == "2026-03-01T12:00:00.000Z"
    assert (found.topic_info.type, found.source) == (f"edge.{kind}.{channel}", f"/edge/site/{kind}/dev-1")


@pytest.mark.parametrize(
    ("topic", "body", "reason"),
    [
        ("edge/s/bme280/a/telemetry", b"{", "payload is not JSON"),
        ("edge/s/bme280/a/telemetry", b"\xff\xfe", "payload is not JSON"),
        ("edge/s/bme280/a/telemetry", b"", "payload is not JSON"),
        ("edge/s/bme280/a/telemetry", b"[1]", "payload is no JSON object: [1]"),
        ("edge/s/bme280/a/telemetry", b'{"device_id":"a"}', "no message id: boot is null"),
        ("edge/s/bme280/a/telemetry", payload("a", -1), "seq is -1"),
        ("edge/s/bme280/a/telemetry", payload("a", 10**15), "no message id"),
        ("edge/s/bme280/a/telemetry", payload("a", boot=True), "boot is true"),
        ("edge/s/bme280/a/telemetry", payload("a", timestamp=5), "no timestamp: it is 5"),
        ("edge/s/bme280/a/telemetry", payload("a", timestamp="2" * 65), 'no timestamp: it is "222'),
        ("edge/s/bme280/a/telemetry", payload("b"), "payload says device_id \"b\", its topic 'a'"),
        ("edge/s/bme280/a/telemetry", payload("x" * 500), "…"),
        ("edge/s/people/a/event", payload("a", event_type="party"), 'takes event_type "party"'),
        ("edge/s/people/a/event", payload("a", event_type=["entry"]), "takes event_type"),
        ("edge/s/toaster/a/telemetry", payload("a"), "no route for topic"),
        ("somewhere/else", payload("a"), "is not of the form edge/SITE/KIND/DEVICE/CHANNEL"),
    ],
)
def test_what_is_wrong_with_a_message_comes_out_as_a_reason(topic: str, body: bytes, reason: str) -> None:
    message = SpooledMessage(1, 0, topic, body, 1, False, False)
    found = RouteTable().resolve(message)
    assert isinstance(found, Unroutable)
    assert found.message is message
    assert reason in found.reason
    assert len(found.reason) < 300


def test_the_first_row_that_fits_decides() -> None:
    table = RouteTable(
        [
            RouteConfig(topic="edge/+/bme280/+/#", match={"alarm": [True, 3]}, http="/alarms"),
            RouteConfig(topic="edge/hq/#", http="/hq"),
            RouteConfig(topic="#", http="/rest"),
        ]
    )

    def path(topic: str, **fields: object) -> str | None:
        found = table.resolve(SpooledMessage(1, 0, topic, payload("a", **fields), 1, False, False))
        assert isinstance(found, RoutedEvent)
        return path_of(found)

    assert path("edge/hq/bme280/a/telemetry", alarm=True) == "/alarms"
    assert path("edge/hq/bme280/a/telemetry", alarm=3) == "/alarms"
    assert path("edge/hq/bme280/a/telemetry", alarm=2) == "/hq"
    assert path("edge/lab/bme280/a/telemetry") == "/rest"


def test_a_key_template_knows_the_levels_of_the_topic() -> None:
    table = RouteTable(
        [RouteConfig(topic="#", kafka=KafkaTarget(topic="t", key="{site}/{kind}.{channel}:{device_id}"))]
    )
    assert RecordBuilder().build_record(routed(1, "dev", table)).key == "site/bme280.telemetry:dev"


def test_routes_and_sinks_must_fit() -> None:
    only_http = RouteTable([RouteConfig(topic="#", http="/x")])
    with pytest.raises(ConfigError, match="no route leads to the sink 'kafka'"):
        only_http.check_sinks(["http", "kafka"])
    with pytest.raises(ConfigError, match="leads to no configured sink"):
        only_http.check_sinks(["kafka"])
    only_http.check_sinks(["http"])
    RouteTable().check_sinks(["kafka"])


def test_topics_beyond_what_is_remembered_are_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.routing.table.KNOWN_TOPICS", 3)
    table = RouteTable()
    for number in range(10):
        assert isinstance(table.resolve(spooled(number, f"dev-{number}")), RoutedEvent)


def test_a_message_of_a_match_on_a_missing_field_is_not_taken() -> None:
    table = RouteTable([RouteConfig(topic="#", match={"a": 1}, http="/x")])
    found = table.resolve(spooled(1))
    assert isinstance(found, Unroutable)
    assert orjson.loads(b"null") is None
    assert "takes a null" in found.reason
