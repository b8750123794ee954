"""Traffic camera at a road: what passed in the interval that ends at the reading, as far as it was seen.

The road's true vehicles are drawn first; the camera then misses some of them (dark, rain, fog, one hides another),
and all of them while it is blind, which `uptime` says.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from devices.sensors.base import Population
from devices.sensors.columns import Columns, NullableColumn, concat_columns, nullable
from devices.sensors.kind import DeviceKind
from devices.sensors.traffic.vehicles import CameraErrors, DetectedVehicles
from devices.sensors.traffic.view import CameraViews, camera_views, fleet_passages, locate_cameras
from devices.world.components import components
from devices.world.random import Flags, Floats, Hashes, Ints, hash_bits, normal, poisson, uniform
from devices.world.roads import KMH
from devices.world.runs import Runs
from devices.world.sun import DUSK_DEG, sun_elevation_deg
from devices.world.traffic import Flow, inbound_share
from devices.world.world import HOUR_MS, World
from edgewire.config import Config

# The interval is looked at in this many parts to tell in which the camera could see.
_PARTS = 12
# What darkness, heavy rain, dense fog and a jammed road take from the chance to detect a vehicle: judgements.
_LOST = {"dark": 0.06, "rain": 0.12, "fog": 0.30, "hidden": 0.15}
# What a camera counts twice: always a few (a trailer, a track that is lost and found), more where long shadows or the
# light of lamps on a wet road look like vehicles. How many colours it names wrongly. All judgements.
_TWICE = {"always": 0.008, "shadows": 0.02, "lamps": 0.015}
_LOW_SUN_DEG = 15.0
_MISCOLOURED = {"by day": 0.06, "at night": 0.55}
_LAMPS_DEG = (-6.0, 3.0)
"""All light is that of lamps where the sun is lower than the first, and none where it is higher than the second."""
_OUTAGE_SLOT_MS = 12 * HOUR_MS
_OUTAGE_MS = (2 * 60_000, 45 * 60_000)
_CONFIDENCE, _CONFIDENCE_DEVIATION = 0.90, 0.02
# Readings of an hour have hundreds of vehicles each: more at once would fill the memory.
_VEHICLES_AT_ONCE = 200_000


class TrafficSettings(Config):
    """Says what an operator of a traffic camera may choose."""

    flow_factor: float = Field(default=1.0, gt=0, le=10)
    """Multiplies the traffic of the camera's road."""
    detection: float = Field(default=0.97, gt=0, le=1)
    """Chance that a vehicle is detected by day in clear weather on an empty road; 1 makes a camera without errors."""
    night: Literal["sees", "blind"] = "sees"
    """Whether it has light at night. A blind one reports a count of 0 with uptime 0, as Telraam's counters do."""
    outage_chance: float = Field(default=0.02, ge=0, le=1)
    """That it is blind for some minutes (2 to 45) of any twelve hours."""


class TrafficSensor:
    """Many cameras with the same settings. Each looks at one point of one road of its site."""

    def __init__(
        self, settings: TrafficSettings, population: Population, vehicles_at_once: int = _VEHICLES_AT_ONCE
    ) -> None:
        self._settings = settings
        self._population = population
        self._vehicles_at_once = vehicles_at_once

    @property
    def lookback_ms(self) -> int:
        """The longest interval that one counts."""
        return int(self._population.interval_ms.max(initial=0))

    def sample(self, world: World, ids: Ints, times: Ints) -> Columns:
        """Return counts, speeds (km/h), colours, classes, headways (s) and density of each camera's last interval."""
        sites, interval = self._population.sites[ids], self._population.interval_ms[ids]
        cameras = Runs(ids)
        some = ids[cameras.first]
        view = camera_views(world, self._population.keys[some], self._population.sites[some]).spread(cameras)
        traffic = _traffic(world, sites, view.roads, times, interval)
        expected = traffic.vehicles_per_hour * interval / HOUR_MS * self._settings.flow_factor
        ends = np.flatnonzero(np.diff(np.cumsum(expected) // self._vehicles_at_once)) + 1
        found = [
            self._detected(world, ids[some], times[some], view.take(some), traffic.take(some), expected[some])
            for some in np.split(np.arange(len(ids)), ends)
        ]
        return {name: concat_columns([part[name] for part in found]) for name in found[0]}

    def _detected(
        self, world: World, ids: Ints, times: Ints, view: CameraViews, traffic: Flow, expected: Floats
    ) -> Columns:
        """Return the readings where so many vehicles are expected."""
        population = self._population
        keys, sites, interval = population.keys[ids], population.sites[ids], population.interval_ms[ids]
        middle = times - interval // 2
        counts = poisson(hash_bits(world.seed, "camera/count", keys, times), expected)
        fleet = fleet_passages(world, keys, sites, view, times, interval)
        sight = self._sight(world, keys, sites, times, interval)
        errors = self._errors(world, sites, middle, traffic)
        inbound = inbound_share(world.local_ms(sites, middle), uniform(hash_bits(world.seed, "camera/tide", keys)))
        seen = DetectedVehicles(
            world.seed, keys, times, view.road_class, counts, interval / 1000, inbound, fleet, sight, errors
        )
        return {
            "interval_s": np.round(interval / 1000, 3),
            "uptime": np.round(sight.mean(axis=1), 3),
            "vehicle_count": seen.counts,
            **seen.speeds(traffic.speed_ms / KMH),
            "color_counts": seen.colours(),
            "class_counts": seen.classes(),
            "direction_counts": seen.directions(),
            "inter_arrival_stats": seen.headways(),
            "traffic_density_score": np.round(traffic.density, 3),
            "confidence": self._confidence(world, keys, times, errors.detected, seen.counts),
        }

    def _errors(self, world: World, sites: Ints, times: Ints, traffic: Flow) -> CameraErrors:
        """Return how wrong cameras are in this light, weather and traffic."""
        none = np.zeros(len(times))
        if self._settings.detection == 1:
            return CameraErrors(none + 1, None, none, none)
        rain, mist = components(world).atmosphere.rain_and_mist(sites, times)
        elevation = sun_elevation_deg(world, sites, times)
        detected = (
            self._settings.detection
            * (1 - _LOST["dark"] * (elevation < DUSK_DEG))
            * (1 - _LOST["rain"] * rain)
            * (1 - _LOST["fog"] * mist)
            * (1 - _LOST["hidden"] * np.clip(2 * traffic.density, 0, 1))
        )
        if world.version == 1:
            return CameraErrors(np.asarray(detected), None, none, none)
        dark = np.clip((_LAMPS_DEG[1] - elevation) / (_LAMPS_DEG[1] - _LAMPS_DEG[0]), 0, 1)
        sunlit = 1 - np.clip(rain + mist, 0, 1)
        long_shadows = sunlit * ((elevation > 0) & (elevation < _LOW_SUN_DEG))
        twice = _TWICE["always"] + _TWICE["shadows"] * long_shadows + _TWICE["lamps"] * dark
        miscoloured = _MISCOLOURED["by day"] + (_MISCOLOURED["at night"] - _MISCOLOURED["by day"]) * dark
        return CameraErrors(np.asarray(detected), np.asarray(twice), miscoloured, dark)

    def _sight(self, world: World, keys: Hashes, sites: Ints, times: Ints, interval: Ints) -> Flags:
        """Tell whether the camera sees in each part of the interval: one row a reading."""
        out = self._outages(world, keys, times, interval)
        if self._settings.night == "blind":
            elevation = sun_elevation_deg(world, np.repeat(sites, _PARTS), _part_moments(times, interval).reshape(-1))
            out |= elevation.reshape(out.shape) < DUSK_DEG
        return ~out

    def _outages(self, world: World, keys: Hashes, times: Ints, interval: Ints) -> Flags:
        """Tell in which parts of each interval the camera is out, once in a slot of twelve hours at the most."""
        out = np.zeros((len(times), _PARTS), dtype=np.bool_)
        first, last = (times - interval) // _OUTAGE_SLOT_MS, times // _OUTAGE_SLOT_MS
        for ahead in range(int((last - first).max(initial=0)) + 1):
            slot = first + ahead
            runs = Runs(keys, slot)
            bits = hash_bits(world.seed, "camera/outage", keys[runs.first], slot[runs.first])
            rows = np.flatnonzero(runs.spread(uniform(bits) < self._settings.outage_chance) & (slot <= last))
            shortest, longest = _OUTAGE_MS
            length = shortest + (longest - shortest) * uniform(
                hash_bits(world.seed, "camera/outage/length", keys[rows], slot[rows])
            )
            when = uniform(hash_bits(world.seed, "camera/outage/when", keys[rows], slot[rows]))
            begin = when * (_OUTAGE_SLOT_MS - longest)
            within = _part_moments(times[rows], interval[rows]) - slot[rows, None] * _OUTAGE_SLOT_MS
            out[rows] |= (within >= begin[:, None]) & (within < (begin + length)[:, None])
        return out

    def _confidence(self, world: World, keys: Hashes, times: Ints, chance: Floats, counts: Ints) -> NullableColumn:
        """Return the average score of the detections: lower where more is missed. None without any."""
        spread = _CONFIDENCE_DEVIATION * normal(hash_bits(world.seed, "camera/confidence", keys, times))
        score = _CONFIDENCE * (chance / self._settings.detection) + spread / np.sqrt(np.maximum(counts, 1))
        return nullable(np.round(np.clip(score, 0.3, 0.99), 3), counts > 0)


def _part_moments(times: Ints, interval: Ints) -> Ints:
    """Return the middle of each part of each interval: one row a reading."""
    begins = times - interval
    return np.asarray(begins[:, None] + (2 * np.arange(_PARTS) + 1) * interval[:, None] // (2 * _PARTS))


def _traffic(world: World, sites: Ints, roads: Ints, times: Ints, interval: Ints) -> Flow:
    """Return the traffic of each interval: that in its middle, or of one longer than an hour the mean of its hours."""
    traffic = components(world).traffic
    found = traffic.flow_at(sites, roads, times - interval // 2)
    long = np.flatnonzero(interval > HOUR_MS)
    if not len(long):
        return found
    hours = -(-interval[long] // HOUR_MS)
    vehicles, speed, density = (np.zeros(len(long)) for _ in range(3))
    for hour in range(int(hours.max())):
        rows = np.flatnonzero(hour < hours)
        at = long[rows]
        into = (2 * hour + 1) * interval[at] // (2 * hours[rows])
        then = traffic.flow_at(sites[at], roads[at], times[at] - interval[at] + into)
        vehicles[rows] += then.vehicles_per_hour
        speed[rows] += then.speed_ms * then.vehicles_per_hour
        density[rows] += then.density
    found.vehicles_per_hour[long], found.speed_ms[long] = vehicles / hours, speed / vehicles
    found.density[long] = density / hours
    return found


KIND = DeviceKind(
    "traffic",
    TrafficSettings,
    TrafficSensor,
    counts_interval=True,
    counted_fields=("vehicle_count", "avg_speed", "traffic_density_score"),
    decimals={"avg_speed": 1, "min_speed": 1, "max_speed": 1},
    plot_labels={"vehicle_count": "vehicles an interval", "avg_speed": "mean speed (km/h)"},
    plot_profile=("vehicle_count", "vehicles an hour and camera"),
    summary={"vehicle_count": "{} vehicles", "avg_speed": "{} km/h", "traffic_density_score": "{} density"},
    colour="yellow",
    locate=locate_cameras,
    memory_bytes=40 * 2**10,  # vehicles of the fleet that pass it
    reading_s=70e-6,
    busy_from_h=10,
)
