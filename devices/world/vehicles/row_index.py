"""An index of rows by whole numbers: two packed arrays, 12 bytes a row where a dictionary takes a hundred."""

import numpy as np
from numpy.typing import NDArray

from devices.world.random import Flags, Ints

UNKNOWN = -1
"""The row of a key that is not there."""


class RowIndex:
    """Finds the rows of a table by their keys, any number at once."""

    def __init__(self) -> None:
        self._keys: Ints = np.empty(0, dtype=np.int64)
        """Ascending."""
        self._rows: NDArray[np.int32] = np.empty(0, dtype=np.int32)

    def __len__(self) -> int:
        """Count the keys."""
        return len(self._keys)

    def find(self, keys: Ints) -> Ints:
        """Return the row of each key, `UNKNOWN` where there is none."""
        if not len(self._keys):
            return np.full(len(keys), UNKNOWN, dtype=np.int64)
        at = np.minimum(self._keys.searchsorted(keys), len(self._keys) - 1)
        return np.where(self._keys[at] == keys, self._rows[at], UNKNOWN).astype(np.int64)

    def add(self, keys: Ints, first_row: int) -> None:
        """Add keys that are not there yet, in ascending order; their rows follow one another."""
        before = self._keys.searchsorted(keys)
        self._keys = np.insert(self._keys, before, keys)
        self._rows = np.insert(self._rows, before, np.arange(first_row, first_row + len(keys), dtype=np.int32))

    def keep(self, stays: Flags) -> None:
        """Forget the keys of rows that do not stay; the others move up."""
        kept = stays[self._rows]
        self._keys, rows = self._keys[kept], self._rows[kept]
        self._rows = (np.cumsum(stays) - 1).astype(np.int32)[rows]

    def clear(self) -> None:
        """Forget all keys."""
        self._keys, self._rows = self._keys[:0].copy(), self._rows[:0].copy()


def ranges(first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """Return the whole numbers from each first to its last, and beside each which of these ranges it is from."""
    count = last - first + 1
    which = np.repeat(np.arange(len(count)), count)
    return np.arange(len(which)) + (first - (np.cumsum(count) - count))[which], which
