"""Readings that leave together: which ones, and that each is accounted for whatever becomes of the message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.firmware.batches import BatchRule, ReadingBatches
from devices.firmware.config import Build, OutboxConfig
from devices.firmware.firmware import Firmware
from devices.firmware.outbox import Reading, ReadingsToken

BOOT = 7
FOUR = BatchRule(4, 1)


def firmware(**outbox: object) -> Firmware:
    return Firmware("d-1", 4711, BOOT, 0, Build(outbox=OutboxConfig.model_validate(outbox)))


def reading(seq: int, address: int = 0) -> Reading:
    return Reading(seq, b"d", b"[\x1e%d\x1e]" % seq, 1, BOOT, address)


def collected(device: Firmware, count: int) -> list[Reading]:
    return [one for seq in range(count) if (one := device.collect_reading(reading(seq), FOUR)) is not None]


@given(size=st.integers(1, 9), parts=st.integers(1, 3), begin=st.integers(0, 40), count=st.integers(0, 60))
def test_what_is_together_does_not_depend_on_when_one_begins_to_look(
    size: int, parts: int, begin: int, count: int
) -> None:
    rule = BatchRule(size, parts)

    def messages(first: int) -> list[tuple[int, ...]]:
        batches = ReadingBatches()
        seqs = range(first, begin + count)
        made = (batches.add_reading(reading(seq, seq % parts), rule) for seq in seqs)
        full = [one.seqs for one in made if one is not None]
        left = [one.seqs for one in batches.close_batches()]
        assert sorted(seq for message in full + left for seq in message) == list(seqs)
        return full + left

    whole, part = messages(0), messages(begin)
    for message in whole:
        assert len({rule.first_of(seq) for seq in message}) == 1
        assert message == tuple(range(message[0], message[-1] + 1, parts))
        assert tuple(seq for seq in message if seq >= begin) in [*part, ()]


def test_a_message_has_its_readings_in_order_and_what_is_outside_of_the_newest() -> None:
    batches = ReadingBatches()
    rule, made = BatchRule(3, 1, 40), None
    for seq in range(3):
        made = batches.add_reading(
            Reading(seq, b"d", b'{"n":%d,"r":[\x1e{"t":%d}\x1e]}' % (seq, seq), 1, BOOT, 0), rule
        )
    assert made is not None
    assert made.payload == b'{"n":2,"r":[{"t":0},{"t":1},{"t":2}]}'.ljust(40)
    assert (made.seq, made.seqs, len(batches)) == (2, (0, 1, 2), 0)


def test_one_that_a_fault_has_lost_makes_the_message_shorter() -> None:
    device = firmware()
    for seq in (0, 1):
        device.collect_reading(reading(seq), FOUR)
    device.on_lost_reading(2)
    device.collect_reading(reading(3), FOUR)
    assert collected(firmware(), 3) == []
    assert device.emitted == 4
    assert device.counters.dropped.as_list() == [(2, 2)]


@pytest.mark.parametrize(("storage", "dropped"), [("ram", [(0, 5)]), ("flash", [])])
def test_a_reset_takes_what_waits_from_ram_and_leaves_it_in_flash(storage: str, dropped: list[tuple[int, int]]) -> None:
    device = firmware(storage=storage)
    for message in collected(device, 6):
        assert not device.on_message(message, 0)
    assert (device.outbox.readings, device.collecting, len(device.outbox)) == (4, 2, 1)
    assert device.waiting_seqs(BOOT).as_list() == [(0, 5)]
    before = device.counters
    device.on_reset(8, 1000, "power_on")
    assert before.dropped.as_list() == dropped
    assert before.dropped_by_fault == sum(last - first + 1 for first, last in dropped)
    assert (device.outbox.readings, device.collecting) == (6 - before.dropped_by_fault, 0)
    assert [one.seqs for one in device.pop_publishable(9, 0.0)] == ([] if dropped else [(0, 1, 2, 3), (4, 5)])


def test_each_reading_of_a_message_is_counted_with_it() -> None:
    device = firmware(max_messages=1)
    for message in collected(device, 12):
        device.on_message(message, 0)
    # The outbox takes one message: two made room for it.
    assert device.counters.dropped.as_list() == [(0, 7)]
    device.on_refused((8, 9, 10, 11), BOOT, "too large")
    assert {reason: seqs.as_list() for reason, seqs in device.counters.refused.items()} == {"too large": [(8, 11)]}
    device.on_uncertain([ReadingsToken(BOOT, (12, 13))])
    assert device.counters.uncertain.as_list() == [(12, 13)]
    assert (device.emitted, device.outbox.readings) == (12, 4)
    device.outbox.clear()
    assert device.outbox.readings == 0
