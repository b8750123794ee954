"""One stack for the module, with a Mosquitto, ingest and bridge of its own; Kafka is shared by all."""

from collections.abc import Iterator

import pytest

from edgefleet.embedded import MosquittoProcess
from edgewire.errors import ServiceUnavailable
from tests.e2e.stack import Stack, running_stack
from tests.services.fixtures import unavailable


@pytest.fixture(scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory, kafka: str) -> Iterator[Stack]:
    try:
        broker = MosquittoProcess()
    except ServiceUnavailable as error:
        unavailable(str(error))
    with broker, running_stack(tmp_path_factory.mktemp("stack"), kafka, lambda: broker) as running:
        yield running


@pytest.fixture
def stack(_shared: Stack) -> Iterator[Stack]:
    """The bridge posts batches. Whatever a test has done to it, the next one finds everything at work."""
    yield _shared
    _shared.restore()
