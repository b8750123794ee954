"""Cameras of the second world count some vehicles twice and mistake colours, most in lamplight."""

from collections import Counter
from typing import Any

import orjson
import pytest

from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms

MIDNIGHT_MS = parse_ms("2026-06-10T00:00:00Z")
HOUR_MS = 3_600_000
COLOURED = ("blue", "red", "green", "brown")


def readings(hour: int, seed: int = 5, hours: int = 3, **settings: Any) -> list[dict[str, Any]]:
    scenario = Scenario(
        seed=seed,
        world=2,
        sites=[{"name": "s", "latitude": 48.85, "longitude": 0.0, "timezone": "UTC"}],
        devices=[{"kind": "traffic", "count": 12, "interval": "60s", "settings": {"outage_chance": 0} | settings}],
    )
    begin = MIDNIGHT_MS + hour * HOUR_MS
    batch = Timeline(scenario, EPOCH_MS).batch(begin, begin + hours * HOUR_MS)
    return sorted(map(orjson.loads, batch.payload), key=lambda one: (one["device_id"], one["seq"]))


def share_of_colours(found: list[dict[str, Any]]) -> float:
    counts: Counter[str] = Counter()
    for one in found:
        counts.update(one["color_counts"])
    return sum(counts[name] for name in COLOURED) / counts.total()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [5, 71])
def test_some_readings_have_more_vehicles_than_passed_and_most_fewer(seed: int) -> None:
    true, seen = (readings(10, seed, **settings) for settings in ({"detection": 1}, {}))
    pairs = [(real["vehicle_count"], found["vehicle_count"]) for real, found in zip(true, seen, strict=True)]
    more = sum(found > real for real, found in pairs) / len(pairs)
    assert 0.005 < more < 0.2
    assert sum(found < real for real, found in pairs) > 2 * sum(found > real for real, found in pairs)
    assert 0.9 < sum(found for _, found in pairs) / sum(real for real, _ in pairs) < 1
    assert all(sum(one["color_counts"].values()) == one["vehicle_count"] for one in seen)
    assert all(sum(one["direction_counts"].values()) == one["vehicle_count"] for one in seen)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [5, 71])
def test_at_night_colours_are_shades_of_grey(seed: int) -> None:
    day, night, certain = readings(12, seed), readings(0, seed, hours=3), readings(0, seed, detection=1)
    assert share_of_colours(certain) == pytest.approx(0.19, abs=0.05)
    assert share_of_colours(day) == pytest.approx(0.18, abs=0.05)
    assert share_of_colours(night) < 0.65 * share_of_colours(day)
