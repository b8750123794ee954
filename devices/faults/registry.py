"""The faults that there are: a fault exists by its line here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, get_args

from pydantic import Field

from devices.faults.base import Fault
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
    Bias
    | Gain
    | Drift
    | Spike
    | Noise
    | StuckAt
    | Quantise
    | Clip
    | Dropout
    | CodeFault
    | ClockStep
    | ClockDrift
    | GpsLoss
    | Burst
    | Reboot
    | SilentDeath
    | HalfOpen
    | Takeover
    | Duplicate
    | Delay
    | Reorder
    | Corrupt,
    Field(discriminator="type"),
]
"""One entry of the calendar; `type` tells which."""

FAULTS: Mapping[str, type[Fault]] = MappingProxyType(
    {get_args(fault.model_fields["type"].annotation)[0]: fault for fault in get_args(get_args(AnyFault)[0])}
)
"""Type -> the class of it."""
