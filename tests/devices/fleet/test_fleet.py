"""The fleet on a real Mosquitto, judged by a paho subscriber."""

import asyncio
import gc
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson
import paho.mqtt.client as mqtt
import pytest

from devices.fleet.brokers import BrokerPool, broker_pool_for
from devices.fleet.connector import probe, probe_all
from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.timeline.timeline import Timeline
from edgefleet.embedded import MosquittoProcess, free_port
from edgewire.clock import parse_ms
from edgewire.errors import ServiceUnavailable
from edgewire.link import BrokerUrl
from edgewire.messages import Status
from edgewire.run_record import RunRecord
from tests.waiting import eventually

pytestmark = pytest.mark.services

GROUPS = [
    {"kind": "bme280", "count": 10, "interval": "300ms"},
    {"kind": "gps", "count": 5, "interval": "200ms", "qos": 2},
    {"kind": "telematics", "count": 5, "interval": "500ms", "qos": 0},
]


@contextmanager
def listening(broker: MosquittoProcess, topic: str) -> Iterator[list[tuple[str, bytes, bool]]]:
    """Everything published to a topic filter while the block runs."""
    heard: list[tuple[str, bytes, bool]] = []
    subscribed = threading.Event()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="observer", clean_session=False)
    client.on_message = lambda _client, _data, message: heard.append((message.topic, message.payload, message.retain))
    client.on_connect = lambda *_: client.subscribe(topic, qos=2)
    client.on_subscribe = lambda *_: subscribed.set()
    client.reconnect_delay_set(1, 1)
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        assert subscribed.wait(20)
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()


async def run(scenario: Scenario, duration_s: float, **options: int) -> RunRecord:
    version = await probe_all(broker_pool_for(scenario))
    return await Fleet(scenario, name="test", version=version, **options).run(duration_s, asyncio.Event())


async def test_a_live_run_publishes_the_bytes_of_the_timeline(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    broker = mosquitto_factory()
    begin = parse_ms("2026-03-04T12:00:00Z")
    scenario = Scenario(seed=3, broker=broker.url, time_scale=5, devices=GROUPS)
    with listening(broker, "edge/+/+/+/+") as heard:
        record = await run(scenario, 2.0, from_ms=begin, power_on_ms=EPOCH_MS)
        expected = sorted(Timeline(scenario, EPOCH_MS).batch(begin, begin + 10_000).payload)
        await eventually(lambda: len([1 for topic, _, _ in heard if not topic.endswith("status")]) >= len(expected))
    assert sorted(payload for topic, payload, _ in heard if not topic.endswith("status")) == expected
    assert record.totals == {
        "emitted": len(expected),
        "acknowledged": len(expected) - 100,
        # The telematics units, twenty readings each.
        "sent_qos0": 100,
        "refused": 0,
        "dropped": 0,
        "unsent": 0,
    }


async def test_each_device_says_hello_and_goodbye_on_its_retained_status(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    broker = mosquitto_factory()
    with listening(broker, "edge/+/+/+/status") as heard:
        record = await run(Scenario(broker=broker.url, devices=GROUPS), 1.5)
        await eventually(lambda: len(heard) >= 40)
    states: dict[str, list[Status]] = {}
    for topic, payload, _ in heard:
        states.setdefault(topic, []).append(Status.model_validate(orjson.loads(payload)))
    assert len(states) == len(record.devices) == 20
    assert all([status.state for status in said] == ["online", "offline"] for said in states.values())
    assert sum(said[-1].sent for said in states.values()) == record.totals["emitted"]
    assert {status.run_id for said in states.values() for status in said} == {record.run_id}
    with listening(broker, "edge/+/+/+/status") as later:
        await eventually(lambda: len(later) >= 20)
    assert all(retained for _, _, retained in later)


async def run_through_an_outage(
    broker: MosquittoProcess, heard: list[tuple[str, bytes, bool]], duration_s: float, away_s: float, **changes: object
) -> tuple[Scenario, RunRecord]:
    """Ten devices, each of which has said something before the broker is away for so long."""
    scenario = Scenario(
        broker=broker.url,
        devices=[{"kind": "bme280", "count": 10, "interval": "200ms"}],
        reconnect={"base": "100ms", "cap": "500ms"},
        **changes,
    )
    running = asyncio.create_task(run(scenario, duration_s))
    await eventually(lambda: len({topic for topic, _, _ in heard}) == 10)
    await asyncio.to_thread(broker.terminate)
    await asyncio.sleep(away_s)
    await asyncio.to_thread(broker.start)
    return scenario, await running


async def test_readings_of_an_outage_arrive_afterwards_with_their_own_times(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    broker = mosquitto_factory()
    with listening(broker, "edge/+/+/+/telemetry") as heard:
        scenario, record = await run_through_an_outage(broker, heard, 4.0, away_s=1)
        await eventually(lambda: len({payload for _, payload, _ in heard}) >= record.totals["emitted"])
    emitted = record.totals["emitted"]
    assert record.totals == {
        "emitted": emitted,
        "acknowledged": emitted,
        "sent_qos0": 0,
        "refused": 0,
        "dropped": 0,
        "unsent": 0,
    }
    expected = Timeline(scenario, record.sim_started_ms).batch(record.sim_started_ms, record.sim_started_ms + 4000)
    assert {payload for _, payload, _ in heard} == set(expected.payload)


async def test_an_outbox_that_overflows_names_what_it_dropped(
    mosquitto_factory: Callable[[], MosquittoProcess],
) -> None:
    broker = mosquitto_factory()
    with listening(broker, "edge/+/+/+/telemetry") as heard:
        _, record = await run_through_an_outage(broker, heard, 4.5, away_s=2, outbox={"max_messages": 3})
        kept = record.totals["emitted"] - record.totals["dropped"]
        await eventually(lambda: len({payload for _, payload, _ in heard}) >= kept)
    arrived = {(row["device_id"], row["seq"]) for row in (orjson.loads(payload) for _, payload, _ in heard)}
    for device in record.devices:
        dropped = {seq for first, last in device.dropped for seq in range(first, last + 1)}
        assert len(dropped) >= 3
        assert device.last_seq is not None
        assert {seq for name, seq in arrived if name == device.device_id} == set(range(device.last_seq + 1)) - dropped
        assert device.acknowledged == device.emitted - len(dropped)


async def test_no_broker_is_one_sentence() -> None:
    url = BrokerUrl.parse(f"mqtt://127.0.0.1:{free_port()}")
    with pytest.raises(ServiceUnavailable, match=f"{url} cannot be reached"):
        await probe(url, BrokerPool([url]))


def test_a_run_that_ends_at_once_leaves_no_socket_open(mosquitto_factory: Callable[[], MosquittoProcess]) -> None:
    scenario = Scenario(broker=mosquitto_factory().url, devices=[{"kind": "bme280", "count": 6, "interval": "1s"}])

    async def run_at_once() -> None:
        at_once = asyncio.Event()
        at_once.set()
        await Fleet(scenario, name="test").run(0.3, asyncio.Event(), at_once)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(run_at_once())
        # Not by asyncio.run, which gives the loop a few more turns.
        loop.close()
        gc.collect()
    assert [str(one.message) for one in warned if issubclass(one.category, ResourceWarning)] == []
