"""A column in which few objects stand in many rows, as the objects and for each row the number of its own.

What a sensor is: columns of readings for any devices at any times, by law 1 the same in any company."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol, overload, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from devices.world.world import World

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


Ints = NDArray[np.int64]


Column = NDArray[Any] | list[Any] | Coded


Columns = dict[str, Column]
"""Field name -> one value a row, in the order of the message, without the fields that every message has."""


EPOCH_MS = 946_684_800_000
"""2000-01-01T00:00:00Z: boots are counted from here, and devices have run since then unless told otherwise."""


def boot_number(started_ms: Any) -> Any:
    """The boot counter of a device that started at this moment, or of many: the second since 2000, from 1."""
    return (started_ms - EPOCH_MS) // 1000 + 1


@dataclass(frozen=True, slots=True)
class Population:
    """The devices of one sensor; every array has one entry a device."""

    keys: NDArray[np.uint64]
    """Stable hash of each device's id: its randomness depends on this, the seed and the time alone."""
    sites: Ints
    """Position in `World.sites`."""
    interval_ms: Ints
    ordinals: Ints
    """Number of the device within its kind: the gps and the telematics unit of one ordinal share a vehicle."""
    powered_on_ms: int = EPOCH_MS
    """When the devices were powered on: what a sensor needs a while for begins then."""


def picked(column: Column, rows: Ints) -> Column:
    """Some rows of a column, in the order given."""
    if isinstance(column, np.ndarray):
        return np.asarray(column[rows])
    return column.pick(rows) if isinstance(column, Coded) else list(map(column.__getitem__, rows.tolist()))


def joined(parts: Sequence[Column]) -> Column:
    """One column of its parts, in order."""
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) == len(parts):
        return np.concatenate(arrays)
    coded = [part for part in parts if isinstance(part, Coded)]
    if len(coded) == len(parts) and all(part.objects is coded[0].objects for part in coded):
        return Coded(np.concatenate([part.codes for part in coded]), coded[0].objects)
    return list(chain.from_iterable(parts))


def nullable(values: NDArray[Any], known: NDArray[np.bool_]) -> list[Any]:
    """The values as JSON has them, None where they are not known."""
    column = values.astype(object)
    column[~known] = None
    found: list[Any] = column.tolist()
    return found


class Sensor(Protocol):
    """A sensor that is read at intervals."""

    def sample(self, world: World, ids: Ints, times: Ints) -> Columns:
        """The readings of devices `ids` (positions in the population) at `times` (ms since 1970 UTC), a row each."""
        ...


@runtime_checkable
class LookingBack(Sensor, Protocol):
    """A sensor whose readings tell of the time before them."""

    @property
    def looks_back_ms(self) -> int:
        """Of how much of it at the most."""
        ...


@dataclass(frozen=True, slots=True)
class Happenings:
    """What happened at some devices in a window of time; a row each, in the order of device and ordinal."""

    owner: Ints
    """Position of the device in the `ids` that were asked for."""
    time_ms: Ints
    fields: list[dict[str, Any]]


@runtime_checkable
class EventSensor(Sensor, Protocol):
    """A sensor at which things also happen between two readings."""

    def happenings(self, world: World, ids: Ints, start_ms: int, stop_ms: int) -> Happenings:
        """What happens at these devices in [start_ms, stop_ms)."""
        ...

    def happened(self, world: World, ids: Ints, start_ms: int, stop_ms: int) -> Ints:
        """How many things happen at each device in [start_ms, stop_ms), told without going through them."""
        ...
