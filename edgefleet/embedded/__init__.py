"""Starts a broker, Kafka and our own commands on loopback: what the demo and the tests run on.

Everything here is a context manager and listens on 127.0.0.1 alone; no process outlives the one that started it.
"""

from edgefleet.embedded.brokers import (
    AmqttProcess,
    Broker,
    BrokerEngine,
    IotcoreProcess,
    MosquittoProcess,
    embedded_broker,
    find_mosquitto,
    mosquitto_version,
)
from edgefleet.embedded.kafka import KafkaAddress, embedded_kafka, kafka_mock
from edgefleet.embedded.process import (
    ManagedProcess,
    Server,
    accepts_connections,
    answers,
    edgefleet_process,
    free_port,
    temporary_folder,
)

__all__ = [
    "AmqttProcess",
    "Broker",
    "BrokerEngine",
    "IotcoreProcess",
    "KafkaAddress",
    "ManagedProcess",
    "MosquittoProcess",
    "Server",
    "accepts_connections",
    "answers",
    "edgefleet_process",
    "embedded_broker",
    "embedded_kafka",
    "find_mosquitto",
    "free_port",
    "kafka_mock",
    "mosquitto_version",
    "temporary_folder",
]
