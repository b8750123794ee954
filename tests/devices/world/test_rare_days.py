"""Snow and events in town: how often they are, what they do to traffic and shops, and when."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.world.components import components
from devices.world.rare_days import SNOW_STEP_MS, RareDays
from devices.world.shops import Shops
from devices.world.world import DAY_MS, HOUR_MS, Site, World, weekday
from edgewire.clock import parse_ms

NEW_YEAR_MS = parse_ms("2026-01-01T00:00:00Z")
YEARS = 4
END_MS = NEW_YEAR_MS + YEARS * 365 * DAY_MS
NEW_YORK = {"latitude": 40.65, "longitude": -73.8, "altitude_m": 5, "climate": "Cfa", "timezone": "America/New_York"}
MOSCOW = {"latitude": 55.7, "longitude": 37.6, "altitude_m": 150, "climate": "Dfb", "timezone": "Europe/Moscow"}
SEEDS = (3, 14, 159)


def world(seed: int = 3, **keys: object) -> World:
    return World.build(seed, [Site(name="town", **NEW_YORK | keys)], version=2)  # type: ignore[arg-type]


def rare_days(world: World) -> RareDays:
    found = components(world).rare_days
    assert found is not None
    return found


def test_a_site_has_none_unless_it_says_so() -> None:
    assert components(world()).rare_days is None
    assert not rare_days(world(town_events=5)).snow_windows(0, NEW_YEAR_MS, END_MS)
    assert not rare_days(world(snow=True)).event_windows(0, NEW_YEAR_MS, END_MS)


@pytest.mark.parametrize(("climate", "latitude", "least", "most"), [
    ("Cfa", 40.65, 1, 9), ("Cfb", 48.9, 0.2, 5), ("Dfb", 55.7, 10, 40), ("Csa", 38.0, 0, 0.7), ("Af", 1.3, 0, 0),
])  # fmt: skip
def test_snow_lies_as_often_as_the_climate_has_it(climate: str, latitude: float, least: float, most: float) -> None:
    found = [
        rare_days(world(seed, climate=climate, latitude=latitude, snow=True)).snow_windows(0, NEW_YEAR_MS, END_MS)
        for seed in SEEDS
    ]
    assert least <= np.mean([len(windows) for windows in found]) / YEARS <= most
    assert all(end - begin < 15 * DAY_MS for windows in found for begin, end in windows)


def test_snow_lies_within_its_windows_alone_and_after_frost() -> None:
    here = world(snow=True)
    rare = rare_days(here)
    windows = np.array(rare.snow_windows(0, NEW_YEAR_MS, END_MS))
    times = np.arange(NEW_YEAR_MS, END_MS, HOUR_MS)
    lies = rare.snow(np.zeros(len(times), dtype=np.int64), times)
    inside = ((windows[:, :1] < times) & (times < windows[:, 1:])).any(axis=0)
    assert ((lies > 0) == inside).all()
    assert lies.min() >= 0
    assert 0.5 < lies.max() <= 1
    begins = windows[:, 0] + SNOW_STEP_MS
    warm = components(here).atmosphere.outdoor_air(np.zeros(len(begins), dtype=np.int64), begins).temperature_c
    assert warm.max() < 1
    # Whole, whatever part of it was asked for.
    for begin, end in windows[:5].tolist():
        assert rare.snow_windows(0, begin + 1, begin + 2) == [(begin, end)]
        assert rare.snow_windows(0, end, end + 1) in ([], [(end, end)])


def test_there_are_as_many_events_as_the_site_says_most_of_them_at_weekends() -> None:
    days = NEW_YEAR_MS // DAY_MS + np.arange(40 * 365)
    events = rare_days(world(town_events=20)).events(np.zeros(len(days), dtype=np.int64), days)
    assert events.happens.sum() / 40 == pytest.approx(20, abs=2.2)
    late = weekday(days[events.happens]) >= 4
    assert late.mean() == pytest.approx(5.4 / 7, abs=0.05)
    assert (events.ends_ms + HOUR_MS <= (days + 1) * DAY_MS).all()
    assert events.size.mean() == pytest.approx(1.08, abs=0.05)


@given(day=st.integers(19_000, 23_000), zone=st.sampled_from(["America/New_York", "Europe/Paris", "Asia/Kolkata"]))
def test_nobody_is_on_the_way_to_an_event_outside_of_its_window(day: int, zone: str) -> None:
    here = world(town_events=100, timezone=zone)
    rare = rare_days(here)
    times = day * DAY_MS + np.arange(0, DAY_MS, 10 * 60_000)
    sites = np.zeros(len(times), dtype=np.int64)
    local = here.local_ms(sites, times)
    busy = (rare.drivers(sites, local) > 0) | (rare.shoppers(sites, local) > 0)
    windows = rare.event_windows(0, day * DAY_MS, (day + 1) * DAY_MS)
    inside = np.array([any(begin <= time < end for begin, end in windows) for time in times.tolist()])
    assert not (busy & ~inside).any()
    for begin, end in windows:
        assert rare.event_windows(0, (begin + end) // 2, (begin + end) // 2 + 1) == [(begin, end)]


@pytest.mark.slow
def test_snow_slows_and_thins_the_traffic_and_an_event_adds_to_it() -> None:
    for seed in SEEDS:
        usual, rare = world(seed, **MOSCOW), world(seed, **MOSCOW, snow=True, town_events=30)
        found = rare_days(rare)
        times = np.arange(NEW_YEAR_MS, NEW_YEAR_MS + 365 * DAY_MS, HOUR_MS)
        sites = np.zeros(len(times), dtype=np.int64)
        deep = np.flatnonzero(found.snow(sites, times) > 0.5)
        busy = np.flatnonzero(found.drivers(sites, rare.local_ms(sites, times)) > 0.5)
        other = np.flatnonzero(
            (found.snow(sites, times) == 0) & (found.drivers(sites, rare.local_ms(sites, times)) == 0)
        )
        ratios = {}
        for name, rows in (("snow", deep), ("event", busy), ("other", other[::50])):
            then, now = (
                components(one).traffic.flow_at(sites[rows], sites[rows] + 2, times[rows]) for one in (usual, rare)
            )
            ratios[name] = [
                float((getattr(now, value) / getattr(then, value)).mean())
                for value in ("vehicles_per_hour", "speed_ms")
            ]
        assert 0.6 < ratios["snow"][0] < 0.9
        assert 0.6 < ratios["snow"][1] < 0.9
        assert ratios["event"][0] > 1.08
        assert ratios["event"][1] < 1
        assert ratios["other"] == pytest.approx([1, 1], abs=0.02)


@pytest.mark.slow
def test_few_are_in_the_shops_when_snow_lies_and_many_before_an_event() -> None:
    doors = Shops(np.arange(30).astype(np.uint64), np.zeros(30, dtype=np.int64), 500.0, 0.1)
    usual, rare = world(**MOSCOW), world(**MOSCOW, snow=True, town_events=30)
    found = rare_days(rare)
    days = np.arange(NEW_YEAR_MS // DAY_MS, NEW_YEAR_MS // DAY_MS + 365)
    noon = days * DAY_MS + 17 * HOUR_MS
    sites = np.zeros(len(days), dtype=np.int64)
    snowed = found.snow(sites, noon) > 0.4
    event = found.events(sites, days).happens & ~snowed
    ratio = doors.totals(rare, days).sum(axis=0) / doors.totals(usual, days).sum(axis=0)
    assert 0.55 < ratio[snowed].mean() < 0.9
    assert 1.02 < ratio[event].mean() < 1.5
    assert np.median(ratio[~snowed & ~event]) == pytest.approx(1, abs=0.01)
    day = int(days[event][0])
    begins = float(found.events(np.array([0]), np.array([day])).begins_ms[0])
    counts = []
    for one in (usual, rare):
        entries = one.local[0].from_utc(doors.visits(one, day).entries_ms)
        counts.append([((entries > begins - hours * HOUR_MS) & (entries < begins)).sum() for hours in (2, 24)])
    assert counts[1][0] / counts[1][1] > 1.05 * counts[0][0] / counts[0][1]
