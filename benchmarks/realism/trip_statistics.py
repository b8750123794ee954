"""What is compared of the fleet's vehicles: when and how far they drive, and how they are driven."""

from collections.abc import Iterator

import numpy as np

from devices.sensors.base import Population
from devices.sensors.telematics.sensor import TelematicsSensor, TelematicsSettings
from devices.world.components import components
from devices.world.random import Ints, hash_bits
from devices.world.roads import KMH
from devices.world.world import DAY_MS, HOUR_MS, Site, World
from edgewire.clock import parse_ms

MONDAY_MS = parse_ms("2026-03-02T00:00:00Z")
PLACE = Site(name="a", latitude=48.9, longitude=2.4)
_STEP_MS = 20_000
_NIGHT_H = 4
_HARD_G, _NEAR_G = 0.28, 0.04
_MOMENTS = 60_000
# Two accelerations are the same where they differ by less, m/s²; who slows down by less than so much, coasts.
_SAME_MS2, _BRAKES_MS2 = 0.01, 0.3


def trip_statistics(version: int, seed: int, vehicles: int = 40, days: int = 7) -> Iterator[tuple[str, float]]:
    """Yield what the table has of vehicles of a world, by name; the days begin on a Monday."""
    who = [(number, PLACE.name) for number in range(vehicles)]
    world = World.build(seed, [PLACE], who, version=version, uses=dict.fromkeys(who, "private"))
    times = MONDAY_MS + np.arange(0, days * DAY_MS, _STEP_MS)
    drives, speed = _course(world, vehicles, times)
    yield from _trips(drives, speed, times)
    yield from _accelerations(world, np.argwhere(drives), times, seed)
    yield from _brakings(world, drives, times)


def _course(world: World, vehicles: int, times: Ints) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each vehicle (rows) is on a trip at each instant (columns), and its speed (m/s)."""
    everyone = np.arange(vehicles)
    found = []
    for some in np.array_split(times, max(1, len(times) * _STEP_MS // DAY_MS)):
        rows, moments = (each.ravel() for each in np.meshgrid(everyone, some, indexing="ij"))
        moving = components(world).vehicles.motion(np.zeros_like(rows), rows, moments)
        found.append([each.reshape(vehicles, -1) for each in (moving.on_trip, moving.speed_ms)])
    on_trip, speed = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
    return on_trip.astype(np.bool_), speed


def _trips(drives: np.ndarray, speed: np.ndarray, times: Ints) -> Iterator[tuple[str, float]]:
    days = len(times) * _STEP_MS / DAY_MS
    concentration, km, minutes = [], [], []
    for row in range(len(drives)):
        edges = np.diff(drives[row].astype(np.int8))
        begins, ends = np.flatnonzero(edges > 0) + 1, np.flatnonzero(edges < 0) + 1
        ends = ends[len(ends) - len(begins) :] if len(ends) > len(begins) else ends
        begins = begins[: len(ends)]
        if len(begins) > 1:
            concentration.append(abs(np.exp(2j * np.pi * (times[begins] % HOUR_MS) / HOUR_MS).mean()))
        driven = np.concatenate([[0.0], np.cumsum(speed[row])]) * _STEP_MS / 1e6
        km += (driven[ends] - driven[begins]).tolist()
        minutes += ((ends - begins) * _STEP_MS / 60_000).tolist()
    lengths = np.array(km)
    yield "departures of one vehicle, concentration within the hour (0 to 1)", float(np.median(concentration))
    yield "trips a vehicle and day", len(km) / len(drives) / days
    yield "driving of a vehicle and day (min)", float(drives.mean()) * DAY_MS / 60_000
    yield "longest trip (min)", max(minutes)
    yield "trips, median length (km)", float(np.median(lengths))
    yield "trips, skewness of the length", float(((lengths - lengths.mean()) ** 3).mean() / lengths.std() ** 3)
    by_hour = np.bincount(times // HOUR_MS % 24, drives.sum(axis=0), 24)
    yield "driving in an hour from 0 to 4 h, of the day's (%)", 100 * by_hour[:_NIGHT_H].mean() / by_hour.sum()


def _accelerations(world: World, driven: np.ndarray, times: Ints, seed: int) -> Iterator[tuple[str, float]]:
    """Yield how vehicles on their trips are driven, at moments by chance."""
    chance = np.random.default_rng(seed)
    some = driven[np.sort(chance.integers(0, len(driven), _MOMENTS))]
    vehicles, moments = some[:, 0], times[some[:, 1]] + chance.integers(0, _STEP_MS, len(some))
    now, later = (
        components(world).vehicles.motion(np.zeros_like(vehicles), vehicles, moments + shift) for shift in (0, 500)
    )
    rolls = now.on_trip & (now.speed_ms > 0.5)
    size = np.abs(now.acceleration_ms2[rolls])
    low, middle, high = (((size >= a) & (size < b)).mean() / (b - a) for a, b in ((0.25, 0.5), (0.5, 1.0), (1.0, 1.5)))
    yield "accelerations of .5 to 1 m/s² beside those next to them", float(2 * middle / (low + high))
    change = np.abs(later.acceleration_ms2 - now.acceleration_ms2)
    brakes = (now.acceleration_ms2 < -_BRAKES_MS2) & (later.acceleration_ms2 < -_BRAKES_MS2)
    yield "brakings that are the same half a second later (%)", 100 * float((change[brakes] < _SAME_MS2).mean())
    yield "jerk over half a second, 99th percentile (m/s³)", float(np.percentile(change[rolls], 99)) / 0.5
    yield "greatest sideways acceleration (m/s²)", float(now.lateral_ms2.max())
    yield "fastest vehicle (km/h)", float(now.speed_ms.max() / KMH)


def _brakings(world: World, drives: np.ndarray, times: Ints) -> Iterator[tuple[str, float]]:
    """Yield what telematics units say of hard braking, every 20 s."""
    keys = hash_bits(0, "unit", np.arange(len(drives)))
    here = Population(keys, np.zeros(len(drives), dtype=np.int64), np.full(len(drives), _STEP_MS), np.arange(len(keys)))
    sensor = TelematicsSensor(TelematicsSettings(braking_g=_HARD_G), here)
    units, at = np.nonzero(drives)
    found = []
    for some in np.array_split(np.arange(len(units)), max(1, len(units) // 20_000)):
        said = sensor.sample(world, units[some], times[at[some]])["braking_g"]
        found += [value for value in said if value is not None]
    near = np.array(found) < _HARD_G + _NEAR_G
    yield "hard brakings that are less than .04 g beyond the threshold of .28 g (%)", 100 * float(near.mean())
