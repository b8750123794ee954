"""Weather over place and time: what all devices of a region feel alike.

Everything is made of noise fields that drift eastwards, so lows, fronts and clear spells pass over one site after the
other. Anomalies are in units of their usual deviation; `climate` scales them to a place and makes degrees of them.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from devices.world.grid import Grid
from devices.world.noise import fields
from devices.world.rng import Floats, Ints
from devices.world.site import DAY_MS, HOUR_MS
from devices.world.world import World

# Mid-latitude lows pass every three to five days and move eastwards at about 30 km/h (0.4 degrees of longitude).
SYNOPTIC_MS = 2 * DAY_MS
AIR_MS = 2 * SYNOPTIC_MS
SHOWER_MS = 3 * HOUR_MS
_WIND_MS = 6 * HOUR_MS
_PERIODS_MS = np.array([AIR_MS, SYNOPTIC_MS, SYNOPTIC_MS, SHOWER_MS, _WIND_MS])
_EASTWARD_DEG_PER_MS = 0.4 / HOUR_MS
# The weather of the two ends of the map has nothing in common. They meet not at 180 degrees, which parts islands of
# Fiji and Chukotka, but between the Diomedes, where the date line runs, and in the ocean south of them.
_SEAM_DEG = -169.0
# Beyond about this distance weather is unrelated.
_CELL_DEG = 4.0
# A storm is the core of a low, a clear spell that of a high; the margins are those of the strongest twelfths.
_CORE, _CORE_DEPTH = 1.4, 0.8
# Where two air masses meet, the border is this sharp (in deviations of the air mass).
_FRONT_WIDTH = 0.15
_MEAN_WIND_MS = 3.5
# How strong a shower must be for rain to fall; of all hours, about 19, 11, 1, 24 and 16 % are rainy by that.
_DRYNESS = {"temperate": 1.2, "mediterranean": 1.7, "desert": 3.0, "tropical": 1.05, "subarctic": 1.45}

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
    mist: Floats
    """0 = clear air, 1 = dense fog."""
    wind: Floats
    """Mean wind in m/s at 10 m."""
    storm: Floats
    """0 outside, 1 in the core of a deep low."""
    front: Floats
    """1 where two air masses meet."""
    clear: Floats
    """0 outside, 1 in the core of a strong high."""

    @property
    def fog(self) -> NDArray[np.bool_]:
        """Whether sight is reduced by fog."""
        return (self.mist > 0.02) & (self.rain <= 0)

    def conditions(self) -> list[str]:
        """sunny, rainy or foggy."""
        names: list[str] = np.where(self.rain > 0, "rainy", np.where(self.fog, "foggy", "sunny")).tolist()
        return names


def weather(world: World, sites: Ints, times_ms: Ints) -> Weather:
    """The weather at these sites and instants."""
    return Weather(*_grid(world).at(sites, times_ms))


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


@lru_cache(16)
def _grid(world: World) -> Grid:
    return Grid(lambda sites, times: _compute(world, sites, times), len(world.sites))


def _compute(world: World, sites: Ints, times_ms: Ints) -> Floats:
    """The fields of `Weather`, in their order."""
    latitude = np.array([site.latitude for site in world.sites])[sites]
    drifted = np.array([_east_of_seam(site.longitude) for site in world.sites])[sites] - _EASTWARD_DEG_PER_MS * times_ms
    air, low, damp, showers, gusts = fields(
        world.seed, "weather", drifted / _CELL_DEG, latitude / _CELL_DEG, times_ms, _PERIODS_MS
    )
    front = np.exp(-((air / _FRONT_WIDTH) ** 2))
    # Air masses are even within and change at their borders; a front lies in a trough.
    temperature = 1.25 * np.tanh(1.5 * air)
    pressure = low - 0.6 * front
    storm = np.clip((-_CORE - pressure) / _CORE_DEPTH, 0, 1)
    clear = np.clip((pressure - _CORE) / _CORE_DEPTH, 0, 1)
    moisture = 0.6 * damp - 0.5 * pressure + 0.62 * showers
    dryness = np.array([_DRYNESS[site.climate] for site in world.sites])[sites]
    rain = np.clip((showers - 0.8 * pressure + 0.5 * front - dryness) / 2, 0, 1)
    hour = (world.local_ms(sites, times_ms) % DAY_MS) / HOUR_MS
    calm_and_damp = np.clip(np.minimum(pressure - 0.2, moisture + 0.8 - dryness), 0, 1)
    early = np.clip((3.5 - np.abs(hour - COOLEST_HOUR)) / 2, 0, 1)
    mist = np.where(rain > 0, 0, calm_and_damp * early)
    wind = _MEAN_WIND_MS * np.exp(0.45 * gusts - 0.1) * (1 + 1.5 * storm + 0.8 * front) * (1 - 0.8 * mist)
    return np.stack([temperature, pressure, moisture, rain, mist, wind, storm, front, clear])


def _east_of_seam(longitude: float) -> float:
    """The longitude, counted on beyond 180 degrees as far as the seam."""
    return longitude + 360 if longitude < _SEAM_DEG else longitude
