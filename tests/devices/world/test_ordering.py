"""Rows are ordered as by all their keys, whatever the shortcut."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from devices.world.ordering import order_within_groups

_VALUES = st.one_of(st.sampled_from([0.0, 1.0, 10.0]), st.floats(0, 86_400))
_ROWS = st.lists(st.tuples(st.integers(0, 20_000), _VALUES, st.integers(0, 5)), max_size=60)


@given(_ROWS)
def test_rows_are_ordered_by_group_then_value_then_tie(rows: list[tuple[int, float, int]]) -> None:
    groups, ties = (np.array([row[key] for row in rows], dtype=np.int64) for key in (0, 2))
    values = np.array([row[1] for row in rows], dtype=np.float64)

    order = order_within_groups(groups, values, ties)

    assert order.tolist() == np.lexsort((ties, values, groups)).tolist()


def test_values_too_near_each_other_to_add_to_a_group_are_ordered_all_the_same() -> None:
    values = np.array([5.0, np.nextafter(5.0, 0), 10.0])

    order = order_within_groups(np.full(3, 2**40), values, np.zeros(3, dtype=np.int64))

    assert order.tolist() == [1, 0, 2]
