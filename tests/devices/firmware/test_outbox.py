"""The outbox keeps order, keeps its limits, and accounts for every reading that it does not keep."""

from hypothesis import given
from hypothesis import strategies as st

from devices.firmware.outbox import Outbox, OutboxConfig, Reading, SeqRanges


def reading(seq: int, size: int = 100) -> Reading:
    return Reading(seq, b"edge/site/bme280/d1/telemetry", b"x" * size, 1)


def expand(ranges: SeqRanges) -> list[int]:
    return [seq for first, last in ranges.as_list() for seq in range(first, last + 1)]


@given(
    sizes=st.lists(st.integers(1, 600), max_size=60),
    takes=st.lists(st.integers(0, 3), max_size=60),
    max_messages=st.integers(1, 10),
    policy=st.sampled_from(["drop-oldest", "drop-newest"]),
)
def test_every_reading_is_taken_waiting_or_dropped(
    sizes: list[int], takes: list[int], max_messages: int, policy: str
) -> None:
    outbox = Outbox(OutboxConfig(max_messages=max_messages, max_bytes=1024, when_full=policy))  # type: ignore[arg-type]
    taken: list[int] = []
    for seq, size in enumerate(sizes):
        outbox.push(reading(seq, size))
        assert len(outbox) <= max_messages
        assert outbox.size_bytes <= 1024
        wanted = takes[seq] if seq < len(takes) else 0
        taken += [outbox.pop().seq for _ in range(min(wanted, len(outbox)))]
    waiting = expand(outbox.seqs())
    assert taken == sorted(taken)
    assert sorted(taken + waiting + expand(outbox.dropped)) == list(range(len(sizes)))


def test_drop_oldest_keeps_the_newest() -> None:
    outbox = Outbox(OutboxConfig(max_messages=2))
    for seq in range(5):
        outbox.push(reading(seq))
    assert [outbox.pop().seq, outbox.pop().seq] == [3, 4]
    assert outbox.dropped.as_list() == [(0, 2)]


def test_drop_newest_keeps_the_oldest() -> None:
    outbox = Outbox(OutboxConfig(max_messages=2, when_full="drop-newest"))
    for seq in range(5):
        outbox.push(reading(seq))
    assert [outbox.pop().seq, outbox.pop().seq] == [0, 1]
    assert outbox.dropped.as_list() == [(2, 4)]


def test_a_reading_larger_than_the_outbox_is_dropped_and_named() -> None:
    outbox = Outbox(OutboxConfig(max_bytes=1024))
    outbox.push(reading(7, size=2000))
    assert len(outbox) == 0
    assert outbox.dropped.as_list() == [(7, 7)]
