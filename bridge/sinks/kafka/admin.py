"""Asks a Kafka cluster as an administrator does, and says what its errors mean for a message. Blocking calls."""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata

import edgewire.kafka
from bridge.sinks.base import Rejected, Retry
from bridge.sinks.kafka.config import KafkaSinkConfig
from edgewire import logs
from edgewire.errors import ConfigError, ServiceUnavailable

log = logs.get("kafka")


class ErrorClass(Enum):
    """Says what an error is where it is neither a plain retry nor a plain rejection."""

    TOO_LARGE = auto()
    """The message, or the record batch it was in."""
    FATAL = auto()
    """The producer can do nothing more."""


_REJECTED = frozenset({KafkaError.INVALID_RECORD, KafkaError._INVALID_ARG})

_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})

_FATAL = frozenset({KafkaError._FATAL, KafkaError._STATE, KafkaError._DESTROY})

_NEEDS_OPERATOR = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.INVALID_REQUIRED_ACKS,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)

OF_TOPIC = frozenset(
    {
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)
"""Said of a topic, and of no other: where a topic is made of the message, others of its queue may go on."""

_HINTS = {
    KafkaError._AUTHENTICATION: "look at sasl.username, sasl.password and sasl.mechanism in kafka.properties",
    KafkaError.INVALID_TIMESTAMP: "compare the clock of this machine with the brokers', and look at the topic's"
    " message.timestamp.after.max.ms and message.timestamp.before.max.ms",
    KafkaError._SSL: "look whether the certificates have ended, and at security.protocol, ssl.ca.location and"
    " ssl.certificate.location in kafka.properties",
}
"""Error -> what a person should look at."""

_REFUSED_BY_TLS = "SSL routines"
"""In what librdkafka says where a broker ends the handshake, as for want of a certificate; no TLS error, to it."""


def connection_code(error: KafkaError) -> int:
    """Return the code of what went wrong with a connection: that of TLS also where librdkafka gives another."""
    return int(KafkaError._SSL if _REFUSED_BY_TLS in error.str() else error.code())


def explain_error(error: KafkaError) -> str:
    """Return what librdkafka says of a connection, and what a person should look at."""
    hint = _HINTS.get(connection_code(error))
    # "sasl_ssl://HOST/ID: what happened (after 300ms in state AUTH_REQ)"
    said = error.str().rpartition(" (after ")[0] or error.str()
    return f"{said}; {hint}" if hint else said


def classify_error(error: KafkaError, topic: str) -> Retry | Rejected | ErrorClass:
    """Return what a delivery error means for its message."""
    code = error.code()
    if error.fatal() or code in _FATAL:
        return ErrorClass.FATAL
    if code in _TOO_LARGE:
        return ErrorClass.TOO_LARGE
    reason = f"Kafka topic '{topic}': {error.str()}"
    if code == KafkaError.INVALID_TIMESTAMP:
        reason = f"{reason}: {_HINTS[code]}"
    if code in _REJECTED:
        return Rejected(reason)
    return Retry(cause=error.name().lower().lstrip("_"), reason=reason, needs_operator=code in _NEEDS_OPERATOR)


def refusal_of(error: KafkaError) -> ConfigError | ServiceUnavailable:
    """Return what to raise where librdkafka makes no client: for its properties, or for want of memory or threads."""
    # Of the last of its threads librdkafka tells no code.
    if error.code() == KafkaError._CRIT_SYS_RESOURCE or "thread" in error.str():
        return ServiceUnavailable(
            f"this machine has no memory or no thread for Kafka's client: {error.str()}; give the bridge more"
        )
    return ConfigError(f"kafka.properties: {error.str()}")


def connection_properties(config: KafkaSinkConfig, client_id: str) -> dict[str, Any]:
    """Return the properties by which a client reaches the cluster."""
    return {"client.id": client_id, **config.properties, "bootstrap.servers": config.bootstrap_servers}


def describe_cluster(config: KafkaSinkConfig, topics: Sequence[str], client_id: str) -> str:
    """Ask the cluster for its topics, and say what it answered.

    Raises `ServiceUnavailable`, or `ConfigError` for properties that librdkafka does not take.
    """
    found = _Cluster(config, client_id).metadata()
    missing = [topic for topic in topics if topic not in found.topics]
    note = f"; will be created: {', '.join(missing)}" if missing else ""
    return f"{config.bootstrap_servers} has {len(found.brokers)} brokers and {len(found.topics)} topics{note}"


def create_missing_topics(config: KafkaSinkConfig, topics: Sequence[str], client_id: str) -> None:
    """Create those of `topics` that the cluster has not. Raises as `describe_cluster`.

    A topic that cannot be created is logged and no error: its messages will wait, and those of others go on.
    """
    cluster = _Cluster(config, client_id)
    found = cluster.metadata()
    for topic in cluster.create([topic for topic in topics if topic not in found.topics], found):
        answer = cluster.metadata(topic).topics.get(topic)
        if answer is not None and answer.error is not None:
            log.error("a Kafka topic is missing: create it", topic=topic, fault=answer.error.str())


class _Cluster:
    """Asks a cluster, and says why it does not answer."""

    def __init__(self, config: KafkaSinkConfig, client_id: str) -> None:
        self._config = config
        self._errors: list[KafkaError] = []
        # Its log says at every attempt what we say once.
        properties = {"log_level": 0, **connection_properties(config, client_id), "error_cb": self._errors.append}
        try:
            self._admin = AdminClient(properties)
        except KafkaException as error:
            raise refusal_of(error.args[0]) from None

    def metadata(self, topic: str | None = None) -> ClusterMetadata:
        """Ask for its topics. Raises `ServiceUnavailable` that says why, where the cluster has said it."""
        try:
            return self._admin.list_topics(topic, timeout=self._config.timeout / 1000)
        except KafkaException as error:
            self._admin.poll(0)  # calls error_cb
            for found in self._errors:
                if hint := _HINTS.get(connection_code(found)):
                    # "sasl_ssl://HOST/ID: what happened (after 300ms in state AUTH_REQ)"
                    said = found.str().partition(": ")[2].rpartition(" (after ")[0] or found.str()
                    raise ServiceUnavailable(f"Kafka at {self._config.bootstrap_servers}: {said}; {hint}") from None
            raise ServiceUnavailable(
                f"Kafka at {self._config.bootstrap_servers} cannot be reached: {error.args[0].str()};"
                " look at kafka.bootstrap_servers, at security.protocol and whether it runs"
            ) from None

    def create(self, missing: Sequence[str], found: ClusterMetadata) -> list[str]:
        """Create topics, and return those that the cluster has not said to be there."""
        config = self._config
        results = edgewire.kafka.create_topics(
            self._admin,
            found,
            missing,
            partitions=config.partitions,
            replicas=config.replication_factor or edgewire.kafka.CLUSTER_DEFAULT,
            timeout_s=config.timeout / 1000,
        )
        for topic, error in results.items():
            if error is None:
                log.info("Kafka topic created", topic=topic, partitions=config.partitions)
            else:
                log.warning("a Kafka topic could not be created", topic=topic, fault=error.str())
        return [topic for topic in missing if topic not in results or results[topic] is not None]
