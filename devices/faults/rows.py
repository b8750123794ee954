"""The rows of a table that a fault affects, and what most faults do with them: draw chances, replace values."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from devices.sensors.columns import Column, Columns, plain_values, take_rows
from devices.world.random import Flags, Floats, Hashes, Ints, hash_bits

NO_ROWS: Ints = np.empty(0, dtype=np.int64)


class ReadingSource(Protocol):
    """Takes readings of devices (positions in the timeline) that are not in a table."""

    def last_reading_before(self, positions: Ints, instants: Ints) -> Columns:
        """Return the undisturbed reading that each device took last before an instant."""
        ...

    def read_searching(self, positions: Ints, times: Ints, unfound: Floats) -> Columns:
        """Return what their receivers read at these times that have yet to find this share of the satellites, 0 to 1.

        There are no columns where the devices have no such receivers.
        """
        ...


def _no_source(_which: Ints, _unfound: Floats) -> Columns:
    return {}


@dataclass(frozen=True, slots=True)
class AffectedRows:
    """The rows in which a fault is there, one entry a row in every array."""

    seed: int
    stream: str
    """Name of the fault's random draws."""
    rows: Ints
    """Numbers of the rows in their table."""
    keys: Hashes
    """Keys of the devices."""
    times: Ints
    """True time of each row, ms since 1970 UTC."""
    since_ms: Ints
    """How long the fault has been there, or was."""
    after_ms: Ints
    """How long ago it ended; negative where it is there, as it always is but for faults that have a `trail_ms`."""
    last_good: Callable[[], Columns]
    """Computes the undisturbed last readings before the fault, a row each."""
    read_searching: Callable[[Ints, Floats], Columns] = _no_source
    """Computes what receivers read in some of the rows (by their numbers among these) while they still search the sky,
    as `ReadingSource` does."""

    def random_bits(self, name: str) -> Hashes:
        """Return random bits for each row; other names have other bits."""
        return hash_bits(self.seed, f"{self.stream}/{name}", self.keys, self.times)

    def select(self, chosen: Flags) -> "AffectedRows":
        """Return some of the rows."""
        where = np.flatnonzero(chosen)
        return replace(
            self,
            rows=self.rows[where],
            keys=self.keys[where],
            times=self.times[where],
            since_ms=self.since_ms[where],
            after_ms=self.after_ms[where],
            last_good=lambda: {name: take_rows(column, where) for name, column in self.last_good().items()},
            read_searching=lambda which, unfound: self.read_searching(where[which], unfound),
        )


def values_in(column: Column, rows: Ints) -> NDArray[Any] | list[Any]:
    """Return the values that stand in these rows."""
    found = take_rows(column, rows)
    return found if isinstance(found, np.ndarray) else plain_values(found)


def replace_values(column: Column, rows: Ints, values: Sequence[Any] | NDArray[Any]) -> Column:
    """Return a copy of the column with these values in these rows; an array stays one unless a value is None."""
    if isinstance(column, np.ndarray) and (isinstance(values, np.ndarray) or None not in values):
        changed = column.copy()
        changed[rows] = values
        return changed
    listed = list(plain_values(column))
    plain = values.tolist() if isinstance(values, np.ndarray) else values
    for row, value in zip(rows.tolist(), plain, strict=True):
        listed[row] = value
    return listed


def differing_rows(before: Columns, after: Columns) -> Ints:
    """Return the rows in which some column of `after` differs from the one of the same name before."""
    everywhere = np.arange(len(next(iter(after.values()), [])))
    return np.unique(np.concatenate([NO_ROWS, *(differing(before[name], after[name], everywhere) for name in after)]))


def differing(before: Iterable[Any], after: Iterable[Any], rows: Ints) -> Ints:
    """Return those of these rows in which two columns differ."""
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        return np.asarray(rows[before[rows] != after[rows]])
    old, new = list(before), list(after)
    return np.array([row for row in rows.tolist() if old[row] != new[row]], dtype=np.int64)
