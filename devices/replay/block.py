"""A block of recorded rows: of each device its own, in the order of time, as arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.world.random import Floats, Ints


@dataclass(frozen=True, slots=True)
class RecordedTexts:
    """Holds texts as the numbers of those that there are; -1 is none."""

    codes: NDArray[np.int32]
    words: tuple[str, ...]

    def take(self, rows: Ints) -> NDArray[Any]:
        """Return the texts of some rows, None where there is none."""
        known = np.empty(len(self.words) + 1, dtype=object)
        known[:-1] = self.words
        return np.asarray(known[self.codes[rows]])


Values = Floats | RecordedTexts
"""Of a column; a number that is missing is not a number."""


class ReplayBlock:
    """Rows of a recording, sorted by device and time."""

    def __init__(self, ids: NDArray[np.int32], times_ms: Ints, columns: Mapping[str, Values]) -> None:
        """`ids` are numbers of devices; the rows of each are in the order of time, and need not be together."""
        order = np.argsort(ids, kind="stable")
        self._times_ms = times_ms[order]
        self._columns = {name: _taken(values, order) for name, values in columns.items()}
        self.ids, self._starts = np.unique(ids[order], return_index=True)
        self._ends = np.append(self._starts[1:], len(order))
        self.bytes = len(ids) * (8 + 8 * len(columns))

    @property
    def first_ms(self) -> Ints:
        """Return the first time of each of its devices."""
        return np.asarray(self._times_ms[self._starts])

    @property
    def last_ms(self) -> Ints:
        """Return the last time of each of its devices."""
        return np.asarray(self._times_ms[self._ends - 1])

    def rows_at(self, ids: Ints, times_ms: Ints) -> tuple[Ints, Floats]:
        """Return the last row of each device up to a time, or its first, and the share of the way to the next."""
        rows = np.zeros(len(ids), dtype=np.int64)
        share = np.zeros(len(ids))
        for one in np.unique(ids).tolist():
            place = int(np.searchsorted(self.ids, one))
            start, end = int(self._starts[place]), int(self._ends[place])
            asked = np.flatnonzero(ids == one)
            known = self._times_ms[start:end]
            found = np.maximum(np.searchsorted(known, times_ms[asked], side="right") - 1, 0)
            rows[asked] = start + found
            after = np.minimum(found + 1, end - start - 1)
            gap = np.maximum(known[after] - known[found], 1)
            share[asked] = np.clip((times_ms[asked] - known[found]) / gap, 0, 1) * (after > found)
        return rows, share

    def values(self, name: str, rows: Ints, share: Floats | None) -> NDArray[Any]:
        """Return the values of a column; with `share` numbers on the straight line to the next row."""
        column = self._columns[name]
        if isinstance(column, RecordedTexts):
            return column.take(rows)
        found = column[rows]
        if share is None:
            return np.asarray(found)
        after = column[np.minimum(rows + (share > 0), len(column) - 1)]
        between = found + (after - found) * share
        return np.asarray(np.where(np.isfinite(between), between, found))


def _taken(values: Values, rows: Ints) -> Values:
    return (
        RecordedTexts(values.codes[rows], values.words)
        if isinstance(values, RecordedTexts)
        else np.asarray(values[rows])
    )
