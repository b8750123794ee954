"""What each type of fault makes of the readings it befalls. Vectorised; only the rows concerned are given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.faults.base import Fault
from devices.faults.sensor_faults import (
    Bias,
    Clip,
    ClockDrift,
    ClockStep,
    CodeFault,
    Drift,
    Gain,
    GpsLoss,
    Noise,
    Quantise,
    Spike,
    StuckAt,
    ValueFault,
)
from devices.sensors.base import Column, Columns
from devices.sensors.bme280.chip import signature
from devices.sensors.fields import time_fields, whole_numbers
from devices.sensors.gps.nmea import without_fix
from devices.sensors.registry import KINDS
from devices.world.random import Floats, Hashes, Ints, hash_bits, normal, uniform
from edgewire.clock import iso_ms, parse_ms

_HOUR_MS = 3_600_000


_LARGEST = 1e12
"""Beyond it a number would lose its last digit, or be no JSON."""


_GREATEST_SPIKE = 1000


# Range of the chip (Bosch BST-BME280-DS001-10, table 1): what its registers can be told to hold.
_CHIP_RANGE = {"temperature_c": (-40, 85), "humidity": (0, 100), "pressure_hpa": (300, 1100)}


_RIGHT = {"pressure_reset": ("temperature_c", "humidity")}
"""Values that a signature leaves as they are, but for the last bit of the conversion back and forth."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that a fault befalls."""

    seed: int
    stream: str
    """Of the fault's random draws."""
    rows: Ints
    """Which rows of the table."""
    keys: Hashes
    """Of the devices."""
    times: Ints
    since_ms: Ints
    """How long the fault has been there."""
    held: Callable[[], Columns]
    """The undisturbed last readings before the fault, a row each."""

    def chances(self, name: str) -> Hashes:
        """Random bits for each row."""
        return hash_bits(self.seed, f"{self.stream}/{name}", self.keys, self.times)


def lost(chance: float, at: Rows) -> NDArray[np.bool_]:
    """Which messages are lost."""
    return uniform(at.chances("lost")) < chance


def clock_error(fault: Fault, since_ms: Ints) -> Ints:
    """By how many milliseconds the device's clock is ahead; 0 for a fault of something else."""
    match fault:
        case ClockStep():
            return np.full(len(since_ms), fault.offset, dtype=np.int64)
        case ClockDrift():
            running = since_ms % fault.sync_every if fault.sync_every else since_ms
            return np.asarray(np.rint(running * (fault.per_hour / _HOUR_MS)), dtype=np.int64)
        case _:
            return np.zeros(len(since_ms), dtype=np.int64)


def disturb(fault: Fault, columns: Columns, at: Rows) -> Columns:
    """The fields that the fault changes, whole columns with other values in its rows."""
    match fault:
        case StuckAt():
            column = columns.get(fault.field)
            return {} if column is None else {fault.field: _put(column, at.rows, at.held()[fault.field])}
        case ValueFault():
            return _disturb_number(fault, columns, at)
        case CodeFault():
            return _code(fault, columns, at)
        case GpsLoss():
            nothing = {"fix": "none", "hdop": 99.99, "satellites": 0}
            lost: Columns = {
                name: _put(columns[name], at.rows, [nothing.get(name)] * len(at.rows))
                for name in fault.fields
                if name in columns
            }
            if "nmea" in lost:
                lost["nmea"] = _put(columns["nmea"], at.rows, [without_fix(time) for time in at.times.tolist()])
            return lost
        case _:
            return {}


def shift_times(kind: str, columns: Columns, rows: Ints, errors: Ints) -> Columns:
    """The times in the messages beside `timestamp`, with the error of the clock that they were read from."""
    shifted: Columns = {}
    for name in time_fields(kind):
        if name in columns:
            found = [columns[name][row] for row in rows.tolist()]
            late = [iso_ms(parse_ms(text) + error) for text, error in zip(found, errors.tolist(), strict=True)]
            shifted[name] = _put(columns[name], rows, late)
    return shifted


def shift_fields(kind: str, fields: dict[str, Any], error_ms: int) -> dict[str, Any]:
    """As `shift_times`, for the fields of one message."""
    return {
        name: iso_ms(parse_ms(value) + error_ms) if name in time_fields(kind) else value
        for name, value in fields.items()
    }


def _number(fault: ValueFault, true: Floats, at: Rows, known: NDArray[np.bool_]) -> Floats:
    """The values a fault makes of the true ones, which are those of `known` rows."""
    match fault:
        case Bias():
            return true + fault.offset
        case Gain():
            return true * fault.factor
        case Drift():
            return true + at.since_ms[known] * (fault.per_hour / _HOUR_MS)
        case Spike():
            happens = uniform(at.chances("spike")) < fault.chance
            amount = (1 - uniform(at.chances("size"))) ** (-1 / fault.tail)
            sign = np.where(uniform(at.chances("sign")) < 0.5, -1.0, 1.0)
            spike = happens * sign * fault.size * np.minimum(amount, _GREATEST_SPIKE)
            return true + spike[known]
        case Noise():
            return true + fault.sigma * normal(at.chances("noise"))[known]
        case Quantise():
            return np.rint(true / fault.step) * fault.step
        case Clip():
            return np.clip(true, fault.low, fault.high)
        case _:
            raise AssertionError(f"{type(fault).__name__} is no fault of a number")


def _disturb_number(fault: ValueFault, columns: Columns, at: Rows) -> Columns:
    column = columns.get(fault.field)
    if column is None:
        return {}
    found = column[at.rows] if isinstance(column, np.ndarray) else [column[row] for row in at.rows.tolist()]
    known = np.array([value is not None for value in found], dtype=np.bool_)
    true = np.array([value for value in found if value is not None], dtype=np.float64)
    wrong = np.clip(_number(fault, true, at, known), -_LARGEST, _LARGEST)
    # A value that the fault leaves alone keeps the digits it has.
    if fault.field in whole_numbers(fault.kind):
        values: list[Any] = np.rint(wrong).astype(np.int64).tolist()
    else:
        values = np.where(wrong == true, true, np.round(wrong, KINDS[fault.kind].decimals_of(fault.field))).tolist()
    return {fault.field: _put(column, at.rows[known], values)}


def _code(fault: CodeFault, columns: Columns, at: Rows) -> Columns:
    true = [
        np.clip(np.array([columns[name][row] for row in at.rows.tolist()], dtype=np.float64), *_CHIP_RANGE[name])
        for name in fault.fields
    ]
    wrong = signature(fault.code, at.keys, *true)
    changed: Columns = {}
    for name, values in zip(fault.fields, wrong, strict=True):
        if name not in _RIGHT.get(fault.code, ()):
            changed[name] = _put(columns[name], at.rows, np.round(values, KINDS[fault.kind].decimals_of(name)))
    return changed


def _put(column: Column, rows: Ints, values: Sequence[Any] | NDArray[Any]) -> Column:
    """A copy of the column with these values in these rows; an array stays one unless a value is None."""
    if isinstance(column, np.ndarray) and (isinstance(values, np.ndarray) or None not in values):
        changed = column.copy()
        changed[rows] = values
        return changed
    listed: list[Any] = column.tolist() if isinstance(column, np.ndarray) else list(column)
    plain = values.tolist() if isinstance(values, np.ndarray) else values
    for row, value in zip(rows.tolist(), plain, strict=True):
        listed[row] = value
    return listed
