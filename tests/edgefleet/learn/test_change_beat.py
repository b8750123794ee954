"""Devices that speak when something has changed are told from those that speak at a beat, and from lost messages."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.captures import heard_of, write_capture
from edgefleet.learn.capture import HeardLimits, read_capture
from edgefleet.learn.change_beat import fill_series, learn_change_beat
from edgefleet.learn.learner import learn_fleet
from edgefleet.learn.scenario_writer import device_counts, write_scenario
from edgefleet.learn.seen import SeenMessage, SeenSlot
from edgewire.clock import parse_ms

BEGIN_MS = parse_ms("2026-03-02T12:00:00Z")
PLANT: dict[str, Any] = {
    "seed": 5,
    "sites": [{"name": "a", "latitude": 48, "longitude": 2}],
    "kinds": {
        "room": {
            "fields": {
                "t": {"noise": {"mean": 20, "deviation": 1, "period": "10m", "smooth": True}, "decimals": 1},
                "door": {"on_off": {"on": "20s..60s", "off": "60s..200s"}},
            }
        }
    },
}
ROOMS: dict[str, Any] = {
    "kind": "room",
    "id": "room-{n}",
    "count": 8,
    "interval": "5s",
    "topic": "house/{id}/state",
    "payload": {"t": "t", "open": "door", "n": "seq", "at": {"from": "timestamp", "as": "epoch_ms"}},
}


def learned(folder: Path, keep: float = 1.0, **group: Any) -> dict[str, Any]:
    """The groups and kinds that are learned of a plant, of whose messages a share is kept."""
    plant = folder / "plant.yaml"
    plant.write_text(yaml.safe_dump(PLANT | {"devices": [ROOMS | group]}))
    rng = np.random.default_rng(3)
    rows = [row for row in heard_of(plant, BEGIN_MS, 1200) if rng.random() < keep]
    write_capture(folder / "capture.jsonl", rows)
    fleet = learn_fleet(read_capture(folder / "capture.jsonl", HeardLimits()))
    write_scenario(folder / "fleet.yaml", fleet, device_counts(fleet.groups, None, 1.0))
    found: dict[str, Any] = yaml.safe_load((folder / "fleet.yaml").read_text())
    found["messages"] = len(rows)
    found["emulated"] = len(list(heard_of(folder / "fleet.yaml", BEGIN_MS, 1200)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("on", "wanted"),
    [("change", "change"), ({"change": {}, "max_interval": "2m"}, {"change": {}, "max_interval": "2m"})],
)
def test_devices_that_tell_changes_are_learned_as_such(on: Any, wanted: Any, tmp_path: Path) -> None:
    found = learned(tmp_path, on=on)
    [group] = found["devices"]
    assert (group["interval"], group["on"], group["count"]) == ("5s", wanted, 8)
    assert group["payload"]["n"] == "seq"
    # How often a coarse value changes hangs on the finest of its noise.
    assert 0.5 < found["emulated"] / found["messages"] < 2


@pytest.mark.slow
@pytest.mark.parametrize("keep", [1.0, 0.6])
def test_those_that_speak_at_a_beat_are_none_even_where_messages_are_lost(keep: float, tmp_path: Path) -> None:
    for group in learned(tmp_path, keep)["devices"]:
        assert "on" not in group


def slot_of(gaps: list[float], values: list[Any]) -> SeenSlot:
    slot = SeenSlot("x/{id}")
    times = np.cumsum([0, *gaps])
    for device in "ab":
        for at, value in zip(times, values, strict=False):
            slot.add(device, SeenMessage(int(at), {("v",): value}), 0, retained=False)
    return slot


def test_gaps_that_are_no_whole_numbers_are_no_changes() -> None:
    rng = np.random.default_rng(1)
    coarse = [round(20 + 0.1 * (at % 2), 1) for at in range(80)]
    whole = (rng.integers(1, 6, 79) * 1000).astype(float).tolist()
    found = learn_change_beat(slot_of(whole, coarse))
    assert found is not None
    assert found.config["interval"] == "1s"
    # The longest that a device may be silent is 20,000 readings.
    assert found.config["on"] == "change"
    assert learn_change_beat(slot_of(rng.uniform(1000, 5000, 79).tolist(), coarse)) is None
    # Values so fine that none repeats by chance: what is missing was lost.
    assert learn_change_beat(slot_of(whole, rng.normal(20, 1, 80).tolist())) is None
    assert learn_change_beat(slot_of(whole[:10], coarse)) is None
    assert learn_change_beat(slot_of([1000.0] * 79, coarse)) is None


def test_what_was_measured_in_between_is_what_was_said_before() -> None:
    times, values = fill_series((np.array([0, 3000, 4000]), [1, 2, 3]), 1000)
    assert times.tolist() == [0, 1000, 2000, 3000, 4000]
    assert list(values) == [1, 1, 1, 2, 3]
    assert list(fill_series((np.array([], dtype=np.int64), []), 1000)[1]) == []
