"""Hashes as randomness."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.world.random import coarse_normals, extend, hash_bits, normal, poisson, uniform

MANY = np.arange(50_000)


def test_uniforms_fill_the_unit_interval_evenly() -> None:
    counts, _ = np.histogram(uniform(hash_bits(1, "test", MANY)), bins=20, range=(0, 1))
    # 2,500 a bin; five standard deviations of the binomial are 244.
    assert np.abs(counts - 2500).max() < 244


def test_normals_are_standard() -> None:
    values = normal(hash_bits(1, "test", MANY))
    assert abs(values.mean()) < 0.025
    assert abs(values.std() - 1) < 0.025
    assert abs((np.abs(values) < 1.96).mean() - 0.95) < 0.006


def test_coarse_normals_are_standard_and_four_of_a_draw_are_independent() -> None:
    four = np.array([coarse_normals(hash_bits(1, "test", MANY), place) for place in range(4)])
    assert np.abs(four.mean(axis=1)).max() < 0.025
    assert four.std(axis=1) == pytest.approx(1, abs=0.025)
    assert (np.abs(four) > 3).mean() == pytest.approx(0.0027, abs=0.0006)
    assert np.abs(np.corrcoef(four) - np.eye(4)).max() < 0.025


def test_a_draw_can_be_continued() -> None:
    assert (extend(hash_bits(1, "test", MANY), 7, MANY) == hash_bits(1, "test", MANY, 7, MANY)).all()


@pytest.mark.parametrize("mean", [0.1, 3.0, 40.0, 500.0])
def test_poisson_has_its_mean_and_variance(mean: float) -> None:
    counts = poisson(hash_bits(2, "test", MANY), np.full(len(MANY), mean))
    assert counts.mean() == pytest.approx(mean, rel=0.05, abs=0.01)
    assert counts.var() == pytest.approx(mean, rel=0.06, abs=0.01)


def test_seeds_streams_and_counters_are_unrelated() -> None:
    series = [
        uniform(hash_bits(seed, stream, MANY, counter))
        for seed in (0, 1)
        for stream in ("a", "b")
        for counter in (0, 1)
    ]
    correlations = np.corrcoef(series) - np.eye(len(series))
    assert np.abs(correlations).max() < 0.025


@given(st.integers(0, 2**62), st.lists(st.integers(0, 2**40), min_size=1, max_size=20), st.integers(0, 19))
def test_a_draw_does_not_depend_on_its_company(seed: int, counters: list[int], position: int) -> None:
    position %= len(counters)
    together = hash_bits(seed, "test", np.array(counters))
    assert together[position] == hash_bits(seed, "test", np.array([counters[position]]))[0]
