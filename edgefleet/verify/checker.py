"""Compares a run record with what arrived. Pure: no I/O and no clock; four bytes of memory a message and sink."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgefleet.verify.arrivals import Arrivals
from edgefleet.verify.clocks import ALLOWANCE_MS, clock_difference_ms, humanize_ms
from edgefleet.verify.gaps import find_gaps
from edgefleet.verify.loss_reasons import loss_reasons
from edgefleet.verify.message_index import (
    ALTERED,
    ARRIVED_UNSENT,
    EARLIER,
    FASTEST,
    MISSING,
    NOT_SENT,
    SLOWEST,
    UNSENT,
    Indices,
    MessageIndex,
)
from edgefleet.verify.timing import ArrivalRates, SinkTiming, TimeSeries, bucket_latencies
from edgefleet.verify.verdict import Counts, Latency, RunVerdict, SinkVerdict
from edgewire.clock import iso_ms
from edgewire.run_record import RunRecord, count_seqs

MISSING_SHOWN = 20
"""Ids of so many missing messages are named; they are all counted."""


class SinkChecker(Protocol):
    """Takes what arrived in one sink, in any number of pieces, and says what that amounts to."""

    sent: int
    """How many messages should arrive."""

    @property
    def stored(self) -> int: ...

    @property
    def complete(self) -> bool: ...

    def missing_devices(self) -> list[tuple[str, int]]: ...

    def add_arrivals(self, arrivals: Arrivals) -> None: ...

    def add_conflicts(self, conflicts: Arrivals) -> None: ...

    def missing_of(self, message_ids: Iterable[str]) -> list[str]: ...

    def verdict(self, late_after_ms: int, note: str = "") -> SinkVerdict: ...


class Checker:
    """Takes what arrived in one sink, in any number of pieces, and says what that amounts to.

    Where another run has the same ids, what arrived more than `allowance_ms` before this run sent it is not this run's.
    """

    def __init__(self, index: MessageIndex, allowance_ms: int = ALLOWANCE_MS) -> None:
        self._index = index
        self._allowance_ms = allowance_ms
        self._ledger = index.empty_ledger()
        self.sent = sum(index.sent.values())
        """How many messages should arrive."""
        self.stored = 0
        """How many of those have."""
        self._unconfirmed = self._count_unconfirmed()
        self._due_ms: list[int] = []
        """The first and the last moment at which something was due that has arrived."""
        self._earlier_ms: list[int] = []
        """The first and the last arrival of what is not of this run."""
        self._conflicts = 0
        self._conflict_ms: list[int] = []
        """The first and the last moment at which other content came under an id of this run."""
        self._highest: dict[str, Indices] = {}
        self._due, self._arrived = (TimeSeries(index.record.started_ms) for _ in range(2))
        size = len(index.devices)
        self._duplicates, self._unexpected, self._out_of_order = (np.zeros(size, np.int64) for _ in range(3))

    @property
    def complete(self) -> bool:
        """Return whether all has arrived that was sent, or may have been."""
        return self.stored == self.sent and not self._unconfirmed

    def missing_devices(self) -> list[tuple[str, int]]:
        """Return id and boot of the devices of which something is missing."""
        slots = np.flatnonzero((self._ledger == MISSING) | (self._ledger == UNSENT))
        positions = np.unique(np.searchsorted(self._index.start, slots, side="right") - 1)
        return [(self._index.devices[at].device_id, self._index.devices[at].boot) for at in positions.tolist()]

    def missing_of(self, message_ids: Iterable[str]) -> list[str]:
        """Return those of these messages that were sent and are not there, each once."""
        found = {text: self._index.slot_of(text) for text in message_ids}
        return [text for text, slot in found.items() if slot >= 0 and self._ledger[slot] == MISSING]

    def add_arrivals(self, arrivals: Arrivals) -> None:
        """Enter what arrived next. Messages of other runs are passed over."""
        index = self._index
        position = index.positions(arrivals)
        ours = position >= 0
        device = position[ours]
        if not len(device):
            return
        seq = np.asarray(arrivals.seq, np.int64)[ours]
        arrived_ms = np.asarray(arrivals.arrived_ms, np.int64)[ours]
        due_ms = index.due_ms(arrivals, ours, device)
        self.enter(arrivals.stream, device, index.start[device] + seq - index.first_seq[device], arrived_ms, due_ms)

    def enter(self, stream: str, device: Indices, slot: Indices, arrived_ms: Indices, due_ms: Indices) -> None:
        """Enter what arrived next in a stream, of devices at these positions, in these slots; times are of the wall."""
        index = self._index
        numbered = (slot >= index.start[device]) & (slot < index.start[device + 1])
        earlier = self._is_earlier(arrived_ms, due_ms)
        if earlier.any():
            self._enter_earlier(slot[earlier & numbered], arrived_ms[earlier & numbered])
            keep = ~earlier
            device, slot, numbered = device[keep], slot[keep], numbered[keep]
            arrived_ms, due_ms = arrived_ms[keep], due_ms[keep]
        state = np.full(len(slot), NOT_SENT, np.int64)
        state[numbered] = self._ledger[slot[numbered]]
        sent = (state != NOT_SENT) & (state != UNSENT) & (state != ARRIVED_UNSENT)
        _count_devices(self._unexpected, device[~sent])
        self._enter_unsent(slot[(state == UNSENT)])
        latency = np.clip(arrived_ms - due_ms, FASTEST, SLOWEST)[sent]
        _extend(self._due_ms, due_ms[sent])
        is_first = self._enter(stream, device[sent], slot[sent], latency)
        arrived_ms = arrived_ms[sent][is_first]
        self._arrived.add(arrived_ms)
        # A device whose clock is wrong may say that it measured in years to come.
        self._due.add(np.minimum(due_ms[sent][is_first], np.maximum(arrived_ms, index.record.stopped_ms)))

    def enter_altered(self, slot: Indices) -> None:
        """Enter which messages arrived with other values than were sent."""
        self._ledger[slot] = ALTERED

    def count_unexpected(self, device: Indices) -> None:
        """Count arrivals of devices at these positions that are none of their messages."""
        _count_devices(self._unexpected, device)

    @property
    def ledger(self) -> NDArray[np.int32]:
        """Return what is entered of each slot so far, as a copy."""
        return self._ledger.copy()

    @property
    def unconfirmed(self) -> int:
        """Return how many were sent and never confirmed, and have not arrived."""
        return self._unconfirmed

    def add_conflicts(self, conflicts: Arrivals) -> None:
        """Enter under which ids other content came than is there, each once. Those of other runs are passed over."""
        index = self._index
        position = index.positions(conflicts)
        ours = position >= 0
        device = position[ours]
        if not len(device):
            return
        at_ms = np.asarray(conflicts.arrived_ms, np.int64)[ours]
        slot = index.start[device] + np.asarray(conflicts.seq, np.int64)[ours] - index.first_seq[device]
        numbered = (slot >= index.start[device]) & (slot < index.start[device + 1])
        numbered &= ~self._is_earlier(at_ms, index.due_ms(conflicts, ours, device))
        self._conflicts += int(np.count_nonzero(self._ledger[slot[numbered]] != NOT_SENT))
        _extend(self._conflict_ms, at_ms[numbered])

    def _is_earlier(self, arrived_ms: Indices, due_ms: Indices) -> NDArray[np.bool_]:
        """Return which arrivals cannot be those of messages that this run sent."""
        record = self._index.record
        if not record.fixed_boots:
            return np.zeros(len(arrived_ms), np.bool_)
        possible = np.full(len(arrived_ms), record.started_ms, np.int64)
        if not self._index.has_device_clock_faults:
            np.maximum(possible, due_ms, out=possible)
        is_earlier: NDArray[np.bool_] = arrived_ms < possible - self._allowance_ms
        return is_earlier

    def _enter_earlier(self, slot: Indices, arrived_ms: Indices) -> None:
        missing = (self._ledger[slot] == MISSING) | (self._ledger[slot] == EARLIER)
        self._ledger[slot[missing]] = EARLIER
        _extend(self._earlier_ms, arrived_ms[missing])

    def _enter_unsent(self, slot: Indices) -> None:
        self._ledger[slot] = ARRIVED_UNSENT
        self._unconfirmed = max(0, self._unconfirmed - len(np.unique(slot)))

    def _enter(self, stream: str, device: Indices, slot: Indices, latency: Indices) -> NDArray[np.bool_]:
        """Enter messages that were sent; return which of them arrived for the first time."""
        is_first = np.zeros(len(slot), np.bool_)
        is_first[np.unique(slot, return_index=True)[1]] = True
        is_first &= (self._ledger[slot] == MISSING) | (self._ledger[slot] == EARLIER)
        _count_devices(self._duplicates, device[~is_first])
        device, slot = device[is_first], slot[is_first]
        self._ledger[slot] = latency[is_first]
        self.stored += len(slot)
        _count_devices(self._out_of_order, device[self._behind(stream, device, slot)])
        return is_first

    def _behind(self, stream: str, device: Indices, slot: Indices) -> NDArray[np.bool_]:
        """Return which of these come after a later message of their device; remembers the latest of each."""
        highest = self._highest.setdefault(stream, self._index.start[:-1] - 1)
        # The slots of a device lie above those of the devices before it. So with the devices one after the other,
        # the running maximum begins anew with each by itself.
        order = np.argsort(device, kind="stable")
        device, slot = device[order], slot[order]
        running = np.maximum.accumulate(np.maximum(slot, highest[device]))
        before = np.maximum(highest[device], np.concatenate(([-1], running[:-1])))
        np.maximum.at(highest, device, slot)
        behind = np.empty(len(slot), np.bool_)
        behind[order] = slot < before
        return behind

    def _count_unconfirmed(self) -> int:
        """Return how many were sent and never confirmed, so that one must wait for them too."""
        unconfirmed = sum(count_seqs(device.unacknowledged) for device in self._index.devices)
        return min(unconfirmed, int(np.count_nonzero(self._ledger == UNSENT)))

    def verdict(self, late_after_ms: int, note: str = "") -> SinkVerdict:
        """Return what all that was entered amounts to; late is what took longer than `late_after_ms`."""
        due_span_ms = self._due_ms[1] - self._due_ms[0] if self._due_ms else 0
        differ_ms = clock_difference_ms(self._ledger[self._ledger >= FASTEST], due_span_ms)
        per_kind = {
            kind: self._count_range(devices, late_after_ms, differ_ms) for kind, devices in self._index.kinds.items()
        }
        total = self._count_range((0, len(self._index.devices)), late_after_ms, differ_ms)
        return SinkVerdict(
            total=total,
            per_kind=per_kind,
            note=note,
            clocks_differ_ms=differ_ms,
            untold=(*self._untold(total.earlier, differ_ms), *self._untold_conflicts()),
            timing=self._timing(differ_ms),
        )

    def _timing(self, differ_ms: int | None) -> SinkTiming:
        index, ledger = self._index, self._ledger
        positions, counts = np.unique(
            np.searchsorted(index.start, np.flatnonzero(ledger == MISSING), side="right") - 1, return_counts=True
        )
        missing: Counter[str] = Counter()
        for at, count in zip(positions.tolist(), counts.tolist(), strict=True):
            missing[index.devices[at].device_id] += count
        found = SinkTiming(
            rates=ArrivalRates(self._due.counts(), self._due.width_ms, self._arrived.counts(), self._arrived.width_ms),
            missing_by_device=dict(missing),
        )
        if differ_ms is not None:
            return found
        per_kind = {}
        for kind, (first, end) in index.kinds.items():
            of_kind = ledger[index.start[first] : index.start[end]]
            per_kind[kind] = bucket_latencies(of_kind[of_kind >= FASTEST])
        latency = bucket_latencies(ledger[ledger >= FASTEST])
        return replace(found, latency=latency, latency_per_kind=per_kind)

    def _untold(self, earlier: int, differ_ms: int | None) -> Iterable[str]:
        record = self._index.record
        advice = "use another --from, leave it out, or begin with an empty store, and set the clocks by NTP"
        if earlier:
            first, last = map(iso_ms, self._earlier_ms)
            yield (
                f"{earlier:,} were there before this run sent them, from {first} to {last}; it began at "
                f"{iso_ms(record.started_ms)}. They are of an earlier run of the same ids, or the clocks differ: "
                f"whether this run's arrived cannot be told; {advice}"
            )
        elif differ_ms is not None and abs(differ_ms) > self._allowance_ms and record.fixed_boots:
            yield (
                f"all seem to have taken {humanize_ms(differ_ms)}: they are of another run of the same ids, or the "
                f"clocks differ, which cannot be told; {advice}"
            )

    def _untold_conflicts(self) -> Iterable[str]:
        if self._conflicts:
            first, last = map(iso_ms, self._conflict_ms)
            yield (
                f"under {self._conflicts:,} ids of this run other content came as well, from {first} to {last}, and "
                "was refused: another run of the same ids goes on, or messages were altered on their way. Which of the "
                "two is there cannot be told; use another --from, or leave it out"
            )

    def _count_range(self, devices: tuple[int, int], late_after_ms: int, differ_ms: int | None) -> Counts:
        index, (first, end) = self._index, devices
        start = int(index.start[first])
        ledger = self._ledger[start : index.start[end]]
        missing = np.flatnonzero(ledger == MISSING)[:MISSING_SHOWN] + start
        latency = ledger[ledger >= FASTEST]
        earlier, altered = (int(np.count_nonzero(ledger == code)) for code in (EARLIER, ALTERED))
        return Counts(
            sent=len(latency) + int(np.count_nonzero(ledger == MISSING)) + earlier + altered,
            stored=len(latency),
            altered=altered,
            missing=tuple(index.message_id(slot) for slot in missing.tolist()),
            earlier=earlier,
            refused=index.sum_devices(first, end, lambda device: count_seqs(device.refused_ranges)),
            dropped=index.sum_devices(first, end, lambda device: count_seqs(device.dropped)),
            overflowed=index.sum_devices(
                first, end, lambda device: count_seqs(device.dropped) - device.dropped_by_fault
            ),
            unsent=int(np.count_nonzero(ledger == UNSENT)),
            unexpected=int(self._unexpected[first:end].sum()),
            duplicates=int(self._duplicates[first:end].sum()),
            out_of_order=int(self._out_of_order[first:end].sum()),
            late=int(np.count_nonzero(latency > late_after_ms)) if differ_ms is None else None,
            latency=_percentiles(latency) if differ_ms is None else None,
        )


def _count_devices(counts: Indices, device: Indices) -> None:
    counts += np.bincount(device, minlength=len(counts))


def _extend(span: list[int], values: Indices) -> None:
    """Let `span`, the least and the greatest of some values, take in these."""
    if len(values):
        span[:] = [min([*span[:1], int(values.min())]), max([*span[1:], int(values.max())])]


def _percentiles(latency: NDArray[np.int32]) -> Latency | None:
    if not len(latency):
        return None
    # Latencies that occurred, not points between them.
    p50, p95, p99 = np.percentile(latency, (50, 95, 99), method="inverted_cdf").tolist()
    return Latency(p50, p95, p99)


def run_verdict(
    index: MessageIndex,
    checkers: Mapping[str, SinkChecker],
    late_after_ms: int,
    notes: Mapping[str, str],
    gaps: Iterable[str] = (),
) -> RunVerdict:
    """Return the verdict on what the checkers, by name of their sink, have been given.

    `gaps` are sentences on what could not be compared, beside what the record itself leaves open.
    """
    sinks = {}
    for name, checker in checkers.items():
        sink = checker.verdict(late_after_ms, notes.get(name, ""))
        sinks[name] = replace(sink, reasons=tuple(loss_reasons(index.record.actions, name, checker.missing_of)))
    return RunVerdict(
        run_id=index.record.run_id,
        sent=index.sent,
        sinks=sinks,
        refused=index.record.refused,
        standby=index.record.standby,
        actions=index.record.actions,
        gaps=[*find_gaps(index.record), *gaps],
    )


def verify(
    record: RunRecord,
    *,
    http: Iterable[Arrivals] | None = None,
    kafka: Iterable[Arrivals] | None = None,
    late_after_ms: int = 5000,
    allowance_ms: int = ALLOWANCE_MS,
) -> RunVerdict:
    """Return the verdict on a run, from all that arrived in either sink; a sink that is None is left out."""
    index = MessageIndex(record)
    checkers: dict[str, Checker] = {}
    for name, source in (("http", http), ("kafka", kafka)):
        if source is not None:
            checkers[name] = Checker(index, allowance_ms)
            for arrivals in source:
                checkers[name].add_arrivals(arrivals)
    return run_verdict(index, checkers, late_after_ms, {})
