"""The time that messages show where they go out at a pace of their own: the k-th one that of its turn.

Whatever time a message names is mapped, not only its own, and always to the same: a session agrees with its entry and
its exit.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from devices.sensors.columns import Columns
from devices.sensors.fields import time_fields
from devices.sensors.registry import KINDS
from devices.timeline.table import Table
from devices.world.random import Ints
from devices.world.timestamps import timestamps
from edgewire.clock import iso_ms, parse_ms

_KEPT = 200_000
"""Turns that are remembered: of what a message tells of the time before them, the distance stays."""


class PacedTime:
    """Maps when a message is due to its turn: `interval_ms` after the one before it, from `start_ms` on.

    Messages that are due together show the turn of the first of them.
    """

    def __init__(self, start_ms: int, interval_ms: float) -> None:
        self.start_ms = start_ms
        self._interval_ms = interval_ms
        self._turns = 0
        self._due: Ints = np.array([start_ms])
        self._shown: Ints = np.array([start_ms])

    def extend(self, due_ms: Ints) -> None:
        """Give the next messages, in their order, their turns."""
        shown = self.start_ms + np.rint((self._turns + np.arange(len(due_ms))) * self._interval_ms).astype(np.int64)
        self._turns += len(due_ms)
        due, first = np.unique(np.concatenate([self._due, due_ms]), return_index=True)
        self._due, self._shown = due[-_KEPT:], np.concatenate([self._shown, shown])[first][-_KEPT:]

    def __call__(self, times_ms: Ints) -> Ints:
        """Return what is shown for these times; between two turns it passes evenly, beyond them as ever."""
        inside = np.interp(times_ms, self._due, np.arange(len(self._due)))
        low = np.floor(inside).astype(np.int64)
        high = np.minimum(low + 1, len(self._due) - 1)
        between = self._shown[low] + np.rint((self._shown[high] - self._shown[low]) * (inside - low)).astype(np.int64)
        before, after = self._due[0] - times_ms, times_ms - self._due[-1]
        return np.where(before > 0, self._shown[0] - before, np.where(after > 0, self._shown[-1] + after, between))


def with_shown_times(table: Table, clock_error_ms: Ints, paced: PacedTime) -> Table:
    """Return a table whose messages name the times that are shown, a device's clock being wrong by the error."""
    kind = KINDS[table.kind]
    if not isinstance(table.columns, dict):
        errors = clock_error_ms.tolist()
        rows = [_event(table.kind, row, error, paced) for row, error in zip(table.columns, errors, strict=True)]
        return replace(table, columns=[kind.restamp_event(row) for row in rows] if kind.restamp_event else rows)
    columns: Columns = dict(table.columns)
    for name in set(time_fields(table.kind)) & set(columns):
        true = np.array([parse_ms(text) for text in columns[name]], dtype=np.int64) - clock_error_ms
        columns[name] = timestamps(paced(true) + clock_error_ms)
    if kind.restamp_columns:
        columns |= kind.restamp_columns(columns, paced(table.times), paced.start_ms)
    return replace(table, columns=columns)


def _event(kind: str, row: Mapping[str, Any], error_ms: int, paced: PacedTime) -> dict[str, Any]:
    names = set(time_fields(kind))
    true = {name: parse_ms(value) - error_ms for name, value in row.items() if name in names}
    shown = paced(np.array(list(true.values()), dtype=np.int64)).tolist()
    return {**row, **{name: iso_ms(at + error_ms) for name, at in zip(true, shown, strict=True)}}
