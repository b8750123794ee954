"""BME280 at a site: temperature, humidity and pressure that follow the site's weather within the set ranges."""

from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from devices.sensors.base import Columns, Ints, Population
from devices.world import World
from devices.world.noise import fractal
from devices.world.rng import Floats, draw, normal, uniform
from devices.world.site import HOUR_MS
from devices.world.weather import AIR_MS, SHOWER_MS, SYNOPTIC_MS, diurnal, gridded, weather
from edgewire.config import Config

# RMS noise at oversampling x1, Bosch BST-BME280-DS001-10, tables 2 to 4; scaled by `noise_factor` / 0.1.
_NOISE_T_C, _NOISE_H_PERCENT, _NOISE_P_HPA = 0.005, 0.07, 0.033
# Tolerance from unit to unit: a third of the datasheet's accuracy.
_OFFSET_T_C, _OFFSET_H_PERCENT, _OFFSET_P_HPA = 0.17, 1.0, 0.33
_EVENTS = np.array(["storm", "front", "clear"], dtype=object)
_STORM, _FRONT, _CLEAR = 0, 1, 2


class Range(Config):
    """Where a value stays, and how far it may wander from one reading to the next."""

    low: float
    high: float
    drift: float = Field(gt=0)
    """Largest random change between two readings; daily course and weather events come on top."""

    @model_validator(mode="after")
    def _check(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        return self


class Settings(Config):
    """What an operator of a BME280 may choose."""

    temperature_c: Range = Range(low=18, high=28, drift=0.5)
    humidity: Range = Range(low=30, high=70, drift=2.0)
    pressure_hpa: Range = Range(low=1000, high=1025, drift=0.5)
    noise: bool = True
    noise_factor: float = Field(default=0.1, ge=0, le=10)
    """0.1 is the noise of the datasheet."""
    daily_pattern: bool = True
    """Warmest at 14:00 and coolest at 06:00 local time, ±3 °C, humidity inversely ±10 %."""
    weather_events: bool = True
    weather_event_chance: float = Field(default=0.01, ge=0, le=0.5)
    """That an event begins at a reading."""
    weather_event_readings: tuple[int, int] = (10, 50)
    """Shortest and longest event."""
    metadata: bool = True
    """Whether readings carry `metadata`."""


class Bme280Sensor:
    """Many BME280s with the same settings."""

    def __init__(self, settings: Settings, population: Population) -> None:
        self._settings = settings
        self._population = population

    def sample(self, world: World, ids: Ints, times: Ints) -> Columns:
        """Readings with the resolution of the chip: 0.01 °C, 0.01 %, 0.01 hPa."""
        settings = self._settings
        keys, sites = self._population.keys[ids], self._population.sites[ids]
        interval = self._population.interval_ms[ids]
        event, strength = self._events(world, sites, times, interval)
        air = weather(world, sites, times)
        day = diurnal(world.local_ms(sites, times)) if settings.daily_pattern else np.zeros(len(times))
        wander = partial(self._wander, world, sites, times, interval)
        temperature = wander("t", settings.temperature_c, air.temperature, AIR_MS)
        humidity = wander("h", settings.humidity, air.moisture, SHOWER_MS)
        pressure = wander("p", settings.pressure_hpa, air.pressure, SYNOPTIC_MS)
        temperature = temperature + 3 * day - np.where(event == _STORM, 1.5, 0) * strength
        humidity = humidity - 10 * day + np.select([event == _STORM, event == _CLEAR], [12, -8], 0) * strength
        pressure = pressure + np.select([event == _STORM, event == _FRONT, event == _CLEAR], [-8, 5, 6], 0) * strength
        if settings.noise:
            scale = settings.noise_factor / 0.1
            temperature = temperature + self._noise(world, "t", keys, times, _OFFSET_T_C, _NOISE_T_C * scale)
            humidity = humidity + self._noise(world, "h", keys, times, _OFFSET_H_PERCENT, _NOISE_H_PERCENT * scale)
            pressure = pressure + self._noise(world, "p", keys, times, _OFFSET_P_HPA, _NOISE_P_HPA * scale)
        columns: Columns = {
            "temperature_c": np.round(np.clip(temperature, -40, 85), 2),
            "humidity": np.round(np.clip(humidity, 0, 100), 2),
            "pressure_hpa": np.round(np.clip(pressure, 300, 1100), 2),
        }
        if settings.metadata:
            columns["metadata"] = _METADATA[np.where(strength > 0, event, -1)].tolist()
        return columns

    def _wander(
        self, world: World, sites: Ints, times: Ints, interval: Ints, name: str, limits: Range, air: Floats, air_ms: int
    ) -> Floats:
        """The site's slow course, half from the region's weather and half its own; both keep to the drift allowed."""
        half = (limits.high - limits.low) / 2
        # Each half moves the value by at most half * 0.35 * (slope of the noise, up to 40 a period) a step, which
        # shall not be more than half the drift.
        slowest = 28 * half * interval / limits.drift
        own = np.empty(len(times))
        for period_ms in np.unique(np.maximum(6 * HOUR_MS, slowest.astype(np.int64))):
            rows = np.maximum(6 * HOUR_MS, slowest.astype(np.int64)) == period_ms
            own[rows] = gridded(partial(_own_course, world, name, int(period_ms)), sites[rows], times[rows])
        air = air * np.minimum(1, air_ms / slowest)
        return np.asarray((limits.low + limits.high) / 2 + half * np.tanh(0.5 * (air + own) / np.sqrt(2)))

    def _noise(
        self, world: World, name: str, keys: NDArray[np.uint64], times: Ints, offset: float, sigma: float
    ) -> Floats:
        unit = offset * normal(draw(world.seed, f"bme280/unit/{name}", keys))
        return unit + sigma * normal(draw(world.seed, f"bme280/noise/{name}", keys, times))

    def _events(self, world: World, sites: Ints, times: Ints, interval: Ints) -> tuple[Ints, Floats]:
        """The weather event at each reading and how strong it is, 0 outside; sites share their events.

        Time is cut into slots of twice the longest event; each holds at most one.
        """
        shortest, longest = self._settings.weather_event_readings
        slot, within = np.divmod(times, 2 * longest * interval)
        bits = draw(world.seed, "bme280/event", sites, interval, slot)
        kind = (bits % np.uint64(3)).astype(np.int64)
        happens = uniform(draw(world.seed, "bme280/event/if", sites, interval, slot)) < (
            1 - (1 - self._settings.weather_event_chance) ** longest
        )
        length = (shortest + (longest - shortest) * uniform(bits)) * interval
        begin = uniform(draw(world.seed, "bme280/event/when", sites, interval, slot)) * longest * interval
        phase = (within - begin) / length
        inside = happens & (phase > 0) & (phase < 1) & self._settings.weather_events
        # Rises and falls over the whole event, so that no step between two readings is large.
        return kind, np.where(inside, np.sin(np.pi * np.clip(phase, 0, 1)) ** 2, 0.0)


def _own_course(world: World, name: str, period_ms: int, sites: Ints, times: Ints) -> Floats:
    return fractal(world.seed, f"bme280/{name}", sites, times, period_ms)


def _metadata() -> NDArray[np.object_]:
    common = {"generator": "edgefleet-bme280", "version": "1.0.0"}
    rows = np.empty(4, dtype=object)
    for index, name in enumerate(_EVENTS):
        rows[index] = common | {"weather_event": True, "weather_type": name}
    rows[3] = common | {"weather_event": False, "weather_type": None}
    return rows


_METADATA = _metadata()
"""By event, and outside of one as the last."""
