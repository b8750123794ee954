"""A running count is what counting gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.sensors.people.rank_index import RankIndex


@given(st.lists(st.booleans(), max_size=300))
def test_it_counts(flags: list[bool]) -> None:
    positions = np.arange(len(flags) + 1)
    found = RankIndex(np.array(flags, dtype=np.bool_)).rank(positions)
    assert found.tolist() == [sum(flags[:position]) for position in positions.tolist()]


@pytest.mark.parametrize("flags", [64, 65, 127, 128])
def test_words_that_are_full_count_in_full(flags: int) -> None:
    assert RankIndex(np.ones(flags, dtype=np.bool_)).rank(np.array([64, flags])).tolist() == [64, flags]
