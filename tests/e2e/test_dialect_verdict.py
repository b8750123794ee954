"""What `verify` says of fleets that speak dialects and formats of their own, without ids, on real services."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiomqtt
import orjson
import pytest

from devices.fleet.fleet import Fleet
from devices.fleet.forget import forget_devices
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgefleet.verify import Outcome, RunVerdict, verify_run
from edgewire.run_record import RunRecord
from tests.e2e.chain import running_chain

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(120)]

TIMED = {
    "topic": "plant/{site}/{id}/state",
    "payload": {"t": "temperature_c", "ts": {"from": "timestamp", "as": "epoch_s"}},
}
BARE = {"topic": "bare/{id}/t", "payload": {"from": "temperature_c", "round": 0}}
NUMBERED = {"topic": "own/{id}", "payload": {"t": "temperature_c", "b": "boot", "n": "seq"}}
GROUPS: list[dict[str, Any]] = [
    {"id": "plug-{n}", "dialect": "tasmota", "timezone": "Europe/Berlin"},
    {"id": "timed-{n}", **TIMED},
    {"id": "bare-{n}", **BARE},
    {"id": "numbered-{n}", **NUMBERED},
    {"id": "native-{n}"},
    {"id": "node-{n}", "dialect": "esphome"},
    {"id": "shelly-{n}", "dialect": "shelly"},
    {"id": "phone-{n}", "kind": "gps", "dialect": "owntracks"},
]
SENSORS: dict[str, Any] = {
    "id": "sensor-{n}",
    "dialect": {"dialect": "zigbee2mqtt", "output": "attribute_and_json", "last_seen": "ISO_8601_local"},
    "timezone": "America/New_York",
    "firmware": {"battery_life": "300d"},
}
RENAME = "zigbee2mqtt/bridge/request/device/rename"
SUBSCRIPTIONS = [
    "edge/+/+/+/telemetry",
    {"filter": "tele/#", "decode": "tasmota", "timezone": "Europe/Berlin"},
    {"filter": "homeassistant/#", "decode": "esphome"},
    {"filter": "+/sensor/#", "decode": "esphome"},
    {"filter": "+/events/rpc", "decode": "shelly"},
    {"filter": "owntracks/#", "decode": "owntracks"},
    {"filter": "zigbee2mqtt/#", "decode": "zigbee2mqtt"},
    *({"filter": f"{one['topic'].partition('/')[0]}/#", "decode": one} for one in (TIMED, BARE, NUMBERED)),
]


class Services(NamedTuple):
    broker: str
    ingest: str
    store: Path


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A broker, and an ingest that a bridge feeds from it which reads all of `GROUPS`."""
    folder = tmp_path_factory.mktemp("dialects")
    with running_chain(folder, {"mode": "batch"}, subscriptions=SUBSCRIPTIONS) as chain:
        yield Services(chain.broker.url, chain.ingest, chain.store)


async def run(broker: str, groups: list[dict[str, Any]], duration_s: float = 2.2) -> RunRecord:
    plain = {"kind": "bme280", "count": 3, "interval": "100ms"}
    scenario = Scenario(broker=broker, devices=[plain | group for group in groups])
    return await Fleet(scenario, name="test").run(duration_s, asyncio.Event())


def verdict(record: RunRecord, services: Services, wait_s: float = 10) -> RunVerdict:
    return verify_run(record, ingest=services.ingest, wait_s=wait_s)


def change(services: Services, device: str, values: dict[str, Any] | None) -> None:
    """Alter one message of a device in the store, or take it out."""
    with sqlite3.connect(services.store, timeout=10) as store:
        row, payload = store.execute(
            "SELECT rowid, payload FROM messages WHERE device_id = ? ORDER BY rowid LIMIT 1 OFFSET 4", (device,)
        ).fetchone()
        if values is None:
            store.execute("DELETE FROM messages WHERE rowid = ?", (row,))
        else:
            changed = orjson.dumps(orjson.loads(payload) | values).decode()
            store.execute("UPDATE messages SET payload = ? WHERE rowid = ?", (changed, row))


async def test_a_device_that_its_gateway_renames_is_found_again_and_forgotten(services: Services) -> None:
    """Each value comes in the object and on a topic of its own; the unit of `voltage` only the gateway's list tells."""
    scenario = Scenario(broker=services.broker, devices=[{"kind": "bme280", "count": 3, "interval": "100ms"} | SENSORS])
    stop = asyncio.Event()
    host, port = services.broker.removeprefix("mqtt://").split(":")
    awaited = ["sensor-1/temperature", "hall/temperature", "porch/last_seen"]
    async with aiomqtt.Client(host, int(port)) as client, asyncio.timeout(60):
        await client.subscribe("zigbee2mqtt/#", qos=1)
        running = asyncio.create_task(Fleet(scenario, name="test").run(60, stop))
        async for message in client.messages:
            if str(message.topic) == f"zigbee2mqtt/{awaited[0]}":
                before = awaited.pop(0).partition("/")[0]
                if not awaited:
                    break
                wanted = {"from": before, "to": awaited[0].partition("/")[0]}
                await client.publish(RENAME, orjson.dumps(wanted), qos=1)
        await asyncio.sleep(0.3)
        stop.set()
        record = await running
    renames = [one for device in record.devices for one in device.renames]
    assert [name for _, name in renames] == ["hall", "porch"]
    assert 0 < renames[0][0] < renames[1][0]
    found = await asyncio.to_thread(verdict, record, services)
    assert (found.outcome, found.failures(), found.untold) == (Outcome.PASS, [], [])
    assert found.total_sent == record.totals["emitted"] >= 3 * 7
    report = await forget_devices(scenario, Shard(), 30)
    assert not report.failures
    # State, info, devices and groups of the gateway, and the availability of each device.
    assert report.cleared == 4 + 3


async def test_what_dialects_and_own_formats_say_is_found_again_lost_or_altered(services: Services) -> None:
    record = await run(services.broker, GROUPS)
    found = await asyncio.to_thread(verdict, record, services)
    assert (found.outcome, found.failures(), found.untold) == (Outcome.PASS, [], [])
    assert found.total_sent == record.totals["emitted"] > 250
    total = found.sinks["http"].total
    assert (total.duplicates, total.unexpected, total.altered, total.late) == (0, 0, 0, 0)

    for device in ("plug-1", "timed-5", "bare-9", "numbered-10"):
        change(services, device, None)
    lost = await asyncio.to_thread(verdict, record, services, 0)
    assert lost.outcome is Outcome.FAIL
    assert lost.sinks["http"].total.lost == 4
    assert lost.sinks["http"].timing.missing_by_device == {"plug-1": 1, "timed-5": 1, "bare-9": 1, "numbered-10": 1}
    assert "1 of bare-9" in lost.failures()[0]

    change(services, "plug-2", {"humidity": 3.5})
    change(services, "timed-4", {"temperature_c": 99.5})
    change(services, "bare-7", {"temperature_c": 1234})
    altered = await asyncio.to_thread(verdict, record, services, 0)
    assert altered.sinks["http"].total.altered == 3
    assert altered.sinks["http"].alterations.fields == {"temperature_c": 2, "humidity": 1}
    assert altered.sinks["http"].total.lost == 4
    assert "3 arrived with other values than were sent: temperature_c in 2, humidity in 1" in altered.failures()[1]
