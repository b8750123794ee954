import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.delivery.ack_tracker import AckTracker
from bridge.spool import bitmap
from bridge.spool.message import DeadLetter


def letter(number: int) -> DeadLetter:
    return DeadLetter(
        sink="s", message_id=number, received_ms=0, topic="t", payload=b"", reason="r", attempts=1, dead_ms=0
    )


def test_the_cursor_stops_before_the_first_that_is_missing_and_what_is_beyond_is_settled() -> None:
    progress = AckTracker("s", 10)
    progress.position = 13
    assert progress.flush() is None
    progress.record_delivered([12])
    settled = progress.flush()
    assert settled
    assert (settled.cursor, settled.delivered) == (10, 1)
    assert bitmap.ids_of(bitmap.bits_of(settled.done_bitmaps[0]), 0) == [12]
    assert [progress.is_done(number) for number in (10, 11, 12, 13)] == [True, False, True, False]
    progress.record_delivered([11])
    settled = progress.flush()
    assert settled
    assert (settled.cursor, settled.delivered, settled.done_bitmaps) == (12, 1, {})
    assert progress.flush() is None


def test_a_replayed_dead_letter_does_not_move_the_cursor() -> None:
    progress = AckTracker("s", 10)
    progress.add_replays([4])
    assert progress.replaying == {4}
    progress.record_delivered([4])
    settled = progress.flush()
    assert settled
    assert (settled.cursor, settled.delivered, settled.replayed, settled.done_bitmaps) == (10, 1, (4,), {})
    progress.add_replays([4])
    progress.record_dead(letter(4))
    settled = progress.flush()
    assert settled
    assert (settled.cursor, settled.replayed) == (10, ())
    assert not progress.replaying


FATES = st.sampled_from(["delivered", "dropped", "dead"])


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3 * bitmap.SIZE), st.integers(1, 2 * bitmap.SIZE), st.randoms(use_true_random=False), st.data())
def test_in_whatever_order_messages_end_and_however_often_it_restarts_each_counts_once(
    cursor: int, count: int, rng: random.Random, data: st.DataObject
) -> None:
    order = list(range(cursor + 1, cursor + 1 + count))
    rng.shuffle(order)
    progress, done, above = AckTracker("s", cursor), set(range(cursor + 1)), {}
    totals = dict.fromkeys(("delivered", "dropped", "dead"), 0)
    expected = dict(totals)
    while order:
        part = [order.pop() for _ in range(min(len(order), data.draw(st.integers(1, count))))]
        fate = data.draw(FATES)
        expected[fate] += len(part)
        if fate == "delivered":
            progress.record_delivered(part)
        for number in part if fate != "delivered" else ():
            progress.record_dropped(number) if fate == "dropped" else progress.record_dead(letter(number))
        done |= set(part)
        settled = progress.flush()
        assert settled
        totals["delivered"] += settled.delivered
        totals["dropped"] += settled.dropped
        totals["dead"] += len(settled.dead_letters)
        # What the spool does with it.
        above |= {block: bitmap.bits_of(flags) for block, flags in settled.done_bitmaps.items()}
        above = {block: bits for block, bits in above.items() if block >= settled.cursor >> bitmap.SHIFT}
        beyond = {
            number for block, bits in above.items() for number in bitmap.ids_of(bits, block) if number > settled.cursor
        }
        assert beyond | set(range(settled.cursor + 1)) == done
        if data.draw(st.booleans()):
            progress = AckTracker("s", settled.cursor, above)
    assert totals == expected
    assert progress.advance_cursor() == cursor + count


@given(st.integers(0, bitmap.FULL), st.integers(0, 5), st.integers(0, 6 * bitmap.SIZE))
def test_bits_and_flags_say_the_same(bits: int, block: int, cursor: int) -> None:
    assert bitmap.bits_of(bitmap.flags_of(bits)) == bits
    assert bitmap.from_disk(bitmap.to_disk(bits)) == bits
    assert bitmap.ids_of(bitmap.bits_above(bits, block, cursor), block) == [
        number for number in bitmap.ids_of(bits, block) if number > cursor
    ]
    assert bitmap.bits_above(bitmap.bits_upto(block, cursor), block, cursor) == 0
