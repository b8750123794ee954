"""A real sensor takes its emulator's place and goes away again, while 300 other devices run: nothing is lost."""

import asyncio
import json
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
import paho.mqtt.client as mqtt
import pytest

from devices.fleet.brokers import broker_pool_for
from devices.fleet.connector import probe_all
from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.verify import Outcome, verify_run
from edgewire.mqtt import Version
from tests.e2e.chain import running_chain

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(120)]

SITE, REPLACED = "default", "bme280-0007"
BASE = f"edge/{SITE}/bme280/{REPLACED}"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A broker, and an ingest that a bridge feeds from it: the URLs of both."""
    folder = tmp_path_factory.mktemp("standby")
    with running_chain(folder, {"mode": "batch"}) as chain:
        yield chain.broker.url, chain.ingest


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


async def until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{what}: did not happen within 20 s")


@asynccontextmanager
async def running(fleet: Fleet) -> AsyncIterator["asyncio.Task[Any]"]:
    stop = asyncio.Event()
    task = asyncio.create_task(fleet.run(60, stop))
    try:
        await until(lambda: fleet.connected_after_s is not None, "the fleet is connected")
        yield task
    finally:
        stop.set()
        await asyncio.wait([task])


@pytest.mark.parametrize(
    ("client_id", "version", "hardware_boot"),
    [(REPLACED, Version.V5, 41), ("workbench-3", Version.V311, 42)],
    ids=["with the emulator's client id", "with another client id"],
)
async def test_a_real_sensor_replaces_its_emulator_and_goes_away_again(
    services: tuple[str, str], client_id: str, version: Version, hardware_boot: int
) -> None:
    broker, ingest = services
    group = {"kind": "bme280", "count": 301, "interval": "500ms"}
    scenario = Scenario(broker=broker, standby=True, standby_after="1s", devices=[group])
    assert await probe_all(broker_pool_for(scenario)) is Version.V5
    fleet = Fleet(scenario, name="test", version=version)
    before = len(stored(ingest))
    async with running(fleet) as task:
        place = next(client for client in fleet.clients if client.device.device_id == REPLACED)
        await until(lambda: place.acknowledged >= 2, "the emulator has measured")
        real = sensor(broker, client_id, hardware_boot)
        for seq in range(10):
            measure(real, hardware_boot, seq)
            await asyncio.sleep(0.05)
        await until(lambda: place.is_withdrawn and place.is_disconnected, "the emulator has left")
        assert real.is_connected()
        # It goes as one whose cable is pulled: the broker says so for it.
        real.loop_stop()
        sock = real.socket()
        assert sock is not None
        sock.close()
        boot = place.firmware.boot
        await until(lambda: not place.is_withdrawn, "the emulator returns")
        await until(lambda: place.firmware.counters.acknowledged >= 2, "it measures")
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
