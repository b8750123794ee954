"""Kafka: idempotent, acknowledged by all replicas, CloudEvents in binary form."""

from bridge.sinks.base import SinkKind
from bridge.sinks.kafka.config import KafkaConfig, KafkaTarget
from bridge.sinks.kafka.sink import KafkaSink

KAFKA = SinkKind("kafka", KafkaConfig, KafkaTarget, KafkaSink)

__all__ = ["KAFKA", "KafkaConfig", "KafkaSink", "KafkaTarget"]
