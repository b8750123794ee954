"""Weather and the air outdoors in `world: 1`: seasons, days, climates and physics."""

import numpy as np
import pytest

from devices.world.drifting_cells import CLIMATES, DriftingCells, diurnal
from devices.world.weather import Air, vapour_pressure_hpa
from devices.world.world import DAY_MS, HOUR_MS, Site, World
from edgewire.clock import parse_ms

MONDAY_MS = parse_ms("2026-03-02T00:00:00Z")


def site(name: str, latitude: float, longitude: float) -> Site:
    return Site(name=name, latitude=latitude, longitude=longitude)


def at(world: World, index: int, times: np.ndarray) -> np.ndarray:
    return np.full(len(times), index)


NEW_YEAR_MS = parse_ms("2026-01-01T00:00:00Z")
YEAR = NEW_YEAR_MS + np.arange(0, 365 * DAY_MS, HOUR_MS)


def world(**place: object) -> World:
    return World.build(3, [Site(name="a", **{"latitude": 48.0, "longitude": 0.0, **place})])


def year(times: np.ndarray = YEAR, **place: object) -> Air:
    return DriftingCells(world(**place)).outdoor_air(np.zeros(len(times), dtype=np.int64), times)


def by_month(values: np.ndarray) -> np.ndarray:
    return np.array([part.mean() for part in np.array_split(values, 12)])


def test_seasons_are_the_other_way_round_in_the_south() -> None:
    north, south = (by_month(year(latitude=latitude).temperature_c) for latitude in (48, -48))
    assert north.argmax() in (5, 6, 7)
    assert north.argmin() in (11, 0, 1)
    assert south.argmax() in (11, 0, 1)
    assert np.ptp(by_month(year(latitude=10).temperature_c)) < 0.5 * np.ptp(north)


def test_the_day_is_warmest_at_two_and_coolest_at_six() -> None:
    hourly = year().temperature_c.reshape(-1, 24).mean(axis=0)
    assert (int(hourly.argmax()), int(hourly.argmin())) == (14, 6)
    # Relative humidity goes the other way, as the dew point hardly has a daily course.
    humidity = year().humidity.reshape(-1, 24).mean(axis=0)
    assert np.corrcoef(hourly, humidity)[0, 1] < -0.95


@pytest.mark.slow
@pytest.mark.parametrize("climate", CLIMATES)
def test_the_air_is_physically_possible(climate: str) -> None:
    air = year(climate=climate, latitude=CLIMATES[climate].latitude)
    assert (air.dew_point_c <= air.temperature_c).all()
    assert air.humidity.min() > 1
    assert air.humidity.max() <= 100 + 1e-9
    assert 950 < air.pressure_hpa.min() < air.pressure_hpa.max() < 1060
    wet = 100 * vapour_pressure_hpa(air.dew_point_c) / vapour_pressure_hpa(air.temperature_c)
    assert air.humidity == pytest.approx(wet)
    # Yearly mean within a degree and a half of the climate's own.
    assert air.temperature_c.mean() == pytest.approx(CLIMATES[climate].mean_c, abs=1.5)


def test_climates_differ_as_they_should() -> None:
    desert, tropical, temperate = (
        year(climate=name, latitude=CLIMATES[name].latitude) for name in ("desert", "tropical", "temperate")
    )
    assert desert.humidity.mean() < 40 < 60 < temperate.humidity.mean() < 85
    assert 70 < tropical.humidity.mean() < 95
    assert np.ptp(by_month(tropical.temperature_c)) < 3 < 12 < np.ptp(by_month(temperate.temperature_c))


@pytest.mark.slow
def test_it_rains_by_the_climate() -> None:
    shares = {}
    for name, climate in CLIMATES.items():
        here = world(climate=name, latitude=climate.latitude)
        shares[name] = (DriftingCells(here).weather(np.zeros(len(YEAR), dtype=np.int64), YEAR).rain > 0).mean()
    assert shares["desert"] < 0.03 < 0.07 < shares["mediterranean"] < shares["temperate"] < shares["tropical"] < 0.3


def test_vapour_pressure_is_that_of_the_tables() -> None:
    # Saturation over water: 6.11 hPa at 0 °C, 23.4 at 20 °C, 73.8 at 40 °C.
    assert vapour_pressure_hpa(np.array([0.0, 20.0, 40.0])) == pytest.approx([6.11, 23.4, 73.8], rel=0.005)


def test_pressure_and_temperature_fall_with_altitude() -> None:
    low, high = year(altitude_m=0), year(altitude_m=1500)
    # Standard atmosphere: 845.6 hPa at 1500 m; 6.5 K a km.
    assert high.pressure_hpa.mean() / low.pressure_hpa.mean() == pytest.approx(0.835, abs=0.01)
    assert (low.temperature_c - high.temperature_c).mean() == pytest.approx(9.75, abs=0.01)


def test_weather_moves_eastwards() -> None:
    two = World.build(3, [Site(name="west", latitude=48, longitude=0), Site(name="east", latitude=48, longitude=2)])
    times = NEW_YEAR_MS + np.arange(0, 200 * DAY_MS, HOUR_MS)
    west, east = (DriftingCells(two).weather(np.full(len(times), place), times).pressure for place in (0, 1))
    lags = range(-12, 13)
    alike = [np.corrcoef(west[12:-12], east[12 + lag : len(east) - 12 + lag])[0, 1] for lag in lags]
    # Two degrees at 0.4 degrees an hour: five hours later.
    assert lags[int(np.argmax(alike))] == pytest.approx(5, abs=2)


def test_storms_blow_and_fog_is_calm() -> None:
    found = DriftingCells(world()).weather(np.zeros(len(YEAR), dtype=np.int64), YEAR)
    assert found.wind[found.storm > 0.3].mean() > 1.4 * found.wind.mean()
    assert found.wind[found.fog].mean() < found.wind.mean()
    assert found.pressure[found.storm > 0].max() < -1 < 1 < found.pressure[found.clear > 0].min()
    assert 0.005 < found.fog.mean() < 0.1
    # Mean wind inland in the temperate zone: 3 to 5 m/s at 10 m.
    assert 3 < found.wind.mean() < 5
    assert set(found.conditions()) == {"sunny", "rainy", "foggy"}


def test_a_front_changes_the_air_mass() -> None:
    found = DriftingCells(world()).weather(np.zeros(len(YEAR), dtype=np.int64), YEAR)
    change = np.abs(np.gradient(found.temperature))
    assert change[found.front > 0.8].mean() > 2 * change[found.front < 0.1].mean()


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
    series = [DriftingCells(world).weather(at(world, index, times), times).pressure for index in range(4)]
    near, mid, far = (np.corrcoef(series[0], other)[0, 1] for other in series[1:])
    assert near > 0.97
    assert 0.3 < mid < near
    assert abs(far) < 0.15


def test_weather_is_alike_on_both_sides_of_the_180th_meridian() -> None:
    world = World.build(11, [site("east", -16.8, 179.9), site("west", -16.8, -179.9)])
    times = MONDAY_MS + np.arange(0, 100 * DAY_MS, 6 * HOUR_MS)
    east, west = (DriftingCells(world).weather(at(world, index, times), times).pressure for index in range(2))
    assert np.corrcoef(east, west)[0, 1] > 0.97


def test_rain_comes_with_low_pressure_and_moist_air() -> None:
    world = World.build(5, [site("a", 48.0, 2.0)])
    times = MONDAY_MS + np.arange(0, 600 * DAY_MS, 3 * HOUR_MS)
    found = DriftingCells(world).weather(at(world, 0, times), times)
    wet = found.rain > 0
    assert 0.05 < wet.mean() < 0.35
    assert found.pressure[wet].mean() < -0.3 < found.pressure[~wet].mean()
    assert found.moisture[wet].mean() > 0.5
