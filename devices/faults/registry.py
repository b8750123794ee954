"""The fault calendar of a scenario: one model a type of fault.

What a fault does is in its model; when it does it, is in `schedule`. A fault with `from` is there once, until `to` or
for good; one with `rate` and `duration` comes at random, to each device at times of its own.

Sources of the taxonomy: Ni et al., "Sensor network data fault types", ACM TOSN 5(3), 2009; Sharma, Golubchik and
Govindan, "Sensor faults: detection methods and prevalence in real-world datasets", ACM TOSN 6(3), 2010.
"""

from typing import Annotated

from pydantic import Field

from devices.faults.bursts import Burst
from devices.faults.connection_faults import Corrupt, Delay, Duplicate, HalfOpen, Reboot, Reorder, SilentDeath, Takeover
from devices.faults.sensor_faults import (
    Bias,
    Clip,
    ClockDrift,
    ClockStep,
    CodeFault,
    Drift,
    Dropout,
    Gain,
    GpsLoss,
    Noise,
    Quantise,
    Spike,
    StuckAt,
)

AnyFault = Annotated[
    Bias | Gain | Drift | Spike | Noise | StuckAt | Quantise | Clip
    | Dropout | CodeFault | ClockStep | ClockDrift | GpsLoss | Burst
    | Reboot | SilentDeath | HalfOpen | Takeover | Duplicate | Delay | Reorder | Corrupt,
    Field(discriminator="type"),
]  # fmt: skip
"""One entry of the calendar; `type` tells which."""
