"""Columns of readings: one value a row, in an array where all are numbers, else packed.

Every packed column reads like a list of its rows. What is made of one (its JSON, its Arrow array, some of its rows) is
made of the arrays in it, which costs a fraction of going through objects row by row.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from devices.world.random import Flags, Ints
from devices.world.runs import distinct
from devices.world.timestamps import timestamps

_DISTINCT_CODES = 2**62


class PackedColumn(Sequence[Any]):
    """A column that keeps its rows in arrays."""

    __slots__ = ()

    @abstractmethod
    def tolist(self) -> list[Any]:
        """Return one object a row."""

    @abstractmethod
    def take(self, rows: Ints | slice) -> Self:
        """Return some of its rows, in the order given."""

    @overload
    def __getitem__(self, row: int) -> Any: ...

    @overload
    def __getitem__(self, row: slice) -> Self: ...

    def __getitem__(self, row: int | slice) -> Any:
        return self.take(row) if isinstance(row, slice) else self.take(np.array([row])).tolist()[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())


class DictionaryColumn(PackedColumn):
    """A column in which few objects stand in many rows: the objects, and for each row the index of its own.

    What is made of every object is made once (`with_dictionary`). The dictionary may hold objects that stand in no row.
    """

    __slots__ = ("dictionary", "indices")

    def __init__(self, indices: Ints, dictionary: Sequence[Any]) -> None:
        self.indices = indices
        self.dictionary = dictionary

    def __len__(self) -> int:
        return len(self.indices)

    def tolist(self) -> list[Any]:
        """Return one object a row."""
        objects = np.empty(len(self.dictionary), dtype=object)
        objects[:] = self.dictionary
        rows: list[Any] = objects[self.indices].tolist()
        return rows

    def take(self, rows: Ints | slice) -> Self:
        """Return some of its rows, in the order given."""
        return type(self)(self.indices[rows], self.dictionary)

    def with_dictionary(self, dictionary: Sequence[Any]) -> "DictionaryColumn":
        """Return the same rows with other objects in the place of these, one for each."""
        return DictionaryColumn(self.indices, dictionary)

    def compacted(self) -> "DictionaryColumn":
        """Return the same rows with a dictionary of nothing but what stands in them, in the order in which it does."""
        first = np.full(len(self.dictionary), len(self.indices))
        # Of several rows with one index the last to be written is the first.
        first[self.indices[::-1]] = np.arange(len(self.indices))[::-1]
        there = np.flatnonzero(first < len(self.indices))
        there = there[np.argsort(first[there])]
        places = np.zeros(len(self.dictionary), dtype=np.int64)
        places[there] = np.arange(len(there))
        return DictionaryColumn(places[self.indices], [self.dictionary[index] for index in there.tolist()])


class NullableColumn(PackedColumn):
    """A column of numbers, some of which are not known: None where they are not."""

    __slots__ = ("known", "values")

    def __init__(self, values: NDArray[Any], known: Flags) -> None:
        """Whatever stands in `values` where it is not `known` is never told."""
        self.values = values
        self.known = known

    def __len__(self) -> int:
        return len(self.values)

    def tolist(self) -> list[Any]:
        """Return a number a row, or None."""
        column = self.values.astype(object)
        column[~self.known] = None
        rows: list[Any] = column.tolist()
        return rows

    def take(self, rows: Ints | slice) -> Self:
        """Return some of its rows, in the order given."""
        return type(self)(self.values[rows], self.known[rows])


class CountsColumn(PackedColumn):
    """A column of counts by name: a dict a row, from which names are left out that the row has none of."""

    __slots__ = ("counts", "names")

    def __init__(self, counts: Ints, names: Sequence[str]) -> None:
        """`counts` are [row, name], and none is negative."""
        self.counts = counts
        self.names = names

    def __len__(self) -> int:
        return len(self.counts)

    def tolist(self) -> list[Any]:
        """Return a dict a row."""
        return [
            {name: count for name, count in zip(self.names, row, strict=True) if count} for row in self.counts.tolist()
        ]

    def take(self, rows: Ints | slice) -> Self:
        """Return some of its rows, in the order given."""
        # Rows of a table by `take`, in a quarter of the time of an index.
        counts = self.counts[rows] if isinstance(rows, slice) else self.counts.take(rows, axis=0)
        return type(self)(counts, self.names)

    def distinct(self) -> DictionaryColumn:
        """Return the same rows, with those that are alike as one object."""
        first, indices = distinct_rows(self.counts)
        return DictionaryColumn(indices, self.take(first).tolist())


class StructColumn(PackedColumn):
    """A column of objects that all have the same fields, each field a column."""

    __slots__ = ("fields",)

    def __init__(self, fields: "Mapping[str, Column]") -> None:
        """There is a field at the least."""
        self.fields = fields

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    def tolist(self) -> list[Any]:
        """Return a dict a row."""
        listed = (list(plain_values(column)) for column in self.fields.values())
        return [dict(zip(self.fields, row, strict=True)) for row in zip(*listed, strict=True)]

    def take(self, rows: Ints | slice) -> Self:
        """Return some of its rows, in the order given."""
        numbers = np.arange(len(self))[rows] if isinstance(rows, slice) else rows
        return type(self)({name: take_rows(column, numbers) for name, column in self.fields.items()})


class TimeColumn(PackedColumn):
    """A column of instants (ms since 1970 UTC), told as the texts that stand in messages."""

    __slots__ = ("times_ms",)

    def __init__(self, times_ms: Ints) -> None:
        self.times_ms = times_ms

    def __len__(self) -> int:
        return len(self.times_ms)

    def tolist(self) -> list[Any]:
        """Return a text a row."""
        return list(timestamps(self.times_ms))

    def take(self, rows: Ints | slice) -> Self:
        """Return some of its rows, in the order given."""
        return type(self)(self.times_ms[rows])


class FixedTextColumn(PackedColumn):
    """A column of texts of one length, of letters, digits and hyphens: as UUIDs are."""

    __slots__ = ("characters",)

    def __init__(self, characters: NDArray[np.uint8]) -> None:
        """`characters` are [row, place]."""
        self.characters = characters

    def __len__(self) -> int:
        return len(self.characters)

    def tolist(self) -> list[Any]:
        """Return a text a row."""
        length, text = self.characters.shape[1], self.characters.tobytes().decode("ascii")
        return [text[begin : begin + length] for begin in range(0, len(text), length)]

    def take(self, rows: Ints | slice) -> Self:
        """Return some of its rows, in the order given."""
        return type(self)(self.characters[rows])

    def encoded(self) -> list[bytes]:
        """Return the bytes of each text."""
        length = self.characters.shape[1]
        rows: list[bytes] = np.ascontiguousarray(self.characters).view(f"S{length}").ravel().tolist()
        return rows


Column = NDArray[Any] | list[Any] | PackedColumn
Columns = dict[str, Column]
"""Field name -> one value a row, in the order of the message, without the fields that every message has."""


def nullable(values: NDArray[Any], known: Flags) -> NullableColumn:
    """Return the values as a column that has None where they are not known."""
    return NullableColumn(values, known)


def numbered_column(numbers: Ints, text: Callable[[int], str]) -> DictionaryColumn:
    """Return the text of each number, which is written once."""
    found, _, indices = distinct(numbers)
    return DictionaryColumn(indices, [text(number) for number in found.tolist()])


def distinct_rows(table: Ints) -> tuple[Ints, Ints]:
    """Return of numbers [row, column], none negative, where each row that is unlike others is first, and which each is.

    Where their ranges are too large to tell rows apart at once, each counts as unlike the others.
    """
    base = table.max(axis=0, initial=0) + 1
    if np.prod(base.astype(np.float64)) >= _DISTINCT_CODES:
        everyone = np.arange(len(table))
        return everyone, everyone
    # The numbers of a row are the digits of one number.
    codes = table @ np.concatenate([[1], np.cumprod(base[:-1])])
    _, first, indices = distinct(codes)
    return first, indices


def plain_values(column: NDArray[Any] | Sequence[Any]) -> list[Any]:
    """Return the values of a column as JSON has them; a list as it is."""
    if isinstance(column, np.ndarray | PackedColumn):
        values: list[Any] = column.tolist()
        return values
    return column if isinstance(column, list) else list(column)


def first_known(first: NullableColumn, second: NullableColumn) -> NullableColumn:
    """Return the values of the first column where it has them, and else those of the second."""
    return NullableColumn(np.where(first.known, first.values, second.values), first.known | second.known)


def take_rows(column: Column, rows: Ints) -> Column:
    """Return some rows of a column, in the order given."""
    if isinstance(column, np.ndarray):
        return np.asarray(column[rows])
    if isinstance(column, PackedColumn):
        return column.take(rows)
    return list(map(column.__getitem__, rows.tolist()))


def concat_columns(parts: Sequence[Column]) -> Column:
    """Return one column of its parts, in order."""
    if len(parts) == 1:
        return parts[0]
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) == len(parts):
        return np.concatenate(arrays)
    coded = [part for part in parts if isinstance(part, DictionaryColumn)]
    if len(coded) == len(parts):
        return _concat_dictionaries(coded)
    nullables = [part for part in parts if isinstance(part, NullableColumn)]
    if len(nullables) == len(parts):
        return NullableColumn(
            np.concatenate([part.values for part in nullables]), np.concatenate([part.known for part in nullables])
        )
    times = [part for part in parts if isinstance(part, TimeColumn)]
    if len(times) == len(parts):
        return TimeColumn(np.concatenate([part.times_ms for part in times]))
    texts = [part for part in parts if isinstance(part, FixedTextColumn)]
    if len(texts) == len(parts) and len({part.characters.shape[1] for part in texts}) == 1:
        return FixedTextColumn(np.concatenate([part.characters for part in texts]))
    structs = [part for part in parts if isinstance(part, StructColumn)]
    if len(structs) == len(parts) and all(part.fields.keys() == structs[0].fields.keys() for part in structs):
        names = structs[0].fields
        return StructColumn({name: concat_columns([part.fields[name] for part in structs]) for name in names})
    counts = [part for part in parts if isinstance(part, CountsColumn)]
    if len(counts) == len(parts) and all(part.names == counts[0].names for part in counts):
        return CountsColumn(np.concatenate([part.counts for part in counts]), counts[0].names)
    return list(chain.from_iterable(map(plain_values, parts)))


def _concat_dictionaries(parts: Sequence[DictionaryColumn]) -> DictionaryColumn:
    """Return one column whose dictionary has that of each part, an object that is shared by all parts once."""
    if all(part.dictionary is parts[0].dictionary for part in parts):
        return DictionaryColumn(np.concatenate([part.indices for part in parts]), parts[0].dictionary)
    begins = np.cumsum([0, *(len(part.dictionary) for part in parts)])
    return DictionaryColumn(
        np.concatenate([part.indices + begin for part, begin in zip(parts, begins.tolist(), strict=False)]),
        list(chain.from_iterable(part.dictionary for part in parts)),
    )
