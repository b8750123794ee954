"""Faults that are in the readings: of a number, of the clock, of a receiver, and readings that are never sent.

Each class says in `apply` what it makes of the readings, vectorised over the rows in which it is there.

Sources of the taxonomy: Ni et al., "Sensor network data fault types", ACM TOSN 5(3), 2009; Sharma, Golubchik and
Govindan, "Sensor faults: detection methods and prevalence in real-world datasets", ACM TOSN 6(3), 2010.
"""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from devices.faults.base import Fault, Layer, Number, Positive, Share, SignedMs
from devices.faults.rows import AffectedRows, replace_values, values_in
from devices.sensors.bme280.chip import Signature, signature
from devices.sensors.columns import Columns
from devices.sensors.fields import numeric_fields, time_fields, whole_numbers
from devices.sensors.gps.nmea import without_fix
from devices.sensors.gps.receiver import FRESH_S
from devices.sensors.registry import KINDS
from devices.world.random import Flags, Floats, Ints, normal, uniform
from edgewire.clock import iso_ms, parse_ms
from edgewire.config import DurationMs

_HOUR_MS = 3_600_000
_LARGEST = 1e12
"""Beyond it a number would lose its last digit, or be no JSON."""
_GREATEST_SPIKE = 1000

# Range of the chip (Bosch BST-BME280-DS001-10, table 1): what its registers can be told to hold.
_CHIP_RANGE = {"temperature_c": (-40, 85), "humidity": (0, 100), "pressure_hpa": (300, 1100)}
_RIGHT = {"pressure_reset": ("temperature_c", "humidity")}
"""Values that a signature leaves as they are, but for the last bit of the conversion back and forth."""


# -- of one number


class ValueFault(Fault):
    """A fault of one number of a reading. A subclass says in `distort` what it makes of the value."""

    field: str
    """The number in the message that is wrong."""

    @model_validator(mode="after")
    def _check_field(self) -> "ValueFault":
        known = numeric_fields(self.kind)
        if self.field not in known:
            raise ValueError(f"field: '{self.field}' is no number in a reading of {self.kind}; "
                             f"there are {', '.join(known)}")  # fmt: skip
        return self

    @property
    def affected_fields(self) -> tuple[str, ...]:
        """The one field."""
        return (self.field,)

    def distort(self, true: Floats, rows: AffectedRows) -> Floats:
        """Return what it makes of these values, one a row."""
        raise NotImplementedError

    def apply(self, columns: Columns, rows: AffectedRows) -> Columns:
        """Distort the values that are there, and send them as the sensor does: with its decimals, or whole."""
        column = columns.get(self.field)
        if column is None:
            return {}
        found = values_in(column, rows.rows)
        known = np.array([value is not None for value in found], dtype=np.bool_)
        true = np.array([value for value in found if value is not None], dtype=np.float64)
        rows = rows if known.all() else rows.select(known)
        wrong = np.clip(self.distort(true, rows), -_LARGEST, _LARGEST)
        # A value that the fault leaves alone keeps the digits it has.
        if self.field in whole_numbers(self.kind):
            values: list[Any] = np.rint(wrong).astype(np.int64).tolist()
        else:
            values = np.where(wrong == true, true, np.round(wrong, KINDS[self.kind].decimals_of(self.field))).tolist()
        return {self.field: replace_values(column, rows.rows, values)}


class Bias(ValueFault):
    """Reads too much or too little by a fixed amount."""

    type: Literal["bias"]
    offset: Number
    """Added to the value, in its unit."""

    def distort(self, true: Floats, rows: AffectedRows) -> Floats:
        """Add the offset."""
        return true + self.offset


class Gain(ValueFault):
    """Reads too much or too little by a fixed factor."""

    type: Literal["gain"]
    factor: Number

    def distort(self, true: Floats, rows: AffectedRows) -> Floats:
        """Multiply by the factor."""
        return true * self.factor


class Drift(ValueFault):
    """Goes off more and more from the moment the fault begins."""

    type: Literal["drift"]
    per_hour: Number
    """Added to the value for every hour since then."""

    def distort(self, true: Floats, rows: AffectedRows) -> Floats:
        """Add what has come together since the fault began."""
        return true + rows.since_ms * (self.per_hour / _HOUR_MS)


class Spike(ValueFault):
    """Single readings are far off, by heavy-tailed (Pareto) amounts of either sign."""

    type: Literal["spike"]
    size: Positive
    """The least spike, in the unit of the value."""
    chance: Share = 0.05
    """That a reading is one."""
    tail: Annotated[float, Field(ge=0.5, le=20)] = 1.5
    """Exponent of the tail: the smaller, the further off the worst ones. No spike is above 1000 x `size`."""

    def distort(self, true: Floats, rows: AffectedRows) -> Floats:
        """Add a spike to some of the values."""
        happens = uniform(rows.random_bits("spike")) < self.chance
        amount = (1 - uniform(rows.random_bits("size"))) ** (-1 / self.tail)
        sign = np.where(uniform(rows.random_bits("sign")) < 0.5, -1.0, 1.0)
        return true + happens * sign * self.size * np.minimum(amount, _GREATEST_SPIKE)


class Noise(ValueFault):
    """Every reading is off by a normal error of its own, on top of the sensor's noise."""

    type: Literal["noise"]
    sigma: Positive
    """Standard deviation, in the unit of the value."""

    def distort(self, true: Floats, rows: AffectedRows) -> Floats:
        """Add an error to each value."""
        return true + self.sigma * normal(rows.random_bits("noise"))


class StuckAt(ValueFault):
    """Repeats the value of the last reading before the fault began."""

    type: Literal["stuck_at"]

    def apply(self, columns: Columns, rows: AffectedRows) -> Columns:
        """Repeat the last good value as it was, also where there is none now."""
        column = columns.get(self.field)
        return {} if column is None else {self.field: replace_values(column, rows.rows, rows.last_good()[self.field])}


class Quantise(ValueFault):
    """Has a coarse resolution."""

    type: Literal["quantise"]
    step: Positive
    """Values are multiples of it."""

    def distort(self, true: Floats, rows: AffectedRows) -> Floats:
        """Round to multiples of the step."""
        return np.asarray(np.rint(true / self.step) * self.step)


class Clip(ValueFault):
    """Does not get beyond a limit."""

    type: Literal["clip"]
    low: Number | None = None
    high: Number | None = None

    @model_validator(mode="after")
    def _check_limits(self) -> "Clip":
        if self.low is None and self.high is None:
            raise ValueError("needs low or high")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low must not be above high, got {self.low} and {self.high}")
        return self

    def distort(self, true: Floats, rows: AffectedRows) -> Floats:
        """Hold the values within the limits."""
        return np.asarray(np.clip(true, self.low, self.high))


# -- of the whole message


class Dropout(Fault):
    """Readings are taken and numbered, and never sent. Counted as dropped in the run record."""

    layer: ClassVar[Layer] = "transport"
    loses_messages: ClassVar[bool] = True

    type: Literal["dropout"]
    chance: Share = 1.0
    """That a message is lost; below 1, the losses are scattered."""

    def lost(self, rows: AffectedRows) -> Flags:
        """Return which messages are lost."""
        return np.asarray(uniform(rows.random_bits("lost")) < self.chance)


# -- of a part of one kind of device


class CodeFault(Fault):
    """The register file of a BME280 reads wrong, which its driver turns into a reading all the same."""

    type: Literal["code_fault"]
    kind: Literal["bme280"] = "bme280"
    code: Signature = "temperature_zero"
    """What the registers hold: temperature 0 (about -140.9 °C), all bits 0 or 1, or pressure as after a reset (about
    814 hPa)."""

    @property
    def affected_fields(self) -> tuple[str, ...]:
        """The three measured values."""
        return ("temperature_c", "humidity", "pressure_hpa")

    def apply(self, columns: Columns, rows: AffectedRows) -> Columns:
        """Put the wrong codes through the compensation of the driver."""
        true = [
            np.clip(np.array(values_in(columns[name], rows.rows), dtype=np.float64), *_CHIP_RANGE[name])
            for name in self.affected_fields
        ]
        wrong = signature(self.code, rows.keys, *true)
        return {
            name: replace_values(columns[name], rows.rows, np.round(values, KINDS[self.kind].decimals_of(name)))
            for name, values in zip(self.affected_fields, wrong, strict=True)
            if name not in _RIGHT.get(self.code, ())
        }


_EPHEMERIS_S, _SLOW_S, _TRAIL_MS = 4 * 3600.0, 25.0, 90_000
"""What a satellite sends of its orbit holds for 4 h (IS-GPS-200, fit interval), and then takes 18 to 30 s to be heard
anew: so much longer it takes, by judgement, until most satellites are found again."""


class GpsLoss(Fault):
    """The receiver sees no satellites: no fix, no position. Afterwards it finds them again one by one."""

    type: Literal["gps_loss"]
    kind: Literal["gps", "telematics"] = "gps"

    @property
    def affected_fields(self) -> tuple[str, ...]:
        """The fields that the receiver tells."""
        position = ("latitude", "longitude")
        rest = ("altitude_m", "speed_kmh", "heading_deg", "hdop", "satellites")
        return ("fix", *position, *rest, "nmea") if self.kind == "gps" else position

    @property
    def trail_ms(self) -> int:
        """For so long fewer satellites are used than could be."""
        return _TRAIL_MS

    def apply(self, columns: Columns, rows: AffectedRows) -> Columns:
        """Say what a receiver without a fix says, in its sentences too, and then what one with a fresh fix says."""
        lost = self._lose(columns, rows.select(rows.after_ms < 0))
        return lost | self._find_again(columns | lost, rows.select(rows.after_ms >= 0))

    def _find_again(self, columns: Columns, rows: AffectedRows) -> Columns:
        """Return what the receiver reads under the part of the sky that it has found: dilution and errors follow."""
        if not len(rows.rows):
            return {}
        forgotten = np.minimum(rows.since_ms / 1000 / _EPHEMERIS_S, 1.0)
        lasts_s = FRESH_S + (_SLOW_S - FRESH_S) * forgotten
        found = rows.read_searching(np.arange(len(rows.rows)), np.exp(-rows.after_ms / 1000 / lasts_s))
        return {
            name: replace_values(columns[name], rows.rows, values_in(found[name], np.arange(len(rows.rows))))
            for name in self.affected_fields
            if name in columns and name in found
        }

    def _lose(self, columns: Columns, rows: AffectedRows) -> Columns:
        nothing = {"fix": "none", "hdop": 99.99, "satellites": 0}
        changed: Columns = {
            name: replace_values(columns[name], rows.rows, [nothing.get(name)] * len(rows.rows))
            for name in self.affected_fields
            if name in columns
        }
        if "nmea" in changed:
            sentences = [without_fix(time) for time in rows.times.tolist()]
            changed["nmea"] = replace_values(columns["nmea"], rows.rows, sentences)
        return changed


# -- of the clock


class ClockFault(Fault):
    """The device's clock is wrong: `timestamp` is off, and so are all other times in its messages.

    A subclass says in `clock_error_ms` by how much.
    """

    layer: ClassVar[Layer] = "firmware"
    changes_clock: ClassVar[bool] = True

    @property
    def affected_fields(self) -> tuple[str, ...]:
        """The time of the message."""
        return ("timestamp",)

    def apply(self, columns: Columns, rows: AffectedRows) -> Columns:
        """Shift the times in the messages beside `timestamp`, which come from the same clock."""
        errors = self.clock_error_ms(rows.since_ms).tolist()
        changed: Columns = {}
        for name in time_fields(self.kind):
            if name in columns:
                found = values_in(columns[name], rows.rows)
                late = [iso_ms(parse_ms(text) + error) for text, error in zip(found, errors, strict=True)]
                changed[name] = replace_values(columns[name], rows.rows, late)
        return changed


def shift_event_times(kind: str, event: dict[str, Any], error_ms: int) -> dict[str, Any]:
    """Return the fields of one event with its times, beside `timestamp`, off by the error of the device's clock."""
    return {
        name: iso_ms(parse_ms(value) + error_ms) if name in time_fields(kind) else value
        for name, value in event.items()
    }


class ClockStep(ClockFault):
    """The device's clock is wrong by a fixed amount: `timestamp` is off, the message is sent when it is due."""

    type: Literal["clock_step"]
    offset: SignedMs
    """Added to the time; `-1h` is an hour slow."""

    def clock_error_ms(self, since_ms: Ints) -> Ints:
        """Return the same for all."""
        return np.full(len(since_ms), self.offset, dtype=np.int64)


class ClockDrift(ClockFault):
    """The device's clock runs too fast or too slow from the moment the fault begins, and is set right as it ends."""

    type: Literal["clock_drift"]
    per_hour: SignedMs = 12_000
    """Gained an hour, or lost with a minus. An ESP32 in light sleep gains 12 s (espressif/esp-idf#6030)."""
    sync_every: DurationMs | None = Field(default=None, ge=1000)
    """NTP sets the clock right this often: the error grows, and steps back to nothing. Without it the drift goes on."""

    def clock_error_ms(self, since_ms: Ints) -> Ints:
        """Return what it has gained since the fault began, or since the clock was set last."""
        running = since_ms % self.sync_every if self.sync_every else since_ms
        return np.asarray(np.rint(running * (self.per_hour / _HOUR_MS)), dtype=np.int64)
