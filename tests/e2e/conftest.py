"""One stack a test, with a Mosquitto, ingest and bridge of its own; Kafka is shared."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgefleet.embedded import MosquittoProcess
from tests.e2e.stack import Stack, running_stack


@pytest.fixture
def stack(tmp_path: Path, kafka: str, mosquitto_factory: Callable[..., MosquittoProcess]) -> Iterator[Stack]:
    """The bridge posts batches."""
    with running_stack(tmp_path, kafka, mosquitto_factory) as running:
        yield running
