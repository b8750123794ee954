"""The base of all faults: whom one affects and when, in the notations of the file, and what it may do."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import AwareDatetime, BeforeValidator, ConfigDict, Field, model_validator

from devices.faults.rows import AffectedRows
from devices.faults.schedule import FOREVER_MS, FaultSchedule, RandomWindows, SingleWindow
from devices.sensors.columns import Columns
from devices.world.random import Flags, Ints
from edgewire.config import Config, duration_ms
from edgewire.messages import CONTRACT
from edgewire.messages.control import ResetReason

_DAY_MS = 86_400_000
_RATE_UNITS = {"s": "1s", "min": "1m", "m": "1m", "minute": "1m", "h": "1h", "hour": "1h", "d": "1d", "day": "1d"}


# -- notations


def _utc(value: object) -> object:
    """Read a time without an offset as UTC, as on the command line."""
    # YAML reads a day as a date, and a time without an offset as a datetime without one.
    if isinstance(value, date) and getattr(value, "tzinfo", None) is None:
        value = value.isoformat()
    if not isinstance(value, str):
        return value
    # Not as a number: pydantic takes seconds beyond the year 2603 for milliseconds.
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _per_day(value: object) -> object:
    if not isinstance(value, str):
        return value
    number, _, unit = (part.strip() for part in value.partition("/"))
    if unit not in _RATE_UNITS:
        raise ValueError(f"'{value}' is no rate: write a number a day, hour or minute, such as 2/day")
    try:
        return float(number) * _DAY_MS / duration_ms(_RATE_UNITS[unit])
    except ValueError:
        raise ValueError(f"'{number}' in rate '{value}' is no number") from None


def _durations(value: object) -> Any:
    if isinstance(value, list | tuple):
        return value
    shortest, dots, longest = str(value).partition("..")
    ends = (duration_ms(shortest), duration_ms(longest if dots else shortest))
    if not 0 < ends[0] <= ends[1]:
        raise ValueError(f"'{value}' is no range of durations: write the shorter one first, such as 5m..1h")
    return ends


def _signed(value: object) -> object:
    if isinstance(value, str) and value.strip()[:1] in ("-", "+"):
        sign, rest = value.strip()[0], value.strip()[1:]
        return -duration_ms(rest) if sign == "-" else duration_ms(rest)
    return duration_ms(value)


Instant = Annotated[AwareDatetime, BeforeValidator(_utc, json_schema_input_type=str)]
"""A time; without an offset it is UTC."""
PerDay = Annotated[
    float, BeforeValidator(_per_day, json_schema_input_type=str | float), Field(gt=0, le=86_400, allow_inf_nan=False)
]
"""`2/day`, `0.5/h`, `1/min`, held as a number a day."""
Durations = Annotated[tuple[int, int], BeforeValidator(_durations, json_schema_input_type=str | tuple[int, int])]
"""`5m..1h`, or one duration for all, held as whole milliseconds."""
SignedMs = Annotated[int, BeforeValidator(_signed, json_schema_input_type=str | float), Field(ge=-(10**12), le=10**12)]
"""A duration that may begin with a minus, held as whole milliseconds."""
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Positive = Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e9)]
Share = Annotated[float, Field(gt=0, le=1)]

Layer = Literal["physics", "sensor", "firmware", "transport"]


# -- the fault


STRIKES_BATCHES = "strikes messages by their number, and these say several readings, as the group has batch"


class Fault(Config):
    """Has what all faults have: whom it affects and when.

    What a fault does is in its class: the class variables say which of the methods below are asked, and the plan, the
    labels and the fleet ask nothing else.
    """

    model_config = ConfigDict(populate_by_name=True)

    layer: ClassVar[Layer] = "sensor"
    """Where in a device the fault is; physics is before it, in what it measures."""
    changes_clock: ClassVar[bool] = False
    """Whether `clock_error_ms` tells of an error."""
    loses_messages: ClassVar[bool] = False
    """Whether `lost` tells of messages."""
    changes_world: ClassVar[bool] = False
    """Whether it is in what is measured, and in no device (`bursts`)."""
    is_executed_live: ClassVar[bool] = False
    """Whether a live fleet begins and ends it, on the device or its connection; else it is in the readings."""
    is_of_connection: ClassVar[bool] = False
    """Whether it affects a connection, and so all devices of a gateway alike."""
    holds_messages: ClassVar[bool] = False
    """Whether messages wait in the device until it ends: `network_delay_ms` of an export that is asked for delays."""
    strikes_messages: ClassVar[bool] = False
    """Whether it comes to single messages by chance, each of which has to be one reading or event."""
    shows_in_exports: ClassVar[bool] = True
    """Whether an export shows it, and so has labels of it."""
    can_be_commanded: ClassVar[bool] = True
    """Whether a device can be told to have it (`set_fault`)."""

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
        if self.rate is not None and self.duration is not None and self.rate * self.duration[1] > _DAY_MS:
            raise ValueError("rate: the fault would last longer than from one time to the next; lower it or duration")
        return self

    @property
    def type_name(self) -> str:
        """Its `type`, which every member of the union has."""
        return str(getattr(self, "type"))  # noqa: B009 - declared by each class, as a Literal of its own

    @property
    def schedule(self) -> FaultSchedule:
        """The times at which it is there."""
        if self.rate is not None and self.duration is not None:
            return RandomWindows(self.rate, *self.duration)
        assert self.from_ is not None  # the validator said so
        to_ms = FOREVER_MS if self.to is None else round(self.to.timestamp() * 1000)
        return SingleWindow(round(self.from_.timestamp() * 1000), to_ms)

    @property
    def parameters(self) -> dict[str, Any]:
        """Its own keys, as a label shows them."""
        common = {*Fault.model_fields, "type", "field"}
        return {name: getattr(self, name) for name in type(self).model_fields if name not in common}

    # -- what it does to readings

    @property
    def affected_fields(self) -> tuple[str, ...]:
        """The fields of a reading that it can change; empty where it takes whole messages."""
        return ()

    @property
    def trail_ms(self) -> int:
        """For how long after its end readings show that it was there."""
        return 0

    def apply(self, columns: Columns, rows: AffectedRows) -> Columns:
        """Return the columns that it changes, whole, with other values in its rows; those given stay as they are."""
        return {}

    def clock_error_ms(self, since_ms: Ints) -> Ints:
        """Return by how much the device's clock is ahead, for each time that the fault has been there."""
        return np.zeros(len(since_ms), dtype=np.int64)

    def lost(self, rows: AffectedRows) -> Flags:
        """Return which of its messages are never sent."""
        return np.zeros(len(rows.rows), dtype=np.bool_)

    # -- what it does to a device or its connection

    @property
    def strike_chance(self) -> float:
        """The chance that a message which is due meanwhile shows it."""
        return 1.0

    @property
    def reset_reason(self) -> ResetReason | None:
        """Why the device says that it started, where the end of the fault begins a new boot."""
        return None
