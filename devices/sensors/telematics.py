"""Telematics unit of a vehicle: driving events from the vehicle's own motion and what surrounds it.

A reading covers the seconds since the last one. Several events can hold at once; `event_type` is the gravest, and
without any it is a ping. A new type of event is one function and one entry of `EVENT_TYPES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from devices.encode import timestamps
from devices.sensors.base import Columns, Ints, Population, nullable
from devices.sensors.vehicle import battery_v, drive, receive, signal_dbm
from devices.world import World
from devices.world.noise import smooth
from devices.world.rng import Floats, draw, uniform
from devices.world.roads import ROADS, Motion, demand
from devices.world.site import DAY_MS, HOUR_MS
from devices.world.weather import Weather, weather
from edgewire.config import Config

G_MS2 = 9.80665
MPH_PER_MS = 2.236936
_LIMIT_MPH = np.array([road.limit_kmh for road in ROADS]) / 1.609344
_TRIP_MS = 40 * 60_000


class Settings(Config):
    """Thresholds above which the unit reports an event."""

    braking_g: float = Field(default=0.28, gt=0)
    """Teltonika's default is 2.7 m/s²."""
    lateral_g: float = Field(default=0.35, gt=0)
    """Teltonika's default is 3.4 m/s²."""
    over_speed_mph: float = Field(default=5, gt=0)
    """Above the limit."""
    following_s: float = Field(default=1.0, gt=0)
    """Time gap to the vehicle in front; two seconds are advised."""


@dataclass(frozen=True, slots=True)
class Context:
    """All that an event can depend on; one value a row."""

    world: World
    settings: Settings
    sites: Ints
    vehicles: Ints
    times: Ints
    moving: Motion
    air: Weather
    hour: Floats
    """Local time of day."""
    density: Floats
    """0 = empty road, 1 = the busiest hour of the week."""


Attributes = dict[str, NDArray[np.float64]]
EventType = Callable[[Context], tuple[NDArray[np.bool_], Attributes]]
"""Whether the event holds, and its attributes where it does."""


def hard_braking(context: Context) -> tuple[NDArray[np.bool_], Attributes]:
    """Deceleration above the threshold at walking speed and more."""
    braking = np.round(-context.moving.acceleration_ms2 / G_MS2, 2)
    return (braking >= context.settings.braking_g) & (context.moving.speed_ms > 2.8), {"braking_g": braking}


def aggressive_turn(context: Context) -> tuple[NDArray[np.bool_], Attributes]:
    """Lateral acceleration above the threshold."""
    lateral = np.round(context.moving.lateral_ms2 / G_MS2, 2)
    return lateral >= context.settings.lateral_g, {"lateral_g": lateral}


def speeding(context: Context) -> tuple[NDArray[np.bool_], Attributes]:
    """Speed above the road's limit by more than the threshold."""
    over = np.round(context.moving.speed_ms * MPH_PER_MS - _LIMIT_MPH[context.moving.roads], 1)
    return over > context.settings.over_speed_mph, {"over_speed_mph": over}


def tailgating(context: Context) -> tuple[NDArray[np.bool_], Attributes]:
    """A gap in time below the threshold; gaps shrink in dense traffic and with the driver's temper."""
    entity = context.sites * 1_000_003 + context.vehicles
    temper = uniform(draw(context.world.seed, "driver/temper", context.sites, context.vehicles))
    mood = smooth(context.world.seed, "driver/gap", entity, context.times, 45_000)
    gap_s = 3.1 - 0.9 * context.density - 0.7 * temper + 0.6 * mood
    distance = np.round(np.maximum(gap_s, 0.2) * context.moving.speed_ms, 1)
    return (gap_s < context.settings.following_s) & (context.moving.speed_ms > 5), {"following_distance_m": distance}


def late_night_driving(context: Context) -> tuple[NDArray[np.bool_], Attributes]:
    """On the road between 23:00 and 05:00."""
    return (context.hour >= 23) | (context.hour < 5), {}


EVENT_TYPES: dict[str, EventType] = {
    "hard_braking": hard_braking,
    "aggressive_turn": aggressive_turn,
    "tailgating": tailgating,
    "speeding": speeding,
    "late_night_driving": late_night_driving,
}
"""Gravest first."""

_RISKY = ("hard_braking", "aggressive_turn", "tailgating", "speeding")


class TelematicsSensor:
    """Many telematics units with the same settings; unit n rides in vehicle n with driver n."""

    def __init__(self, settings: Settings, population: Population) -> None:
        self._settings = settings
        self._population = population

    def sample(self, world: World, ids: Ints, times: Ints) -> Columns:
        """One row a reading; attributes of events that do not hold are None."""
        sites, vehicles = self._population.sites[ids], self._population.ordinals[ids]
        moving = drive(world, sites, vehicles, times)
        local = world.local_ms(sites, times)
        context = Context(
            world, self._settings, sites, vehicles, times, moving, weather(world, sites, times),
            (local % DAY_MS) / HOUR_MS, np.minimum(demand(local), 1),
        )  # fmt: skip
        holds, attributes = _events(context)
        fix = receive(world, moving, sites, vehicles, times)
        known = fix.has_fix
        trip, since = np.divmod(times + (self._population.keys[ids] % np.uint64(_TRIP_MS)).astype(np.int64), _TRIP_MS)
        names = np.array([*EVENT_TYPES, "ping"], dtype=object)
        gravest = np.where(holds.any(axis=0), holds.argmax(axis=0), len(EVENT_TYPES))
        return {
            "event_id": self._event_ids(world, ids, times),
            "driver_id": [f"D{number:04d}" for number in vehicles.tolist()],
            "trip_id": [
                f"T{number:04d}-{index}" for number, index in zip(vehicles.tolist(), trip.tolist(), strict=True)
            ],
            "ts": timestamps(times),
            "event_type": names[gravest].tolist(),
            "events": [[names[row] for row in np.flatnonzero(column)] or ["ping"] for column in holds.T],
            "latitude": nullable(np.round(fix.latitude, 6), known),
            "longitude": nullable(np.round(fix.longitude, 6), known),
            "speed_mph": np.round(moving.speed_ms * MPH_PER_MS, 1),
            "heading_deg": np.rint(moving.heading_deg).astype(np.int64) % 360,
            "period_minute": since // 60_000,
            **attributes,
            "weather": context.air.conditions(),
            "road_type": [ROADS[road].name for road in moving.roads.tolist()],
            "traffic_density": np.round(context.density, 2),
            "time_of_day": _times_of_day(context),
            "battery_v": battery_v(world, sites, vehicles, times),
            "signal_dbm": signal_dbm(world, sites, vehicles, times),
            "risk_label": np.where(_risky(holds), "risky", "safe").tolist(),
        }

    def _event_ids(self, world: World, ids: Ints, times: Ints) -> list[str]:
        """A version 4 UUID for each reading, made of its hash."""
        keys = self._population.keys[ids]
        high = draw(world.seed, "telematics/id/high", keys, times).tolist()
        low = draw(world.seed, "telematics/id/low", keys, times).tolist()
        return [
            f"{(a & 0xFFFFFFFFFFFF0FFF) | 0x4000:016x}{(b & 0x3FFFFFFFFFFFFFFF) | 0x8000000000000000:016x}"
            for a, b in zip(high, low, strict=True)
        ]


def _events(context: Context) -> tuple[NDArray[np.bool_], dict[str, list[Any]]]:
    """Which types hold (type x row), and every attribute, None where its event does not hold."""
    holds = np.empty((len(EVENT_TYPES), len(context.times)), dtype=np.bool_)
    attributes: dict[str, list[Any]] = {}
    for row, event_type in enumerate(EVENT_TYPES.values()):
        holds[row], found = event_type(context)
        for name, values in found.items():
            attributes[name] = nullable(values, holds[row])
    return holds, attributes


def _risky(holds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows = [list(EVENT_TYPES).index(name) for name in _RISKY]
    return np.asarray(holds[rows].any(axis=0))


def _times_of_day(context: Context) -> list[str]:
    hour = context.hour
    names: list[str] = np.select(
        [(hour >= 23) | (hour < 5), ((hour >= 7) & (hour < 9)) | ((hour >= 16) & (hour < 19)), hour >= 19],
        ["late_night", "rush_hour", "evening"],
        "daytime",
    ).tolist()
    return names
