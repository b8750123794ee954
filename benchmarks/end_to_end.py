"""Mosquitto -> bridge -> HTTP ingest and Kafka on this machine: throughput of a backlog, latency at a steady rate."""

import asyncio
import os
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import orjson
import uvloop
import yaml

from devices.fleet import Fleet, probe_all, routes_of
from devices.scenario import Scenario
from devices.timeline import Timeline
from edgefleet.embedded import MosquittoProcess, edgefleet_process, embedded_kafka, free_port
from edgefleet.verify import Verdict, verify_run
from edgewire.errors import ServiceUnavailable
from edgewire.link import BrokerUrl, Link, dial
from edgewire.mqtt import Event, Session, SessionConfig
from tests.services.kafka import KafkaProcess

BACKLOG = 100_000
RATE, STEADY_S = 1000, 20


def run() -> list[str]:
    """Both figures, with the Kafka that the tests use where it can be had."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = stack.enter_context(MosquittoProcess())
        kafka_name, kafka = _kafka(stack)
        ingest, bridge = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        store = f"sqlite:///{folder / 'ingest.db'}"
        port = ingest.rpartition(":")[2]
        stack.enter_context(
            edgefleet_process("ingest", "ingest", "--port", port, "--store", store, url=f"{ingest}/readyz")
        )
        config = folder / "bridge.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "broker": broker.url,
                    "spool": {"path": str(folder / "spool.db")},
                    "http": {"url": ingest},
                    "kafka": {"bootstrap_servers": kafka},
                    "admin": {"port": int(bridge.rpartition(":")[2])},
                }
            )
        )
        bridge_process = edgefleet_process("bridge", "bridge", "run", config, url=f"{bridge}/readyz")
        stack.enter_context(bridge_process)
        steady = _steady(broker.url, ingest, kafka)
        seconds = _backlog(broker.url, bridge)
    latency = steady.to_json()["latency_ms"]
    return [
        f"## End to end on loopback, with Mosquitto, {kafka_name} and ingest on SQLite on the same cores",
        "",
        "| figure | value |",
        "|---|---|",
        f"| {BACKLOG:,} messages published at once, until both sinks have them | {BACKLOG / seconds:,.0f} msg/s |",
        f"| due to stored over HTTP at {RATE:,} msg/s: p50 / p95 / p99 | "
        f"{latency['p50']} / {latency['p95']} / {latency['p99']} ms |",
        f"| lost of {steady.total_sent:,} | {sum(total.lost for total in steady.totals)} |",
    ]


def _kafka(stack: ExitStack) -> tuple[str, str]:
    try:
        return "Kafka", stack.enter_context(KafkaProcess()).bootstrap_servers
    except ServiceUnavailable:
        address = stack.enter_context(embedded_kafka(os.environ))
        return address.name, address.bootstrap_servers


def _steady(broker: str, ingest: str, kafka: str) -> Verdict:
    group = {"kind": "bme280", "count": RATE, "interval": "1s"}
    scenario = Scenario(broker=broker, devices=[group], connects_per_second=5000)

    async def work() -> Verdict:
        version = await probe_all(routes_of(scenario))
        fleet = Fleet(scenario, name="steady", version=version)
        record = await fleet.run(STEADY_S, asyncio.Event())
        return await asyncio.to_thread(verify_run, record, ingest=ingest, kafka=kafka, wait_s=30)

    return uvloop.run(work())


def _backlog(broker: str, bridge: str) -> float:
    """Seconds from the first publish until nothing is pending for any sink."""
    payloads = _payloads()
    done_before = _delivered(bridge)
    started = time.monotonic()
    uvloop.run(_publish(BrokerUrl.parse(broker), payloads))
    while any(now - before < BACKLOG for now, before in zip(_delivered(bridge), done_before, strict=True)):
        if time.monotonic() - started > 120:
            sys.exit(f"benchmarks: of the backlog only {_delivered(bridge)} was delivered within two minutes")
        time.sleep(0.05)
    return time.monotonic() - started


def _payloads() -> list[tuple[bytes, bytes]]:
    scenario = Scenario(devices=[{"kind": "bme280", "count": 1000, "interval": "1s", "id": "backlog-{n}"}])
    timeline = Timeline(scenario, int(time.time() * 1000))
    batch = timeline.batch(timeline.start_ms, timeline.start_ms + BACKLOG)
    topics = [f"edge/default/bme280/{device.device_id}/telemetry".encode() for device in timeline.devices]
    return [(topics[device], payload) for device, payload in zip(batch.device, batch.payload, strict=True)]


async def _publish(broker: BrokerUrl, messages: list[tuple[bytes, bytes]]) -> None:
    moved = asyncio.Event()

    def on_events(_link: Link, _events: list[Event]) -> None:
        moved.set()

    session = Session(SessionConfig(client_id="backlog"))
    link = await dial(broker, session, on_events, on_writable=lambda _link: moved.set())
    for topic, payload in messages:
        while not session.window_free or not link.writable:
            moved.clear()
            await moved.wait()
        link.publish(topic, payload, qos=1)
    while session.inflight:
        moved.clear()
        await moved.wait()
    link.close()


def _delivered(bridge: str) -> list[int]:
    with urllib.request.urlopen(f"{bridge}/ledger", timeout=10) as answer:
        return [sink["delivered"] for sink in orjson.loads(answer.read())["sinks"]]
