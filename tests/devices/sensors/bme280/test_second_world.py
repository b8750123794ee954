"""The BME280 in `world: 2`: a room in physical time, and places of units that differ."""

import numpy as np
import pytest

from devices.sensors.base import Population
from devices.sensors.bme280.sensor import Bme280Sensor, Bme280Settings
from devices.world.random import hash_bits
from devices.world.world import DAY_MS, HOUR_MS, MINUTE_MS, Site, World
from edgewire.clock import parse_ms

START_MS = parse_ms("2026-03-02T00:00:00Z")
PLACE = Site(name="a", latitude=48.9, longitude=2.4)
STILL = {"noise": False, "tolerance": 0, "ageing": 0}


def series(
    seed: int, every_ms: int, days: float, device: int = 0, version: int = 2, **settings: object
) -> tuple[np.ndarray, np.ndarray]:
    """Return (°C, % and hPa; readings) of a device, and whether each was in an event."""
    keys = hash_bits(0, "test/unit", np.arange(4))
    population = Population(keys, np.zeros(4, dtype=np.int64), np.full(4, every_ms), np.arange(4))
    sensor = Bme280Sensor(Bme280Settings(**settings), population)
    times = START_MS + np.arange(0, int(days * DAY_MS), every_ms)
    world = World.build(seed, [PLACE], version=version)
    columns = sensor.sample(world, np.full(len(times), device), times)
    values = np.stack([columns[name] for name in ("temperature_c", "humidity", "pressure_hpa")])
    inside = np.array([row["in_weather_event"] for row in columns["metadata"]], dtype=np.int64)
    return values, inside


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 7, 23])
def test_a_room_changes_by_the_hour_whoever_reads_it(seed: int) -> None:
    begun = []
    for every_ms in (1000, 10_000, 60_000):
        values, inside = series(seed, every_ms, 1)
        begun.append(int((np.diff(inside) > 0).sum()))
        pressure = values[2]
        ten_seconds, hour = max(1, 10_000 // every_ms), HOUR_MS // every_ms
        # The chip's noise is .033 hPa.
        assert np.abs(pressure[ten_seconds:] - pressure[:-ten_seconds]).max() < 0.3
        assert 0.03 < np.abs(pressure[hour:] - pressure[:-hour]).mean() < 0.8
    assert begun[0] == pytest.approx(begun[2], abs=1)
    assert max(begun) <= 8


@pytest.mark.slow
def test_a_room_stays_in_its_ranges_and_has_storms_in_the_course_of_a_year() -> None:
    values, inside = series(3, 15 * MINUTE_MS, 365)
    for row, (low, high) in zip(values, ((18, 28), (30, 70), (1000, 1025)), strict=True):
        assert low <= row.min() < row.max() <= high
        assert np.ptp(row) > 0.4 * (high - low)
    assert 0.03 < inside.mean() < 0.4
    assert not series(3, 15 * MINUTE_MS, 60, weather_events=False)[1].any()


def test_ranges_that_are_set_count_in_readings_as_they_do_in_the_first_world() -> None:
    ranges = {"pressure_hpa": {"low": 1000, "high": 1025, "drift": 0.5}}
    for settings in (ranges, {"weather_event_chance": 0.01}, {"weather_event_readings": [10, 50]}):
        begun = [int((np.diff(series(3, every, 0.5, **settings)[1]) > 0).sum()) for every in (10_000, 60_000)]
        assert begun[0] > 2.5 * begun[1] > 0


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["indoor", "outdoor"])
@pytest.mark.parametrize("seed", [1, 7])
def test_two_units_of_one_site_differ_by_tenths_that_come_and_go(seed: int, profile: str) -> None:
    every_ms = 10 * MINUTE_MS
    units = [series(seed, every_ms, 40, device, profile=profile, **STILL)[0] for device in range(4)]
    differences = [units[a][0] - units[b][0] for a in range(4) for b in range(a)]
    assert 0.1 < np.mean([one.std() for one in differences]) < 0.8
    for one in differences:
        hourly = one[::6] - one[::6].mean()
        assert np.corrcoef(hourly[1:], hourly[:-1])[0, 1] > 0.75
        assert np.abs(np.diff(one)).max() < 0.6
    # The vapour is that of all: a warmer unit is a drier one.
    drier = units[0][1] - units[1][1]
    assert np.corrcoef(differences[0], drier)[0, 1] > 0.5
    if profile == "outdoor":
        assert np.corrcoef(units[0][0], units[1][0])[0, 1] > 0.97
    same = [series(seed, every_ms, 2, device, profile=profile, exposure=0, **STILL)[0][0] for device in range(2)]
    assert np.abs(same[0] - same[1]).max() < 0.03
