"""The comparison itself: whatever is dropped, repeated or reordered is found, exactly."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefleet.verify import Checker, Latency, Outcome, from_rows, verify
from edgefleet.verify.arrivals import CHUNK
from edgefleet.verify.checker import MISSING_SHOWN
from edgefleet.verify.message_index import SLOWEST, MessageIndex
from edgefleet.verify.verdict import RunVerdict
from edgewire.run_record import DeviceRecord, RunRecord, TimeChange

Row = tuple[str, int, int, int, int]
Arrive = Callable[..., Row]


def test_a_run_that_arrived_passes(record: RunRecord, everything: list[Row]) -> None:
    verdict = verify(record, http=from_rows(everything), kafka=from_rows(everything))
    assert verdict.ok
    assert verdict.total_sent == 15
    assert verdict.sent == {"bme280": 5, "gps": 10, "people": 0}
    for sink in verdict.sinks.values():
        assert (sink.total.stored, sink.total.lost, sink.total.missing) == (15, 0, ())
        assert (sink.total.duplicates, sink.total.out_of_order, sink.total.unexpected, sink.total.late) == (0, 0, 0, 0)
        assert sink.total.latency == Latency(20, 20, 20)
        assert {kind: tally.stored for kind, tally in sink.per_kind.items()} == verdict.sent


def test_what_is_missing_is_named(record: RunRecord, everything: list[Row]) -> None:
    kept = [row for row in everything if row[:3] not in {("g-1", 7, 4), ("b-1", 7, 3)}]
    verdict = verify(record, http=from_rows(everything), kafka=from_rows(kept))
    assert not verdict.ok
    assert verdict.sinks["http"].total.lost == 0
    kafka = verdict.sinks["kafka"]
    assert (kafka.total.lost, kafka.total.missing) == (2, ("b-1:7:3", "g-1:7:4"))
    assert kafka.per_kind["gps"].missing == ("g-1:7:4",)


def test_of_many_missing_the_first_are_named(make_record: Callable[..., RunRecord]) -> None:
    record = make_record(DeviceRecord(device_id="g", kind="gps", site="s", boot=1, first_seq=5, last_seq=1004))
    total = verify(record, http=[]).sinks["http"].total
    assert total.lost == 1000
    assert total.missing == tuple(f"g:1:{seq}" for seq in range(5, 5 + MISSING_SHOWN))
    assert total.latency is None


def test_other_runs_are_passed_over(record: RunRecord, everything: list[Row], arrive: Arrive) -> None:
    others = [arrive("g-1", 3, boot=6), arrive("elsewhere", 3), arrive("p-1", 0)]
    total = verify(record, http=from_rows(others + everything)).sinks["http"].total
    assert (total.stored, total.unexpected, total.duplicates) == (15, 0, 0)


def test_other_content_under_an_id_of_the_run_is_no_pass(
    record: RunRecord, everything: list[Row], arrive: Arrive
) -> None:
    checker = Checker(MessageIndex(record))
    for arrivals in from_rows(everything):
        checker.add_arrivals(arrivals)
    of_others = [arrive("g-1", 3, boot=6), arrive("elsewhere", 3), arrive("p-1", 0), arrive("g-1", 10)]
    for conflicts in from_rows(of_others):
        checker.add_conflicts(conflicts)
    assert checker.verdict(5000).untold == ()
    for conflicts in from_rows([arrive("g-1", 3), arrive("b-1", 4)]):
        checker.add_conflicts(conflicts)
    (sentence,) = checker.verdict(5000).untold
    assert sentence.startswith("under 2 ids of this run other content came as well, from 2")
    verdict = RunVerdict(run_id="r", sent={"gps": 15}, sinks={"http": checker.verdict(5000)})
    assert (verdict.outcome, verdict.untold) == (Outcome.INCOMPLETE, [sentence])


def test_other_content_that_came_before_the_run_was_of_another(
    make_record: Callable[..., RunRecord], arrive: Arrive
) -> None:
    record = make_record(DeviceRecord(device_id="g", kind="gps", site="s", boot=7, first_seq=0, last_seq=9))
    checker = Checker(MessageIndex(record), 1000)
    early, now = arrive("g", 1), arrive("g", 2)
    for conflicts in from_rows([(*early[:4], record.started_ms - 60_000), now]):
        checker.add_conflicts(conflicts)
    (sentence,) = checker.verdict(5000).untold
    assert sentence.startswith("under 1 ids of this run")


def test_what_was_not_sent_but_arrived_is_unexpected(record: RunRecord, everything: list[Row], arrive: Arrive) -> None:
    surprising = [arrive("b-1", 8), arrive("b-1", 2), arrive("g-1", 10), arrive("g-1", 10**15 - 1)]
    sink = verify(record, http=from_rows(everything + surprising)).sinks["http"]
    assert sink.total.unexpected == 4
    assert {kind: tally.unexpected for kind, tally in sink.per_kind.items()} == {"bme280": 2, "gps": 2, "people": 0}
    assert sink.total.stored == 15


def test_what_was_dropped_is_not_missed(make_record: Callable[..., RunRecord], arrive: Arrive) -> None:
    device = DeviceRecord(
        device_id="g",
        kind="gps",
        site="s",
        boot=7,
        first_seq=0,
        last_seq=8,
        dropped=[(0, 2), (5, 5)],
        dropped_by_fault=4,
    )
    verdict = verify(make_record(device), http=from_rows(arrive("g", seq) for seq in (3, 4, 6, 7, 8)))
    assert verdict.ok
    assert verdict.total_sent == 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"refused": {"not authorized (0x87)": [(4, 4)], "quota exceeded (0x97)": [(8, 9)]}},
            "http: the broker refused 3: 1 not authorized (0x87), 2 quota exceeded (0x97)",
        ),
        (
            {"unsent": [(4, 4), (8, 9)]},
            "http: 3 never left the devices, or were never confirmed, and did not arrive",
        ),
        (
            {"dropped": [(4, 4), (8, 9)], "dropped_by_fault": 1},
            "http: 2 were given up by devices whose outbox was full",
        ),
    ],
)
def test_what_the_broker_never_had_fails(
    make_record: Callable[..., RunRecord], arrive: Arrive, changes: dict[str, Any], said: str
) -> None:
    device = DeviceRecord(device_id="g", kind="gps", site="s", boot=7, first_seq=0, last_seq=9, **changes)
    verdict = verify(make_record(device), http=from_rows(arrive("g", seq) for seq in (0, 1, 2, 3, 5, 6, 7)))
    assert (verdict.outcome, verdict.failures()) == (Outcome.FAIL, [said])
    assert (verdict.total_sent, verdict.sinks["http"].total.lost) == (7, 0)


def test_what_was_never_confirmed_may_have_arrived(make_record: Callable[..., RunRecord], arrive: Arrive) -> None:
    device = DeviceRecord(
        device_id="g", kind="gps", site="s", boot=7, first_seq=0, last_seq=4, unsent=[(3, 4)], unacknowledged=[(3, 4)]
    )
    checker = Checker(MessageIndex(make_record(device)))
    seen = []
    for seq in range(5):
        for arrivals in from_rows([arrive("g", seq)] * (1 + (seq == 3))):
            checker.add_arrivals(arrivals)
        seen.append((checker.complete, checker.verdict(5000).total.unsent))
    assert seen == [(False, 2), (False, 2), (False, 2), (False, 1), (True, 0)]
    assert checker.verdict(5000).total.unexpected == 3


def test_a_run_that_sent_nothing_proves_nothing(make_record: Callable[..., RunRecord]) -> None:
    record = make_record(DeviceRecord(device_id="g", kind="gps", site="s", boot=1))
    verdict = verify(record, http=[])
    assert not verdict.ok
    assert verdict.to_json()["sent"] == 0


def test_latency_is_measured_from_when_a_message_was_due(make_record: Callable[..., RunRecord]) -> None:
    # At 60 times the speed, what is 30 s into the devices' time is due half a second after the start.
    device = DeviceRecord(device_id="g", kind="gps", site="s", boot=7, first_seq=0, last_seq=1)
    record = make_record(device, time_scale=60)
    rows = [
        ("g", 7, 0, record.sim_started_ms + 30_000, record.started_ms + 500 + 8),
        ("g", 7, 1, record.sim_started_ms + 60_000, record.started_ms + 1000 + 6001),
    ]
    total = verify(record, http=from_rows(rows), late_after_ms=6000).sinks["http"].total
    assert total.latency == Latency(8, 6001, 6001)
    assert total.late == 1


def test_latency_is_measured_by_the_scale_of_each_moment(make_record: Callable[..., RunRecord]) -> None:
    device = DeviceRecord(device_id="g", kind="gps", site="s", boot=7, first_seq=0, last_seq=2)
    record = make_record(device, time_scale=2)
    # After 5 s of the wall's time a minute a second, after 6 s half of it.
    changes = ((10_000, 60.0), (70_000, 0.5))
    record.time_changes = [TimeChange(at_ms=record.sim_started_ms + at, time_scale=scale) for at, scale in changes]
    due = ((4_000, 2_000), (40_000, 5_500), (71_000, 8_000))
    rows = [
        ("g", 7, seq, record.sim_started_ms + at, record.started_ms + wall + 16) for seq, (at, wall) in enumerate(due)
    ]
    total = verify(record, http=from_rows(rows), late_after_ms=100).sinks["http"].total
    assert (total.late, total.latency) == (0, Latency(16, 16, 16))


def test_order_is_kept_within_a_stream_only(record: RunRecord, arrive: Arrive) -> None:
    index = MessageIndex(record)
    checker = Checker(index)
    for stream, seqs in (("a", [0, 4]), ("b", [1, 3]), ("a", [2]), ("b", [5])):
        for arrivals in from_rows([arrive("g-1", seq) for seq in seqs], stream):
            checker.add_arrivals(arrivals)
    assert checker.verdict(5000).total.out_of_order == 1


def test_a_latency_beyond_the_scale_is_cut_not_wrapped(record: RunRecord, arrive: Arrive) -> None:
    record.fixed_boots = False
    rows = [arrive("g-1", 0, latency_ms=10**13), *(arrive("g-1", seq) for seq in (2, 3))]
    total = verify(record, http=from_rows([*rows, arrive("g-1", 1, latency_ms=-(10**13))])).sinks["http"].total
    assert (total.stored, total.late) == (4, 1)
    assert total.latency == Latency(20, SLOWEST, SLOWEST)


def test_many_rows_come_in_chunks() -> None:
    chunks = list(from_rows(("d", 1, seq, 0, 0) for seq in range(CHUNK + 1)))
    assert [len(chunk.seq) for chunk in chunks] == [CHUNK, 1]
    assert chunks[1].seq == (CHUNK,)


@st.composite
def devices(draw: st.DrawFn) -> list[DeviceRecord]:
    """Devices of two kinds and several boots, with ranges dropped or unsent."""
    made = []
    for number in range(draw(st.integers(1, 5))):
        first = draw(st.integers(0, 5))
        length = draw(st.integers(0, 12))
        fates = draw(st.lists(st.sampled_from(["sent", "sent", "dropped", "unsent"]), min_size=length, max_size=length))
        made.append(
            DeviceRecord(
                device_id=f"d-{number // 2}",
                kind=draw(st.sampled_from(["gps", "people"])),
                site="s",
                boot=number % 2,
                first_seq=first if length else None,
                last_seq=first + length - 1 if length else None,
                dropped=[(first + at, first + at) for at, fate in enumerate(fates) if fate == "dropped"],
                unsent=[(first + at, first + at) for at, fate in enumerate(fates) if fate == "unsent"],
            )
        )
    return made


@given(st.data(), devices())
def test_faults_put_in_are_found_exactly(data: st.DataObject, devices: list[DeviceRecord]) -> None:
    record = RunRecord(
        run_id="r", scenario="", seed=0, broker="", started_ms=0, stopped_ms=0, sim_started_ms=0, devices=devices
    )
    sent = {
        (device.device_id, device.boot, seq)
        for device in devices
        if device.first_seq is not None and device.last_seq is not None
        for seq in range(device.first_seq, device.last_seq + 1)
        if not any(first <= seq <= last for first, last in device.dropped + device.unsent)
    }
    any_id = st.tuples(st.sampled_from(["d-0", "d-1", "d-2", "x"]), st.integers(0, 1), st.integers(0, 20))
    ids = st.one_of([st.sampled_from(sorted(sent))] * bool(sent) + [any_id])
    arrived = data.draw(st.lists(st.tuples(ids, st.integers(-50, 200)), max_size=60))
    rows = [(*message_id, 0, latency) for message_id, latency in arrived]
    chunk_ends = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))

    index = MessageIndex(record)
    checker = Checker(index)
    for start, end in pairwise([0, *chunk_ends, len(rows)]):
        for arrivals in from_rows(rows[start:end]):
            checker.add_arrivals(arrivals)
    total = checker.verdict(late_after_ms=100).total

    first_latency: dict[tuple[str, int, int], int] = {}
    highest: dict[tuple[str, int], int] = {}
    duplicates = out_of_order = unexpected = 0
    ours = {(device.device_id, device.boot) for device in devices if device.emitted}
    for message_id, latency in arrived:
        boot, seq = message_id[:2], message_id[2]
        if message_id not in sent:
            unexpected += boot in ours
        elif message_id in first_latency:
            duplicates += 1
        else:
            first_latency[message_id] = latency
            out_of_order += seq < highest.get(boot, -1)
            highest[boot] = max(seq, highest.get(boot, -1))
    assert total.sent == len(sent)
    assert total.stored == checker.stored == len(first_latency)
    assert (total.duplicates, total.out_of_order, total.unexpected) == (duplicates, out_of_order, unexpected)
    assert checker.complete == (len(first_latency) == len(sent))
    assert len(total.missing) == min(MISSING_SHOWN, len(sent) - len(first_latency))
    named = {(device, int(boot), int(seq)) for device, boot, seq in (text.split(":") for text in total.missing)}
    assert named <= sent - first_latency.keys()
    if first_latency:
        expected = np.percentile(list(first_latency.values()), (50, 95, 99), method="inverted_cdf").tolist()
        assert total.latency == (Latency(*expected) if expected[0] >= 0 else None)
        late = sum(latency > 100 for latency in first_latency.values())
        assert total.late == (late if expected[0] >= 0 else None)


def test_the_json_has_the_promised_shape(record: RunRecord, everything: list[Row]) -> None:
    kept = everything[1:] + everything[-1:]
    found = verify(record, http=from_rows(kept), kafka=from_rows(everything)).to_json()
    assert (found["ok"], found["sent"], found["duplicates"], found["out_of_order"], found["late"]) == (
        False,
        15,
        1,
        0,
        0,
    )
    assert found["latency_ms"] == found["http"]["latency_ms"] == {"p50": 20, "p95": 20, "p99": 20}
    assert (found["http"]["stored"], found["http"]["lost"], found["http"]["missing"]) == (14, 1, ["g-1:7:0"])
    assert (found["kafka"]["stored"], found["kafka"]["lost"], found["kafka"]["missing"]) == (15, 0, [])
    assert found["per_kind"]["gps"]["sent"] == 10
    assert found["per_kind"]["gps"]["http"]["lost"] == 1
    assert verify(record, kafka=from_rows(everything)).to_json().keys() == found.keys() - {"http"}


def test_one_sink_alone(record: RunRecord, everything: list[Row]) -> None:
    for name, verdict in (
        ("http", verify(record, http=from_rows(everything))),
        ("kafka", verify(record, kafka=from_rows(everything))),
    ):
        assert verdict.ok
        assert verdict.sinks.keys() == {name}
