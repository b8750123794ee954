"""Gaps in the numbers of devices: what is missing, what is only late, and how much is remembered."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.loss_detection.sequence_gaps import _DEVICES, _RANGES, GapDetector
from tests.bridge.fakes import payload

TOPIC = "edge/site/bme280/a/telemetry"


def seen(*seqs: int, boot: int = 1, sequences: GapDetector | None = None, now: float = 0.0) -> GapDetector:
    sequences = sequences or GapDetector(10)
    for seq in seqs:
        sequences.see(TOPIC, payload("a", seq).replace(b'"boot":1', b'"boot":%d' % boot), now)
    return sequences


def test_numbers_that_follow_each_other_are_no_news() -> None:
    assert seen(5, 6, 7, 8).report(1000) is None


def test_a_gap_is_missing_after_the_grace() -> None:
    sequences = seen(1, 2, 5, 9)
    assert sequences.report(9.9) is None
    report = sequences.report(10)
    assert report is not None
    assert (report.missing, report.devices, report.example) == (5, 1, "a boot 1 seq 3-4")
    assert sequences.report(1000) is None


def test_what_is_late_or_comes_twice_is_no_gap() -> None:
    assert seen(1, 2, 5, 4, 4, 3, 2, 5, 1).report(1000) is None


def test_a_missing_message_that_comes_after_all_is_found() -> None:
    sequences = seen(1, 5)
    first = sequences.report(10)
    assert first is not None
    assert first.missing == 3
    seen(3, sequences=sequences)
    second = sequences.report(10)
    assert second is not None
    assert (second.missing, second.found) == (0, 1)
    seen(3, 2, 4, sequences=sequences)
    third = sequences.report(10)
    assert third is not None
    assert third.found == 2


def test_a_gap_that_is_filled_in_its_middle_leaves_two() -> None:
    sequences = seen(1, 10)
    seen(5, sequences=sequences)
    report = sequences.report(10)
    assert report is not None
    assert report.missing == 7


def test_a_new_boot_begins_where_it_is_first_seen_and_an_old_one_is_late() -> None:
    sequences = seen(1, 2)
    seen(7, 8, boot=2, sequences=sequences)
    seen(3, 9, sequences=sequences)
    assert sequences.report(1000) is None


def test_a_device_counts_over_all_its_topics_and_devices_apart() -> None:
    sequences = GapDetector(10)
    for seq in range(1, 9):
        channel = "event" if seq % 3 == 0 else "telemetry"
        sequences.see(f"edge/site/people/a/{channel}", payload("a", seq), 0)
        sequences.see(f"edge/other/people/a/{channel}", payload("a", seq * 2), 0)
    report = sequences.report(10)
    assert report is not None
    assert (report.missing, report.devices) == (7, 1)


def test_what_does_not_follow_the_contract_is_not_counted() -> None:
    sequences = GapDetector(10)
    for body in (b"", b"\xff", b'{"seq":1}', b'{"boot":"x","seq":4}', b'{"boot":1,"seq":12345678901234567890}'):
        sequences.see("any", body, 0)
    assert sequences.report(1000) is None
    sequences.see("x", b'{"boot": 1, "seq": 4, "a": 1}', 0)
    sequences.see("x", b'{"a": 1, "boot": 1, "seq": 6}', 0)
    report = sequences.report(1000)
    assert report is not None
    assert report.missing == 1


def test_memory_is_bounded() -> None:
    sequences = GapDetector(10)
    for number in range(_DEVICES + 10):
        sequences.see(f"edge/s/k/{number}/telemetry", b'{"boot":1,"seq":1}', 0)
    assert len(sequences._devices) <= _DEVICES
    sequences = seen(*range(1, 10 * _RANGES, 2))
    assert all(len(device.gaps or ()) <= _RANGES for device in sequences._devices.values())


@given(st.permutations(range(40)), st.sets(st.integers(1, 38)))
def test_exactly_what_never_came_is_missing(order: list[int], lost: set[int]) -> None:
    """In any order, beginning with the lowest number; the highest comes too."""
    sequences = seen(0, *(seq for seq in order if seq not in lost), 39)
    report = sequences.report(1000)
    assert (report.missing if report else 0) == len(lost)
