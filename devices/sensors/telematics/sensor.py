"""Telematics unit of a vehicle: driving events from the vehicle's own motion and what surrounds it.

A reading covers the time since the last one. Several events can hold at once; `event_type` is the gravest, and
without any it is a ping.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.sensors.base import EPOCH_MS, Columns, Population, nullable
from devices.sensors.gps.receiver import PowerOn, Start, battery_v, satellite_fix, signal_dbm
from devices.sensors.kind import DeviceKind
from devices.sensors.telematics.events import EVENT_TYPES, MPH, PING, DrivingState, EventType, Thresholds
from devices.world.arrivals import headway_s
from devices.world.components import components
from devices.world.random import Flags, Floats, Hashes, Ints, hash_bits
from devices.world.roads import LIMIT_MS, ROAD_TYPES
from devices.world.timestamps import timestamps
from devices.world.traffic import times_of_day
from devices.world.vehicles.vehicles import Motion
from devices.world.weather import weather
from devices.world.world import DAY_MS, HOUR_MS, World

# Rain or fog, and the night, make the same event riskier; from this sum of weights on a record is labelled risky.
_POOR_SIGHT, _LATE_NIGHT, _RISKY = 0.5, 0.3, 3.0


class TelematicsSettings(Thresholds):
    """Says what an operator of a telematics unit may choose: from where on something is an event."""

    signal_loss: bool = True
    """Whether there is no position in tunnels."""
    start: Start = "hot"
    """How long there is no position after power-on: hot within a second, warm 15 to 25 s, cold 26 to 35 s."""


class TelematicsSensor:
    """Many telematics units with the same settings; unit n rides in vehicle n of its site, with driver n."""

    def __init__(
        self, settings: TelematicsSettings, population: Population, event_types: Sequence[EventType] = EVENT_TYPES
    ) -> None:
        self._settings = settings
        self._population = population
        self._types = sorted(event_types, key=lambda kind: -kind.weight)

    @property
    def lookback_ms(self) -> int:
        """Return the time since the last reading, or as long as speeding has to last."""
        return max(int(self._population.interval_ms.max(initial=0)), self._settings.speeding_for)

    def sample(self, world: World, ids: Ints, times: Ints) -> Columns:
        """Return one row a reading; attributes of events that do not hold are None."""
        population = self._population
        keys, sites, vehicles = population.keys[ids], population.sites[ids], population.ordinals[ids]
        moving = components(world).vehicles.motion(sites, vehicles, times)
        state = self._state(world, ids, times, moving)
        holds, attributes = self._events(state)
        power_on = PowerOn(population.powered_on_ms, self._settings.start)
        fix = satellite_fix(world, keys, sites, times, moving, power_on, scale=1.0, losses=self._settings.signal_loss)
        trips, _ = components(world).vehicles.last_trips(sites, vehicles, times)
        local = world.local_ms(sites, times)
        time_of_day = times_of_day(local)
        conditions = state.air.conditions()
        drivers = [f"D{number:04d}" for number in vehicles.tolist()]
        names = np.array([*(kind.name for kind in self._types), PING], dtype=object)
        gravest = np.where(holds.any(axis=0), holds.argmax(axis=0), len(self._types))
        return {
            "event_id": _event_ids(world.seed, keys, times),
            "driver_id": drivers,
            "trip_id": _trip_ids(drivers, trips),
            "ts": timestamps(times),
            "event_type": names[gravest].tolist(),
            "events": _names_of(names, holds),
            "latitude": nullable(np.round(fix.latitude, 6), fix.known),
            "longitude": nullable(np.round(fix.longitude, 6), fix.known),
            "speed_mph": np.round(fix.speed_ms / MPH, 1),
            "heading_deg": np.rint(fix.heading_deg).astype(np.int64) % 360,
            "period_minute": _minutes_since(population.powered_on_ms, times),
            **attributes,
            "weather": conditions,
            "road_type": ROAD_TYPES[components(world).roads.plan.road_class[moving.road]].tolist(),
            "traffic_density": np.round(state.density, 3),
            "time_of_day": time_of_day,
            "battery_v": battery_v(world, keys, times, moving),
            "signal_dbm": signal_dbm(world, keys, sites, times, moving),
            "risk_label": self._risk(holds, conditions, time_of_day),
        }

    def _state(self, world: World, ids: Ints, times: Ints, moving: Motion) -> DrivingState:
        population, settings = self._population, self._settings
        sites, vehicles = population.sites[ids], population.ordinals[ids]
        over = _over_limit_mph(world, moving)
        earlier = components(world).vehicles.motion(sites, vehicles, times - settings.speeding_for)
        density = components(world).traffic.flow_at(sites, moving.road, times).density
        passage = hash_bits(
            world.seed, "vehicle/headway", components(world).site_arrays.keys[sites], vehicles, moving.trip, moving.link
        )
        return DrivingState(
            settings,
            moving,
            components(world).vehicles.peak_acceleration(sites, vehicles, times, population.interval_ms[ids]),
            over,
            np.minimum(over, _over_limit_mph(world, earlier)),
            headway_s(passage, times, density, components(world).drivers.aggressiveness(sites, vehicles)),
            weather(world, sites, times),
            density,
            (world.local_ms(sites, times) % DAY_MS) / HOUR_MS,
            times,
        )

    def _events(self, state: DrivingState) -> tuple[Flags, dict[str, list[Any]]]:
        """Tell which types hold [type, row], and every attribute, None where its event does not hold."""
        holds = np.zeros((len(self._types), len(state.times)), dtype=np.bool_)
        attributes: dict[str, list[Any]] = {}
        for row, kind in enumerate(self._types):
            holds[row], found = kind.detect(state)
            for name, values in found.items():
                attributes[name] = nullable(values, holds[row])
        return holds, attributes

    def _risk(self, holds: Flags, conditions: list[str], time_of_day: list[str]) -> list[str]:
        """Label as risky where the weights of the events, raised by poor sight and night, come to the limit."""
        weights = np.array([kind.weight for kind in self._types])
        poor = np.array(conditions) != "sunny"
        night = np.array(time_of_day) == "late_night"
        score = weights @ holds * (1 + _POOR_SIGHT * poor + _LATE_NIGHT * night)
        labels: list[str] = np.where(score >= _RISKY, "risky", "safe").tolist()
        return labels


def _minutes_since(powered_on_ms: int, times: Ints) -> Ints:
    """Return the whole minutes since the unit was powered on; of one that always ran, since midnight UTC."""
    if powered_on_ms == EPOCH_MS:
        return np.asarray(times % DAY_MS // 60_000)
    # What it would have said before it was powered on is of minute 0.
    return np.asarray(np.maximum(times - powered_on_ms, 0) // 60_000)


def _restamped(columns: Columns, times: Ints, powered_on_ms: int) -> Columns:
    return {"period_minute": _minutes_since(powered_on_ms, times)}


def _over_limit_mph(world: World, moving: Motion) -> Floats:
    limit = LIMIT_MS[components(world).roads.plan.road_class[moving.road]]
    return np.asarray((moving.speed_ms - limit) / MPH)


def _names_of(names: NDArray[np.object_], holds: Flags) -> list[list[str]]:
    """Return the events of each row, gravest first."""
    rows: list[list[str]] = [[PING]] * holds.shape[1]
    for row in np.flatnonzero(holds.any(axis=0)).tolist():
        rows[row] = names[:-1][holds[:, row]].tolist()
    return rows


def _trip_ids(drivers: list[str], trips: Ints) -> list[str]:
    """Return the driver, and the number of the trip's hour since 2000."""
    hours = (trips - EPOCH_MS // HOUR_MS).tolist()
    return [f"{driver}-{hour:06d}" for driver, hour in zip(drivers, hours, strict=True)]


def _event_ids(seed: int, keys: Hashes, times: Ints) -> list[str]:
    """Return a UUID of version 4 for each reading, as 32 hexadecimal digits, made of its hash."""
    high = hash_bits(seed, "telematics/id/high", keys, times).tolist()
    low = hash_bits(seed, "telematics/id/low", keys, times).tolist()
    return [
        f"{(a & 0xFFFFFFFFFFFF0FFF) | 0x4000:016x}{(b & 0x3FFFFFFFFFFFFFFF) | 0x8000000000000000:016x}"
        for a, b in zip(high, low, strict=True)
    ]


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
    memory_bytes=14 * 2**10,  # planned trips
    reading_s=120e-6,
)
