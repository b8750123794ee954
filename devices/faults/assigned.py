"""A fault of the calendar among the devices of a timeline: which of them have it, and when."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from devices.faults.base import Fault
from devices.faults.rows import AffectedRows, ReadingSource
from devices.faults.schedule import NEVER_MS, FaultSchedule, Windows
from devices.sensors.columns import Columns, take_rows
from devices.world.random import Flags, Floats, Hashes, Ints, hash_bits, uniform
from devices.world.world import World


@dataclass(frozen=True, slots=True, eq=False)
class AssignedFault:
    """One fault of the calendar, and the devices of this timeline that have it. `positions` are theirs in it."""

    fault: Fault
    seed: int
    stream: str
    """Name of its random draws."""
    schedule: FaultSchedule
    has: Flags
    """Which devices have it, by position."""
    keys: Hashes
    """What its chances and random windows are drawn by, by position."""
    worlds: tuple[World, World] | None = None
    """Of a fault that changes the world: the one without it, and the one with it."""

    def windows_between(self, positions: Ints, from_ms: int, to_ms: int, trail_ms: int = 0) -> tuple[Ints, Windows]:
        """Return when it affects which of these devices, as far as it, or its `trail_ms`, touches [from_ms, to_ms)."""
        positions = positions[self.has[positions]]
        keys = self.keys[positions]
        owners, windows = self.schedule.windows_between(self.seed, self.stream, keys, from_ms - trail_ms, to_ms)
        return positions[owners], windows

    def is_there(self, positions: Ints, times: Ints) -> Flags:
        """Return whether it affects each device at each time."""
        there = np.zeros(len(times), dtype=np.bool_)
        rows = np.flatnonzero(self.has[positions])
        there[rows] = self._windows_at(positions[rows], times[rows]).holds(times[rows])
        return there

    def left_ms(self, positions: Ints, times: Ints) -> Ints:
        """Return for how long it still affects each device after each time; 0 where it does not."""
        left = np.zeros(len(times), dtype=np.int64)
        rows = np.flatnonzero(self.has[positions])
        windows = self._windows_at(positions[rows], times[rows])
        left[rows] = np.where(windows.holds(times[rows]), windows.end - times[rows], 0)
        return left

    def last_end(self, positions: Ints, times: Ints, since_ms: int) -> Ints:
        """Return when it last ended at each of these devices, which have it; `NEVER_MS` if not since `since_ms`."""
        return self.schedule.last_end(self.seed, self.stream, self.keys[positions], times, since_ms)

    def affected_rows(self, positions: Ints, times: Ints, source: ReadingSource | None = None) -> AffectedRows:
        """Return the rows (a device and a time each) that it affects, with those that it leaves something in."""
        candidates = np.flatnonzero(self.has[positions])
        times, positions = times[candidates], positions[candidates]
        windows = self._windows_at(positions, times)
        inside = windows.holds(times)
        if self.fault.trail_ms and len(times):
            windows, inside = self._with_trail(positions, times, windows, inside)
        starts, ends, positions, times = windows.start[inside], windows.end[inside], positions[inside], times[inside]
        affected = AffectedRows(
            self.seed,
            self.stream,
            candidates[inside],
            self.keys[positions],
            times,
            np.minimum(times, ends) - starts,
            times - ends,
            dict,
        )
        if source is None:
            return affected
        return replace(
            affected,
            last_good=partial(_once_each, source, positions, starts),
            read_searching=partial(_searching, source, positions, times),
        )

    def struck_messages(self, positions: Ints, boots: Ints, seqs: Ints) -> Flags:
        """Return which of the messages that are due meanwhile a fault of a connection strikes."""
        chances = hash_bits(self.seed, self._chance_stream, self.keys[positions], boots, seqs)
        return np.asarray(uniform(chances) < self.fault.strike_chance)

    def chance_bits(self, position: int) -> int:
        """Return what a live fleet draws the chances of `struck_messages` from, at one device."""
        return int(hash_bits(self.seed, self._chance_stream, self.keys[position : position + 1])[0])

    @property
    def _chance_stream(self) -> str:
        return f"{self.stream}/chance"

    def _with_trail(self, positions: Ints, times: Ints, windows: Windows, inside: Flags) -> tuple[Windows, Flags]:
        """Return these windows, or else the last one of each device where that ended less than the trail ago."""
        trail_ms = self.fault.trail_ms
        ended = self.last_end(positions, times, int(times.min()) - trail_ms)
        trails = np.flatnonzero(~inside & (times - ended < trail_ms) & (ended > NEVER_MS))
        last = self._windows_at(positions[trails], ended[trails] - 1)
        start, end, found = windows.start.copy(), windows.end.copy(), inside.copy()
        start[trails], end[trails], found[trails] = last.start, last.end, True
        return Windows(start, end), found

    def _windows_at(self, positions: Ints, times: Ints) -> Windows:
        return self.schedule.windows_at(self.seed, self.stream, self.keys[positions], times)


def _searching(source: ReadingSource, positions: Ints, times: Ints, which: Ints, unfound: Floats) -> Columns:
    return source.read_searching(positions[which], times[which], unfound)


def _once_each(source: ReadingSource, positions: Ints, starts: Ints) -> Columns:
    """Read once for all rows of one window."""
    windows, rows = np.unique(np.stack([positions, starts]), axis=1, return_inverse=True)
    columns = source.last_reading_before(windows[0], windows[1])
    rows = rows.reshape(-1)
    return {name: take_rows(column, rows) for name, column in columns.items()}
