"""Times in few numbers: none is lost, however long a run is and however many pieces its arrivals come in."""

import numpy as np
import pytest

from edgefleet.verify.timing import TimeSeries, bucket_latencies


@pytest.mark.parametrize("longest_ms", [400, 100_000, 10**9, 10**13])
def test_a_series_counts_everything_in_a_bounded_number_of_steps(longest_ms: int) -> None:
    rng = np.random.default_rng(1)
    instants = 5000 + rng.integers(0, longest_ms, 1000)
    series = TimeSeries(5000, width_ms=10, most=20)
    for piece in np.array_split(instants, 7):
        series.add(piece)
    counts = series.counts()
    assert len(counts) <= 20
    assert sum(counts) == 1000
    width = series.width_ms
    assert counts == np.bincount((instants - 5000) // width, minlength=len(counts)).tolist()


def test_what_was_before_is_in_the_first_step() -> None:
    series = TimeSeries(1000)
    series.add(np.array([], np.int64))
    assert series.counts() == []
    series.add(np.array([-(10**12), 999, 1000]))
    assert series.counts() == [3]


def test_each_latency_is_in_the_bucket_around_it() -> None:
    values = np.array([-5, 0, 1, 2, 3, 10, 11, 5000, 2**31 - 1], np.int32)
    buckets = bucket_latencies(values)
    assert sum(bucket.count for bucket in buckets) == len(values)
    for bucket in buckets[1:-1]:
        assert bucket.count == np.count_nonzero((values > bucket.low_ms) & (values <= bucket.high_ms))
    assert bucket_latencies(values[:0]) == ()
