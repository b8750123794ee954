"""Clocks that differ, and rows of another run: told apart where the ids do, and never taken for a PASS where not."""

from collections.abc import Callable

import numpy as np
import pytest

from edgefleet.verify import Latency, Outcome, RunVerdict, from_rows, verify
from edgefleet.verify.clocks import clock_difference_ms, humanize_ms
from edgewire.run_record import DeviceRecord, RunRecord

Row = tuple[str, int, int, int, int]
Arrive = Callable[..., Row]


def differ(latencies: list[int], span_ms: int = 10_000) -> int | None:
    return clock_difference_ms(np.array(latencies, np.int32), span_ms)


@pytest.mark.parametrize(
    ("latencies", "span_ms", "expected"),
    [
        ([], 0, None),
        ([3, 5, 9], 10_000, None),
        ([-3, 5, 9], 10_000, None),
        ([-29_990, -29_984, -29_900], 10_000, -29_984),
        ([-9, -4, 3], 10_000, -4),
        ([30_010, 30_016, 30_090], 10_000, 30_016),
        ([30_010, 30_016, 30_090], 700, None),
        ([4_010, 4_016, 4_090], 10_000, None),
        (list(range(30_000, 20_000, -100)), 10_000, None),
    ],
    ids=[
        "nothing arrived",
        "equal clocks",
        "one device's clock",
        "before it was due",
        "a little before it was due",
        "all by the same",
        "too short to tell",
        "as late as a slow sink makes it",
        "held up and then let go at once",
    ],
)
def test_the_clocks_differ_where_all_is_early_or_equally_late(
    latencies: list[int], span_ms: int, expected: int | None
) -> None:
    assert differ(latencies, span_ms) == expected


def test_lengths_of_time_are_for_people() -> None:
    assert [humanize_ms(ms) for ms in (-4, 999, 1000, -29_984, 3_600_000)] == [
        "4 ms",
        "999 ms",
        "1 s",
        "30 s",
        "3,600 s",
    ]


@pytest.fixture
def shifted(make_record: Callable[..., RunRecord], arrive: Arrive) -> Callable[..., RunVerdict]:
    """The verdict on ten messages, a second apart, that seem to have taken so long."""

    def judge(latency_ms: int, *, fixed_boots: bool, **changes: object) -> RunVerdict:
        record = make_record(DeviceRecord(device_id="g", kind="gps", site="s", boot=7, first_seq=0, last_seq=9))
        record.fixed_boots = fixed_boots
        for name, value in changes.items():
            setattr(record, name, value)
        return verify(
            record, http=from_rows(arrive("g", seq, due_ms=seq * 1000, latency_ms=latency_ms) for seq in range(10))
        )

    return judge


@pytest.mark.parametrize("latency_ms", [-29_984, 30_016, -1_000_000])
def test_ids_of_this_run_alone_prove_that_it_is_the_clocks(shifted: Callable[..., RunVerdict], latency_ms: int) -> None:
    verdict = shifted(latency_ms, fixed_boots=False)
    total = verdict.sinks["http"].total
    assert verdict.outcome is Outcome.PASS
    assert verdict.sinks["http"].clocks_differ_ms == latency_ms
    assert (total.stored, total.latency, total.late) == (10, None, None), "they would mean nothing"
    assert verdict.to_json()["late"] is None


def test_rows_of_an_earlier_run_are_not_of_this_one(shifted: Callable[..., RunVerdict]) -> None:
    """A run repeated with the same --from while nothing arrives: 9 s between the two."""
    verdict = shifted(-9256, fixed_boots=True)
    total = verdict.sinks["http"].total
    assert (verdict.outcome, total.stored, total.earlier, total.lost) == (Outcome.INCOMPLETE, 0, 10, 0)
    (sentence,) = verdict.untold
    assert sentence.startswith(
        "10 were there before this run sent them, from 2027-01-15T07:59:50.744Z to 2027-01-15T07:59:59.744Z; "
        "it began at 2027-01-15T08:00:00.000Z."
    )
    assert "use another --from" in sentence


def test_rows_of_an_earlier_run_that_came_late_are_not_of_this_one(shifted: Callable[..., RunVerdict]) -> None:
    """They came when this run had begun, but before it had sent them."""
    total = shifted(-1500, fixed_boots=True).sinks["http"].total
    assert (total.earlier, total.stored) == (10, 0)


def test_what_a_device_with_a_wrong_clock_says_is_no_proof(shifted: Callable[..., RunVerdict]) -> None:
    total = shifted(-1500, fixed_boots=True, faults={"clock_step": 1}).sinks["http"].total
    assert (total.earlier, total.stored) == (1, 9), "the first arrived before the run began"


def test_where_all_is_equally_late_it_may_be_another_run(shifted: Callable[..., RunVerdict]) -> None:
    """A generator whose clock is 30 s behind dates the rows of the run before into its own time."""
    verdict = shifted(20_744, fixed_boots=True)
    assert verdict.outcome is Outcome.INCOMPLETE
    assert verdict.untold[0].startswith("all seem to have taken 20.7 s: they are of another run of the same ids, or")


def test_a_small_difference_is_allowed(shifted: Callable[..., RunVerdict]) -> None:
    verdict = shifted(-8, fixed_boots=True)
    assert (verdict.outcome, verdict.sinks["http"].total.stored) == (Outcome.PASS, 10)


def test_where_a_run_comes_again_its_own_rows_count(record: RunRecord, everything: list[Row], arrive: Arrive) -> None:
    """Kafka keeps both; which one is read first does not matter."""
    older = [(*row[:4], row[4] - 60_000) for row in everything]
    for rows in (older + everything, everything + older):
        verdict = verify(record, kafka=from_rows(rows))
        total = verdict.sinks["kafka"].total
        assert (verdict.outcome, total.stored, total.earlier, total.duplicates) == (Outcome.PASS, 15, 0, 0)
        assert total.latency == Latency(20, 20, 20)


def test_a_loss_among_rows_of_another_run_is_still_a_loss(record: RunRecord, everything: list[Row]) -> None:
    rows = [(*row[:4], row[4] - 60_000) for row in everything[1:]]
    verdict = verify(record, http=from_rows(rows))
    total = verdict.sinks["http"].total
    assert (verdict.outcome, total.lost, total.missing) == (Outcome.FAIL, 1, ("g-1:7:0",))
