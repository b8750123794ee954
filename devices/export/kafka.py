"""Produces to Kafka: each message to its topic of the contract, with the key and headers that the bridge gives it."""

from collections.abc import Callable
from typing import Any

import orjson
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from devices.export.base import ExportError, ExportWindow, ResumeState
from devices.export.columns import TableSchema, table_schemas
from devices.scenario.devices import Device
from devices.timeline.table import Batch
from devices.timeline.timeline import Timeline
from edgewire.kafka import PARTITIONER, create_topics
from edgewire.messages import Channel, Topic
from edgewire.messages.cloudevents import KafkaHeaders, event_source, event_type, topic_headers

TIMEOUT_S = 10.0
_DELIVERY_TIMEOUT_MS = 120_000
_QUEUED = 200_000


class KafkaTopics:
    """Produces with acknowledgement by all replicas; what is saved has arrived."""

    def __init__(self, timeline: Timeline, bootstrap_servers: str) -> None:
        self._servers = bootstrap_servers
        self._schemas = table_schemas(timeline)
        self._producer: Producer | None = None
        self._fault: KafkaError | None = None
        self._routes = {(schema.kind, schema.message.channel): self._route(schema) for schema in self._schemas}
        self._heads: dict[tuple[int, Channel], KafkaHeaders] = {}

    def open(self, state: ResumeState | None) -> None:
        """Make the topics that are missing; raises `ExportError` where no broker answers."""
        properties: dict[str, Any] = {"bootstrap.servers": self._servers, "log_level": 0}
        try:
            self._make_topics(AdminClient(properties))
        except KafkaException as error:
            raise self._failure(error.args[0]) from None
        self._producer = Producer(
            properties
            | {
                "partitioner": PARTITIONER,
                "enable.idempotence": True,
                "message.timeout.ms": _DELIVERY_TIMEOUT_MS,
                "linger.ms": 5,
                "compression.type": "lz4",
                "queue.buffering.max.messages": _QUEUED,
            }
        )

    def write(self, window: ExportWindow) -> int:
        """Produce a window's messages."""
        self._produce(window.timeline, window.batch)
        return len(window.batch)

    def write_batch(self, timeline: Timeline, batch: Batch) -> None:
        """Produce some messages; they have arrived when this returns."""
        self._produce(timeline, batch)
        self._flush()

    def save_state(self) -> ResumeState:
        """Wait until all that was produced has arrived."""
        self._flush()
        return {}

    def finish(self) -> None:
        """Wait until all that was produced has arrived, and end the producer."""
        self._flush()
        self._producer = None

    def abandon(self) -> None:
        """End the producer; what is queued is dropped."""
        if self._producer:
            self._producer.purge()
            self._producer.flush(1.0)
            self._producer = None

    def _make_topics(self, admin: AdminClient) -> None:
        """Make those that are missing, with as many partitions and replicas as the cluster gives by default."""
        found = admin.list_topics(timeout=TIMEOUT_S)
        missing = sorted({schema.message.kafka_topic for schema in self._schemas} - found.topics.keys())
        results = create_topics(admin, found, missing, timeout_s=TIMEOUT_S)
        for error in results.values():
            if error is not None:
                raise KafkaException(error)
        for topic in set(missing) - results.keys():
            admin.list_topics(topic, timeout=TIMEOUT_S)

    def _produce(self, timeline: Timeline, batch: Batch) -> None:
        producer = self._producer
        assert producer is not None, "the target is not open"
        rows = zip(batch.device, batch.boot, batch.seq, batch.channel, batch.payload, strict=True)
        for position, boot, seq, channel, payload in rows:
            device = timeline.devices[position]
            topic = self._routes[device.kind, channel](payload)
            message_id = f"{device.device_id}:{boot}:{seq}"
            headers = self._headers(position, device, channel, message_id, payload)
            while True:
                try:
                    producer.produce(topic, payload, device.device_id, headers=headers, on_delivery=self._delivered)
                    break
                except BufferError:
                    producer.poll(0.1)
                    self._check()
        producer.poll(0)
        self._check()

    def _flush(self) -> None:
        assert self._producer is not None, "the target is not open"
        while self._producer.flush(1.0):
            self._check()
        self._check()

    def _delivered(self, error: KafkaError | None, _message: object) -> None:
        self._fault = self._fault or error

    def _check(self) -> None:
        if self._fault:
            raise self._failure(self._fault)

    def _failure(self, error: KafkaError) -> ExportError:
        return ExportError(f"Kafka at {self._servers}: {error.str()}")

    def _headers(
        self, position: int, device: Device, channel: Channel, message_id: str, payload: bytes
    ) -> KafkaHeaders:
        head = self._heads.get((position, channel))
        if head is None:
            topic = Topic(device.site, device.kind, device.device_id, channel)
            head = self._heads[position, channel] = topic_headers(event_source(topic), event_type(topic))
        measured = payload.partition(b'"timestamp":"')[2].partition(b'"')[0]
        return [*head, ("ce_id", message_id.encode()), ("ce_time", measured)]

    def _route(self, schema: TableSchema) -> Callable[[bytes], str]:
        """Return the topic of a payload of this kind and channel."""
        same = [
            other
            for other in self._schemas
            if other.kind == schema.kind and other.message.channel is schema.message.channel
        ]
        if len(same) == 1:
            return lambda _: schema.message.kafka_topic
        topics = {name: other.message.kafka_topic for other in same for name in other.message.event_types}
        return lambda payload: topics[orjson.loads(payload)["event_type"]]
