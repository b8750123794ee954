"""The histogram's percentiles are right to within a bucket; the probe times the sampled message alone."""

from hypothesis import given
from hypothesis import strategies as st

from devices.fleet.latency import EVERY, AckProbe, Histogram


@given(lags=st.lists(st.floats(0.2, 900_000), min_size=1, max_size=200), percent=st.sampled_from([50, 95, 99]))
def test_a_percentile_lies_within_a_bucket_of_the_exact_one(lags: list[float], percent: int) -> None:
    histogram = Histogram()
    histogram.add(lags)
    exact = sorted(lags)[max(0, -(-len(lags) * percent // 100) - 1)]
    found = histogram.percentile_ms(percent)
    assert found is not None
    assert exact * 0.99 <= found <= exact * 1.11 + 0.01


def test_nothing_counted_has_no_percentile() -> None:
    assert Histogram().summary() == {"p50": None, "p95": None, "p99": None}


def test_early_and_absurd_lags_are_counted() -> None:
    histogram = Histogram()
    histogram.add([-1.0, 10_000_000.0])
    assert histogram.total == 2


@given(first=st.lists(st.floats(0.2, 900_000)), second=st.lists(st.floats(0.2, 900_000)))
def test_histograms_add_up_and_subtract(first: list[float], second: list[float]) -> None:
    one, other, both = Histogram(), Histogram(), Histogram()
    one.add(first)
    other.add(second)
    both.add(first + second)
    before = one.copy()
    one.merge(other)
    assert one.buckets() == both.buckets()
    assert one.since(before).buckets() == other.buckets()
    assert sum(count for _, count in both.buckets()) == both.total == len(first) + len(second)
    cumulative = [count for _, count in both.cumulative()]
    assert cumulative == sorted(cumulative)


def test_the_ack_of_the_sampled_message_is_the_one_that_counts() -> None:
    probe, device = AckProbe(), "device"
    probe.start_sample(device, 3, 10.0)
    probe.count_acknowledged(device, 2, 10.5)
    assert device in probe
    probe.count_acknowledged(device, 1, 12.0)
    assert device not in probe
    assert probe.latency.total == 1
    latency = probe.latency.percentile_ms(50)
    assert latency is not None
    assert 2000 <= latency <= 2200


def test_one_in_so_many_is_timed() -> None:
    probe = AckProbe()
    assert [probe.is_due() for _ in range(2 * EVERY)].count(True) == 2


def test_a_lost_connection_ends_the_measurement() -> None:
    probe = AckProbe()
    probe.start_sample("device", 1, 0.0)
    probe.forget_sample("device")
    probe.forget_sample("another")
    assert "device" not in probe
    assert not probe.latency.total


def test_what_needs_no_acknowledgement_is_not_timed() -> None:
    probe = AckProbe()
    probe.start_sample("device", 0, 0.0)
    assert "device" not in probe
