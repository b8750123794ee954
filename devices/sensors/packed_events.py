"""What happened at some devices, packed: events of few shapes, and those of one shape as columns.

It reads like a list of its rows, each a dict. What is made of many (their JSON, their Arrow arrays, some of them) is
made of the columns: a Parquet file of the visits to 1,000 shops takes two fifths of the time it takes with a dict each.
"""

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np

from devices.sensors.columns import Columns, concat_columns, plain_values, take_rows
from devices.world.random import Ints


class PackedEvents(Sequence[dict[str, Any]]):
    """Events whose fields are columns, shape by shape. What is taken of them shares these."""

    __slots__ = ("_events", "_rows", "_shapes", "_which")

    def __init__(self, shapes: Sequence[Columns], which: Ints, rows: Ints) -> None:
        """`shapes` have one field at the least; `which` and `rows` name the shape of each event, and its row there."""
        self._shapes, self._which, self._rows = shapes, which, rows
        self._events: list[dict[str, Any]] | None = None

    @classmethod
    def concat(cls, parts: "Sequence[PackedEvents]") -> "PackedEvents":
        """Return the events of some parts that have the same shapes, in order."""
        if len(parts) == 1:
            return parts[0]
        shapes = [
            {name: concat_columns([part._shapes[shape][name] for part in parts]) for name in columns}
            for shape, columns in enumerate(parts[0]._shapes)
        ]
        lengths = np.array([[_length(columns) for columns in part._shapes] for part in parts])
        begins = np.cumsum(lengths, axis=0) - lengths
        rows = [part._rows + begin[part._which] for part, begin in zip(parts, begins, strict=True)]
        return cls(shapes, np.concatenate([part._which for part in parts]), np.concatenate(rows))

    def __len__(self) -> int:
        return len(self._which)

    @overload
    def __getitem__(self, row: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, row: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, row: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        return self.tolist()[row]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.tolist())

    def tolist(self) -> list[dict[str, Any]]:
        """Return a dict an event."""
        if self._events is None:
            events: list[dict[str, Any]] = [{}] * len(self)
            for places, columns in self.by_shape():
                values = zip(*(plain_values(column) for column in columns.values()), strict=True)
                for place, row in zip(places.tolist(), values, strict=True):
                    events[place] = dict(zip(columns, row, strict=True))
            self._events = events
        return self._events

    def take(self, rows: Ints) -> "PackedEvents":
        """Return some of the events, in the order given."""
        return PackedEvents(self._shapes, self._which[rows], self._rows[rows])

    def by_shape(self) -> Iterator[tuple[Ints, Columns]]:
        """Yield the events of every shape that is there: their places among all, and their columns."""
        for shape, columns in enumerate(self._shapes):
            places = np.flatnonzero(self._which == shape)
            if len(places):
                rows = self._rows[places]
                yield places, {name: take_rows(column, rows) for name, column in columns.items()}


def _length(columns: Columns) -> int:
    return len(next(iter(columns.values())))
