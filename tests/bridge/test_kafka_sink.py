import asyncio

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from bridge.config import RouteConfig
from bridge.routing import Routed, RouteTable
from bridge.sinks.base import NotConnected, Rejected, Retry
from bridge.sinks.kafka import KafkaConfig, KafkaSink, KafkaTarget
from bridge.sinks.kafka.cluster import Verdict, classify
from edgewire.errors import ConfigError, ServiceUnavailable
from tests.bridge.fakes import eventually, routed, spooled

TARGET = KafkaTarget(topic="test.kafka.sink")
TABLE = RouteTable([RouteConfig(topic="#", kafka=TARGET)])
TOPIC = "test.kafka.sink"


def sink(cluster: str, **settings: object) -> KafkaSink:
    return KafkaSink(KafkaConfig(bootstrap_servers=cluster, **settings), [TARGET], "bridge-1")  # type: ignore[arg-type]


async def test_a_message_carries_its_cloud_event_and_its_key(cluster: str) -> None:
    tried = sink(cluster)
    await tried.connect()
    message = spooled(5, "dev-1")
    message.qos, message.retain = 0, True
    found = TABLE.resolve(message)
    assert isinstance(found, Routed)
    assert not await tried.write(TOPIC, [found])
    await tried.close()

    def read() -> tuple[bytes, bytes, dict[str, bytes]]:
        consumer = Consumer({"bootstrap.servers": cluster, "group.id": "t", "log_level": 0})
        partitions = consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
        consumer.assign([TopicPartition(TOPIC, number, 0) for number in partitions])
        got = consumer.poll(10)
        consumer.close()
        assert got is not None
        return got.key(), got.value(), dict(got.headers())

    key, value, headers = await asyncio.to_thread(read)
    assert key == b"dev-1"
    assert value == message.payload
    assert headers == {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_type": b"edge.bme280.telemetry",
        "ce_source": b"/edge/site/bme280/dev-1",
        "ce_id": b"dev-1:1:5",
        "ce_time": b"2026-03-01T12:00:00.000Z",
        "mqtt_qos": b"0",
        "mqtt_retain": b"1",
    }


async def test_a_message_that_is_too_large_costs_itself_alone(cluster: str) -> None:
    tried = sink(cluster, properties={"message.max.bytes": 2000})
    await tried.connect()
    batch = [routed(1, table=TABLE), routed(2, table=TABLE, text="x" * 5000), routed(3, table=TABLE)]
    failures = await tried.write(TOPIC, batch)
    assert list(failures) == [1]
    assert isinstance(failures[1], Rejected)
    assert "too large" in failures[1].reason
    await tried.close()


async def test_closing_ends_what_was_being_written(cluster: str) -> None:
    tried = sink("127.0.0.1:1")  # nobody is there, so nothing is ever reported
    tried._seen = {TOPIC}
    tried._producer = tried._new_producer()
    writing = asyncio.create_task(tried.write(TOPIC, [routed(1, table=TABLE)]))
    await eventually(lambda: bool(tried._reports))
    await eventually(lambda: "Kafka: " in (tried.trouble or ""))
    await tried.close()
    with pytest.raises(NotConnected):
        await writing


async def test_a_cluster_that_is_not_there_is_for_later() -> None:
    tried = sink("127.0.0.1:1", timeout="200ms")
    with pytest.raises(ServiceUnavailable, match=r"Kafka at 127.0.0.1:1 cannot be reached"):
        await tried.connect()
    with pytest.raises(ServiceUnavailable, match="bootstrap_servers"):
        await tried.probe()
    await tried.close()


async def test_a_property_that_librdkafka_does_not_know_is_a_matter_of_configuration() -> None:
    tried = sink("127.0.0.1:1", properties={"no.such.thing": 1})
    with pytest.raises(ConfigError, match=r"kafka.properties.*no.such.thing"):
        await tried.connect()


@pytest.mark.parametrize(
    ("code", "configuration"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, True),
        (KafkaError._UNKNOWN_TOPIC, True),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, True),
        (KafkaError._PURGE_QUEUE, False),
        (KafkaError.NOT_ENOUGH_REPLICAS, False),
        (KafkaError._MSG_TIMED_OUT, False),
    ],
)
def test_what_may_pass_is_tried_again(code: int, configuration: bool) -> None:
    verdict = classify(KafkaError(code), "t")
    assert isinstance(verdict, Retry)
    assert verdict.configuration is configuration
    assert "Kafka topic 't'" in verdict.reason


def test_what_is_for_good() -> None:
    assert isinstance(classify(KafkaError(KafkaError.INVALID_RECORD), "t"), Rejected)
    assert classify(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), "t") is Verdict.TOO_LARGE
    assert classify(KafkaError(KafkaError._FATAL), "t") is Verdict.FATAL
    assert classify(KafkaError(KafkaError.NETWORK_EXCEPTION, fatal=True), "t") is Verdict.FATAL


async def test_a_fatal_error_asks_for_a_new_producer(cluster: str) -> None:
    tried = sink(cluster)
    await tried.connect()
    with pytest.raises(NotConnected, match="cannot go on"):
        tried._verdict(KafkaError(KafkaError._FATAL, "fenced"), TOPIC, -1)
    await tried.close()


async def test_a_record_batch_refused_for_its_size_is_tried_one_by_one(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = sink(cluster)
    produced: list[list[str]] = []

    async def produce(batch: list[Routed]) -> dict[int, Verdict]:
        produced.append([one.message_id for one in batch])
        large = len(batch) > 1 or batch[0].message.id == 2
        return dict.fromkeys(range(len(batch)), Verdict.TOO_LARGE) if large else {}

    monkeypatch.setattr(tried, "_produce", produce)
    failures = await tried.write(TOPIC, [routed(number, table=TABLE) for number in (1, 2, 3)])
    assert {position: type(why) for position, why in failures.items()} == {1: Rejected}
    assert produced == [["a:1:1", "a:1:2", "a:1:3"], ["a:1:1"], ["a:1:2"], ["a:1:3"]]
