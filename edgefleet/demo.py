"""Does the main job on loopback: fleet -> broker -> bridge -> HTTP ingest and Kafka, and a verdict on what arrived.

Broker, ingest and bridge are processes of their own, as in production; the verdict rests on the fleet's record, the
ingest's store and what a consumer reads from Kafka, never on what the bridge says of itself.
"""

import asyncio
import os
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from devices.fleet.brokers import broker_pool_for
from devices.fleet.connector import probe_all
from devices.fleet.metrics import FleetSnapshot
from devices.fleet.pacer import startup_delay_ms
from devices.scenario.devices import Shard
from devices.scenario.loading import load_scenario
from edgefleet.control.live import LiveControl, RunView, steered
from edgefleet.embedded import (
    Broker,
    BrokerEngine,
    edgefleet_process,
    embedded_broker,
    embedded_kafka,
    free_port,
)
from edgefleet.launch.requests import LocalShard
from edgefleet.launch.shard import ShardJob, run_shard
from edgefleet.launch.worker_status import WorkerState
from edgefleet.report.live import ReadSnapshots, live_view
from edgefleet.verify import RunVerdict, verify_run
from edgefleet.verify.recorded_source import RecordedSource
from edgefleet.verify.run import CLOCK_SKEW_MS
from edgewire import logs
from edgewire.clock import SystemClock
from edgewire.errors import ServiceUnavailable
from edgewire.run_record import RunRecord

log = logs.get("demo")

READ_EVERY_S = 1.0
"""The built-in Kafka keeps the newest 5 MiB of a partition, so it is read along."""
SCENARIO = Path(__file__).with_name("demo.yaml")


@dataclass(frozen=True, slots=True)
class Services:
    """Says where the demo's services listen, and what they are."""

    broker: str
    broker_name: str
    ingest: str
    kafka: str
    kafka_name: str
    bridge: str
    broker_process: Broker

    def to_json(self) -> dict[str, str]:
        """Return it as the demo's JSON has it."""
        return {
            "broker": f"{self.broker_name} at {self.broker}",
            "ingest": self.ingest,
            "kafka": f"{self.kafka_name} at {self.kafka}",
            "bridge": self.bridge,
        }


@contextmanager
def services(folder: Path, say: Console, engine: BrokerEngine | None = None) -> Iterator[Services]:
    """Start everything but the fleet, in the order in which they need each other; stop it in the reverse order."""
    with ExitStack() as stack:
        broker = stack.enter_context(embedded_broker(engine=engine))
        kafka = stack.enter_context(embedded_kafka(os.environ))
        ingest_port, admin_port = free_port(), free_port()
        ingest_url = f"http://127.0.0.1:{ingest_port}"
        bridge_url = f"http://127.0.0.1:{admin_port}"
        store = f"sqlite:///{folder / 'ingest.db'}"
        stack.enter_context(
            edgefleet_process(
                "ingest", "ingest", "--port", str(ingest_port), "--store", store, url=f"{ingest_url}/readyz"
            )
        )
        config = folder / "bridge.yaml"
        config.write_text(
            yaml.safe_dump(_bridge_config(folder, broker.url, ingest_url, kafka.bootstrap_servers, admin_port))
        )
        stack.enter_context(edgefleet_process("bridge", "bridge", "run", config, url=f"{bridge_url}/readyz"))
        found = Services(broker.url, broker.name, ingest_url, kafka.bootstrap_servers, kafka.name, bridge_url, broker)
        for name, text in found.to_json().items():
            say.print(f"[dim]{name:>7}[/dim]  {text}", highlight=False, soft_wrap=True)
        yield found


async def run_fleet(
    services: Services,
    duration_s: float,
    stop: asyncio.Event,
    console: Console,
    arrivals: RecordedSource,
    control: LiveControl | None = None,
) -> RunRecord:
    """Run the demo's fleet live on the demo's broker, and read along what arrives in Kafka.

    With a `control`, it is controlled over HTTP.
    """
    scenario = load_scenario(SCENARIO).model_copy(update={"broker": services.broker})
    version = await probe_all(broker_pool_for(scenario))
    job = ShardJob(scenario=scenario, name="demo", version=version, shard=Shard(), duration_s=duration_s)
    latest, at_once = FleetSnapshot(), asyncio.Event()
    started_ms: int | None = None

    def keep(snapshot: FleetSnapshot) -> None:
        nonlocal latest
        latest = snapshot

    snapshots: ReadSnapshots = lambda: [(WorkerState.RUNNING, latest)]  # noqa: E731 - a function of one line, and its type
    shard = LocalShard(scenario)
    view = RunView(job, shard, snapshots, lambda: started_ms)
    reading = asyncio.create_task(_read_along(arrivals), name="kafka")
    try:
        async with live_view(snapshots, console, "edgefleet demo"), steered(view, control, None, stop, at_once):
            started_ms = SystemClock().now_ms() + startup_delay_ms(scenario, 1)
            begun = replace(job, started_ms=started_ms)
            result = await run_shard(begun, stop, keep, None, at_once, shard.requests)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    return replace(result.record, actions=control.actions if control else [])


async def _read_along(arrivals: RecordedSource) -> None:
    """Read what arrives in Kafka until cancelled; what is under way then is read to its end."""
    while True:
        try:
            await _uncancelled(asyncio.to_thread(arrivals.read_along))
        except (ServiceUnavailable, OSError) as error:
            log.warning("what is in Kafka was not read, and is tried again", reason=str(error))
        await asyncio.sleep(READ_EVERY_S)


async def _uncancelled(work: Coroutine[Any, Any, None]) -> None:
    """Let work that goes on in a thread end before its result is asked for elsewhere."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


def read_kafka_along(services: Services, folder: Path) -> RecordedSource:
    """Return what reads the demo's Kafka while the fleet runs. Raises `ConfigError`."""
    from edgefleet.verify.kafka_source import KafkaSource

    source = KafkaSource(services.kafka, since_ms=SystemClock().now_ms() - CLOCK_SKEW_MS)
    return RecordedSource(source, folder / "kafka.jsonl")


def verify_demo(record: RunRecord, services: Services, arrivals: RecordedSource, wait_s: float) -> RunVerdict:
    """Compare what was emitted with what arrived, once everything has or `wait_s` seconds are over."""
    return verify_run(record, ingest=services.ingest, read_along={"kafka": arrivals}, wait_s=wait_s)


@contextmanager
def workspace() -> Iterator[Path]:
    """Yield a folder for the demo's spool, store and record that is gone afterwards."""
    try:
        with tempfile.TemporaryDirectory(prefix="edgefleet-demo-") as folder:
            yield Path(folder)
    except OSError as error:
        raise ServiceUnavailable(f"the demo needs a temporary folder it can write to: {error}") from None


def _bridge_config(folder: Path, broker: str, ingest: str, kafka: str, admin_port: int) -> dict[str, object]:
    return {
        "broker": broker,
        "client_id": "edgefleet-demo-bridge",
        "spool": {"path": str(folder / "spool.db")},
        "http": {"url": ingest},
        "kafka": {"bootstrap_servers": kafka},
        "admin": {"port": admin_port},
    }
