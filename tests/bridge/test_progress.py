from hypothesis import given
from hypothesis import strategies as st

from bridge.delivery.progress import Progress
from bridge.spool import DeadLetter


def letter(number: int) -> DeadLetter:
    return DeadLetter(
        sink="s", message_id=number, received_ms=0, topic="t", payload=b"", reason="r", attempts=1, dead_ms=0
    )


def test_the_cursor_stops_before_the_first_that_is_missing() -> None:
    progress = Progress("s", 10)
    for number in (11, 12, 13):
        progress.take(number, 5)
    progress.delivered(12)
    assert progress.advance() is None
    assert (len(progress), progress.bytes, progress.position) == (2, 10, 13)
    progress.delivered(11)
    settled = progress.advance()
    assert settled
    assert (settled.cursor, settled.delivered) == (12, 2)
    assert progress.advance() is None


@given(st.lists(st.sampled_from(["delivered", "dropped", "dead"]), max_size=40), st.randoms(use_true_random=False))
def test_in_whatever_order_messages_end_all_are_counted_once(fates: list[str], rng: object) -> None:
    progress = Progress("s", 0)
    order = list(range(1, len(fates) + 1))
    for number in order:
        progress.take(number, 1)
    rng.shuffle(order)  # type: ignore[attr-defined]
    settled = []
    for number in order:
        fate = fates[number - 1]
        if fate == "dead":
            progress.dead(letter(number))
        else:
            getattr(progress, fate)(number)
        done = progress.advance()
        if done:
            settled.append(done)
            assert done.cursor == sum(one.delivered + one.dropped + len(one.dead_letters) for one in settled)
    assert sum(one.delivered for one in settled) == fates.count("delivered")
    assert sum(one.dropped for one in settled) == fates.count("dropped")
    dead = [one.message_id for done in settled for one in done.dead_letters]
    assert dead == [number for number, fate in enumerate(fates, 1) if fate == "dead"]
    assert (len(progress), progress.bytes) == (0, 0)
