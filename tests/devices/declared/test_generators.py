"""Generators of declared kinds: what they promise of their values, at any time directly."""

from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.declared.config import (
    ChoiceConfig,
    CounterConfig,
    NoiseConfig,
    OnOffConfig,
    ProfileConfig,
    SineConfig,
    WalkConfig,
)
from devices.declared.generators import Counter, Course, OnOff, choice, in_stretches, noise, sine, walk
from devices.declared.profile import Profile
from devices.declared.signals import Rows
from devices.world.world import DAY_MS, HOUR_MS, MINUTE_MS, Site, World
from edgewire.clock import parse_ms

PARIS = World.build(3, [Site(name="paris", latitude=48.9, longitude=2.4, timezone="Europe/Paris")])
COURSE = Course(5, "declared/test/x")
MONDAY = parse_ms("2026-03-02T00:00:00Z")


def rows_at(times: np.ndarray, key: int = 77, interval_ms: int = 10_000) -> Rows:
    """Return rows of one device at these times."""
    count = len(times)
    keys = np.full(count, key, dtype=np.uint64)
    return Rows(PARIS, keys, np.zeros(count, dtype=np.int64), times, np.full(count, interval_ms))


def of_many(count: int) -> Rows:
    """Return a row each of many devices."""
    keys = np.arange(count).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    zeros = np.zeros(count, dtype=np.int64)
    return Rows(PARIS, keys, zeros, zeros + MONDAY + np.arange(count) * 7_654_321, zeros + 10_000)


_BOUNDS = st.tuples(st.integers(1, 60), st.integers(0, 60)).map(lambda pair: (pair[0] * 1000, sum(pair) * 1000))


@given(_BOUNDS, _BOUNDS, st.integers(0, 2**63))
def test_a_state_stays_on_and_off_within_its_bounds_and_is_counted(
    on: tuple[int, int], off: tuple[int, int], key: int
) -> None:
    config = OnOffConfig(on=on, off=off)
    state = OnOff(config, COURSE)
    times = MONDAY + np.arange(0, 40 * (on[1] + off[1]), 250)
    found = state.state(rows_at(times, key))
    changes = np.flatnonzero(np.diff(found))
    lasted, began_on = np.diff(changes) * 250, found[changes[:-1] + 1]
    for bounds, lengths in ((on, lasted[began_on]), (off, lasted[~began_on])):
        assert len(lengths) > 3
        assert bounds[0] - 250 <= lengths.min() <= lengths.max() <= bounds[1] + 250
    counts = state.count(rows_at(times, key).keys, times)
    assert np.array_equal(np.diff(counts) > 0, np.diff(found.astype(int)) > 0)


def test_a_walk_stays_in_its_bounds_and_moves_by_its_step() -> None:
    config = WalkConfig(min=-10, max=90, step=3, every="1m")
    rows = of_many(2000)
    later = [Rows(PARIS, rows.keys, rows.sites, rows.times + n * MINUTE_MS, rows.interval_ms) for n in (1, 4)]
    now, minute, four = (walk(config, COURSE, one) for one in (rows, *later))
    assert now.min() >= -10
    assert now.max() <= 90
    assert now.std() > 25
    moved = [np.sqrt(np.mean((then - now) ** 2)) for then in (minute, four)]
    assert moved == [pytest.approx(3, rel=0.15), pytest.approx(6, rel=0.15)]


@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.5, 1.0])
def test_noise_goes_along_with_that_of_another_field(correlation: float) -> None:
    rows = of_many(4000)
    other = NoiseConfig(deviation=2, period="5m")
    config = NoiseConfig.model_validate({"mean": 5, "deviation": 3, "with": "x", "correlation": correlation})
    beside = noise(other, COURSE.part("other"), None, rows)
    found = noise(config, COURSE, (COURSE.part("other"), other), rows)
    assert np.corrcoef(beside, found)[0, 1] == pytest.approx(correlation, abs=0.05)
    assert (found.mean(), found.std()) == (pytest.approx(5, abs=0.2), pytest.approx(3, rel=0.05))


def test_smooth_noise_has_no_detail_within_its_period() -> None:
    times = MONDAY + np.arange(0, 200 * MINUTE_MS, 1000)
    steps = {}
    for smooth in (False, True):
        config = NoiseConfig(deviation=1, period="1m", smooth=smooth)
        found = noise(config, COURSE, None, rows_at(times))
        assert found.std() == pytest.approx(1, abs=0.15)
        steps[smooth] = np.diff(found).std()
    assert steps[True] < steps[False] / 2
    with pytest.raises(ValueError, match="is of noise with a period"):
        NoiseConfig(deviation=1, smooth=True)


def test_a_choice_comes_by_its_weights_and_stays_for_its_time() -> None:
    rows = of_many(5000)
    each = choice(ChoiceConfig(of={"a": 3, "b": 1, "c": 0}), COURSE, rows)
    assert np.bincount(each, minlength=3)[0] / 5000 == pytest.approx(0.75, abs=0.03)
    assert 2 not in each
    day = rows_at(MONDAY + np.arange(0, DAY_MS, MINUTE_MS))
    lasting = choice(ChoiceConfig(of=[1, 2, 3], every="2h"), COURSE, day)
    assert np.diff(np.flatnonzero(np.diff(lasting))).min() >= 120
    assert len(set(choice(ChoiceConfig(of=[1, 2, 3], every="device"), COURSE, day).tolist())) == 1


_SPRING, _AUTUMN = parse_ms("2026-03-28T00:00:00Z"), parse_ms("2026-10-24T00:00:00Z")
_SHOP = {"points": {"06:00": 0, "12:00": 5, "20:00": 1, "23:00": 0}, "days": {"sunday": 0.2}}


@pytest.mark.parametrize("begin", [MONDAY, _SPRING, _AUTUMN])
@pytest.mark.parametrize("profile", [None, _SHOP])
def test_a_counter_only_grows_and_counts_what_it_should(begin: int, profile: dict[str, object] | None) -> None:
    config = CounterConfig.model_validate({"per_hour": 20, "profile": profile})
    times = begin + np.arange(0, 3 * DAY_MS, 20_000)
    counts = Counter(config, COURSE, None).value(rows_at(times), begin - 10 * DAY_MS)
    assert (np.diff(counts) >= 0).all()
    week = begin + np.array([0, 7 * DAY_MS])
    before, after = Counter(config, COURSE, None).value(rows_at(week), begin - 10 * DAY_MS)
    assert after - before == pytest.approx(20 * 24 * 7, rel=0.02)


def test_a_counter_begins_again_at_local_midnight_and_where_it_wraps() -> None:
    times = _SPRING + np.arange(0, 3 * DAY_MS, MINUTE_MS)
    daily = Counter(CounterConfig(per_hour=60, reset="day"), COURSE, None).value(rows_at(times), MONDAY)
    resets = times[1:][np.diff(daily) < 0]
    local = [
        np.datetime64(int(at), "ms").astype("datetime64[m]").item().replace(tzinfo=ZoneInfo("UTC")) for at in resets
    ]
    assert [at.astimezone(ZoneInfo("Europe/Paris")).strftime("%d %H:%M") for at in local] == [
        "29 00:00",
        "30 00:00",
        "31 00:00",
    ]
    wrapped = Counter(CounterConfig(per_hour=77, step=10, wrap=100, start=5), COURSE, None).value(
        rows_at(times), MONDAY
    )
    assert sorted(set(wrapped.tolist())) == [5.0 + 10 * n for n in range(10)]


def test_a_counter_counts_how_often_a_state_goes_on_since_the_power_on() -> None:
    door = OnOff(OnOffConfig(on="5s..30s", off="1m..9m"), COURSE)
    times = MONDAY + np.arange(0, DAY_MS, 1000)
    counts = Counter(CounterConfig(of="door"), COURSE, door).value(rows_at(times), MONDAY)
    went_on = np.cumsum(np.diff(door.state(rows_at(times)).astype(int)) > 0)
    assert counts[0] == 0
    assert np.abs(counts[1:] - went_on).max() <= 1


def test_courses_of_the_day_keep_to_the_local_time() -> None:
    hours = parse_ms("2026-07-06T00:00:00Z") + np.arange(24) * HOUR_MS  # a Monday, two hours ahead of UTC
    peak = sine(SineConfig(mean=10, amplitude=2, peak="15:00"), rows_at(hours))
    assert (int(peak.argmax()), float(peak.max())) == (13, 12.0)
    profile = Profile(ProfileConfig(points={"08:00": 1, "10:00": 3}, days={"monday": 10}))
    assert profile.at(rows_at(hours[[6, 7, 8]])).tolist() == [10, 20, 30]
    steps = Profile(ProfileConfig(points={"08:00": 1, "10:00": 3}, steps=True))
    assert steps.at(rows_at(hours[[5, 6, 7, 8]] + 7 * DAY_MS)).tolist() == [3, 1, 1, 3]


def test_values_are_missing_by_their_share_alone_or_in_stretches() -> None:
    times = MONDAY + np.arange(0, 10 * DAY_MS, MINUTE_MS)
    alone = in_stretches(COURSE, 0.1, 0, rows_at(times))
    together = in_stretches(COURSE, 0.1, HOUR_MS, rows_at(times))
    assert alone.mean() == pytest.approx(0.1, abs=0.02)
    assert together.mean() == pytest.approx(0.1, abs=0.07)
    assert np.diff(np.flatnonzero(np.diff(together))).min() >= 60
