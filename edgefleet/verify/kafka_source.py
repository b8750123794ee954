"""Reads the topics of the contract in Kafka, from the start of the run to their present ends.

Partitions are assigned, not subscribed: no consumer group is left behind, and nobody's offsets are touched.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import orjson
from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from edgefleet.verify.arrivals import Arrivals
from edgefleet.verify.topics import contract_topics
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.messages import ContractError, MessageId
from edgewire.redact import show_servers

TIMEOUT_S = 8
"""For one question to Kafka."""
_SILENCE_S = 10
"""A partition that has more but yields nothing for so long is as good as unreachable."""
_FETCH = 10_000
_NOTES: Mapping[int, str] = {
    TIMESTAMP_CREATE_TIME: "Kafka times are CreateTime: when the producer took the message, before it was stored",
    TIMESTAMP_LOG_APPEND_TIME: "Kafka times are LogAppendTime: when the broker stored the message",
}

_Partition = tuple[str, int]
_Value = str | bytes | None
_Headers = Mapping[str, _Value] | Iterable[tuple[str, _Value]]


class KafkaRow(NamedTuple):
    """Holds what a record says."""

    device_id: str
    boot: int
    seq: int
    timestamp_ms: int
    arrived_ms: int
    fields: Mapping[str, Any]


def read_record(value: bytes | None, headers: _Headers, arrived_ms: int) -> KafkaRow | None:
    """Return a record's id, from the header `ce_id` or else the value, and its times; None where it has none."""
    try:
        fields = _fields(value)
        text = _header(headers, "ce_id") or f"{fields['device_id']}:{fields['boot']}:{fields['seq']}"
        return KafkaRow(*MessageId.parse(text), parse_ms(fields["timestamp"]), arrived_ms, fields)
    except (ContractError, KeyError, TypeError, ValueError):
        return None


def to_arrivals(topic: str, rows: Sequence[KafkaRow], *, reads_content: bool) -> Arrivals:
    """Return records of a topic, of which there is one at least, as columns."""
    names, boots, seqs, timestamps, arrived, fields = zip(*rows, strict=True)
    return Arrivals(topic, names, boots, seqs, timestamps, arrived, fields if reads_content else ())


class KafkaSource:
    """Reads the Kafka at these bootstrap servers. Topics that do not exist (yet) are empty."""

    def __init__(
        self,
        bootstrap: str,
        *,
        since_ms: int | None = None,
        topics: Sequence[str] = (),
        timeout_s: float = TIMEOUT_S,
        reads_content: bool = False,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        """Messages that Kafka dates before `since_ms` (milliseconds since 1970 UTC) may be left out.

        Without `topics` those of the contract are read. With `reads_content`, what the messages say is read as well.
        `properties` are further ones of librdkafka, such as `security.protocol`. Raises `ConfigError` for those it does
        not know.
        """
        if not bootstrap:
            raise ConfigError("Kafka's bootstrap servers are empty: write HOST:PORT")
        if "@" in bootstrap:
            raise ConfigError(f"Kafka's bootstrap servers '{show_servers(bootstrap)}' have a user: write HOST:PORT")
        self._bootstrap = bootstrap
        self._timeout_s = timeout_s
        self._since_ms = since_ms
        self._topics = topics or contract_topics()
        self._reads_content = reads_content
        self._next: dict[_Partition, int] = {}
        self._time_types: set[int] = set()
        self._unreadable = 0
        self._refusal = ""
        settings = {
            **(properties or {}),
            "bootstrap.servers": bootstrap,
            "group.id": "edgefleet-verify",  # required by the client, never joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "log_level": 0,  # what goes wrong is raised, not written to stderr
            "error_cb": self._note_refusal,
        }
        try:
            self._consumer = Consumer(settings)
        except KafkaException as error:
            raise ConfigError(f"Kafka's client cannot be made: {error.args[0].str()}; look at the properties") from None

    @property
    def note(self) -> str:
        """Return what Kafka's times are, and how many messages could not be read."""
        notes = [_NOTES[kind] for kind in sorted(self._time_types & _NOTES.keys())]
        if self._unreadable:
            notes.append(f"{self._unreadable} messages without id or time were passed over")
        return "; ".join(notes)

    def read_arrivals(self) -> Iterator[Arrivals]:
        """Yield what arrived since the last call; raises `ServiceUnavailable` that names Kafka."""
        try:
            ends = self._ends()
            ahead = {partition: end for partition, end in ends.items() if self._next[partition] < end}
            if ahead:
                self._consumer.assign([TopicPartition(*partition, self._next[partition]) for partition in ahead])
                yield from self._read(ahead)
                self._consumer.unassign()
        except KafkaException as error:
            raise self._unavailable(error.args[0].str()) from None

    def find_arrivals(self, devices: Sequence[tuple[str, int]]) -> Iterator[Arrivals]:
        """Yield nothing: Kafka finds by time alone, and whatever comes again is there again."""
        yield from ()

    def find_conflicts(self) -> Iterator[Arrivals]:
        """Yield nothing: Kafka takes whatever comes, under whatever id."""
        yield from ()

    def close(self) -> None:
        """Let go of the consumer."""
        self._consumer.close()

    def _ends(self) -> dict[_Partition, int]:
        """Return the end of every partition; those seen for the first time are given a place to start at."""
        known = self._consumer.list_topics(timeout=self._timeout_s).topics
        partitions = [(topic, number) for topic in self._topics if topic in known for number in known[topic].partitions]
        ends = {}
        for partition in partitions:
            low, ends[partition] = self._consumer.get_watermark_offsets(
                TopicPartition(*partition), timeout=self._timeout_s
            )
            if partition not in self._next:
                self._next[partition] = max(low, self._offset_at_start(partition))
        return ends

    def _offset_at_start(self, partition: _Partition) -> int:
        if self._since_ms is None:
            return 0
        try:
            query = [TopicPartition(*partition, self._since_ms)]
            found = self._consumer.offsets_for_times(query, timeout=self._timeout_s)[0]
        except KafkaException:
            return 0
        # "None so late" is also what a broker says that cannot search by time: then everything is read.
        return max(0, found.offset) if found.error is None else 0

    def _read(self, ahead: dict[_Partition, int]) -> Iterator[Arrivals]:
        """Yield messages of the assigned partitions until each is past the end it has in `ahead`."""
        heard = time.monotonic()
        while ahead:
            messages = self._consumer.consume(_FETCH, timeout=0.1)
            rows: dict[str, list[KafkaRow]] = {}
            for message in messages:
                partition, offset = _place(message)
                error = message.error()
                if error is None:
                    self._next[partition] = offset + 1
                    if (row := self._row(message)) is not None:
                        rows.setdefault(partition[0], []).append(row)
                elif error.code() == KafkaError._PARTITION_EOF:
                    # The last offsets before an end may hold no message (transactions, compaction).
                    self._next[partition] = max(self._next[partition], offset)
                else:
                    raise self._unavailable(error.str())
                if self._next[partition] >= ahead.get(partition, 0):
                    ahead.pop(partition, None)
            for topic, of_topic in rows.items():
                yield to_arrivals(topic, of_topic, reads_content=self._reads_content)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > _SILENCE_S:
                raise self._unavailable(f"{len(ahead)} partitions yield nothing for {_SILENCE_S} s")

    def _row(self, message: Message) -> KafkaRow | None:
        time_type, arrived_ms = message.timestamp()
        self._time_types.add(time_type)
        row = read_record(message.value(), message.headers() or (), arrived_ms)
        self._unreadable += row is None
        return row

    def _note_refusal(self, error: KafkaError) -> None:
        if error.code() == KafkaError._AUTHENTICATION:
            self._refusal = error.str()

    def _unavailable(self, reason: str) -> ServiceUnavailable:
        self._consumer.poll(0)  # it calls back what was refused
        if self._refusal:
            return ServiceUnavailable(
                f"Kafka at {self._bootstrap} does not let us in: {self._refusal}; look at the properties sasl.…"
            )
        return ServiceUnavailable(f"Kafka at {self._bootstrap} cannot be read: {reason}; is it running there?")


def _place(message: Message) -> tuple[_Partition, int]:
    """Return partition and offset, which a consumed message always has."""
    topic, partition, offset = cast("tuple[str, int, int]", (message.topic(), message.partition(), message.offset()))
    return (topic, partition), offset


def _header(headers: _Headers, name: str) -> str | None:
    value = dict(headers).get(name)
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _fields(value: bytes | None) -> Mapping[str, Any]:
    fields = orjson.loads(value or b"")
    if not isinstance(fields, dict):
        raise ValueError("not an object")
    return fields
