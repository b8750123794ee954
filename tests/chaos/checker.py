"""The verdict on a run: what was published against what arrived. Pure; the bridge has a say in its ledger alone."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.records import Arrival, Published


@dataclass(frozen=True, slots=True)
class Promise:
    """Which duplicates a fault may cause: everywhere else there must be none."""

    http: bool = True
    kafka: bool = True


_SUMS = ("received", "delivered", "dead_lettered", "dropped", "pending")

ANY, NONE = Promise(), Promise(http=False, kafka=False)


@dataclass(slots=True)
class Verdict:
    """Counts over a run, and a sentence for everything that is not as promised."""

    published: int
    must: int
    lost: int = 0
    taken: int = 0
    """Messages that are gone with a spool that was taken away, and counted apart."""
    http_duplicates: int = 0
    kafka_duplicates: int = 0
    out_of_order: int = 0
    unbalanced: int = 0
    complaints: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.complaints


def judge(
    published: Published,
    requests: Sequence[Arrival],
    stored: Sequence[tuple[str, bytes]],
    records: Sequence[Arrival],
    ledger: Mapping[str, Any],
    promise: Promise,
    lines: Sequence[Arrival] | None = None,
    *,
    taken: Set[str] = frozenset(),
    is_ordered: bool = True,
) -> Verdict:
    """`requests`: what HTTP accepted, in order; `stored`: what its database holds; `records`: Kafka, by offset.

    `lines`: those of the file sink, where there is one. `taken`: what may be missing, as somebody took the spool that
    it was in. `is_ordered`: whether the order of each device is promised.
    """
    verdict = Verdict(len(published.payloads), len(published.acknowledged))
    say = verdict.complaints.append
    arrived = {
        "http": [arrival.id for arrival in requests],
        "the HTTP store": [one for one, _ in stored],
        "kafka": [arrival.id for arrival in records],
    }
    if lines is not None:
        arrived["file"] = [arrival.id for arrival in lines]
    lost: set[str] = set()
    gone: set[str] = set()
    for place, ids in arrived.items():
        missing = published.acknowledged - set(ids)
        gone |= missing & taken
        missing -= taken
        lost |= missing
        if missing:
            say(f"{len(missing)} lost on the way to {place}: {_some(missing)}")
    verdict.lost, verdict.taken = len(lost), len(gone)

    verdict.http_duplicates = _repeated(arrived["http"])
    verdict.kafka_duplicates = _repeated(arrived["kafka"])
    for place, number, allowed in (
        ("http", verdict.http_duplicates, promise.http),
        ("kafka", verdict.kafka_duplicates, promise.kafka),
        ("the HTTP store", _repeated(arrived["the HTTP store"]), False),
    ):
        if number and not allowed:
            say(f"{number} duplicates in {place}, where none are to be")
    if set(arrived["the HTTP store"]) != set(arrived["http"]):
        say("the HTTP store holds something else than its request log")
    for place, arrivals in (("http", requests), ("kafka", records), ("file", lines or ())):
        _check_identity(place, arrivals, published, say)
    for one, payload in stored:
        if published.payloads.get(one) != payload:
            say(f"the HTTP store holds {one} with a payload that nobody published")
            break

    for place, lanes in (
        ("http", _lanes(requests, by_partition=False)),
        ("kafka", _lanes(records, by_partition=True)),
        ("file", _lanes(lines or (), by_partition=False)),
    ):
        late = sum(_disorder(lane) for lane in lanes.values()) if is_ordered else 0
        verdict.out_of_order += late
        if late:
            say(f"{late} messages overtaken in {place}")
    split = [device for device, parts in _partitions(records).items() if len(parts) > 1]
    if split:
        say(f"devices in more than one Kafka partition: {_some(split)}")
    del arrived["the HTTP store"]
    _check_ledger(ledger, arrived, verdict)
    return verdict


def sum_ledgers(ledgers: Sequence[Mapping[str, Any]], taken: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Return one ledger of several bridges, and of spools that were taken: of these, of what had been delivered."""
    sums: dict[str, dict[str, Any]] = {}
    for ledger, is_taken in [*((one, False) for one in ledgers), *((one, True) for one in taken)]:
        for books in ledger["sinks"]:
            entry = sums.setdefault(books["sink"], {"sink": books["sink"], "balanced": True, **dict.fromkeys(_SUMS, 0)})
            entry["balanced"] &= books["balanced"]
            for name in _SUMS:
                entry[name] += books[name]
            if is_taken:
                entry["pending"] -= books["pending"]
                entry["received"] -= books["pending"]
    return {"sinks": list(sums.values())}


def _check_identity(place: str, arrivals: Sequence[Arrival], published: Published, say: Any) -> None:
    """Every copy of a message is the message, under its own id."""
    for arrival in arrivals:
        if published.payloads.get(arrival.id) != arrival.payload:
            say(f"{place} got {arrival.id} with a payload that nobody published")
            return
        if arrival.key not in (None, arrival.id):
            say(f"{place} got {arrival.id} under the id '{arrival.key}'")
            return


def _check_ledger(ledger: Mapping[str, Any], arrived: Mapping[str, Sequence[str]], verdict: Verdict) -> None:
    """The books must balance, have nothing open, and claim no more than has arrived."""
    books = {one["sink"]: one for one in ledger["sinks"]}
    for sink, ids in arrived.items():
        one = books.get(sink)
        if one is None:
            verdict.unbalanced += 1
            verdict.complaints.append(f"the ledger has no sink {sink}")
            continue
        done = one["delivered"] + one["dead_lettered"] + one["dropped"]
        faults = []
        if not one["balanced"] or one["received"] != done + one["pending"]:
            faults.append("does not balance")
        if one["pending"] or one["dead_lettered"] or one["dropped"]:
            faults.append("has messages that are not delivered")
        if not len(set(ids)) <= one["received"] or one["delivered"] > len(ids):
            faults.append(f"is not what arrived ({len(ids)} copies of {len(set(ids))} messages)")
        if faults:
            verdict.unbalanced += 1
            verdict.complaints.append(f"the ledger of {sink} {' and '.join(faults)}: {dict(one)}")


def _repeated(ids: Sequence[str]) -> int:
    return len(ids) - len(set(ids))


def _lanes(arrivals: Iterable[Arrival], *, by_partition: bool) -> dict[tuple[str, str, int], list[Arrival]]:
    """By device, and in Kafka by partition too: between partitions there is no order."""
    lanes: dict[tuple[str, str, int], list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        lanes[arrival.device, arrival.where, arrival.partition if by_partition else 0].append(arrival)
    return lanes


def _disorder(arrivals: Sequence[Arrival]) -> int:
    """First occurrences that come after one with a higher number."""
    seen: set[int] = set()
    highest, late = -1, 0
    for arrival in arrivals:
        if arrival.seq not in seen:
            seen.add(arrival.seq)
            late += arrival.seq < highest
            highest = max(highest, arrival.seq)
    return late


def _partitions(arrivals: Iterable[Arrival]) -> dict[str, Counter[tuple[str, int]]]:
    parts: dict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
    for arrival in arrivals:
        parts[arrival.device][arrival.where, arrival.partition] += 1
    return parts


def _some(ids: Iterable[str]) -> str:
    shown = sorted(ids)
    return ", ".join(shown[:5]) + (", …" if len(shown) > 5 else "")
