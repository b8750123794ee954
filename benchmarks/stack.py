"""The whole stack as processes of their own on loopback: Mosquitto, Kafka, ingest, a bridge, and a fleet as load."""

import json
import os
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from edgefleet.embedded import ManagedProcess, MosquittoProcess, edgefleet_process, free_port
from edgefleet.verify.topics import contract_topics
from edgewire.run_record import RunRecord
from tests.services.kafka import KafkaProcess
from tests.services.postgres import PostgresProcess

STORES = ("sqlite", "postgresql")
# Of one message, in all its places: the store, the topic, and the spool while a sink is away.
_DISK_BYTES_A_MESSAGE = 1500
_STOP_FLEET_S = 120


@dataclass
class Stack:
    """Addresses, and the processes behind them."""

    folder: Path
    broker: MosquittoProcess
    kafka: KafkaProcess
    ingest: ManagedProcess
    ingest_url: str
    config: Path
    bridge: ManagedProcess
    bridge_url: str
    fleets: list["FleetLoad"] = field(default_factory=list)

    @property
    def spool(self) -> Path:
        """The file; beside it are those of SQLite."""
        return self.folder / "spool.db"

    def spool_file_bytes(self) -> int:
        """What the spool takes on the disk."""
        return sum(path.stat().st_size for path in self.folder.glob("spool.db*"))

    def pending(self) -> dict[str, int]:
        """By sink, from the bridge's books."""
        return {sink["sink"]: sink["pending"] for sink in self.ledger()}

    def end_fleets(self) -> None:
        """Those that were not told to finish, and what is left of those that were."""
        for fleet in self.fleets:
            fleet.process.close()

    def ledger(self) -> list[dict[str, Any]]:
        """The bridge's books of every sink."""
        with urllib.request.urlopen(f"{self.bridge_url}/ledger", timeout=60) as answer:
            sinks: list[dict[str, Any]] = json.load(answer)["sinks"]
        return sinks


class FleetLoad:
    """`edgefleet run` as a process that goes on until it is told to stop."""

    def __init__(self, stack: Stack, groups: Sequence[dict[str, object]], settings: Mapping[str, object]) -> None:
        """`groups` are devices as in a scenario, and `settings` what else may be in it."""
        self._record = stack.folder / f"run-{len(stack.fleets)}"
        scenario = self._record.with_suffix(".yaml")
        scenario.write_text(yaml.safe_dump({"broker": stack.broker.url, "devices": list(groups), **settings}))
        command: list[str | Path] = [sys.executable, "-m", "edgefleet", "run", scenario, "--record", self._record]
        self.process = ManagedProcess("fleet", [*command, "--json"], ready=lambda: True)

    def finish(self) -> RunRecord:
        """Stop it in order and read what it says it sent."""
        code = self.process.terminate(_STOP_FLEET_S)
        if code or not self._record.exists():
            sys.exit(f"benchmarks: the fleet ended with exit code {code} and printed:\n{self.process.log_tail()}")
        return RunRecord.load(self._record)


@contextmanager
def running_stack(
    *, store: str = "sqlite", messages: int, broker_options: Mapping[str, str] | None = None, **bridge_config: object
) -> Iterator[Stack]:
    """A stack that will take about so many messages, with settings of the broker and the bridge besides; all is gone
    afterwards.
    """
    require_disk(messages)
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="edgefleet-bench-")))
        broker = exits.enter_context(MosquittoProcess(options=broker_options))
        kafka = exits.enter_context(KafkaProcess())
        _create_topics(kafka.bootstrap_servers)
        url = store_url(exits, store, folder)
        port, admin = free_port(), free_port()
        ingest_url, bridge_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin}"
        command = ("ingest", "--port", str(port), "--store", url, "--log-level", "warning")
        ingest = exits.enter_context(edgefleet_process("ingest", *command, url=f"{ingest_url}/readyz"))
        config = folder / "bridge.yaml"
        settings = {
            "broker": broker.url,
            "spool": {"path": str(folder / "spool.db")},
            "http": {"url": ingest_url},
            "kafka": {"bootstrap_servers": kafka.bootstrap_servers},
            "admin": {"port": admin},
            **bridge_config,
        }
        config.write_text(yaml.safe_dump(settings))
        bridge = exits.enter_context(edgefleet_process("bridge", "bridge", "run", config, url=f"{bridge_url}/readyz"))
        stack = Stack(folder, broker, kafka, ingest, ingest_url, config, bridge, bridge_url)
        exits.callback(stack.end_fleets)
        yield stack


def start_fleet(stack: Stack, groups: Sequence[dict[str, object]], **settings: object) -> FleetLoad:
    """Begin to publish, with settings of the scenario besides; the stack ends it at the latest when it ends itself."""
    fleet = FleetLoad(stack, groups, settings)
    stack.fleets.append(fleet)
    fleet.process.start()
    return fleet


def groups_of(rate: int) -> list[dict[str, object]]:
    """Three quarters sensors, one quarter vehicles, each of which publishes once a second."""
    vehicles = rate // 4
    return [
        {"kind": "bme280", "count": rate - vehicles, "interval": "1s"},
        {"kind": "gps", "count": vehicles, "interval": "1s"},
    ]


def require_disk(messages: int) -> None:
    """End with a clear message where so many would fill the disk: nothing of Kafka's may be deleted before the end."""
    needed, free = messages * _DISK_BYTES_A_MESSAGE, shutil.disk_usage(tempfile.gettempdir()).free
    if needed > free:
        sys.exit(
            f"benchmarks: {messages:,} messages take up to {needed / 1e9:.0f} GB, and {tempfile.gettempdir()} has "
            f"{free / 1e9:.0f} GB: set TMPDIR, or ask for fewer"
        )


def store_url(exits: ExitStack, store: str, folder: Path) -> str:
    """Of an ingest's store, as `--store` takes it; a PostgreSQL that is crash-safe is started for it."""
    if store == "sqlite":
        return f"sqlite:///{folder / 'ingest.db'}"
    return os.environ.get("POSTGRES_URL") or exits.enter_context(PostgresProcess({"fsync": "on"})).url


def _create_topics(bootstrap: str) -> None:
    """The contract's, whose messages Kafka dates when it has stored them, not when the producer took them."""
    settings = {"message.timestamp.type": "LogAppendTime"}
    topics = [NewTopic(name, num_partitions=6, replication_factor=1, config=settings) for name in contract_topics()]
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    for made in admin.create_topics(topics).values():
        made.result(30)
