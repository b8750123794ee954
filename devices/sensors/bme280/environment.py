"""The air around a BME280, as a perfect one would read it: slow courses on a grid, weather events by the row."""

from typing import Protocol

import numpy as np
from pydantic import Field, field_validator, model_validator

from devices.world.noise import GridInterpolator, fractal_noise
from devices.world.random import Floats, Ints, extend, hash_bits
from devices.world.weather import AIR_MS, SHOWER_MS, SYNOPTIC_MS, Season, diurnal, outdoor_air, weather
from devices.world.world import HOUR_MS, World
from edgewire.config import Config

STORM, FRONT, CLEAR, NO_EVENT = 0, 1, 2, 3
# What an event adds at its height.
_EVENT_T_C = np.array([-1.5, 0.0, 0.0, 0.0])
_EVENT_H_PERCENT = np.array([12.0, 0.0, -8.0, 0.0])
_EVENT_P_HPA = np.array([-8.0, 5.0, 6.0, 0.0])
# From this strength on a front of the world's weather is reported as an event.
_FRONT_FELT = 0.2
_SPARE_EVENTS = 1000


class Range(Config):
    """Range in which a value stays, and how far it may move from one reading to the next."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    drift: float = Field(gt=0, allow_inf_nan=False)
    """Largest random change between two readings; daily course and weather events come on top."""

    @model_validator(mode="after")
    def _check(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        return self


class RangeSettings(Config):
    """The air of a room, kept within ranges."""

    temperature_c: Range = Range(low=18, high=28, drift=0.5)
    humidity: Range = Range(low=30, high=70, drift=2.0)
    pressure_hpa: Range = Range(low=1000, high=1025, drift=0.5)
    daily_pattern: bool = True
    """Warmest at 14:00 and coolest at 06:00 local time, ±3 °C, humidity inversely ±10 %."""
    weather_events: bool = True
    """Storms, fronts and clear spells that are felt in the readings, and named in `metadata`."""
    weather_event_chance: float = Field(default=0.01, ge=0, le=0.5)
    """That an event begins at a reading."""
    weather_event_readings: tuple[int, int] = (10, 50)
    """Shortest and longest event."""

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
    """Values that wander within ranges, half with the region's weather and half on their own."""

    def __init__(self, settings: RangeSettings, world: World, sites: Ints, interval_ms: Ints) -> None:
        """A place is a site read at an interval: drift limits and events are by the reading."""
        self._settings, self._world = settings, world
        self._sites, self._interval = sites, interval_ms
        self._event_seeds = hash_bits(world.seed, "bme280/event", sites, interval_ms)
        self._grid = GridInterpolator(self._slow, len(sites))

    def air_at(self, places: Ints, times: Ints) -> tuple[Floats, Ints]:
        """Return the air as `Environment` says."""
        air = self._grid.interpolate(places, times)
        if not self._settings.weather_events:
            return air, np.full(len(times), NO_EVENT)
        event, strength = self._events(places, times)
        effect = np.stack([_EVENT_T_C.take(event), _EVENT_H_PERCENT.take(event), _EVENT_P_HPA.take(event)])
        return air + effect * strength, event

    def _slow(self, places: Ints, times: Ints) -> Floats:
        settings, sites = self._settings, self._sites[places]
        found = weather(self._world, sites, times)
        day = diurnal(self._world.local_ms(sites, times)) if settings.daily_pattern else np.zeros(len(times))
        # At a front the air changes two to three times as fast as the noise that moves it.
        return np.stack(
            [
                self._random_walk("t", settings.temperature_c, found.temperature, AIR_MS // 2, places, times) + 3 * day,
                self._random_walk("h", settings.humidity, found.moisture, SHOWER_MS, places, times) - 10 * day,
                self._random_walk("p", settings.pressure_hpa, found.pressure, SYNOPTIC_MS // 3, places, times),
            ]
        )

    def _random_walk(self, name: str, limits: Range, air: Floats, air_ms: int, places: Ints, times: Ints) -> Floats:
        half = (limits.high - limits.low) / 2
        # Each half moves the value by at most half * 0.35 * (slope of the noise, up to 40 a period) a step, which
        # shall not be more than half the drift.
        slowest = 28 * half * self._interval[places] / limits.drift
        period = np.maximum(6 * HOUR_MS, slowest.astype(np.int64))
        own = fractal_noise(self._world.seed, f"bme280/{name}", self._sites[places], times, period)
        air = air * np.minimum(1, air_ms / slowest)
        return np.asarray((limits.low + limits.high) / 2 + half * np.tanh(0.5 * (air + own) / np.sqrt(2)))

    def _events(self, places: Ints, times: Ints) -> tuple[Ints, Floats]:
        """Return the weather event at each row and how strong it is. Time is cut into slots that hold at most one."""
        slot_ms = (2 * self._settings.weather_event_readings[1] * self._interval).take(places)
        slot = times // slot_ms
        first, count = int(slot.min()), len(self._sites)
        slots = int(slot.max()) - first + 1
        if slots * count <= 4 * len(slot) + _SPARE_EVENTS:
            cells = np.arange(slots * count)
            row = (slot - first) * count + places
            event, begin, length = (x.take(row) for x in self._slots(cells % count, cells // count + first))
        else:
            event, begin, length = self._slots(places, slot)
        phase = (times - slot * slot_ms - begin) / length
        inside = (phase > 0) & (phase < 1)
        # Rises and falls over the whole event, so that no step between two readings is large.
        wave = np.minimum(phase, 1 - phase)
        smooth = 4 * wave * wave * (3 - 4 * wave)
        return np.where(inside, event, NO_EVENT), np.where(inside, smooth, 0.0)

    def _slots(self, places: Ints, slots: Ints) -> tuple[Ints, Floats, Floats]:
        """Return the event of each slot of time, when in it it begins, and how long it lasts (ms)."""
        shortest, longest = self._settings.weather_event_readings
        bits = extend(self._event_seeds.take(places), slots)
        whether, when, how_long = (((bits >> np.uint64(21 * n)) & np.uint64(0x1FFFFF)) / 2**21 for n in range(3))
        interval = self._interval.take(places)
        happens = whether < 1 - (1 - self._settings.weather_event_chance) ** longest
        event = np.where(happens, (bits % np.uint64(3)).astype(np.int64), NO_EVENT)
        return event, when * longest * interval, (shortest + (longest - shortest) * how_long) * interval


class OutdoorAir:
    """The air of the site's climate; its storms, fronts and clear spells are the events."""

    def __init__(self, season: Season, world: World, sites: Ints) -> None:
        self._season, self._world, self._sites = season, world, sites
        self._grid = GridInterpolator(self._slow, len(sites))

    def air_at(self, places: Ints, times: Ints) -> tuple[Floats, Ints]:
        """Return the air as `Environment` says."""
        found = self._grid.interpolate(places, times)
        storm, front, clear = found[3:] > np.array([[0], [_FRONT_FELT], [0]])
        return found[:3], np.where(storm, STORM, np.where(front, FRONT, np.where(clear, CLEAR, NO_EVENT)))

    def _slow(self, places: Ints, times: Ints) -> Floats:
        sites = self._sites[places]
        air, found = outdoor_air(self._world, sites, times, self._season), weather(self._world, sites, times)
        return np.stack([air.temperature_c, air.humidity, air.pressure_hpa, found.storm, found.front, found.clear])
