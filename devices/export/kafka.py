"""Produces to Kafka: each message to its topic of the contract, with the key and headers that the bridge gives it.

Other topics can be named, and how long to wait for a cluster that is not there.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from devices.export.base import ExportError, ExportWindow, ResumeState
from devices.export.columns import TableSchema, table_schemas
from devices.scenario.devices import Device
from devices.timeline.table import Batch
from devices.timeline.timeline import Timeline
from edgewire.errors import ConfigError
from edgewire.kafka import CLUSTER_DEFAULT, PARTITIONER, create_topics
from edgewire.messages import KAFKA_TOPIC, Channel, Topic
from edgewire.messages.cloudevents import KafkaHeaders, event_source, event_type, topic_headers
from edgewire.redact import KnownSecrets, is_secret_name, show_servers

TIMEOUT_S = 10.0
_DELIVERY_TIMEOUT_MS = 120_000
_QUEUED = 200_000


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """Says to which topics, and how long to try."""

    topics: Mapping[str, str] = field(default_factory=dict)
    """Kind, or topic of the contract -> topic; that of `ALL_TOPICS` is for all others."""
    retries: int | None = None
    """How often a cluster that does not answer is asked again at the start; None for 6. A message is given up after so
    many times the wait; None for two minutes."""
    backoff_s: float = 5.0
    """Between two times."""
    properties: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Further ones of librdkafka, such as `security.protocol`."""
    compression: str = "lz4"
    linger_ms: int = 5
    partitions: int = CLUSTER_DEFAULT
    """Of a topic that has to be created."""
    replicas: int = CLUSTER_DEFAULT
    timeout_s: float | None = None
    """For reaching the cluster and creating topics; None for ten seconds, or less between two times."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Of every message, besides those that the bridge gives it."""


ALL_TOPICS = ""
_RETRIES = 6


def parse_topics(texts: list[str], schemas: list[TableSchema]) -> dict[str, str]:
    """Return the topics that a user named: NAME, or KIND=NAME, or TOPIC_OF_THE_CONTRACT=NAME.

    Raises `ConfigError` for what is no name of a topic, and for what no device of the `schemas` sends.
    """
    known = dict.fromkeys([schema.kind for schema in schemas] + [schema.message.kafka_topic for schema in schemas])
    found: dict[str, str] = {}
    for text in texts:
        stream, _, name = text.rpartition("=")
        if not KAFKA_TOPIC.fullmatch(name):
            raise ConfigError(f"--topic {text}: a topic has letters, digits, '.', '_' and '-', at most 249")
        if stream not in known and stream != ALL_TOPICS:
            raise ConfigError(f"--topic {text}: nothing here goes to '{stream}'; there are {', '.join(known)}")
        found[stream] = name
    return found


class KafkaTopics:
    """Produces with acknowledgement by all replicas; what is saved has arrived."""

    def __init__(
        self,
        timeline: Timeline,
        bootstrap_servers: str,
        options: KafkaOptions | None = None,
        *,
        tell: Callable[[str], None] = lambda _: None,
        wait: Callable[[float], bool] = lambda _: False,
    ) -> None:
        """Produce to a cluster; `wait(seconds)` returns True when the user ends, `tell` is told of what is awaited."""
        if "@" in bootstrap_servers:
            raise ExportError(f"--kafka {show_servers(bootstrap_servers)} has a user: write HOST:PORT")
        self._servers = bootstrap_servers
        self._options = options or KafkaOptions()
        given = self._options.properties.items()
        self._secrets = KnownSecrets([str(value) for name, value in given if is_secret_name(name)])
        self._more_headers: KafkaHeaders = [(name, text.encode()) for name, text in self._options.headers.items()]
        self._tell, self._wait = tell, wait
        self._schemas = table_schemas(timeline)
        self._producer: Producer | None = None
        self._fault: KafkaError | None = None
        self._routes = {(schema.kind, schema.message.channel): self._route(schema) for schema in self._schemas}
        self._heads: dict[tuple[int, Channel], KafkaHeaders] = {}

    def open(self, state: ResumeState | None) -> None:
        """Make the topics that are missing; raises `ExportError` where no broker answers."""
        options = self._options
        properties: dict[str, Any] = {"log_level": 0, **options.properties, "bootstrap.servers": self._servers}
        ours = {
            "enable.idempotence": True,
            "message.timeout.ms": self._delivery_timeout_ms,
            "linger.ms": options.linger_ms,
            "compression.type": options.compression,
        }
        usual = {"partitioner": PARTITIONER, "queue.buffering.max.messages": _QUEUED}
        try:
            admin = AdminClient(properties)
            producer = Producer(usual | properties | ours)
        except KafkaException as error:
            raise self._failure(error.args[0]) from None
        self._await_cluster(admin)
        self._producer = producer

    def write(self, window: ExportWindow) -> int:
        """Produce a window's messages."""
        self._produce(window.timeline, window.batch)
        return window.rows

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

    @property
    def _delivery_timeout_ms(self) -> int:
        retries, backoff_s = self._options.retries, self._options.backoff_s
        return _DELIVERY_TIMEOUT_MS if retries is None else max(round(retries * backoff_s * 1000), 1000)

    def _await_cluster(self, admin: AdminClient) -> None:
        """Make the topics; while no broker answers, try again as often as the options say."""
        retries = _RETRIES if self._options.retries is None else self._options.retries
        for left in range(retries, -1, -1):
            again_s = time.monotonic() + self._options.backoff_s
            try:
                self._make_topics(admin)
                return
            except KafkaException as error:
                failure = self._failure(error.args[0])
            if not left:
                raise failure
            self._tell(f"{failure}: trying again, {left} more {'time' if left == 1 else 'times'}")
            if self._wait(max(0.0, again_s - time.monotonic())):
                raise failure

    def _make_topics(self, admin: AdminClient) -> None:
        """Make those that are missing, with as many partitions and replicas as the cluster gives by default."""
        # Asking takes as long as the pause at the most: librdkafka tries by itself all the while.
        timeout_s = TIMEOUT_S if self._options.timeout_s is None else self._options.timeout_s
        found = admin.list_topics(timeout=min(timeout_s, max(self._options.backoff_s, 1.0)))
        missing = sorted(set(map(self._topic, self._schemas)) - found.topics.keys())
        partitions, replicas = self._options.partitions, self._options.replicas
        results = create_topics(admin, found, missing, partitions=partitions, replicas=replicas, timeout_s=timeout_s)
        for error in results.values():
            if error is not None:
                raise KafkaException(error)
        for topic in set(missing) - results.keys():
            admin.list_topics(topic, timeout=timeout_s)

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
        return ExportError(f"Kafka at {self._servers}: {self._secrets.hide(error.str())}")

    def _headers(
        self, position: int, device: Device, channel: Channel, message_id: str, payload: bytes
    ) -> KafkaHeaders:
        head = self._heads.get((position, channel))
        if head is None:
            topic = Topic(device.site, device.kind, device.device_id, channel)
            head = self._heads[position, channel] = topic_headers(event_source(topic), event_type(topic))
        measured = payload.partition(b'"timestamp":"')[2].partition(b'"')[0]
        return [*head, ("ce_id", message_id.encode()), ("ce_time", measured), *self._more_headers]

    def _route(self, schema: TableSchema) -> Callable[[bytes], str]:
        """Return the topic of a payload of this kind and channel."""
        same = [
            other
            for other in self._schemas
            if other.kind == schema.kind and other.message.channel is schema.message.channel
        ]
        if len(same) == 1:
            topic = self._topic(schema)
            return lambda _: topic
        topics = {name: self._topic(other) for other in same for name in other.message.event_types}
        return lambda payload: topics[orjson.loads(payload)["event_type"]]

    def _topic(self, schema: TableSchema) -> str:
        """Return where messages of this shape go: the most special name that the user gave, else the contract's."""
        own, named = schema.message.kafka_topic, self._options.topics
        return next((named[key] for key in (own, schema.kind, ALL_TOPICS) if key in named), own)
