"""Gaps in the numbers of devices: what is missing, what is only late, and how much is remembered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.loss_detection.sequence_gaps import MAX_DEVICES, MAX_GAPS, MAX_NAMED, GapDetector
from tests.bridge.fakes import payload

TOPIC = "edge/site/bme280/a/telemetry"


def seen(*seqs: int, boot: int = 1, detector: GapDetector | None = None, now: float = 0.0) -> GapDetector:
    detector = detector or GapDetector(10)
    for seq in seqs:
        detector.observe(TOPIC, payload("a", seq).replace(b'"boot":1', b'"boot":%d' % boot), now)
    return detector


def test_numbers_that_follow_each_other_are_no_news() -> None:
    assert seen(5, 6, 7, 8).take_report(1000) is None


def test_a_gap_is_missing_after_the_grace() -> None:
    detector = seen(1, 2, 5, 9)
    assert detector.take_report(9.9) is None
    report = detector.take_report(10)
    assert report is not None
    assert (report.missing, report.devices) == (5, 1)
    assert report.gaps == ["a boot 1 seq 3-4", "a boot 1 seq 6-8"]
    assert detector.take_report(1000) is None


def test_what_is_late_or_comes_twice_is_no_gap() -> None:
    assert seen(1, 2, 5, 4, 4, 3, 2, 5, 1).take_report(1000) is None


def test_a_missing_message_that_comes_after_all_is_found() -> None:
    detector = seen(1, 5)
    first = detector.take_report(10)
    assert first is not None
    assert first.missing == 3
    seen(3, detector=detector)
    second = detector.take_report(10)
    assert second is not None
    assert (second.missing, second.found) == (0, 1)
    seen(3, 2, 4, detector=detector)
    third = detector.take_report(10)
    assert third is not None
    assert third.found == 2


def test_a_gap_that_is_filled_in_its_middle_leaves_two() -> None:
    detector = seen(1, 10)
    seen(5, detector=detector)
    report = detector.take_report(10)
    assert report is not None
    assert report.missing == 7


def test_a_new_boot_begins_where_it_is_first_seen_and_an_old_one_is_late() -> None:
    detector = seen(1, 2)
    seen(7, 8, boot=2, detector=detector)
    seen(3, 9, detector=detector)
    assert detector.take_report(1000) is None


def test_a_device_counts_over_all_its_topics_and_devices_apart() -> None:
    detector = GapDetector(10)
    for seq in range(1, 9):
        channel = "event" if seq % 3 == 0 else "telemetry"
        detector.observe(f"edge/site/people/a/{channel}", payload("a", seq), 0)
        detector.observe(f"edge/other/people/a/{channel}", payload("a", seq * 2), 0)
    report = detector.take_report(10)
    assert report is not None
    assert (report.missing, report.devices) == (7, 1)


def test_what_does_not_follow_the_contract_is_not_counted() -> None:
    detector = GapDetector(10)
    for body in (b"", b"\xff", b'{"seq":1}', b'{"boot":"x","seq":4}', b'{"boot":1,"seq":12345678901234567890}'):
        detector.observe("any", body, 0)
    assert detector.take_report(1000) is None
    detector.observe("x", b'{"boot": 1, "seq": 4, "a": 1}', 0)
    detector.observe("x", b'{"a": 1, "boot": 1, "seq": 6}', 0)
    report = detector.take_report(1000)
    assert report is not None
    assert report.missing == 1


@pytest.mark.slow
def test_memory_is_bounded() -> None:
    detector = GapDetector(10)
    for number in range(MAX_DEVICES + 10):
        detector.observe(f"edge/s/k/{number}/telemetry", b'{"boot":1,"seq":1}', 0)
    assert detector.devices <= MAX_DEVICES
    detector = seen(*range(1, 10 * MAX_GAPS, 2))
    assert detector.most_gaps <= MAX_GAPS


def test_what_a_boot_lost_is_missing_although_the_device_has_booted_since() -> None:
    detector = seen(1, 4, 9)
    seen(0, 1, boot=2, detector=detector)
    seen(3, detector=detector)  # late, and of the boot before
    report = detector.take_report(10)
    assert report is not None
    assert (report.missing, report.gaps) == (5, ["a boot 1 seq 2-2", "a boot 1 seq 5-8"])


def test_more_gaps_than_a_device_is_watched_for_are_all_missing_and_some_are_named() -> None:
    gaps = MAX_GAPS + MAX_NAMED
    report = seen(*range(0, 2 * gaps + 1, 2)).take_report(10)
    assert report is not None
    assert (report.missing, len(report.gaps), report.unnamed) == (gaps, MAX_NAMED, MAX_GAPS)


@given(st.permutations(range(40)), st.sets(st.integers(1, 38)))
def test_exactly_what_never_came_is_missing(order: list[int], lost: set[int]) -> None:
    """In any order, beginning with the lowest number; the highest comes too."""
    detector = seen(0, *(seq for seq in order if seq not in lost), 39)
    report = detector.take_report(1000)
    assert (report.missing if report else 0) == len(lost)
