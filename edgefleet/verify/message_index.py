"""Says where each message of a run has its slot. Pure.

Every message that a device numbered has a slot: the devices one after the other, in each the seqs from first to last.
A ledger is one array over the slots: with the latency of each message's first arrival, or why there is none.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from edgefleet.verify.arrivals import Arrivals
from edgewire.errors import ConfigError
from edgewire.messages.base import ContractError, MessageId, to_device_id
from edgewire.run_record import DeviceRecord, RunRecord, count_seqs

Indices = NDArray[np.int64]

MISSING = -(2**31)
NOT_SENT = MISSING + 1
UNSENT = MISSING + 2
"""Left in the device, or never confirmed: it may arrive."""
ARRIVED_UNSENT = MISSING + 3
EARLIER = MISSING + 4
"""There before this run sent it, and not again since."""
ALTERED = MISSING + 5
"""There with other values than were sent."""
FASTEST, SLOWEST = MISSING + 6, 2**31 - 1

MOST_MESSAGES = 10**11
"""Of a run: a year of 3,000 a second. A ledger has four bytes for each."""

DEVICE_CLOCK_FAULTS = {"clock_step", "clock_drift"}
"""With one of them a message may say that it was measured after it arrived."""


class MessageIndex:
    """Says where each message of a run has its slot, and when it was due. Devices are grouped by kind."""

    def __init__(self, record: RunRecord) -> None:
        self.record = record
        self.devices = sorted((one for one in record.devices if one.emitted), key=lambda device: device.kind)
        if (count := sum(device.emitted for device in self.devices)) > MOST_MESSAGES:
            raise ConfigError(f"the record tells of {count:,} messages; {MOST_MESSAGES:,} are compared at most")
        emitted = np.array([device.emitted for device in self.devices], np.int64)
        self.start = np.concatenate(([0], np.cumsum(emitted)))
        """Of each device, and the end of the last."""
        self.first_seq = np.array([device.first_seq for device in self.devices], np.int64)
        self.device_time = record.device_time
        self._due_offset_ms = np.array([device.due_offset_ms for device in self.devices], np.int64)
        self.has_device_clock_faults = bool(DEVICE_CLOCK_FAULTS & record.faults.keys())
        self._positions = {(device.device_id, device.boot): at for at, device in enumerate(self.devices)}
        for at, device in enumerate(self.devices):
            if (name := to_device_id(device.device_id)) != device.device_id:
                self._positions.setdefault((name, device.boot), at)
        # Of these the record has what the last checkpoint knew: what they had not sent then, they may have sent since.
        self._unfinished = {name for part in record.unaccounted for name in part.device_ids}
        self._omitted: Indices = np.zeros(0, np.int64)
        self.kinds = self._kind_ranges(record.devices)
        self.sent = {kind: self._sent(*devices) for kind, devices in self.kinds.items()}
        """Messages of each kind that should have arrived."""

    def __len__(self) -> int:
        return int(self.start[-1])

    def omit(self, slots: Indices) -> None:
        """Expect nothing in these slots any more, in ledgers that are made from now on."""
        ledger = self.empty_ledger()
        slots = np.unique(slots)
        missing = slots[ledger[slots] == MISSING]
        for kind, (first, end) in self.kinds.items():
            low, high = np.searchsorted(missing, (self.start[first], self.start[end]))
            self.sent[kind] -= int(high - low)
        self._omitted = np.union1d(self._omitted, slots)

    def position_of(self, device_id: str, boot: int) -> int:
        """Return the position of a boot of a device; -1 where it is not of this run, or sent nothing."""
        return self._positions.get((device_id, boot), -1)

    def slot_of(self, message_id: str) -> int:
        """Return the slot of a message by its id; -1 where there is none."""
        try:
            device_id, boot, seq = MessageId.parse(message_id)
        except ContractError:
            return -1
        at = self.position_of(device_id, boot)
        slot = -1 if at < 0 else int(self.start[at] + seq - self.first_seq[at])
        return slot if at >= 0 and self.start[at] <= slot < self.start[at + 1] else -1

    def positions(self, arrivals: Arrivals) -> Indices:
        """Return which device each arrival is of; -1 for those of other runs."""
        find = self._positions.get
        keys = zip(arrivals.device_id, arrivals.boot, strict=True)
        return np.fromiter((find(key, -1) for key in keys), np.int64, len(arrivals.seq))

    def due_ms(self, arrivals: Arrivals, rows: NDArray[np.bool_], device: Indices) -> Indices:
        """Return the wall time at which these arrivals were due, which are of the devices at these positions."""
        return self.wall_ms(np.asarray(arrivals.timestamp_ms, np.int64)[rows], device)

    def wall_ms(self, device_time_ms: Indices, device: Indices) -> Indices:
        """Return the wall time at which it was this time for the devices at these positions."""
        elapsed_ms = np.rint(self.device_time.all_elapsed_ms(device_time_ms)).astype(np.int64)
        due: Indices = self.record.started_ms + elapsed_ms
        due += self._due_offset_ms[device]
        return due

    def message_id(self, slot: int) -> str:
        """Return the id of the message in a slot."""
        at = self.device_at(slot)
        device = self.devices[at]
        return f"{device.device_id}:{device.boot}:{self.first_seq[at] + slot - self.start[at]}"

    def device_at(self, slot: int) -> int:
        """Return the position of the device whose message is in a slot."""
        return int(np.searchsorted(self.start, slot, side="right")) - 1

    def empty_ledger(self) -> NDArray[np.int32]:
        """Return a ledger in which everything is missing but what was never sent."""
        ledger = np.full(len(self), MISSING, np.int32)
        for at, device in enumerate(self.devices):
            offset = self.start[at] - self.first_seq[at]
            unsent = NOT_SENT if self._is_unfinished(device) else UNSENT
            for ranges, code in (
                (device.dropped, NOT_SENT),
                (device.refused_ranges, NOT_SENT),
                (device.unsent, unsent),
            ):
                for first, last in ranges:
                    ledger[offset + first : offset + last + 1] = code
        ledger[self._omitted] = NOT_SENT
        return ledger

    def sum_devices(self, first: int, end: int, count: Callable[[DeviceRecord], int]) -> int:
        """Return the sum of a count over the devices at positions first to end."""
        return sum(count(device) for device in self.devices[first:end])

    def _is_unfinished(self, device: DeviceRecord) -> bool:
        return self.record.state == "running" or device.device_id in self._unfinished

    def _sent(self, first: int, end: int) -> int:
        return self.sum_devices(
            first,
            end,
            lambda one: one.emitted - count_seqs(one.dropped) - count_seqs(one.unsent) - count_seqs(one.refused_ranges),
        )

    def _kind_ranges(self, devices: Iterable[DeviceRecord]) -> dict[str, tuple[int, int]]:
        """Return the positions of each kind's devices as a range; empty for a kind that emitted nothing."""
        kinds = [device.kind for device in self.devices]
        ranges = {}
        for kind in sorted({device.kind for device in devices}):
            first = kinds.index(kind) if kind in kinds else 0
            ranges[kind] = (first, first + kinds.count(kind))
        return ranges
