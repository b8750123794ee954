"""A Kafka of three nodes that die: nothing is lost or there twice, and what cannot be delivered waits and is named."""

import os
import random
import secrets
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgefleet.embedded import MosquittoProcess
from edgewire.errors import ServiceUnavailable
from tests.chaos.bridge import BridgeUnderTest
from tests.chaos.publishers import Publishers, topics
from tests.chaos.records import Arrival, TopicReader
from tests.chaos.small_disk import fill_disk, mounted_disk
from tests.chaos.unforgiving import until
from tests.services.fixtures import unavailable
from tests.services.kafka_cluster import KafkaCluster

pytestmark = [pytest.mark.long, pytest.mark.services, pytest.mark.e2e, pytest.mark.timeout(900)]

PARTITIONS = 3
_PATIENCE_S = 180.0


ON_SMALL_DISK = 3
"""The number of the node whose disk can be filled."""
_DISK_BYTES = 128 << 20


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """A disk of memory that can be filled; None without root, who alone may mount one."""
    if os.geteuid() != 0:
        yield None
        return
    with mounted_disk(tmp_path_factory.mktemp("disk"), _DISK_BYTES) as disk:
        yield disk


@pytest.fixture(scope="module")
def cluster(small_disk: Path | None) -> Iterator[KafkaCluster]:
    try:
        running = KafkaCluster({ON_SMALL_DISK: small_disk} if small_disk else None)
    except ServiceUnavailable as error:
        unavailable(str(error))
    with running:
        yield running


class Scene:
    """A bridge from a Mosquitto to the cluster, and publishers that go on."""

    def __init__(self, mosquitto: MosquittoProcess, cluster: KafkaCluster, folder: Path) -> None:
        cluster.start()
        self.cluster = cluster
        self.topic = f"c{secrets.token_hex(5)}"
        cluster.create_topic(self.topic, PARTITIONS)
        self.readers = [TopicReader(cluster.bootstrap_servers, [self.topic], PARTITIONS)]
        settings: dict[str, Any] = {
            "broker": mosquitto.url,
            "client_id": self.topic,
            "subscriptions": list(topics(self.topic)),
            "spool": {"path": str(folder / "spool.db")},
            "kafka": {
                "bootstrap_servers": cluster.bootstrap_servers,
                "retry": {"base": "100ms", "cap": "1s", "pause": "1s"},
            },
            "routes": [{"topic": "edge/#", "kafka": {"topic": self.topic}}],
        }
        self.bridge = BridgeUnderTest(folder, settings)
        self.bridge.start()
        self.bridge.wait_ready()
        self.publishers = Publishers(mosquitto.port, self.topic, random.Random(1), devices=8, rate=200, at_most=6000)
        self.publishers.start()

    def publish(self, more: int) -> None:
        """Wait until so many more are published."""
        least = self.publishers.count + more
        until(lambda: self.publishers.count >= least, lambda: self.publishers.count, _PATIENCE_S)

    def finish(self) -> None:
        """Publish no more, and wait until nothing is pending."""
        self.publishers.finish(at_least=0, timeout_s=60)
        until(
            lambda: self.bridge.pending() == 0, lambda: (self.bridge.pending(), self.bridge.last_words()), _PATIENCE_S
        )

    def arrivals(self) -> list[Arrival]:
        """What is in the topic, or was in those of the same name before."""
        self.readers[-1].read_to_the_end()
        return [arrival for reader in self.readers for arrival in reader.arrivals]

    def check(self) -> None:
        """Nothing is lost, in disorder, or there twice; the bridge ends well and its books balance."""
        arrivals = self.arrivals()
        ids = [arrival.id for arrival in arrivals]
        assert set(self.publishers.published().acknowledged) - set(ids) == set()
        assert len(ids) == len(set(ids))
        seqs = defaultdict(list)
        for arrival in arrivals:
            seqs[arrival.device].append(arrival.seq)
        assert all(numbers == sorted(numbers) for numbers in seqs.values())
        assert self.bridge.stop() == 0
        (books,) = self.bridge.ledger()["sinks"]
        assert (books["delivered"], books["pending"], books["dead_lettered"]) == (len(ids), 0, 0)
        assert books["balanced"]

    def close(self) -> None:
        self.publishers.close()
        self.bridge.kill_quietly()
        for reader in self.readers:
            reader.close()


@pytest.fixture
def scene(mosquitto_factory: Callable[..., MosquittoProcess], cluster: KafkaCluster, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(mosquitto_factory(), cluster, tmp_path)
    try:
        yield scene
    finally:
        scene.close()


def test_the_leader_is_killed_and_another_node_takes_its_place(scene: Scene) -> None:
    scene.publish(200)
    first = scene.cluster.leader(scene.topic)
    first.kill()
    scene.publish(600)
    until(lambda: scene.bridge.pending() == 0 or scene.publishers.count > 3000, scene.bridge.last_words, _PATIENCE_S)
    assert scene.cluster.leader(scene.topic) is not first
    scene.finish()
    first.start()
    until(lambda: scene.cluster.in_step(scene.topic) == 3, lambda: scene.cluster.in_step(scene.topic), _PATIENCE_S)
    scene.check()


def test_a_node_that_hangs_for_a_while_costs_nothing(scene: Scene) -> None:
    scene.publish(200)
    node = scene.cluster.leader(scene.topic)
    node.signal(signal.SIGSTOP)
    scene.publish(1200)
    node.signal(signal.SIGCONT)
    scene.publish(200)
    scene.finish()
    scene.check()


def test_a_node_whose_disk_is_full_ends_and_the_others_go_on(scene: Scene, small_disk: Path | None) -> None:
    if small_disk is None:
        pytest.skip("only root may mount a disk that is small enough to be filled")
    (node,) = [one for one in scene.cluster.nodes if one.node == ON_SMALL_DISK]
    scene.publish(200)
    filler = fill_disk(small_disk)
    scene.publish(600)
    until(lambda: not node.running, node.log_tail, _PATIENCE_S)
    scene.publish(200)
    scene.finish()
    filler.unlink()
    node.kill()  # lets go of its pipe
    node.start()
    until(lambda: scene.cluster.in_step(scene.topic) == 3, lambda: scene.cluster.in_step(scene.topic), _PATIENCE_S)
    scene.check()


def test_with_two_of_three_away_messages_wait(scene: Scene) -> None:
    scene.publish(200)
    leader = scene.cluster.leader(scene.topic)
    for node in scene.cluster.nodes:
        if node is not leader:
            node.kill()
    scene.publish(600)
    assert (scene.bridge.pending() or 0) > 0
    scene.cluster.start()
    scene.finish()
    scene.check()


def test_a_topic_that_is_deleted_is_named_and_waited_for(scene: Scene) -> None:
    """What was in it is gone by whoever deleted it; what comes then waits until somebody makes it again."""
    scene.publish(200)
    scene.finish()
    before = len(scene.arrivals())
    assert before >= 200
    scene.cluster.delete_topic(scene.topic)
    until(lambda: scene.topic not in scene.cluster.topics(), scene.cluster.topics, _PATIENCE_S)
    scene.publishers.resume()
    scene.publish(200)
    scene.publishers.finish(at_least=0, timeout_s=60)
    until(lambda: f"Kafka topic '{scene.topic}'" in scene.bridge.words(), scene.bridge.last_words, _PATIENCE_S)
    assert (scene.bridge.pending() or 0) >= 200
    scene.cluster.create_topic(scene.topic, PARTITIONS)
    scene.readers.append(TopicReader(scene.cluster.bootstrap_servers, [scene.topic], PARTITIONS))
    scene.finish()
    scene.check()
