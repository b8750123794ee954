"""The outbox keeps order, keeps its limits, and accounts for every reading that it does not keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.firmware.config import OutboxConfig
from devices.firmware.outbox import FlushLimit, Outbox, Reading, SeqRanges


def reading(seq: int, size: int = 100) -> Reading:
    return Reading(seq, b"edge/site/bme280/d1/telemetry", b"x" * size, 1, 1)


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
    dropped: list[int] = []
    for seq, size in enumerate(sizes):
        dropped += [gone.seq for gone in outbox.push(reading(seq, size))]
        assert len(outbox) <= max_messages
        assert outbox.size_bytes <= 1024
        wanted = takes[seq] if seq < len(takes) else 0
        taken += [outbox.pop().seq for _ in range(min(wanted, len(outbox)))]
    waiting = expand(outbox.seqs(boot=1))
    assert taken == sorted(taken)
    assert sorted(taken + waiting + dropped) == list(range(len(sizes)))


def pushed(outbox: Outbox, count: int) -> list[int]:
    """The seqs dropped while so many readings are pushed."""
    return [gone.seq for seq in range(count) for gone in outbox.push(reading(seq))]


def test_drop_oldest_keeps_the_newest() -> None:
    outbox = Outbox(OutboxConfig(max_messages=2))
    assert pushed(outbox, 5) == [0, 1, 2]
    assert [outbox.pop().seq, outbox.pop().seq] == [3, 4]


def test_drop_newest_keeps_the_oldest() -> None:
    outbox = Outbox(OutboxConfig(max_messages=2, when_full="drop-newest"))
    assert pushed(outbox, 5) == [2, 3, 4]
    assert [outbox.pop().seq, outbox.pop().seq] == [0, 1]


def test_a_reading_larger_than_the_outbox_is_dropped_and_named() -> None:
    outbox = Outbox(OutboxConfig(max_bytes=1024))
    assert [gone.seq for gone in outbox.push(reading(7, size=2000))] == [7]
    assert len(outbox) == 0


def test_an_empty_outbox_has_nothing_to_take() -> None:
    outbox = Outbox(OutboxConfig())
    for take in (outbox.peek, outbox.pop):
        with pytest.raises(IndexError):
            take()
    outbox.push(reading(0))
    outbox.pop()
    with pytest.raises(IndexError):
        outbox.pop()


@given(steps=st.lists(st.tuples(st.floats(0, 5), st.integers(0, 50)), max_size=60), rate=st.floats(0.2, 50))
def test_a_flush_never_exceeds_its_rate(steps: list[tuple[float, int]], rate: float) -> None:
    now = 0.0
    limit = FlushLimit(rate, now)
    left: list[tuple[float, int]] = []
    for pause, wanted in steps:
        now += pause
        allowed = limit.allow(wanted, now)
        assert 0 <= allowed <= wanted
        left.append((now, allowed))
    # In any stretch of time: the rate, and what may have been saved up before.
    for first in range(len(left)):
        sent = 0
        for moment, count in left[first:]:
            sent += count
            assert sent <= max(1.0, rate) + rate * (moment - left[first][0]) + 1e-6
