"""What all runs share: Mosquitto, Kafka and ingest as processes, and between them and the bridge what breaks things."""

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
from tests.services.kafka import KafkaProcess

PARTITIONS = 3


class Services:
    """For the length of a `with` block. `proxies` are named for what is behind them: broker, http, kafka."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgefleet-chaos-")))
            kafka_port = free_port()
            self.kafka = stack.enter_context(KafkaProcess(proxy_port=kafka_port))
            self.mosquitto = stack.enter_context(MosquittoProcess())
            self.ingest_database = self.folder / "ingest.db"
            ingest_url, self.ingest = self._ingest()
            stack.enter_context(self.ingest)
            self.background = stack.enter_context(Background())
            self.front = ProxyFront(ingest_url)
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

    def _ingest(self) -> tuple[str, ManagedProcess]:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        store = f"sqlite:///{self.ingest_database}"
        return url, edgefleet_process("ingest", "ingest", "--port", str(port), "--store", store, url=f"{url}/readyz")

    def heal(self) -> None:
        """Every fault ends and everything runs."""

        def mend() -> None:
            self.front.script = None
            for proxy in self.proxies.values():
                proxy.heal()

        self.background.do(mend)
        self.mosquitto.start()
        self.kafka.start()

    def create_topics(self, names: list[str]) -> None:
        """Make the Kafka topics of a run."""
        wanted = [NewTopic(name, num_partitions=PARTITIONS, replication_factor=1) for name in names]
        for made in self._admin.create_topics(wanted).values():
            made.result(20)

    def delete_topics(self, names: list[str]) -> None:
        """A suite of hundreds of runs would otherwise leave Kafka with thousands of files."""
        for gone in self._admin.delete_topics(names).values():
            gone.result(20)
