"""Rows that are alike and stand side by side: what follows from them alone is computed once and spread over all.

Readings are computed device by device, so all that belongs to a device, its trip or its road stands in runs.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.world.random import Ints


class Runs:
    """Finds the runs of rows in which none of some columns changes."""

    __slots__ = ("_run", "first")

    def __init__(self, *columns: NDArray[Any]) -> None:
        """Take columns of one length; any row may be alike with one that stands elsewhere."""
        is_new = np.ones(len(columns[0]), dtype=np.bool_)
        is_new[1:] = columns[0][1:] != columns[0][:-1]
        for column in columns[1:]:
            is_new[1:] |= column[1:] != column[:-1]
        self.first: Ints = np.flatnonzero(is_new)
        """The first row of each run."""
        self._run: Ints | None = None if len(self.first) == len(is_new) else np.cumsum(is_new) - 1

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the value of each row's run, of values with one for each run."""
        return values if self._run is None else values.take(self._run, axis=0)


def distinct(keys: NDArray[Any]) -> tuple[NDArray[Any], Ints, Ints]:
    """Return the keys there are in ascending order, the first row of each, and of every row the place of its key.

    It is what `np.unique` returns, in a fraction of the time where keys stand in runs.
    """
    runs = Runs(keys)
    found, first, places = np.unique(keys[runs.first], return_index=True, return_inverse=True)
    return found, runs.first[first], runs.spread(places)
