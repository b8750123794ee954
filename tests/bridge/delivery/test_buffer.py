"""Ids of messages whose memory was given up: they come back in order and take little room."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.delivery.buffer import IdQueue


@given(st.lists(st.integers(0, 2**40), max_size=200), st.randoms(use_true_random=False))
@pytest.mark.slow
def test_evicted_ids_come_back_as_they_went(numbers: list[int], rng: random.Random) -> None:
    queue, back, rest = IdQueue(), [], list(numbers)
    while rest or queue:
        for _ in range(rng.randrange(20)):
            if rest:
                queue.append(rest.pop(0))
        back += queue.pop_ids(rng.randrange(10))
        assert len(queue) == len(numbers) - len(rest) - len(back)
    assert back == numbers


def test_evicted_ids_of_interleaved_queues_take_a_byte_or_two() -> None:
    queue = IdQueue()
    for number in range(1_000_000, 1_700_000, 7):
        queue.append(number)
    assert queue.size < 100_010
