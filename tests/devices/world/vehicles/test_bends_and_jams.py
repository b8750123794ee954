"""Bends are taken as people take them, whatever the seed, the vehicle's use, the snow and the traffic."""

import dataclasses

import numpy as np
import pytest

from devices.world.components import Components, components
from devices.world.roads import CLASSES, Roads
from devices.world.traffic import Flow, Traffic
from devices.world.vehicles.day_plans import DayPlans
from devices.world.vehicles.day_trips import DayTripPlanner
from devices.world.vehicles.drawn_days import TRIPS_A_DAY
from devices.world.vehicles.trips import TripBatch, corner_m, curvature
from devices.world.world import DAY_MS, Site, SiteArrays, VehicleUse, World
from edgewire.clock import parse_ms

MOSCOW = Site(name="a", latitude=55.7, longitude=37.6, timezone="Europe/Moscow", climate="Dfb")
FIRST_DAY = parse_ms("2026-01-05T00:00:00Z") // DAY_MS
VEHICLES, DAYS = 80, 7
FASTEST_MS = 165 / 3.6


class Jam(Traffic):
    """Traffic that stands more than it moves."""

    def flow_on_all_roads(self, sites: np.ndarray, times_ms: np.ndarray) -> Flow:
        flow = super().flow_on_all_roads(sites, times_ms)
        return dataclasses.replace(flow, speed_ms=0.3 * flow.speed_ms)


def jam(world: World, parts: Components) -> Traffic:
    site_arrays = SiteArrays(world)
    return Jam(world.seed, site_arrays, Roads(world.seed, site_arrays), parts.atmosphere.weather, world.is_holiday)


def week(seed: int, use: VehicleUse, *, jammed: bool = False) -> tuple[TripBatch, np.ndarray, np.ndarray]:
    """Return trips, the classes of the roads of their links, and how long the trips may take."""
    who = [(number, MOSCOW.name) for number in range(VEHICLES)]
    world = World.build(seed, [MOSCOW], who, version=2, uses=dict.fromkeys(who, use))
    parts = components(world)
    traffic = jam(world, parts) if jammed else parts.traffic
    planner = DayTripPlanner(
        world, parts.site_arrays, parts.roads, traffic, parts.atmosphere, parts.drivers, parts.rare_days
    )
    trips = np.tile(FIRST_DAY * TRIPS_A_DAY + np.arange(DAYS * TRIPS_A_DAY), VEHICLES)
    vehicles = np.repeat(np.arange(VEHICLES), DAYS * TRIPS_A_DAY)
    driven = planner.schedule.drives(np.zeros_like(trips), vehicles, trips)
    # Deliveries make many a day.
    trips, vehicles = trips[driven][:4000], vehicles[driven][:4000]
    batch = planner.plan(np.zeros_like(trips), vehicles, trips)
    plans = DayPlans(world, parts.site_arrays, parts.roads.plan, parts.rare_days)
    classes = parts.roads.plan.road_class[batch.links >> 1]
    return batch, classes, plans.available_s(np.zeros_like(trips), vehicles, trips)


@pytest.mark.parametrize("seed", [1, 3, 11])
@pytest.mark.parametrize("use", ["private", "delivery", "taxi"])
def test_no_bend_is_taken_faster_than_the_rashest_take_it(seed: int, use: VehicleUse) -> None:
    batch, classes, _ = week(seed, use)
    sideways = batch.profile.leave_ms**2 * curvature(np.abs(batch.turn_rad), corner_m(classes))
    assert 2.5 < sideways.max() < 4
    assert batch.profile.cruise_ms.max() < FASTEST_MS


@pytest.mark.parametrize("use", ["private", "delivery", "taxi"])
def test_in_a_jam_the_late_hurry_on_the_straight_and_not_in_bends(use: VehicleUse) -> None:
    batch, classes, available_s = week(2, use, jammed=True)
    usual, _, _ = week(2, use)
    valid = np.arange(batch.links.shape[1]) < batch.count[:, None]
    assert (batch.begin_s[:, -1] <= available_s + 1e-6).all()
    slower = np.median(batch.profile.duration_s[valid]) / np.median(usual.profile.duration_s[valid])
    assert 1.3 < slower < 4
    # Many are as slow as the traffic, and those who would be late are not.
    free = np.array([kind.free_kmh for kind in CLASSES])[classes] / 3.6
    share = (batch.profile.cruise_ms / free)[valid]
    assert np.percentile(share, 10) < 0.35
    sideways = batch.profile.leave_ms**2 * curvature(np.abs(batch.turn_rad), corner_m(classes))
    assert sideways.max() < 4
    assert batch.profile.cruise_ms.max() < FASTEST_MS
