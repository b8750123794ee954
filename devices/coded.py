"""A column in which few objects stand in many rows, as the objects and for each row the number of its own."""

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]


class Coded(Sequence[Any]):
    """Reads like a list of its rows. What is made of every object is made once (`map`), and rows are picked as numbers.

    `objects` may hold some that stand in no row.
    """

    __slots__ = ("codes", "objects")

    def __init__(self, codes: Codes, objects: Sequence[Any]) -> None:
        self.codes = codes
        self.objects = objects

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, row: int) -> Any: ...

    @overload
    def __getitem__(self, row: slice) -> "Coded": ...

    def __getitem__(self, row: int | slice) -> Any:
        return Coded(self.codes[row], self.objects) if isinstance(row, slice) else self.objects[self.codes[row]]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def tolist(self) -> list[Any]:
        """One object a row."""
        known = np.empty(len(self.objects), dtype=object)
        known[:] = self.objects
        found: list[Any] = known[self.codes].tolist()
        return found

    def pick(self, rows: Codes) -> "Coded":
        """Some of its rows, in the order given."""
        return Coded(self.codes[rows], self.objects)

    def map(self, objects: Sequence[Any]) -> "Coded":
        """Other objects in the place of these, one for each."""
        return Coded(self.codes, objects)
