"""Climates: what the weather's anomalies mean in degrees, percent and hectopascals at a place and a time of year."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from devices.world.rng import Floats, Ints
from devices.world.site import DAY_MS, Site
from devices.world.weather import diurnal, weather
from devices.world.world import World

Season = Literal["calendar", "winter", "summer"]
"""By the date, or held at the middle of one."""

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


@dataclass(frozen=True, slots=True)
class Air:
    """The air outdoors; one value a row. The three are consistent: vapour pressure by Magnus, pressure by altitude."""

    temperature_c: Floats
    dew_point_c: Floats
    """Never above the temperature."""
    humidity: Floats
    """Relative, in percent."""
    pressure_hpa: Floats
    """At the site's altitude."""


def outdoor(world: World, sites: Ints, times_ms: Ints, season: Season = "calendar") -> Air:
    """The air outdoors at these sites and instants."""
    found = weather(world, sites, times_ms)
    mean, seasonal, daily, spread, depression, pressure, altitude = np.array(
        [_place(site) for site in world.sites]
    ).T[:, sites]  # fmt: skip
    day_mean = mean + seasonal * _season(world, sites, times_ms, season) + spread * found.temperature
    overcast = np.clip(0.5 - 0.3 * found.pressure + 0.5 * found.rain, 0, 1)
    course = diurnal(world.local_ms(sites, times_ms)) * daily * (1.3 - 0.8 * overcast)
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


def vapour_pressure_hpa(dew_point_c: Floats) -> Floats:
    """Of air with this dew point, by the Magnus formula over water (WMO-No. 8, annex 4.B)."""
    return np.asarray(6.112 * np.exp(17.62 * dew_point_c / (243.12 + dew_point_c)))


def _place(site: Site) -> tuple[float, ...]:
    climate = CLIMATES[site.climate]
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
    """The northern year's course: 1 in the warmest weeks, -1 in the coldest."""
    if season == "calendar":
        # Days since 1970-01-01 modulo the mean year stay within a day of the day of the year.
        return np.asarray(np.cos(2 * np.pi * (times_ms / DAY_MS - _WARMEST_DAY) / _YEAR_DAYS))
    north = np.array([1.0 if site.latitude >= 0 else -1.0 for site in world.sites])[sites]
    return north if season == "summer" else -north
