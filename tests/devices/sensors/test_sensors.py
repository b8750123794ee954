"""The five sensors: plausible by themselves, and in agreement with the one world."""

import itertools
from collections import Counter
from typing import Any

import numpy as np
import orjson
import pytest

from devices.scenario import Scenario
from devices.sensors import telematics
from devices.timeline import Timeline
from devices.world.roads import ROADS
from edgewire.clock import iso_ms, parse_ms

MONDAY_MS = parse_ms("2026-03-02T00:00:00Z")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def readings(from_ms: int, to_ms: int, *groups: dict[str, Any], seed: int = 5) -> list[dict[str, Any]]:
    timeline = Timeline(Scenario(seed=seed, devices=groups), from_ms)
    return [orjson.loads(payload) for payload in timeline.batch(from_ms, to_ms).payload]


def series(rows: list[dict[str, Any]], device: str, field: str) -> np.ndarray:
    return np.array([row[field] for row in rows if row["device_id"] == device], dtype=float)


class TestBme280:
    def test_values_move_gradually_and_stay_plausible(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + DAY_MS, {"kind": "bme280", "count": 5, "interval": "10s"})
        for number in range(1, 6):
            name = f"bme280-{number:04d}"
            # Limits of the producer that is replaced: 5 °C, 10 %, 5 hPa between two readings.
            for field, step, low, high in (
                ("temperature_c", 5, 12, 34), ("humidity", 10, 5, 95), ("pressure_hpa", 5, 980, 1040)
            ):  # fmt: skip
                values = series(rows, name, field)
                assert np.abs(np.diff(values)).max() < step
                assert low < values.min() < values.max() < high
                assert values.std() > 0

    def test_the_daily_pattern_can_be_had_without(self) -> None:
        quiet = {"noise": False, "weather_events": False}
        group = {"kind": "bme280", "count": 1, "interval": "15m"}
        days = (MONDAY_MS, MONDAY_MS + 20 * DAY_MS)
        plain = readings(*days, {**group, "settings": {**quiet, "daily_pattern": False}})
        daily = readings(*days, {**group, "settings": quiet})
        course = series(daily, "bme280-0001", "temperature_c") - series(plain, "bme280-0001", "temperature_c")
        assert (course.min(), course.max()) == pytest.approx((-3, 3), abs=0.05)
        inverse = series(daily, "bme280-0001", "humidity") - series(plain, "bme280-0001", "humidity")
        assert np.corrcoef(course, inverse)[0, 1] < -0.99

    def test_noise_has_the_datasheets_deviation_times_its_factor(self) -> None:
        for factor, expected in ((0.1, 0.033), (1.0, 0.33)):
            group = {"kind": "bme280", "count": 1, "interval": "1s"}
            calm = {"weather_events": False, "daily_pattern": False, "noise_factor": factor}
            values = series(
                readings(MONDAY_MS, MONDAY_MS + HOUR_MS, {**group, "settings": calm}), "bme280-0001", "pressure_hpa"
            )
            assert np.diff(values).std() / np.sqrt(2) == pytest.approx(expected, rel=0.06)
        still = {"weather_events": False, "daily_pattern": False, "noise": False}
        values = series(
            readings(MONDAY_MS, MONDAY_MS + HOUR_MS, {**group, "settings": still}), "bme280-0001", "pressure_hpa"
        )
        assert np.abs(np.diff(values)).max() <= 0.011

    def test_weather_events_are_named_and_felt(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + DAY_MS, {"kind": "bme280", "count": 1, "interval": "10s"})
        types = Counter(row["metadata"]["weather_type"] for row in rows)
        assert set(types) == {None, "storm", "front", "clear"}
        assert all(row["metadata"]["weather_event"] == (row["metadata"]["weather_type"] is not None) for row in rows)
        pressure = {
            kind: np.mean([r["pressure_hpa"] for r in rows if r["metadata"]["weather_type"] == kind]) for kind in types
        }
        assert pressure["storm"] < pressure[None] < pressure["clear"]
        none = readings(
            MONDAY_MS, MONDAY_MS + DAY_MS, {"kind": "bme280", "count": 1, "settings": {"weather_events": False}}
        )
        assert not any(row["metadata"]["weather_event"] for row in none)

    def test_ranges_are_kept_to(self) -> None:
        cold = {
            "temperature_c": {"low": -20, "high": -10, "drift": 0.5},
            "daily_pattern": False,
            "weather_events": False,
        }
        rows = readings(
            MONDAY_MS, MONDAY_MS + 30 * DAY_MS, {"kind": "bme280", "count": 3, "interval": "1h", "settings": cold}
        )
        values = np.array([row["temperature_c"] for row in rows])
        assert -21 < values.min() < values.max() < -9
        assert max(np.abs(np.diff(series(rows, f"bme280-{n:04d}", "temperature_c"))).max() for n in (1, 2, 3)) <= 0.52

    def test_neighbours_feel_the_same_weather(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + 10 * DAY_MS, {"kind": "bme280", "count": 2, "interval": "10m"})
        first, second = series(rows, "bme280-0001", "pressure_hpa"), series(rows, "bme280-0002", "pressure_hpa")
        assert np.corrcoef(first, second)[0, 1] > 0.95

    def test_metadata_can_be_left_out(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + 60_000, {"kind": "bme280", "count": 1, "settings": {"metadata": False}})
        assert "metadata" not in rows[0]


class TestCamera:
    def test_the_parts_of_a_count_agree_with_it(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + DAY_MS, {"kind": "traffic", "count": 8, "interval": "5m"})
        assert any(row["vehicle_count"] == 0 for row in rows)
        for row in rows:
            count, gaps = row["vehicle_count"], row["inter_arrival_stats"]
            for tally in ("color_counts", "class_counts", "direction_counts"):
                assert sum(row[tally].values()) == count
            if count == 0:
                assert row["avg_speed"] is row["min_speed"] is row["max_speed"] is None
            else:
                assert 0 < row["min_speed"] <= row["avg_speed"] <= row["max_speed"]
            if count < 2:
                assert gaps["mean"] is None
            else:
                assert gaps["min"] <= gaps["mean"] <= gaps["max"]
                assert gaps["mean"] * (count - 1) <= row["interval_s"] + 0.001 * count

    def test_colours_and_classes_have_the_published_shares(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + 3 * DAY_MS, {"kind": "traffic", "count": 6, "interval": "30m"})
        total = sum(row["vehicle_count"] for row in rows)
        assert total > 50_000
        # Axalta 2025 and DfT 2007.
        for tally, name, share in (
            ("color_counts", "white", 0.29), ("color_counts", "black", 0.23), ("color_counts", "gray", 0.22),
            ("class_counts", "car", 0.78), ("class_counts", "van", 0.14), ("class_counts", "truck", 0.06),
        ):  # fmt: skip
            assert sum(row[tally].get(name, 0) for row in rows) / total == pytest.approx(share, abs=0.01)

    def test_rush_hours_are_busier_and_slower_than_nights(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + 5 * DAY_MS, {"kind": "traffic", "count": 12, "interval": "1h"})

        def mean(field: str, hours: tuple[int, ...]) -> float:
            return float(
                np.mean([r[field] for r in rows if int(r["timestamp"][11:13]) in hours and r["vehicle_count"]])
            )

        assert mean("vehicle_count", (17, 18)) > 5 * mean("vehicle_count", (2, 3))
        assert mean("avg_speed", (18,)) < 0.95 * mean("avg_speed", (3, 4))
        assert mean("traffic_density_score", (18,)) > mean("traffic_density_score", (3,))

    def test_vehicles_of_the_fleet_are_in_the_counts(self) -> None:
        cameras = {"kind": "traffic", "count": 12, "interval": "5m"}
        day = (MONDAY_MS, MONDAY_MS + DAY_MS // 4)
        alone = readings(*day, cameras)
        shared = readings(*day, cameras, {"kind": "gps", "count": 200, "interval": "6h"})
        more = [
            with_fleet["vehicle_count"] - without["vehicle_count"]
            for with_fleet, without in zip([r for r in shared if "vehicle_count" in r], alone, strict=True)
        ]
        assert min(more) >= 0
        assert sum(more) > 100

    def test_flow_factor_scales_the_traffic(self) -> None:
        group = {"kind": "traffic", "count": 6, "interval": "1h"}
        plain = readings(MONDAY_MS, MONDAY_MS + DAY_MS, group)
        double = readings(MONDAY_MS, MONDAY_MS + DAY_MS, {**group, "settings": {"flow_factor": 2}})
        ratio = sum(r["vehicle_count"] for r in double) / sum(r["vehicle_count"] for r in plain)
        assert ratio == pytest.approx(2, abs=0.1)


class TestGps:
    def test_error_is_correlated_in_time_and_of_the_receivers_size(self) -> None:
        group = {"kind": "gps", "count": 30, "interval": "1s", "settings": {"decimals": 8}}
        rows = readings(MONDAY_MS, MONDAY_MS + 1_200_000, group)
        heights = [series([r for r in rows if r["fix"] == "3d"], f"gps-{n:04d}", "altitude_m") for n in range(1, 31)]

        def lag(values: np.ndarray, by: int) -> float:
            return float(np.corrcoef(values[:-by], values[by:])[0, 1])

        whole = [values for values in heights if len(values) == 1200]
        assert len(whole) >= 15
        # Near-static logs: lag 1 from 0.98, lag 10 from 0.64 (realism: GPS error is not white).
        assert np.median([lag(values, 1) for values in whole]) > 0.95
        assert np.median([lag(values, 10) for values in whole]) > 0.6

    def test_a_tunnel_takes_position_and_satellites_together(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + HOUR_MS, {"kind": "gps", "count": 60, "interval": "5s"})
        lost = [row for row in rows if row["fix"] == "none"]
        assert lost
        assert len(lost) < 0.05 * len(rows)
        for row in lost:
            assert row["latitude"] is row["longitude"] is row["speed_kmh"] is row["heading_deg"] is None
            assert (row["satellites"], row["hdop"]) == (0, 99.99)

    def test_dilution_rises_as_satellites_are_lost(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + HOUR_MS, {"kind": "gps", "count": 60, "interval": "1m"})
        seen = [row for row in rows if row["fix"] != "none"]
        assert np.corrcoef([r["hdop"] for r in seen], [r["satellites"] for r in seen])[0, 1] < -0.9

    def test_speed_agrees_with_the_way_driven(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + 600_000, {"kind": "gps", "count": 1, "interval": "1s"})
        north = np.diff(series(rows, "gps-0001", "latitude")) * 111_320
        east = np.diff(series(rows, "gps-0001", "longitude")) * 111_320 * np.cos(np.radians(48.8566))
        driven, spoken = np.hypot(north, east).sum(), series(rows, "gps-0001", "speed_kmh")[1:].sum() / 3.6
        assert driven == pytest.approx(spoken, rel=0.03)


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


class TestPeople:
    def test_a_session_agrees_with_its_two_crossings(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + DAY_MS, {"kind": "people", "count": 1, "interval": "1h"})
        sessions = [row for row in rows if row["event_type"] == "foot_traffic"]
        crossings = Counter((row["event_type"], row["time"]) for row in rows if row["event_type"] in ("entry", "exit"))
        assert len(sessions) > 500
        assert (
            Counter(("entry", row["entry_time"]) for row in sessions)
            + Counter(("exit", row["exit_time"]) for row in sessions)
            == crossings
        )
        for row in sessions:
            minutes = (parse_ms(row["exit_time"]) - parse_ms(row["entry_time"])) / 60_000
            assert row["trip_duration_minutes"] == pytest.approx(minutes, abs=0.006)
            assert row["timestamp"] == row["exit_time"]
            assert row["weekday"] == "Monday"
            first, last = row["time_slot"].split("–")
            assert first <= row["entry_time"][11:16] <= last or first > last

    def test_counts_agree_with_the_crossings(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + DAY_MS, {"kind": "people", "count": 1, "interval": "7m"})
        counts = [row for row in rows if row["event_type"] == "count"]
        for before, row in itertools.pairwise(counts):
            window = [
                other["event_type"] for other in rows
                if other["event_type"] in ("entry", "exit") and before["timestamp"] < other["time"] <= row["timestamp"]
            ]  # fmt: skip
            assert (row["entries"], row["exits"]) == (window.count("entry"), window.count("exit"))
            assert row["occupancy"] == row["total_entries"] - row["total_exits"]
        assert counts[-1]["total_entries"] == counts[0]["total_entries"] + sum(row["entries"] for row in counts[1:])

    def test_knobs(self) -> None:
        def visits(**settings: object) -> list[int]:
            group = {"kind": "people", "count": 4, "interval": "1d", "settings": settings}
            rows = readings(MONDAY_MS, MONDAY_MS + 7 * DAY_MS, group)
            return [
                sum(row["event_type"] == "foot_traffic" and row["entry_time"] < end for row in rows)
                for end in (iso_ms(MONDAY_MS + DAY_MS), iso_ms(MONDAY_MS + 7 * DAY_MS))
            ]

        assert visits(daily_customers=250, fixed_daily_total=True) == [1000, 7000]
        quiet, busy = visits(daily_customers=50)[1], visits(daily_customers=500)[1]
        assert busy / quiet == pytest.approx(10, rel=0.15)

    def test_shops_are_busiest_about_noon_and_on_fridays(self) -> None:
        group = {"kind": "people", "count": 3, "interval": "1d"}
        rows = readings(MONDAY_MS, MONDAY_MS + 14 * DAY_MS, group)
        entries = [row for row in rows if row["event_type"] == "entry"]
        hours = Counter(int(row["time"][11:13]) for row in entries)
        days = Counter(row["weekday"] for row in entries)
        assert hours.most_common(1)[0][0] in (12, 13, 14)
        assert hours[12] > 5 * hours[7]
        assert days["Friday"] > days["Monday"] > 0
        dwell = sorted(row["trip_duration_minutes"] for row in rows if row["event_type"] == "foot_traffic")
        # Euclid: median dwell 14.8 to 17.1 minutes.
        assert 14 < dwell[len(dwell) // 2] < 17.5


def test_roads_are_of_every_type() -> None:
    assert {road.name for road in ROADS} == {"city", "highway", "rural"}
