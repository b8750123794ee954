"""Holds what all clients of Kafka here have in common: the partitioner, and how a missing topic is created."""

from collections.abc import Collection

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata
from confluent_kafka.cimpl import NewTopic

PARTITIONER = "murmur2_random"
"""As Java's default, so that a key is in the same partition whoever produced it."""

CLUSTER_DEFAULT = -1
"""As many partitions or replicas as the cluster gives a topic by itself."""


def create_topics(
    admin: AdminClient,
    cluster: ClusterMetadata,
    topics: Collection[str],
    *,
    partitions: int = CLUSTER_DEFAULT,
    replicas: int = CLUSTER_DEFAULT,
    timeout_s: float,
) -> dict[str, KafkaError | None]:
    """Create topics that the `cluster` has not; say of each why not, or None. Blocks.

    Topics that somebody else has created meanwhile are not in the answer. It is empty for a cluster without a
    controller, as librdkafka's mock is: such a one creates a topic when it is asked for it, as some real ones do.
    """
    if not topics or cluster.controller_id not in cluster.brokers:
        return {}
    wanted = [NewTopic(topic, num_partitions=partitions, replication_factor=replicas) for topic in topics]
    results: dict[str, KafkaError | None] = {}
    for topic, created in admin.create_topics(wanted, request_timeout=timeout_s).items():
        try:
            created.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                results[topic] = error.args[0]
        else:
            results[topic] = None
    return results
