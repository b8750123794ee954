"""Produces to Kafka: idempotent, acknowledged by all replicas, keyed by device, CloudEvents in binary form.

The queue of a message is its Kafka topic, or where that is made of the message what all topics of a site, kind and
channel have in common. What a broker refuses is sent again one by one: whose fault it was shows then, and no later
message of a device overtakes. Topics and what Kafka's errors mean are in `admin`, the producers in `producer`.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from confluent_kafka import KafkaError, KafkaException, Producer

from bridge.message.template import TemplateError
from bridge.routing.routed import RoutedEvent
from bridge.sinks.base import NO_FAILURES, Failure, Failures, NotConnected, Rejected, Retry, Scope, stops_queue
from bridge.sinks.kafka.admin import (
    OF_TOPIC,
    ErrorClass,
    classify_error,
    connection_code,
    connection_properties,
    create_missing_topics,
    describe_cluster,
    explain_error,
)
from bridge.sinks.kafka.config import KafkaSinkConfig, KafkaTarget
from bridge.sinks.kafka.producer import POLL_IDLE_S, BatchReport, KafkaProducers
from bridge.sinks.kafka.record import BY_KEY, RecordBuilder, target_of
from bridge.sinks.kafka.schema_registry import SchemaRegistry
from bridge.sinks.kafka.values import ValueWriter, describe_value
from edgewire import logs
from edgewire.clock import Clock, SystemClock
from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.redact import hide_named_secrets, show_header

_KNOWN_TOPICS = 10_000

log = logs.get("kafka")


class KafkaSink:
    """Produces through librdkafka."""

    name = "kafka"

    def __init__(
        self, config: KafkaSinkConfig, targets: Sequence[KafkaTarget], bridge: str, clock: Clock | None = None
    ) -> None:
        """Take the settings; the topics of `targets` are created where the cluster does not have them."""
        self.config = config
        self._bridge = bridge
        self._topics = tuple(dict.fromkeys(target.topic.fixed for target in targets if target.topic.fixed))
        self._known_topics: set[str] = set()
        self.destinations = self._topics
        self._has_topic_templates = any(target.topic.fixed is None for target in targets)
        self.last_error: str | None = None
        self._logged: set[int] = set()  # codes of errors, until messages are taken again
        properties = {
            **connection_properties(config, bridge),
            "linger.ms": config.linger,
            "compression.type": config.compression,
        }
        self._producers = KafkaProducers(properties, self._on_error)
        self._refused: set[str] = set()  # queues in which something was refused, until all of it is delivered
        self._records = RecordBuilder(config.value)
        self._values = self._make_values(targets, clock or SystemClock())
        self.batch_messages = config.batch_messages
        self.linger_s = 0.0  # librdkafka has its own

    def queue_key(self, event: RoutedEvent) -> str | None:
        target = target_of(event)
        return None if target is None else target.topic.render_static(event.topic_info)

    async def connect(self) -> None:
        await asyncio.to_thread(create_missing_topics, self.config, self._topics, self._bridge)
        self._known_topics = set(self._topics)
        if self._values is not None:
            self._values.open()
        self._producers.open()

    async def write(self, queue_key: str, batch: Sequence[RoutedEvent]) -> Failures:
        if self._has_topic_templates and (new := self._new_topics(batch)) and (retry := await self._create_topics(new)):
            return dict.fromkeys(range(len(batch)), retry)
        failures: dict[int, Failure] = {}
        values = None
        left: Collection[int] = range(len(batch))
        if self._values is not None:
            topics = [self._topic_of(event) for event in batch]
            values, failures = await self._values.write_values(batch, topics)
            left = [position for position in left if position not in failures]
        if left and queue_key not in self._refused:
            left = await self._send(self._producers.pipelined(), batch, values, left, failures)
        if left:
            self._refused.add(queue_key)
            await self._send_one_by_one(batch, values, sorted(left), failures)
        if not any(stops_queue(failure) for failure in failures.values()):
            self._refused.discard(queue_key)
        if not failures:
            if self.last_error:
                log.info("Kafka takes messages again")
                self.last_error = None
                self._logged.clear()
            return NO_FAILURES
        return failures

    async def close(self) -> None:
        await self._producers.close()
        if self._values is not None:
            await self._values.close()

    async def probe(self) -> str:
        said = await asyncio.to_thread(describe_cluster, self.config, self._topics, self._bridge)
        return said if self._values is None else f"{said}; {await self._values.probe()}"

    def preview(self, event: RoutedEvent) -> dict[str, Any]:
        topic, key, partition, headers = self._records.build_record(event)
        target = target_of(event)
        assert target is not None
        value = target.value or self.config.value
        written = {} if value.format == "json" else {"value": describe_value(event, value, topic)}
        return {
            "lane": self.queue_key(event),
            "destination": topic,
            "key": key,
            "partition": None if partition == BY_KEY else partition,
            "headers": {name: _shown(name, said, target) for name, said in headers},
            "body": hide_named_secrets(event.body.decode(errors="backslashreplace")),
            **written,
        }

    async def _send(
        self,
        producer: Producer,
        batch: Sequence[RoutedEvent],
        values: Sequence[bytes | None] | None,
        positions: Collection[int],
        failures: dict[int, Failure],
    ) -> dict[int, KafkaError]:
        """Send these of a batch, with `values` or else their bodies, and return what was refused.

        What cannot be sent at all goes into `failures`.
        """
        report = BatchReport()
        stopped: Retry | KafkaError | None = None
        build_record = (
            self._records.build_record
        )  # made and let go one by one: thousands at once keep the collector busy
        for position in positions:
            if stopped is not None:  # what follows would overtake
                if isinstance(stopped, Retry):
                    failures[position] = stopped
                else:
                    report.errors[position] = stopped
                continue
            event = batch[position]
            try:
                topic, key, partition, headers = build_record(event)
                on_delivery = partial(report.on_delivery, position)
                value = event.body if values is None else values[position]
                producer.produce(topic, value, key, partition, on_delivery, headers=headers)
            except TemplateError as error:
                failures[position] = Rejected(str(error))
            except BufferError:
                stopped = Retry(cause="queue_full", reason="librdkafka's queue is full", after_s=POLL_IDLE_S)
                failures[position] = stopped
            except KafkaException as error:
                failure = self._classify(error.args[0], event)
                if failure is ErrorClass.FATAL:
                    self._producers.discard(producer, error.args[0])
                    stopped = report.errors[position] = error.args[0]
                else:
                    failures[position] = failure
                    stopped = failure if isinstance(failure, Retry) and stops_queue(failure) else None
            else:
                report.waiting += 1
        await self._producers.wait_for(report)
        return report.errors

    async def _send_one_by_one(
        self,
        batch: Sequence[RoutedEvent],
        values: Sequence[bytes | None] | None,
        positions: Sequence[int],
        failures: dict[int, Failure],
    ) -> None:
        """Send each after the one before it is delivered or rejected; those behind one that has to wait, wait too.

        Where a device has to wait alone, these are the others of its own.
        """
        held: dict[str, Failure] = {}
        for at, position in enumerate(positions):
            device = batch[position].device_id
            if device in held:
                failures[position] = held[device]
                continue
            refused = await self._send(self._producers.sequential(), batch, values, [position], failures)
            for error in refused.values():
                found = self._classify(error, batch[position])
                if found is ErrorClass.FATAL:
                    raise NotConnected(f"the Kafka producer cannot go on: {error.str()}")
                failures[position] = found
            failure = failures.get(position)
            if failure is not None and stops_queue(failure):
                failures.update(dict.fromkeys(positions[at:], failure))
                return
            if isinstance(failure, Retry):
                held[device] = failure

    def _make_values(self, targets: Sequence[KafkaTarget], clock: Clock) -> ValueWriter | None:
        """Return what writes values that have schemas; None where all are JSON. Raises `ConfigError`."""
        config = self.config
        forms = {(target.value or config.value).format for target in targets} - {"json"}
        if not forms:
            if config.schema_registry is not None:
                raise ConfigError("kafka.schema_registry is set, but all values are JSON: write kafka.value: avro")
            return None
        if config.schema_registry is None:
            raise ConfigError(
                f"kafka.value is {sorted(forms)[0]}, but kafka.schema_registry is missing: write its URL there"
            )
        return ValueWriter(config, SchemaRegistry(config.schema_registry), clock)

    def _topic_of(self, event: RoutedEvent) -> str | None:
        """Return the topic of a message; None where none can be made of it, which is told when it is sent."""
        try:
            return self._records.build_record(event).topic
        except TemplateError:
            return None

    def _new_topics(self, batch: Sequence[RoutedEvent]) -> set[str]:
        """Return the topics of a batch that the cluster was not yet asked for."""
        topics: set[str] = set()
        for event in batch:
            with suppress(TemplateError):
                topics.add(self._records.build_record(event).topic)
        return topics - self._known_topics

    async def _create_topics(self, topics: Collection[str]) -> Retry | None:
        """Create topics that are first heard of now, because their names are made of messages."""
        try:
            await asyncio.to_thread(create_missing_topics, self.config, sorted(topics), self._bridge)
        except ServiceUnavailable as error:
            return Retry(cause="unreachable", reason=str(error))
        if len(self._known_topics) > _KNOWN_TOPICS:
            self._known_topics.clear()
        self._known_topics |= set(topics)
        return None

    def _classify(self, error: KafkaError, event: RoutedEvent) -> Retry | Rejected | Literal[ErrorClass.FATAL]:
        """Return what an error means for a message that was sent alone, or not at all."""
        topic, _, partition, _ = self._records.build_record(event)
        found = classify_error(error, topic)
        if found is ErrorClass.TOO_LARGE:
            size = len(event.body)
            return Rejected(f"Kafka topic '{topic}' takes no message of {size} bytes: it is too large")
        if error.code() == KafkaError._UNKNOWN_PARTITION and partition != BY_KEY:
            return Rejected(f"Kafka topic '{topic}' has no partition {partition}")
        target = target_of(event)
        if isinstance(found, Retry) and error.code() in OF_TOPIC and target and target.topic.fixed is None:
            # The topic is made of this message: others have another one.
            return replace(found, scope=Scope.DEVICE)
        return found

    def _on_error(self, error: KafkaError) -> None:
        """Show what librdkafka goes on trying by itself. Called by `Producer.poll`."""
        said, code = explain_error(error), connection_code(error)
        if code not in self._logged:
            self._logged.add(code)
            log.warning("Kafka is in trouble, trying again", fault=said)
        # That all brokers are down follows whatever is wrong with each of them, and does not say what that is.
        if self.last_error is None or code != KafkaError._ALL_BROKERS_DOWN:
            self.last_error = f"Kafka: {said}"
        if error.code() == KafkaError._CRIT_SYS_RESOURCE:
            # Without the thread that it could not make, librdkafka has no connection and never tries again.
            self._producers.fail(f"Kafka's client lacks memory or a thread: {error.str()}")


def _shown(name: str, value: str | bytes | None, target: KafkaTarget | None) -> str | None:
    text = value.decode() if isinstance(value, bytes) else value
    written = target.headers.get(name) if target else None
    return text if text is None or written is None else show_header(name, written.text, text)
