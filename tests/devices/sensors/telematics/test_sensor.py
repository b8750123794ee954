"""Telematics: events that the vehicle's own motion and surroundings bear out."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from devices.sensors.base import Population
from devices.sensors.columns import Columns
from devices.sensors.gps.sensor import GpsSensor, GpsSettings
from devices.sensors.telematics.driving import DrivingMonitor
from devices.sensors.telematics.events import EVENT_TYPES, G_MS2, MPH, Detection, DrivingState, EventType
from devices.sensors.telematics.sensor import TelematicsSensor, TelematicsSettings
from devices.world.components import components
from devices.world.roads import CLASSES
from devices.world.world import HOUR_MS, Site, World
from edgewire.clock import iso_ms, parse_ms

pytestmark = pytest.mark.slow

PopulationOf = Callable[..., Population]
Table = Callable[[Columns], list[dict[str, Any]]]
Row = dict[str, Any]
MORNING_MS = parse_ms("2026-03-02T07:30:00Z")
EVENING_MS = parse_ms("2026-03-02T21:30:00Z")
WORLD = World.build(5, [Site(name="a", latitude=48.9, longitude=2.4)])
GRAVITY = [*(kind.name for kind in EVENT_TYPES), "ping"]


def grid(vehicles: int, start_ms: int, interval_ms: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids and times of all vehicles at all ticks, vehicle by vehicle."""
    return np.repeat(np.arange(vehicles), count), np.tile(start_ms + np.arange(count) * interval_ms, vehicles)


@pytest.fixture
def night(population: PopulationOf, table: Table) -> list[Row]:
    return table(
        TelematicsSensor(TelematicsSettings(), population(120, 10_000)).sample(
            WORLD, *grid(120, EVENING_MS, 10_000, 900)
        )
    )


def test_every_type_occurs_several_hold_at_once_and_the_gravest_leads(night: list[Row]) -> None:
    types = Counter(name for row in night for name in row["events"])
    assert set(types) == set(GRAVITY)
    for row in night:
        assert row["event_type"] == row["events"][0]
        assert row["events"] == sorted(row["events"], key=GRAVITY.index)
    assert sum(len(row["events"]) > 1 for row in night) > 20


def test_attributes_are_there_exactly_where_their_event_is(night: list[Row]) -> None:
    for field, name in (
        ("braking_g", "hard_braking"), ("lateral_g", "aggressive_turn"),
        ("over_speed_mph", "speeding"), ("following_distance_m", "tailgating"),
    ):  # fmt: skip
        assert all((row[field] is not None) == (name in row["events"]) for row in night)
    assert min(row["braking_g"] for row in night if row["braking_g"] is not None) >= 0.28
    assert min(row["lateral_g"] for row in night if row["lateral_g"] is not None) >= 0.35
    assert min(row["over_speed_mph"] for row in night if row["over_speed_mph"] is not None) >= 5


def test_late_night_driving_is_driving_at_late_night(night: list[Row]) -> None:
    late = [row for row in night if "late_night_driving" in row["events"]]
    assert late
    assert all(row["time_of_day"] == "late_night" and row["speed_mph"] > 5 for row in late)
    moving = [row for row in night if row["time_of_day"] == "late_night" and row["speed_mph"] > 7]
    assert all("late_night_driving" in row["events"] for row in moving)


def test_events_agree_with_the_speed_trace_of_the_same_vehicle(population: PopulationOf, table: Table) -> None:
    """What the gps unit of the vehicle sees of a hard braking and of speeding, second by second."""
    interval = 5000
    unit = TelematicsSensor(TelematicsSettings(), population(60, interval))
    rows = table(unit.sample(WORLD, *grid(60, MORNING_MS, interval, 1000)))
    gps = GpsSensor(GpsSettings(cep_m=0, signal_loss=False), population(60, 1000))
    braked = sped = 0
    for number, row in enumerate(rows):
        vehicle, tick = number // 1000, MORNING_MS + number % 1000 * interval
        if "hard_braking" in row["events"]:
            times = np.arange(tick - interval, tick + 1, 200)
            speed = np.array(gps.sample(WORLD, np.full_like(times, vehicle), times)["speed_kmh"]) / 3.6
            steepest = -np.diff(speed).min() / 0.2 / G_MS2
            # The speed is rounded to 0.1 km/h, which is 0.014 g over 0.2 s, each way.
            assert steepest == pytest.approx(row["braking_g"], abs=0.05)
            braked += 1
        if "speeding" in row["events"]:
            times = np.array([tick - 10_000, tick])
            moving = components(WORLD).vehicles.motion(np.zeros(2, dtype=np.int64), np.full(2, vehicle), times)
            limit = np.array([CLASSES[kind].limit_kmh for kind in components(WORLD).roads.plan.road_class[moving.road]])
            over = (moving.speed_ms * 3.6 - limit) * 0.621371
            assert over.min() > 5
            assert row["over_speed_mph"] == pytest.approx(over[1], abs=0.1)
            sped += 1
    assert braked > 15
    assert sped > 15


def test_tailgating_is_a_short_gap_at_speed(night: list[Row]) -> None:
    near = [row for row in night if "tailgating" in row["events"]]
    for row in near:
        assert row["following_distance_m"] <= 1.0 * (row["speed_mph"] + 1) * MPH + 0.1


def test_a_gap_is_the_same_whether_asked_for_in_some_rows_or_in_all(population: PopulationOf) -> None:
    ids, times = grid(40, MORNING_MS, 10_000, 30)
    vehicles = components(WORLD).vehicles.motion(np.zeros_like(ids), ids, times)
    monitor = DrivingMonitor(TelematicsSettings(), population(40, 10_000), EVENT_TYPES)
    state = monitor.state(WORLD, ids, times, vehicles)
    driving = np.flatnonzero(vehicles.speed_ms > 3)
    assert 10 < len(driving) < len(ids)
    assert state.headways(driving).tolist() == state.headway_s[driving].tolist()


def test_usual_gaps_are_those_of_the_survey(population: PopulationOf) -> None:
    ids, times = grid(300, MORNING_MS, 60_000, 30)
    settings = TelematicsSettings(following_s=2.0)
    rows = TelematicsSensor(settings, population(300, 60_000)).sample(WORLD, ids, times)
    moving = components(WORLD).vehicles.motion(np.zeros_like(ids), ids, times).speed_ms > 3
    near = np.array(["tailgating" in events for events in rows["events"]])
    # DfT 2019: 75 % of cars and vans keep two seconds and more.
    assert near[moving].mean() == pytest.approx(0.25, abs=0.07)


def test_gps_and_telematics_of_one_number_ride_together(population: PopulationOf) -> None:
    times = MORNING_MS + np.arange(0, HOUR_MS, 60_000)
    ids = np.full_like(times, 7)
    unit = TelematicsSensor(TelematicsSettings(signal_loss=False), population(10)).sample(WORLD, ids, times)
    gps = GpsSensor(GpsSettings(signal_loss=False), population(10, first=0)).sample(WORLD, ids, times)
    assert np.array(unit["latitude"]) == pytest.approx(np.array(gps["latitude"]), abs=0.001)
    assert np.array(unit["speed_mph"]) * 1.609344 == pytest.approx(np.array(gps["speed_kmh"]), abs=0.8)
    assert set(unit["driver_id"]) == {"D0007"}


def test_trips_have_ids_and_minutes_count_since_the_power_on(population: PopulationOf, table: Table) -> None:
    ids, times = grid(20, MORNING_MS, 10_000, 1440)
    rows = table(TelematicsSensor(TelematicsSettings(), population(20)).sample(WORLD, ids, times))
    for vehicle in range(20):
        mine = rows[vehicle * 1440 : (vehicle + 1) * 1440]
        for row, time_ms in zip(mine, times[:1440].tolist(), strict=True):
            assert row["trip_id"].startswith(f"D{vehicle:04d}-")
            # A unit that always ran counts from midnight.
            assert row["period_minute"] == int(row["ts"][11:13]) * 60 + int(row["ts"][14:16])
            assert row["ts"] == iso_ms(time_ms)
        assert [row["trip_id"] for row in mine] == sorted(row["trip_id"] for row in mine)
    assert len({row["trip_id"] for row in rows}) > 40
    on_at_seven = replace(population(20), powered_on_ms=MORNING_MS - 90_000)
    rows = table(TelematicsSensor(TelematicsSettings(), on_at_seven).sample(WORLD, ids[:1440], times[:1440]))
    assert [row["period_minute"] for row in rows] == ((times[:1440] - MORNING_MS + 90_000) // 60_000).tolist()


def test_the_context_is_that_of_the_world(population: PopulationOf) -> None:
    ids, times = np.arange(300) % 100, MORNING_MS + np.arange(300) * 6 * HOUR_MS
    rows = TelematicsSensor(TelematicsSettings(), population(100)).sample(WORLD, ids, times)
    zeros = np.zeros_like(ids)
    moving = components(WORLD).vehicles.motion(zeros, ids, times)
    assert list(rows["weather"]) == components(WORLD).atmosphere.weather(zeros, times).conditions()
    assert set(rows["weather"]) == {"sunny", "rainy", "foggy"}
    assert rows["traffic_density"] == pytest.approx(
        components(WORLD).traffic.flow_at(zeros, moving.road, times).density, abs=0.001
    )
    assert set(rows["road_type"]) == {"city", "highway", "rural"}


def test_risk_grows_with_grave_events_and_poor_sight(night: list[Row]) -> None:
    for row in night:
        grave = {"hard_braking", "aggressive_turn", "tailgating"} & set(row["events"])
        if grave:
            assert row["risk_label"] == "risky"
        elif row["events"] in (["ping"], ["late_night_driving"]) or (
            row["events"] == ["speeding"] and row["weather"] == "sunny"
        ):
            assert row["risk_label"] == "safe"
        elif "speeding" in row["events"]:
            assert row["risk_label"] == "risky"


def test_thresholds_decide(population: PopulationOf) -> None:
    ids, times = grid(60, MORNING_MS, 10_000, 200)

    def count(name: str, **settings: Any) -> int:
        found = TelematicsSensor(TelematicsSettings(**settings), population(60)).sample(WORLD, ids, times)
        return sum(name in events for events in found["events"])

    assert count("hard_braking", braking_g=0.15) > 3 * count("hard_braking") > 0
    assert count("aggressive_turn", lateral_g=0.2) > 3 * count("aggressive_turn") > 0
    assert count("speeding", over_speed_mph=1) > count("speeding") > 0
    assert count("speeding", speeding_for=0) > count("speeding")
    assert count("tailgating", following_s=1.5) > count("tailgating") > 0


def test_events_come_in_bursts_of_rash_drivers_and_hurried_trips(population: PopulationOf) -> None:
    ids, times = grid(150, MORNING_MS, 10_000, 720)
    found = TelematicsSensor(TelematicsSettings(), population(150)).sample(WORLD, ids, times)
    speeding = np.array(["speeding" in events for events in found["events"]]).reshape(150, 720).sum(axis=1)
    # Far from evenly spread: a tenth of the vehicles has most of it.
    assert np.sort(speeding)[-15:].sum() > 0.5 * speeding.sum() > 0


def harsh_accel(state: DrivingState) -> Detection:
    forward = np.round(state.moving.acceleration_ms2 / G_MS2, 2)
    return forward >= 0.15, {"accel_g": forward}


def test_a_new_type_is_one_function_and_one_entry(population: PopulationOf, table: Table) -> None:
    types = (*EVENT_TYPES, EventType("harsh_accel", 2.5, harsh_accel))
    sensor = TelematicsSensor(TelematicsSettings(), population(60), types)
    rows = table(sensor.sample(WORLD, *grid(60, MORNING_MS, 5000, 300)))
    found = [row for row in rows if "harsh_accel" in row["events"]]
    assert found
    assert all(row["accel_g"] >= 0.15 for row in found)
    assert all(row["accel_g"] is None for row in rows if row not in found)
    # Its weight puts it between tailgating and speeding.
    assert all(row["event_type"] == "harsh_accel" for row in found if set(row["events"]) <= {"harsh_accel", "speeding"})


def test_event_ids_are_unique_uuids(night: list[Row]) -> None:
    ids = {row["event_id"] for row in night}
    assert len(ids) == len(night)
    assert all(len(text) == 32 and text[12] == "4" and text[16] in "89ab" for text in ids)
