"""Telematics unit: events from the vehicle's own motion."""

from collections import Counter
from typing import Any

import numpy as np
import orjson
import pytest

from devices.scenario import Scenario
from devices.sensors import telematics
from devices.timeline import Timeline
from edgewire.clock import parse_ms

MONDAY_MS = parse_ms("2026-03-02T00:00:00Z")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def readings(from_ms: int, to_ms: int, *groups: dict[str, Any], seed: int = 5) -> list[dict[str, Any]]:
    timeline = Timeline(Scenario(seed=seed, devices=groups), from_ms)
    return [orjson.loads(payload) for payload in timeline.batch(from_ms, to_ms).payload]


class TestTelematics:
    def test_every_type_occurs_and_the_gravest_leads(self) -> None:
        group = {"kind": "telematics", "count": 60, "interval": "1s"}
        rows = readings(MONDAY_MS + 22 * HOUR_MS + 1_800_000, MONDAY_MS + 23 * HOUR_MS + 600_000, group)
        types = Counter(name for row in rows for name in row["events"])
        assert set(types) == {*telematics.EVENT_TYPES, "ping"}
        gravity = [*telematics.EVENT_TYPES, "ping"]
        for row in rows:
            assert row["event_type"] == row["events"][0]
            assert row["events"] == sorted(row["events"], key=gravity.index)
        assert any(len(row["events"]) > 1 for row in rows)

    def test_attributes_are_there_exactly_where_their_event_is(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + 600_000, {"kind": "telematics", "count": 40, "interval": "1s"})
        for field, name in (
            ("braking_g", "hard_braking"), ("lateral_g", "aggressive_turn"),
            ("over_speed_mph", "speeding"), ("following_distance_m", "tailgating"),
        ):  # fmt: skip
            assert all((row[field] is not None) == (name in row["events"]) for row in rows)

    def test_hard_braking_shows_in_the_speed_trace(self) -> None:
        group = {"kind": "telematics", "count": 60, "interval": "100ms"}
        rows = readings(MONDAY_MS, MONDAY_MS + 120_000, group, seed=3)
        by_device: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            by_device.setdefault(row["device_id"], []).append(row)
        checked = 0
        for trace in by_device.values():
            for before, row, after in zip(trace, trace[1:], trace[2:], strict=False):
                if "hard_braking" in row["events"]:
                    deceleration = (before["speed_mph"] - after["speed_mph"]) / 2.236936 / 0.2 / 9.80665
                    # Speeds are rounded to 0.1 mph, which is 0.023 g over 0.2 s each way.
                    assert deceleration == pytest.approx(row["braking_g"], abs=0.06)
                    checked += 1
        assert checked > 10

    def test_gps_and_telematics_of_one_number_ride_together(self) -> None:
        rows = readings(
            MONDAY_MS, MONDAY_MS + 60_000,
            {"kind": "gps", "ids": ["here"], "interval": "1s"},
            {"kind": "telematics", "ids": ["there"], "interval": "1s"},
        )  # fmt: skip
        gps = next(row for row in rows if row["device_id"] == "here" and row["fix"] == "3d")
        unit = min(
            (row for row in rows if row["device_id"] == "there"),
            key=lambda row: abs(parse_ms(row["timestamp"]) - parse_ms(gps["timestamp"])),
        )
        assert abs(gps["latitude"] - unit["latitude"]) < 0.0005
        assert abs(gps["longitude"] - unit["longitude"]) < 0.0005

    def test_a_new_type_is_one_function_and_one_entry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def harsh_accel(context: telematics.Context) -> tuple[np.ndarray, dict[str, np.ndarray]]:
            forward = np.round(context.moving.acceleration_ms2 / telematics.G_MS2, 2)
            return forward >= 0.2, {"accel_g": forward}

        monkeypatch.setitem(telematics.EVENT_TYPES, "harsh_accel", harsh_accel)
        rows = readings(MONDAY_MS, MONDAY_MS + 300_000, {"kind": "telematics", "count": 40, "interval": "1s"})
        found = [row for row in rows if "harsh_accel" in row["events"]]
        assert found
        assert all(row["accel_g"] >= 0.2 for row in found)

    def test_ids_are_unique_and_risk_follows_the_events(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + 120_000, {"kind": "telematics", "count": 40, "interval": "1s"})
        assert len({row["event_id"] for row in rows}) == len(rows)
        assert all(
            (row["risk_label"] == "safe") == (set(row["events"]) <= {"ping", "late_night_driving"}) for row in rows
        )
