"""What the records do not account for: named, and never a PASS."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from edgefleet.verify import Outcome, RunVerdict, from_rows, verify
from edgefleet.verify.gaps import IDS_SHOWN, SHARDS_SHOWN, find_gaps
from edgewire.errors import ConfigError
from edgewire.run_record import DeviceRecord, RunRecord, UnaccountedPart

Row = tuple[str, int, int, int, int]
DEAD = "worker 1 died of SIGKILL, its devices are unaccounted for"


def dead_worker(*device_ids: str) -> UnaccountedPart:
    return UnaccountedPart(name="worker 1", shard=(1, 2), reason=DEAD, device_ids=list(device_ids))


@pytest.fixture
def judged(record: RunRecord, everything: list[Row]) -> Callable[[], RunVerdict]:
    return lambda: verify(record, http=from_rows(everything))


def assert_incomplete(verdict: RunVerdict, sentences: Iterable[str]) -> None:
    assert (verdict.outcome, verdict.ok, verdict.failures()) == (Outcome.INCOMPLETE, False, [])
    assert list(verdict.gaps) == list(sentences)
    assert verdict.to_json()["verdict"] == "INCOMPLETE"


def test_a_worker_that_died_is_named_with_its_devices(record: RunRecord, judged: Callable[[], RunVerdict]) -> None:
    record.failures = [DEAD]
    record.unaccounted = [dead_worker(*(f"t-{number}" for number in range(IDS_SHOWN + 1)))]
    assert_incomplete(judged(), [f"worker 1 (shard 1/2, 6 devices: t-0, t-1, t-2, t-3, t-4, …): {DEAD}"])


def test_a_failure_alone_is_enough(record: RunRecord, judged: Callable[[], RunVerdict]) -> None:
    record.failures = [DEAD]
    assert_incomplete(judged(), [DEAD])


def test_a_shard_whose_record_is_missing_is_named(record: RunRecord, judged: Callable[[], RunVerdict]) -> None:
    record.shards, record.scenario_devices = [(0, 2)], 6
    assert_incomplete(
        judged(), ["shard 1/2 with its 3 devices is not accounted for: give the folder of its record too"]
    )
    record.scenario_devices = None
    assert find_gaps(record) == ["shard 1/2 is not accounted for: give the folder of its record too"]


def test_of_many_shards_that_are_missing_some_are_named(record: RunRecord) -> None:
    record.shards = [(0, 100)]
    found = find_gaps(record)
    assert [one.split()[1] for one in found[:-1]] == [f"{number}/100" for number in range(1, SHARDS_SHOWN + 1)]
    assert found[-1] == f"{99 - SHARDS_SHOWN} more shards of 100 are not accounted for either"


def test_more_messages_than_can_be_compared_are_refused(record: RunRecord, everything: list[Row]) -> None:
    record.devices[0].last_seq = 1 << 52
    with pytest.raises(ConfigError, match=r"the record tells of 4,503,[0-9,]+ messages; 100,000,000,000"):
        verify(record, http=from_rows(everything))


def test_with_all_shards_nothing_is_missing(record: RunRecord, everything: list[Row]) -> None:
    record.scenario_devices = 3
    shards = [replace(record, shards=[(index, 3)], devices=[one]) for index, one in enumerate(record.devices)]
    assert verify(RunRecord.join(shards), http=from_rows(everything)).outcome is Outcome.PASS
    later = replace(shards[2], started_ms=record.started_ms + 4_000)
    moved = [row if row[0] != later.devices[0].device_id else (*row[:4], row[4] + 4_000) for row in everything]
    apart = verify(RunRecord.join([*shards[:2], later]), http=from_rows(moved))
    assert (apart.outcome, apart.sinks["http"].total.late, apart.sinks["http"].total.latency) == (
        Outcome.PASS,
        0,
        verify(record, http=from_rows(everything)).sinks["http"].total.latency,
    )
    assert verify(RunRecord.join(shards[1:]), http=from_rows(everything)).outcome is Outcome.INCOMPLETE


def test_devices_that_are_in_no_record_are_counted(record: RunRecord, judged: Callable[[], RunVerdict]) -> None:
    record.scenario_devices = 5
    assert_incomplete(judged(), ["2 devices of the scenario: in no record"])
    record.unaccounted = [dead_worker("t-1", "t-2")]
    assert len(find_gaps(record)) == 1


def test_a_checkpoint_is_not_the_end(record: RunRecord, judged: Callable[[], RunVerdict]) -> None:
    record.state = "running"
    assert_incomplete(
        judged(),
        [
            "the record is a checkpoint of 2027-01-15T08:01:00.000Z: whatever ran the fleet was killed, or still runs; "
            "what was sent afterwards is not accounted for"
        ],
    )


def test_a_checkpoint_without_a_message_is_not_a_failure(record: RunRecord) -> None:
    record.state, record.devices = "running", []
    assert verify(record, http=[]).outcome is Outcome.INCOMPLETE


@pytest.mark.parametrize("how", ["killed", "worker died"])
def test_what_a_checkpoint_had_not_sent_may_have_left_since(make_record: Callable[..., RunRecord], how: str) -> None:
    device = DeviceRecord(device_id="g", kind="gps", site="s", boot=7, first_seq=0, last_seq=9, unsent=[(2, 9)])
    record = make_record(device)
    record.started_ms = record.sim_started_ms = 0
    if how == "killed":
        record.state = "running"
    else:
        record.unaccounted = [dead_worker("g")]
    rows = [("g", 7, seq, 0, 5) for seq in range(12)]
    verdict = verify(record, http=from_rows(rows))
    assert (verdict.outcome, verdict.sinks["http"].total.stored) == (Outcome.INCOMPLETE, 2)
    lost = verify(record, http=from_rows(rows[1:]))
    assert (lost.outcome, lost.sinks["http"].total.missing) == (Outcome.FAIL, ("g:7:0",)), "it had been acknowledged"
