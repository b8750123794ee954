"""Makes the Kafka record of a message: topic, key, partition, and CloudEvents in binary form as headers. Pure."""

from typing import Any, NamedTuple, cast

from bridge.message.attributes import mqtt_attributes
from bridge.message.event import TopicInfo
from bridge.message.template import TemplateError
from bridge.message.user_properties import trace_context
from bridge.routing.routed import RoutedEvent
from bridge.sinks.kafka.config import KafkaTarget
from bridge.sinks.kafka.value_config import ValueConfig
from edgewire.clock import iso_ms
from edgewire.messages import KAFKA_TOPIC
from edgewire.messages.cloudevents import KafkaHeaders, topic_headers

BY_KEY = -1
"""The partition where the key decides, as librdkafka has it."""

_KNOWN_INFOS = 10_000
_JSON = ValueConfig()
_MEDIA_TYPES = {"avro": b"application/avro", "protobuf": b"application/protobuf"}


class KafkaRecord(NamedTuple):
    """Holds a record as it is produced, without its payload."""

    topic: str
    key: str
    partition: int
    headers: KafkaHeaders


def target_of(event: RoutedEvent) -> KafkaTarget | None:
    """Return where the route of a message leads in Kafka."""
    return cast("KafkaTarget | None", event.route.targets.get("kafka"))


class RecordBuilder:
    """Makes records; remembers the headers that all messages of a site, kind and channel have."""

    def __init__(self, value: ValueConfig = _JSON) -> None:
        """Take how values are written where a route does not say it."""
        self._value = value
        self._prefixes: dict[TopicInfo, KafkaHeaders] = {}

    def build_record(self, event: RoutedEvent) -> KafkaRecord:
        """Return the record of a message whose route leads to Kafka. Raises `TemplateError`."""
        target: Any = event.route.targets["kafka"]
        return KafkaRecord(
            target.topic.fixed or _topic(event, target),
            target.key.render(event),
            BY_KEY if target.partition is None else _partition(event, target),
            self._headers(event, target),
        )

    def _headers(self, event: RoutedEvent, target: KafkaTarget) -> KafkaHeaders:
        info = event.topic_info
        prefix = self._prefixes.get(info)
        if prefix is None:
            if len(self._prefixes) >= _KNOWN_INFOS:
                self._prefixes.clear()
            shared = topic_headers(info.source_prefix, info.type)
            prefix = self._prefixes[info] = [header for header in shared if header[0] != "ce_source"]
        headers = [
            *prefix,
            ("ce_source", event.source.encode()),
            ("ce_id", event.message_id.encode()),
            ("ce_time", event.timestamp.encode()),
        ]
        message = event.message
        if message.qos == 0:
            headers.append(("mqtt_qos", b"0"))
        if message.retain:
            headers.append(("mqtt_retain", b"1"))
        if message.properties:
            headers += [(name, value.encode()) for name, value in trace_context(message.properties)]
            if event.expires_ms is not None:
                headers.append(("ce_expirytime", iso_ms(event.expires_ms).encode()))
        if (message.properties or info.content_type) and (found := event.content_type):
            headers[0] = ("content-type", found.encode())
        if (written := _MEDIA_TYPES.get((target.value or self._value).format)) is not None:
            headers[0] = ("content-type", written)
        if info.is_foreign:
            if event.is_raw:
                headers += [(name, value.encode()) for name, value in mqtt_attributes(event)]
            else:
                headers.append(("mqtt_topic", message.topic.encode()))
        if target.headers:
            headers += [(name, value.render(event).encode()) for name, value in target.headers.items()]
        return headers


def _topic(event: RoutedEvent, target: KafkaTarget) -> str:
    topic = target.topic.render(event)
    if not KAFKA_TOPIC.fullmatch(topic):
        raise TemplateError(f"template '{target.topic}' makes '{topic[:80]}', which is no name of a Kafka topic")
    return topic


def _partition(event: RoutedEvent, target: KafkaTarget) -> int:
    partition = target.partition.render(event) if target.partition else ""
    # At most what librdkafka can take as a number.
    if not (partition.isascii() and partition.isdecimal() and len(partition) < 10):
        raise TemplateError(
            f"template '{target.partition}' makes '{partition[:80]}', which is no number of a partition"
        )
    return int(partition)
