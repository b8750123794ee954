"""When readings are due at intervals that vary and in working hours: numbers and times are inverse to each other."""

import itertools
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.fleet.run_record import spoken_scenario
from devices.scenario.devices import Shard
from devices.scenario.pace import at_pace
from devices.scenario.scenario import Scenario
from devices.scenario.working_hours import ActiveWindows, WorkingHours
from devices.timeline.schedule import Schedule
from devices.timeline.timeline import Timeline

START_MS = round(datetime(2026, 3, 20, tzinfo=UTC).timestamp() * 1000)
DAY_MS = 86_400_000
WHOLE = Shard()
HOURS = {"days": "mon-fri", "from": "08:00", "to": "18:00"}


class Unit(NamedTuple):
    site: str
    interval_ms: int
    phase_ms: int
    ordinal: int
    key: int


def scenario(**keys: Any) -> Scenario:
    return Scenario(seed=3, devices=[{"kind": "bme280", "count": 2, **keys}])


def times(one: Scenario, from_ms: int, to_ms: int, device: int = 0) -> list[int]:
    timeline = Timeline(one, START_MS, Shard())
    batch = timeline.batch(from_ms, to_ms)
    return [due for due, who in zip(batch.due_ms, batch.device, strict=True) if who == device]


@given(
    cycle=st.lists(st.integers(10, 100_000), min_size=1, max_size=5),
    jitter=st.integers(0, 9),
    hours=st.none() | st.sampled_from([(0, 74, 74), (4, 1320, 360), (6, 0, 1440), (2, 480, 540)]),
    number=st.integers(0, 10**4),
)
def test_a_number_is_found_again_by_its_time(
    cycle: list[int], jitter: int, hours: tuple[int, int, int] | None, number: int
) -> None:
    windows = None
    if hours is not None:
        windows = WorkingHours(days=[hours[0]], from_=hours[1], to=hours[2]).windows("Europe/Berlin")
    mean = round(sum(cycle) / len(cycle))
    unit = Unit("s", mean, 7 % mean, 0, 5)
    schedule = Schedule(1, START_MS, [unit], jitter, cycle_ms=cycle if len(cycle) > 1 else (), windows=windows)
    owner, numbers = np.zeros(3, np.int64), np.arange(number, number + 3)
    due = schedule.due_ms(owner, numbers)
    assert (np.diff(due) > 0).all()
    assert (schedule.first_number_from(owner, due) == numbers).all()
    assert (schedule.first_number_from(owner, due + 1) == numbers + 1).all()
    assert (schedule.numbers_at(owner, due) == numbers).all()


def test_a_range_is_taken_whole_and_no_more() -> None:
    due = times(scenario(interval="5s..15s"), START_MS, START_MS + DAY_MS)
    gaps = np.diff(due)
    assert 5000 <= gaps.min() < 5100
    assert 14_900 < gaps.max() <= 15_000
    assert gaps.mean() == pytest.approx(10_000, rel=0.01)


def test_listed_intervals_come_in_turn() -> None:
    due = times(scenario(intervals=["5s", "10s", "30s"]), START_MS, START_MS + 1_000_000)
    assert [b - a for a, b in itertools.pairwise(due)][:4] == [5000, 10_000, 30_000, 5000]


def test_working_hours_are_those_of_the_clock_on_the_wall() -> None:
    """The clocks go forward between the Friday and the Monday."""
    due = times(
        scenario(interval="10m", timezone="Europe/Berlin", working_hours=HOURS), START_MS, START_MS + 14 * DAY_MS
    )
    local = [datetime.fromtimestamp(one / 1000, ZoneInfo("Europe/Berlin")) for one in due]
    assert {moment.weekday() for moment in local} == {0, 1, 2, 3, 4}
    assert {moment.hour for moment in local} == set(range(8, 18))
    assert len(due) == 10 * 60


def test_a_shift_over_midnight_is_of_the_day_on_which_it_begins() -> None:
    night = {"days": ["fri"], "from": "22:00", "to": "06:00"}
    due = times(scenario(interval="30m", working_hours=night), START_MS, START_MS + 7 * DAY_MS)
    moments = [datetime.fromtimestamp(one / 1000, UTC) for one in due]
    assert {(moment.weekday(), moment.hour) for moment in moments} == {
        (4, 22), (4, 23), *((5, hour) for hour in range(6))
    }  # fmt: skip


@pytest.mark.parametrize(
    "keys",
    [
        {"interval": "5s..15s"},
        {"intervals": ["5s", "10s", "30s"], "jitter": "2s"},
        {"interval": "1m", "working_hours": HOURS, "timezone": "America/New_York"},
    ],
    ids=["range", "listed", "hours"],
)
def test_same_messages_in_any_window_shard_and_from_the_record(keys: dict[str, Any]) -> None:
    one = Scenario(
        seed=3, devices=[{"kind": "bme280", "count": 5, "topic": "t/{id}", "payload": ["temperature_c"], **keys}]
    )
    begin, end = START_MS + 3 * DAY_MS, START_MS + 4 * DAY_MS

    def said(*windows: int, shard: Shard = WHOLE) -> set[tuple[int, int, bytes]]:
        timeline = Timeline(one, START_MS, shard)
        batches = [timeline.batch(*window) for window in itertools.pairwise(windows)]
        return {
            (due, seq, payload)
            for batch in batches
            for due, seq, payload in zip(batch.due_ms, batch.seq, batch.payload, strict=True)
        }

    whole = said(begin, end)
    assert len(whole) > 1000
    assert said(begin, begin + 12_345_678, begin + 12_345_679, end) == whole
    assert said(begin, end, shard=Shard(0, 2)) | said(begin, end, shard=Shard(1, 2)) == whole
    spoken = spoken_scenario(one)
    again = Scenario.model_validate(spoken)
    assert again.devices[0].model_dump() == one.devices[0].model_dump()


def test_a_faster_pace_shortens_all_intervals() -> None:
    fast = at_pace(scenario(intervals=["5s", "15s"]), 10).devices[0]
    assert (fast.intervals, fast.interval) == ((500, 1500), 1000)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"interval": "15s..5s"}, "'15s..5s' is no range: write the shorter one first"),
        ({"interval": "5s..many"}, "'many' is no duration"),
        ({"interval": "5s..15s", "jitter": "1s"}, "an interval from and to is another each time"),
        ({"interval": "5s", "intervals": ["5s", "10s"]}, "lists the intervals: leave out interval, or this"),
        ({"intervals": ["5s", "soon"]}, "'soon' is no duration"),
        ({"intervals": ["5s", "10s"], "jitter": "6s"}, "must be shorter than the interval"),
        ({"working_hours": {"days": "mo-funday"}}, "'mo-funday' is no day or range of days"),
        ({"working_hours": {"from": "25:00"}}, "'25:00' is no time of the day"),
        ({"working_hours": {"from": "24:00"}}, "24:00 is 00:00 of the next day"),
        ({"kind": "people", "working_hours": HOURS}, "a reading of people counts what passed since the one before"),
        ({"kind": "traffic", "intervals": ["5s", "10s"]}, "a reading of traffic counts what passed"),
    ],
)
def test_what_makes_no_schedule_is_told(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="for Scenario") as refused:
        scenario(**keys)
    assert said in str(refused.value)


def test_time_that_counts_maps_there_and_back() -> None:
    windows = ActiveWindows(np.array([10, 30]), np.array([20, 35]))
    assert windows.active_ms(np.array([0, 10, 15, 25, 30, 34, 99])).tolist() == [0, 0, 5, 10, 10, 14, 15]
    assert windows.instants(np.array([0, 5, 10, 14])).tolist() == [10, 15, 30, 34]
    assert windows.share == 0.6
