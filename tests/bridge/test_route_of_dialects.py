"""`bridge route` shows what is read in a message of each dialect; a filter that can bring nothing is told of."""

import time
from pathlib import Path
from typing import Any

import pytest

from bridge.check import preview_route
from bridge.config import BridgeConfig
from bridge.source.advice import format_warnings
from bridge.spool.store import SpoolStore
from edgewire.clock import parse_ms
from edgewire.dialects.registry import DIALECTS
from edgewire.dialects.sparkplug_payload import SparkplugType, write_metric, write_payload

OWN = {"topic": "plant/{id}/state", "payload": {"t": {"from": "temperature_c", "unit": "°F"}}}
MESSAGES: dict[str, tuple[Any, str, bytes, dict[str, Any]]] = {
    "tasmota": ("tasmota", "tele/cellar/SENSOR", b'{"DHT22":{"Temperature":14.2}}', {"temperature_c": 14.2}),
    "esphome": ("esphome", "porch/sensor/out/state", b"59", {"temperature_c": 15.0}),
    "homeassistant": ("homeassistant", "porch/sensor/out/state", b"59", {"temperature_c": 15.0}),
    "zigbee2mqtt": ("zigbee2mqtt", "zigbee2mqtt/hall", b'{"temperature":20.5}', {"temperature_c": 20.5}),
    "shelly": ("shelly", "a/b/status/temperature:0", b'{"id":0,"tC":19.5}', {"temperature_c": 19.5}),
    "owntracks": (
        "owntracks",
        "owntracks/ann/phone",
        b'{"_type":"location","tst":1700000000,"lat":48.1,"lon":11.5}',
        {"latitude": 48.1, "longitude": 11.5},
    ),
    "senml": ("senml", "any/topic", b'[{"bn":"x7/","n":"t","u":"Cel","v":21.5}]', {"temperature_c": 21.5}),
    "sparkplug": (
        "sparkplug",
        "spBv1.0/G1/NDATA/N1",
        write_payload(1_790_000_000_000, 1, [write_metric("temperature_c", SparkplugType.DOUBLE, 21.5)]),
        {"temperature_c": 21.5},
    ),
    "influx": ("influx", "any/topic", b"bme280,host=pi4 temperature_c=21.5", {"temperature_c": 21.5}),
    "cloudevents": (
        "cloudevents",
        "any/topic",
        b'{"specversion":"1.0","id":"1","source":"/x7","type":"t","data":{"temperature_c":21.5}}',
        {"temperature_c": 21.5},
    ),
    "homie": ("homie", "homie/5/x7/air/humidity", b"41.5", {"humidity": 41.5}),
    "chirpstack": (
        "chirpstack",
        "application/1/device/70b3d50000000001/event/up",
        b'{"deviceInfo":{"devEui":"70b3d50000000001"},"data":"AQ==","object":{"temperature_c":21.5}}',
        {"temperature_c": 21.5},
    ),
    "lorawan-tts": (
        "lorawan-tts",
        "v3/app1@ten1/devices/d1/up",
        b'{"end_device_ids":{"device_id":"d1"},"uplink_message":{"decoded_payload":{"temperature_c":21.5}}}',
        {"temperature_c": 21.5},
    ),
    "thingsboard": (
        "thingsboard",
        "x7/v1/devices/me/telemetry",
        b'{"ts":1767225600512,"values":{"temperature_c":21.5}}',
        {"temperature_c": 21.5},
    ),
    "aws-iot": ("aws-iot", "dt/edgefleet/home/x7/bme280", b'{"temperature_c":21.5}', {"temperature_c": 21.5}),
    "azure-iot": (
        "azure-iot",
        "devices/x7/messages/events/%24.ct=application%2Fjson&site=A%26B",
        b'{"temperature_c":21.5}',
        {"temperature_c": 21.5},
    ),
    "ruuvi-gateway": (
        "ruuvi-gateway",
        "ruuvi/C0:00:00:00:00:01/C0:FF:EE:00:01:02",
        b'{"data":"1BFF99040512FCFFFFFFFF0004FFFC040CAC364200CDCBB8334C884F"}',
        {"temperature_c": 24.3},
    ),
    "meshtastic": (
        "meshtastic",
        "msh/EU_868/2/json/LongFast/!7efeee00",
        b'{"from":305419896,"type":"telemetry","payload":{"temperature":21.5}}',
        {"temperature_c": 21.5},
    ),
    "own": (OWN, "plant/dev-1/state", b'{"t":59}', {"temperature_c": 15.0}),
}
DISCOVERY = '{"dev_cla":"temperature","unit_of_meas":"°F","stat_t":"porch/sensor/out/state","dev":{"ids":"porch"}}'


def config_of(tmp_path: Path, *subscriptions: Any) -> BridgeConfig:
    return BridgeConfig.model_validate(
        {
            "subscriptions": list(subscriptions),
            "http": {"url": "http://ingest"},
            "file": {"folder": str(tmp_path / "archive")},
            "spool": {"path": str(tmp_path / "spool.db")},
        }
    )


def test_there_is_a_message_of_each_dialect() -> None:
    assert MESSAGES.keys() == DIALECTS.keys() | {"own"}


@pytest.mark.parametrize("name", MESSAGES)
def test_what_is_read_and_what_is_sent_is_shown(name: str, tmp_path: Path) -> None:
    decode, topic, payload, values = MESSAGES[name]
    config = config_of(tmp_path, {"filter": "#", "decode": decode, "site": "home"})
    store = SpoolStore(config.spool.path, ["http", "file"])
    store.set_metadata("description homeassistant/sensor/porch/out/config", DISCOVERY)
    store.close()
    found = preview_route(config, topic, payload)
    assert found["subscribed"]
    assert found["decoded"]["format"] == name
    fields = found["decoded"]["fields"]
    assert values.items() <= fields.items()
    assert found["decoded"]["topic"] == f"edge/home/device/{fields['device_id']}/telemetry"
    for sink in ("http", "file"):
        assert found["sinks"][sink]["fate"] == "sent"
        assert f'"device_id":"{fields["device_id"]}"' in found["sinks"][sink]["body"]
    if fields["source"].get("time") == "arrival":
        assert abs(parse_ms(fields["timestamp"]) - time.time() * 1000) < 60_000


def test_what_cannot_be_read_is_shown_as_a_dead_letter_with_the_reason(tmp_path: Path) -> None:
    config = config_of(tmp_path, {"filter": "#", "decode": "homeassistant"})
    found = preview_route(config, "porch/sensor/out/state", b"59")  # there is no spool yet
    assert found["sinks"]["http"]["fate"] == "dead letter"
    assert "no configuration names topic 'porch/sensor/out/state'" in found["sinks"]["http"]["reason"]


@pytest.mark.parametrize(
    ("subscription", "said"),
    [
        ({"filter": "zigbee2mqtt/#", "decode": "tasmota"}, "tasmota is on "),
        ({"filter": "tele/#", "decode": "zigbee2mqtt"}, "zigbee2mqtt is on zigbee2mqtt/#"),
        ({"filter": "tele/+/SENSOR", "decode": "owntracks"}, "owntracks is on owntracks/#"),
        ({"filter": "tele/cellar/SENSOR", "decode": "shelly"}, "shelly is on shellies/#, +/events/rpc"),
        ({"filter": "home/+/+/events/rpc", "decode": "shelly"}, ""),
    ],
)
def test_a_filter_that_can_bring_nothing_is_told_of(subscription: dict[str, Any], said: str, tmp_path: Path) -> None:
    warnings = format_warnings(config_of(tmp_path, subscription))
    if not said:
        assert warnings == []
        return
    (warning,) = warnings
    assert "can bring nothing but dead letters" in warning
    assert said in warning
