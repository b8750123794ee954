"""The trips of private cars against what travel surveys and roadside counts report, with several seeds."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pytest

from devices.world.components import components
from devices.world.vehicles.day_plans import DayPlans
from devices.world.vehicles.day_trips import DayTripPlanner
from devices.world.vehicles.drawn_days import TRIPS_A_DAY
from devices.world.world import DAY_MS, HOUR_MS, Site, World, weekday
from edgewire.clock import parse_ms

# Monday, 4 o'clock UTC, when the vehicles' days begin.
MONDAY_MS = parse_ms("2026-03-02T04:00:00Z")
VEHICLES, DAYS = 90, 7
SEEDS = (3, 8)
Floats = np.ndarray


class Week(NamedTuple):
    """The trips of a week; one entry a trip."""

    world: World
    vehicle: np.ndarray
    depart_ms: np.ndarray
    minutes: Floats
    km: Floats
    fastest_kmh: Floats
    braking_ms2: Floats


def world_of(seed: int) -> World:
    site = Site(name="a", latitude=48.9, longitude=2.4)
    who = [(number, "a") for number in range(VEHICLES)]
    return World.build(seed, [site], who, version=2, uses=dict.fromkeys(who, "private"))


@lru_cache(4)
def week(seed: int) -> Week:
    world = world_of(seed)
    parts = components(world)
    planner = DayTripPlanner(world, parts.site_arrays, parts.roads, parts.traffic, parts.atmosphere, parts.drivers)
    day = MONDAY_MS // DAY_MS
    trips = np.tile(day * TRIPS_A_DAY + np.arange(DAYS * TRIPS_A_DAY), VEHICLES)
    vehicle = np.repeat(np.arange(VEHICLES), DAYS * TRIPS_A_DAY)
    driven = planner.schedule.drives(np.zeros_like(trips), vehicle, trips)
    trips, vehicle = trips[driven], vehicle[driven]
    sites = np.zeros_like(trips)
    batch = planner.plan(sites, vehicle, trips)
    valid = np.arange(batch.links.shape[1]) < batch.count[:, None]
    return Week(
        world,
        vehicle,
        planner.schedule.begins_ms(sites, vehicle, trips),
        batch.begin_s[:, -1] / 60,
        (batch.profile.length_m * valid).sum(axis=1) / 1000,
        (batch.profile.cruise_ms * valid).max(axis=1) * 3.6,
        batch.profile.peak_braking_ms2[valid],
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_departures_are_spread_over_the_hour(seed: int) -> None:
    found = week(seed)
    turns = np.exp(2j * np.pi * (found.depart_ms % HOUR_MS) / HOUR_MS)
    concentration = [abs(turns[found.vehicle == one].mean()) for one in range(VEHICLES) if (found.vehicle == one).any()]
    # Of about 25 independent departures it is 0.18.
    assert np.median(concentration) < 0.3
    assert abs(turns.mean()) < 0.06


@pytest.mark.parametrize("seed", SEEDS)
def test_trips_are_several_a_day_and_as_skewed_as_in_surveys(seed: int) -> None:
    found = week(seed)
    # NHTS 2017: 3.4 trips a driver and day, 60 minutes of driving, median 7 and mean 15 km (towns here are small).
    assert 2.6 < len(found.km) / VEHICLES / DAYS < 4.2
    assert 42 < found.minutes.sum() / VEHICLES / DAYS < 80
    assert 5 < np.median(found.km) < 9.5
    # Mobilität in Deutschland 2017: shares of the trips that are shorter.
    for km, share in ((1, 0.03), (2, 0.12), (5, 0.38), (10, 0.70), (20, 0.84), (50, 0.96), (100, 0.99)):
        assert (found.km < km).mean() == pytest.approx(share, abs=0.1)
    assert ((found.km - found.km.mean()) ** 3).mean() / found.km.std() ** 3 > 1
    assert (found.minutes > 60).mean() > 0.005
    away = weekday(found.depart_ms // DAY_MS) >= 5
    assert (found.km[away] > 35).mean() > 1.5 * (found.km[~away] > 35).mean()


@pytest.mark.parametrize("seed", SEEDS)
def test_days_have_commuting_and_quiet_nights(seed: int) -> None:
    found = week(seed)
    hour = found.depart_ms // HOUR_MS % 24
    away = weekday((found.depart_ms - 4 * HOUR_MS) // DAY_MS) >= 5
    driving = np.bincount(hour[~away], found.minutes[~away], 24) / found.minutes[~away].sum()
    assert (driving[:4] < 0.01).all()
    assert driving[:4].sum() > 0
    assert driving[7:9].sum() > 0.1
    assert driving[16:19].sum() > 0.15
    at_weekend = np.bincount(hour[away], found.minutes[away], 24) / found.minutes[away].sum()
    assert at_weekend[6:9].sum() < 0.75 * driving[6:9].sum()


@pytest.mark.parametrize("seed", SEEDS)
def test_speeds_end_and_braking_falls_off_from_the_threshold(seed: int) -> None:
    found = week(seed)
    assert found.fastest_kmh.max() < 165
    assert (found.fastest_kmh > 140).mean() < 0.02
    excess = found.braking_ms2[found.braking_ms2 > 0.28 * 9.80665] / 9.80665 - 0.28
    assert len(excess) > 40
    # An exponential: a third is nearer to the threshold than .405 means.
    assert 0.2 < (excess < 0.405 * excess.mean()).mean() < 0.5
    assert 0.03 < excess.mean() < 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_driving_is_smooth(seed: int) -> None:
    found = week(seed)
    some = np.arange(0, len(found.vehicle), 2)
    share = np.random.default_rng(seed).random((len(some), 16))
    times = (found.depart_ms[some, None] + share * found.minutes[some, None] * 60_000).astype(np.int64).ravel()
    vehicles = np.repeat(found.vehicle[some], 16)
    drives = components(found.world).vehicles.motion
    moving, later = (drives(np.zeros_like(vehicles), vehicles, times + shift) for shift in (0, 500))
    rolls = moving.on_trip & (moving.speed_ms > 0.5)
    size = np.abs(moving.acceleration_ms2[rolls])
    counts = np.histogram(size, np.arange(0, 3.25, 0.25))[0]
    # Less and less often, beyond what is chance.
    assert (np.diff(counts) <= 0.1 * counts[:-1] + 3 * np.sqrt(counts[:-1])).all(), counts
    assert counts[2:4].sum() > 0.03 * len(size)
    assert moving.lateral_ms2.max() < 4.01
    change = (later.acceleration_ms2 - moving.acceleration_ms2)[rolls & (later.speed_ms > 0.5)] / 0.5
    assert np.percentile(np.abs(change), 99) < 2.5


def test_each_trip_begins_where_the_one_before_ended_and_in_time() -> None:
    found = week(SEEDS[0])
    vehicles = components(found.world).vehicles
    sites = np.zeros_like(found.vehicle)
    some = slice(None, None, 7)
    before, after = (
        vehicles.motion(sites[some], found.vehicle[some], found.depart_ms[some] + shift) for shift in (-1, 0)
    )
    assert (before.speed_ms == 0).all()
    assert not before.on_trip.any()
    assert np.abs(before.latitude - after.latitude).max() < 1e-6
    assert np.abs(before.longitude - after.longitude).max() < 1e-6


def test_a_moment_is_the_same_alone_and_in_company() -> None:
    found = week(SEEDS[0])
    rows = np.arange(0, len(found.vehicle), 197)
    moments = found.depart_ms[rows] + 150_000
    sites = np.zeros_like(rows)
    together = components(found.world).vehicles.motion(sites, found.vehicle[rows], moments)
    fresh = components(world_of(SEEDS[0])).vehicles
    for row in range(0, len(rows), 3):
        alone = fresh.motion(sites[row : row + 1], found.vehicle[rows[row : row + 1]], moments[row : row + 1])
        for name in ("latitude", "longitude", "speed_ms", "acceleration_ms2", "lateral_ms2", "heading_deg", "trip"):
            assert getattr(alone, name)[0] == getattr(together, name)[row]


def test_cameras_see_the_vehicles_that_pass() -> None:
    found = week(SEEDS[0])
    vehicles = components(found.world).vehicles
    hour = int(MONDAY_MS // HOUR_MS) + 4
    roads = components(found.world).roads
    seen = 0
    for road in range(0, 40, 5):
        along = float(roads.length_m[0, road]) / 2
        passed = vehicles.passages(0, road, along, hour)
        seen += len(passed.vehicle)
        at = vehicles.motion(np.zeros_like(passed.vehicle), passed.vehicle, passed.time_ms)
        assert (at.road == road).all()
        assert np.abs(at.along_m - along).max(initial=0) < 0.2
    assert seen > 0


def test_holidays_are_driven_as_sundays() -> None:
    pytest.importorskip("holidays")
    site = Site(name="a", latitude=48.9, longitude=2.4, country="FR")
    who = [(number, "a") for number in range(400)]
    world = World.build(3, [site], who, version=2, uses=dict.fromkeys(who, "private"))
    parts = components(world)
    plans = DayPlans(world, parts.site_arrays, parts.roads.plan)
    vehicles = np.arange(400)
    sites = np.zeros_like(vehicles)

    def early(date: str) -> int:
        day = parse_ms(f"{date}T12:00:00Z") // DAY_MS
        first = plans.begins_ms(sites, vehicles, np.full(400, day * TRIPS_A_DAY))
        driven = plans.drives(sites, vehicles, np.full(400, day * TRIPS_A_DAY))
        return int((driven & (first % DAY_MS < 9 * HOUR_MS)).sum())

    assert early("2026-07-14") < 0.4 * early("2026-07-07")
