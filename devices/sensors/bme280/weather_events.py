"""The weather events of an indoor BME280: when each begins, how long it lasts, and how strong it is at a reading.

Outside of an event one begins at a reading with the chance that is set. So the gaps between events are exponential and
their lengths uniform; time is cut into long slots, in each of which the events follow one another from its beginning.
An event that would reach beyond its slot is left out: less than one in a hundred.
"""

from dataclasses import dataclass

import numpy as np

from devices.world.random import Floats, Hashes, Ints, extend, uniform

KINDS = 3
"""Kinds of events, drawn evenly; in the place of none stands this number."""
_LONGEST_IN_SLOT = 100
_EVENTS_BESIDE = 200
"""Slots are laid out for all places where they hold no more events than four times the rows asked for, and these."""
_TABLES_KEPT = 4


def per_place(values: Ints, places: Ints) -> Ints | np.int64:
    """Return the value of each place; where there is one place alone, one number, which is quicker to reckon with."""
    return values[0] if len(values) == 1 else values.take(places, mode="clip")


@dataclass(frozen=True, slots=True)
class _Table:
    """Hold the events of some slots, one after the other on one axis of `span` ms a slot."""

    begin: Floats
    length: Floats
    kind: Ints


class WeatherEvents:
    """The events at some places; a place has its own seed and interval."""

    def __init__(self, seeds: Hashes, interval_ms: Ints, chance: float, readings: tuple[int, int]) -> None:
        """`chance` is that of a reading outside an event, `readings` the shortest and the longest event."""
        self._seeds, self._interval = seeds, interval_ms
        self._shortest, self._longest = readings
        self._slot_ms = _LONGEST_IN_SLOT * self._longest * interval_ms
        self._span = float(self._slot_ms.max(initial=1)) + 1
        # A hazard a reading, as a rate: one begins at the next reading with the chance 1 - exp(-rate).
        self._rate = -np.log1p(-chance)
        mean = _LONGEST_IN_SLOT * self._longest / (1 / max(self._rate, 1e-12) + (self._shortest + self._longest) / 2)
        self._most = int(np.ceil(mean + 6 * np.sqrt(mean) + 4)) if chance else 0
        self._tables: dict[bytes, _Table] = {}

    def at(self, places: Ints, times_ms: Ints) -> tuple[Ints, Floats]:
        """Return the kind of event at each place and time, and how strong it is: 0 at its ends, 1 in its middle."""
        if not self._most or not len(times_ms):
            return np.full(len(times_ms), KINDS), np.zeros(len(times_ms))
        slot_ms = per_place(self._slot_ms, places)
        slot = times_ms // slot_ms
        first = int(times_ms.min()) // self._slot_ms
        count = int(times_ms.max()) // self._slot_ms - first + 1
        before = np.cumsum(count) - count
        if int(count.sum()) * self._most <= 4 * len(times_ms) + _EVENTS_BESIDE * len(self._seeds):
            table = self._laid_out(first, count)
            cell = slot + per_place(before - first, places)
        else:
            codes, cell = np.unique(slot + per_place(before - first, places), return_inverse=True)
            owner = before.searchsorted(codes, side="right") - 1
            table = self._table(owner, codes - before[owner] + first[owner])
        axis = cell * self._span + (times_ms - slot * slot_ms)
        last = table.begin.searchsorted(axis, side="right") - 1
        phase = (axis - table.begin.take(last, mode="clip")) / table.length.take(last, mode="clip")
        inside = (phase > 0) & (phase < 1)
        # Rises and falls over the whole event, so that no step between two readings is large.
        wave = np.minimum(phase, 1 - phase)
        smooth = 4 * wave * wave * (3 - 4 * wave)
        return np.where(inside, table.kind.take(last, mode="clip"), KINDS), np.where(inside, smooth, 0.0)

    def _laid_out(self, first: Ints, count: Ints) -> _Table:
        key = first.tobytes() + count.tobytes()
        known = self._tables.get(key)
        if known is None:
            owner = np.repeat(np.arange(len(count)), count)
            slots = np.arange(len(owner)) - (np.cumsum(count) - count)[owner] + first[owner]
            while len(self._tables) >= _TABLES_KEPT:
                del self._tables[next(iter(self._tables))]
            known = self._tables[key] = self._table(owner, slots)
        return known

    def _table(self, places: Ints, slots: Ints) -> _Table:
        """Return the events of these slots, a row of the most that there can be each."""
        bits = extend(self._seeds[places][:, None], slots[:, None], np.arange(self._most))
        gap = -np.log1p(-uniform(bits)) / self._rate
        length = self._shortest + (self._longest - self._shortest) * uniform(extend(bits, 1))
        end = np.cumsum(gap + length, axis=1)
        interval = self._interval[places][:, None]
        fits = end * interval < self._slot_ms[places][:, None]
        begin = np.where(fits, (end - length) * interval, self._span - 1)
        kind = (extend(bits, 2) % np.uint64(KINDS)).astype(np.int64)
        at = np.arange(len(places))[:, None] * self._span
        return _Table((begin + at).ravel(), np.where(fits, length * interval, 1e-3).ravel(), kind.ravel())
