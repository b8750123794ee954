"""The visits of the minutes ahead at the doors of many shops: all that a live run asks for, one second after the other.

A day of a door with 1,000 customers takes 24 KB (`VisitDay`), and what falls due within minutes a fiftieth of that. So
a day is drawn again every few minutes, some shops at a time, and what falls due in the next ones is cut from it.
"""

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from devices.sensors.people.rank_index import RankIndex
from devices.sensors.people.visits import SPAN_MS, VisitCut, VisitDay, VisitMessages, VisitRows, code_ranges
from devices.world.random import Flags, Ints
from devices.world.shops import Shops
from devices.world.world import DAY_MS, World

AHEAD_MS = 300_000
"""How far ahead visits are known. Twice as far takes .3 KB more a door, and half of the time to draw them."""
_SOON_MS = 10_000
"""Shops whose windows end so soon after others' are drawn with these: what is known of all is joined anew each time."""
_SHOPS_DRAWN = 25


class VisitWindows:
    """Draws what is known of the visits, and draws more when that is asked for; from whatever thread."""

    def __init__(
        self, world: World, shops: Shops, day: int, accuracy: float, powered_on_ms: int, lookback_ms: int
    ) -> None:
        """`lookback_ms` is how long before an instant that is reached is asked for."""
        self._world, self._shops, self._day = world, shops, day
        self._accuracy, self._powered_on_ms, self._lookback_ms = accuracy, powered_on_ms, lookback_ms
        self._lock = Lock()
        self.known = KnownVisits.nothing(len(shops.keys), day)

    def reach(self, shops: Ints, begin_ms: int, end_ms: int) -> "KnownVisits":
        """Move the windows of these shops to where [begin_ms, end_ms] is in them, and return all that is known then."""
        with self._lock:
            if not self.known.covers(shops, begin_ms, end_ms):
                self.known = self._moved(self.known, shops, begin_ms, end_ms)
            return self.known

    def _moved(self, known: "KnownVisits", shops: Ints, begin_ms: int, end_ms: int) -> "KnownVisits":
        moved = np.zeros(len(known.from_ms), dtype=np.bool_)
        moved[shops // _SHOPS_DRAWN] = True
        moved &= (known.from_ms > begin_ms) | (known.to_ms < end_ms + _SOON_MS)
        chunks = np.flatnonzero(moved)
        # The first windows end one after the other, so that not all shops are drawn at once again.
        sooner = np.where(known.to_ms[chunks] == 0, AHEAD_MS * chunks // len(moved), 0)
        from_ms, to_ms, before = known.from_ms.copy(), known.to_ms.copy(), known.before.copy()
        from_ms[chunks] = begin_ms - self._lookback_ms
        to_ms[chunks] = end_ms + _SOON_MS + AHEAD_MS - sooner
        cuts = [known.of_chunks(~moved)]
        for chunk in chunks.tolist():
            begin = chunk * _SHOPS_DRAWN
            some = slice(begin, begin + _SHOPS_DRAWN)
            day = VisitDay(self._world, self._shops.take(some), self._day, self._accuracy, self._powered_on_ms)
            before[:, some] = day.before(int(from_ms[chunk]))
            # What is in the last millisecond of a window is asked for, too.
            cuts.append(day.cut(int(from_ms[chunk]), int(to_ms[chunk]) + 1).shifted(begin))
        return KnownVisits(known.base_ms, from_ms, to_ms, before, VisitCut.joined(cuts))


class KnownVisits:
    """Answers as `VisitDay` does, in the window of each shop."""

    __slots__ = ("_cut", "_on_time", "_seen_in", "_seen_out", "base_ms", "before", "from_ms", "to_ms")

    def __init__(self, base_ms: int, from_ms: Ints, to_ms: Ints, before: NDArray[np.int32], cut: VisitCut) -> None:
        """Windows are of some shops each; `before` has what each shop had before that (see `VisitDay.before`)."""
        self.base_ms, self.from_ms, self.to_ms, self.before, self._cut = base_ms, from_ms, to_ms, before, cut
        self._on_time = RankIndex(~cut.is_late)
        self._seen_in, self._seen_out = RankIndex(cut.is_seen_in), RankIndex(cut.is_seen_out)

    @classmethod
    def nothing(cls, shops: int, day: int) -> "KnownVisits":
        """Return windows that end before they begin."""
        chunks = -(-shops // _SHOPS_DRAWN)
        never = np.ones(chunks, dtype=np.int64), np.zeros(chunks, dtype=np.int64)
        return cls((day - 1) * DAY_MS, *never, np.zeros((4, shops), dtype=np.int32), VisitCut.none())

    def covers(self, shops: Ints, begin_ms: int, end_ms: int) -> bool:
        """Tell whether [begin_ms, end_ms] is in the windows of these shops."""
        chunks = shops // _SHOPS_DRAWN
        return bool((self.from_ms[chunks] <= begin_ms).all() and (end_ms <= self.to_ms[chunks]).all())

    def is_behind(self, shops: Ints, time_ms: int) -> bool:
        """Tell whether the windows of some of these shops end before an instant."""
        return bool((self.to_ms[shops // _SHOPS_DRAWN] < time_ms).any())

    def of_chunks(self, is_kept: Flags) -> VisitCut:
        """Return what is known of some windows."""
        return self._cut.of_shops(np.repeat(is_kept, _SHOPS_DRAWN))

    def count_before(self, shops: Ints, time_ms: int) -> Ints:
        """Count the messages of each shop before an instant."""
        late, exits = self._cut.late.codes, self._cut.exits.codes
        stop, begin = self._code(shops, np.full(len(shops), time_ms)), shops * SPAN_MS
        told = self.before[0][shops] + _counted(self._on_time, self._cut.entries.codes, begin, stop)
        told = told + late.searchsorted(stop) - late.searchsorted(begin)
        left = self.before[1][shops] + exits.searchsorted(stop) - exits.searchsorted(begin)
        return np.asarray(told + 2 * left, dtype=np.int64)

    def messages(self, shops: Ints, start_ms: int, stop_ms: int) -> VisitMessages:
        """Return those in [start_ms, stop_ms)."""
        cut = self._cut
        start, stop = (self._code(shops, np.full(len(shops), moment)) for moment in (start_ms, stop_ms))
        came, entry = code_ranges(cut.entries.codes, start, stop)
        is_told = ~cut.is_late[entry]
        came_before, late = code_ranges(cut.late.codes, start, stop)
        left, exit_ = code_ranges(cut.exits.codes, start, stop)
        return VisitMessages.in_order(
            np.concatenate([came[is_told], came_before]),
            VisitRows.concat([cut.entries.take(entry[is_told]), cut.late.take(late)]),
            left,
            cut.exits.take(exit_),
            self.base_ms,
            has_late=len(late) > 0,
        )

    def counted_until(self, shops: Ints, times_ms: Ints) -> Ints:
        """Return entries and exits (a row each) that the counters have seen from local midnight to these instants."""
        stop, begin = self._code(shops, times_ms) + 1, shops * SPAN_MS
        entries = self.before[2][shops] + _counted(self._seen_in, self._cut.entries.codes, begin, stop)
        exits = self.before[3][shops] + _counted(self._seen_out, self._cut.exits.codes, begin, stop)
        return np.stack([entries, exits]).astype(np.int64)

    def counted_all(self, shops: Ints) -> Ints:
        """Return as `counted_until` does, over the whole day, beyond the end of which the windows reach."""
        return self.counted_until(shops, np.full(len(shops), self.base_ms + SPAN_MS))

    def _code(self, shops: Ints, times_ms: Ints) -> Ints:
        return np.asarray(shops * SPAN_MS + np.clip(times_ms - self.base_ms, 0, SPAN_MS - 1))


def _counted(index: RankIndex, codes: Ints, begin: Ints, stop: Ints) -> Ints:
    """Count the flagged rows from each of these codes to the other."""
    return index.rank(codes.searchsorted(stop)) - index.rank(codes.searchsorted(begin))
