"""Finds readings that are missing among those that a device sends at an interval, by the times that it gives them.

Devices that do not number their messages, as Tasmota's, send one every so many seconds by their own clock. Where one
comes two or more intervals after the last, to the second, those between were sent and have not come. After a restart or
a new connection the interval begins anew, and nothing is known.
"""

from collections.abc import Sequence
from typing import NamedTuple

from edgewire.clock import iso_ms

MAX_DEVICES = 100_000

MAX_NAMED = 100
"""Gaps that are named at a time."""

_SHORTEST_MS = 5_000
"""Of an interval: times are whole seconds, so that in shorter ones a second more or less means nothing."""
_TOLERANCE_MS = 2_000
_MOST_MISSING = 1_000
_STEADY = 3
"""Intervals of the same length after which one counts as known."""


class MissedReadings(NamedTuple):
    """Tells what has become known since the last time."""

    missing: int
    devices: int
    gaps: Sequence[str]
    """At most `MAX_NAMED`."""
    unnamed: int
    """Gaps beyond them."""


class _Interval:
    """Holds the interval of one device."""

    __slots__ = ("last_ms", "length_ms", "times")

    def __init__(self, last_ms: int) -> None:
        self.last_ms, self.length_ms, self.times = last_ms, 0, 0


class IntervalGapDetector:
    """Finds gaps: `observe_reading` every reading once, in order; `take_missed` now and then. Pure."""

    def __init__(self) -> None:
        self._intervals: dict[str, _Interval] = {}
        self._missing = 0
        self._devices: set[str] = set()
        self._gaps: list[str] = []
        self._unnamed = 0

    def observe_reading(self, device: str, at_ms: int) -> None:
        """Look at a reading with the device's own time, milliseconds since 1970 UTC."""
        known = self._intervals.get(device)
        if known is None:
            if len(self._intervals) >= MAX_DEVICES:
                self._intervals.clear()
            self._intervals[device] = _Interval(at_ms)
            return
        step_ms, length_ms = at_ms - known.last_ms, known.length_ms
        if step_ms <= 0:
            return  # late, or sent twice
        if length_ms and abs(step_ms - length_ms) <= _TOLERANCE_MS:
            known.times += 1
        elif (count := self._left_out(known, step_ms)) > 0:
            self._missing += count
            self._devices.add(device)
            if len(self._gaps) < MAX_NAMED:
                between = f"{iso_ms(known.last_ms)} and {iso_ms(at_ms)}"
                self._gaps.append(f"{device}, {count} between {between}, one every {length_ms // 1000} s")
            else:
                self._unnamed += 1
        else:
            known.length_ms, known.times = (step_ms if step_ms >= _SHORTEST_MS else 0), 1
        known.last_ms = at_ms

    def take_missed(self) -> MissedReadings | None:
        """Return what is missing since the last time; None where there is nothing to say."""
        if not self._missing:
            return None
        found = MissedReadings(self._missing, len(self._devices), self._gaps, self._unnamed)
        self._missing, self._devices, self._gaps, self._unnamed = 0, set(), [], 0
        return found

    def _left_out(self, known: _Interval, step_ms: int) -> int:
        """Return how many readings would have fallen between two; 0 where the interval has begun anew."""
        if known.times < _STEADY:
            return 0
        times = round(step_ms / known.length_ms)
        # To the second, however many they are: each interval is a whole number of seconds.
        is_whole = abs(step_ms - times * known.length_ms) <= _TOLERANCE_MS
        return times - 1 if is_whole and 2 <= times <= _MOST_MISSING else 0
