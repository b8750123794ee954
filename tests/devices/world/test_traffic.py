"""Traffic: the week's course, its departures from it, and what weather and density do to speed."""

import numpy as np
import pytest

from devices.world.components import components
from devices.world.traffic import TIMES_OF_DAY, demand, greenshields_density, inbound_share, times_of_day
from devices.world.world import DAY_MS, HOUR_MS, Site, World
from edgewire.clock import parse_ms

MONDAY_MS = parse_ms("2026-03-02T00:00:00Z")
SITE = Site(name="a", latitude=48, longitude=2)


def zeros(times: np.ndarray) -> np.ndarray:
    return np.zeros(len(times), dtype=np.int64)


def test_demand_has_two_rush_hours_on_weekdays_and_none_on_sundays() -> None:
    hours = np.arange(24) * HOUR_MS + HOUR_MS // 2
    monday, saturday, sunday = (demand(MONDAY_MS + day * DAY_MS + hours) for day in (0, 5, 6))
    assert monday[8] > monday[10] < monday[17]
    assert monday.argmax() in (17, 18)
    assert sunday[8] < 0.3 * monday[8]
    # Telraam: a Saturday has 85 % of a weekday's traffic, a Sunday 57 %; hour shares of 06-21 h likewise.
    assert saturday[6:22].sum() / monday[6:22].sum() == pytest.approx(0.85, abs=0.01)
    assert sunday[6:22].sum() / monday[6:22].sum() == pytest.approx(0.57, abs=0.01)
    assert 100 * monday[17] / monday[6:22].sum() == pytest.approx(10.2, abs=0.1)
    assert 100 * monday[8] / monday[6:22].sum() == pytest.approx(7.0, abs=0.1)


def test_more_drive_in_in_the_morning_and_out_in_the_evening() -> None:
    at = MONDAY_MS + np.array([8, 12, 17]) * HOUR_MS
    # Telraam: 59 % one way at 8 h and 41 % at 17 h on one street, 45 to 73 % the other way on another.
    weak, strong = (inbound_share(at, np.full(3, strength)) for strength in (0.4, 0.9))
    assert weak == pytest.approx([0.61, 0.5, 0.39], abs=0.03)
    assert strong == pytest.approx([0.67, 0.5, 0.33], abs=0.03)
    weekend = inbound_share(at + 5 * DAY_MS, np.full(3, 0.9))
    assert (np.abs(weekend - 0.5) < 0.05).all()


def test_times_of_day() -> None:
    hours = MONDAY_MS + np.array([3, 8, 12, 17, 20, 23]) * HOUR_MS
    named = [TIMES_OF_DAY[time] for time in times_of_day(hours)]
    assert named == [
        "late_night",
        "rush_hour",
        "daytime",
        "rush_hour",
        "evening",
        "late_night",
    ]
    assert TIMES_OF_DAY[times_of_day(hours + 5 * DAY_MS)[1]] == "daytime"


def test_density_after_greenshields() -> None:
    load = np.linspace(0, 3, 301)
    density = greenshields_density(load)
    assert (np.diff(density) > 0).all()
    assert density.max() < 0.86
    below = load <= 1
    # q / q_max = 4 k/kj (1 - k/kj)
    assert 4 * density[below] * (1 - density[below]) == pytest.approx(load[below])


@pytest.mark.slow
def test_counts_vary_as_on_real_streets() -> None:
    world = World.build(5, [SITE])
    days = 200
    times = MONDAY_MS + np.arange(days * 24 * 4) * HOUR_MS // 4 + HOUR_MS // 8
    weekdays = np.arange(days) % 7 < 5
    for road in range(0, len(components(world).roads.plan.ends), 9):
        vehicles = components(world).traffic.flow_at(zeros(times), np.full(len(times), road), times).vehicles_per_hour
        hourly = vehicles.reshape(days, 24, 4).mean(axis=2)[weekdays, 6:22]
        day = hourly.sum(axis=1) / hourly.sum(axis=1).mean()
        residual = hourly / hourly.mean(axis=0) / day[:, None] - 1
        # Telraam: CV of the day's effect .08-.18, of what is left beyond Poisson .10-.25, lag 1 h .07-.26.
        assert 0.08 < day.std() < 0.18
        assert 0.10 < residual.std() < 0.25
        assert 0.05 < np.corrcoef(residual[:, :-1].ravel(), residual[:, 1:].ravel())[0, 1] < 0.3


def test_rain_and_fog_slow_traffic_and_rain_thins_it() -> None:
    world = World.build(5, [SITE])
    noons = MONDAY_MS + 12 * HOUR_MS + DAY_MS * np.arange(1500)
    air = components(world).atmosphere.weather(zeros(noons), noons)
    wet, foggy = air.rain > 0.25, air.mist > 0.3
    clear = (air.rain == 0) & (air.mist == 0)
    for road in (0, 20, 40):
        flow = components(world).traffic.flow_at(zeros(noons), np.full(len(noons), road), noons)
        assert flow.speed_ms[wet].mean() < 0.97 * flow.speed_ms[clear].mean()
        assert flow.vehicles_per_hour[wet].mean() < flow.vehicles_per_hour[clear].mean()
    mornings = MONDAY_MS + 5 * HOUR_MS + DAY_MS * np.arange(1500)
    foggy = components(world).atmosphere.weather(zeros(mornings), mornings).mist > 0.3
    assert foggy.sum() > 10
    speed = components(world).traffic.flow_at(zeros(mornings), zeros(mornings), mornings).speed_ms
    assert speed[foggy].mean() < 0.95 * speed[~foggy].mean()


def test_dense_traffic_is_slow_but_not_by_density_alone() -> None:
    world = World.build(5, [SITE])
    times = MONDAY_MS + np.arange(0, 28 * DAY_MS, HOUR_MS)
    flow = components(world).traffic.flow_at(zeros(times), zeros(times), times)
    assert -0.9 < np.corrcoef(flow.vehicles_per_hour, flow.speed_ms)[0, 1] < -0.05
    assert (flow.vehicles_per_hour <= components(world).roads.capacity_vph[0, 0]).all()


def test_all_roads_at_once_are_the_roads_one_by_one() -> None:
    world = World.build(5, [SITE, Site(name="b", latitude=50, longitude=3)])
    roads = np.arange(len(components(world).roads.plan.ends))
    together = components(world).traffic.flow_on_all_roads(np.array([1, 0]), np.array([MONDAY_MS, MONDAY_MS]))
    alone = components(World.build(5, world.sites)).traffic.flow_at(
        np.ones_like(roads), roads, np.full_like(roads, MONDAY_MS)
    )
    assert (together.speed_ms[0] == alone.speed_ms).all()
