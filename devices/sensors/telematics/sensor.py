"""Telematics unit of a vehicle: driving events from the vehicle's own motion and what surrounds it.

A reading covers the time since the last one. Several events can hold at once; `event_type` is the gravest, and
without any it is a ping.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from devices.sensors.base import EPOCH_MS, Population
from devices.sensors.columns import (
    Columns,
    DictionaryColumn,
    FixedTextColumn,
    TimeColumn,
    distinct_rows,
    nullable,
    numbered_column,
)
from devices.sensors.gps.receiver import PowerOn, Start, battery_v, satellite_fix, signal_dbm, unit_noise
from devices.sensors.kind import DeviceKind
from devices.sensors.telematics.driving import DrivingMonitor, locate_vehicles
from devices.sensors.telematics.events import MPH, PING, EventType, Thresholds, event_types_of
from devices.sensors.uuids import uuid4_hex
from devices.world.components import components
from devices.world.random import Flags, Floats, Hashes, Ints, hash_bits
from devices.world.world import DAY_MS, VehicleUse, World
from edgewire.config_errors import text_matching
from edgewire.errors import ConfigError


class TelematicsSettings(Thresholds):
    """Says what an operator of a telematics unit may choose: from where on something is an event."""

    signal_loss: bool = True
    """Whether there is no position in tunnels."""
    start: Start = "hot"
    """How long there is no position after power-on: hot within a second, warm 15 to 25 s, cold 26 to 35 s."""
    use: VehicleUse | None = None
    """What the vehicle is driven for: `delivery`, in rounds of short stops from a depot on working days, most by day
    and some at night; `taxi`, day and night; `private`, to work and on errands, and parked 23 hours a day. Of the
    vehicles of which no unit says it, three in five deliver and two are taxis. Those of `world: 1` are all alike."""
    event_chances: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}
    """Type of event -> chance that a report of a vehicle that is on a trip shows it, in the place of what the driving
    gives: `{hard_braking: 0.05, tailgating: 0.1}`."""
    event_module: str | None = None
    """Python file with further types of events, as a list `EVENT_TYPES`; relative to the scenario's. It is run with the
    program's rights."""
    identifier_prefix: Annotated[
        str, text_matching(r"^[A-Za-z0-9_.-]*$", "letters, digits, '_', '.' and '-'", max_length=20)
    ] = ""
    """Before the ids of drivers and trips, so that they are none of production's: `SYN-`."""


class TelematicsSensor:
    """Many telematics units with the same settings; unit n rides in vehicle n of its site, with driver n."""

    def __init__(
        self, settings: TelematicsSettings, population: Population, event_types: Sequence[EventType] | None = None
    ) -> None:
        """Take other event types than the settings name; raises `ConfigError` for a chance of none of them."""
        self._settings = settings
        self._population = population
        types = event_types_of(settings.event_module) if event_types is None else event_types
        unknown = set(settings.event_chances) - {kind.name for kind in types}
        if unknown:
            raise ConfigError(f"event_chances: '{min(unknown)}' is not one of {', '.join(kind.name for kind in types)}")
        self._monitor = DrivingMonitor(settings, population, types, settings.event_chances)
        self._names = (*(kind.name for kind in self._monitor.types), PING)

    @property
    def lookback_ms(self) -> int:
        """Return the time since the last reading, or as long as speeding has to last."""
        return self._monitor.lookback_ms

    def sample(self, world: World, ids: Ints, times: Ints) -> Columns:
        """Return one row a reading; attributes of events that do not hold are None."""
        return self.sample_searching(world, ids, times, None)

    def sample_searching(self, world: World, ids: Ints, times: Ints, unfound: Floats | None) -> Columns:
        """Return the same of receivers that have yet to find this share of the satellites again."""
        population, monitor, names = self._population, self._monitor, self._names
        keys, sites, vehicles = population.keys[ids], population.sites[ids], population.ordinals[ids]
        moving = components(world).vehicles.motion(sites, vehicles, times)
        state = monitor.state(world, ids, times, moving)
        holds, attributes = monitor.events(state)
        context = monitor.context(world, ids, state)
        power_on = PowerOn(population.powered_on_ms, self._settings.start)
        noise = unit_noise(world, keys, times)
        fix = satellite_fix(
            world,
            keys,
            sites,
            times,
            moving,
            power_on,
            noise,
            scale=1.0,
            losses=self._settings.signal_loss,
            unfound=unfound,
        )
        trips = components(world).vehicles.last_trip(sites, vehicles, times)
        drivers, trip_ids = self._identifiers(vehicles, trips - components(world).vehicles.first_trip)
        gravest = np.where(holds.any(axis=0), holds.argmax(axis=0), len(names) - 1)
        return {
            "event_id": _event_ids(world.seed, keys, times),
            "driver_id": drivers,
            "trip_id": trip_ids,
            "ts": TimeColumn(times),
            "event_type": DictionaryColumn(gravest, names),
            "events": _names_of(names, holds),
            "latitude": nullable(np.round(fix.latitude, 6), fix.known),
            "longitude": nullable(np.round(fix.longitude, 6), fix.known),
            "speed_mph": np.round(fix.speed_ms / MPH, 1),
            "heading_deg": np.rint(fix.heading_deg).astype(np.int64) % 360,
            "period_minute": _minutes_since(population.powered_on_ms, times),
            **attributes,
            **context,
            "battery_v": battery_v(moving, noise),
            "signal_dbm": signal_dbm(world, keys, sites, times, moving, noise),
            "risk_label": monitor.risk(holds, context),
        }

    def _identifiers(self, vehicles: Ints, trips: Ints) -> tuple[DictionaryColumn, DictionaryColumn]:
        """Return the drivers, and their trips: the driver and the number of the trip since 2000."""
        prefix, most = self._settings.identifier_prefix, int(trips.max(initial=0)) + 1
        return (
            numbered_column(vehicles, lambda vehicle: f"{prefix}D{vehicle:04d}"),
            numbered_column(vehicles * most + trips, lambda trip: f"{prefix}D{trip // most:04d}-{trip % most:06d}"),
        )


def _minutes_since(powered_on_ms: int, times: Ints) -> Ints:
    """Return the whole minutes since the unit was powered on; of one that always ran, since midnight UTC."""
    if powered_on_ms == EPOCH_MS:
        return np.asarray(times % DAY_MS // 60_000)
    # What it would have said before it was powered on is of minute 0.
    return np.asarray(np.maximum(times - powered_on_ms, 0) // 60_000)


def _restamped(columns: Columns, times: Ints, powered_on_ms: int) -> Columns:
    return {"period_minute": _minutes_since(powered_on_ms, times)}


def _names_of(names: Sequence[str], holds: Flags) -> DictionaryColumn:
    """Return the events of each row, gravest first."""
    first, indices = distinct_rows(holds.T.astype(np.int64))
    found = [[name for name, does in zip(names, row, strict=False) if does] for row in holds.T[first].tolist()]
    return DictionaryColumn(indices, [events or [PING] for events in found])


def _event_ids(seed: int, keys: Hashes, times: Ints) -> FixedTextColumn:
    """Return a UUID of version 4 for each reading, as 32 hexadecimal digits, made of its hash."""
    high, low = (hash_bits(seed, f"telematics/id/{half}", keys, times) for half in ("high", "low"))
    return uuid4_hex(high, low)


KIND = DeviceKind(
    "telematics",
    TelematicsSettings,
    TelematicsSensor,
    restamp_columns=_restamped,
    driving_fields=(
        *("latitude", "longitude", "heading_deg", "speed_mph", "event_type", "events", "braking_g", "lateral_g"),
        *("over_speed_mph", "following_distance_m", "road_type", "traffic_density", "signal_dbm", "risk_label"),
    ),
    decimals={
        "latitude": 6,
        "longitude": 6,
        "speed_mph": 1,
        "braking_g": 2,
        "lateral_g": 2,
        "over_speed_mph": 1,
        "following_distance_m": 1,
        "traffic_density": 2,
        "battery_v": 2,
    },
    plot_labels={"speed_mph": "speed (mph)"},
    plot_devices=3,  # as of gps
    summary={"event_type": "{}", "driver_id": "{}", "speed_mph": "{} mph", "risk_label": "{}"},
    colour="magenta",
    locate=locate_vehicles,
    memory_bytes=14 * 2**10,  # planned trips
    reading_s=120e-6,
    rows_at_once=25_000,
    busy_from_h=10,
)
