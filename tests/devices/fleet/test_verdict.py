"""Whatever is missing from a run is said in a sentence with its reason, and fails it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.fleet.bottleneck import diagnose, verdict_text
from devices.fleet.incidents import IncidentRecorder
from devices.fleet.latency import Histogram
from devices.fleet.metrics import FleetSnapshot
from devices.fleet.verdict import find_notes, find_problems
from edgewire.link import NO_OPEN_FILE

NOT_AUTHORIZED = "not authorized (0x87)"


def ended(recorder: IncidentRecorder | None = None, **counts: Any) -> FleetSnapshot:
    """A fleet of 20 whose books balance."""
    values: dict[str, Any] = {"devices": 20, "connected": 20, "emitted": 120, "acknowledged": 120} | counts
    if recorder:
        values["incidents"] = recorder.incidents
    return FleetSnapshot(elapsed_s=6, **values)


def refusing(reason: str = NOT_AUTHORIZED, count: int = 60) -> IncidentRecorder:
    recorder = IncidentRecorder()
    recorder.record_refused("gps", reason, count)
    return recorder


def subscribing() -> IncidentRecorder:
    recorder = IncidentRecorder()
    for name in ("a", "b", "a", "c", "d"):
        recorder.record_subscribe_refused(name, NOT_AUTHORIZED)
    return recorder


def taking_over() -> IncidentRecorder:
    recorder = IncidentRecorder()
    for _ in range(400):
        recorder.record_takeover("bme280-0001")
        recorder.record_takeover("bme280-0002")
    return recorder


def turning_away() -> IncidentRecorder:
    recorder = IncidentRecorder()
    for _ in range(7):
        recorder.record_connect_refused("quota exceeded (0x97)")
    return recorder


def controls() -> IncidentRecorder:
    recorder = IncidentRecorder()
    recorder.record_control_refused("packet too large (0x95)")
    return recorder


@pytest.mark.parametrize(
    ("run", "sentences"),
    [
        (ended(), []),
        (
            ended(refusing(), acknowledged=60),
            ["The broker refused 60 messages: not authorized (0x87), of gps"],
        ),
        (
            ended(acknowledged=0, unsent=120, connected=0, unconnected=20),
            [
                "The broker took none of 120 messages, as far as it says",
                "20 of 20 devices never connected",
                "120 messages were still in the outboxes at the end",
            ],
        ),
        (
            ended(turning_away(), connected=13, unconnected=7),
            ["7 of 20 devices never connected: quota exceeded (0x97)"],
        ),
        (ended(acknowledged=78, unsent=42), ["42 messages were still in the outboxes at the end"]),
        (
            ended(acknowledged=119, unacknowledged=1),
            ["1 message was sent and never acknowledged: it may have arrived or not"],
        ),
        (ended(acknowledged=110, dropped=12, dropped_by_fault=2), ["10 messages were dropped by full outboxes"]),
        (
            ended(taking_over()),
            [
                "Another client uses the ids bme280-0001, bme280-0002 (another run? the real sensors?): 2 devices "
                "thrown out 800 times"
            ],
        ),
        (
            ended(subscribing()),
            ["4 devices take no commands, as the broker refused the subscription: not authorized (0x87) (a, b, c, …)"],
        ),
        (ended(controls()), ["The broker refused 1 status or result: packet too large (0x95)"]),
        (
            ended(unaccounted=3),
            ["The books do not balance by 3 messages: a mistake of edgefleet's, please report it"],
        ),
    ],
)
def test_what_is_missing_is_told_and_never_nothing(run: FleetSnapshot, sentences: list[str]) -> None:
    assert [finding.sentence for finding in find_problems(run, is_over=True)] == sentences
    limit = diagnose(run)
    assert ("Nothing was the limit" in limit.summary) == (not sentences)
    text = verdict_text(run, limit)
    assert all(f"{sentence}." in text for sentence in sentences)


def test_several_reasons_have_their_counts_and_their_kinds() -> None:
    recorder = refusing()
    recorder.record_refused("bme280", NOT_AUTHORIZED, 10)
    recorder.record_refused("bme280", "packet too large (0x95)", 3)
    (finding,) = find_problems(ended(recorder, acknowledged=47), is_over=True)
    assert finding.sentence == (
        "The broker refused 73 messages: not authorized (0x87), of bme280 and gps (70); packet too large (0x95), of "
        "bme280 (3)"
    )


def test_what_the_scenario_ordered_is_a_note_and_no_problem() -> None:
    run = ended(acknowledged=108, dropped=9, dropped_by_fault=9, unacknowledged=3, unacknowledged_by_fault=3)
    assert find_problems(run, is_over=True) == []
    assert [finding.sentence for finding in find_notes(run)] == [
        "Faults and resets of the scenario cost 9 messages, and left 3 in doubt"
    ]


def test_a_run_that_goes_on_may_still_deliver() -> None:
    run = ended(refusing(), acknowledged=0, inflight=30, buffered=30, unconnected=20, connected=0)
    assert [finding.name for finding in find_problems(run, is_over=False)] == ["refused"]


def test_open_files_are_named_and_not_the_broker() -> None:
    recorder = IncidentRecorder()
    for _ in range(31):
        recorder.record_connect_failed(NO_OPEN_FILE)
    slow = Histogram()
    slow.add([5000.0] * 200)
    limit = diagnose(ended(recorder, connected=90, unconnected=10, devices=100, slowed_s=16, puback=slow))
    assert limit.component == "generator"
    assert limit.summary.startswith("Too many open files here: 31 dials failed")


def test_a_quota_of_the_container_is_named_instead_of_more_workers() -> None:
    late = Histogram()
    late.add([300.0] * 200)
    limit = diagnose(ended(lag=late, cpu_s=1.5, cpu_periods=60, cpu_throttled_periods=50))
    assert limit.component == "generator"
    assert "CPU quota of its container was used up in 50 of 60 periods" in limit.summary
    assert "use more workers" not in limit.summary


def test_few_values_are_no_percentile() -> None:
    few = Histogram()
    few.add([*[1.0] * 24, 1000.0])
    limit = diagnose(ended(puback=few))
    assert limit.component == "none"
    assert "the 25 timed ones were acknowledged within 1.0 s, too few for a percentile" in limit.summary


def test_a_broker_that_is_gone_at_the_end_ranks_above_a_percentile() -> None:
    slow = Histogram()
    slow.add([5000.0] * 200)
    limit = diagnose(ended(puback=slow, connected=2, failed_dials=18))
    assert limit.component == "network"
    assert "18 devices not connected at the end" in limit.summary


@pytest.mark.parametrize(("milliseconds", "is_named"), [(41.0, True), (44.0, True), (20.0, False), (80.0, False)])
def test_an_acknowledgement_that_tcp_puts_off_names_the_setting(milliseconds: float, is_named: bool) -> None:
    waited = Histogram()
    waited.add([*[1.0] * 20, *[milliseconds] * 5])
    assert ("set_tcp_nodelay true" in diagnose(ended(puback=waited)).summary) == is_named


FATES = ("acknowledged", "dropped_by_fault", "sent_qos0", "dropped", "unsent", "unacknowledged", "refused")


@given(
    fates=st.lists(st.sampled_from(FATES), min_size=1, max_size=40),
    connected=st.integers(0, 5),
    unconnected=st.integers(0, 5),
    reconnects=st.integers(0, 9),
    slowed_s=st.sampled_from([0.0, 5.0]),
)
def test_nothing_was_the_limit_only_where_all_left(
    fates: list[str], connected: int, unconnected: int, reconnects: int, slowed_s: float
) -> None:
    counts: dict[str, Any] = {name: fates.count(name) for name in FATES if name != "refused"}
    counts["dropped"] += counts["dropped_by_fault"]
    recorder = IncidentRecorder()
    if "refused" in fates:
        recorder.record_refused("gps", NOT_AUTHORIZED, fates.count("refused"))
    run = FleetSnapshot(
        devices=5, connected=min(connected, 5 - unconnected), unconnected=unconnected, emitted=len(fates),
        reconnects=reconnects, slowed_s=slowed_s, incidents=recorder.incidents, **counts,
    )  # fmt: skip
    problems = find_problems(run, is_over=True)
    assert bool(problems) == bool(run.lost > run.dropped_by_fault or unconnected or not run.delivered)
    assert run.lost == len(fates) - run.delivered
    if problems or run.lost:
        assert "Nothing was the limit" not in verdict_text(run, diagnose(run))
