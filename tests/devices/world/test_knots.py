"""Tabulated slow functions: the same value whoever asked before, and however much was kept."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from devices.world.noise import KnotInterpolator

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
