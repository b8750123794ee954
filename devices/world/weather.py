"""Weather over place and time: what all devices of a region feel alike.

Anomalies are in units of their usual deviation, so that each consumer scales them to its climate.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.world.noise import fractal
from devices.world.rng import Floats, Ints
from devices.world.site import DAY_MS, HOUR_MS, MINUTE_MS
from devices.world.world import World

# Mid-latitude lows pass every three to five days and move eastwards at about 30 km/h (0.4 degrees of longitude).
SYNOPTIC_MS = 2 * DAY_MS
AIR_MS = 2 * SYNOPTIC_MS
SHOWER_MS = 3 * HOUR_MS
_EASTWARD_DEG_PER_MS = 0.4 / HOUR_MS
# Beyond about this distance weather is unrelated.
_CELL_DEG = 4.0

WARMEST_HOUR, COOLEST_HOUR = 14.0, 6.0


@dataclass(frozen=True, slots=True)
class Weather:
    """One value a row."""

    temperature: Floats
    """Anomaly of the air mass."""
    pressure: Floats
    """Anomaly; low means a depression."""
    moisture: Floats
    """Anomaly of the relative humidity."""
    rain: Floats
    """0 = dry, 1 = heavy."""
    fog: NDArray[np.bool_]

    def conditions(self) -> list[str]:
        """sunny, rainy or foggy."""
        names: list[str] = np.where(self.rain > 0, "rainy", np.where(self.fog, "foggy", "sunny")).tolist()
        return names


def weather(world: World, sites: Ints, times_ms: Ints) -> Weather:
    """The weather at these sites and instants."""
    pressure = _field(world, "weather/pressure", sites, times_ms, SYNOPTIC_MS)
    showers = _field(world, "weather/showers", sites, times_ms, SHOWER_MS)
    moisture = 0.6 * _field(world, "weather/moisture", sites, times_ms, SYNOPTIC_MS) - 0.5 * pressure + 0.62 * showers
    rain = np.clip((showers - 0.8 * pressure - 1.1) / 2, 0, 1)
    hour = (world.local_ms(sites, times_ms) % DAY_MS) / HOUR_MS
    fog = (rain == 0) & (pressure > 0.2) & (moisture > 0.4) & (np.abs(hour - COOLEST_HOUR) < 3.5)
    return Weather(_field(world, "weather/air", sites, times_ms, AIR_MS), pressure, moisture, rain, fog)


def diurnal(local_ms: Ints) -> Floats:
    """Daily course from -1 at the coolest hour to 1 at the warmest, both half-waves a cosine."""
    hour = (local_ms % DAY_MS) / HOUR_MS
    since_coolest = (hour - COOLEST_HOUR) % 24
    rise = WARMEST_HOUR - COOLEST_HOUR
    return np.where(
        since_coolest < rise,
        -np.cos(np.pi * since_coolest / rise),
        np.cos(np.pi * (since_coolest - rise) / (24 - rise)),
    )


def gridded(field: Callable[[Ints, Ints], Floats], sites: Ints, times_ms: Ints) -> Floats:
    """`field(sites, times)` evaluated at full minutes only and interpolated between them.

    What changes over hours need not be computed for each of a thousand readings of one second; and as the minutes
    are those of the clock, the value stays a function of place and time.
    """
    minute, within = np.divmod(times_ms, MINUTE_MS)
    places = int(sites.max(initial=0)) + 1
    codes, inverse = np.unique(np.concatenate([minute, minute + 1]) * places + np.tile(sites, 2), return_inverse=True)
    values = field(codes % places, codes // places * MINUTE_MS)[inverse]
    share = within / MINUTE_MS
    return np.asarray(values[: len(times_ms)] * (1 - share) + values[len(times_ms) :] * share)


def _field(world: World, stream: str, sites: Ints, times_ms: Ints, period_ms: int) -> Floats:
    """Noise over place and time, drifting eastwards."""
    return gridded(lambda at, when: _blended(world, stream, at, when, period_ms), sites, times_ms)


def _blended(world: World, stream: str, sites: Ints, times_ms: Ints, period_ms: int) -> Floats:
    """Blended between the four lattice points around each site."""
    latitude = np.array([site.latitude for site in world.sites])[sites] / _CELL_DEG
    drifted = np.array([site.longitude for site in world.sites])[sites] - _EASTWARD_DEG_PER_MS * times_ms
    longitude = drifted / _CELL_DEG
    south, west = np.floor(latitude), np.floor(longitude)
    angle_y, angle_x = _blend(latitude - south), _blend(longitude - west)
    total = np.zeros(len(times_ms))
    for dy, weight_y in ((0, np.cos(angle_y)), (1, np.sin(angle_y))):
        for dx, weight_x in ((0, np.cos(angle_x)), (1, np.sin(angle_x))):
            cell = ((south + dy).astype(np.int64) << 32) ^ ((west + dx).astype(np.int64) & 0xFFFFFFFF)
            total += weight_y * weight_x * fractal(world.seed, stream, cell, times_ms, period_ms)
    return total


def _blend(fraction: Floats) -> Floats:
    return (fraction * fraction * (3 - 2 * fraction)) * (np.pi / 2)
