"""A provisioned fleet that speaks in many ways, on a Mosquitto that lets each say its own and nothing else."""

import asyncio
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from devices.fleet.fleet import Fleet
from devices.scenario.loading import load_scenario
from edgefleet.cli import app
from edgefleet.embedded import edgefleet_process, free_port
from edgefleet.provision import BRIDGE
from edgefleet.verify import Outcome, verify_run
from tests.edgefleet.provision.conftest import SecuredBroker, secured
from tests.edgefleet.provision.test_secured_broker import client, passwords

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow]

OWN = {"topic": "plant/{line}/{id}/state", "payload": {"t": "temperature_c", "n": "seq"}}
PARTS = [
    {"topic": "parts/{id}/t", "payload": {"from": "temperature_c", "round": 1}, "retain": True},
    {"topic": "parts/{id}/air", "payload": {"h": "humidity", "p": "pressure_hpa"}},
]
GROUPS = [
    {"kind": "bme280", "count": 2},
    {"kind": "bme280", "count": 2, "dialect": "tasmota", "id": "tas-{n}", "qos": 1},
    {"kind": "bme280", "identities": "fleet.csv", **OWN},
    {"kind": "gps", "count": 4, "gateway": {"devices": 2}, "discovery": "homeassistant"},
    {"kind": "bme280", "count": 2, "dialect": "zigbee2mqtt", "id": "zig-{n}", "gateway": {"count": 1, "id": "zigbee"}},
    {"kind": "bme280", "count": 1, "dialect": "shelly", "id": "shelly-{n}"},
    {"kind": "gps", "count": 1, "dialect": "owntracks", "id": "phone-{n}"},
    {"kind": "bme280", "ids": ["node-a", "node-b"], "dialect": "esphome", "qos": 1},
    {"kind": "bme280", "ids": ["parts"], "messages": PARTS, "discovery": "homeassistant"},
]
SUBSCRIPTIONS = [
    {"filter": "edge/#"},
    {"filter": "tele/+/SENSOR", "decode": "tasmota"},
    {"filter": "plant/#", "decode": OWN},
    {"filter": "zigbee2mqtt/#", "decode": "zigbee2mqtt"},
    {"filter": "+/events/rpc", "decode": "shelly"},
    {"filter": "owntracks/#", "decode": "owntracks"},
    {"filter": "homeassistant/sensor/#", "decode": "esphome"},
    {"filter": "+/sensor/+/state", "decode": "esphome"},
    *(
        {"filter": f"parts/+/{one['topic'].rpartition('/')[2]}", "decode": {k: one[k] for k in ("topic", "payload")}}
        for one in PARTS
    ),
]
IDENTITIES = """id,client_id,username,password,line
Prëss 1:a,PLC 1,press one,word 1,a
Prëss 2:b,PLC 2,prëss-two,,b
"""
FOREIGN = (
    "edge/default/bme280/bme280-0001/telemetry", "tele/tas-4/SENSOR", "plant/a/Prëss 1:a/state", "zigbee2mqtt/zig-1",
    "zigbee2mqtt/bridge/state", "shelly-9/events/rpc", "shelly-9/rpc", "owntracks/default/phone-5", "cmnd/tas-4/POWER",
    "homeassistant/device/gps-0001/config", "edge/default/gps/gps-0001/status", "parts/parts/t", "parts/parts/air",
    "node-b/sensor/temperature/state", "node-b/status", "esphome/discover/node-b", "tele/tas-4/LWT",
    "homeassistant/sensor/node-b/temperature/config", "homeassistant/status",
)  # fmt: skip
"""What is of others than of tas-3 and node-a."""


@pytest.fixture
def provisioned_scenario(tmp_path: Path) -> Path:
    (tmp_path / "fleet.csv").write_text(IDENTITIES, encoding="utf-8")
    path = tmp_path / "scenario.yaml"
    path.write_text(yaml.safe_dump({"devices": [{**group, "interval": "500ms"} for group in GROUPS]}))
    arguments = ["--host", "127.0.0.1", "--out", str(tmp_path / "secrets")]
    done = CliRunner().invoke(app, ["provision", str(path), *arguments])
    assert done.exit_code == 0, done.exception
    return path


async def test_all_that_a_fleet_says_is_let_through_and_nothing_of_others(
    provisioned_scenario: Path, tmp_path: Path
) -> None:
    with secured(tmp_path / "secrets") as broker:
        account = f"{BRIDGE}:{passwords(broker.folder)[BRIDGE]}"
        ingest_port, admin_port = free_port(), free_port()
        ingest = f"http://127.0.0.1:{ingest_port}"
        bridge = {
            "broker": f"mqtts://{account}@127.0.0.1:{broker.others}", "client_id": BRIDGE,
            "mqtt": {"ca_file": "secrets/ca.crt"},
            "spool": {"path": "spool.db"}, "http": {"url": ingest}, "admin": {"port": admin_port},
            "subscriptions": SUBSCRIPTIONS,
        }  # fmt: skip
        (tmp_path / "bridge.yaml").write_text(yaml.safe_dump(bridge))
        store = ("--port", str(ingest_port), "--store", f"sqlite:///{tmp_path / 'ingest.db'}")
        ready = f"http://127.0.0.1:{admin_port}/readyz"
        with (
            edgefleet_process("ingest", "ingest", *store, url=f"{ingest}/readyz"),
            edgefleet_process("bridge", "bridge", "run", tmp_path / "bridge.yaml", url=ready),
        ):
            loaded = load_scenario(provisioned_scenario)
            url = f"mqtts://127.0.0.1:{broker.devices}"
            scenario = loaded.with_keys(broker=url, identities=tmp_path / "secrets")
            record = await Fleet(scenario, name="test").run(2, asyncio.Event())
            # A broker that does not allow a publish says so in its PUBACK.
            assert (record.totals["dropped"], record.problems) == (0, {})
            found = await asyncio.to_thread(verify_run, record, ingest=ingest, wait_s=20)
            assert found.outcome == Outcome.PASS, found.failures()
            assert found.total_sent > 40
        await asyncio.to_thread(refuses_what_is_of_others, broker)


def refuses_what_is_of_others(broker: SecuredBroker) -> None:
    own = {
        "tas-3": ("tele/tas-3/SENSOR",),
        "node-a": ("node-a/sensor/temperature/state", "node-a/status", "esphome/discover/node-a",
                    "homeassistant/sensor/node-a/temperature/config"),
    }  # fmt: skip
    for name, topics in own.items():
        with client(broker, name) as device:
            assert [topic for topic in topics if not device.publish(topic)] == []
            assert [topic for topic in FOREIGN if device.publish(topic)] == []
