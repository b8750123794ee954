"""Schedules of faults: windows of true time, a pure function of seed, stream and device, seekable from anywhere."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from devices.world.random import Hashes, Ints, hash_bits, uniform

DAY_MS = 86_400_000
FOREVER_MS = 2**62
"""End of a window that has none."""
NEVER_MS = -FOREVER_MS


class Windows(NamedTuple):
    """Holds one window a row, [start, end); start = end where there is none."""

    start: Ints
    end: Ints

    def holds(self, times: Ints) -> NDArray[np.bool_]:
        """Return whether each time lies in its row's window."""
        return (self.start <= times) & (times < self.end)


class FaultSchedule(Protocol):
    """Tells when a fault is there. `keys` are those of the devices, a row each."""

    def windows_at(self, seed: int, stream: str, keys: Hashes, times: Ints) -> Windows:
        """Return the window that each device is in at each time, if it is in one."""
        ...

    def windows_between(self, seed: int, stream: str, keys: Hashes, from_ms: int, to_ms: int) -> tuple[Ints, Windows]:
        """Return all windows of these devices that touch [from_ms, to_ms): position in `keys`, and the window."""
        ...

    def last_end(self, seed: int, stream: str, keys: Hashes, times: Ints, since_ms: int) -> Ints:
        """Return when the last window of each device ended by each time; `NEVER_MS` if none since `since_ms`."""
        ...


@dataclass(frozen=True, slots=True)
class SingleWindow:
    """Has one window, the same for all devices."""

    start_ms: int
    end_ms: int

    def windows_at(self, seed: int, stream: str, keys: Hashes, times: Ints) -> Windows:
        """Return the window that each device is in at each time."""
        return Windows(np.full(len(times), self.start_ms), np.full(len(times), self.end_ms))

    def windows_between(self, seed: int, stream: str, keys: Hashes, from_ms: int, to_ms: int) -> tuple[Ints, Windows]:
        """Return all windows that touch [from_ms, to_ms)."""
        touches = self.start_ms < to_ms and self.end_ms > from_ms
        owners = np.arange(len(keys) if touches else 0)
        return owners, self.windows_at(seed, stream, keys, owners)

    def last_end(self, seed: int, stream: str, keys: Hashes, times: Ints, since_ms: int) -> Ints:
        """Return when the last window of each device ended by each time."""
        return np.where((self.end_ms <= times) & (self.end_ms >= since_ms), self.end_ms, NEVER_MS)


@dataclass(frozen=True, slots=True)
class RandomWindows:
    """Has windows of random length at random moments, `per_day` on average.

    Time is cut into slots at least as long as the longest window; a slot has at most one, wholly inside, so that
    windows of one device do not overlap and each can be told without its neighbours.
    """

    per_day: float
    shortest_ms: int
    longest_ms: int

    @property
    def _slot_ms(self) -> int:
        # Where there is room, every other slot is free, which makes the gaps irregular.
        return max(round(0.5 * DAY_MS / self.per_day), self.longest_ms)

    def windows_at(self, seed: int, stream: str, keys: Hashes, times: Ints) -> Windows:
        """Return the window that each device is in at each time."""
        return self._of_slots(seed, stream, keys, times // self._slot_ms)

    def windows_between(self, seed: int, stream: str, keys: Hashes, from_ms: int, to_ms: int) -> tuple[Ints, Windows]:
        """Return all windows that touch [from_ms, to_ms)."""
        slots = np.arange(from_ms // self._slot_ms, -(-to_ms // self._slot_ms))
        owners = np.repeat(np.arange(len(keys)), len(slots))
        windows = self._of_slots(seed, stream, keys[owners], np.tile(slots, len(keys)))
        touches = (windows.start < windows.end) & (windows.start < to_ms) & (windows.end > from_ms)
        return owners[touches], Windows(windows.start[touches], windows.end[touches])

    def last_end(self, seed: int, stream: str, keys: Hashes, times: Ints, since_ms: int) -> Ints:
        """Return when the last window of each device ended by each time."""
        found = np.full(len(times), NEVER_MS)
        slots = times // self._slot_ms
        # A slot has a window with a chance of a half at the least, so few are walked back.
        missing = np.arange(len(times))
        while len(missing):
            windows = self._of_slots(seed, stream, keys[missing], slots[missing])
            ended = (windows.start < windows.end) & (windows.end <= times[missing]) & (windows.end >= since_ms)
            found[missing[ended]] = windows.end[ended]
            slots = slots - 1
            missing = missing[~ended & ((slots[missing] + 1) * self._slot_ms > since_ms)]
        return found

    def _of_slots(self, seed: int, stream: str, keys: Hashes, slots: Ints) -> Windows:
        slot_ms = self._slot_ms
        happens = uniform(hash_bits(seed, stream, keys, slots)) < self.per_day * slot_ms / DAY_MS
        spread = self.longest_ms - self.shortest_ms + 1
        length = self.shortest_ms + (spread * uniform(hash_bits(seed, f"{stream}/length", keys, slots))).astype(
            np.int64
        )
        room = slot_ms - length + 1
        start = slots * slot_ms + (room * uniform(hash_bits(seed, f"{stream}/start", keys, slots))).astype(np.int64)
        return Windows(start, np.where(happens, start + length, start))
