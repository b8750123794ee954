"""Whatever the scales are, the devices' time and the wall's are one continuous, increasing mapping, and its inverse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.device_time import DeviceTime

BEGUN_MS = 1_772_000_000_000
SCALES = st.sampled_from([0.001, 0.5, 1.0, 1.3, 60.0, 3600.0, 100_000.0])
MOMENTS = st.integers(BEGUN_MS - 10_000_000, BEGUN_MS + 100_000_000)


@st.composite
def times(draw: st.DrawFn) -> DeviceTime:
    time, at_ms = DeviceTime(BEGUN_MS, draw(SCALES)), BEGUN_MS
    for after_ms, scale in draw(st.lists(st.tuples(st.integers(0, 10_000_000), SCALES), max_size=6)):
        at_ms += after_ms
        time.change_scale(at_ms, scale)
    return time


@given(times(), MOMENTS)
def test_each_moment_of_the_devices_has_one_of_the_walls_and_back(time: DeviceTime, at_ms: int) -> None:
    assert time.device_ms(time.elapsed_ms(at_ms)) == at_ms


@given(times(), MOMENTS, st.integers(1, 1_000_000))
def test_it_increases_at_the_scale_of_each_moment(time: DeviceTime, at_ms: int, later_ms: int) -> None:
    early_ms, late_ms = time.elapsed_ms(at_ms), time.elapsed_ms(at_ms + later_ms)
    assert early_ms < late_ms
    assert time.device_ms(early_ms) <= time.device_ms((early_ms + late_ms) / 2) <= time.device_ms(late_ms)
    # To the last digits that ms of years at the slowest scale leave.
    assert (time.elapsed_ms(at_ms + 1) - early_ms) * time.scale_at(at_ms) == pytest.approx(1, abs=0.05)


@given(times())
def test_it_is_continuous_where_the_scale_changes(time: DeviceTime) -> None:
    before = DeviceTime(BEGUN_MS, time.scale_at(BEGUN_MS - 1))
    assert time.elapsed_ms(BEGUN_MS) == 0
    for at_ms, scale in time.changes:
        assert time.elapsed_ms(at_ms) == before.elapsed_ms(at_ms)
        before.change_scale(at_ms, scale)
    assert (before.changes, before.last_scale, before.count) == (time.changes, time.last_scale, len(time.changes))


@given(times(), st.lists(MOMENTS, min_size=1))
def test_many_are_mapped_as_each_is(time: DeviceTime, moments: list[int]) -> None:
    found = time.all_elapsed_ms(np.array(moments, np.int64)).tolist()
    assert found == [time.elapsed_ms(one) for one in moments]


@given(times(), MOMENTS)
def test_the_next_change_is_the_first_after_a_moment(time: DeviceTime, at_ms: int) -> None:
    later = [one for one, _ in [(BEGUN_MS, 0), *time.changes] if one > at_ms]
    assert time.next_change_ms(at_ms) == min(later, default=None)


def test_time_is_not_changed_that_has_passed_and_does_not_run_backwards() -> None:
    time = DeviceTime(BEGUN_MS, 1.0, [(BEGUN_MS + 5000, 60.0)])
    assert (time.fastest, time.device_ms(6000)) == (60.0, BEGUN_MS + 65_000)
    with pytest.raises(ValueError, match="when the scale was changed last"):
        time.change_scale(BEGUN_MS + 4999, 1.0)
    with pytest.raises(ValueError, match="time passes forwards"):
        time.change_scale(BEGUN_MS + 5000, 0.0)
