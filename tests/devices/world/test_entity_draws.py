"""What an entity draws is what its keys and counters are hashed to, however its rows stand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from devices.world.entity_draws import EntityDraws
from devices.world.random import hash_bits

rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**40), st.integers(0, 2**50)), max_size=30)


@given(rows)
def test_draws_are_the_hashes_of_all_keys_and_counters(listed: list[tuple[int, int, int]]) -> None:
    site, unit, time = np.array(listed, dtype=np.int64).reshape(-1, 3).T
    draws = EntityDraws(7, site, unit)
    assert (draws.bits("a", time, 3) == hash_bits(7, "a", site, unit, time, 3)).all()
    assert (draws.bits("b") == hash_bits(7, "b", site, unit)).all()
