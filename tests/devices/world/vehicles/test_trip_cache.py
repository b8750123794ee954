"""What is kept of a trip says the same as its plan, and no more trips are kept than vehicles are on."""

import numpy as np
import pytest

from devices.world.components import components
from devices.world.vehicles.day_trips import DayTripPlanner
from devices.world.vehicles.schedule import HourlySchedule
from devices.world.vehicles.trip_cache import TripCache
from devices.world.vehicles.trips import TripPlanner
from devices.world.world import HOUR_MS, Site, World
from edgewire.clock import parse_ms

NOON_MS = parse_ms("2026-03-03T12:00:00Z")
SITES = [
    Site(name="a", latitude=53.55, longitude=9.99, timezone="Europe/Berlin"),
    Site(name="b", latitude=-33.9, longitude=18.4, timezone="Africa/Johannesburg"),
]


def planner_of(world: World) -> TripPlanner:
    parts = components(world)
    if world.version == 1:
        air, schedule = parts.atmosphere.weather, HourlySchedule(parts.drivers)
        return TripPlanner(world.seed, parts.site_arrays, parts.roads, parts.traffic, air, parts.drivers, schedule)
    return DayTripPlanner(world, parts.site_arrays, parts.roads, parts.traffic, parts.atmosphere, parts.drivers)


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_kept_of_a_trip_is_its_plan(version: int) -> None:
    world = World.build(4, SITES, version=version)
    planner = planner_of(world)
    cache = TripCache(planner, components(world).roads, 0, fewest_kept=100)
    numbers = np.arange(60)
    sites, vehicles = numbers % 2, numbers // 2
    trips = planner.schedule.at(sites, vehicles, np.full(60, NOON_MS))[0]
    plan = planner.plan(sites, vehicles, trips)
    rows = cache.rows(sites, vehicles, trips)
    assert np.array_equal(cache.depart_s(rows), plan.depart_s)
    first, last = cache.ends(rows)
    driven = 0
    for row in range(60):
        at = np.arange(first[row], last[row] + 1)
        here, own = np.full(len(at), sites[row]), (np.full(len(at), row), np.arange(len(at)))
        assert len(at) == max(plan.count[row], 1)
        assert np.array_equal(cache.links(at), plan.links[own])
        assert np.array_equal(cache.begin_s(at), plan.begin_s[own])
        assert np.array_equal(cache.turns(here, at), plan.turn_rad[own])
        for kept, planned in zip(cache.profile(here, at).columns(), plan.profile.take(own).columns(), strict=True):
            assert np.array_equal(kept, planned)
        driven += plan.count[row] > 1
    assert driven > 10


@pytest.mark.parametrize("version", [1, 2])
def test_a_trip_a_vehicle_and_some_more_are_kept_however_long_it_goes_on(version: int) -> None:
    world = World.build(4, SITES, dict.fromkeys(range(40), "a"), version=version)
    cache = TripCache(planner_of(world), components(world).roads, 40, fewest_kept=0)
    vehicles, sites = np.arange(40), np.zeros(40, dtype=np.int64)
    fresh = planner_of(world)
    for hour in range(8):
        trips = fresh.schedule.at(sites, vehicles, np.full(40, NOON_MS + hour * HOUR_MS))[0]
        rows = cache.rows(sites, vehicles, trips)
        assert np.array_equal(cache.depart_s(rows), fresh.plan(sites, vehicles, trips).depart_s)
        assert 40 <= len(cache) <= 50
    assert cache.cleared > 0
