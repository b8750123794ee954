import random

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.delivery.ack_tracker import AckTracker
from bridge.spool import bitmap as blocks
from bridge.spool.message import DeadLetter


def letter(number: int) -> DeadLetter:
    return DeadLetter(
        sink="s", message_id=number, received_ms=0, topic="t", payload=b"", reason="r", attempts=1, dead_ms=0
    )


def test_the_cursor_stops_before_the_first_that_is_missing_and_what_is_beyond_is_settled() -> None:
    progress = AckTracker("s", 10)
    progress.position = 13
    assert progress.advance() is None
    progress.delivered([12])
    settled = progress.advance()
    assert settled
    assert (settled.cursor, settled.delivered) == (10, 1)
    assert blocks.ids(blocks.bits_of(settled.above[0]), 0) == [12]
    assert [progress.is_done(number) for number in (10, 11, 12, 13)] == [True, False, True, False]
    progress.delivered([11])
    settled = progress.advance()
    assert settled
    assert (settled.cursor, settled.delivered, settled.above) == (12, 1, {})
    assert progress.advance() is None


def test_a_replayed_dead_letter_does_not_move_the_cursor() -> None:
    progress = AckTracker("s", 10)
    progress.replay([4])
    assert progress.replaying == {4}
    progress.delivered([4])
    settled = progress.advance()
    assert settled
    assert (settled.cursor, settled.delivered, settled.replayed, settled.above) == (10, 1, (4,), {})
    progress.replay([4])
    progress.dead(letter(4))
    settled = progress.advance()
    assert settled
    assert (settled.cursor, settled.replayed) == (10, ())
    assert not progress.replaying


FATES = st.sampled_from(["delivered", "dropped", "dead"])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3 * blocks.SIZE), st.integers(1, 2 * blocks.SIZE), st.randoms(use_true_random=False), st.data())
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
            progress.delivered(part)
        for number in part if fate != "delivered" else ():
            progress.dropped(number) if fate == "dropped" else progress.dead(letter(number))
        done |= set(part)
        settled = progress.advance()
        assert settled
        totals["delivered"] += settled.delivered
        totals["dropped"] += settled.dropped
        totals["dead"] += len(settled.dead_letters)
        # What the spool does with it.
        above |= {block: blocks.bits_of(flags) for block, flags in settled.above.items()}
        above = {block: bits for block, bits in above.items() if block >= settled.cursor >> blocks.SHIFT}
        beyond = {
            number for block, bits in above.items() for number in blocks.ids(bits, block) if number > settled.cursor
        }
        assert beyond | set(range(settled.cursor + 1)) == done
        if data.draw(st.booleans()):
            progress = AckTracker("s", settled.cursor, above)
    assert totals == expected
    assert progress._follow() == cursor + count


@given(st.integers(0, blocks.FULL), st.integers(0, 5), st.integers(0, 6 * blocks.SIZE))
def test_bits_and_flags_say_the_same(bits: int, block: int, cursor: int) -> None:
    assert blocks.bits_of(blocks.flags_of(bits)) == bits
    assert blocks.from_disk(blocks.to_disk(bits)) == bits
    assert blocks.ids(blocks.above(bits, block, cursor), block) == [
        number for number in blocks.ids(bits, block) if number > cursor
    ]
    assert blocks.above(blocks.upto(block, cursor), block, cursor) == 0
