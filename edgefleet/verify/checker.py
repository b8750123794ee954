"""Compares a run record with what arrived. Pure: no I/O and no clock; four bytes of memory a message and sink.

Every message that a device numbered has a slot: the devices one after the other, in each the seqs from first to last.
A sink's ledger is one array over the slots with the latency of each message's first arrival, or why there is none.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from edgefleet.verify.arrivals import Arrivals
from edgefleet.verify.verdict import Counts, Latency, RunVerdict, SinkVerdict
from edgewire.run_record import DeviceRecord, RunRecord, count_seqs

MISSING_SHOWN = 20
"""Ids of so many missing messages are named; they are all counted."""

Indices = NDArray[np.int64]

_MISSING = -(2**31)
_NOT_SENT = _MISSING + 1
_FASTEST, _SLOWEST = _MISSING + 2, 2**31 - 1


class MessageIndex:
    """Says where each message of a run has its slot, and when it was due. Devices are grouped by kind."""

    def __init__(self, record: RunRecord) -> None:
        self.record = record
        self.devices = sorted((one for one in record.devices if one.emitted), key=lambda device: device.kind)
        emitted = np.array([device.emitted for device in self.devices], np.int64)
        self.start = np.concatenate(([0], np.cumsum(emitted)))
        """Of each device, and the end of the last."""
        self.first_seq = np.array([device.first_seq for device in self.devices], np.int64)
        self._positions = {(device.device_id, device.boot): at for at, device in enumerate(self.devices)}
        self.kinds = self._kind_ranges(record.devices)
        self.sent = {kind: self._sent(*devices) for kind, devices in self.kinds.items()}
        """Messages of each kind that should have arrived."""

    def __len__(self) -> int:
        return int(self.start[-1])

    def positions(self, arrivals: Arrivals) -> Indices:
        """Return which device each arrival is of; -1 for those of other runs."""
        find = self._positions.get
        keys = zip(arrivals.device_id, arrivals.boot, strict=True)
        return np.fromiter((find(key, -1) for key in keys), np.int64, len(arrivals.seq))

    def latency_ms(self, arrivals: Arrivals, rows: NDArray[np.bool_]) -> Indices:
        """Return the wall time at which these arrivals came, less that at which they were due."""
        elapsed = np.asarray(arrivals.timestamp_ms, np.int64)[rows] - self.record.sim_started_ms
        due = self.record.started_ms + np.rint(elapsed / self.record.time_scale).astype(np.int64)
        latency: Indices = np.clip(np.asarray(arrivals.arrived_ms, np.int64)[rows] - due, _FASTEST, _SLOWEST)
        return latency

    def message_id(self, slot: int) -> str:
        """Return the id of the message in a slot."""
        at = int(np.searchsorted(self.start, slot, side="right")) - 1
        device = self.devices[at]
        return f"{device.device_id}:{device.boot}:{self.first_seq[at] + slot - self.start[at]}"

    def empty_ledger(self) -> NDArray[np.int32]:
        """Return a ledger in which everything is missing but what was never sent."""
        ledger = np.full(len(self), _MISSING, np.int32)
        for at, device in enumerate(self.devices):
            offset = self.start[at] - self.first_seq[at]
            for first, last in (*device.dropped, *device.unsent):
                ledger[offset + first : offset + last + 1] = _NOT_SENT
        return ledger

    def _sent(self, first: int, end: int) -> int:
        return sum(one.emitted - count_seqs(one.dropped) - count_seqs(one.unsent) for one in self.devices[first:end])

    def _kind_ranges(self, devices: Iterable[DeviceRecord]) -> dict[str, tuple[int, int]]:
        """Return the positions of each kind's devices as a range; empty for a kind that emitted nothing."""
        kinds = [device.kind for device in self.devices]
        ranges = {}
        for kind in sorted({device.kind for device in devices}):
            first = kinds.index(kind) if kind in kinds else 0
            ranges[kind] = (first, first + kinds.count(kind))
        return ranges


class Checker:
    """Takes what arrived in one sink, in any number of pieces, and says what that amounts to."""

    def __init__(self, index: MessageIndex) -> None:
        self._index = index
        self._ledger = index.empty_ledger()
        self.sent = sum(index.sent.values())
        """How many messages should arrive."""
        self.stored = 0
        """How many of those have."""
        self._highest: dict[str, Indices] = {}
        size = len(index.devices)
        self._duplicates, self._unexpected, self._out_of_order = (np.zeros(size, np.int64) for _ in range(3))

    @property
    def complete(self) -> bool:
        """Return whether all messages sent have arrived."""
        return self.stored == self.sent

    def add_arrivals(self, arrivals: Arrivals) -> None:
        """Enter what arrived next. Messages of other runs are passed over."""
        position = self._index.positions(arrivals)
        ours = position >= 0
        device = position[ours]
        seq = np.asarray(arrivals.seq, np.int64)[ours]
        latency = self._index.latency_ms(arrivals, ours)
        slot = self._index.start[device] + seq - self._index.first_seq[device]
        numbered = (slot >= self._index.start[device]) & (slot < self._index.start[device + 1])
        sent = numbered.copy()
        sent[numbered] = self._ledger[slot[numbered]] != _NOT_SENT
        _count_devices(self._unexpected, device[~sent])
        self._enter(arrivals.stream, device[sent], slot[sent], latency[sent])

    def _enter(self, stream: str, device: Indices, slot: Indices, latency: Indices) -> None:
        is_first = np.zeros(len(slot), np.bool_)
        is_first[np.unique(slot, return_index=True)[1]] = True
        is_first &= self._ledger[slot] == _MISSING
        _count_devices(self._duplicates, device[~is_first])
        device, slot = device[is_first], slot[is_first]
        self._ledger[slot] = latency[is_first]
        self.stored += len(slot)
        _count_devices(self._out_of_order, device[self._behind(stream, device, slot)])

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

    def verdict(self, late_after_ms: int, note: str = "") -> SinkVerdict:
        """Return what all that was entered amounts to; late is what took longer than `late_after_ms`."""
        per_kind = {kind: self._count_range(devices, late_after_ms) for kind, devices in self._index.kinds.items()}
        total = self._count_range((0, len(self._index.devices)), late_after_ms)
        return SinkVerdict(total=total, per_kind=per_kind, note=note)

    def _count_range(self, devices: tuple[int, int], late_after_ms: int) -> Counts:
        first, end = devices
        start = int(self._index.start[first])
        ledger = self._ledger[start : self._index.start[end]]
        missing = np.flatnonzero(ledger == _MISSING)[:MISSING_SHOWN] + start
        latency = ledger[ledger > _NOT_SENT]
        return Counts(
            sent=int(np.count_nonzero(ledger != _NOT_SENT)),
            stored=len(latency),
            missing=tuple(self._index.message_id(slot) for slot in missing.tolist()),
            unexpected=int(self._unexpected[first:end].sum()),
            duplicates=int(self._duplicates[first:end].sum()),
            out_of_order=int(self._out_of_order[first:end].sum()),
            late=int(np.count_nonzero(latency > late_after_ms)),
            latency=_percentiles(latency),
        )


def _count_devices(counts: Indices, device: Indices) -> None:
    counts += np.bincount(device, minlength=len(counts))


def _percentiles(latency: NDArray[np.int32]) -> Latency | None:
    if not len(latency):
        return None
    # Latencies that occurred, not points between them.
    p50, p95, p99 = np.percentile(latency, (50, 95, 99), method="inverted_cdf").tolist()
    return Latency(p50, p95, p99)


def run_verdict(
    index: MessageIndex, checkers: Mapping[str, Checker], late_after_ms: int, notes: Mapping[str, str]
) -> RunVerdict:
    """Return the verdict on what the checkers, by name of their sink, have been given."""
    return RunVerdict(
        run_id=index.record.run_id,
        sent=index.sent,
        sinks={name: checker.verdict(late_after_ms, notes.get(name, "")) for name, checker in checkers.items()},
    )


def verify(
    record: RunRecord,
    *,
    http: Iterable[Arrivals] | None = None,
    kafka: Iterable[Arrivals] | None = None,
    late_after_ms: int = 5000,
) -> RunVerdict:
    """Return the verdict on a run, from all that arrived in either sink; a sink that is None is left out."""
    index = MessageIndex(record)
    checkers: dict[str, Checker] = {}
    for name, source in (("http", http), ("kafka", kafka)):
        if source is not None:
            checkers[name] = Checker(index)
            for arrivals in source:
                checkers[name].add_arrivals(arrivals)
    return run_verdict(index, checkers, late_after_ms, {})
