"""Random windows: at the rate asked for, of the length asked for, apart, and the same from wherever they are asked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.faults.schedule import DAY_MS, RandomWindows, SingleWindow

KEYS = np.arange(200, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
START_MS = 1_772_323_200_000


@pytest.mark.parametrize(
    "schedule",
    [
        RandomWindows(2, 300_000, 3_600_000),
        RandomWindows(0.1, 1000, 60_000),
        # As often as it can be: half the time, and all of the time.
        RandomWindows(12, 3_600_000, 3_600_000),
        RandomWindows(24, 3_600_000, 3_600_000),
        RandomWindows(1000, 100, 5000),
    ],
)
def test_rate_and_length(schedule: RandomWindows) -> None:
    days = 100 if schedule.per_day < 100 else 10
    # Windows that begin in the span: those that touch it, less those that began before.
    owners, windows = schedule.windows_between(1, "x", KEYS[:50], START_MS, START_MS + days * DAY_MS)
    begun = windows.start >= START_MS
    expected = schedule.per_day * days * 50
    # A slot has a window or not: the count is binomial, its deviation at most that of Poisson. Five of them.
    assert abs(begun.sum() - expected) <= 5 * np.sqrt(expected)
    lengths = windows.end - windows.start
    assert lengths.min() >= schedule.shortest_ms
    assert lengths.max() <= schedule.longest_ms
    assert abs(lengths.mean() / ((schedule.shortest_ms + schedule.longest_ms) / 2) - 1) < 0.1
    same_device = np.diff(owners) == 0
    assert (windows.start[1:] >= windows.end[:-1])[same_device].all()


def test_devices_have_windows_of_their_own() -> None:
    owners, windows = RandomWindows(2, 300_000, 3_600_000).windows_between(1, "x", KEYS, START_MS, START_MS + DAY_MS)
    assert len(np.unique(windows.start)) == len(owners) > 300
    other_seed = RandomWindows(2, 300_000, 3_600_000).windows_between(2, "x", KEYS, START_MS, START_MS + DAY_MS)[1]
    assert not set(windows.start.tolist()) & set(other_seed.start.tolist())


@settings(max_examples=50, deadline=None)
@given(
    per_day=st.floats(0.01, 200),
    shortest=st.integers(1, 200_000),
    longer=st.integers(0, 200_000),
    begin=st.integers(-(10**12), 4 * 10**12),
    cut=st.floats(0, 1),
)
def test_listed_and_looked_up_windows_agree(per_day: float, shortest: int, longer: int, begin: int, cut: float) -> None:
    schedule = RandomWindows(per_day, shortest, shortest + longer)
    end = begin + round(20 * DAY_MS / per_day)
    middle = begin + round(cut * (end - begin))
    keys = KEYS[:3]
    owners, windows = schedule.windows_between(7, "x", keys, begin, end)
    parts = [schedule.windows_between(7, "x", keys, *part) for part in ((begin, middle), (middle, end))]
    listed = set(zip(owners.tolist(), windows.start.tolist(), windows.end.tolist(), strict=True))
    found = {
        row for who, part in parts for row in zip(who.tolist(), part.start.tolist(), part.end.tolist(), strict=True)
    }
    assert found == listed
    for edge, inside in ((windows.start - 1, False), (windows.start, True), (windows.end - 1, True)):
        found_at = schedule.windows_at(7, "x", keys[owners], edge)
        same = (found_at.start == windows.start) & (found_at.end == windows.end) & found_at.holds(edge)
        assert (same == inside).all()


def test_once() -> None:
    owners, windows = SingleWindow(100, 200).windows_between(1, "x", KEYS[:3], 150, 160)
    assert owners.tolist() == [0, 1, 2]
    assert windows.start.tolist() == [100] * 3
    for begin, end in ((0, 100), (200, 300)):
        assert not len(SingleWindow(100, 200).windows_between(1, "x", KEYS[:3], begin, end)[0])
    times = np.array([99, 100, 199, 200])
    assert SingleWindow(100, 200).windows_at(1, "x", KEYS[:4], times).holds(times).tolist() == [
        False,
        True,
        True,
        False,
    ]
