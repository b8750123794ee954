"""The fleet's vehicles: real motion, had for any moment, and the same whoever else drives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.sensors.telematics.driving import locate_vehicles
from devices.sensors.traffic.view import camera_views, locate_cameras
from devices.world.components import components
from devices.world.random import hash_bits
from devices.world.vehicles.schedule import HourlySchedule
from devices.world.vehicles.trip_cache import TripCache
from devices.world.vehicles.trips import TripBatch, TripPlanner
from devices.world.vehicles.vehicles import Motion, Vehicles
from devices.world.world import DAY_MS, HOUR_MS, Site, World
from edgewire.clock import parse_ms

MONDAY_MS = parse_ms("2026-03-02T00:00:00Z")
SITES = (Site(name="a", latitude=48, longitude=2), Site(name="b", latitude=53, longitude=10))
FLEET = dict.fromkeys(range(40), "a")
ELSEWHERE = World.build(9, SITES, {})


def drive(world: World, vehicle: int, times: np.ndarray, site: int = 0) -> Motion:
    return components(world).vehicles.motion(np.full(len(times), site), np.full(len(times), vehicle), times)


def busy(world: World, count: int) -> list[int]:
    """Vehicles that are on the road in the morning of that Monday."""
    vehicles = np.arange(40)
    zeros = np.zeros_like(vehicles)
    often = sum(
        components(world).vehicles.motion(zeros, vehicles, np.full(40, MONDAY_MS + hour * HOUR_MS)).on_trip * 1
        for hour in range(8, 12)
    )
    return np.argsort(-often, kind="stable")[:count].tolist()


def metres(moving: Motion) -> tuple[np.ndarray, np.ndarray]:
    """East and north of the first point."""
    north = (moving.latitude - moving.latitude[0]) * 111_320
    east = (moving.longitude - moving.longitude[0]) * 111_320 * np.cos(np.radians(48))
    return east, north


speeds = st.floats(0, 30)


def test_position_speed_and_acceleration_agree_from_trip_to_trip() -> None:
    world = World.build(9, SITES, FLEET)
    times = MONDAY_MS + 7 * HOUR_MS + np.arange(0, 4 * HOUR_MS, 200)
    for vehicle in busy(world, 4):
        moving = drive(world, vehicle, times)
        east, north = metres(moving)
        step = np.hypot(np.diff(east), np.diff(north))
        mean = (moving.speed_ms[1:] + moving.speed_ms[:-1]) / 2
        # It never jumps, not between trips either; corners are cut, where the way is up to a third shorter.
        assert (step <= 0.2 * mean * 1.02 + 0.15).all()
        straight = np.abs(np.diff(moving.heading_deg)) < 0.01
        assert np.abs(step / 0.2 - mean)[straight].max() < 1.0
        within = (moving.link[1:] == moving.link[:-1]) & moving.on_trip[1:] & moving.on_trip[:-1]
        change = np.diff(moving.speed_ms) / 0.2
        middle = (moving.acceleration_ms2[1:] + moving.acceleration_ms2[:-1]) / 2
        assert np.median(np.abs(change - middle)[within]) < 0.001
        assert np.percentile(np.abs(change - middle)[within], 99) < 1.5
        assert -7.6 < moving.acceleration_ms2.min() < -1 < 1 < moving.acceleration_ms2.max() < 2.8
        assert moving.lateral_ms2.max() < 9.81
        assert moving.speed_ms.max() * 3.6 < 170


def test_a_map_shows_vehicles_where_they_are_and_cameras_at_a_road() -> None:
    world = World.build(9, SITES, FLEET)
    vehicles = np.arange(40)
    sites, times = np.zeros_like(vehicles), np.full(40, MONDAY_MS + 8 * HOUR_MS)
    east, north = locate_vehicles(world, vehicles.astype(np.uint64), sites, vehicles, times)
    moving = components(world).vehicles.motion(sites, vehicles, times)
    place = components(world).roads.latitude_longitude(sites, east, north)
    assert np.allclose(place, (moving.latitude, moving.longitude))
    keys = hash_bits(1, "cameras", vehicles)
    roads = components(world).roads
    east, north = locate_cameras(world, keys, sites, vehicles, times)
    road = camera_views(world, keys, sites).roads
    away = np.stack([east, north], axis=-1) - roads.first_xy[0, road]
    along = (away * roads.unit_xy[0, road]).sum(axis=1)
    assert ((along > 0) & (along < roads.length_m[0, road])).all()
    assert np.hypot(*away.T) == pytest.approx(along)


def test_heading_is_that_of_the_way_driven() -> None:
    world = World.build(9, SITES, FLEET)
    times = MONDAY_MS + 8 * HOUR_MS + np.arange(0, 2 * HOUR_MS, 500)
    moving = drive(world, busy(world, 1)[0], times)
    east, north = metres(moving)
    course = np.degrees(np.arctan2(np.diff(east), np.diff(north)))
    fast = (moving.speed_ms[1:] > 3) & (moving.speed_ms[:-1] > 3)
    off = np.abs((course - moving.heading_deg[1:] + 180) % 360 - 180)[fast]
    assert np.median(off) < 0.01
    assert np.percentile(off, 99) < 25


def test_a_trip_is_within_its_hour_and_hours_follow_each_other_in_place() -> None:
    world = World.build(9, SITES, FLEET, version=1)
    vehicles = np.arange(300)
    begins = components(world).drivers.hour_begins_ms(np.zeros_like(vehicles), vehicles)
    for hour in range(8, 12):
        edge = MONDAY_MS + hour * HOUR_MS + begins
        before, after = (
            components(world).vehicles.motion(np.zeros_like(vehicles), vehicles, edge + shift) for shift in (-1, 0)
        )
        assert not before.on_trip.any()
        assert (before.speed_ms == 0).all()
        assert np.abs(before.latitude - after.latitude).max() < 1e-9
        assert np.abs(before.longitude - after.longitude).max() < 1e-9


@pytest.mark.slow
def test_the_fleet_is_never_all_at_rest_or_all_on_the_road() -> None:
    world = World.build(9, SITES, FLEET, version=1)
    vehicles = np.arange(400)
    shares = []
    for minute in range(0, 24 * 60, 30):
        moving = components(world).vehicles.motion(
            np.zeros_like(vehicles), vehicles, np.full(400, MONDAY_MS + minute * 60_000)
        )
        shares.append(moving.on_trip.mean())
    assert 0.04 < min(shares) < 0.3
    assert 0.4 < max(shares) < 0.8
    assert 8 <= np.argmax(shares) / 2 <= 19


moments = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(MONDAY_MS, MONDAY_MS + DAY_MS)), min_size=1, max_size=12
)


@given(moments, moments)
@pytest.mark.slow
def test_motion_does_not_depend_on_company_or_on_what_was_asked_before(
    first: list[tuple[int, int, int]], second: list[tuple[int, int, int]]
) -> None:
    used, fresh = World.build(9, SITES, FLEET), World.build(9, SITES)
    components(used).vehicles.motion(*np.array(first).T)
    sites, vehicles, times = np.array(second).T
    together = components(used).vehicles.motion(sites, vehicles, times)
    row = len(times) - 1
    alone = components(fresh).vehicles.motion(sites[row:], vehicles[row:], times[row:])
    for field in (
        "latitude",
        "longitude",
        "speed_ms",
        "heading_deg",
        "acceleration_ms2",
        "lateral_ms2",
        "road",
        "trip",
    ):
        assert getattr(together, field)[row] == getattr(alone, field)[0]


class CountingPlanner(TripPlanner):
    """Counts the trips that it plans."""

    planned = 0

    def plan(self, sites: np.ndarray, vehicles: np.ndarray, hours: np.ndarray) -> TripBatch:
        self.planned += len(sites)
        return super().plan(sites, vehicles, hours)


def with_small_cache(world: World, fewest_kept: int) -> tuple[Vehicles, TripCache, CountingPlanner]:
    """Return the vehicles of a world with a cache that keeps no more trips than needed."""
    shared, air = components(world), components(world).atmosphere.weather
    planner = CountingPlanner(
        world.seed,
        shared.site_arrays,
        shared.roads,
        shared.traffic,
        air,
        shared.drivers,
        HourlySchedule(shared.drivers),
    )
    cache = TripCache(planner, shared.roads, sum(map(len, world.vehicles.values())), fewest_kept)
    return Vehicles(shared.roads, planner, cache, world.vehicles), cache, planner


@pytest.mark.slow
def test_what_is_kept_is_bounded_and_dropping_it_changes_nothing() -> None:
    times = MONDAY_MS + 9 * HOUR_MS + np.arange(0, 5 * HOUR_MS, 97_000)
    numbers = np.arange(len(times)) % 30
    sites = np.zeros_like(numbers)
    expected = components(World.build(9, SITES, version=1)).vehicles.motion(sites, numbers, times)
    forgetful, cache, _ = with_small_cache(World.build(9, SITES, version=1), 7)
    for row in range(len(times)):
        one = slice(row, row + 1)
        assert forgetful.motion(sites[one], numbers[one], times[one]).latitude[0] == expected.latitude[row]
        assert 0 < len(cache) <= 7


def test_the_trips_of_a_large_fleet_are_planned_once() -> None:
    vehicles, cache, planner = with_small_cache(World.build(9, SITES, dict.fromkeys(range(500), "a")), 100)
    numbers = np.arange(500)
    zeros = np.zeros_like(numbers)
    for minute in range(0, 120, 10):
        vehicles.motion(zeros, numbers, np.full(500, MONDAY_MS + 9 * HOUR_MS + minute * 60_000))
    # Two hours touch three of each vehicle's own at the most.
    assert 0 < planner.planned <= 3 * 500
    assert 0 < len(cache) <= 1500


@pytest.mark.slow
def test_every_vehicle_that_passes_a_point_is_counted_there_once() -> None:
    world = World.build(9, SITES, FLEET)
    times = MONDAY_MS + 8 * HOUR_MS + np.arange(0, 2 * HOUR_MS, 250)
    counted = driven = 0
    for road in range(0, 64, 7):
        point = float(components(world).roads.length_m[0, road]) * 0.4
        hours = [
            components(world).vehicles.passages(0, road, point, MONDAY_MS // HOUR_MS + 8 + hour) for hour in (0, 1)
        ]
        for passages in hours:
            assert (np.diff(passages.time_ms) >= 0).all()
        counted += sum(len(passages.time_ms) for passages in hours)
        for vehicle in {int(v) for passages in hours for v in passages.vehicle}:
            moving = drive(world, vehicle, times)
            before, after = moving.along_m[:-1] - point, moving.along_m[1:] - point
            same = (moving.road[1:] == road) & (moving.road[:-1] == road) & (moving.link[1:] == moving.link[:-1])
            crossed = np.flatnonzero(same & (np.sign(before) != np.sign(after)))
            driven += len(crossed)
            told = [
                (time, forward)
                for passages in hours
                for time, who, forward in zip(passages.time_ms, passages.vehicle, passages.forward, strict=True)
                if who == vehicle
            ]
            assert [forward for _, forward in told] == moving.forward[crossed].tolist()
            for at, (time, _) in zip(crossed, told, strict=True):
                assert times[at] <= time <= times[at + 1] + 1
    assert counted == driven > 50


@pytest.mark.slow
def test_the_peak_acceleration_is_that_of_the_speed_trace() -> None:
    world = World.build(9, SITES, FLEET)
    # The shortest braking takes half a second: its hardest moment is near one of ten samples.
    window, step, checked = 30_000, 50, 0
    for vehicle in busy(world, 12):
        times = MONDAY_MS + 9 * HOUR_MS + np.arange(0, 3 * HOUR_MS, step)
        moving = drive(world, vehicle, times)
        rows = window // step
        ticks = times[::rows][1:]
        peak = components(world).vehicles.peak_acceleration(
            np.zeros_like(ticks), np.full_like(ticks, vehicle), ticks, np.full_like(ticks, window)
        )
        braking = np.maximum(-moving.acceleration_ms2, 0)[1:].reshape(-1)
        for row in range(len(ticks)):
            here = braking[row * rows : (row + 1) * rows]
            seen = here.max()
            if peak.braking_ms2[row] > 2.5:
                assert seen == pytest.approx(peak.braking_ms2[row], abs=0.1)
                checked += 1
            elif seen > 2.5:
                # Shorter than half a second, or cut off by the end of the window.
                assert (here > 2.5).sum() * step <= 750
    assert checked > 10


def test_departures_are_when_the_vehicle_set_out() -> None:
    world = World.build(9, SITES, FLEET)
    times = MONDAY_MS + 10 * HOUR_MS + np.arange(0, 3 * HOUR_MS, 1000)
    for vehicle in busy(world, 3):
        moving = drive(world, vehicle, times)
        _, departures = components(world).vehicles.last_trips(np.zeros_like(times), np.full_like(times, vehicle), times)
        assert (departures <= times).all()
        set_out = np.flatnonzero(moving.on_trip[1:] & ~moving.on_trip[:-1]) + 1
        assert len(set_out) >= 1
        for row in set_out:
            assert times[row] - 1000 < departures[row] <= times[row]
        assert set(np.flatnonzero(np.diff(departures)) + 1) == set(set_out.tolist())


def test_who_has_stood_for_days_is_still_told_by_the_last_trip() -> None:
    world = World.build(9, SITES, FLEET)
    vehicles = np.arange(40)
    zeros = np.zeros_like(vehicles)
    sunday = np.full(40, MONDAY_MS + 6 * DAY_MS + 20 * HOUR_MS)
    _, departures = components(world).vehicles.last_trips(zeros, vehicles, sunday)
    stood = sunday - departures > 30 * HOUR_MS
    assert stood.any()
    assert components(world).vehicles.motion(zeros, vehicles, departures).on_trip.all()
    assert (
        components(world).vehicles.last_trips(zeros, vehicles, sunday - HOUR_MS)[1][stood] == departures[stood]
    ).all()


def test_rash_drivers_are_few_and_some_trips_are_hurried() -> None:
    world = World.build(9, SITES)
    vehicles = np.arange(4000)
    aggressiveness = components(world).drivers.aggressiveness(np.zeros_like(vehicles), vehicles)
    assert aggressiveness.mean() == pytest.approx(1, abs=0.05)
    assert aggressiveness.var() == pytest.approx(0.5, abs=0.06)
    hurried = components(world).drivers.in_hurry(np.zeros_like(vehicles), vehicles, np.full_like(vehicles, 490_000))
    assert hurried.mean() == pytest.approx(0.1, abs=0.02)


def test_for_a_camera_no_trip_is_planned_that_is_not_driven_before_its_hour_ends() -> None:
    fleet, _, planner = with_small_cache(World.build(9, SITES, dict.fromkeys(range(500), "a"), version=1), 100)
    hour = MONDAY_MS // HOUR_MS + 8
    passed = fleet.passages(0, 3, 50.0, hour)
    vehicles, sites = np.arange(500), np.zeros(500, dtype=np.int64)
    driven = 0
    for own in (hour - 1, hour):
        hours = np.full(500, own)
        drives = planner.schedule.drives(sites, vehicles, hours)
        driven += int((drives & (planner.schedule.begins_ms(sites, vehicles, hours) < (hour + 1) * HOUR_MS)).sum())
    assert len(passed.time_ms) > 0
    assert planner.planned == driven < 1000


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2])
def test_who_passed_is_the_same_beside_thousands_of_others(version: int) -> None:
    few, many = (World.build(9, SITES, dict.fromkeys(range(count), "a"), version=version) for count in (300, 4500))
    hour, seen = MONDAY_MS // HOUR_MS + 8, 0
    for road in (0, 21, 42):
        alone, among = (components(world).vehicles.passages(0, road, 60.0, hour) for world in (few, many))
        its = np.flatnonzero(among.vehicle < 300)
        seen += len(its)
        assert len(among.time_ms) > len(its)
        for name in ("time_ms", "vehicle", "speed_ms", "forward"):
            assert np.array_equal(getattr(among, name)[its], getattr(alone, name))
    assert seen > 0


def test_who_passed_is_found_once_an_hour_and_forgotten_some_hours_later() -> None:
    fleet = components(World.build(9, SITES, FLEET)).vehicles
    hour = MONDAY_MS // HOUR_MS + 8
    known = fleet.passages(0, 3, 50.0, hour)
    for later in range(1, 6):
        fleet.passages(0, 3, 50.0, hour + later)
    assert fleet.passages(0, 3, 50.0, hour) is known
    for later in range(6, 12):
        fleet.passages(0, 3, 50.0, hour + later)
    again = fleet.passages(0, 3, 50.0, hour)
    assert again is not known
    assert np.array_equal(again.time_ms, known.time_ms)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 1), st.integers(1, 60)), min_size=1, max_size=6),
    st.sampled_from([1_000, 4_000, 10_000, 12_000]),
)
def test_how_fast_a_vehicle_was_is_how_it_moved_then(drives: list[tuple[int, int, int]], ago_ms: int) -> None:
    vehicles = components(ELSEWHERE).vehicles
    # Some are asked after at intervals of which earlier rows tell, others at such as have no row so long before.
    counts = [count for _, _, count in drives]
    who, sites = (np.repeat([drive[at] for drive in drives], counts) for at in (0, 1))
    times = np.concatenate(
        [
            MONDAY_MS + 8 * HOUR_MS + vehicle * 77 + np.arange(count) * (4_000, 2_000, 1_700)[vehicle % 3]
            for vehicle, _, count in drives
        ]
    )
    moving = vehicles.motion(sites, who, times)
    speed, road = vehicles.speeds_before(sites, who, times, moving, ago_ms)
    then = vehicles.motion(sites, who, times - ago_ms)
    assert speed.tolist() == then.speed_ms.tolist()
    assert road.tolist() == then.road.tolist()
