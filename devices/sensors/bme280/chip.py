"""The BME280's measuring chain: a unit's own constants, from truth to raw ADC counts and back by the data sheet.

Source of formulas and figures: Bosch BST-BME280-DS001-10, rev 1.1. Pure and vectorised: one row a reading.
"""

from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import numpy as np

from devices.world.random import Floats, Hashes, Ints, hash_bits, normal

Oversampling = Literal[1, 2, 4, 8, 16]
Filter = Literal[0, 2, 4, 8, 16]

# RMS noise by oversampling, filter off (tables 2 to 4). What the filter leaves of the pressure's noise follows from
# filtering it: 1 / sqrt(2 c - 1), which is the table's 1.9, 1.2, 0.9 Pa at x1.
NOISE_T_C = {1: 0.005, 2: 0.004, 4: 0.003, 8: 0.003, 16: 0.002}
NOISE_P_HPA = {1: 0.033, 2: 0.026, 4: 0.021, 8: 0.016, 16: 0.013}
NOISE_H_PERCENT = {1: 0.07, 2: 0.05, 4: 0.04, 8: 0.03, 16: 0.02}

STANDBY_MS = {0.5: 0, 62.5: 1, 125: 2, 250: 3, 500: 4, 1000: 5, 10: 6, 20: 7}
"""Standby times of normal mode and their codes in t_sb (table 27)."""

T_RESET = P_RESET = 0x80000
H_RESET = 0x8000
_T_TOP = _P_TOP = 0xFFFFF
_H_TOP = 0xFFFF

# The example of the BMP280's data sheet for T and P, and a set of H constants that works with it; units differ from it
# by this relative deviation.
_EXAMPLE = {
    "t1": 27504, "t2": 26435, "t3": -1000,
    "p1": 36477, "p2": -10685, "p3": 3024, "p4": 2855, "p5": 140, "p6": -7, "p7": 15500, "p8": -14600, "p9": 6000,
    "h1": 75, "h2": 362, "h3": 0, "h4": 312, "h5": 50, "h6": 30,
}  # fmt: skip
_SPREAD = 0.01


@dataclass(frozen=True, slots=True)
class Sampling:
    """Set-up of a conversion, as a driver writes it to ctrl_hum, ctrl_meas and config."""

    t: Oversampling = 1
    p: Oversampling = 1
    h: Oversampling = 1
    filter: Filter = 0
    """Coefficient of the IIR filter; 0 is off."""

    @property
    def conversion_ms(self) -> float:
        """Return the typical time of one conversion of all three (section 9.1)."""
        return 1 + 2 * self.t + (2 * self.p + 0.5) + (2 * self.h + 0.5)

    @property
    def charge_ua_ms(self) -> float:
        """Return the charge of one conversion (µA ms): 350, 714 and 340 µA while T, P and H are converted (table 1)."""
        return 350 * (1 + 2 * self.t) + 714 * (2 * self.p + 0.5) + 340 * (2 * self.h + 0.5)

    def lsb(self, oversampling: int) -> int:
        """Return the step of a 20-bit T or P count: 16 bits, one more a doubling; 20 if filtered (section 3.4)."""
        return 1 if self.filter else 16 // oversampling


@dataclass(frozen=True, slots=True)
class Calibration:
    """Trimming constants as floats, one entry a unit (or a row)."""

    t1: Floats
    t2: Floats
    t3: Floats
    p1: Floats
    p2: Floats
    p3: Floats
    p4: Floats
    p5: Floats
    p6: Floats
    p7: Floats
    p8: Floats
    p9: Floats
    h1: Floats
    h2: Floats
    h3: Floats
    h4: Floats
    h5: Floats
    h6: Floats

    @classmethod
    def for_keys(cls, keys: Hashes) -> "Calibration":
        """Return the constants of the units with these keys: they belong to the unit, whatever the world's seed."""
        spread = _SPREAD * np.clip(
            normal(hash_bits(0, "bme280/trim", keys[None, :], np.arange(len(_EXAMPLE))[:, None])), -3, 3
        )
        return cls(*np.rint(np.array(list(_EXAMPLE.values()))[:, None] * (1 + spread)))

    def take(self, ids: Ints) -> "Calibration":
        """Return the constants of these units, a row each."""
        return Calibration(*self.table().take(ids, axis=1))

    def table(self) -> Floats:
        """Return the constants as rows of one array, a column a unit."""
        return np.stack([getattr(self, field.name) for field in fields(self)])


@dataclass(frozen=True, slots=True)
class Raw:
    """Counts as the data registers hold them: 20 bits of T and P, 16 of H."""

    t: Floats
    p: Floats
    h: Floats


class _Bridges(NamedTuple):
    """Hold what the compensation of pressure and humidity makes of a temperature: offsets and slopes of the bridges."""

    t_fine: Floats
    pressure: tuple[Floats, Floats]
    humidity: tuple[Floats, Floats]

    @classmethod
    def at(cls, chip: Calibration, raw_t: Floats) -> "_Bridges":
        t_fine = _t_fine(chip, raw_t)
        return cls(t_fine, _pressure_line(chip, t_fine), _humidity_line(chip, t_fine))


def to_raw(chip: Calibration, sampling: Sampling, temperature: Floats, humidity: Floats, pressure: Floats) -> Raw:
    """Return the counts that compensation turns into these °C, % and hPa, rounded to the bits of the oversampling."""
    return _to_raw(chip, sampling, temperature, humidity, pressure)[0]


def compensate(chip: Calibration, raw: Raw) -> tuple[Floats, Floats, Floats]:
    """Return °C, % and hPa from counts, by the double precision formulas of section 8.1."""
    return _compensate(chip, raw, _Bridges.at(chip, raw.t))


def measured(
    chip: Calibration, sampling: Sampling, temperature: Floats, humidity: Floats, pressure: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return the °C, % and hPa that a driver compensates from the counts of these: `compensate(to_raw(...))`."""
    return _compensate(chip, *_to_raw(chip, sampling, temperature, humidity, pressure))


def _to_raw(
    chip: Calibration, sampling: Sampling, temperature: Floats, humidity: Floats, pressure: Floats
) -> tuple[Raw, _Bridges]:
    t_fine = temperature * 5120
    half, curve = chip.t2, chip.t3 / 64
    linear = 2 * t_fine / (half + np.sqrt(half * half + 4 * curve * t_fine))
    raw_t = _counts((linear + chip.t1 / 1024) * 16384, _T_TOP, sampling.lsb(sampling.t))
    # What the compensation will take the temperature for, so that pressure and humidity are exact beside it.
    bridges = _Bridges.at(chip, raw_t)
    offset, slope = bridges.pressure
    pascal = pressure * 100 - chip.p7 / 16
    square, line = chip.p9 / 2**35, 1 + chip.p8 / 2**19
    bridge = 2 * pascal / (line + np.sqrt(line * line + 4 * square * pascal))
    raw_p = _counts(1048576 - offset - bridge / slope, _P_TOP, sampling.lsb(sampling.p))
    offset, slope = bridges.humidity
    bridge = 2 * humidity / (1 + np.sqrt(1 - chip.h1 * humidity / 131072))
    return Raw(raw_t, raw_p, _counts(bridge / slope + offset, _H_TOP, 1)), bridges


def _compensate(chip: Calibration, raw: Raw, bridges: _Bridges) -> tuple[Floats, Floats, Floats]:
    offset, slope = bridges.pressure
    bridge = (1048576 - raw.p - offset) * slope
    pascal = bridge + (bridge * (bridge * (chip.p9 / 2**31) + chip.p8 / 32768) + chip.p7) / 16
    offset, slope = bridges.humidity
    wet = (raw.h - offset) * slope
    humidity = wet * (1 - chip.h1 * wet / 524288)
    return bridges.t_fine / 5120, np.clip(humidity, 0, 100), pascal / 100


Signature = Literal["temperature_zero", "all_zero", "all_ones", "pressure_reset"]


def signature(
    name: Signature, keys: Hashes, temperature: Floats, humidity: Floats, pressure: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return what a driver reads instead of these °C, % and hPa where the registers are in disorder.

    - `temperature_zero`: the T registers hold 0; about -140.9 °C (-134 to -147 from unit to unit) and 780 hPa.
    - `all_zero`: no register answers with more than 0; -140.9 °C, 0 %, 1310 hPa.
    - `all_ones`: the bus is stuck high; 188 °C, 100 %, -95 hPa.
    - `pressure_reset`: pressure was never converted (0x80000); about 814 hPa, T and RH right.

    These values are outside the range of the chip and of the `bme280` message, as they are from real drivers: whoever
    validates will refuse them, except for those of `pressure_reset`.
    """
    chip = Calibration.for_keys(keys)
    raw = to_raw(chip, Sampling(), temperature, humidity, pressure)
    zero = np.zeros(len(keys))
    broken = {
        "temperature_zero": Raw(zero, raw.p, raw.h),
        "all_zero": Raw(zero, zero, zero),
        "all_ones": Raw(zero + _T_TOP, zero + _P_TOP, zero + _H_TOP),
        "pressure_reset": Raw(raw.t, zero + P_RESET, raw.h),
    }
    return compensate(chip, broken[name])


def _counts(value: Floats, top: int, lsb: int) -> Floats:
    return np.asarray(np.clip(np.floor(value / lsb + 0.5) * lsb, 0, top))


def _t_fine(chip: Calibration, raw_t: Floats) -> Floats:
    linear = raw_t / 16384 - chip.t1 / 1024
    return np.asarray(linear * (chip.t2 + linear * (chip.t3 / 64)))


def _pressure_line(chip: Calibration, t_fine: Floats) -> tuple[Floats, Floats]:
    """Return the offset in counts and Pa a count of the pressure bridge at this temperature."""
    warm = t_fine / 2 - 64000
    offset = (warm * (warm * (chip.p6 / 32768) + chip.p5 * 2) / 4 + chip.p4 * 65536) / 4096
    gain = (1 + warm * (chip.p3 / 524288 * warm + chip.p2) / (524288 * 32768)) * chip.p1
    return offset, 6250 / gain


def _humidity_line(chip: Calibration, t_fine: Floats) -> tuple[Floats, Floats]:
    """Return the offset in counts and % a count of the humidity bridge at this temperature."""
    warm = t_fine - 76800
    slope = chip.h2 / 65536 * (1 + chip.h6 / 67108864 * warm * (1 + chip.h3 / 67108864 * warm))
    return chip.h4 * 64 + chip.h5 / 16384 * warm, slope
