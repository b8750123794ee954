"""A kind of device, as everything that lists kinds knows it: scenario, faults, exports, plots, watch and doctor."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from devices.sensors.base import Population, Sensor
from devices.sensors.columns import Columns
from devices.sensors.fields import numeric_fields, reading_of
from devices.world.random import Floats, Hashes, Ints
from devices.world.world import World
from edgewire.config import Config
from edgewire.dialects.entities import KindEntities
from edgewire.messages import Channel, KindContract
from edgewire.messages.declared import FieldType

_DECIMALS = 3

LocatePlaces = Callable[[World, Hashes, Ints, Ints, Ints], tuple[Floats, Floats]]
"""Returns metres east and north of their sites, of devices by key, site, ordinal and instant (ms since 1970)."""


@dataclass(frozen=True, slots=True, eq=False)
class DeviceKind:
    """A kind of device. Whatever is not given here follows from its messages in the contract."""

    name: str
    """As in the contract, in topics and in scenarios."""
    settings: type[Config]
    sensor: Callable[[Any, Population], Sensor]
    """Called with the group's settings and its devices."""
    busier: Callable[[Mapping[str, Any], float], Mapping[str, Any]] | None = None
    """Makes settings with so many times as much happening between readings; None where nothing does."""
    restamp_event: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """Makes those fields of an event anew that follow from times in it, where these were changed."""
    restamp_columns: Callable[[Columns, Ints, int], Columns] | None = None
    """Makes those columns of readings anew that follow from their times (ms since 1970) and the power-on's."""
    counts_interval: bool = False
    """Whether a reading counts what passed since the one before, so that it cannot be late (`jitter`)."""
    asks_neighbours: bool = False
    """Whether its sensor is told of the cameras and people counters of the scenario (`Population.neighbours`)."""
    recorded: Mapping[str, FieldType] = field(default_factory=dict)
    """Fields that are out of a file alone, with their types: a group of this kind needs `replay`."""
    driving_fields: tuple[str, ...] = ()
    """The fields that depend on how and where its vehicle drives; empty for what does not ride in one."""
    counted_fields: tuple[str, ...] = ()
    """The fields that depend on how many there are on the roads or in the shops, of what stands beside them."""
    decimals: Mapping[str, int] = field(default_factory=dict)
    """Field -> decimals it is rounded to; the others have three."""
    plot_labels: Mapping[str, str] = field(default_factory=dict)
    """Field -> label of its axis, for every field that is drawn over time; without any, all numbers of the reading."""
    plot_profile: tuple[str, str] | None = None
    """The field whose sums by hour of day are drawn, and the label of their axis."""
    plot_devices: int = 8
    """How many devices are drawn in one panel."""
    summary: Mapping[str, str] = field(default_factory=dict)
    """Field -> how a person is shown its value (`{} °C`); without any, all numbers of the reading with their names."""
    colour: str = "white"
    """Of its name on a terminal."""
    locate: LocatePlaces | None = None
    """Tells where in their sites devices are; None where a kind has no place of its own."""
    memory_bytes: int = 0
    """What a device takes beside its connection: measured over 48 to 72 hours of its time, as caches take days to fill,
    and rounded up."""
    reading_s: float = 100e-6
    """Processor time to compute a reading."""
    rows_at_once: int = 8_192
    """Readings that its sensor is asked for at once: what it needs besides (every vehicle that a camera saw) is many
    times what it answers, and stays in the processor's cache. Where there is little of that, more save calls of numpy:
    25,000 of a vehicle's take a fifth less time each."""
    busy_from_h: int = 0
    """From which local hour of a working day on there is much to see: before, vehicles are parked and shops closed."""

    @property
    def channel(self) -> Channel:
        """Return the channel of the reading at every interval; what happens in between is always an event."""
        return reading_of(self.name).channel

    @property
    def rides_in_vehicle(self) -> bool:
        """Tell whether unit n rides in vehicle n of its site, which cameras see and bursts speed up."""
        return bool(self.driving_fields)

    @property
    def crowd_fields(self) -> tuple[str, ...]:
        """Return the fields that depend on how many there are on the roads or in the shops."""
        return self.counted_fields or self.driving_fields

    @property
    def line_labels(self) -> Mapping[str, str]:
        """Return the fields that are drawn over time, with the labels of their axes."""
        return self.plot_labels or {name: name for name in numeric_fields(self.name)}

    @property
    def plotted_fields(self) -> tuple[str, ...]:
        """Return every field that a plot of this kind needs, those of the map included."""
        profile = self.plot_profile[:1] if self.plot_profile else ()
        position = ("latitude", "longitude") if self.rides_in_vehicle else ()
        return tuple(dict.fromkeys([*self.line_labels, *profile, *position]))

    @property
    def summary_formats(self) -> Mapping[str, str]:
        """Return the fields that a person looks for first, and how each value is shown."""
        return self.summary or {name: f"{name} {{}}" for name in numeric_fields(self.name)}

    def decimals_of(self, name: str) -> int:
        """Return how many decimals a field with a fraction is sent with."""
        return self.decimals.get(name, _DECIMALS)


@dataclass(frozen=True, slots=True)
class KindPlugin:
    """All of a kind that does not come with edgefleet: what it is, what it says, and how a person is shown that."""

    kind: DeviceKind
    contract: KindContract
    """Of the same name."""
    entities: KindEntities = field(default_factory=KindEntities)
    """For Home Assistant's discovery and ESPHome; without any the kind can do without both."""
