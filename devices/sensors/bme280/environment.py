"""The air around a BME280, as a perfect one would read it: slow courses on a grid, weather events by the row."""

from typing import Protocol

import numpy as np
from pydantic import Field, field_validator, model_validator

from devices.sensors.bme280.weather_events import KINDS, WeatherEvents, per_place
from devices.world.components import components
from devices.world.drifting_cells import AIR_MS, SHOWER_MS, SYNOPTIC_MS, diurnal
from devices.world.noise import GridInterpolator, fractal_noise
from devices.world.random import Floats, Hashes, Ints, extend, hash_bits
from devices.world.weather import Season
from devices.world.world import HOUR_MS, World
from edgewire.config import Config

STORM, FRONT, CLEAR, NO_EVENT = 0, 1, 2, KINDS
# What an event adds at its height: °C, % and hPa by kind.
_EVENT_EFFECT = np.array([[-1.5, 0.0, 0.0, 0.0], [12.0, 0.0, -8.0, 0.0], [-8.0, 5.0, 6.0, 0.0]])
# From this strength on a front of the world's weather is reported as an event.
_FRONT_FELT = 0.2
# Of each value (°C, % and hPa): the daily course, the most that an event adds, and how fast the region's air changes.
# At a front that changes two to three times as fast as the noise that moves it.
_DAILY = np.array([3.0, -10.0, 0.0])
_EVENT_MOST = np.abs(_EVENT_EFFECT).max(axis=1)
_REGION_MS = np.array([AIR_MS // 2, SHOWER_MS, SYNOPTIC_MS // 3])
# Of half a range, what the daily course takes at the most, and what is left to the slow changes at the least.
_DAILY_SHARE, _SLOW_SHARE = 0.6, 0.4
# Of the largest change between two readings, what the slow changes have; the draught has the rest.
_SLOW_STEP, _DRAUGHT_STEP = 0.4, 0.6
# The draught is drawn anew after so many readings; on the way the largest step is 0.963 of its amplitude.
_DRAUGHT_READINGS, _LARGEST_STEP = 3, 0.963
_PARTS_OF_READING = 16
_PARTS = _PARTS_OF_READING * _DRAUGHT_READINGS
_ON_THE_WAY = (np.arange(_PARTS) / _PARTS) ** 2 * (3 - 2 * np.arange(_PARTS) / _PARTS)
_SPARE_PARTS = 2000
# From this part of half a range on, values come nearer and nearer to its end.
_KNEE = 0.9


class Range(Config):
    """Range that a value never leaves, and how far it may move from one reading to the next."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    drift: float = Field(gt=0, allow_inf_nan=False)
    """Largest random change between two readings; daily course and weather events come on top. The air is as restless
    as this allows."""

    @model_validator(mode="after")
    def _check(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        return self


class RangeSettings(Config):
    """The air of a room, kept within ranges: near their ends it changes less and less."""

    temperature_c: Range = Range(low=18, high=28, drift=0.5)
    humidity: Range = Range(low=30, high=70, drift=2.0)
    pressure_hpa: Range = Range(low=1000, high=1025, drift=0.5)
    daily_pattern: bool = True
    """Warmest at 14:00 and coolest at 06:00 local time, ±3 °C, humidity inversely ±10 %, as far as the ranges have
    room for it (0.3 of their width)."""
    weather_events: bool = True
    """Storms, fronts and clear spells that are felt in the readings, and named in `metadata`."""
    weather_event_chance: float = Field(default=0.01, ge=0, le=0.5)
    """That an event begins at a reading outside of one. A room lives in physical time, and the world's storms, fronts
    and clear spells are its events, unless this, `weather_event_readings` or a range is set."""
    weather_event_readings: tuple[int, int] = (10, 50)
    """Shortest and longest event."""

    @property
    def counts_in_readings(self) -> bool:
        """Tell whether drift and events are set, which count in readings, or a room is left to physical time."""
        return bool(self.model_fields_set & set(RangeSettings.model_fields) - {"daily_pattern", "weather_events"})

    @property
    def ranges(self) -> tuple[Range, Range, Range]:
        """Return the ranges of temperature, humidity and pressure."""
        return self.temperature_c, self.humidity, self.pressure_hpa

    @field_validator("weather_event_readings")
    @classmethod
    def _check_readings(cls, readings: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= readings[0] <= readings[1]:
            raise ValueError("write the shortest event first, of 1 reading at least")
        return readings


class Environment(Protocol):
    """The air at some places over time."""

    def air_at(self, places: Ints, times: Ints) -> tuple[Floats, Ints]:
        """Return an array of (°C, % and hPa; rows), and the weather event of each row."""
        ...


class IndoorAir:
    """Values that wander within ranges, half with the region's weather and half on their own, in a draught."""

    def __init__(self, settings: RangeSettings, world: World, sites: Ints, interval_ms: Ints, rooms: Ints) -> None:
        """A place is a room of a site (0, until a device is reset) read at an interval: drift is by the reading."""
        self._settings, self._world = settings, world
        self._atmosphere = components(world).atmosphere
        self._sites, self._interval = sites, interval_ms
        self._keys = hash_bits(0, "bme280/room", components(world).site_arrays.keys[sites], rooms)
        seeds = hash_bits(world.seed, "bme280/event", components(world).site_arrays.keys[sites], interval_ms)
        chance = settings.weather_event_chance if settings.weather_events else 0.0
        self._events = WeatherEvents(seeds, interval_ms, chance, settings.weather_event_readings)
        self._draught_seeds = hash_bits(world.seed, "bme280/draught", self._keys, interval_ms)
        half = np.array([(limits.high - limits.low) / 2 for limits in settings.ranges])
        drift = np.array([limits.drift for limits in settings.ranges])
        self._middle = np.array([(limits.high + limits.low) / 2 for limits in settings.ranges])
        self._daily = np.sign(_DAILY) * np.minimum(np.abs(_DAILY), _DAILY_SHARE * half) * settings.daily_pattern
        taken = np.abs(self._daily) + 0.5 * _EVENT_MOST * (chance > 0)
        self._slow = np.maximum(half - taken, _SLOW_SHARE * half)
        self._draught = (_DRAUGHT_STEP / _LARGEST_STEP * drift)[:, None]
        # Each half of the slow changes moves a value by at most amplitude * 0.35 * (slope of the noise, up to 40 a
        # period) a step, which shall not be more than half of their part of the drift.
        self._slowest = 28 * self._slow[:, None] * interval_ms / (_SLOW_STEP * drift[:, None])
        self._grid = GridInterpolator(self._slow_changes, len(sites))

    def air_at(self, places: Ints, times: Ints) -> tuple[Floats, Ints]:
        """Return the air as `Environment` says."""
        air = self._grid.interpolate(places, times)
        if not len(times):
            return air, np.full(0, NO_EVENT)
        air += self._draught * self._draught_at(places, times)
        event, strength = self._events.at(places, times)
        if strength.any():
            air += _EVENT_EFFECT.take(event, axis=1, mode="clip") * strength
        return air, event

    def _slow_changes(self, places: Ints, times: Ints) -> Floats:
        sites, keys = self._sites[places], self._keys[places]
        found = self._atmosphere.weather(sites, times)
        day = diurnal(self._world.local_ms(sites, times))
        slowest = self._slowest[:, places]
        values = []
        for row, (name, region) in enumerate((("t", found.temperature), ("h", found.moisture), ("p", found.pressure))):
            period = np.maximum(6 * HOUR_MS, slowest[row].astype(np.int64))
            own = fractal_noise(self._world.seed, f"bme280/{name}", keys, times, period)
            region = region * np.minimum(1, _REGION_MS[row] / slowest[row])
            wander = self._slow[row] * np.tanh(0.5 * (region + own) / np.sqrt(2))
            values.append(self._middle[row] + wander + self._daily[row] * day)
        return np.stack(values)

    def _draught_at(self, places: Ints, times: Ints) -> Floats:
        """Return how far from its mean the draught has moved each value, from -1 to 1; even for a part of a reading."""
        part = (times * _PARTS_OF_READING) // per_place(self._interval, places)
        first = int(times.min()) * _PARTS_OF_READING // self._interval // _PARTS
        count = int(times.max()) * _PARTS_OF_READING // self._interval // _PARTS - first + 1
        if int(count.sum()) * _PARTS <= len(times) + _SPARE_PARTS:
            owner, before = np.repeat(np.arange(len(count)), count), np.cumsum(count) - count
            cells = np.arange(len(owner)) - before[owner] + first[owner]
            left, right = (_draws(self._draught_seeds[owner], cells + further)[..., None] for further in (0, 1))
            table = (left + (right - left) * _ON_THE_WAY).reshape(3, -1)
            return np.asarray(table.take(part + per_place((before - first) * _PARTS, places), axis=1, mode="clip"))
        cell = part // _PARTS
        seeds = self._draught_seeds.take(places)
        left, right = _draws(seeds, cell), _draws(seeds, cell + 1)
        return np.asarray(left + (right - left) * _ON_THE_WAY[part - cell * _PARTS])


def _draws(seeds: Hashes, cells: Ints) -> Floats:
    """Return three uniform numbers from -1 to 1 for each cell."""
    bits = extend(seeds, cells)
    return np.stack([((bits >> np.uint64(21 * n)) & np.uint64(0x1FFFFF)) / 2.0**20 - 1 for n in range(3)])


class RangeLimiter:
    """Keeps values within their ranges: beyond a knee they come nearer to the end, and never reach it."""

    def __init__(self, ranges: tuple[Range, Range, Range], decimals: int) -> None:
        low = np.array([[limits.low] for limits in ranges])
        high = np.array([[limits.high] for limits in ranges])
        self._low, self._high = low, high
        self._middle, self._half = (low + high) / 2, (high - low) / 2
        self._knee = _KNEE * self._half
        unit = 10.0**decimals
        # Of the numbers with so many decimals, the outermost within the range.
        self._lowest, self._highest = np.ceil(low * unit - 1e-6) / unit, np.floor(high * unit + 1e-6) / unit

    def limit(self, values: Floats) -> None:
        """Bend values (°C, % and hPa; rows) that are beyond the knee."""
        departure = values - self._middle
        beyond = np.abs(departure) > self._knee
        rows = np.flatnonzero(beyond.any(axis=0))
        if not len(rows):
            return
        room = self._half - self._knee
        some = departure[:, rows]
        excess = np.maximum(np.abs(some) - self._knee, 0)
        bent = np.minimum(np.abs(some), self._knee) + excess * room / (room + excess)
        values[:, rows] = np.where(excess > 0, self._middle + np.copysign(bent, some), values[:, rows])

    def is_within(self, bounds: Floats) -> bool:
        """Return whether the ranges lie within these least and greatest values."""
        return bool((self._low >= bounds[0]).all() and (self._high <= bounds[1]).all())

    def clip(self, values: Floats) -> Floats:
        """Clip values that rounding to the chip's counts has taken out of the range."""
        return np.clip(values, self._lowest, self._highest)


def named_events(felt: Floats) -> Ints:
    """Return the event of each row, by how strong storm, front and clear spell are there (an array of three rows)."""
    storm, front, clear = felt > np.array([[0], [_FRONT_FELT], [0]])
    return np.where(storm, STORM, np.where(front, FRONT, np.where(clear, CLEAR, NO_EVENT)))


class OutdoorAir:
    """The air of the site's climate; its storms, fronts and clear spells are the events."""

    def __init__(self, season: Season, world: World, sites: Ints) -> None:
        self._season, self._sites = season, sites
        self._atmosphere = components(world).atmosphere
        self._grid = GridInterpolator(self._slow, len(sites))

    def air_at(self, places: Ints, times: Ints) -> tuple[Floats, Ints]:
        """Return the air as `Environment` says."""
        found = self._grid.interpolate(places, times)
        return found[:3], named_events(found[3:])

    def _slow(self, places: Ints, times: Ints) -> Floats:
        sites = self._sites[places]
        air, found = self._atmosphere.outdoor_air(sites, times, self._season), self._atmosphere.weather(sites, times)
        return np.stack([air.temperature_c, air.humidity, air.pressure_hpa, found.storm, found.front, found.clear])
