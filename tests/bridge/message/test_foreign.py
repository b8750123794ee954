"""What comes by a subscription in another format becomes an event, or is left out by a rule that is named."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from bridge.config import BridgeConfig
from bridge.message.attributes import http_attributes, mqtt_attributes
from bridge.message.config import SubscriptionConfig
from bridge.message.user_properties import dump_properties
from bridge.routing.config import RouteConfig
from bridge.routing.routed import Dropped, RoutedEvent, Unroutable
from bridge.routing.table import RouteTable
from bridge.source.advice import format_warnings
from bridge.spool.message import SpooledMessage
from edgewire.messages import contract_of
from edgewire.messages.base import to_device_id

RAW_BME280 = {"filter": "raw/#", "decode": "none", "kind": "bme280"}
RECEIVED_MS = 1_790_000_000_000
TASMOTA = (
    b'{"Time":"2024-03-09T06:40:00Z","BME280":{"Temperature":14.2,"Humidity":61.5,"Pressure":1002.4},"TempUnit":"C"}'
)
PLUG = b'{"Time":"2024-03-09T06:40:00Z","ENERGY":{"Total":1.5,"Power":20,"Voltage":231}}'
OWN: dict[str, Any] = {
    "topic": "plant/{site}/{line}/{id}/state",
    "payload": {
        "t": {"from": "temperature_c", "unit": "°F"},
        "rh": {"from": "humidity", "round": 1},
        "p": "pressure_hpa",
        "ts": {"from": "timestamp", "as": "epoch_ms"},
        "fw": "1.4.2",
        "meta": {"n": "seq", "b": "boot"},
    },
}


def message(topic: str, payload: bytes = TASMOTA, *, number: int = 7, retain: bool = False, **properties: Any) -> Any:
    carried = dump_properties(properties) if properties else None
    return SpooledMessage(number, RECEIVED_MS, topic, payload, 1, retain, False, carried)


def table(*routes: Mapping[str, Any], **subscription: Any) -> RouteTable:
    found = RouteTable(
        [RouteConfig.model_validate(route) for route in routes],
        subscriptions=[SubscriptionConfig.model_validate(subscription)],
    )
    found.restore(825_667_200, {})
    return found


def event_of(found: object) -> RoutedEvent:
    assert isinstance(found, RoutedEvent), found
    return found


def test_a_reading_of_a_tasmota_goes_where_one_of_ours_would() -> None:
    found = event_of(table(filter="tele/#", decode="tasmota").resolve(message("tele/cellar/SENSOR")))
    assert str(found.topic_info.topic_of(found.device_id)) == "edge/default/bme280/cellar/telemetry"
    assert found.message_id == "cellar:825667200:7"
    fields = orjson.loads(found.body)
    assert fields == found.fields
    assert fields["temperature_c"] == 14.2
    assert fields["timestamp"] == "2024-03-09T06:40:00.000Z"
    assert fields["source"] == {"format": "tasmota", "name": "cellar", "sensor": "BME280"}
    contract_of("bme280").check(fields)


class BoastfulDecoder:
    """A dialect of somebody else's, whose values have more than 64 bits."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)

    def decode(self, *message: Any) -> Any:
        return self._decoder.decode(*message)._replace(values={"power_w": 1 << 70})


def test_what_cannot_be_written_is_unroutable_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    make = SubscriptionConfig.make_decoder
    monkeypatch.setattr(SubscriptionConfig, "make_decoder", lambda config: BoastfulDecoder(make(config)))
    found = table(filter="tele/#", decode="tasmota").resolve(message("tele/cellar/SENSOR"))
    assert isinstance(found, Unroutable)
    assert found.reason == "tasmota: what it says cannot be written as JSON: Integer exceeds 64-bit range"


def test_what_the_contract_has_no_kind_for_is_a_device() -> None:
    found = event_of(table(filter="tele/#", decode="tasmota", site="home").resolve(message("tele/plug/SENSOR", PLUG)))
    assert str(found.topic_info.topic_of(found.device_id)) == "edge/home/device/plug/telemetry"
    assert orjson.loads(found.body) | {"source": None} == {
        "device_id": "plug", "timestamp": "2024-03-09T06:40:00.000Z", "boot": 825667200, "seq": 7,
        "energy_wh": 1500.0, "power_w": 20, "voltage_v": 231, "source": None,
    }  # fmt: skip
    contract_of("device").check(found.fields)


@pytest.mark.parametrize(
    ("topic", "payload", "retain", "rule"),
    [
        ("tele/cellar/LWT", b"Online", False, "tasmota: availability"),
        ("tele/cellar/STATE", b'{"UptimeSec":5}', False, "tasmota: state"),
        ("stat/cellar/RESULT", b'{"TelePeriod":300}', False, "tasmota: answer"),
        ("tasmota/discovery/AABBCC001122/sensors", b'{"sn":{},"ver":1}', True, "tasmota: description"),
        ("tele/cellar/SENSOR", TASMOTA, True, "tasmota: retained, the last known state and no new reading"),
        ("tele/cellar/SENSOR", b'{"Time":"2024-03-09T06:40:00Z"}', False, "tasmota: no values"),
    ],
)
def test_what_is_no_reading_is_left_out_by_a_rule(topic: str, payload: bytes, retain: bool, rule: str) -> None:
    found = table(filter="#", decode="tasmota").resolve(message(topic, payload, retain=retain))
    assert isinstance(found, Dropped)
    assert found.rule == rule


def test_roles_and_retained_values_are_forwarded_where_that_is_asked_for() -> None:
    routes = table(
        {"topic": "edge/+/+/+/status", "http": "/status"},
        {"topic": "tele/#", "http": "/readings"},
        filter="#", decode="tasmota", roles=["reading", "availability"], retained="forward",
    )  # fmt: skip
    reading = event_of(routes.resolve(message("tele/cellar/SENSOR", retain=True)))
    assert reading.fields["source"]["retained"] is True
    assert reading.route.filter == "tele/#"
    status = event_of(routes.resolve(message("tele/cellar/LWT", b"Offline")))
    assert status.fields["online"] is False


def test_what_cannot_be_read_is_a_dead_letter_with_the_reason() -> None:
    routes = table(filter="tele/#", decode="tasmota")
    for topic, payload, reason in [
        ("tele/cellar/SENSOR", b"{", "tasmota: payload is not JSON"),
        ("tele/cellar/SENSOR", b'{"BME280":{"Temperature":"warm"}}', "tasmota: 'warm' is no number"),
        ("tele/cellar/nonsense/", b"{}", "tasmota: topic 'tele/cellar/nonsense/' is not of the form"),
    ]:
        found = routes.resolve(message(topic, payload))
        assert isinstance(found, Unroutable)
        assert reason in found.reason
    other = table({"topic": "edge/#", "http": "/x", "match": {"site": "y"}}, filter="tele/#", decode="tasmota")
    found = other.resolve(message("tele/cellar/SENSOR"))
    assert isinstance(found, Unroutable)
    assert found.reason == "no route of topic 'tele/cellar/SENSOR' takes site null"


def test_templates_validation_and_match_see_the_decoded_values() -> None:
    routes = table(
        {
            "topic": "tele/#",
            "match": {"relay_on": True},
            "drop": True,
        },
        {
            "topic": "tele/#",
            "validate": "reject",
            "http": {"url": "http://h/{site}/{kind}/{device_id}", "body": {"t": "{payload.temperature_c}"}},
        },
        filter="tele/#", decode="tasmota", site="home",
    )  # fmt: skip
    found = event_of(routes.resolve(message("tele/cellar/SENSOR")))
    target: Any = found.route.targets["http"]
    assert target.url.render(found) == "http://h/home/bme280/cellar"
    assert target.body.render(found) == b'{"t":14.2}'
    cold = TASMOTA.replace(b"14.2", b"-99")
    refused = routes.resolve(message("tele/cellar/SENSOR", cold))
    assert isinstance(refused, Unroutable)
    assert "temperature_c" in refused.reason


def test_a_format_of_ones_own_is_read_with_its_own_identity() -> None:
    payload = b'{"t":59,"rh":61.5,"p":1002.4,"ts":1709966400123,"fw":"1.4.2","meta":{"n":3,"b":9},"new":[1]}'
    found = event_of(table(filter="plant/#", decode=OWN).resolve(message("plant/north/l4/dev-1/state", payload)))
    assert str(found.topic_info.topic_of(found.device_id)) == "edge/north/bme280/dev-1/telemetry"
    assert found.message_id == "dev-1:9:3"
    assert orjson.loads(found.body) == {
        "device_id": "dev-1", "timestamp": "2024-03-09T06:40:00.123Z", "boot": 9, "seq": 3, "line": "l4",
        "temperature_c": 15.0, "humidity": 61.5, "pressure_hpa": 1002.4, "source": {"format": "own", "name": "dev-1"},
        "other": {"new": [1]},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("decode", "said"),
    [
        ("tasmot", "there is no dialect 'tasmot', did you mean 'tasmota'?"),
        ({"dialect": "tasmota", "full_topic": "x"}, "has no %prefix%"),
        (
            {"dialect": "shelly", "temperatur_unit": "F"},
            "unknown key 'temperatur_unit', did you mean 'temperature_unit'?",
        ),
        (OWN | {"topic": "plant/+/{id}"}, "has a wildcard in it"),
        (OWN | {"topic": "plant/state"}, "where the device's id stands"),
        (OWN | {"topic": "plant/{ID}/{id}"}, "has a brace that is not around a name"),
        (OWN | {"topic": "plant/\0/{id}"}, "has the character U+0000"),
        (OWN | {"topic": "other/{id}/state"}, "can match nothing that 'x/#' brings: its topics are other/+/state"),
        (OWN | {"payload": {"t": {"from": "temperature_c", "units": "K"}}}, "did you mean 'unit'?"),
        (OWN | {"payload": {"t": "temperatur_c"}}, "there is no field 'temperatur_c', did you mean 'temperature_c'?"),
        (
            OWN | {"payload": {"t": {"from": "temperature_c", "unit": "hPa"}}},
            "unit 'hPa' is not known for temperature_c",
        ),
        (OWN | {"payload": {"t": "temperature_c", "u": "temperature_c"}}, "stands in two places"),
        (OWN | {"payload": {"ts": "timestamp"}}, "no value of the device"),
        (OWN | {"payload": {"t": {"from": "temperature_c", "as": "epoch_s"}}}, "as is for timestamp"),
        ({"topic": "x/{id}"}, "key 'payload' is missing"),
    ],
)
def test_a_decode_that_cannot_work_is_refused_with_a_sentence(decode: Any, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        SubscriptionConfig(filter="x/#", decode=decode)
    assert said in str(error.value)


def test_bytes_are_forwarded_as_they_came() -> None:
    raw = bytes(range(256))
    routes = table({"topic": "raw/#", "http": "/raw"}, filter="raw/#", decode="none")
    found = event_of(
        routes.resolve(message("raw/größe 1", raw, content_type="image/png", user_property=[("Tenant Id", "ä")]))
    )
    assert found.body == raw
    assert (found.content_type, found.is_raw) == ("image/png", True)
    assert found.device_id == to_device_id("raw/größe 1")
    assert mqtt_attributes(found) == [("mqtt_topic", "raw/größe 1"), ("mqtt_user_tenant_id", "ä")]
    assert http_attributes(found) == {"mqtt-topic": "raw/gr%C3%B6%C3%9Fe 1", "mqtt-user-tenant-id": "%C3%A4"}
    plain = event_of(routes.resolve(message("raw/x", b"")))
    assert plain.content_type == "application/octet-stream"


def test_bytes_are_refused_where_a_sink_would_put_them_between_json() -> None:
    settings: dict[str, Any] = {
        "subscriptions": ["edge/#", {"filter": "raw/#", "decode": "none"}],
        "routes": [{"topic": "raw/#", "http": "/raw"}],
    }
    with pytest.raises(ValueError, match=r"puts messages together as JSON: set http\.mode: single"):
        BridgeConfig(http={}, **settings)
    assert BridgeConfig(http={"mode": "single"}, **settings).filters == ("edge/#", "raw/#")
    for named in ({"routes": [{"topic": "edge/#", "http": "/x"}]}, {"routes": [], "subscriptions": [RAW_BME280]}):
        # A route may name the topic that they are read as.
        with pytest.raises(ValueError, match=r"set http\.mode: single"):
            BridgeConfig(http={}, **settings | named)
    apart = {"routes": [{"topic": "edge/#", "http": "/x"}, {"topic": "raw/#", "kafka": "raw"}]}
    assert BridgeConfig(http={}, kafka={"bootstrap_servers": "localhost:9092"}, **settings | apart).sinks


@pytest.mark.parametrize(
    ("subscription", "routes", "said"),
    [
        ({"filter": "raw/#", "decode": "none"}, [], True),
        ({"filter": "raw/#", "decode": "none"}, [{"topic": "edge/#", "match": {"a": 1}, "http": "/x"}], True),
        ({"filter": "raw/#", "decode": "none"}, [{"topic": "edge/+/raw/#", "http": "/x"}], False),
        ({"filter": "raw/#", "decode": "none"}, [{"topic": "raw/camera/+", "http": "/x"}], False),
        ({"filter": "tele/#", "decode": "tasmota"}, [], False),
        ({"filter": "tele/#", "decode": "tasmota"}, [{"topic": "edge/+/device/#", "http": "/x"}], False),
        ({"filter": "tele/#", "decode": "tasmota", "kind": "plug"}, [{"topic": "edge/+/device/#", "http": "/x"}], True),
        ("edge/+/gps/#", [{"topic": "edge/+/bme280/#", "http": "/x"}], True),
        ("edge/#", [], False),
    ],
)
def test_a_subscription_whose_messages_no_route_takes_is_warned_of(
    subscription: Any, routes: list[dict[str, Any]], said: bool
) -> None:
    found = format_warnings(BridgeConfig(http={"mode": "single"}, subscriptions=[subscription], routes=routes))
    assert ["no route takes what it brings" in warning for warning in found] == [True] * said


def test_names_that_are_no_ids_become_ids_that_stay_apart() -> None:
    assert to_device_id("kitchen-1.a_B") == "kitchen-1.a_B"
    found = {
        to_device_id(name) for name in ("kitchen/climate", "kitchen climate", "kitchen-climate", "ü", "", "a" * 65)
    }
    assert len(found) == 6
    assert to_device_id("kitchen/climate") == to_device_id("kitchen/climate")
    assert to_device_id("kitchen/climate").startswith("kitchen-climate-")


def test_descriptions_are_told_once_and_known_again_after_a_restart() -> None:
    told: list[tuple[str, str]] = []
    config = '{"dev_cla":"temperature","unit_of_meas":"°F","stat_t":"porch/sensor/out/state","dev":{"ids":"x"}}'
    topic, reading = "homeassistant/sensor/porch/out/config", message("porch/sensor/out/state", b"59.0", number=9)
    first = table(filter="#", decode="esphome")
    first.restore(1, {}, lambda *described: told.append(described))
    for number in (1, 2):
        assert isinstance(first.resolve(message(topic, config.encode(), number=number)), Dropped)
    assert told == [(topic, config)]
    assert event_of(first.resolve(reading)).fields["temperature_c"] == 15.0
    again = table(filter="#", decode="esphome")
    again.restore(1, dict(told))
    assert event_of(again.resolve(reading)).fields["temperature_c"] == 15.0
    unknown = table(filter="#", decode="esphome")
    assert event_of(unknown.resolve(reading)).fields["out"] == 59.0


def test_a_sink_that_is_behind_does_not_bring_back_an_older_description() -> None:
    routes = table({"topic": "#", "http": "/x"}, filter="#", decode="esphome", roles=["reading", "description"])
    topic = "homeassistant/sensor/porch/out/config"
    for number, unit in ((5, "°C"), (3, "°F")):
        config = b'{"dev_cla":"temperature","unit_of_meas":"%s","stat_t":"porch/sensor/out/state"}' % unit.encode()
        described = event_of(routes.resolve(message(topic, config, number=number)))
        assert described.message_id.endswith(f":{number}"), "older or not, it is forwarded"
    found = event_of(routes.resolve(message("porch/sensor/out/state", b"20", number=9)))
    assert found.fields["temperature_c"] == 20


def test_a_reading_that_came_before_a_description_on_its_topic_is_one() -> None:
    routes = table(filter="owntracks/#", decode="owntracks")
    assert isinstance(routes.resolve(message("owntracks/ann/phone", b"", number=5)), Dropped)
    place = b'{"_type":"location","lat":48.1,"lon":11.5,"tst":1790000000}'
    found = event_of(routes.resolve(message("owntracks/ann/phone", place, number=3)))
    assert found.fields["latitude"] == 48.1


def test_entities_that_are_called_boot_and_seq_are_no_identity() -> None:
    routes = table(filter="#", decode="homeassistant")
    for name in ("boot", "seq"):
        config = orjson.dumps({"stat_t": "x/state", "val_tpl": f"{{{{ value_json.{name} }}}}", "dev": {"ids": "x"}})
        routes.resolve(message(f"homeassistant/sensor/x/{name}/config", config))
    found = event_of(routes.resolve(message("x/state", b'{"boot":1,"seq":1}', number=9)))
    assert found.message_id == "x:825667200:9"
    assert found.fields["other"] == {"boot": 1, "seq": 1}


def test_an_entity_with_one_of_our_names_takes_nothing_over() -> None:
    found = event_of(table(filter="#", decode="esphome").resolve(message("porch/sensor/timestamp/state", b"5")))
    assert found.fields["timestamp"] == "2026-09-21T14:13:20.000Z"
    assert found.fields["other"] == {"timestamp": 5}
