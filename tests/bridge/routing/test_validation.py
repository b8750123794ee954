"""Payloads are checked against the contract, or a schema of the user."""

from pathlib import Path

import orjson
import pytest

from bridge.config import BridgeConfig
from bridge.routing.config import RouteConfig
from bridge.routing.routed import RoutedEvent, Unroutable
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
