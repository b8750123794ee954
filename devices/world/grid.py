"""Slow quantities, computed at instants of a clock-aligned grid and interpolated between them.

What changes over hours need not be computed for each of a thousand readings of one second; and as the instants are
those of the clock, a value stays a function of place and time.
"""

from collections.abc import Callable

import numpy as np

from devices.world.rng import Floats, Ints
from devices.world.site import MINUTE_MS

GRID_MS = 5 * MINUTE_MS
# A stretch of the grid is computed for all places, with spare cells ahead, where it has no more points than this
# beyond four for each row asked for; the points of a sparser question are computed one by one.
_SPARE_POINTS = 20_000
_BLOCK_POINTS = 256
_TABLES_KEPT = 16


class Grid:
    """Quantities of some places over time. The stretches last asked for are kept: small questions cost little."""

    def __init__(self, compute: Callable[[Ints, Ints], Floats], places: int) -> None:
        """`compute(places, times)` gives one row of values a quantity; it must be a pure function of each pair."""
        self._compute = compute
        self._places = places
        self._block = max(1, _BLOCK_POINTS // places)
        self._tables: dict[tuple[int, int], Floats] = {}

    def at(self, places: Ints, times_ms: Ints) -> Floats:
        """The quantities at these places and instants: an array of (quantities, rows)."""
        cell = times_ms // GRID_MS
        share = (times_ms - cell * GRID_MS) / GRID_MS
        if not len(cell):
            return self._compute(places, times_ms)
        first, last = int(cell.min()), int(cell.max()) + 1
        if (last - first + 1) * self._places <= _SPARE_POINTS + 4 * len(cell):
            start = first // self._block
            table = self._table(start, last // self._block)
            left = (cell - start * self._block) * self._places + places
            right = left + self._places
        else:
            codes, points = np.unique(
                np.concatenate([cell, cell + 1]) * self._places + np.concatenate([places, places]), return_inverse=True
            )
            table = self._compute(codes % self._places, codes // self._places * GRID_MS)
            left, right = points[: len(cell)], points[len(cell) :]
        lower = table.take(left, axis=1)
        return np.asarray(lower + (table.take(right, axis=1) - lower) * share)

    def _table(self, first_block: int, last_block: int) -> Floats:
        """All places at the instants of these blocks, place by place within an instant."""
        known = self._tables.get((first_block, last_block))
        if known is None:
            cells = np.arange(first_block * self._block, (last_block + 1) * self._block)
            places = np.tile(np.arange(self._places), len(cells))
            known = self._compute(places, np.repeat(cells * GRID_MS, self._places))
            while len(self._tables) >= _TABLES_KEPT:
                del self._tables[next(iter(self._tables))]
            self._tables[first_block, last_block] = known
        return known
