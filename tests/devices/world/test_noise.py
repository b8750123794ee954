"""Noise and interpolators: the same value whoever asked before, and however much was kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.world.noise import (
    GridInterpolator,
    KnotInterpolator,
    NoiseSources,
    fractal_noise,
    noise_fields,
    smooth_noise,
)
from devices.world.random import hash_bits
from devices.world.world import DAY_MS, HOUR_MS
from edgewire.clock import parse_ms

NEW_YEAR_MS = parse_ms("2026-01-01T00:00:00Z")


YEAR = NEW_YEAR_MS + np.arange(0, 365 * DAY_MS, HOUR_MS)


STEP = 600_000


def waves(entities: np.ndarray, times: np.ndarray) -> np.ndarray:
    return np.stack([np.sin(times / 1e7 + entities), 1.0 * times], axis=1)


questions = st.lists(st.tuples(st.integers(0, 50), st.integers(-(10**10), 2 * 10**12)), min_size=1, max_size=30)


@given(questions, questions)
def test_values_do_not_depend_on_earlier_questions_or_on_what_is_kept(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    fresh, small = KnotInterpolator(waves, 2, STEP), KnotInterpolator(waves, 2, STEP, capacity=5)
    for asked in (first, second, first):
        entities, times = np.array(asked).T
        assert (small.interpolate(entities, times) == fresh.interpolate(entities, times)).all()
        alone = [
            KnotInterpolator(waves, 2, STEP).interpolate(entities[i : i + 1], times[i : i + 1])[0]
            for i in range(len(times))
        ]
        assert (fresh.interpolate(entities, times) == np.array(alone)).all()


def test_between_knots_it_is_linear_and_at_knots_exact() -> None:
    table = KnotInterpolator(waves, 2, STEP)
    times = np.array([0, STEP, STEP + 1, STEP + STEP // 2, 2 * STEP, -STEP])
    found = table.interpolate(np.full(6, 3), times)
    assert (found[[0, 1, 4, 5]] == waves(np.full(4, 3), times[[0, 1, 4, 5]])).all()
    assert found[3, 0] == (found[1, 0] + found[4, 0]) / 2
    assert (table.previous(np.full(2, 3), times[[2, 3]]) == waves(np.full(2, 3), np.full(2, STEP))).all()


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-500, 500)), max_size=30),
    st.lists(st.sampled_from([1, 7, 40, 1000]), min_size=1, max_size=5),
    st.booleans(),
)
def test_streams_that_are_asked_for_together_are_those_of_each_alone(
    asked: list[tuple[int, int]], periods: list[int], is_in_order: bool
) -> None:
    rows = np.array(sorted(asked) if is_in_order else asked, dtype=np.int64).reshape(-1, 2)
    entities, times = rows.T
    names = [f"stream/{number}" for number in range(len(periods))]
    together = NoiseSources(np.concatenate([hash_bits(3, name) for name in names]), periods)
    alone = [smooth_noise(3, name, entities, times, period) for name, period in zip(names, periods, strict=True)]
    assert np.array_equal(together.at(entities, times), np.stack(alone))


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


@pytest.mark.parametrize("after_the_hour_ms", [0, 1234])
@pytest.mark.parametrize("rows", [1, 40])
def test_a_grid_gives_the_same_in_a_sparse_and_in_a_dense_question(rows: int, after_the_hour_ms: int) -> None:
    grid = GridInterpolator(lambda places, when: np.stack([np.sin(when / 1e7 + places)]), 3)
    times = YEAR[:40] + after_the_hour_ms
    places = np.arange(40) % 3
    dense = grid.interpolate(places, times)
    # Twenty years apart: too far for a table of all that lies between.
    sparse = grid.interpolate(np.append(places[:rows], 0), np.append(times[:rows], NEW_YEAR_MS - 7300 * DAY_MS))
    assert (sparse[:, :rows] == dense[:, :rows]).all()


def test_a_grid_computes_no_more_points_than_count_in_a_sparse_question() -> None:
    computed: list[int] = []

    def compute(places: np.ndarray, when: np.ndarray) -> np.ndarray:
        computed.append(len(when))
        return np.stack([1.0 * when])

    noons = NEW_YEAR_MS + np.arange(3000) * DAY_MS + 12 * HOUR_MS
    grid, nowhere = GridInterpolator(compute, 1), np.zeros(3000, dtype=np.int64)
    assert (grid.interpolate(nowhere, noons)[0] == noons).all()
    assert grid.interpolate(nowhere, noons + 60_000)[0] == pytest.approx(noons + 60_000)
    assert computed == [3000, 6000]


# Windows of some hours that follow, go back, overlap and leave gaps.
windows = st.lists(st.tuples(st.integers(-3000, 3000), st.integers(1, 40)), min_size=2, max_size=8)


@given(windows, st.sampled_from([300_000, STEP, 7_200_000]))
def test_a_grid_goes_on_from_what_it_has_kept_without_a_trace(asked: list[tuple[int, int]], step: int) -> None:
    def compute(places: np.ndarray, when: np.ndarray) -> np.ndarray:
        return np.stack([np.sin(when / 1e7 + places), 1.0 * places, 1.0 * when])

    grid = GridInterpolator(compute, 3, step)
    for hour, long in asked:
        times = hour * HOUR_MS + np.arange(long) * 1_234_567
        places = np.arange(long) % 3
        found = grid.interpolate(places, times)
        assert (found == GridInterpolator(compute, 3, step).interpolate(places, times)).all()
        assert (grid.interpolate(places, times, slice(1, 2)) == found[1:2]).all()
        assert found[2] == pytest.approx(times)
