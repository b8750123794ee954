"""A sensor gives columns of readings for any devices at any times, by law 1 the same in any company."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from devices.sensors.columns import Column, Columns
from devices.world.random import Floats, Hashes, Ints
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
class ReadsSky(Sensor, Protocol):
    """A sensor with a satellite receiver, which finds satellites again one by one after it has lost them."""

    def sample_searching(self, world: World, ids: Ints, times: Ints, unfound: Floats | None) -> Columns:
        """Return a row for each, as `sample` does, of receivers that have yet to find this share of them, 0 to 1.

        None: they search for none.
        """
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
    fields: Sequence[dict[str, Any]]
    """A list, or packed (`PackedEvents`) where many happen."""


@runtime_checkable
class EventSensor(Sensor, Protocol):
    """A sensor at which events also happen between two readings."""

    def events(self, world: World, ids: Ints, start_ms: int, stop_ms: int) -> Events:
        """Return what happens at these devices in [start_ms, stop_ms)."""
        ...

    def event_count(self, world: World, ids: Ints, start_ms: int, stop_ms: int) -> Ints:
        """Count the events of each device in [start_ms, stop_ms), without going through them."""
        ...
