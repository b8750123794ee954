"""Rules and checks of a route: drop, sample, validate."""

from pathlib import Path

import orjson
import pytest

from bridge.config import BridgeConfig
from bridge.routing.config import RouteConfig
from bridge.routing.routed import Dropped, RoutedEvent, Unroutable
from bridge.routing.sampling import Sampler
from bridge.routing.table import RouteTable
from bridge.spool.message import SpooledMessage
from edgewire.config import parse_config
from edgewire.errors import ConfigError
from edgewire.messages.bme280 import BME280_EXAMPLES
from tests.bridge.fakes import spooled

GOOD = BME280_EXAMPLES[0]
TOPIC = f"edge/hq/bme280/{GOOD['device_id']}/telemetry"


def reading(number: int = 1, **fields: object) -> SpooledMessage:
    return SpooledMessage(number, 0, TOPIC, orjson.dumps({**GOOD, **fields}), 1, False, False)


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
    ("text", "share", "by"),
    [
        (0.1, 0.1, "message"),
        ("1/10", 0.1, "message"),
        ("1/4 by device", 0.25, "device"),
        (".5 by message", 0.5, "message"),
        (1, 1.0, "message"),
    ],
)
def test_a_sample_is_a_share(text: object, share: float, by: str) -> None:
    assert Sampler.parse(text) == Sampler(share, by)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [0, "1/0", "2/1", "half", "", True, -0.5, "1/10 by site", "11"])
def test_what_is_no_sample_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"is no sample|is no share"):
        Sampler.parse(text)


def test_a_sample_takes_its_share_and_always_the_same_messages() -> None:
    tried = table({"topic": "#", "http": "/x", "sample": "1/10"})
    taken = {n for n in range(5000) if isinstance(tried.resolve(spooled(n, f"d{n % 50}")), RoutedEvent)}
    assert 400 < len(taken) < 600
    again = table({"topic": "#", "http": "/x", "sample": 0.1})
    assert taken == {n for n in range(5000) if isinstance(again.resolve(spooled(n, f"d{n % 50}")), RoutedEvent)}


def test_a_sample_by_device_takes_all_messages_of_some_devices() -> None:
    tried = table({"topic": "#", "http": "/x", "sample": "1/4 by device"})
    taken = {
        f"d{d}": sum(isinstance(tried.resolve(spooled(n, f"d{d}")), RoutedEvent) for n in range(5)) for d in range(400)
    }
    assert set(taken.values()) == {0, 5}
    assert 60 < sum(count == 5 for count in taken.values()) < 140


@pytest.mark.parametrize("level", ["off", "warn", "reject"])
def test_the_contract_is_off_counted_or_a_reason(level: str) -> None:
    tried = table({"topic": "#", "http": "/x", "validate": level})
    seen: list[tuple[str, str]] = []
    tried.on_invalid = lambda route, said: seen.append((route, said))
    assert isinstance(tried.resolve(reading(1)), RoutedEvent)
    assert seen == []
    found = tried.resolve(reading(2, humidity=120))
    assert seen == ([] if level == "off" else [("#", level)])
    if level == "reject":
        assert isinstance(found, Unroutable)
        assert found.reason.startswith("schema: humidity: ")
        assert (found.concerns("http"), found.concerns("kafka")) == (True, False)
    else:
        assert isinstance(found, RoutedEvent)


def test_a_message_that_several_sinks_ask_for_is_counted_once() -> None:
    tried = table({"topic": "#", "http": "/x", "validate": "warn"})
    seen: list[str] = []
    tried.on_invalid = lambda _, said: seen.append(said)
    for number in (1, 2, 1, 2, 3):
        tried.resolve(reading(number, humidity=120))
    assert len(seen) == 3


def test_a_schema_of_the_users_own_takes_the_place_of_the_contract(tmp_path: Path) -> None:
    # `prefixItems` is of 2020-12: a validator that does not know it would take anything.
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "required": ["extra"],
        "properties": {"extra": {"prefixItems": [{"type": "string"}], "items": False}},
    }
    (tmp_path / "s.json").write_bytes(orjson.dumps(schema))
    row = {
        "topic": "#",
        "validate": "reject",
        "schema": tmp_path / "s.json",
        "kafka": {"topic": "t", "key": "{payload.extra}"},
    }
    tried = table(row)
    assert isinstance(tried.resolve(spooled(1, extra=["a"])), RoutedEvent)
    for fields, reason in (
        ({"extra": [1]}, 'schema: extra.0: 1 is not of type "string"'),
        ({}, '"extra" is a required'),
    ):
        found = tried.resolve(spooled(1, **fields))
        assert isinstance(found, Unroutable)
        assert reason in found.reason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is not JSON"),
        ('{"type": "nope"}', "is no JSON Schema"),
        ('{"$ref": "http://127.0.0.1:1/x.json"}', "nothing is fetched"),
    ],
)
def test_a_schema_that_is_none_is_refused_when_the_file_is_read(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "s.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        parse_config(
            f"http: {{}}\nroutes: [{{topic: '#', http: /x, validate: warn, schema: {path}}}]", BridgeConfig, name="b"
        )
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


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
        "topic: 'edge/+/bme280/+/telemetry', http: '/{payload.metadata.weather_type}'",
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
