"""A Kafka of three nodes on loopback: topics have three replicas, and two of them must be in step."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from edgefleet.embedded import free_port
from tests.services.kafka import KafkaProcess

NODES = 3
_PROPERTIES = """\
default.replication.factor=3
min.insync.replicas=2
auto.create.topics.enable=false
replica.lag.time.max.ms=5000
controller.quorum.election.timeout.ms=1000
controller.quorum.fetch.timeout.ms=2000
"""


def _logs(disk: Path | None) -> str:
    """Return the property that says where a node keeps its data; of two in the file the later one counts."""
    return f"log.dirs={disk / 'logs'}\n" if disk else ""


class KafkaCluster:
    """For the length of a `with` block. Nodes are killed, stopped and started again one by one."""

    def __init__(self, disks: Mapping[int, Path] | None = None) -> None:
        """Prepare the nodes; `disks` are the folders in which nodes, by their numbers, keep what others keep in theirs.

        Raises `ServiceUnavailable` where Kafka cannot be had.
        """
        disks = disks or {}
        controllers = [free_port() for _ in range(NODES)]
        self.nodes = [
            KafkaProcess(node=number, controllers=controllers, more=_PROPERTIES + _logs(disks.get(number)))
            for number in range(1, NODES + 1)
        ]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.callback(node.close)
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(node.bootstrap_servers for node in self.nodes)

    def start(self) -> None:
        """Start those that do not run, at once: one alone has no quorum, and is not ready."""
        with ThreadPoolExecutor(NODES) as pool:
            list(pool.map(lambda node: node.start(), self.nodes))

    def leader(self, topic: str) -> KafkaProcess:
        """Return the node that leads the first partition of a topic."""
        (node,) = [one for one in self.nodes if one.node == self._partition(topic).leader]
        return node

    def in_step(self, topic: str) -> int:
        """Return how many replicas of the first partition have all that it has."""
        return len(self._partition(topic).isrs)

    def create_topic(self, topic: str, partitions: int) -> None:
        admin = self._admin()  # it ends with its last reference, and what it was asked for too
        admin.create_topics([NewTopic(topic, partitions)])[topic].result(30)

    def delete_topic(self, topic: str) -> None:
        admin = self._admin()
        admin.delete_topics([topic])[topic].result(30)

    def topics(self) -> set[str]:
        return set(self._admin().list_topics(timeout=20).topics)

    def _partition(self, topic: str):  # type: ignore[no-untyped-def]  # a class that confluent-kafka does not export
        return self._admin().list_topics(topic, timeout=20).topics[topic].partitions[0]

    def _admin(self) -> AdminClient:
        running = [node.bootstrap_servers for node in self.nodes if node.running]
        return AdminClient({"bootstrap.servers": ",".join(running), "log_level": 0})
