"""The fault calendar of a scenario: one model a type of fault.

What a fault does is in its model; when it does it, is in `schedule`. A fault with `from` is there once, until `to` or
for good; one with `rate` and `duration` comes at random, to each device at times of its own.

Sources of the taxonomy: Ni et al., "Sensor network data fault types", ACM TOSN 5(3), 2009; Sharma, Golubchik and
Govindan, "Sensor faults: detection methods and prevalence in real-world datasets", ACM TOSN 6(3), 2010.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from devices.faults.base import Fault, Layer, Number, Positive, Share, SignedMs
from devices.sensors.bme280.chip import Signature
from devices.sensors.fields import numeric_fields
from edgewire.config import DurationMs


class ValueFault(Fault):
    """A fault of one number of a reading."""

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
    def fields(self) -> tuple[str, ...]:
        """The one field."""
        return (self.field,)


class Bias(ValueFault):
    """Reads too much or too little by a fixed amount."""

    type: Literal["bias"]
    offset: Number
    """Added to the value, in its unit."""


class Gain(ValueFault):
    """Reads too much or too little by a fixed factor."""

    type: Literal["gain"]
    factor: Number


class Drift(ValueFault):
    """Goes off more and more from the moment the fault begins."""

    type: Literal["drift"]
    per_hour: Number
    """Added to the value for every hour since then."""


class Spike(ValueFault):
    """Single readings are far off, by heavy-tailed (Pareto) amounts of either sign."""

    type: Literal["spike"]
    size: Positive
    """The least spike, in the unit of the value."""
    chance: Share = 0.05
    """That a reading is one."""
    tail: Annotated[float, Field(ge=0.5, le=20)] = 1.5
    """Exponent of the tail: the smaller, the further off the worst ones. No spike is above 1000 x `size`."""


class Noise(ValueFault):
    """Every reading is off by a normal error of its own, on top of the sensor's noise."""

    type: Literal["noise"]
    sigma: Positive
    """Standard deviation, in the unit of the value."""


class StuckAt(ValueFault):
    """Repeats the value of the last reading before the fault began."""

    type: Literal["stuck_at"]


class Quantise(ValueFault):
    """Has a coarse resolution."""

    type: Literal["quantise"]
    step: Positive
    """Values are multiples of it."""


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


class Dropout(Fault):
    """Readings are taken and numbered, and never sent. Counted as dropped in the run record."""

    layer: ClassVar[Layer] = "transport"

    type: Literal["dropout"]
    chance: Share = 1.0
    """That a message is lost; below 1, the losses are scattered."""


class CodeFault(Fault):
    """The register file of a BME280 reads wrong, which its driver turns into a reading all the same."""

    type: Literal["code_fault"]
    kind: Literal["bme280"] = "bme280"
    code: Signature = "temperature_zero"
    """What the registers hold: temperature 0 (about -140.9 °C), all bits 0 or 1, or pressure as after a reset (about
    814 hPa)."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The three measured values."""
        return ("temperature_c", "humidity", "pressure_hpa")


class ClockStep(Fault):
    """The device's clock is wrong by a fixed amount: `timestamp` is off, the message is sent when it is due."""

    layer: ClassVar[Layer] = "firmware"

    type: Literal["clock_step"]
    offset: SignedMs
    """Added to the time; `-1h` is an hour slow."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The time of the message."""
        return ("timestamp",)


class ClockDrift(Fault):
    """The device's clock runs too fast or too slow from the moment the fault begins, and is set right as it ends."""

    layer: ClassVar[Layer] = "firmware"

    type: Literal["clock_drift"]
    per_hour: SignedMs = 12_000
    """Gained an hour, or lost with a minus. An ESP32 in light sleep gains 12 s (espressif/esp-idf#6030)."""
    sync_every: DurationMs | None = Field(default=None, ge=1000)
    """NTP sets the clock right this often: the error grows, and steps back to nothing. Without it the drift goes on."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The time of the message."""
        return ("timestamp",)


class GpsLoss(Fault):
    """The receiver sees no satellites: no fix, no position."""

    type: Literal["gps_loss"]
    kind: Literal["gps", "telematics"] = "gps"

    @property
    def fields(self) -> tuple[str, ...]:
        """What the receiver tells."""
        position = ("latitude", "longitude")
        rest = ("altitude_m", "speed_kmh", "heading_deg", "hdop", "satellites")
        return ("fix", *position, *rest, "nmea") if self.kind == "gps" else position


_POSITION = ("latitude", "longitude", "heading_deg")
