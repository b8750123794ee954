"""Sites, local time and weather: one world that all devices share."""

import numpy as np
import pytest
from pydantic import ValidationError

from devices.world.weather import diurnal, weather
from devices.world.world import DAY_MS, HOUR_MS, LocalTime, Site, World
from edgewire.clock import parse_ms

MONDAY_MS = parse_ms("2026-03-02T00:00:00Z")


def site(name: str, latitude: float, longitude: float) -> Site:
    return Site(name=name, latitude=latitude, longitude=longitude)


def at(world: World, index: int, times: np.ndarray) -> np.ndarray:
    return np.full(len(times), index)


def test_local_time_follows_daylight_saving() -> None:
    paris = LocalTime("Europe/Paris")
    winter, summer = parse_ms("2026-03-29T00:59:59Z"), parse_ms("2026-03-29T01:00:00Z")
    assert (paris.from_utc(np.array([winter, summer])) - [winter, summer]).tolist() == [HOUR_MS, 2 * HOUR_MS]


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2026-07-01", "2026-12-31"])
def test_days_begin_at_local_midnight(day: str) -> None:
    paris = LocalTime("Europe/Paris")
    number = parse_ms(day) // DAY_MS
    start = paris.day_starts_ms(np.array([number]))
    assert paris.from_utc(start).tolist() == [number * DAY_MS]


@pytest.mark.parametrize(
    "zone", ["America/Santiago", "America/Havana", "Africa/Cairo", "Asia/Beirut", "Antarctica/Vostok", "Pacific/Apia"]
)
def test_a_day_begins_with_its_first_instant_where_clocks_change_at_midnight(zone: str) -> None:
    local = LocalTime(zone)
    days = parse_ms("2023-01-01") // DAY_MS + np.arange(3 * 365)
    starts = local.day_starts_ms(days)
    assert (local.from_utc(starts) // DAY_MS == days).all()
    assert (local.from_utc(starts - 1) // DAY_MS == days - 1).all()


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="is not a time zone"):
        Site(name="x", latitude=0, longitude=0, timezone="Mars/Olympus")


def test_the_day_is_coolest_at_six_and_warmest_at_two() -> None:
    hours = np.arange(0, 24, 0.25)
    course = diurnal((hours * HOUR_MS).astype(np.int64))
    assert (hours[course.argmin()], hours[course.argmax()]) == (6, 14)
    assert (course.min(), course.max()) == pytest.approx((-1, 1))


def test_weather_is_alike_nearby_and_unrelated_far_away() -> None:
    world = World.build(
        11, [site("a", 48.0, 2.0), site("near", 48.1, 2.1), site("mid", 49.5, 4.0), site("far", 10.0, 120.0)]
    )
    times = MONDAY_MS + np.arange(0, 400 * DAY_MS, 6 * HOUR_MS)
    series = [weather(world, at(world, index, times), times).pressure for index in range(4)]
    near, mid, far = (np.corrcoef(series[0], other)[0, 1] for other in series[1:])
    assert near > 0.97
    assert 0.3 < mid < near
    assert abs(far) < 0.15


def test_weather_is_alike_on_both_sides_of_the_180th_meridian() -> None:
    world = World.build(11, [site("east", -16.8, 179.9), site("west", -16.8, -179.9)])
    times = MONDAY_MS + np.arange(0, 100 * DAY_MS, 6 * HOUR_MS)
    east, west = (weather(world, at(world, index, times), times).pressure for index in range(2))
    assert np.corrcoef(east, west)[0, 1] > 0.97


def test_rain_comes_with_low_pressure_and_moist_air() -> None:
    world = World.build(5, [site("a", 48.0, 2.0)])
    times = MONDAY_MS + np.arange(0, 600 * DAY_MS, 3 * HOUR_MS)
    found = weather(world, at(world, 0, times), times)
    wet = found.rain > 0
    assert 0.05 < wet.mean() < 0.35
    assert found.pressure[wet].mean() < -0.3 < found.pressure[~wet].mean()
    assert found.moisture[wet].mean() > 0.5
