"""Devices of other makers on a real broker: what they publish arrives as values, and nothing of it is lost."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as paho
import pytest

from bridge.spool.accounting import count_messages
from bridge.spool.dead_letters import read_dead_letters
from edgefleet.embedded import ManagedProcess
from tests.bridge.fakes import IngestStub, ingest_stub
from tests.bridge.live import staged
from tests.waiting import eventually

pytestmark = pytest.mark.services


@asynccontextmanager
async def device(url: str) -> AsyncIterator[Callable[..., None]]:
    """What a firmware is to a broker: a client that publishes. Gives a function that publishes and waits for PUBACK."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"dev-{secrets.token_hex(4)}")
    host, _, port = url.removeprefix("mqtt://").rpartition(":")
    client.connect(host, int(port))
    client.loop_start()
    try:
        yield lambda topic, payload, **flags: client.publish(topic, payload, qos=1, **flags).wait_for_publish(10)
    finally:
        client.disconnect()
        client.loop_stop()


def posted(ingest: IngestStub) -> list[dict[str, Any]]:
    return [orjson.loads(line) for _, _, body in ingest.requests for line in body.splitlines()]


async def test_devices_of_many_makers_arrive_side_by_side(mosquitto: ManagedProcess, tmp_path: Path) -> None:
    root = f"r{secrets.token_hex(4)}"
    own = {
        "topic": root + "/plant/{id}",
        "payload": {"t": {"from": "temperature_c", "unit": "°F"}, "n": "seq", "b": "boot"},
    }
    subscriptions: list[Any] = [
        f"edge/{root}/+/+/telemetry",
        {
            "filter": f"{root}/tasmota/#",
            "decode": {"dialect": "tasmota", "full_topic": f"{root}/tasmota/%prefix%/%topic%/"},
        },
        {"filter": f"{root}/z2m/#", "decode": {"dialect": "zigbee2mqtt", "base_topic": f"{root}/z2m"}},
        {"filter": f"{root}/shelly/+/events/rpc", "decode": "shelly"},
        {"filter": f"{root}/plant/+", "decode": own},
    ]
    sent = [
        (f"edge/{root}/bme280/ours/telemetry", {"device_id": "ours", "boot": 1, "seq": 0,
            "timestamp": "2026-03-01T12:00:00.000Z", "temperature_c": 20.0, "humidity": 40.0, "pressure_hpa": 1000.0}),
        (f"{root}/tasmota/tele/cellar/SENSOR", {"Time": "2026-03-01T12:00:00Z", "BME280": {"Temperature": 14.2,
            "Humidity": 61.5, "Pressure": 1002.4}, "TempUnit": "C"}),
        (f"{root}/tasmota/tele/cellar/STATE", {"UptimeSec": 5}),
        (f"{root}/z2m/kitchen/climate", {"temperature": 20.84, "humidity": 47.31, "battery": 91}),
        (f"{root}/shelly/ht/events/rpc", {"src": "ht", "method": "NotifyStatus", "params": {"ts": 1772366400.5,
            "temperature:0": {"id": 0, "tC": 19.5}}}),
        (f"{root}/plant/dev 1", {"t": 59, "n": 4, "b": 2}),
        (f"{root}/plant/broken", {"t": "warm"}),
    ]  # fmt: skip
    async with (
        ingest_stub() as ingest,
        staged(mosquitto.url, tmp_path, ingest, root, subscriptions=subscriptions) as stage,
        device(mosquitto.url) as publish,
    ):
        for topic, body in sent:
            await asyncio.to_thread(publish, topic, orjson.dumps(body))
        await eventually(lambda: stage.metrics.received.labels("1")._value.get() == len(sent))
        await stage.settled()
        found = {one["device_id"]: one for one in posted(ingest)}
        (counts,) = count_messages(stage.path)
        letters = read_dead_letters(stage.path)
    assert (counts.delivered, counts.dropped, counts.pending) == (5, 1, 0)
    assert [letter.reason for letter in letters] == ["own: 'warm' is no number"]
    assert found["ours"] == sent[0][1]
    assert found["cellar"]["temperature_c"] == 14.2
    assert found["cellar"]["source"]["format"] == "tasmota"
    kitchen = next(one for one in found.values() if one.get("source", {}).get("name") == "kitchen/climate")
    assert (kitchen["temperature_c"], kitchen["battery_pct"], kitchen["source"]["time"]) == (20.84, 91, "arrival")
    shelly = next(one for one in found.values() if one.get("source", {}).get("name") == f"{root}/shelly/ht")
    assert (shelly["temperature_c"], shelly["timestamp"]) == (19.5, "2026-03-01T12:00:00.500Z")
    own_one = next(one for one in found.values() if one.get("source", {}).get("name") == "dev 1")
    assert (own_one["temperature_c"], own_one["boot"], own_one["seq"]) == (15.0, 2, 4)
    assert len({(one["device_id"], one["boot"], one["seq"]) for one in found.values()}) == 5


async def test_a_bridge_that_comes_back_still_knows_units_and_gives_no_number_twice(
    mosquitto: ManagedProcess, tmp_path: Path
) -> None:
    root = f"r{secrets.token_hex(4)}"
    decode = {"dialect": "esphome", "discovery_prefix": f"{root}-ha", "topic_prefix": root}
    subscriptions = [{"filter": f"{root}/#", "decode": decode}, {"filter": f"{root}-ha/#", "decode": decode}]
    config = {"dev_cla": "temperature", "unit_of_meas": "°F", "stat_t": f"{root}/porch/sensor/out/state"}
    async with ingest_stub() as ingest, device(mosquitto.url) as publish:
        for number in (1, 2):
            async with staged(mosquitto.url, tmp_path, ingest, root, subscriptions=subscriptions) as stage:
                if number == 1:
                    await asyncio.to_thread(
                        publish, f"{root}-ha/sensor/porch/out/config", orjson.dumps(config), retain=True
                    )
                await asyncio.to_thread(publish, f"{root}/porch/sensor/out/state", b"59.0")
                await eventually(lambda expected=number: len(ingest.stored) == expected)
                await stage.settled()
        found = posted(ingest)
        await asyncio.to_thread(publish, f"{root}-ha/sensor/porch/out/config", b"", retain=True)
    assert [one["temperature_c"] for one in found] == [15.0, 15.0]
    assert len({(one["boot"], one["seq"]) for one in found}) == 2
    assert len({one["boot"] for one in found}) == 1


async def test_bytes_arrive_as_they_were(mosquitto: ManagedProcess, tmp_path: Path) -> None:
    root = f"r{secrets.token_hex(4)}"
    raw = bytes(range(256)) * 4
    settings: dict[str, Any] = {
        "subscriptions": [{"filter": f"{root}/#", "decode": "none"}],
        "routes": [{"topic": f"{root}/#", "http": "/raw"}],
    }
    async with ingest_stub() as ingest, device(mosquitto.url) as publish:
        ingest.answers = [None]
        settings["http"] = {"url": ingest.url, "mode": "single", "batch_messages": 50}
        async with staged(mosquitto.url, tmp_path, ingest, root, **settings):
            await asyncio.to_thread(publish, f"{root}/camera 1", raw)
            await eventually(lambda: bool(ingest.requests))
    path, headers, body = ingest.requests[0]
    assert (path, body) == ("/raw", raw)
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["mqtt-topic"] == f"{root}/camera 1"
