"""What all faults of a calendar have: whom they befall and when."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator

from devices.faults.schedule import FOREVER_MS, Once, Randomly, Schedule
from devices.faults.units import Durations, Instant, PerDay
from edgewire.config import Config
from edgewire.messages import CONTRACT

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Positive = Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e9)]
Share = Annotated[float, Field(gt=0, le=1)]
Layer = Literal["physics", "sensor", "firmware", "transport"]


class Fault(Config):
    """What all faults have: whom they befall and when."""

    model_config = ConfigDict(populate_by_name=True)
    layer: ClassVar[Layer] = "sensor"
    """Where in a device the fault is; physics is before it, in what it measures."""

    kind: str
    """Kind of the devices."""
    devices: tuple[str, ...] = ()
    """Ids of the devices. Without it and without `share`: all of the kind."""
    share: Share | None = None
    """Part of the devices of the kind that have this fault, drawn by their ids."""
    from_: Instant | None = Field(default=None, alias="from")
    """When the fault begins."""
    to: Instant | None = None
    """When it ends; without it, never."""
    rate: PerDay | None = None
    """How often it comes to each device, instead of `from` and `to`: `2/day`, `0.5/h`."""
    duration: Durations | None = None
    """How long it stays each time, with `rate`: `10m`, or from and to: `5m..1h`."""

    @model_validator(mode="after")
    def _check_schedule(self) -> "Fault":
        if self.kind not in CONTRACT:
            raise ValueError(f"kind: '{self.kind}' is not a kind of device; there are {', '.join(CONTRACT)}")
        if self.devices and self.share is not None:
            raise ValueError("names devices and a share of them; leave one out")
        if (self.from_ is None) == (self.rate is None):
            raise ValueError("needs either from (and to), or rate and duration")
        if (self.rate is None) != (self.duration is None):
            raise ValueError("needs rate and duration together")
        if self.to is not None and (self.from_ is None or self.to <= self.from_):
            raise ValueError("to: must come after from")
        if self.rate is not None and self.duration is not None and self.rate * self.duration[1] > 86_400_000:
            raise ValueError("rate: the fault would last longer than from one time to the next; lower it or duration")
        return self

    @property
    def schedule(self) -> Schedule:
        """When it is there."""
        if self.rate is not None and self.duration is not None:
            return Randomly(self.rate, *self.duration)
        assert self.from_ is not None  # the validator said so
        to_ms = FOREVER_MS if self.to is None else round(self.to.timestamp() * 1000)
        return Once(round(self.from_.timestamp() * 1000), to_ms)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a reading that it changes; empty where it takes the whole message."""
        return ()

    @property
    def parameters(self) -> dict[str, Any]:
        """Its own keys, as a label shows them."""
        common = {*Fault.model_fields, "type", "field"}
        return {name: getattr(self, name) for name in type(self).model_fields if name not in common}
