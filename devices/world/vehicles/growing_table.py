"""A table that grows: what the vehicles' caches keep their rows in."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from devices.world.random import Ints


class GrowingTable:
    """Holds rows of numbers that more are added to; room is doubled when it runs out."""

    def __init__(self, width: int, dtype: DTypeLike) -> None:
        """`width` is how many numbers a row has."""
        self._room: NDArray[Any] = np.empty((1024, width), dtype=dtype)
        self._size = 0

    def __len__(self) -> int:
        """Count the rows."""
        return self._size

    @property
    def values(self) -> NDArray[Any]:
        """Return all rows; valid until more are added."""
        return self._room[: self._size]

    def extend(self, rows: NDArray[Any]) -> None:
        """Add rows at the end."""
        size = self._size + len(rows)
        if size > len(self._room):
            grown = np.empty((max(size, 2 * len(self._room)), self._room.shape[1]), dtype=self._room.dtype)
            grown[: self._size] = self.values
            self._room = grown
        self._room[self._size : size] = rows
        self._size = size

    def keep(self, rows: Ints) -> None:
        """Forget all but some rows, which are named in their order and move up."""
        self._room[: len(rows)] = self._room[rows]
        self._size = len(rows)

    def clear(self) -> None:
        """Forget all rows."""
        self._size = 0
