"""A row of the configuration, what is refused in it, and its drop."""

import pytest

from bridge.config import BridgeConfig
from bridge.routing.config import RouteConfig
from bridge.routing.routed import Dropped, RoutedEvent
from bridge.routing.table import RouteTable
from bridge.spool.message import SpooledMessage
from edgewire.config import parse_config
from edgewire.errors import ConfigError
from tests.bridge.fakes import spooled


def table(*rows: dict[str, object]) -> RouteTable:
    return RouteTable([RouteConfig(**row) for row in rows])


def test_a_dropped_topic_is_dropped_whatever_is_on_it() -> None:
    tried = table({"topic": "edge/test/#", "drop": True}, {"topic": "#", "http": "/x"})
    for topic, body in (("edge/test/bme280/a/telemetry", b"no json"), ("edge/test", b""), ("edge/test/x", b"[]")):
        found = tried.resolve(SpooledMessage(1, 0, topic, body, 1, False, False))
        assert isinstance(found, Dropped)
        assert found.rule == "route 'edge/test/#': drop"


def test_a_drop_may_ask_for_fields_and_the_rest_goes_on() -> None:
    tried = table({"topic": "#", "match": {"alarm": False}, "drop": True}, {"topic": "#", "http": "/x"})
    assert isinstance(tried.resolve(spooled(1, alarm=False)), Dropped)
    assert isinstance(tried.resolve(spooled(1, alarm=True)), RoutedEvent)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("topic: '#', drop: true, http: /x", "drop leaves a message out of every sink"),
        ("topic: '#', http: /x, schema: s.json", "validate is off"),
        (
            "topic: 'edge/+/gps/#', kafka: {topic: t, key: '{payload.vehicle}'}",
            "names '{payload.vehicle}', which no message",
        ),
        (
            "topic: 'edge/+/people/+/event', match: {event_type: entry}, http: '/x/{payload.dwell_s}'",
            "which no message",
        ),
        ("topic: '#', http: 'https://{payload.vehicle_id}.x/'", "cannot choose the host"),
        ("topic: '#', http: {url: 'ftp://x', path: /y}", "is no URL of the form"),
        ("topic: '#', http: {url: 'http://u:p@x/'}", "holds no password"),
        ("topic: '#', http: {path: /x, headers: {'a b': c}}", "is no name of a header"),
        ("topic: '#', http: {path: /x, headers: {Content-Length: '3'}}", "written by the bridge itself"),
        ("topic: '#', http: {path: /x, body: '{'}", "brace"),
        ("topic: '#', kafka: 'a topic'", "is no name of a topic"),
        ("topic: '#', kafka: {topic: t, partition: x}", "is no number of a partition"),
        ("topic: '#', kafka: {topic: t, headers: {ce_id: x}}", "written by the bridge itself"),
        ("topic: '#', file: ../x", "is no path of a file below"),
        ("topic: '#', file: {path: x, boddy: y}", "unknown key 'routes[0].file.boddy'"),
    ],
)
def test_a_wrong_row_is_one_sentence(row: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(f"http: {{}}\nroutes: [{{{row}}}]", BridgeConfig, name="b.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "row",
    [
        "topic: 'edge/+/gps/#', http: '/{payload.vehicle_id}'",
        "topic: '#', http: '/{payload.vehicle_id}'",
        "topic: 'edge/+/bme280/+/telemetry', http: '/{payload.metadata.weather_event_type}'",
        "topic: 'edge/+/traffic/#', http: '/{payload.color_counts.white}'",
        "topic: 'edge/+/toaster/#', http: '/{payload.crumbs}'",
        "topic: 'edge/+/gps/#', http: '/{payload.own|none}'",
        "topic: '$share/g/edge/+/gps/#', http: '/{payload.vehicle_id}'",
    ],
)
def test_a_template_of_a_field_that_may_be_there_is_taken(row: str) -> None:
    assert parse_config(f"http: {{}}\nroutes: [{{{row}}}]", BridgeConfig, name="b.yaml").routes


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("headers: {x: '{payload.nothing}'}", "which no message of this route has"),
        ("mode: single, format: ndjson", "ndjson is of batches"),
        ("username: a", "belong together"),
        ("username: a, password: b, token: c", "only one of them"),
        ("token: c, headers: {authorization: x}", "headers has Authorization"),
        ("key: k.pem", "certificate"),
        ("url: 'http://x/?a=b'", "no query"),
    ],
)
def test_http_settings_that_contradict_each_other_are_one_sentence(settings: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(f"http: {{{settings}}}", BridgeConfig, name="b.yaml")
    assert said in str(caught.value)
