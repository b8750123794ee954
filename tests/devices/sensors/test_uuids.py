"""UUIDs made of hashes are those that Python's own class makes of the same bits."""

from uuid import UUID

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from devices.sensors.uuids import uuid4_hex, uuid4_texts

halves = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=5)


@given(halves)
def test_they_are_of_version_4(bits: list[tuple[int, int]]) -> None:
    high, low = (np.array([pair[half] for pair in bits], dtype=np.uint64) for half in (0, 1))
    expected = [UUID(int=(first << 64) | second, version=4) for first, second in bits]
    assert uuid4_texts(high, low).tolist() == [str(one) for one in expected]
    assert uuid4_hex(high, low).tolist() == [one.hex for one in expected]
