"""The Kafka sink: idempotent, acknowledged by all replicas, keyed by device, CloudEvents in binary form.

The lane of a message is its Kafka topic, or where that is made of the message what all topics of a site, kind and
channel have in common. What a broker refuses is sent again one by one: whose fault it was shows then, and no later
message of a device overtakes. Topics and what Kafka's errors mean are in `cluster`, the producers in `producers`.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal

from confluent_kafka import KafkaError, KafkaException

from bridge.message.template import TemplateError
from bridge.routing.routed import RoutedEvent
from bridge.sinks.base import NO_FAILURES, Failures, NotConnected, Rejected, Retry
from bridge.sinks.kafka.admin import Verdict, classify, connection_properties, create_topics, reach
from bridge.sinks.kafka.config import KafkaConfig, KafkaTarget
from bridge.sinks.kafka.producer import POLL_IDLE_S, Producers, Report
from bridge.sinks.kafka.record import BY_KEY, Records, target_of
from edgewire import logs
from edgewire.clock import Clock
from edgewire.errors import ServiceUnavailable

_KNOWN_TOPICS = 10_000

log = logs.get("kafka")


class KafkaSink:
    """Produces through librdkafka."""

    name = "kafka"

    def __init__(
        self, config: KafkaConfig, targets: Sequence[KafkaTarget], bridge: str, _clock: Clock | None = None
    ) -> None:
        """The topics of `targets` are created where the cluster does not have them."""
        self.config = config
        self._bridge = bridge
        self._topics = tuple(dict.fromkeys(target.topic.fixed for target in targets if target.topic.fixed))
        self._seen: set[str] = set()
        self._made_topics = any(target.topic.fixed is None for target in targets)
        self.last_error: str | None = None
        properties = {
            **connection_properties(config, bridge),
            "linger.ms": config.linger,
            "compression.type": config.compression,
        }
        self._producers = Producers(properties, self._on_error)
        self._refused: set[str] = set()  # lanes in which something was refused, until all of it is delivered
        self._records = Records()
        self.batch_messages = config.batch_messages
        self.linger_s = 0.0  # librdkafka has its own

    def queue_key(self, routed: RoutedEvent) -> str | None:
        target = target_of(routed)
        return None if target is None else target.topic.of_lane(routed.address)

    async def connect(self) -> None:
        await asyncio.to_thread(create_topics, self.config, self._topics, self._bridge)
        self._seen = set(self._topics)
        self._producers.open()

    async def write(self, queue_key: str, batch: Sequence[RoutedEvent]) -> Failures:
        if self._made_topics and (missing := self._unseen(batch)) and (trouble := await self._create(missing)):
            return dict.fromkeys(range(len(batch)), trouble)
        failures: dict[int, Retry | Rejected] = {}
        left: Collection[int] = range(len(batch))
        if queue_key not in self._refused:
            left = await self._send(batch, left, failures, careful=False)
        if left:
            self._refused.add(queue_key)
            await self._send_one_by_one(batch, sorted(left), failures)
        if not any(isinstance(failure, Retry) for failure in failures.values()):
            self._refused.discard(queue_key)
        if not failures:
            if self.last_error:
                log.info("Kafka takes messages again")
                self.last_error = None
            return NO_FAILURES
        return failures

    async def close(self) -> None:
        await self._producers.close()

    async def probe(self) -> str:
        return await asyncio.to_thread(reach, self.config, self._topics, self._bridge)

    def preview(self, routed: RoutedEvent) -> dict[str, Any]:
        topic, key, partition, headers = self._records.record(routed)
        return {
            "lane": self.queue_key(routed),
            "destination": topic,
            "key": key,
            "partition": None if partition == BY_KEY else partition,
            "headers": {name: value.decode() if isinstance(value, bytes) else value for name, value in headers},
            "body": routed.message.payload.decode(errors="backslashreplace"),
        }

    async def _send(
        self,
        batch: Sequence[RoutedEvent],
        positions: Collection[int],
        failures: dict[int, Retry | Rejected],
        *,
        careful: bool,
    ) -> dict[int, KafkaError]:
        """Send these of a batch; what was refused. What cannot be sent at all is noted among `failures`."""
        producer = self._producers.take(careful=careful)
        report = Report()
        stopped: Retry | KafkaError | None = None
        record = self._records.record  # made and let go one by one: thousands held at once keep the collector busy
        for position in positions:
            if stopped is not None:  # what follows would overtake
                if isinstance(stopped, Retry):
                    failures[position] = stopped
                else:
                    report.errors[position] = stopped
                continue
            routed = batch[position]
            try:
                topic, key, partition, headers = record(routed)
                delivered = partial(report.delivered, position)
                producer.produce(topic, routed.message.payload, key, partition, delivered, headers=headers)
            except TemplateError as error:
                failures[position] = Rejected(str(error))
            except BufferError:
                stopped = Retry(cause="queue_full", reason="librdkafka's queue is full", after_s=POLL_IDLE_S)
                failures[position] = stopped
            except KafkaException as error:
                verdict = self._verdict(error.args[0], routed)
                if verdict is Verdict.FATAL:
                    self._producers.broke(producer, error.args[0])
                    stopped = report.errors[position] = error.args[0]
                else:
                    failures[position] = verdict
                    stopped = verdict if isinstance(verdict, Retry) else None
            else:
                report.waiting += 1
        await self._producers.complete(report)
        return report.errors

    async def _send_one_by_one(
        self, batch: Sequence[RoutedEvent], positions: Sequence[int], failures: dict[int, Retry | Rejected]
    ) -> None:
        """Each after the one before it is delivered or rejected; those behind one that has to wait, wait too."""
        for at, position in enumerate(positions):
            for error in (await self._send(batch, [position], failures, careful=True)).values():
                verdict = self._verdict(error, batch[position])
                if verdict is Verdict.FATAL:
                    raise NotConnected(f"the Kafka producer cannot go on: {error.str()}")
                failures[position] = verdict
            failure = failures.get(position)
            if isinstance(failure, Retry):
                failures.update(dict.fromkeys(positions[at:], failure))
                return

    def _unseen(self, batch: Sequence[RoutedEvent]) -> set[str]:
        """Topics of a batch that the cluster was not yet asked for."""
        topics: set[str] = set()
        for routed in batch:
            with suppress(TemplateError):
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

    def _verdict(self, error: KafkaError, routed: RoutedEvent) -> Retry | Rejected | Literal[Verdict.FATAL]:
        """What an error means for a message that was sent alone, or not at all."""
        topic, _, partition, _ = self._records.record(routed)
        verdict = classify(error, topic)
        if verdict is Verdict.TOO_LARGE:
            size = len(routed.message.payload)
            return Rejected(f"Kafka topic '{topic}' takes no message of {size} bytes: it is too large")
        if error.code() == KafkaError._UNKNOWN_PARTITION and partition != BY_KEY:
            return Rejected(f"Kafka topic '{topic}' has no partition {partition}")
        return verdict

    def _on_error(self, error: KafkaError) -> None:
        """librdkafka tries again by itself; this is only to be seen. Called by `Producer.poll`."""
        if self.last_error is None:
            log.warning("Kafka is in trouble, trying again", fault=error.str())
        self.last_error = f"Kafka: {error.str()}"
