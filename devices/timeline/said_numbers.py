"""Numbers messages without a gap where a format has none for some readings, as phones have without a position."""

import numpy as np
from numpy.typing import NDArray

from devices.firmware.outbox import NO_SEQ
from devices.world.random import Ints


class SaidNumbers:
    """Counts the messages that each device has said in each boot, as its windows are asked for one after another.

    A device's first message here has the number that it has among its readings: nobody need know what was said before
    that, and a device that is run again goes on above what it has used.
    """

    def __init__(self) -> None:
        self._until_ms: int | None = None
        self._next: dict[tuple[int, int], int] = {}

    def begin_window(self, from_ms: int, to_ms: int) -> None:
        """Say which window is numbered now; what does not follow the one before begins anew."""
        if from_ms != self._until_ms:
            self._next.clear()
        self._until_ms = to_ms

    def renumber(self, positions: Ints, boots: Ints, seqs: Ints, said: NDArray[np.bool_]) -> Ints:
        """Return the numbers of a window's messages, of which those that are not `said` have none of their own."""
        numbers = seqs.copy()
        counted = np.flatnonzero(seqs != NO_SEQ)
        order = counted[np.lexsort((seqs[counted], boots[counted], positions[counted]))]
        if not len(order):
            return numbers
        who = np.stack([positions[order], boots[order]], axis=1)
        begins = np.flatnonzero(np.r_[True, (np.diff(who, axis=0) != 0).any(axis=1)])
        before: Ints = np.cumsum(said[order]) - said[order]
        for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(order)], strict=True):
            device = int(who[begin, 0]), int(who[begin, 1])
            rows = order[begin:end]
            base = self._next.get(device, int(seqs[rows[0]]))
            numbers[rows] = base + before[begin:end] - before[begin]
            self._next[device] = base + int(said[rows].sum())
        return numbers
