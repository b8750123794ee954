"""`python -m benchmarks.bridge_kafka`: as `bridge_http`, into a real Kafka alone, beside Apache Camel.

Each bridge has a Kafka of its own, with one topic whose messages Kafka dates when it has stored them.
"""

import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.bridge_http import Bridge, bridge_of, measure, parser_of, print_medians, table_of
from benchmarks.camel import Camel
from benchmarks.http_taker import MESSAGE, percentiles_of
from tests.services.kafka import KafkaProcess

HERE = Path(__file__).parents[1]
TOPIC, _PARTITIONS = "readings", 6
_MANY = 1000
_WAIT_S = 0.05


class KafkaDestination:
    """Runs a Kafka, and reads what is in the topic."""

    def __init__(self) -> None:
        self._kafka = KafkaProcess()
        self.address = self._kafka.bootstrap_servers
        self._arrivals = 0
        self._seen: set[int] = set()
        self._took_ms: list[int] = []

    def __enter__(self) -> Self:
        self._kafka.start()
        settings = {"message.timestamp.type": "LogAppendTime"}
        topic = NewTopic(TOPIC, num_partitions=_PARTITIONS, replication_factor=1, config=settings)
        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        admin.create_topics([topic])[TOPIC].result(30)
        self._consumer = Consumer({"bootstrap.servers": self.address, "group.id": "judge", "enable.auto.commit": False})
        self._consumer.assign([TopicPartition(TOPIC, number, OFFSET_BEGINNING) for number in range(_PARTITIONS)])
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()
        self._kafka.close()

    def taken(self, *, reset: bool = True) -> dict[str, Any]:
        """As `Destination.taken`."""
        until = time.monotonic() + 1
        while (messages := self._consumer.consume(_MANY, _WAIT_S)) and time.monotonic() < until:
            self._take(messages)
        self._take(messages)
        took = sorted(self._took_ms)
        if reset:
            self._took_ms.clear()
        return {"arrivals": self._arrivals, "messages": len(self._seen), "took_ms": percentiles_of(took)}

    def _take(self, messages: Sequence[Any]) -> None:
        for message in messages:
            found = MESSAGE.search(message.value() or b"")
            if found is None:
                continue
            self._arrivals += 1
            number, sent_ms = map(int, found.groups())
            if number not in self._seen:
                self._seen.add(number)
                self._took_ms.append(message.timestamp()[1] - sent_ms)


def _into_kafka(address: str) -> dict[str, Any]:
    return {"kafka": {"bootstrap_servers": address}, "routes": [{"topic": "edge/#", "kafka": TOPIC}]}


def _peers() -> dict[str, Bridge]:
    return {
        "Apache Camel": partial(Camel, topic=TOPIC, synchronous=False),
        "Apache Camel, waiting for Kafka": partial(Camel, topic=TOPIC, synchronous=True),
    }


def run() -> list[str]:
    """Its table."""
    options = parser_of(__doc__).parse_args(["--kill", "--rounds", "3", "--backlog", "30000"])
    bridges = {"edgefleet": bridge_of(HERE, _into_kafka), **_peers()}
    found = measure(bridges, KafkaDestination, options)
    return [
        f"## The bridge into Kafka alone, {options.rate:,} messages a second and a backlog of {options.backlog:,}",
        "",
        f"Medians of {options.rounds} rounds; all bridges get the same messages, a backlog one after the other. Ours "
        "syncs its spool before it acknowledges; Camel has all in memory, QoS 1, a persistent session, acks=all. "
        "The Kafkas are on the same cores.",
        "",
        *table_of(found, bridges),
    ]


def main(arguments: Sequence[str]) -> None:
    """Measure, and print every figure and the medians."""
    parser = parser_of(__doc__)
    parser.add_argument("--camel", action="store_true", help="beside Apache Camel, which Maven fetches")
    options = parser.parse_args(arguments)
    trees = [HERE] if options.beside is None else [options.beside.resolve(), HERE]
    bridges = {str(tree): bridge_of(tree, _into_kafka) for tree in trees}
    print_medians(measure(bridges | _peers() if options.camel else bridges, KafkaDestination, options))


if __name__ == "__main__":
    main(sys.argv[1:])
