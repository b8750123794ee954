"""The Kafka sink: idempotent, acknowledged by all replicas, keyed by device, CloudEvents in binary form.

The lane of a message is its Kafka topic. `message.timeout.ms=0` leaves retrying to librdkafka, which keeps the order of
a partition through its retries; what comes back from it is either for good or for a new producer. Topics and what its
errors mean are in `kafka_cluster`.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from bridge.config import KafkaConfig
from bridge.routing import Address, Routed
from bridge.sinks.base import NO_FAILURES, Failures, NotConnected, Rejected, Retry
from bridge.sinks.kafka_cluster import Verdict, classify, connection_properties, create_topics, reach
from edgewire import logs
from edgewire.errors import ConfigError

Headers = list[tuple[str, str | bytes | None]]

_POLL_BUSY_S = 0.003
_POLL_IDLE_S = 0.1
_KNOWN_ADDRESSES = 100_000

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

    def __init__(self, config: KafkaConfig, topics: Sequence[str]) -> None:
        """`topics` are created where the cluster does not have them."""
        self.config = config
        self._topics = tuple(topics)
        self.trouble: str | None = None
        self._producer: Producer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reports: set[_Report] = set()
        self._prefixes: dict[Address, Headers] = {}
        self.batch_messages = config.batch_messages
        self.linger_s = 0.0  # librdkafka has its own

    def lane(self, routed: Routed) -> str | None:
        target = routed.route.kafka
        return target.topic if target else None

    async def connect(self) -> None:
        await asyncio.to_thread(create_topics, self.config, self._topics)
        self._producer = self._new_producer()
        self._poll()

    async def write(self, lane: str, batch: Sequence[Routed]) -> Failures:
        verdicts = await self._produce(lane, batch)
        if not verdicts:
            return NO_FAILURES
        failures: dict[int, Retry | Rejected] = {}
        for position, verdict in verdicts.items():
            if verdict is Verdict.TOO_LARGE:
                # The broker refuses a whole record batch for its size: find out whose fault it is, one by one.
                alone = await self._produce(lane, [batch[position]]) if len(batch) > 1 else {0: verdict}
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
        for report in self._reports:
            if not report.complete.done():
                report.complete.set_exception(NotConnected("the Kafka producer was closed"))
        if producer:
            producer.purge()
            await asyncio.to_thread(producer.flush, 1.0)

    async def probe(self) -> str:
        return await asyncio.to_thread(reach, self.config, self._topics)

    async def _produce(self, topic: str, batch: Sequence[Routed]) -> dict[int, Retry | Rejected | Verdict]:
        """Produce a batch and wait for its reports: what was not delivered, by position."""
        producer = self._producer
        if producer is None:
            raise NotConnected("the Kafka producer is closed")
        report = _Report()
        refused: dict[int, Retry | Rejected | Verdict] = {}
        for position, routed in enumerate(batch):
            try:
                producer.produce(
                    topic,
                    routed.message.payload,
                    routed.kafka_key,
                    on_delivery=partial(report.delivered, position),
                    headers=self._headers(routed),
                )
            except BufferError:
                full = Retry(cause="queue_full", reason="librdkafka's queue is full", after_s=_POLL_IDLE_S)
                refused.update(dict.fromkeys(range(position, len(batch)), full))
                break
            except KafkaException as error:
                refused[position] = self._verdict(error.args[0], topic)
            else:
                report.waiting += 1
        if report.waiting:
            await self._complete(report)
        for position, reported in report.errors.items():
            refused[position] = self._verdict(reported, topic)
        if self.trouble and not refused:
            log.info("Kafka takes messages again")
            self.trouble = None
        return refused

    async def _complete(self, report: _Report) -> None:
        self._schedule(_POLL_BUSY_S)
        self._reports.add(report)
        try:
            await report.complete
        finally:
            self._reports.discard(report)

    def _verdict(self, error: KafkaError, topic: str) -> Retry | Rejected | Verdict:
        verdict = classify(error, topic)
        if verdict is Verdict.FATAL:
            raise NotConnected(f"the Kafka producer cannot go on: {error.str()}")
        return verdict

    def _headers(self, routed: Routed) -> Headers:
        prefix = self._prefixes.get(routed.address)
        if prefix is None:
            if len(self._prefixes) >= _KNOWN_ADDRESSES:
                self._prefixes.clear()
            prefix = self._prefixes[routed.address] = _prefix(routed.address)
        headers = [*prefix, ("ce_id", routed.message_id.encode()), ("ce_time", routed.timestamp.encode())]
        message = routed.message
        if message.qos == 0:
            headers.append(("mqtt_qos", b"0"))
        if message.retain:
            headers.append(("mqtt_retain", b"1"))
        return headers

    def _on_error(self, error: KafkaError) -> None:
        """librdkafka tries again by itself; this is only to be seen. Called by `Producer.poll`."""
        if self.trouble is None:
            log.warning("Kafka is in trouble, trying again", fault=error.str())
        self.trouble = f"Kafka: {error.str()}"

    def _poll(self) -> None:
        if self._producer is not None:
            self._producer.poll(0)
            self._schedule(_POLL_BUSY_S if self._reports else _POLL_IDLE_S)

    def _schedule(self, delay_s: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._poll)

    def _new_producer(self) -> Producer:
        config = self.config
        properties: dict[str, Any] = {
            # As Java's default, so that a key is in the same partition whoever produced it.
            "partitioner": "murmur2_random",
            **connection_properties(config),
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


def _prefix(address: Address) -> Headers:
    """The headers that are the same for every message of a topic."""
    return [
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_type", address.type.encode()),
        ("ce_source", address.source.encode()),
    ]


class _Forward(logging.Handler):
    """Brings librdkafka's own log lines among ours."""

    def emit(self, record: logging.LogRecord) -> None:
        log.debug("librdkafka", line=record.getMessage())


_LOGGER = logging.Logger("librdkafka")
_LOGGER.addHandler(_Forward())
