"""A small run, by its record."""

from collections.abc import Callable

import pytest

from edgewire.run_record import DeviceRecord, RunRecord

STARTED_MS = 1_800_000_000_000
SIM_STARTED_MS = 1_700_000_000_000


@pytest.fixture
def make_record() -> Callable[..., RunRecord]:
    """Makes a record of these devices."""

    def make(*devices: DeviceRecord, time_scale: float = 1.0) -> RunRecord:
        return RunRecord(
            run_id="r-1",
            scenario="fleet.yaml",
            seed=1,
            broker="mqtt://127.0.0.1:1883",
            started_ms=STARTED_MS,
            stopped_ms=STARTED_MS + 60_000,
            sim_started_ms=SIM_STARTED_MS,
            time_scale=time_scale,
            devices=list(devices),
        )

    return make


@pytest.fixture
def record(make_record: Callable[..., RunRecord]) -> RunRecord:
    """Two devices of two kinds, with ten and five messages sent, and one that never spoke."""
    return make_record(
        DeviceRecord(device_id="g-1", kind="gps", site="s", boot=7, first_seq=0, last_seq=9),
        DeviceRecord(device_id="b-1", kind="bme280", site="s", boot=7, first_seq=3, last_seq=9, unsent=[(8, 9)]),
        DeviceRecord(device_id="p-1", kind="people", site="s", boot=7),
    )


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
