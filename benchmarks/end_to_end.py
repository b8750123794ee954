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

from benchmarks.backlog import Backlog
from devices.fleet import Fleet, probe_all, routes_of
from devices.scenario import Scenario
from edgefleet.embedded import MosquittoProcess, edgefleet_process, embedded_kafka, free_port
from edgefleet.verify import Verdict, verify_run
from edgewire.errors import ServiceUnavailable
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
    backlog = Backlog.of(BACKLOG)
    done_before = _delivered(bridge)
    started = time.monotonic()
    backlog.publish(broker)
    while any(now - before < BACKLOG for now, before in zip(_delivered(bridge), done_before, strict=True)):
        if time.monotonic() - started > 120:
            sys.exit(f"benchmarks: of the backlog only {_delivered(bridge)} was delivered within two minutes")
        time.sleep(0.05)
    return time.monotonic() - started


def _delivered(bridge: str) -> list[int]:
    with urllib.request.urlopen(f"{bridge}/ledger", timeout=10) as answer:
        return [sink["delivered"] for sink in orjson.loads(answer.read())["sinks"]]
