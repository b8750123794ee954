"""Reading Kafka, from librdkafka's built-in cluster."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import orjson
import pytest
from confluent_kafka import Producer

from edgefleet.verify import Arrivals
from edgefleet.verify.kafka_source import KafkaSource
from edgefleet.verify.topics import contract_topics
from edgewire.errors import ConfigError, ServiceUnavailable
from tests.services.kafka import SASL_PASSWORD, SASL_USER, KafkaProcess


class Cluster:
    """A cluster in this process, and a producer to it."""

    def __init__(self) -> None:
        self.producer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "", "log_level": 0})
        (broker,) = self.producer.list_topics(timeout=10).brokers.values()
        self.bootstrap = f"{broker.host}:{broker.port}"

    def put(self, topic: str, *values: bytes, ce_id: str | None = None) -> None:
        for value in values:
            headers = [("ce_id", ce_id.encode())] if ce_id else None
            self.producer.produce(topic, value, key=b"k", headers=headers)
        assert self.producer.flush(10) == 0


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def source(cluster: Cluster) -> Iterator[KafkaSource]:
    source = KafkaSource(cluster.bootstrap, since_ms=time.time_ns() // 1_000_000 - 300_000)
    yield source
    source.close()


def payload(seq: int, device_id: str = "d-1") -> bytes:
    return orjson.dumps({"device_id": device_id, "boot": 3, "seq": seq, "timestamp": "2026-03-02T08:15:00.250Z"})


def read(source: KafkaSource) -> list[Arrivals]:
    return list(source.read_arrivals())


def test_an_empty_cluster_has_nothing(source: KafkaSource) -> None:
    assert read(source) == []
    assert source.note == ""


def test_every_topic_of_the_contract_is_read_and_no_other(cluster: Cluster, source: KafkaSource) -> None:
    for seq, topic in enumerate((*contract_topics(), "payments")):
        cluster.put(topic, payload(seq))
    before_ms = time.time_ns() // 1_000_000
    found = {arrivals.stream: arrivals for arrivals in read(source)}
    assert found.keys() == set(contract_topics())
    for seq, topic in enumerate(contract_topics()):
        arrivals = found[topic]
        assert arrivals[1:5] == (("d-1",), (3,), (seq,), (1772439300250,))
        assert abs(arrivals.arrived_ms[0] - before_ms) < 60_000
    assert source.note.startswith("Kafka times are CreateTime")


@pytest.mark.slow
def test_only_what_is_new_is_read_the_next_time(cluster: Cluster, source: KafkaSource) -> None:
    cluster.put("gps_positions", payload(0), payload(1), payload(1))
    assert [arrivals.seq for arrivals in read(source)] == [(0, 1, 1)]
    assert read(source) == []
    cluster.put("gps_positions", payload(2))
    cluster.put("traffic_events", payload(3))
    assert {arrivals.stream: arrivals.seq for arrivals in read(source)} == {
        "gps_positions": (2,),
        "traffic_events": (3,),
    }


def test_all_partitions_are_read(cluster: Cluster, source: KafkaSource) -> None:
    for number in range(200):
        device = f"d-{number}"
        cluster.producer.produce("gps_positions", payload(0, device), key=device.encode())
    assert cluster.producer.flush(10) == 0
    assert len(cluster.producer.list_topics(timeout=10).topics["gps_positions"].partitions) > 1
    found = Counter(device for arrivals in read(source) for device in arrivals.device_id)
    assert found == Counter(f"d-{number}" for number in range(200))


def test_the_id_in_the_header_counts(cluster: Cluster, source: KafkaSource) -> None:
    cluster.put("gps_positions", payload(5), ce_id="d-9:4:6")
    (arrivals,) = read(source)
    assert (arrivals.device_id, arrivals.boot, arrivals.seq) == (("d-9",), (4,), (6,))


def test_what_has_no_id_or_time_is_counted_and_passed_over(cluster: Cluster, source: KafkaSource) -> None:
    broken = [b"", b"{", b"[]", b"{}", payload(0).replace(b"2026-", b"late-"), payload(0, "a:b")]
    cluster.put("gps_positions", *broken, payload(1))
    cluster.put("gps_positions", payload(2), ce_id="nonsense")
    assert [arrivals.seq for arrivals in read(source)] == [(1,)]
    assert "7 messages without id or time were passed over" in source.note


def test_other_topics_can_be_named(cluster: Cluster) -> None:
    cluster.put("my.positions", payload(0))
    source = KafkaSource(cluster.bootstrap, topics=["my.positions", "not.there"])
    assert [arrivals.stream for arrivals in read(source)] == ["my.positions"]
    source.close()


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_named() -> None:
    source = KafkaSource("127.0.0.1:1", timeout_s=0.5)
    with pytest.raises(ServiceUnavailable, match=r"Kafka at 127\.0\.0\.1:1 cannot be read: .*; is it running there\?"):
        read(source)
    source.close()


def test_no_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="write HOST:PORT"):
        KafkaSource("")


@pytest.mark.services
def test_a_cluster_that_asks_for_a_password_is_read_with_it_and_not_without(kafka_process: KafkaProcess) -> None:
    producer = Producer({"bootstrap.servers": kafka_process.bootstrap_servers, "log_level": 0})
    producer.produce("verify.sasl", payload(7))
    assert producer.flush(30) == 0
    properties = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": SASL_USER}

    def reading(password: str, timeout_s: float) -> KafkaSource:
        given = {**properties, "sasl.password": password}
        return KafkaSource(kafka_process.sasl_servers, topics=["verify.sasl"], properties=given, timeout_s=timeout_s)

    allowed, refused = reading(SASL_PASSWORD, 30), reading("guessed", 2)
    with closing(allowed), closing(refused):
        assert [arrivals.seq for arrivals in read(allowed)] == [(7,)]
        with pytest.raises(ServiceUnavailable, match=r"does not let us in: .*; look at the properties sasl") as told:
            read(refused)
    assert "guessed" not in str(told.value)


def test_a_property_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="look at the properties"):
        KafkaSource("127.0.0.1:9092", properties={"sasl.pasword": "x"})
