"""BME280: the air of its site, as a chip of its own measures it: offset, warmth, noise, filter and quantisation."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from devices.sensors.base import Population
from devices.sensors.bme280.chip import (
    NOISE_H_PERCENT,
    NOISE_P_HPA,
    NOISE_T_C,
    STANDBY_MS,
    Calibration,
    Filter,
    Oversampling,
    Sampling,
    measured,
)
from devices.sensors.bme280.environment import Environment, IndoorAir, OutdoorAir, RangeLimiter, RangeSettings
from devices.sensors.bme280.exposure import Exposure
from devices.sensors.bme280.room import RoomAir
from devices.sensors.columns import Columns, DictionaryColumn
from devices.sensors.kind import DeviceKind
from devices.world.random import Floats, Hashes, Ints, coarse_normals, extend, hash_bits, normal, uniform
from devices.world.world import DAY_MS, World

# Tolerance from unit to unit: a third of the data sheet's accuracy (±0.5 °C, ±3 %, ±1 hPa).
_OFFSET_T_C, _OFFSET_H_PERCENT, _OFFSET_P_HPA = 0.17, 1.0, 0.33
# Long-term drift by the data sheet, a year: the largest of a unit. It goes one way for two years, then back.
_AGEING_H_PERCENT, _AGEING_P_HPA = 0.5, 1.0
_AGEING_PERIOD_MS = 4 * 365.25 * DAY_MS
_CHIP_RANGE = np.array([[[-40.0], [0.0], [300.0]], [[85.0], [100.0], [1100.0]]])
"""The least and the most °C, % and hPa that it converts."""
_SUPPLY_V = 3.3
_STANDBY_UA = 0.2
# Magnus exponent over water (WMO-No. 8): how much dryer the air is at a chip that is warmer than it.
_MAGNUS_A, _MAGNUS_B = 17.62, 243.12
# Lags at the middle of eight equal shares of an exponential response, in time constants.
_LAGS = -np.log(1 - (np.arange(8) + 0.5) / 8)


_HAS_ROOMS = {1: False, 2: True}
"""By the world's version: whether rooms and what surrounds a unit are in physical time, or all count in readings."""


class Bme280Settings(RangeSettings):
    """Says what an operator of a BME280 may choose."""

    profile: Literal["indoor", "outdoor", "winter", "summer"] = "indoor"
    """`indoor` keeps to the ranges; the others are the air outdoors in the site's climate, by the date or with the
    season held."""
    noise: bool = True
    """From reading to reading."""
    noise_factor: float = Field(default=0.1, ge=0, le=10)
    """0.1 is the noise of the data sheet at the chosen oversampling."""
    tolerance: float = Field(default=1.0, ge=0, le=10)
    """Spread of the units' constant offsets; 1 is that of the data sheet."""
    exposure: float = Field(default=1.0, ge=0, le=10)
    """How different the places of units of one site are: sun, wall and draught make tenths of a degree that come and
    go. 0 is none; a room whose ranges are set has none."""
    ageing: float = Field(default=1.0, ge=0, le=100)
    """Slow drift of pressure and humidity; 1 is at most 1 hPa and 0.5 % a year."""
    oversampling_t: Oversampling = 1
    """Of temperature: more of it is less noise, finer steps and more warmth; 16 bits, and one more a doubling."""
    oversampling_p: Oversampling = 1
    """Of pressure, likewise."""
    oversampling_h: Oversampling = 1
    """Of humidity, likewise, but always in 16 bits."""
    filter: Filter = 0
    """Coefficient of the IIR filter on temperature and pressure; 0 is off."""
    mode: Literal["forced", "normal"] = "forced"
    """Forced: one conversion a reading, and asleep in between. Normal: converting all the time."""
    standby_ms: float = 1000
    """Between two conversions in normal mode: 0.5, 10, 20, 62.5, 125, 250, 500 or 1000."""
    self_heating: float = Field(default=0.8, ge=0, le=10)
    """K by which a mW of the chip's own power warms it: 1.2 °C where it converts all the time."""
    board_heat_c: float = Field(default=0, ge=0, le=15)
    """By how much the electronics around it are warmer than the air."""
    response_s: float = Field(default=0, ge=0, le=3600)
    """Time constant of the housing for temperature and humidity; 0 is the bare chip in moving air (1 s)."""
    decimals: int = Field(default=2, ge=0, le=6)
    """Of the published values."""
    metadata: bool = True
    """Whether readings carry `metadata`."""

    @model_validator(mode="after")
    def _check(self) -> "Bme280Settings":
        idle = set(RangeSettings.model_fields) & self.model_fields_set
        if self.profile != "indoor" and idle:
            raise ValueError(f"{sorted(idle)[0]} is for profile indoor; outdoors the site's climate decides")
        if self.standby_ms not in STANDBY_MS:
            raise ValueError(f"standby_ms: the chip knows {', '.join(map(str, sorted(STANDBY_MS)))}")
        if self.mode == "forced" and "standby_ms" in self.model_fields_set:
            raise ValueError("standby_ms is for mode normal; in forced mode the chip sleeps until it is read")
        return self

    @property
    def sampling(self) -> Sampling:
        """Return the chip's set-up."""
        return Sampling(self.oversampling_t, self.oversampling_p, self.oversampling_h, self.filter)


@dataclass(frozen=True, slots=True)
class _Units:
    """Hold what is peculiar to each device, one entry each."""

    noise: Hashes
    offset: Floats
    """(°C, % and hPa; units)."""
    ageing: Floats
    """As `offset`: the most that drift adds or takes."""
    born: Floats
    """Where in the course of its drift a unit is, 0 to 1."""


class Bme280Sensor:
    """Many BME280s with the same settings."""

    def __init__(self, settings: Bme280Settings, population: Population) -> None:
        self._settings = settings
        self._keys, self._interval, self._sites = population.keys, population.interval_ms, population.sites
        # Whole numbers of 17 bits at the most: as floats they would take twice as much, 72 bytes more a device.
        self._trim = Calibration.for_keys(population.keys).table().astype(np.int32)
        rooms = np.zeros_like(population.sites) if population.resets is None else population.resets
        found, places = np.unique(
            np.stack([population.sites, population.interval_ms, rooms]), axis=1, return_inverse=True
        )
        self._place_sites, self._place_intervals, self._place_rooms = found
        self._limiter = RangeLimiter(settings.ranges, settings.decimals) if settings.profile == "indoor" else None
        self._places = places.reshape(-1)
        self._heat = self._self_heating()
        self._by_world: dict[World, tuple[Environment, _Units, Exposure | None]] = {}

    def sample(self, world: World, ids: Ints, times: Ints) -> Columns:
        """Return the readings as a driver publishes them, compensated from the chip's counts."""
        # Wherever rows are taken here, mode "clip" saves numpy a buffer, and two thirds of the time.
        values, event = self._sample(world, ids, times)
        columns: Columns = dict(zip(("temperature_c", "humidity", "pressure_hpa"), values, strict=True))
        if self._settings.metadata:
            columns["metadata"] = DictionaryColumn(event, _METADATA)
        return columns

    def calibration(self, device: int) -> Calibration:
        """Return the trimming constants of one device (its position in the population)."""
        return Calibration(*self._trim[:, [device]].astype(np.float64))

    def analog_values(self, world: World, ids: Ints, times: Ints, sampling: Sampling) -> tuple[Floats, Ints]:
        """Return (°C, % and hPa; rows) as conversions measure them before they are counts, and the weather event."""
        environment, units, exposure = self._in_world(world)
        values, event = self._lagged(environment, ids, times, sampling)
        heat = self._heat.take(ids, mode="clip")
        if exposure is not None:
            heat = heat + exposure.warmth(ids, times)
        cool = values[0]
        values[0] = cool + heat
        values[1] *= np.exp(-_MAGNUS_A * _MAGNUS_B * heat / ((_MAGNUS_B + cool) * (_MAGNUS_B + values[0])))
        values += units.offset.take(ids, axis=1, mode="clip")
        if self._settings.ageing:
            course = (units.born.take(ids, mode="clip") + times / _AGEING_PERIOD_MS) % 1
            values[1:] += units.ageing.take(ids, axis=1, mode="clip") * (np.abs(4 * course - 2) - 1)
        if self._settings.noise:
            self._add_noise(values, units.noise.take(ids, mode="clip"), ids, times, sampling)
        if self._limiter:
            self._limiter.limit(values)
        return values, event

    def _sample(self, world: World, ids: Ints, times: Ints) -> tuple[Floats, Ints]:
        sampling = self._settings.sampling
        values, event = self.analog_values(world, ids, times, sampling)
        chip = Calibration(*self._trim.take(ids, axis=1, mode="clip").astype(np.float64))
        if self._limiter and self._limiter.is_within(_CHIP_RANGE):
            # What is within its range is within the chip's.
            found = np.stack(measured(chip, sampling, *values)).round(self._settings.decimals)
            return self._limiter.clip(found), event
        temperature, humidity, pressure = measured(chip, sampling, *_clip_to_range(values))
        found = np.stack([np.clip(temperature, -40, 85), humidity, np.clip(pressure, 300, 1100)])
        found = found.round(self._settings.decimals)
        return self._limiter.clip(found) if self._limiter else found, event

    def _lagged(self, environment: Environment, ids: Ints, times: Ints, sampling: Sampling) -> tuple[Floats, Ints]:
        """Return the air as housing and filter let it through: the mean over a fixed window of the past."""
        places = self._places.take(ids, mode="clip")
        values, event = environment.air_at(places, times)
        filtered = max(0, sampling.filter - 1) * self._period_ms(ids, sampling)
        response = np.full(len(ids), self._settings.response_s * 1000)
        # Temperature goes through housing and filter, humidity through the housing, pressure through the filter.
        for row, lag_ms in enumerate((filtered + response, response, filtered)):
            if lag_ms.any():
                past = (times - np.outer(_LAGS, lag_ms).astype(np.int64)).reshape(-1)
                earlier = environment.air_at(np.tile(places, len(_LAGS)), past)[0][row].reshape(len(_LAGS), -1)
                # Term by term, so that a value has the same bits in any company.
                values[row] = sum(earlier[1:], start=earlier[0]) / len(_LAGS)
        return values, event

    def _add_noise(self, values: Floats, seeds: Hashes, ids: Ints, times: Ints, sampling: Sampling) -> None:
        scale = self._settings.noise_factor / 0.1
        bits = extend(seeds, times)
        t, p = coarse_normals(bits, 0), coarse_normals(bits, 1)
        if sampling.filter:
            weights = _filter_weights(sampling.filter)
            past = times[:, None] - np.outer(self._period_ms(ids, sampling), np.arange(len(weights))).astype(np.int64)
            earlier = extend(seeds[:, None], past)
            t, p = ((coarse_normals(earlier, place) * weights).sum(axis=1) for place in (0, 1))
        values[0] += scale * NOISE_T_C[sampling.t] * t
        values[1] += scale * NOISE_H_PERCENT[sampling.h] * coarse_normals(bits, 2)
        values[2] += scale * NOISE_P_HPA[sampling.p] * p

    def _period_ms(self, ids: Ints, sampling: Sampling) -> Floats:
        """Return the time between two conversions, which is what the filter counts in."""
        if self._settings.mode == "normal":
            return np.full(len(ids), sampling.conversion_ms + self._settings.standby_ms)
        return self._interval.take(ids, mode="clip").astype(np.float64)

    def _self_heating(self) -> Floats:
        """Return by how many K each device is warmer than the air."""
        settings = self._settings
        period = self._period_ms(np.arange(len(self._keys)), settings.sampling)
        standby = _STANDBY_UA * settings.standby_ms if settings.mode == "normal" else 0.0
        milliwatt = (settings.sampling.charge_ua_ms + standby) / period * _SUPPLY_V / 1000
        return np.asarray(settings.board_heat_c + settings.self_heating * milliwatt)

    def _in_world(self, world: World) -> tuple[Environment, _Units, Exposure | None]:
        known = self._by_world.get(world)
        if known is None:
            known = self._by_world[world] = self._environment(world), self._units(world.seed), self._exposure(world)
        return known

    def _environment(self, world: World) -> Environment:
        if self._settings.profile == "indoor":
            if _HAS_ROOMS[world.version] and not self._settings.counts_in_readings:
                return RoomAir(self._settings, world, self._place_sites, self._place_rooms)
            return IndoorAir(self._settings, world, self._place_sites, self._place_intervals, self._place_rooms)
        season = "calendar" if self._settings.profile == "outdoor" else self._settings.profile
        return OutdoorAir(season, world, self._place_sites)

    def _exposure(self, world: World) -> Exposure | None:
        """Return what surrounds each unit alone; None where all at a place are in the same air."""
        settings = self._settings
        indoors = settings.profile == "indoor"
        if not (_HAS_ROOMS[world.version] and settings.exposure) or (indoors and settings.counts_in_readings):
            return None
        return Exposure(world, self._keys, self._sites, settings.exposure, indoors=indoors)

    def _units(self, seed: int) -> _Units:
        spread = np.array([[_OFFSET_T_C], [_OFFSET_H_PERCENT], [_OFFSET_P_HPA]]) * self._settings.tolerance
        yearly = np.array([[_AGEING_H_PERCENT], [_AGEING_P_HPA]]) * self._settings.ageing
        quantity = np.arange(3)[:, None]
        return _Units(
            hash_bits(seed, "bme280/noise", self._keys),
            spread * normal(hash_bits(seed, "bme280/unit", self._keys, quantity)),
            # Up and down in four years: a quarter of them away from the middle.
            yearly * (2 * uniform(hash_bits(seed, "bme280/ageing", self._keys, quantity[1:])) - 1),
            uniform(hash_bits(seed, "bme280/born", self._keys)),
        )


def _clip_to_range(values: Floats) -> Floats:
    """Clip values to what the chip can convert."""
    return np.asarray(np.clip(values, *_CHIP_RANGE))


def _filter_weights(coefficient: int) -> Floats:
    """Return the weights of past conversions in the IIR filter y += (x - y) / c; the oldest stands for all before."""
    kept = 1 - 1 / coefficient
    length = int(np.ceil(np.log(0.01) / np.log(kept)))
    return np.append(kept ** np.arange(length) / coefficient, kept**length)


def _metadata() -> list[dict[str, Any]]:
    """Return the metadata by the event's number; outside of one the last."""
    common: dict[str, Any] = {"generator": "edgefleet-bme280", "version": "1.0.0"}
    during = [common | {"in_weather_event": True, "weather_event_type": name} for name in ("storm", "front", "clear")]
    return [*during, common | {"in_weather_event": False, "weather_event_type": None}]


_METADATA = _metadata()
KIND = DeviceKind(
    "bme280",
    Bme280Settings,
    Bme280Sensor,
    decimals={"temperature_c": 2, "humidity": 2, "pressure_hpa": 2},
    plot_labels={
        "temperature_c": "temperature (°C)",
        "humidity": "relative humidity (%)",
        "pressure_hpa": "pressure (hPa)",
    },
    summary={"temperature_c": "{} °C", "humidity": "{} %", "pressure_hpa": "{} hPa"},
    colour="cyan",
    reading_s=5e-6,
)
