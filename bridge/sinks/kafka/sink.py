"""The Kafka sink: idempotent, acknowledged by all replicas, keyed by device, CloudEvents in binary form.

The lane of a message is its Kafka topic, or where that is made of the message what all topics of a site, kind and
channel have in common. `message.timeout.ms=0` leaves retrying to librdkafka, which keeps the order of
a partition through its retries; what comes back from it is either for good or for a new producer. Topics and what its
errors mean are in `kafka_cluster`.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from bridge.routed import Routed
from bridge.sinks.base import NO_FAILURES, Failures, NotConnected, Rejected, Retry
from bridge.sinks.kafka.cluster import Verdict, classify, connection_properties, create_topics, reach
from bridge.sinks.kafka.config import KafkaConfig, KafkaTarget
from bridge.sinks.kafka.records import BY_KEY, Records, target_of
from bridge.templates import Unrenderable
from edgewire import logs
from edgewire.errors import ConfigError, ServiceUnavailable

_POLL_BUSY_S = 0.003
_POLL_IDLE_S = 0.1
_KNOWN_TOPICS = 10_000

log = logs.get("kafka")


class _Report:
    """The delivery reports of one batch."""

    __slots__ = ("complete", "errors", "waiting")

    def __init__(self) -> None:
        self.waiting = 0
        self.errors: dict[int, KafkaError] = {}
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def delivered(self, position: int, error: KafkaError | None, _message: object) -> None:
        """Called by `Producer.poll`, so on the event loop."""
        self.waiting -= 1
        if error is not None:
            self.errors[position] = error
        if not self.waiting and not self.complete.done():
            self.complete.set_result(None)


class KafkaSink:
    """Produces through librdkafka. Its callbacks run on the event loop, from a timer: no thread, no locks."""

    name = "kafka"

    def __init__(self, config: KafkaConfig, targets: Sequence[KafkaTarget], bridge: str) -> None:
        """The topics of `targets` are created where the cluster does not have them."""
        self.config = config
        self._bridge = bridge
        self._topics = tuple(dict.fromkeys(target.topic.fixed for target in targets if target.topic.fixed))
        self._seen: set[str] = set()
        self._made_topics = any(target.topic.fixed is None for target in targets)
        self.trouble: str | None = None
        self._producer: Producer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reports: set[_Report] = set()
        self._records = Records()
        self.batch_messages = config.batch_messages
        self.linger_s = 0.0  # librdkafka has its own

    def lane(self, routed: Routed) -> str | None:
        target = target_of(routed)
        return None if target is None else target.topic.of_lane(routed.address)

    async def connect(self) -> None:
        await asyncio.to_thread(create_topics, self.config, self._topics, self._bridge)
        self._seen = set(self._topics)
        self._producer = self._new_producer()
        self._poll()

    async def write(self, lane: str, batch: Sequence[Routed]) -> Failures:
        verdicts = await self._produce(batch)
        if not verdicts:
            return NO_FAILURES
        failures: dict[int, Retry | Rejected] = {}
        for position, verdict in verdicts.items():
            if verdict is Verdict.TOO_LARGE:
                # The broker refuses a whole record batch for its size: find out whose fault it is, one by one.
                alone = await self._produce([batch[position]]) if len(batch) > 1 else {0: verdict}
                verdict = alone.get(0, Verdict.DELIVERED)
            if verdict is Verdict.TOO_LARGE:
                size = len(batch[position].message.payload)
                failures[position] = Rejected(f"Kafka topic '{lane}' takes no message of {size} bytes: it is too large")
            elif isinstance(verdict, Retry | Rejected):
                failures[position] = verdict
        return failures

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if self._timer:
            self._timer.cancel()
        self._give_up("the Kafka producer was closed")
        if producer:
            with suppress(KafkaException):  # a fatal error comes out of whatever is called first
                producer.purge()
                await asyncio.to_thread(producer.flush, 1.0)

    async def probe(self) -> str:
        return await asyncio.to_thread(reach, self.config, self._topics, self._bridge)

    def preview(self, routed: Routed) -> dict[str, Any]:
        topic, key, partition, headers = self._records.record(routed)
        return {
            "lane": self.lane(routed),
            "destination": topic,
            "key": key,
            "partition": None if partition == BY_KEY else partition,
            "headers": {name: value.decode() if isinstance(value, bytes) else value for name, value in headers},
            "body": routed.message.payload.decode(errors="backslashreplace"),
        }

    async def _produce(self, batch: Sequence[Routed]) -> dict[int, Retry | Rejected | Verdict]:
        """Produce a batch and wait for its reports: what was not delivered, by position."""
        if self._made_topics and (missing := self._unseen(batch)) and (trouble := await self._create(missing)):
            return dict.fromkeys(range(len(batch)), trouble)
        producer = self._producer
        if producer is None:
            raise NotConnected("the Kafka producer is closed")
        report = _Report()
        refused: dict[int, Retry | Rejected | Verdict] = {}
        record = self._records.record  # made and let go one by one: thousands held at once keep the collector busy
        for position, routed in enumerate(batch):
            try:
                topic, key, partition, headers = record(routed)
                delivered = partial(report.delivered, position)
                producer.produce(topic, routed.message.payload, key, partition, delivered, headers=headers)
            except Unrenderable as error:
                refused[position] = Rejected(str(error))
            except BufferError:
                full = Retry(cause="queue_full", reason="librdkafka's queue is full", after_s=_POLL_IDLE_S)
                refused.update(dict.fromkeys(range(position, len(batch)), full))
                break
            except KafkaException as error:
                refused[position] = self._verdict(error.args[0], routed)
            else:
                report.waiting += 1
        if report.waiting:
            await self._complete(report)
        for position, reported in report.errors.items():
            refused[position] = self._verdict(reported, batch[position])
        if self.trouble and not refused:
            log.info("Kafka takes messages again")
            self.trouble = None
        return refused

    def _unseen(self, batch: Sequence[Routed]) -> set[str]:
        """Topics of a batch that the cluster was not yet asked for."""
        topics: set[str] = set()
        for routed in batch:
            with suppress(Unrenderable):
                topics.add(self._records.record(routed).topic)
        return topics - self._seen

    async def _create(self, topics: Collection[str]) -> Retry | None:
        """Create topics that are first heard of now, because their names are made of messages."""
        try:
            await asyncio.to_thread(create_topics, self.config, sorted(topics), self._bridge)
        except ServiceUnavailable as error:
            return Retry(cause="unreachable", reason=str(error))
        if len(self._seen) > _KNOWN_TOPICS:
            self._seen.clear()
        self._seen |= set(topics)
        return None

    async def _complete(self, report: _Report) -> None:
        self._schedule(_POLL_BUSY_S)
        self._reports.add(report)
        try:
            await report.complete
        finally:
            self._reports.discard(report)

    def _verdict(self, error: KafkaError, routed: Routed) -> Retry | Rejected | Verdict:
        topic, _, partition, _ = self._records.record(routed)
        verdict = classify(error, topic)
        if verdict is Verdict.FATAL:
            raise NotConnected(f"the Kafka producer cannot go on: {error.str()}")
        if error.code() == KafkaError._UNKNOWN_PARTITION and partition != BY_KEY:
            return Rejected(f"Kafka topic '{topic}' has no partition {partition}")
        return verdict

    def _on_error(self, error: KafkaError) -> None:
        """librdkafka tries again by itself; this is only to be seen. Called by `Producer.poll`."""
        if self.trouble is None:
            log.warning("Kafka is in trouble, trying again", fault=error.str())
        self.trouble = f"Kafka: {error.str()}"

    def _poll(self) -> None:
        if self._producer is None:
            return
        try:
            self._producer.poll(0)
        except KafkaException as error:
            # confluent-kafka raises a fatal error here rather than hand it to error_cb; no report will come any more.
            self._give_up(f"the Kafka producer cannot go on: {error.args[0].str()}")
        self._schedule(_POLL_BUSY_S if self._reports else _POLL_IDLE_S)

    def _give_up(self, why: str) -> None:
        """What is being written counts as not delivered."""
        for report in self._reports:
            if not report.complete.done():
                report.complete.set_exception(NotConnected(why))

    def _schedule(self, delay_s: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._poll)

    def _new_producer(self) -> Producer:
        config = self.config
        properties: dict[str, Any] = {
            # As Java's default, so that a key is in the same partition whoever produced it.
            "partitioner": "murmur2_random",
            **connection_properties(config, self._bridge),
            "enable.idempotence": True,
            "acks": "all",
            "message.timeout.ms": 0,
            "linger.ms": config.linger,
            "compression.type": config.compression,
            "error_cb": self._on_error,
            "logger": _LOGGER,
        }
        try:
            return Producer(properties)
        except KafkaException as error:
            raise ConfigError(f"kafka.properties: {error.args[0].str()}") from None


class _Forward(logging.Handler):
    """Brings librdkafka's own log lines among ours."""

    def emit(self, record: logging.LogRecord) -> None:
        log.debug("librdkafka", line=record.getMessage())


_LOGGER = logging.Logger("librdkafka")
_LOGGER.addHandler(_Forward())
