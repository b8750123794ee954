"""What somebody has given up is lost, and the verdict says who did it and names it."""

from collections.abc import Callable

from edgefleet.verify import Outcome, from_rows, verify
from edgewire.run_record import ActionRecord, RunRecord

Row = tuple[str, int, int, int, int]


def drop(*messages: str, sink: str = "http") -> ActionRecord:
    return ActionRecord(number=3, at_ms=0, action="drop_dead_letters", messages={sink: [*messages]})


def test_dropped_dead_letters_are_lost_and_named(record: RunRecord, everything: list[Row]) -> None:
    kept = [row for row in everything if (row[0], row[2]) not in (("g-1", 2), ("g-1", 5), ("b-1", 4))]
    record.actions = [
        drop("g-1:7:2", "g-1:7:3", "b-1:7:4", "other-9:1:1", "edge/a/topic"),
        drop("g-1:7:5", sink="kafka"),
    ]
    verdict = verify(record, http=from_rows(kept), kafka=from_rows(kept))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.sinks["http"].total.lost == 3
    reasons = [one for one in verdict.failures() if "dead letters" in one]
    assert reasons == [
        "http: 2 of those missing were dead letters, and dropped by action 3: g-1:7:2, b-1:7:4",
        "kafka: 1 of those missing were dead letters, and dropped by action 3: g-1:7:5",
    ]


def test_what_was_drained_is_said_only_where_something_is_missing(
    record: RunRecord, everything: list[Row], arrive: Callable[..., Row]
) -> None:
    record.actions = [ActionRecord(number=2, at_ms=1_700_000_000_000, action="bridge_drain")]
    assert verify(record, http=from_rows(everything)).ok
    said = verify(record, http=from_rows(everything[1:])).failures()
    assert "the bridge was drained at 2023-11-14T22:13:20.000Z by action 2" in said[1]
    # What came all the same is not missing.
    record.actions = [drop("g-1:7:0")]
    assert verify(record, http=from_rows([*everything, arrive("g-1", 0)])).ok
