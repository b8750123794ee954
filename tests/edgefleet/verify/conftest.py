"""A small run, by its record."""

from collections.abc import Callable

import pytest

from edgewire.run_record import RunRecord
from tests.run_records import SIM_STARTED_MS, STARTED_MS, run_record, small_record


@pytest.fixture
def make_record() -> Callable[..., RunRecord]:
    """Makes a record of these devices."""
    return run_record


@pytest.fixture
def record() -> RunRecord:
    """Two devices of two kinds, with ten and five messages sent, and one that never spoke."""
    record = small_record()
    record.devices[1].last_seq, record.devices[1].unsent = 7, []
    return record


Row = tuple[str, int, int, int, int]


@pytest.fixture
def arrive() -> Callable[..., Row]:
    """Makes the row of a message due `due_ms` after the start that arrived `latency_ms` later, at time scale 1."""

    def make(device_id: str, seq: int, *, boot: int = 7, due_ms: int = 1000, latency_ms: int = 20) -> Row:
        return device_id, boot, seq, SIM_STARTED_MS + due_ms, STARTED_MS + due_ms + latency_ms

    return make


@pytest.fixture
def everything(arrive: Callable[..., Row]) -> list[Row]:
    """All that was sent in `record`, in order."""
    return [arrive("g-1", seq) for seq in range(10)] + [arrive("b-1", seq) for seq in range(3, 8)]
