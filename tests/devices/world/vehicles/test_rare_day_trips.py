"""What snow and events in town make of the days of vehicles: by the same world without them."""

from typing import NamedTuple

import numpy as np
import pytest

from devices.world.components import components
from devices.world.vehicles.day_plans import DayPlans
from devices.world.vehicles.day_trips import DayTripPlanner
from devices.world.vehicles.drawn_days import TRIPS_A_DAY
from devices.world.world import DAY_MS, HOUR_MS, Site, VehicleUse, World
from edgewire.clock import parse_ms

MOSCOW = {"latitude": 55.7, "longitude": 37.6, "altitude_m": 150, "climate": "Dfb", "timezone": "Europe/Moscow"}
FIRST_DAY = parse_ms("2026-01-05T00:00:00Z") // DAY_MS
WINTER = FIRST_DAY - 30 + np.arange(100)
VEHICLES = 120
SEEDS = (3, 14)


class Days(NamedTuple):
    """The trips of some days; arrays have one entry a trip."""

    world: World
    plans: DayPlans
    vehicle: np.ndarray
    trip: np.ndarray
    begins_ms: np.ndarray

    @property
    def day(self) -> np.ndarray:
        return self.trip // TRIPS_A_DAY


def days_of(seed: int, days: np.ndarray, use: VehicleUse = "private", **keys: object) -> Days:
    site = Site(name="town", **MOSCOW | keys)  # type: ignore[arg-type]
    who = [(number, "town") for number in range(VEHICLES)]
    world = World.build(seed, [site], who, version=2, uses=dict.fromkeys(who, use))
    parts = components(world)
    plans = DayPlans(world, parts.site_arrays, parts.roads.plan, parts.rare_days)
    trips = np.tile((days[:, None] * TRIPS_A_DAY + np.arange(TRIPS_A_DAY)).ravel(), VEHICLES)
    vehicle = np.repeat(np.arange(VEHICLES), len(days) * TRIPS_A_DAY)
    driven = plans.drives(np.zeros_like(trips), vehicle, trips)
    trips, vehicle = trips[driven], vehicle[driven]
    return Days(world, plans, vehicle, trips, plans.begins_ms(np.zeros_like(trips), vehicle, trips))


def snow_by_hour(found: Days, days: np.ndarray) -> np.ndarray:
    """Return how much lies [day, hour]; from four to four o'clock."""
    rare_days = components(found.world).rare_days
    assert rare_days is not None
    times = days[:, None] * DAY_MS + np.arange(1, 26) * HOUR_MS
    return rare_days.snow(np.zeros(times.size, dtype=np.int64), times.ravel()).reshape(times.shape)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("use", ["private", "delivery", "taxi"])
def test_fewer_trips_are_made_through_snow_and_as_many_on_other_days(seed: int, use: VehicleUse) -> None:
    days = WINTER
    with_it, without = days_of(seed, days, use, snow=True), days_of(seed, days, use)
    snow = snow_by_hour(with_it, days)
    deep, clear = days[snow[:, 3:14].mean(axis=1) > 0.3], days[snow.max(axis=1) == 0]
    assert len(deep) > 2
    assert len(clear) > 5
    there, usual = (np.isin(each.day, deep).sum() for each in (with_it, without))
    assert 0.6 < there / usual < 0.9
    same = [
        np.stack([each.vehicle, each.trip, each.begins_ms])[:, np.isin(each.day, clear)] for each in (with_it, without)
    ]
    assert np.array_equal(*same)


def test_trips_are_slower_through_snow() -> None:
    days = WINTER
    speed = {}
    for snow in (True, False):
        found = days_of(3, days, snow=snow)
        if snow:
            deep = days[snow_by_hour(found, days)[:, 3:14].mean(axis=1) > 0.3]
        rows = np.flatnonzero(np.isin(found.day, deep) & (np.abs(found.begins_ms % DAY_MS / HOUR_MS - 9) < 4))
        parts = components(found.world)
        planner = DayTripPlanner(
            found.world, parts.site_arrays, parts.roads, parts.traffic, parts.atmosphere, parts.drivers, parts.rare_days
        )
        batch = planner.plan(np.zeros_like(rows), found.vehicle[rows], found.trip[rows])
        valid = np.arange(batch.links.shape[1]) < batch.count[:, None]
        speed[snow] = (batch.profile.length_m * valid).sum() / batch.begin_s[:, -1].sum()
    assert 0.6 < speed[True] / speed[False] < 0.9


@pytest.mark.parametrize("seed", SEEDS)
def test_before_an_event_cars_drive_to_its_place_and_after_it_home(seed: int) -> None:
    days = FIRST_DAY + np.arange(90)
    with_it, without = days_of(seed, days, town_events=40), days_of(seed, days)
    rare_days = components(with_it.world).rare_days
    assert rare_days is not None
    events = rare_days.events(np.zeros_like(days), days)
    assert events.happens.sum() > 5
    ahead_ms = 3 * HOUR_MS
    more, goals, back = 0, [], 0
    for day, begins_ms, ends_ms in zip(
        days[events.happens], events.begins_ms[events.happens], events.ends_ms[events.happens], strict=True
    ):
        known = {(v, t): b for v, t, b in zip(without.vehicle, without.trip, without.begins_ms, strict=True)}
        rows = np.flatnonzero(with_it.day == day)
        local = with_it.begins_ms[rows] + ahead_ms
        new = np.array([known.get((with_it.vehicle[row], with_it.trip[row])) != with_it.begins_ms[row] for row in rows])
        to_it = rows[new & (local > begins_ms - 1.8 * HOUR_MS) & (local < begins_ms)]
        more += len(to_it)
        _, goal, _ = with_it.plans.route_ends(np.zeros_like(to_it), with_it.vehicle[to_it], with_it.trip[to_it])
        goals += goal.tolist()
        # The next trip of each leads home after its end.
        after = to_it + 1
        assert (with_it.vehicle[after] == with_it.vehicle[to_it]).all()
        leaves = with_it.begins_ms[after] + ahead_ms
        back += int(((leaves >= ends_ms) & (leaves < ends_ms + HOUR_MS)).sum())
    share = more / events.size[events.happens].sum() / VEHICLES
    # Of the one in seven some are at work or out.
    assert 0.04 < share < 0.15
    place, count = np.unique(goals, return_counts=True)
    assert len(place) <= 3
    assert count.max() > 0.8 * len(goals)
    assert back > 0.8 * more
    usual = ~np.isin(with_it.day, days[events.happens])
    before = ~np.isin(without.day, days[events.happens])
    assert np.array_equal(with_it.begins_ms[usual], without.begins_ms[before])
