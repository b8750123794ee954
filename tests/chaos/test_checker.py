"""The checker finds what it is there to find: a suite whose judge is blind proves nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from tests.chaos.checker import ANY, NONE, Promise, Verdict, judge, sum_ledgers
from tests.chaos.records import Arrival, Published


def payload(device: str, seq: int) -> bytes:
    return orjson.dumps({"device_id": device, "boot": 1, "seq": seq, "nonce": f"{device}{seq}"})


def arrival(device: str, seq: int, partition: int = 0) -> Arrival:
    return Arrival.of(payload(device, seq), f"{device}:1:{seq}", partition, "t")


def books(sink: str, count: int, **changes: int) -> dict[str, Any]:
    one = {"received": count, "delivered": count, "dead_lettered": 0, "dropped": 0, "pending": 0, **changes}
    done = one["delivered"] + one["dead_lettered"] + one["dropped"] + one["pending"]
    return {"sink": sink, **one, "balanced": one["received"] == done}


@dataclass
class Case:
    """A run in which nothing went wrong, to be spoilt."""

    published: dict[str, bytes] = field(default_factory=dict)
    unacknowledged: set[str] = field(default_factory=set)
    requests: list[Arrival] = field(default_factory=list)
    stored: list[tuple[str, bytes]] = field(default_factory=list)
    records: list[Arrival] = field(default_factory=list)
    ledger: dict[str, Any] = field(default_factory=dict)
    lines: list[Arrival] = field(default_factory=list)
    promise: Promise = NONE

    @classmethod
    def good(cls) -> "Case":
        case = cls()
        for seq in range(3):
            for partition, device in enumerate("ab"):
                one = arrival(device, seq, partition)
                case.published[one.id] = one.payload
                case.requests.append(one)
                case.records.append(one)
                case.stored.append((one.id, one.payload))
                case.lines.append(Arrival.of(one.payload, None))
        case.ledger = {"sinks": [books("http", 6), books("kafka", 6), books("file", 6)]}
        return case

    def judge(self) -> Verdict:
        published = Published(self.published, frozenset(self.published.keys() - self.unacknowledged))
        return judge(published, self.requests, self.stored, self.records, self.ledger, self.promise, self.lines)


def test_a_good_run_is_found_good() -> None:
    verdict = Case.good().judge()
    assert verdict.ok, verdict.complaints
    assert (verdict.published, verdict.must, verdict.lost) == (6, 6, 0)


def test_what_the_broker_did_not_acknowledge_may_be_missing() -> None:
    case = Case.good()
    case.published["a:1:9"] = payload("a", 9)
    assert case.judge().lost == 1
    case.unacknowledged = {"a:1:9"}
    assert case.judge().ok


def test_duplicates_count_and_are_forgiven_where_they_are_allowed() -> None:
    case = Case.good()
    case.requests.append(case.requests[0])
    case.records += case.records[:2]
    verdict = case.judge()
    assert (verdict.http_duplicates, verdict.kafka_duplicates) == (1, 2)
    assert len(verdict.complaints) == 2
    case.promise = ANY
    assert case.judge().ok


def swap(case: Case, of: str) -> None:
    arrivals = getattr(case, of)
    arrivals[0], arrivals[2] = arrivals[2], arrivals[0]


def rename(case: Case) -> None:
    case.records[0] = case.records[0]._replace(key="a:1:7")


def alter(case: Case) -> None:
    case.requests[0] = Arrival.of(case.requests[0].payload.replace(b"a0", b"zz"), None)


def move(case: Case) -> None:
    case.records[4] = case.records[4]._replace(partition=2)


SPOILT: dict[str, tuple[Callable[[Case], object], str]] = {
    "lost in http": (lambda case: case.requests.pop(), "1 lost on the way to http: b:1:2"),
    "lost in the store": (lambda case: case.stored.pop(), "1 lost on the way to the HTTP store"),
    "lost in kafka": (lambda case: case.records.pop(), "1 lost on the way to kafka"),
    "lost in the file": (lambda case: case.lines.pop(), "1 lost on the way to file"),
    "order in the file": (lambda case: swap(case, "lines"), "messages overtaken in file"),
    "twice in the store": (lambda case: case.stored.append(case.stored[0]), "1 duplicates in the HTTP store"),
    "order in http": (lambda case: swap(case, "requests"), "messages overtaken in http"),
    "order in kafka": (lambda case: swap(case, "records"), "messages overtaken in kafka"),
    "another id": (rename, "under the id 'a:1:7'"),
    "another payload": (alter, "a payload that nobody published"),
    "another partition": (move, "in more than one Kafka partition: a"),
    "unbalanced": (lambda case: case.ledger["sinks"][0].update(received=7), "ledger of http does not balance"),
    "pending": (
        lambda case: case.ledger["sinks"].__setitem__(0, books("http", 6, delivered=5, pending=1)),
        "has messages that are not delivered",
    ),
    "dead": (
        lambda case: case.ledger["sinks"].__setitem__(1, books("kafka", 6, delivered=5, dead_lettered=1)),
        "ledger of kafka has messages that are not delivered",
    ),
    "claims too much": (lambda case: case.ledger["sinks"].__setitem__(1, books("kafka", 8)), "is not what arrived"),
    "claims too little": (lambda case: case.ledger["sinks"].__setitem__(1, books("kafka", 5)), "is not what arrived"),
    "no books": (lambda case: case.ledger["sinks"].pop(), "the ledger has no sink file"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_run_is_found_out(name: str) -> None:
    spoil, said = SPOILT[name]
    case = Case.good()
    spoil(case)
    verdict = case.judge()
    assert not verdict.ok
    assert any(said in complaint for complaint in verdict.complaints), verdict.complaints


def test_what_a_spool_that_was_taken_had_is_counted_apart_and_nothing_else_is_forgiven() -> None:
    case = Case.good()
    gone = case.records.pop()
    case.requests.pop()
    case.stored.pop()
    case.lines.pop()
    case.ledger = sum_ledgers([Case.good().ledger])
    published = Published(case.published, frozenset(case.published))

    def verdict_of(taken: set[str]) -> Verdict:
        return judge(published, case.requests, case.stored, case.records, case.ledger, ANY, case.lines, taken=taken)

    assert (verdict_of({gone.id}).lost, verdict_of({gone.id}).taken) == (0, 1)
    assert (verdict_of({"a:1:0"}).lost, verdict_of({"a:1:0"}).taken) == (1, 0)
    assert "1 lost on the way to http: b:1:2" in verdict_of({"a:1:0"}).complaints


def test_where_no_order_is_promised_none_is_looked_for() -> None:
    case = Case.good()
    swap(case, "requests")
    published = Published(case.published, frozenset(case.published))
    verdict = judge(
        published, case.requests, case.stored, case.records, case.ledger, NONE, case.lines, is_ordered=False
    )
    assert verdict.ok
    assert verdict.out_of_order == 0


def test_ledgers_are_summed_and_of_a_spool_that_was_taken_only_what_was_delivered() -> None:
    one, other = {"sinks": [books("http", 5)]}, {"sinks": [books("http", 7, dropped=1, delivered=6)]}
    taken = {"sinks": [books("http", 9, delivered=6, pending=3)]}
    (summed,) = sum_ledgers([one, other], [taken])["sinks"]
    assert summed == books("http", 18, delivered=17, dropped=1)
    (unbalanced,) = sum_ledgers([one, {"sinks": [books("http", 7, delivered=6)]}])["sinks"]
    assert not unbalanced["balanced"]


def test_a_late_duplicate_is_no_disorder() -> None:
    case = Case.good()
    case.promise = ANY
    case.records += [case.records[0], case.records[5], case.records[2]]
    assert case.judge().out_of_order == 0
