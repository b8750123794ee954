"""What the checker looks at, and where it comes from. None of it comes from the bridge."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson
import psycopg
from confluent_kafka import Consumer, KafkaError, TopicPartition


class Arrival(NamedTuple):
    """One copy of a message at a destination."""

    id: str
    """As its payload says."""
    payload: bytes
    key: str | None = None
    """The id that came beside the payload: header `ce_id`, or Idempotency-Key; None where there is none."""
    partition: int = 0
    where: str = ""
    """The Kafka topic."""

    @classmethod
    def of(cls, payload: bytes, key: str | None, partition: int = 0, where: str = "") -> "Arrival":
        """With the id that the payload says."""
        fields = orjson.loads(payload)
        return cls(f"{fields['device_id']}:{fields['boot']}:{fields['seq']}", payload, key, partition, where)

    @property
    def device(self) -> str:
        return self.id.split(":")[0]

    @property
    def seq(self) -> int:
        return int(self.id.rpartition(":")[2])


@dataclass(frozen=True, slots=True)
class Published:
    """What the publishers say."""

    payloads: Mapping[str, bytes]
    """By id, everything that was handed to a client."""
    acknowledged: frozenset[str]
    """Ids that the broker sent PUBACK for: these must arrive. The others may."""


def stored_in(database: Path, prefix: str) -> list[tuple[str, bytes]]:
    """Id and payload of what ingest's own file holds of the devices whose names begin with `prefix`."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT device_id, boot, seq, payload FROM messages WHERE device_id >= ? AND device_id < ?",
            (prefix, prefix + "\uffff"),
        )
        return [(f"{device}:{boot}:{seq}", payload.encode()) for device, boot, seq, payload in rows]


def lines_in(folder: Path) -> list[Arrival]:
    """What the files of the file sink hold, in the order of their lines."""
    return [
        Arrival.of(line, None) for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()
    ]


def stored_in_postgres(url: str, prefix: str) -> list[tuple[str, bytes]]:
    """Id and payload of the rows of an ingest's PostgreSQL, of the devices whose names begin with `prefix`."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT device_id, boot, seq, payload FROM ingest_messages WHERE starts_with(device_id, %s)", (prefix,)
        ).fetchall()
    return [(f"{device}:{boot}:{seq}", payload.encode()) for device, boot, seq, payload in rows]


class TopicReader:
    """Reads some Kafka topics from their beginning, beside the proxy."""

    def __init__(self, bootstrap_servers: str, topics: list[str], partitions: int) -> None:
        self.arrivals: list[Arrival] = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": topics[0],
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "reconnect.backoff.max.ms": 300,
                "log_level": 0,
            }
        )
        self._parts = [TopicPartition(topic, number, 0) for topic in topics for number in range(partitions)]
        self._consumer.assign(self._parts)

    def poll(self, timeout_s: float = 0.02) -> None:
        """Take what is there."""
        for message in self._consumer.consume(2000, timeout_s):
            error = message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF and not error.retriable():
                    raise RuntimeError(f"the checker cannot read Kafka: {error.str()}")
                continue
            payload, headers = message.value(), dict(message.headers() or [])
            assert payload is not None
            key = headers.get("ce_id")
            self.arrivals.append(
                Arrival.of(payload, key.decode() if key else "", message.partition() or 0, message.topic() or "")
            )

    def read_to_the_end(self) -> None:
        """Take everything that is in the topics now."""
        ends = {}
        for part in self._parts:
            _, ends[part.topic, part.partition] = self._consumer.get_watermark_offsets(part, timeout=10)
        for _ in range(500):
            at = {(p.topic, p.partition): max(p.offset, 0) for p in self._consumer.position(self._parts)}
            if all(at[part] >= end for part, end in ends.items()):
                return
            self.poll(0.05)
        raise RuntimeError(f"the checker could not read Kafka to the end: it is at {at} of {ends}")

    def close(self) -> None:
        self._consumer.close()
