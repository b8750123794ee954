"""Gives a Kafka to write to where none is installed: librdkafka's built-in cluster, in this process."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgewire.errors import ServiceUnavailable
from edgewire.extras import require_extra


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """Says where a Kafka listens, and what it is."""

    name: str
    bootstrap_servers: str


@contextlib.contextmanager
def kafka_mock() -> Iterator[KafkaAddress]:
    """Run librdkafka's built-in cluster: real Kafka protocol over TCP, all in memory, gone after the `with` block.

    A topic exists once a client names it, with four partitions. Each keeps its newest 5 MiB (as sent, compressed),
    so whoever wants to read everything of a long run must read along.
    """
    require_extra("confluent_kafka", "demo", "librdkafka's built-in Kafka")
    from confluent_kafka import KafkaException, Producer

    owner = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    try:
        brokers = owner.list_topics(timeout=10).brokers.values()
    except KafkaException as error:
        raise ServiceUnavailable(f"librdkafka's built-in Kafka did not start: {error}") from None
    yield KafkaAddress("librdkafka's built-in cluster", ",".join(f"{broker.host}:{broker.port}" for broker in brokers))
    # The cluster lives as long as its owner, which the frame of this generator has kept.
    del owner


@contextlib.contextmanager
def embedded_kafka(environ: Mapping[str, str]) -> Iterator[KafkaAddress]:
    """Yield the Kafka that `KAFKA_BOOTSTRAP_SERVERS` names, else `kafka_mock`."""
    if servers := environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield KafkaAddress("KAFKA_BOOTSTRAP_SERVERS", servers)
        return
    with kafka_mock() as address:
        yield address
