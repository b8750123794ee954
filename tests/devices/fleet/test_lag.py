"""The lag histogram's percentiles are right to within a bucket."""

from hypothesis import given
from hypothesis import strategies as st

from devices.fleet.lag import LagHistogram


@given(lags=st.lists(st.floats(0.2, 900_000), min_size=1, max_size=200), percent=st.sampled_from([50, 95, 99]))
def test_a_percentile_lies_within_a_bucket_of_the_exact_one(lags: list[float], percent: int) -> None:
    histogram = LagHistogram()
    histogram.add(lags)
    exact = sorted(lags)[max(0, -(-len(lags) * percent // 100) - 1)]
    found = histogram.percentile_ms(percent)
    assert found is not None
    assert exact * 0.99 <= found <= exact * 1.11 + 0.01


def test_nothing_counted_has_no_percentile() -> None:
    assert LagHistogram().summary() == {"p50": None, "p95": None, "p99": None}


def test_early_and_absurd_lags_are_counted() -> None:
    histogram = LagHistogram()
    histogram.add([-1.0, 10_000_000.0])
    assert histogram.total == 2
