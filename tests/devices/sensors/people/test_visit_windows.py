"""A live run, second by second, tells what an export of the whole time does, whatever else is asked meanwhile."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

from devices.scenario.scenario import Scenario
from devices.sensors.people.sensor import PeopleSettings
from devices.sensors.people.visit_windows import AHEAD_MS, VisitWindows
from devices.sensors.people.visits import VisitDay
from devices.timeline.timeline import Timeline
from devices.world.random import Ints, hash_bits
from devices.world.shops import Shops
from devices.world.world import DAY_MS, HOUR_MS, Site, World
from edgewire.clock import parse_ms

_SITES = [
    {"name": "paris", "latitude": 48.85, "longitude": 2.35, "timezone": "Europe/Paris"},
    {"name": "melbourne", "latitude": -37.8, "longitude": 144.9, "timezone": "Australia/Melbourne"},
]


def _scenario(**more: Any) -> Scenario:
    devices = [
        {"kind": "people", "count": count, "interval": "10s", "site": site["name"]}
        for site, count in zip(_SITES, (40, 3), strict=True)
    ]
    return Scenario(sites=_SITES, devices=devices, **more)


@pytest.mark.parametrize(
    ("start", "begin"),
    [
        ("2026-03-03T12:00:00Z", "2026-03-03T12:00:00Z"),  # powered on while people are inside
        ("2026-03-01T00:00:00Z", "2026-03-03T22:55:00Z"),  # midnight in Paris
        ("2026-03-03T09:00:00Z", "2026-03-03T12:55:00Z"),  # midnight in Melbourne, and noon in Paris
    ],
)
@pytest.mark.parametrize("world", [1, 2])
def test_seconds_are_the_same_as_the_whole(start: str, begin: str, world: int) -> None:
    scenario, begin_ms = _scenario(world=world), parse_ms(begin)
    seconds = [begin_ms + 1000 * second for second in (*range(20), *range(285, 320), *range(600, 640))]

    live = Timeline(scenario, parse_ms(start))
    said = [payload for at in seconds for payload in live.batch(at, at + 1000).payload]

    whole = Timeline(scenario, parse_ms(start)).batch(begin_ms, begin_ms + 640_000)
    asked = {(at - begin_ms) // 1000 for at in seconds}
    rows = zip(whole.due_ms, whole.payload, strict=True)
    assert said == [payload for due, payload in rows if (due - begin_ms) // 1000 in asked]
    assert len(said) > 300


def test_devices_that_reboot_are_counted_from_then() -> None:
    reboots = [{"type": "reboot", "kind": "people", "rate": "40/day", "duration": "1s..2s"}]
    scenario, start = _scenario(faults=reboots), parse_ms("2026-03-03T12:00:00Z")
    live = Timeline(scenario, start)

    said = [
        payload
        for second in range(200)
        for payload in live.batch(start + 1000 * second, start + 1000 * second + 1000).payload
    ]

    whole = Timeline(scenario, start).batch(start, start + 200_000)
    assert said == whole.payload
    assert len(set(whole.boot)) > 1


def _shops(count: int) -> tuple[World, Shops]:
    settings = PeopleSettings()
    keys = hash_bits(1, "shop", np.arange(count))
    shops = Shops(keys, np.zeros(count, dtype=np.int64), settings.daily_customers, settings.daily_variation)
    return World.build(5, [Site(name="a", latitude=48.1, longitude=-1.4)]), shops


def _all(shops: Shops) -> Ints:
    return np.arange(len(shops.keys))


def test_windows_count_as_the_day_does() -> None:
    world, shops = _shops(60)
    day = parse_ms("2026-03-03T00:00:00Z") // DAY_MS
    noon = day * DAY_MS + 12 * HOUR_MS
    everyone, some = _all(shops), np.arange(7, 31)
    windows = VisitWindows(world, shops, day, 0.9, noon, 10_000)
    whole = VisitDay(world, shops, day, 0.9, noon)
    known = windows.reach(some, noon, noon + 1000)
    assert known.covers(some, noon, noon + 1000)
    assert not known.covers(everyone, noon, noon)
    for moment in (noon, noon + AHEAD_MS // 2, noon + 2 * AHEAD_MS, noon + 7 * HOUR_MS, noon + 11 * HOUR_MS):
        known = windows.reach(everyone, moment, moment + 1000)
        for instant in (moment - 10_000, moment, moment + 1000):
            times = np.full(len(everyone), instant)
            assert (known.count_before(everyone, instant) == whole.count_before(everyone, instant)).all()
            assert (known.counted_until(everyone, times) == whole.counted_until(everyone, times)).all()
    known = windows.reach(everyone, noon + 13 * HOUR_MS, noon + 13 * HOUR_MS)
    assert (known.counted_all(everyone) == whole.counted_all(everyone)).all()
    assert (whole.counted_all(everyone) > 500).all()


def test_a_door_takes_a_fiftieth_of_its_day() -> None:
    world, shops = _shops(200)
    day = parse_ms("2026-03-03T00:00:00Z") // DAY_MS
    noon = day * DAY_MS + 12 * HOUR_MS
    sizes = []
    tracemalloc.start()
    try:
        for make in (
            lambda: VisitDay(world, shops, day, 0.9, noon - HOUR_MS),
            lambda: VisitWindows(world, shops, day, 0.9, noon - HOUR_MS, 10_000).reach(_all(shops), noon, noon),
        ):
            before = tracemalloc.get_traced_memory()[0]
            kept = make()
            sizes.append(tracemalloc.get_traced_memory()[0] - before)
            del kept
    finally:
        tracemalloc.stop()
    assert sizes[1] < sizes[0] / 20, sizes
