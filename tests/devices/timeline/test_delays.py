"""How much later than measured a live run sends a message: a field of an export that is asked for it."""

import orjson
import pytest

from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms

NOON_MS = parse_ms("2026-03-04T12:00:00Z")
SLOW = [
    {"type": kind, "kind": "gps", "devices": ["gps-0002"], "from": f"2026-03-04T12:0{minute}:00Z",
     "to": f"2026-03-04T12:0{minute + 1}:00Z"}
    for minute, kind in ((1, "delay"), (3, "reorder"))
]  # fmt: skip


def scenario() -> Scenario:
    devices = [{"kind": "gps", "count": 2, "interval": "5s"}, {"kind": "people", "count": 1, "interval": "1m"}]
    return Scenario.model_validate({"devices": devices, "faults": SLOW})


@pytest.mark.parametrize("shown", [True, False])
def test_messages_that_wait_in_the_device_say_until_when(shown: bool) -> None:
    timeline = Timeline(scenario(), NOON_MS)
    timeline.shows_delays = shown
    batch = timeline.batch(NOON_MS, NOON_MS + 6 * 60_000)
    rows = [orjson.loads(payload) for payload in batch.payload]
    if not shown:
        assert not any("network_delay_ms" in row for row in rows)
        assert timeline.labels(NOON_MS, NOON_MS + 6 * 60_000) == []
        return
    for row, due_ms in zip(rows, batch.due_ms, strict=True):
        minute, within = divmod(due_ms - NOON_MS, 60_000)
        waits = row["device_id"] == "gps-0002" and minute in (1, 3)
        assert row["network_delay_ms"] == (60_000 - within if waits else 0)
    assert {row["device_id"] for row in rows} == {"gps-0001", "gps-0002", "people-0001"}
    labels = timeline.labels(NOON_MS, NOON_MS + 6 * 60_000)
    assert [(label.type, label.device_id, label.messages) for label in labels] == [
        ("delay", "gps-0002", 12),
        ("reorder", "gps-0002", 12),
    ]
