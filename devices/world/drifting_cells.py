"""The first world's weather and climates (`world: 1`): noise in cells that drift with the wind.

Everything is made of noise fields that drift eastwards, so lows, fronts and clear spells pass over one site after the
other. Anomalies are in units of their usual deviation; a climate makes degrees, percent and hectopascals of them, at a
place and a time of year.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from devices.world.noise import GridInterpolator, noise_fields
from devices.world.random import Floats, Ints
from devices.world.weather import RAIN_AND_MIST, Air, Season, Weather, vapour_pressure_hpa
from devices.world.world import DAY_MS, HOUR_MS, Site, World

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


def diurnal(local_ms: Ints) -> Floats:
    """Return the daily course from -1 at the coolest hour to 1 at the warmest, both half-waves a cosine."""
    hour = (local_ms % DAY_MS) / HOUR_MS
    since_coolest = (hour - COOLEST_HOUR) % 24
    rise = WARMEST_HOUR - COOLEST_HOUR
    return np.where(
        since_coolest < rise,
        -np.cos(np.pi * since_coolest / rise),
        np.cos(np.pi * (since_coolest - rise) / (24 - rise)),
    )


# The warmest days come about four weeks after the solstice of 21 June.
_WARMEST_DAY = 172 + 27
_YEAR_DAYS = 365.25
_LAPSE_K_PER_M = 0.0065  # ICAO standard atmosphere
_SEA_LEVEL_HPA = 1013.25
_GRAVITY_MOLAR_MASS_R = 9.80665 * 0.0289644 / 8.31446  # K/m, barometric formula


@dataclass(frozen=True, slots=True)
class Climate:
    """A climate at sea level at its usual latitude. Means and ranges are round figures of a typical city's normals."""

    latitude: float
    mean_c: float
    seasonal_c: float
    """Warmest month above the year's mean."""
    diurnal_c: float
    """Afternoon above the day's mean, on a dry day."""
    spread_c: float
    """Deviation from one air mass to the other."""
    depression_c: float
    """How far the dew point lies below the day's mean temperature, usually."""
    pressure_hpa: float
    """Deviation of the pressure at sea level."""


CLIMATES: Mapping[str, Climate] = MappingProxyType(
    {
        "temperate": Climate(49, 12, 8, 4, 3.0, 4.0, 9),  # Paris
        "mediterranean": Climate(37, 18, 8.5, 4.5, 2.0, 7.0, 6),  # Athens
        "desert": Climate(24, 26, 9, 7.5, 2.0, 20.0, 4),  # Riyadh
        "tropical": Climate(1.3, 27.5, 0.5, 3, 0.7, 4.0, 1.5),  # Singapore
        "subarctic": Climate(65, -3, 18, 5, 4.5, 4.5, 10),  # Fairbanks
    }
)
"""By the name that a site's `climate` gives."""


class DriftingCells:
    """Weather of cells that drift over the sites of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._grid = GridInterpolator(lambda sites, times: _compute(world, sites, times), len(world.sites))

    def weather(self, sites: Ints, times_ms: Ints) -> Weather:
        """Return the weather at these sites and instants."""
        return Weather(*self._grid.interpolate(sites, times_ms))

    def rain_and_mist(self, sites: Ints, times_ms: Ints) -> tuple[Floats, Floats]:
        """Return these two of the weather."""
        rain, mist = self._grid.interpolate(sites, times_ms, RAIN_AND_MIST)
        return rain, mist

    def outdoor_air(self, sites: Ints, times_ms: Ints, season: Season = "calendar") -> Air:
        """Return the air outdoors at these sites and instants."""
        found = self.weather(sites, times_ms)
        mean, seasonal, daily, spread, depression, pressure, altitude = np.array(
            [_place(site) for site in self._world.sites]
        ).T[:, sites]  # fmt: skip
        day_mean = mean + seasonal * _season(self._world, sites, times_ms, season) + spread * found.temperature
        overcast = np.clip(0.5 - 0.3 * found.pressure + 0.5 * found.rain, 0, 1)
        course = diurnal(self._world.local_ms(sites, times_ms)) * daily * (1.3 - 0.8 * overcast)
        temperature = day_mean + course - 1.5 * found.rain
        wet = (1 - 0.8 * found.rain) * (1 - found.mist)
        dew_point = np.minimum(day_mean - depression * np.exp(-0.4 * np.tanh(found.moisture)), temperature)
        dew_point = temperature - (temperature - dew_point) * wet
        humidity = 100 * vapour_pressure_hpa(dew_point) / vapour_pressure_hpa(temperature)
        sea_level = _SEA_LEVEL_HPA + pressure * found.pressure
        # The mean temperature of the column of air between the site and the sea.
        column_k = temperature + 273.15 + _LAPSE_K_PER_M * altitude / 2
        station = sea_level * np.exp(-_GRAVITY_MOLAR_MASS_R * altitude / column_k)
        return Air(temperature, dew_point, humidity, station)


def _compute(world: World, sites: Ints, times_ms: Ints) -> Floats:
    """Return the fields of `Weather`, in their order."""
    latitude = np.array([site.latitude for site in world.sites])[sites]
    drifted = np.array([_east_of_seam(site.longitude) for site in world.sites])[sites] - _EASTWARD_DEG_PER_MS * times_ms
    air, low, damp, showers, gusts = noise_fields(
        world.seed, "weather", drifted / _CELL_DEG, latitude / _CELL_DEG, times_ms, _PERIODS_MS
    )
    front = np.exp(-((air / _FRONT_WIDTH) ** 2))
    # Air masses are even within and change at their borders; a front lies in a trough.
    temperature = 1.25 * np.tanh(1.5 * air)
    pressure = low - 0.6 * front
    storm = np.clip((-_CORE - pressure) / _CORE_DEPTH, 0, 1)
    clear = np.clip((pressure - _CORE) / _CORE_DEPTH, 0, 1)
    moisture = 0.6 * damp - 0.5 * pressure + 0.62 * showers
    dryness = np.array([_DRYNESS[_plain_name(site)] for site in world.sites])[sites]
    rain = np.clip((showers - 0.8 * pressure + 0.5 * front - dryness) / 2, 0, 1)
    hour = (world.local_ms(sites, times_ms) % DAY_MS) / HOUR_MS
    calm_and_damp = np.clip(np.minimum(pressure - 0.2, moisture + 0.8 - dryness), 0, 1)
    early = np.clip((3.5 - np.abs(hour - COOLEST_HOUR)) / 2, 0, 1)
    mist = np.where(rain > 0, 0, calm_and_damp * early)
    wind = _MEAN_WIND_MS * np.exp(0.45 * gusts - 0.1) * (1 + 1.5 * storm + 0.8 * front) * (1 - 0.8 * mist)
    return np.stack([temperature, pressure, moisture, rain, mist, wind, storm, front, clear])


def _east_of_seam(longitude: float) -> float:
    """Return the longitude, counted on beyond 180 degrees as far as the seam."""
    return longitude + 360 if longitude < _SEAM_DEG else longitude


def _plain_name(site: Site) -> str:
    assert isinstance(site.climate, str), "a scenario refuses tables of normals with world: 1"
    return site.climate


def _place(site: Site) -> tuple[float, ...]:
    climate = CLIMATES[_plain_name(site)]
    # Seasons grow with the distance from the equator, and are the other way round beyond it.
    seasons = np.sin(np.radians(site.latitude)) / np.sin(np.radians(climate.latitude))
    return (
        climate.mean_c - _LAPSE_K_PER_M * site.altitude_m,
        climate.seasonal_c * float(np.clip(seasons, -1.5, 1.5)),
        climate.diurnal_c,
        climate.spread_c,
        climate.depression_c,
        climate.pressure_hpa,
        site.altitude_m,
    )


def _season(world: World, sites: Ints, times_ms: Ints, season: Season) -> Floats:
    """Return the northern year's course: 1 in the warmest weeks, -1 in the coldest."""
    if season == "calendar":
        # Days since 1970-01-01 modulo the mean year stay within a day of the day of the year.
        return np.asarray(np.cos(2 * np.pi * (times_ms / DAY_MS - _WARMEST_DAY) / _YEAR_DAYS))
    north = np.array([1.0 if site.latitude >= 0 else -1.0 for site in world.sites])[sites]
    return north if season == "summer" else -north
