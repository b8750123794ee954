"""Fleets that speak as other makers' devices do: all they say reaches the store, and commands are answered."""

import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as paho
import pytest
import yaml

from edgefleet.embedded import MosquittoProcess
from edgefleet.verify import Outcome, verify_run
from edgewire.dialects.sparkplug import REBIRTH
from edgewire.dialects.sparkplug_payload import SparkplugType, write_metric, write_payload
from edgewire.run_record import RunRecord
from tests.e2e.chain import running_chain
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(120)]

OWN = {
    "topic": "plant/{site}/{id}/state",
    "payload": {
        "t": {"from": "temperature_c", "unit": "°F", "round": 2}, "rh": "humidity", "p": "pressure_hpa",
        "n": {"b": "boot", "s": "seq"}, "ts": {"from": "timestamp", "as": "epoch_ms"},
    },
}  # fmt: skip
GROUPS: dict[str, dict[str, Any]] = {
    "tasmota": {"kind": "bme280", "dialect": "tasmota", "discovery": "homeassistant"},
    "shelly": {"kind": "bme280", "dialect": "shelly", "on": {"change": {"temperature_c": 0.02}, "max_interval": "1s"}},
    "esphome": {"kind": "people", "dialect": "esphome"},
    "owntracks": {"kind": "gps", "dialect": "owntracks"},
    "own": {"kind": "bme280", "on": {"change": {"humidity": 0.1}, "max_interval": "2s"}, **OWN},
    "zigbee2mqtt": {
        "kind": "bme280",
        "dialect": {"dialect": "zigbee2mqtt", "last_seen": "epoch"},
        "firmware": {"battery_life": "300d"},
    },
    "senml": {"kind": "traffic", "dialect": {"dialect": "senml", "encoding": "cbor"}},
    "influx": {"kind": "people", "dialect": "influx"},
    "cloudevents": {"kind": "bme280", "dialect": {"dialect": "cloudevents", "mode": "binary"}},
    "homie": {"kind": "people", "dialect": "homie"},
    "chirpstack": {"kind": "bme280", "dialect": {"dialect": "chirpstack", "device": "name"}},
    "tts": {"kind": "traffic", "dialect": "lorawan-tts"},
    "aws": {"kind": "people", "dialect": {"dialect": "aws-iot", "topic": "dt/{id}/up"}},
    "shadow": {"kind": "bme280", "dialect": {"dialect": "aws-iot", "readings": "shadow", "shadow": "air"}},
    "azure": {"kind": "traffic", "dialect": {"dialect": "azure-iot", "prefix": "{id}/"}},
    "thingsboard": {"kind": "traffic", "dialect": {"dialect": "thingsboard", "prefix": "{id}/"}},
    "tbgateway": {"kind": "bme280", "dialect": "thingsboard", "gateway": {"count": 1, "id": "tb-gateway-{n}"}},
    "sparkplug": {"kind": "bme280", "dialect": {"dialect": "sparkplug", "host_id": "bridge"}, "qos": 0},
    "edge": {
        "kind": "people",
        "dialect": {"dialect": "sparkplug", "aliases": False},
        "gateway": {"count": 1},
        "qos": 0,
    },
    "edgefleet": {"kind": "bme280", "discovery": {"form": "single", "prefix": "ha"}, "on": {"max_interval": "1s"}},
}
"""Site -> how its devices speak."""
HOMIE_LOG = "homie/5/homie-001/$log/warn"
AWS_COMMAND = "$aws/commands/things/aws-001/executions/e1"
NBIRTH = "spBv1.0/sparkplug/NBIRTH/sparkplug-001"
TTS_DOWN = "v3/edgefleet@ttn/devices/tts-001/down"
ANSWERS = (
    HOMIE_LOG, "me/rpc", "stat/tasmota-001/RESULT", f"{TTS_DOWN}/sent", "zigbee2mqtt/bridge/response/health_check",
    "azure-001/$iothub/methods/res/200/?$rid=1a", "thingsboard-001/v1/devices/me/rpc/response/31", "v1/gateway/rpc",
    f"{AWS_COMMAND}/response/json",
)  # fmt: skip
"""Topics on which commands are answered."""
SUBSCRIPTIONS: list[Any] = [
    "edge/+/+/+/telemetry",
    {"filter": "tele/#", "decode": "tasmota", "site": "tasmota", "timezone": "UTC"},
    {"filter": "tasmota/discovery/#", "decode": "tasmota", "site": "tasmota"},
    {"filter": "+/events/rpc", "decode": "shelly", "site": "shelly"},
    {"filter": "+/online", "decode": "shelly", "site": "shelly"},
    {"filter": "homeassistant/sensor/#", "decode": "esphome", "site": "esphome"},
    {"filter": "+/sensor/+/state", "decode": "esphome", "site": "esphome"},
    {"filter": "+/status", "decode": "esphome", "site": "esphome"},
    {"filter": "owntracks/#", "decode": "owntracks", "site": "owntracks"},
    {"filter": "plant/#", "decode": OWN},
    {"filter": "zigbee2mqtt/#", "decode": "zigbee2mqtt", "site": "zigbee2mqtt"},
    {"filter": "senml/#", "decode": "senml"},
    {"filter": "telegraf/#", "decode": "influx"},
    {"filter": "cloudevents/#", "decode": "cloudevents"},
    {"filter": "homie/#", "decode": "homie"},
    {"filter": "application/#", "decode": {"dialect": "chirpstack", "device": "name"}},
    {"filter": "v3/#", "decode": "lorawan-tts"},
    {"filter": "+/v1/devices/me/#", "decode": "thingsboard"},
    {"filter": "v1/gateway/#", "decode": "thingsboard"},
    {"filter": "+/devices/+/messages/events/#", "decode": "azure-iot"},
    {"filter": "+/$iothub/#", "decode": "azure-iot"},
    {"filter": "dt/#", "decode": {"dialect": "aws-iot", "topic": "dt/{id}/up"}},
    {"filter": "$aws/things/+/shadow/#", "decode": "aws-iot"},
    {"filter": "spBv1.0/#", "decode": {"dialect": "sparkplug", "host_id": "bridge"}},
]


@contextmanager
def listening(broker: MosquittoProcess, *filters: str) -> Iterator[tuple[paho.Client, list[tuple[str, bytes]]]]:
    """A client, and what it hears on these topics."""
    heard: list[tuple[str, bytes]] = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    subscribed = threading.Event()
    client.on_message = lambda _client, _data, message: heard.append((message.topic, message.payload))
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect(broker.host, broker.port)
    client.loop_start()
    client.subscribe([(one, 1) for one in filters])
    assert subscribed.wait(10)
    try:
        yield client, heard
    finally:
        client.disconnect()
        client.loop_stop()


def topics_heard(heard: list[tuple[str, bytes]], topic: str) -> int:
    return sum(one == topic for one, _ in heard)


def stored(path: Path) -> Counter[str]:
    """The messages of each site in the store."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        rows = database.execute("SELECT device_id FROM messages").fetchall()
    # A phone is called after its user, who is its site here.
    return Counter(device.split("-")[0] for (device,) in rows)


def test_what_fleets_say_in_any_dialect_is_stored(tmp_path: Path) -> None:
    with ExitStack() as stack:
        broker, ingest, store = stack.enter_context(running_chain(tmp_path, {}, subscriptions=SUBSCRIPTIONS))
        client, heard = stack.enter_context(
            listening(
                broker,
                "homeassistant/#",
                "ha/#",
                "+/online",
                "tele/+/LWT",
                "zigbee2mqtt/bridge/state",
                NBIRTH,
                *ANSWERS,
            )
        )
        scenario = tmp_path / "fleet.yaml"
        sites = [{"name": site, "latitude": 48.9, "longitude": 2.4} for site in GROUPS]
        devices = [
            {"ids": [f"{site}-001", f"{site}-002"], "interval": "250ms", "qos": 1, "site": site} | group
            for site, group in GROUPS.items()
        ]
        content = {"broker": broker.url, "sites": sites, "devices": devices}
        scenario.write_text(yaml.safe_dump(content))
        words = ("run", str(scenario), "--duration", "4s", "--record", str(tmp_path / "run"))
        fleet = subprocess.Popen([sys.executable, "-m", "edgefleet", *words], stderr=subprocess.PIPE)
        until(lambda: sum(topic.endswith(("/online", "/LWT")) for topic, _ in heard) >= 4)
        until(lambda: ("zigbee2mqtt/bridge/state", b'{"state":"online"}') in heard)
        client.publish("shelly-001/rpc", b'{"id":1,"src":"me","method":"Shelly.GetStatus"}', qos=1)
        client.publish("cmnd/tasmota-001/TelePeriod", b"", qos=1)
        client.publish("owntracks/owntracks/owntracks-001/cmd", b'{"_type":"cmd","action":"dump"}', qos=1)
        client.publish("zigbee2mqtt/bridge/request/health_check", b"", qos=1)
        # One that is heeded would change what the device says, which `verify` could not compute again.
        client.publish("homie/5/homie-001/device/interval/set", b"soon", qos=1)
        until(lambda: topics_heard(heard, NBIRTH) >= 1)
        rebirth = write_metric(REBIRTH, SparkplugType.BOOLEAN, True)
        slower = write_metric("Node Control/Scan Rate", SparkplugType.INT64, 1)  # which is refused
        client.publish(NBIRTH.replace("NBIRTH", "NCMD"), write_payload(1, None, [rebirth, slower]))
        until(lambda: topics_heard(heard, NBIRTH) >= 2)
        client.publish(f"{TTS_DOWN}/push", b'{"downlinks":[{"f_port":2,"frm_payload":"AQ=="}]}', qos=1)
        client.publish("thingsboard-001/v1/devices/me/rpc/request/31", b'{"method":"identify"}', qos=1)
        client.publish("v1/gateway/rpc", b'{"device":"tbgateway-002","data":{"id":3,"method":"identify"}}', qos=1)
        client.publish(f"{AWS_COMMAND}/request/json", b'{"method":"identify"}', qos=1)
        client.publish("azure-001/$iothub/methods/POST/identify/?$rid=1a", b"{}", qos=1)
        until(lambda: set(ANSWERS) <= {topic for topic, _ in heard})
        until(lambda: any(topic == "v1/gateway/rpc" and b'"ok":true' in payload for topic, payload in heard))
        before = len(heard)
        client.publish("homeassistant/status", b"online", qos=1)
        described = "homeassistant/device/tasmota-001/config"
        until(lambda: described in {topic for topic, _ in heard[before:]})
        _, said = fleet.communicate(timeout=60)
        assert fleet.returncode == 0, said.decode()
        record = RunRecord.load(tmp_path / "run")
        sent: Counter[str] = Counter()
        for device in record.devices:
            assert device.emitted == device.acknowledged + device.sent_qos0, device
            sent[device.device_id.rpartition("-")[0]] += device.emitted
        assert all(sent[site] for site in GROUPS.keys() - {"owntracks"})
        sent["tasmota"] += 1  # the reading that was asked for
        until(lambda: stored(store).total() >= sent.total())
        assert stored(store) == +sent
        verdict = verify_run(record, ingest=ingest)
        assert (verdict.outcome, verdict.failures(), verdict.untold) == (Outcome.PASS, [], [])
        assert verdict.total_sent == record.totals["emitted"]
        assert verdict.sinks["http"].total.unexpected == 0
        # State and reading of the query, the answer of the RPC, and that of the query itself.
        assert Counter(one.device_id for one in record.side_messages) == {"tasmota-001": 3, "shelly-001": 1}
    answer = orjson.loads(next(payload for topic, payload in heard if topic == "me/rpc"))
    assert {"temperature:0", "wifi", "sys"} <= answer["result"].keys()
    assert {topic.split("/")[1] for topic, _ in heard if topic.startswith("ha/")} == {"sensor", "binary_sensor"}
