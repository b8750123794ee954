"""Does the main job on loopback: fleet -> broker -> bridge -> HTTP ingest and Kafka, and a verdict on what arrived.

Broker, ingest and bridge are processes of their own, as in production; the verdict rests on the fleet's record, the
ingest's store and what a consumer reads from Kafka, never on what the bridge says of itself.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console

from devices.fleet.brokers import broker_pool_for
from devices.fleet.connector import probe_all
from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.embedded import BrokerEngine, edgefleet_process, embedded_broker, embedded_kafka, free_port
from edgefleet.launch.worker_status import WorkerState
from edgefleet.report.live import live_view
from edgefleet.verify import RunVerdict, verify_run
from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.run_record import RunRecord

# 70 positions of 350 bytes a half-second over four partitions, the busiest of which gets half as much again.
BUILT_IN_KAFKA_S = 300
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

    def to_json(self) -> dict[str, str]:
        """Return it as the demo's JSON has it."""
        return {
            "broker": f"{self.broker_name} at {self.broker}",
            "ingest": self.ingest,
            "kafka": f"{self.kafka_name} at {self.kafka}",
            "bridge": self.bridge,
        }


def require_kafka_for(seconds: float) -> None:
    """Raise `ConfigError` for a demo that is too long for the built-in Kafka."""
    if seconds > BUILT_IN_KAFKA_S and not os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        raise ConfigError(
            f"--duration: the built-in Kafka keeps the newest 5 MiB of a partition, which the demo fills in "
            f"{BUILT_IN_KAFKA_S // 60} minutes; run it no longer, or name a real Kafka in KAFKA_BOOTSTRAP_SERVERS"
        )


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
        found = Services(broker.url, broker.name, ingest_url, kafka.bootstrap_servers, kafka.name, bridge_url)
        for name, text in found.to_json().items():
            say.print(f"[dim]{name:>7}[/dim]  {text}", highlight=False)
        yield found


async def run_fleet(services: Services, duration_s: float, stop: asyncio.Event, console: Console) -> RunRecord:
    """Run the demo's fleet live on the demo's broker."""
    scenario = Scenario.load(SCENARIO).model_copy(update={"broker": services.broker})
    version = await probe_all(broker_pool_for(scenario))
    fleet = Fleet(scenario, name="demo", version=version)
    async with live_view(lambda: [(WorkerState.RUNNING, fleet.snapshot())], console, "edgefleet demo"):
        return await fleet.run(duration_s, stop)


def verify_demo(record: RunRecord, services: Services, wait_s: float) -> RunVerdict:
    """Compare what was emitted with what arrived, once everything has or `wait_s` seconds are over."""
    return verify_run(record, ingest=services.ingest, kafka=services.kafka, wait_s=wait_s)


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
