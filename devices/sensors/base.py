"""A sensor gives columns of readings for any devices at any times, by law 1 the same in any company."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Protocol, overload, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from devices.world.random import Flags, Hashes, Ints
from devices.world.world import World

EPOCH_MS = 946_684_800_000
"""2000-01-01T00:00:00Z: boots are counted from here, and devices have run since then unless told otherwise."""


def boot_number(started_ms: Any) -> Any:
    """Return the boot counter of a device that started at this moment, or of many: the second since 2000, from 1."""
    return (started_ms - EPOCH_MS) // 1000 + 1


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another device of the scenario, for sensors that tell of what it looks at as well."""

    kind: str
    key: int
    site: int
    """Position in `World.sites`."""
    interval_ms: int
    settings: Mapping[str, Any]
    """Of its group."""


@dataclass(frozen=True, slots=True)
class Population:
    """The devices of one sensor; every array has one entry a device."""

    keys: Hashes
    """Stable hash of each device's id: its randomness depends on this, the seed and the time alone."""
    sites: Ints
    """Position in `World.sites`."""
    interval_ms: Ints
    ordinals: Ints
    """Number of the device within its kind: the gps and the telematics unit of one ordinal share a vehicle."""
    powered_on_ms: int = EPOCH_MS
    """When the devices were powered on: what a sensor needs a while for begins then."""
    resets: Ints | None = None
    """Of each device the boot that its last reset began, 0 where there was none: what is peculiar to the place it is in
    is drawn anew by a reset. None where nobody was reset."""
    neighbours: Mapping[str, Neighbour] = field(default_factory=dict)
    """Cameras and people counters of the scenario by their ids, in its order, where a kind has `asks_neighbours`."""
    recorded: "Recorded | None" = None
    """What a file has of the devices, for kinds with fields that are `recorded`."""


class Recorded(Protocol):
    """Tells what was recorded of devices, where a group plays a file back."""

    def read(self, ids: Ints, times: Ints) -> "Mapping[str, Column]":
        """Return the fields of devices (positions in the population) at instants (ms since 1970)."""
        ...


class DictionaryColumn(Sequence[Any]):
    """A column in which few objects stand in many rows: the objects, and for each row the index of its own.

    It reads like a list of its rows. What is made of every object is made once (`with_dictionary`), and rows are taken
    as numbers. The dictionary may hold objects that stand in no row.
    """

    __slots__ = ("dictionary", "indices")

    def __init__(self, indices: Ints, dictionary: Sequence[Any]) -> None:
        self.indices = indices
        self.dictionary = dictionary

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, row: int) -> Any: ...

    @overload
    def __getitem__(self, row: slice) -> "DictionaryColumn": ...

    def __getitem__(self, row: int | slice) -> Any:
        if isinstance(row, slice):
            return DictionaryColumn(self.indices[row], self.dictionary)
        return self.dictionary[self.indices[row]]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def tolist(self) -> list[Any]:
        """Return one object a row."""
        objects = np.empty(len(self.dictionary), dtype=object)
        objects[:] = self.dictionary
        rows: list[Any] = objects[self.indices].tolist()
        return rows

    def take(self, rows: Ints) -> "DictionaryColumn":
        """Return some of its rows, in the order given."""
        return DictionaryColumn(self.indices[rows], self.dictionary)

    def with_dictionary(self, dictionary: Sequence[Any]) -> "DictionaryColumn":
        """Return the same rows with other objects in the place of these, one for each."""
        return DictionaryColumn(self.indices, dictionary)


Column = NDArray[Any] | list[Any] | DictionaryColumn
Columns = dict[str, Column]
"""Field name -> one value a row, in the order of the message, without the fields that every message has."""


def take_rows(column: Column, rows: Ints) -> Column:
    """Return some rows of a column, in the order given."""
    if isinstance(column, np.ndarray):
        return np.asarray(column[rows])
    if isinstance(column, DictionaryColumn):
        return column.take(rows)
    return list(map(column.__getitem__, rows.tolist()))


def concat_columns(parts: Sequence[Column]) -> Column:
    """Return one column of its parts, in order."""
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) == len(parts):
        return np.concatenate(arrays)
    coded = [part for part in parts if isinstance(part, DictionaryColumn)]
    if len(coded) == len(parts) and all(part.dictionary is coded[0].dictionary for part in coded):
        return DictionaryColumn(np.concatenate([part.indices for part in coded]), coded[0].dictionary)
    return list(chain.from_iterable(parts))


def nullable(values: NDArray[Any], known: Flags) -> list[Any]:
    """Return the values as JSON has them, None where they are not known."""
    column = values.astype(object)
    column[~known] = None
    rows: list[Any] = column.tolist()
    return rows


class Sensor(Protocol):
    """A sensor that is read at intervals."""

    def sample(self, world: World, ids: Ints, times: Ints) -> Columns:
        """Return a row for each of the devices `ids` (positions in the population) and `times` (ms since 1970 UTC)."""
        ...


@runtime_checkable
class HasLookback(Sensor, Protocol):
    """A sensor whose readings tell of the time before them."""

    @property
    def lookback_ms(self) -> int:
        """Say how far back its readings reach at the most."""
        ...


@runtime_checkable
class AsksPlaces(Sensor, Protocol):
    """A sensor that asks for places which a scenario may lack."""

    def check_places(self, world: World) -> None:
        """Raise `ConfigError` where one is not there."""
        ...


@dataclass(frozen=True, slots=True)
class Events:
    """Holds what happened at some devices in a window of time; a row each, in the order of device and ordinal."""

    owner: Ints
    """Position of the device in the `ids` that were asked for."""
    time_ms: Ints
    fields: list[dict[str, Any]]


@runtime_checkable
class EventSensor(Sensor, Protocol):
    """A sensor at which events also happen between two readings."""

    def events(self, world: World, ids: Ints, start_ms: int, stop_ms: int) -> Events:
        """Return what happens at these devices in [start_ms, stop_ms)."""
        ...

    def event_count(self, world: World, ids: Ints, start_ms: int, stop_ms: int) -> Ints:
        """Count the events of each device in [start_ms, stop_ms), without going through them."""
        ...
