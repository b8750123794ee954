"""What was recorded: which devices, from when to when, and what a device had last at a moment.

The rows are in blocks, of which those used last are kept: all of a file that is read whole, a row group of a Parquet.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.replay.block import ReplayBlock
from devices.replay.targets import ReplayTarget
from devices.world.random import Ints

_MOST_BYTES = 96 << 20
"""Of blocks that are kept; the one that is read now comes on top."""
_MOST_GAPS = 1_000_000


class ReplayRecording:
    """Answers what recorded devices had at a moment."""

    def __init__(
        self, ids: Sequence[str], blocks: Sequence[ReplayBlock | None], load: Callable[[int], ReplayBlock], gap_ms: int
    ) -> None:
        """`blocks` tell their spans; `load` reads one again. `gap_ms` is the usual gap of a device."""
        self.ids = tuple(ids)
        self.gap_ms = max(gap_ms, 1)
        self._load = load
        self._kept: OrderedDict[int, ReplayBlock] = OrderedDict()
        self._first_ms: list[list[int]] = [[] for _ in ids]
        self._numbers: list[list[int]] = [[] for _ in ids]
        self.first_ms, self.last_ms = 2**62, -(2**62)
        for number, block in enumerate(blocks):
            if block is not None:
                self.add(number, block)

    def add(self, number: int, block: ReplayBlock) -> None:
        """Take the span of the next block into the index; it is behind the others in time, device by device."""
        for one, first, last in zip(block.ids.tolist(), block.first_ms.tolist(), block.last_ms.tolist(), strict=True):
            while len(self._numbers) <= one:
                self._numbers.append([])
                self._first_ms.append([])
            self._numbers[one].append(number)
            self._first_ms[one].append(first)
            self.first_ms, self.last_ms = min(self.first_ms, first), max(self.last_ms, last)

    @property
    def period_ms(self) -> int:
        """Return after how long it begins again: the time from the first row to the last, and one usual gap."""
        return self.last_ms - self.first_ms + self.gap_ms

    def read(
        self, ids: Ints, times_ms: Ints, targets: Mapping[str, ReplayTarget], *, is_linear: bool = False
    ) -> dict[str, NDArray[Any]]:
        """Return of each column of `targets` what devices had last at these times; before their first row, that one."""
        found: dict[str, NDArray[Any]] = {
            name: np.empty(len(ids), dtype=object if one.type == "text" else np.float64)
            for name, one in targets.items()
        }
        numbers = self._block_numbers(ids, times_ms)
        for number in np.unique(numbers).tolist():
            rows = np.flatnonzero(numbers == number)
            block = self._block(number)
            at, share = block.rows_at(ids[rows], times_ms[rows])
            for name, target in targets.items():
                is_between = is_linear and target.type == "number" and target.name != "heading_deg"
                found[name][rows] = block.values(name, at, share if is_between else None)
        return found

    def _block_numbers(self, ids: Ints, times_ms: Ints) -> Ints:
        numbers = np.empty(len(ids), dtype=np.int64)
        for one in np.unique(ids).tolist():
            asked = np.flatnonzero(ids == one)
            place = np.searchsorted(self._first_ms[one], times_ms[asked], side="right") - 1
            numbers[asked] = np.array(self._numbers[one])[np.maximum(place, 0)]
        return numbers

    def _block(self, number: int) -> ReplayBlock:
        found = self._kept.get(number)
        if found is None:
            found = self._load(number)
            self._kept[number] = found
        self._kept.move_to_end(number)
        while len(self._kept) > 1 and sum(one.bytes for one in self._kept.values()) > _MOST_BYTES:
            self._kept.popitem(last=False)
        return found


def usual_gap_ms(ids: NDArray[np.int32], times_ms: Ints) -> int:
    """Return the median of the time from one row of a device to its next; 0 where none has two at different times."""
    ids, times_ms = ids[:_MOST_GAPS], times_ms[:_MOST_GAPS]
    order = np.argsort(ids, kind="stable")
    gaps, same = np.diff(times_ms[order]), np.diff(ids[order]) == 0
    gaps = gaps[same & (gaps > 0)]
    return int(np.median(gaps)) if len(gaps) else 0
