"""What all runs share: Mosquitto, Kafka and ingest as processes, and between them and the bridge what breaks things."""

import os
import ssl
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from edgefleet.embedded import ManagedProcess, MosquittoProcess, edgefleet_process, free_port
from tests.chaos.background import Background
from tests.chaos.proxy import Proxy
from tests.chaos.proxy_front import ProxyFront
from tests.chaos.records import stored_in, stored_in_postgres
from tests.chaos.small_disk import mounted_disk
from tests.services.kafka import KafkaProcess
from tests.services.postgres import PostgresProcess

PARTITIONS = 3
_KAFKA_DISK_BYTES = 256 << 20


class Services:
    """For the length of a `with` block. `proxies` are named for what is behind them: broker, http, kafka."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgefleet-chaos-")))
            kafka_port = free_port()
            self.kafka_disk = self.folder / "kafka"
            """Of Kafka alone, and small, where root may mount one."""
            self.kafka_disk.mkdir()
            if os.geteuid() == 0:
                stack.enter_context(mounted_disk(self.kafka_disk, _KAFKA_DISK_BYTES))
            logs = f"log.dirs={self.kafka_disk / 'logs'}\n"
            self.kafka = stack.enter_context(KafkaProcess(proxy_port=kafka_port, more=logs))
            self.mosquitto = stack.enter_context(MosquittoProcess())
            self._database = self.folder / "ingest.db"
            self._ingest_url, self.ingest = _ingest_on(f"sqlite:///{self._database}")
            stack.enter_context(self.ingest)
            self.postgres: PostgresProcess | None = None
            """From the first run on that keeps messages there."""
            self._postgres_url = ""
            self.background = stack.enter_context(Background())
            self.front = ProxyFront(self._ingest_url)
            self.proxies = {
                "broker": Proxy(self.mosquitto.port),
                "http": Proxy(self.front.port),
                "kafka": Proxy(self.kafka.behind_proxy, port=kafka_port),
            }
            for part in (self.front, *self.proxies.values()):
                self.background.wait(part.start())
                stack.callback(lambda part=part: self.background.wait(part.close()))
            self._admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers, "log_level": 0})
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def choose_store(self, *, postgres: bool) -> None:
        """Have the next run's messages kept in PostgreSQL, by an ingest of its own, or in a file."""
        if postgres and self.postgres is None:
            self.postgres = self._stack.enter_context(PostgresProcess())
            self._postgres_url, ingest = _ingest_on(self.postgres.url)
            self._stack.enter_context(ingest)
        self.front.upstream = self._postgres_url if postgres else self._ingest_url

    def stored(self, site: str) -> list[tuple[str, bytes]]:
        """Return id and payload of what the store in use has of the devices of a run."""
        if self.postgres and self.front.upstream == self._postgres_url:
            return stored_in_postgres(self.postgres.url, site)
        return stored_in(self._database, site)

    def listen(self, link: str, tls: ssl.SSLContext | None) -> None:
        """Let one of the proxies speak TLS to new connections, or no TLS."""
        self.background.wait(self.proxies[link].listen(tls))

    def heal(self) -> None:
        """Every fault ends and everything runs."""

        def mend() -> None:
            self.front.script = None
            for proxy in self.proxies.values():
                proxy.heal()

        self.background.do(mend)
        self.mosquitto.start()
        self.kafka.start()
        if self.postgres:
            self.postgres.recover()

    def create_topics(self, names: list[str]) -> None:
        """Make the Kafka topics of a run."""
        wanted = [NewTopic(name, num_partitions=PARTITIONS, replication_factor=1) for name in names]
        for made in self._admin.create_topics(wanted).values():
            made.result(20)

    def delete_topics(self, names: list[str]) -> None:
        """A suite of hundreds of runs would otherwise leave Kafka with thousands of files."""
        for gone in self._admin.delete_topics(names).values():
            gone.result(20)


def _ingest_on(store: str) -> tuple[str, ManagedProcess]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    return url, edgefleet_process("ingest", "ingest", "--port", str(port), "--store", store, url=f"{url}/readyz")
