"""What a soak tells of a bridge: whether something grows, and that nothing was lost while all around it failed."""

from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sink_latency import SinkLatency
from benchmarks.soak import Sample, fit_trend, latency_trend, main, sample_trends
from benchmarks.soak_faults import FAULTS, next_due_s
from edgefleet.embedded import MosquittoProcess
from edgewire.errors import ServiceUnavailable
from tests.services.fixtures import unavailable
from tests.services.kafka import KafkaProcess

HOUR = np.arange(60) / 60


def samples_of(minutes: int, pending_at_faults: int = 0, leak: float = 0.0) -> list[Sample]:
    """One every five seconds; in the first 30 of each minute something more is open, and waits."""
    found = []
    for t_s in range(0, minutes * 60, 5):
        disturbed = t_s % 60 < 30
        grown = 100_000_000 + int(leak * t_s / 3600)
        open_now, waiting = 30 + 20 * disturbed, pending_at_faults * disturbed
        found.append(Sample(t_s, grown + 5_000_000 * disturbed, grown, open_now, 11, 6_000_000, waiting, grown))
    return found


def test_faults_come_four_times_as_often_until_it_has_settled() -> None:
    due, now_s = [], 60.0
    while now_s < 420:
        due.append(now_s := next_due_s(now_s, 60, 200))
    assert due == [75, 90, 105, 120, 135, 150, 165, 180, 195, 240, 300, 360, 420]
    # One that took long comes into the quiet part of no other interval, and costs what was due meanwhile.
    assert next_due_s(100, 60, 200) == 105
    assert next_due_s(310, 60, 200) == 360


@given(st.floats(1, 1e6), st.floats(-0.5, 0.5), st.integers(0, 2**32 - 1))
def test_a_straight_line_is_found_through_noise(level: float, share: float, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, level * 1e-3, len(HOUR))
    found = fit_trend(HOUR, level * (1 + share * HOUR) + noise)
    assert found.rise_per_hour == pytest.approx(level * share, abs=level * 5e-3)
    assert found.flat is not None
    if abs(share - 0.05) > 0.01:
        assert found.flat is (share < 0.05)


def test_chance_is_not_growth_and_a_short_time_says_nothing() -> None:
    wild = np.random.default_rng(1).normal(30, 10, len(HOUR))
    assert fit_trend(HOUR, wild).flat is True
    assert fit_trend(HOUR, wild + 100 * HOUR).flat is False
    assert fit_trend(HOUR[:12], wild[:12] + 1000 * HOUR[:12]).flat is None
    assert fit_trend(HOUR[:1], wild[:1]).flat is None


def test_what_a_fault_takes_for_a_moment_is_no_growth() -> None:
    trends = sample_trends(samples_of(60, pending_at_faults=9000), 60)
    assert {name: (one.median, one.rise_per_hour, one.flat) for name, one in trends.items() if one} == {
        "memory_mb": (100.0, 0.0, True),
        "anonymous_memory_mb": (100.0, 0.0, True),
        "descriptors": (30.0, 0.0, True),
        "threads": (11.0, 0.0, True),
        "spool_file_mb": (6.0, 0.0, True),
        "fleet_memory_mb": (100.0, 0.0, True),
    }


def test_a_leak_is_seen_through_the_faults() -> None:
    grown = sample_trends(samples_of(60, leak=10e6), 60)["memory_mb"]
    assert grown
    assert grown.flat is False
    assert grown.rise_per_hour == pytest.approx(10, rel=0.01)


def test_latency_is_that_of_the_quiet_part_of_each_minute() -> None:
    due = np.arange(0, 3_600_000, 100)
    took = np.where(due % 60_000 < 30_000, 5000, 40 + due // 60_000)
    found = latency_trend(SinkLatency(due + 7, due + 7 + took), 7, 3600, 60)
    assert found
    assert (found.least, found.most) == (40 + 18, 40 + 59)
    assert found.rise_per_hour == pytest.approx(60, rel=0.01)
    assert found.flat is False
    assert latency_trend(SinkLatency(due[:0], due[:0]), 7, 3600, 60) is None


@pytest.mark.long
@pytest.mark.services
@pytest.mark.timeout(300)
def test_all_around_the_bridge_fails_and_nothing_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        KafkaProcess()
        MosquittoProcess()
    except ServiceUnavailable as error:
        unavailable(str(error))
    out = tmp_path / "soak.json"
    words = f"--minutes 1 --rate 200 --fault-every 8 --sample 1 --seed 7 --out {out}"
    assert main(words.split()) == 0, capsys.readouterr()
    told = orjson.loads(out.read_bytes())
    assert (told["ok"], told["lost"], told["balanced"], told["grows"]) == (True, 0, True, [])
    # On a busy machine one may take the time of those that come after it.
    assert set(told["faults"]) <= set(FAULTS)
    assert sum(told["faults"].values()) >= 3
    assert told["sent"] > 60 * 200 / 2
    assert {trend["flat"] for trend in told["trends"].values()} == {None}
