"""The Kafka record of a message: topic, key, partition, and CloudEvents in binary form as headers. Pure."""

from typing import Any, NamedTuple, cast

from bridge.message.event import Address
from bridge.message.template import TemplateError
from bridge.message.user_properties import trace_context
from bridge.routing.routed import RoutedEvent
from bridge.sinks.kafka.config import TOPIC_NAME, KafkaTarget
from edgewire.messages.cloudevents import KafkaHeaders, topic_headers

BY_KEY = -1
"""The partition where the key decides, as librdkafka has it."""


_KNOWN_ADDRESSES = 100_000


class Record(NamedTuple):
    """What is produced, besides the payload."""

    topic: str
    key: str
    partition: int
    headers: KafkaHeaders


def target_of(routed: RoutedEvent) -> KafkaTarget | None:
    """Where the route of a message leads in Kafka."""
    return cast("KafkaTarget | None", routed.route.targets.get("kafka"))


class Records:
    """Makes records; remembers the headers that all messages of an address have."""

    def __init__(self) -> None:
        self._prefixes: dict[Address, KafkaHeaders] = {}

    def record(self, routed: RoutedEvent) -> Record:
        """The record of a message whose route leads to Kafka. Raises `TemplateError`."""
        target: Any = routed.route.targets["kafka"]
        return Record(
            target.topic.fixed or _topic(routed, target),
            target.key.render(routed),
            BY_KEY if target.partition is None else _partition(routed, target),
            self._headers(routed, target),
        )

    def _headers(self, routed: RoutedEvent, target: KafkaTarget) -> KafkaHeaders:
        prefix = self._prefixes.get(routed.address)
        if prefix is None:
            if len(self._prefixes) >= _KNOWN_ADDRESSES:
                self._prefixes.clear()
            prefix = self._prefixes[routed.address] = topic_headers(routed.address.source, routed.address.type)
        headers = [*prefix, ("ce_id", routed.message_id.encode()), ("ce_time", routed.timestamp.encode())]
        message = routed.message
        if message.qos == 0:
            headers.append(("mqtt_qos", b"0"))
        if message.retain:
            headers.append(("mqtt_retain", b"1"))
        if message.properties:
            headers += [(name, value.encode()) for name, value in trace_context(message.properties)]
        if target.headers:
            headers += [(name, value.render(routed).encode()) for name, value in target.headers.items()]
        return headers


def _topic(routed: RoutedEvent, target: KafkaTarget) -> str:
    topic = target.topic.render(routed)
    if not TOPIC_NAME.fullmatch(topic):
        raise TemplateError(f"template '{target.topic}' makes '{topic[:80]}', which is no name of a Kafka topic")
    return topic


def _partition(routed: RoutedEvent, target: KafkaTarget) -> int:
    partition = target.partition.render(routed) if target.partition else ""
    # At most what librdkafka can take as a number.
    if not (partition.isascii() and partition.isdecimal() and len(partition) < 10):
        raise TemplateError(
            f"template '{target.partition}' makes '{partition[:80]}', which is no number of a partition"
        )
    return int(partition)
