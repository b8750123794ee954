"""The index of rows finds what a dictionary would, whatever was added and forgotten before."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from devices.world.vehicles.row_index import UNKNOWN, RowIndex

_KEYS = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9)


@given(st.lists(st.tuples(st.sets(_KEYS, max_size=8), st.sets(st.integers(0, 20))), max_size=6), st.lists(_KEYS))
def test_it_finds_what_a_dictionary_would(steps: list[tuple[set[int], set[int]]], others: list[int]) -> None:
    index, expected = RowIndex(), dict[int, int]()
    for added, forgotten in steps:
        new = sorted(added - expected.keys())
        index.add(np.array(new, dtype=np.int64), len(expected))
        expected |= {key: row for row, key in enumerate(new, len(expected))}
        stays = np.array([row not in forgotten for row in range(len(expected))], dtype=np.bool_)
        index.keep(stays)
        left = sorted((row, key) for key, row in expected.items() if stays[row])
        expected = {key: row for row, (_, key) in enumerate(left)}
        asked = [*expected, *others]
        found = index.find(np.array(asked, dtype=np.int64))
        assert found.tolist() == [expected.get(key, UNKNOWN) for key in asked]
        assert len(index) == len(expected)
