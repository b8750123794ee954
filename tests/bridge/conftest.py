"""What several tests of the bridge need."""

from collections.abc import Iterator

import pytest
import structlog
from confluent_kafka.admin import AdminClient

from edgefleet.embedded import kafka_mock


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """Bootstrap servers of librdkafka's built-in cluster, with the topic of the bme280 route."""
    with kafka_mock() as address:
        AdminClient({"bootstrap.servers": address.bootstrap_servers}).list_topics("sensors.bme280", timeout=10)
        yield address.bootstrap_servers


@pytest.fixture(autouse=True)
def _logs_go_nowhere_in_particular() -> None:
    """A command run by a test sets logging up for its own stderr, which is closed by now."""
    structlog.reset_defaults()
