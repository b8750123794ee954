"""Sites, local time, weather and traffic: one world that all devices share."""

import numpy as np
import pytest
from pydantic import ValidationError

from devices.world import Site, World
from devices.world.roads import ROADS, demand, flow, motion, passages, road_of
from devices.world.site import DAY_MS, HOUR_MS, LocalTime
from devices.world.weather import diurnal, weather
from edgewire.clock import parse_ms

MONDAY_MS = parse_ms("2026-03-02T00:00:00Z")


def site(name: str, latitude: float, longitude: float) -> Site:
    return Site(name=name, latitude=latitude, longitude=longitude)


def at(world: World, index: int, times: np.ndarray) -> np.ndarray:
    return np.full(len(times), index)


def test_local_time_follows_daylight_saving() -> None:
    paris = LocalTime("Europe/Paris")
    winter, summer = parse_ms("2026-03-29T00:59:59Z"), parse_ms("2026-03-29T01:00:00Z")
    assert (paris.of(np.array([winter, summer])) - [winter, summer]).tolist() == [HOUR_MS, 2 * HOUR_MS]


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2026-07-01", "2026-12-31"])
def test_days_begin_at_local_midnight(day: str) -> None:
    paris = LocalTime("Europe/Paris")
    number = parse_ms(day) // DAY_MS
    start = paris.day_starts_ms(np.array([number]))
    assert paris.of(start).tolist() == [number * DAY_MS]


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="is not a time zone"):
        Site(name="x", latitude=0, longitude=0, timezone="Mars/Olympus")


def test_the_day_is_coolest_at_six_and_warmest_at_two() -> None:
    hours = np.arange(0, 24, 0.25)
    course = diurnal((hours * HOUR_MS).astype(np.int64))
    assert (hours[course.argmin()], hours[course.argmax()]) == (6, 14)
    assert (course.min(), course.max()) == pytest.approx((-1, 1))


def test_weather_is_alike_nearby_and_unrelated_far_away() -> None:
    world = World.of(
        11, [site("a", 48.0, 2.0), site("near", 48.1, 2.1), site("mid", 49.5, 4.0), site("far", 10.0, 120.0)]
    )
    times = MONDAY_MS + np.arange(0, 400 * DAY_MS, 6 * HOUR_MS)
    series = [weather(world, at(world, index, times), times).pressure for index in range(4)]
    near, mid, far = (np.corrcoef(series[0], other)[0, 1] for other in series[1:])
    assert near > 0.97
    assert 0.3 < mid < near
    assert abs(far) < 0.15


def test_rain_comes_with_low_pressure_and_moist_air() -> None:
    world = World.of(5, [site("a", 48.0, 2.0)])
    times = MONDAY_MS + np.arange(0, 600 * DAY_MS, 3 * HOUR_MS)
    found = weather(world, at(world, 0, times), times)
    wet = found.rain > 0
    assert 0.05 < wet.mean() < 0.35
    assert found.pressure[wet].mean() < -0.3 < found.pressure[~wet].mean()
    assert found.moisture[wet].mean() > 0.5


def test_demand_has_two_rush_hours_on_weekdays_and_none_on_sundays() -> None:
    hours = (np.arange(24) * HOUR_MS + HOUR_MS // 2).astype(np.int64)
    monday, sunday = demand(MONDAY_MS + hours), demand(MONDAY_MS + 6 * DAY_MS + hours)
    assert monday[8] > monday[10] < monday[17]
    assert monday.argmax() in (17, 18)
    assert sunday[8] < 0.3 * monday[8]
    # Telraam: a Sunday has 57 % of a weekday's traffic, a Saturday 85 %.
    assert sunday.sum() / monday.sum() == pytest.approx(0.57, abs=0.06)


def test_rain_slows_traffic_and_thins_it() -> None:
    world = World.of(5, [site("a", 48.0, 2.0)])
    noons = MONDAY_MS + 12 * HOUR_MS + DAY_MS * np.arange(1500)
    zero = np.zeros(len(noons), dtype=np.int64)
    wet = weather(world, zero, noons).rain > 0.15
    assert wet.sum() > 20
    traffic = flow(world, zero, zero, noons)
    assert traffic.speed_kmh[wet].mean() < 0.97 * traffic.speed_kmh[~wet].mean()
    assert traffic.vehicles_per_hour[wet].mean() < traffic.vehicles_per_hour[~wet].mean()


def test_dense_traffic_is_slow_traffic() -> None:
    world = World.of(5, [site("a", 48.0, 2.0)])
    times = MONDAY_MS + np.arange(0, 14 * DAY_MS, HOUR_MS)
    zero = np.zeros(len(times), dtype=np.int64)
    traffic = flow(world, zero, zero, times)
    # Greenshields ties density to the flow; what moves the speed besides leaves about -0.25 (Telraam) to -0.5.
    assert np.corrcoef(traffic.vehicles_per_hour, traffic.density)[0, 1] > 0.9
    assert np.corrcoef(traffic.vehicles_per_hour, traffic.speed_kmh)[0, 1] < -0.15


def test_position_speed_and_acceleration_of_a_vehicle_agree() -> None:
    world = World.of(9, [site("a", 48.0, 2.0)], dict.fromkeys(range(30), "a"))
    times = MONDAY_MS + 8 * HOUR_MS + np.arange(0, 900_000, 100)
    for vehicle in range(30):
        moving = motion(world, at(world, 0, times), np.full(len(times), vehicle), times)
        by_distance = np.gradient(moving.distance_m, 0.1)
        by_speed = np.gradient(moving.speed_ms, 0.1)
        # Amplitudes follow the hour's pace, whose own change is left out of the derivative.
        assert np.abs(by_distance - moving.speed_ms)[5:-5].max() < 0.25
        assert np.abs(by_speed - moving.acceleration_ms2)[5:-5].max() < 0.5
        assert moving.speed_ms.max() * 3.6 < 1.5 * ROADS[int(moving.roads[0])].limit_kmh
        assert np.abs(moving.acceleration_ms2).max() < 9.81


def test_every_lap_passes_every_point_of_the_road_once() -> None:
    world = World.of(9, [site("a", 48.0, 2.0)], dict.fromkeys(range(12), "a"))
    vehicles = np.arange(12)
    roads = road_of(world, np.zeros(12, dtype=np.int64), vehicles)
    road = int(roads[0])
    edges = MONDAY_MS + np.arange(0, 6 * HOUR_MS, 60_000)
    counted = passages(world, 0, road, 0.25, edges[:-1], edges[1:]).sum()
    driven = 0
    for vehicle in vehicles[roads == road]:
        ends = motion(world, np.zeros(2, dtype=np.int64), np.full(2, vehicle), edges[[0, -1]]).distance_m
        laps = ends / (2 * np.pi * ROADS[road].radius_m) - 0.25
        driven += int(np.floor(laps[1]) - np.floor(laps[0]))
    assert counted == driven > 0
