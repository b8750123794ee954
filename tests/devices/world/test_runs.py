"""Runs: what is computed once for each is what would be computed for every row, and keys are told apart as ever."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from devices.world.random import Ints
from devices.world.runs import Runs, distinct

_FEW = st.lists(st.integers(0, 3), max_size=40)


def _array(numbers: list[int]) -> Ints:
    return np.array(numbers, dtype=np.int64)


@given(_FEW)
def test_what_is_spread_is_the_value_of_each_row(numbers: list[int]) -> None:
    one, other = _array(numbers), _array(numbers)[::-1] // 2
    runs = Runs(one, other)
    assert runs.spread((10 * one + other)[runs.first]).tolist() == (10 * one + other).tolist()
    pairs = list(zip(one.tolist(), other.tolist(), strict=True))
    assert len(runs.first) == sum(pair != before for pair, before in zip(pairs, [None, *pairs], strict=False))


@given(st.lists(st.integers(-(2**62), 2**62) | st.integers(0, 3), max_size=40))
def test_distinct_keys_are_those_of_numpy(numbers: list[int]) -> None:
    expected = np.unique(_array(numbers), return_index=True, return_inverse=True)
    for found, wanted in zip(distinct(_array(numbers)), expected, strict=True):
        assert found.tolist() == wanted.tolist()


def test_what_has_as_many_columns_as_values_is_spread_row_by_row() -> None:
    runs = Runs(_array([5, 5, 7, 5]))
    assert runs.spread(np.array([[1, 2], [3, 4], [5, 6]])).tolist() == [[1, 2], [1, 2], [3, 4], [5, 6]]
