"""A real sensor takes its emulator's place and goes away again, while 300 other devices run: nothing is lost."""

import asyncio
import json
import sqlite3
import sys
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import paho.mqtt.client as mqtt
import pytest

from devices.fleet.brokers import broker_pool_for
from devices.fleet.connector import probe_all
from devices.fleet.fleet import Fleet
from devices.fleet.standby_client import StandbyClient
from devices.scenario.scenario import Scenario
from edgefleet.verify import Outcome, verify_run
from edgewire.mqtt import Version
from tests.e2e.chain import running_chain
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(120)]

SITE, REPLACED = "default", "bme280-0007"
BASE = f"edge/{SITE}/bme280/{REPLACED}"


TASMOTA = Path(__file__).parents[2] / "examples" / "tasmota_bme280.py"
DECODED = [
    "edge/+/+/+/telemetry",
    {"filter": "tele/#", "decode": "tasmota", "timezone": "UTC"},
    {"filter": "+/sensor/+/state", "decode": "esphome"},
    {"filter": "homeassistant/sensor/#", "decode": "esphome"},
]


class Services(NamedTuple):
    broker: str
    ingest: str
    address: tuple[str, int]
    store: Path


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A broker, and an ingest that a bridge feeds from it."""
    folder = tmp_path_factory.mktemp("standby")
    with running_chain(folder, {"mode": "batch"}, subscriptions=DECODED) as chain:
        yield Services(chain.broker.url, chain.ingest, (chain.broker.host, chain.broker.port), chain.store)


def sensor(broker: str, client_id: str, boot: int) -> mqtt.Client:
    """A real sensor that is powered on: it says hello, and its last will is that it is offline."""

    def status(state: str) -> str:
        told = {"state": state, "device_id": REPLACED, "boot": boot, "firmware": "pi-1.0", "origin": "hardware"}
        return json.dumps(told | {"timestamp": None, "sent": 0, "buffered": 0, "dropped": 0})

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
    client.will_set(f"{BASE}/status", status("offline"), qos=1, retain=True)
    client.on_connect = lambda c, *_: c.publish(f"{BASE}/status", status("online"), qos=1, retain=True)
    host, _, port = broker.removeprefix("mqtt://").partition(":")
    client.connect(host, int(port))
    client.loop_start()
    return client


def measure(client: mqtt.Client, boot: int, seq: int) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    values = {"temperature_c": 21.5, "humidity": 40.0, "pressure_hpa": 1013.25}
    payload = {"device_id": REPLACED, "timestamp": now, "boot": boot, "seq": seq} | values
    client.publish(f"{BASE}/telemetry", json.dumps(payload), qos=1)


def stored(ingest: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{ingest}/messages?device_id={REPLACED}&limit=50000", timeout=10) as answer:
        rows: list[dict[str, Any]] = orjson.loads(answer.read())["messages"]
    return rows


@asynccontextmanager
async def running(fleet: Fleet) -> AsyncIterator["asyncio.Task[Any]"]:
    stop = asyncio.Event()
    task = asyncio.create_task(fleet.run(60, stop))
    try:
        await eventually(lambda: fleet.connected_after_s is not None, "the fleet is connected")
        yield task
    finally:
        stop.set()
        await asyncio.wait([task])


async def test_a_real_sensor_replaces_its_emulator_and_goes_away_again(services: Services) -> None:
    (broker, ingest, _, _), client_id, hardware_boot, version = services, REPLACED, 41, Version.V5
    group = {"kind": "bme280", "count": 301, "interval": "500ms"}
    scenario = Scenario(broker=broker, standby=True, standby_after="1s", devices=[group])
    assert await probe_all(broker_pool_for(scenario)) is Version.V5
    fleet = Fleet(scenario, name="test", version=version)
    before = len(stored(ingest))
    async with running(fleet) as task:
        place = next(client for client in fleet.clients if client.device.device_id == REPLACED)
        await eventually(lambda: place.acknowledged >= 2, "the emulator has measured")
        real = sensor(broker, client_id, hardware_boot)
        for seq in range(10):
            measure(real, hardware_boot, seq)
            await asyncio.sleep(0.05)
        await eventually(lambda: place.is_withdrawn and place.is_disconnected, "the emulator has left")
        assert real.is_connected()
        # It goes as one whose cable is pulled: the broker says so for it.
        real.loop_stop()
        sock = real.socket()
        assert sock is not None
        sock.close()
        boot = place.firmware.boot
        await eventually(lambda: not place.is_withdrawn, "the emulator returns")
        await eventually(lambda: place.firmware.counters.acknowledged >= 2, "it measures")
    record = task.result()
    found = await asyncio.to_thread(verify_run, record, ingest=ingest, wait_s=20)
    total = found.sinks["http"].total
    assert found.outcome is Outcome.PASS, found.failures()
    assert (total.lost, total.unexpected) == (0, 0)
    assert record.problems == {}
    (span,) = record.standby
    assert (span.device_id, span.kind, list(span.withheld)) == (REPLACED, "bme280", [str(boot)])
    assert span.withheld_count > 0
    (first, second) = [device for device in record.devices if device.device_id == REPLACED]
    assert span.withheld[str(boot)][0][0] == (first.last_seq or 0) + 1
    assert (second.first_seq, second.boot > first.boot) == (0, True)
    assert sum(device.reconnects for device in record.devices if device.device_id != REPLACED) == 0
    # All that the sensor has said is there as well, once.
    counts = Counter(row["boot"] for row in stored(ingest)[before:])
    assert counts == {hardware_boot: 10, first.boot: first.emitted, second.boot: second.emitted}


async def test_a_tasmota_device_takes_the_place_of_its_emulator_for_a_while(services: Services) -> None:
    group = {"kind": "bme280", "count": 301, "interval": "500ms", "dialect": "tasmota", "timezone": "UTC"}
    scenario = Scenario(broker=services.broker, standby=True, standby_after="1s", devices=[group])
    fleet = Fleet(scenario, name="test", version=Version.V5)
    host, port = services.address
    # Its client id is the emulator's, and its clock is that of the bridge's configuration.
    words = [REPLACED, "--client-id", REPLACED, "--broker", f"{host}:{port}", "--period", "0.4", "--readings", "8"]
    async with running(fleet) as task:
        place = next(client for client in fleet.clients if client.device.device_id == REPLACED)
        await eventually(lambda: place.firmware.counters.sent_qos0 >= 2, "the emulator has measured")
        real = await asyncio.create_subprocess_exec(sys.executable, TASMOTA, *words, env={"TZ": "UTC"})
        await eventually(lambda: place.is_withdrawn, "the emulator leaves")
        assert await real.wait() == 0
        await eventually(lambda: not place.is_withdrawn, "the emulator returns")
        await eventually(lambda: place.firmware.counters.sent_qos0 >= 2, "it measures")
    record = task.result()
    assert record.problems == {}
    assert sum(device.reconnects for device in record.devices) == 0
    (span,) = record.standby
    assert (span.device_id, span.withheld_count > 0) == (REPLACED, True)
    assert sum(one.topic == f"tele/{REPLACED}/SENSOR" for one in record.side_messages) == 8
    found = await asyncio.to_thread(verify_run, record, ingest=services.ingest, wait_s=20)
    total = found.sinks["http"].total
    assert (found.outcome, found.failures(), found.untold) == (Outcome.PASS, [], [])
    assert (total.lost, total.unexpected, total.altered) == (0, 0, 0)
    # One that is lost is missed, whatever the sensor has said.
    with sqlite3.connect(services.store, timeout=10) as store:
        said = "device_id = ? AND payload NOT LIKE '%\"humidity\":45.5%'"
        store.execute(f"DELETE FROM messages WHERE rowid = (SELECT MAX(rowid) FROM messages WHERE {said})", [REPLACED])
    found = await asyncio.to_thread(verify_run, record, ingest=services.ingest)
    assert (found.outcome, found.sinks["http"].total.lost) == (Outcome.FAIL, 1)


async def test_an_esphome_node_without_times_is_told_from_its_emulator(services: Services) -> None:
    group = {"kind": "bme280", "count": 3, "id": "porch-{n}", "interval": "500ms", "dialect": "esphome"}
    scenario = Scenario(broker=services.broker, standby=True, standby_after="1s", devices=[group])
    fleet = Fleet(scenario, name="test", version=Version.V311)
    async with running(fleet) as task:
        (place,) = (client for client in fleet.clients if client.device.device_id == "porch-2")
        await eventually(lambda: place.firmware.counters.sent_qos0 >= 6, "the emulator has measured")
        real = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="porch")
        real.will_set("porch-2/status", "offline", retain=True)
        real.connect(*services.address)
        real.loop_start()
        real.publish("porch-2/status", "online", retain=True)
        await eventually(lambda: place.is_withdrawn, "the emulator leaves at the birth alone")
        for number in range(8):
            real.publish("porch-2/sensor/temperature/state", f"{21 + number % 2 / 10:.2f}", retain=True)
            await asyncio.sleep(0.05)
        real.disconnect()
        await eventually(lambda: not place.is_withdrawn, "the emulator returns")
        sent = place.firmware.counters.sent_qos0
        await eventually(lambda: place.firmware.counters.sent_qos0 >= sent + 6, "it measures")
    record = task.result()
    assert record.problems == {}
    assert [one.why for one in record.standby] == ["status of hardware"]
    assert len(record.side_messages) == 8
    found = await asyncio.to_thread(verify_run, record, ingest=services.ingest, wait_s=20)
    total = found.sinks["http"].total
    assert (found.outcome, found.failures(), found.untold) == (Outcome.PASS, [], [])
    assert (total.lost, total.unexpected, total.altered, total.duplicates) == (0, 0, 0, 0)


SPOKEN: dict[str, tuple[dict[str, Any], str, bytes, str, bytes]] = {
    "tas-1": (
        {"dialect": "tasmota", "discovery": "homeassistant"},
        "tele/tas-1/LWT", b"Online", "tele/tas-1/LWT", b"Offline",
    ),
    "she-1": ({"dialect": "shelly"}, "she-1/online", b"true", "she-1/online", b"false"),
    "own-1": (
        {"kind": "gps", "dialect": "owntracks"},
        "owntracks/default/own-1", b'{"_type":"location","tst":1,"lat":1,"lon":1}',
        "owntracks/default/own-1", b'{"_type":"lwt","tst":5}',
    ),
    "fmt-1": ({"topic": "x/{id}", "payload": {"from": "temperature_c"}}, "x/fmt-1", b"99", "x/fmt-1", b""),
}  # fmt: skip
"""Device -> its group, and topic and payload of what a real sensor says first, and last."""
ASKED = (
    ("cmnd/tas-1/TelePeriod", ""),
    ("she-1/rpc", '{"id":1,"src":"she-1/events","method":"Shelly.GetStatus"}'),
    ("owntracks/default/own-1/cmd", '{"_type":"cmd","action":"reportLocation"}'),
    ("homeassistant/status", "online"),
)


async def test_emulators_that_speak_as_others_do_know_their_own_words_on_a_real_broker(services: Services) -> None:
    groups = [{"kind": "bme280", "ids": [name], "interval": "200ms"} | one[0] for name, one in SPOKEN.items()]
    reconnect = {"base": "100ms", "cap": "200ms"}
    scenario = Scenario(broker=services.broker, standby=True, standby_after="1s", devices=groups, reconnect=reconnect)
    fleet = Fleet(scenario, name="test", version=Version.V311)
    real = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    heard: dict[str, bytes] = {}
    real.on_message = lambda _client, _data, message: heard.__setitem__(message.topic, message.payload)
    real.connect(*services.address)
    real.loop_start()
    real.subscribe([("+/online", 1), ("tele/tas-1/LWT", 1), ("stat/#", 1)])
    async with running(fleet) as task:
        clients = [client for client in fleet.clients if isinstance(client, StandbyClient)]
        for topic, payload in ASKED:
            real.publish(topic, payload, qos=1)
        await eventually(lambda: "stat/tas-1/RESULT" in heard, "they answer")
        for client in clients:
            client.drop_connection()
        await eventually(
            lambda: all(client.reconnects == 1 and client.is_online for client in clients), "they are back"
        )
        # A phone does not know yet where it is.
        measuring = [client.firmware.counters for client in clients if client.device.kind != "gps"]
        await eventually(lambda: all(counters.emitted > 15 for counters in measuring), "they measure")
        assert [client.device.device_id for client in clients if client.spans] == []
        for _, topic, payload, *_ in SPOKEN.values():
            real.publish(topic, payload)
        await eventually(lambda: all(client.spans for client in clients), "they leave")
        await eventually(lambda: all(client.is_online for client in clients), "they return")
        for *_, topic, payload in SPOKEN.values():
            real.publish(topic, payload, qos=1, retain=topic.endswith(("LWT", "online"))).wait_for_publish(10)
        states = ("tele/tas-1/LWT", b"Online"), ("she-1/online", b"true")
        await eventually(
            lambda: all(heard[topic] == payload for topic, payload in states), "their state is right again"
        )
        assert not any(client.is_withdrawn for client in clients)
    assert task.result().problems == {}
    assert [len(client.spans) for client in clients] == [1] * len(clients)
    real.disconnect()
    real.loop_stop()
