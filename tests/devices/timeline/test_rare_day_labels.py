"""Labels of rare days: they agree with the data, for devices that show them and those that could not."""

from typing import Any

import orjson
import pytest

from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from devices.world.components import components
from edgewire.clock import parse_ms

FROM_MS, TO_MS = (parse_ms(f"2026-{day}T00:00:00Z") for day in ("01-22", "01-28"))
SITE: dict[str, Any] = {
    "name": "harbour", "latitude": 40.7, "longitude": -74.0, "timezone": "America/New_York", "climate": "Cfa",
    "altitude_m": 10,
}  # fmt: skip
DEVICES = [
    {"kind": "traffic", "count": 2, "interval": "15m"},
    {"kind": "people", "count": 1, "interval": "1h", "settings": {"daily_customers": 60}},
    {"kind": "telematics", "count": 1, "interval": "5m"},
    {"kind": "bme280", "count": 1, "interval": "1h"},
]


def scenario(**keys: Any) -> Scenario:
    return Scenario.model_validate({"seed": 3, "world": 2, "sites": [SITE | keys], "devices": DEVICES})


def payloads(timeline: Timeline, from_ms: int, to_ms: int) -> dict[tuple[str, int], dict[str, Any]]:
    batch = timeline.batch(from_ms, to_ms)
    found = [orjson.loads(payload) for payload in batch.payload]
    return {(one["device_id"], one["seq"]): one for one in found}


@pytest.mark.slow
def test_readings_differ_from_those_of_usual_days_where_a_label_says_so() -> None:
    usual, rare = (Timeline(one, FROM_MS) for one in (scenario(), scenario(snow=True, town_events=60)))
    labels = rare.labels(FROM_MS, TO_MS)
    assert {label.type for label in labels} == {"snow", "town_event"}
    assert {label.kind for label in labels} == {"traffic", "people", "telematics"}
    assert {label.layer for label in labels} == {"physics"}
    before, now = (
        {key: one for key, one in payloads(timeline, FROM_MS, TO_MS).items() if one["device_id"].startswith("traffic")}
        for timeline in (usual, rare)
    )
    changed = {key for key in now if now[key] != before[key]}
    assert len(changed) > 50
    for key in changed:
        device_id, seq = key
        mine = [one for one in labels if one.device_id == device_id]
        assert any(
            one.first_seq is not None and one.last_seq is not None and one.first_seq <= seq <= one.last_seq
            for one in mine
        ), now[key]
    shown = sum(label.messages for label in labels if label.kind == "traffic")
    assert shown >= len(changed)
    bme280 = [one for key, one in payloads(rare, FROM_MS, TO_MS).items() if key[0].startswith("bme280")]
    assert bme280 == [one for key, one in payloads(usual, FROM_MS, TO_MS).items() if key[0].startswith("bme280")]


@pytest.mark.slow
def test_a_label_is_whole_whatever_part_of_it_is_asked_for() -> None:
    timeline = Timeline(scenario(snow=True), FROM_MS)
    windows = components(timeline.world).rare_days
    assert windows is not None
    begin, end = windows.snow_windows(0, FROM_MS, TO_MS)[0]
    middle = (begin + end) // 2
    labels = [one for one in timeline.labels(middle, middle + 3_600_000) if one.kind == "traffic"]
    assert [(one.start_ms, one.end_ms, one.messages) for one in labels] == [(begin, end, 4)] * 2
    # Later on that day vehicles may be elsewhere than they would have been, and not the day after.
    assert {one.kind for one in timeline.labels(end + 3_600_000, end + 7_200_000)} <= {"telematics", "traffic"}
    assert all(one.start_ms > end for one in timeline.labels(end + 24 * 3_600_000, end + 25 * 3_600_000))
    again = Timeline(scenario(snow=True), FROM_MS).batch(middle, middle + 3_600_000).payload
    assert again == timeline.batch(middle, middle + 3_600_000).payload


def test_the_first_world_has_no_rare_days() -> None:
    for key, value in (("snow", True), ("town_events", 3)):
        with pytest.raises(ValueError, match="world: 1 has no rare days: leave it out, or these"):
            Scenario(world=1, sites=[SITE | {"climate": "temperate", key: value}], devices=DEVICES)
