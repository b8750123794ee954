"""Hashes as randomness, and the smooth noise made of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.world.noise import fractal_noise, noise_fields, smooth_noise
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


@pytest.mark.parametrize("noise", [smooth_noise, fractal_noise])
def test_noise_has_unit_variance_everywhere_and_is_smooth(noise: object) -> None:
    assert callable(noise)
    entities = np.arange(4000)
    for offset_ms in (0, 13_000, 30_000, 47_000):
        values = noise(3, "test", entities, np.full(4000, 10**12 + offset_ms), 60_000)
        assert abs(values.mean()) < 0.08
        assert abs(values.std() - 1) < 0.06
    trace = noise(3, "test", 7, 10**12 + np.arange(0, 600_000, 100), 60_000)
    assert np.abs(np.diff(trace)).max() < 0.1
    assert trace.std() > 0.3


def test_noise_forgets_after_its_period() -> None:
    entities = np.arange(4000)
    now, next_cell, soon = (
        smooth_noise(3, "test", entities, np.full(4000, time), 60_000) for time in (0, 120_000, 6_000)
    )
    assert abs(np.corrcoef(now, next_cell)[0, 1]) < 0.06
    assert np.corrcoef(now, soon)[0, 1] > 0.9


def test_fields_have_unit_variance_wherever_they_are_looked_at() -> None:
    spread = np.arange(4000) * 7.0
    for offset in (0.0, 0.3, 0.5):
        values = noise_fields(
            3, "test", spread + offset, spread - offset, np.full(4000, 10**12), np.array([60_000, 900_000])
        )
        assert values.shape == (2, 4000)
        assert values.std(axis=1) == pytest.approx(1, abs=0.06)
        assert abs(np.corrcoef(values)[0, 1]) < 0.06


def test_fields_change_smoothly_over_place_and_time() -> None:
    near = np.arange(1000) / 500
    for x, y, when in ((near, 0 * near, 0), (0 * near, near, 0), (0 * near, 0 * near, 1)):
        times = 10**12 + when * (near * 60_000).astype(np.int64)
        walks = np.concatenate([noise_fields(seed, "test", x, y, times, np.array([60_000])) for seed in range(20)])
        assert np.abs(np.diff(walks)).max() < 0.2
        assert walks.std(axis=1).mean() > 0.3
