"""What stands under `kinds:` in a scenario: the fields of a kind, and by what each is made."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from devices.declared.signals import SIGNALS, SignalName
from devices.faults.base import Durations
from devices.sensors.derived import DEVICE_FIELDS
from edgewire.config import Config, DurationMs, duration_ms, duration_text
from edgewire.config_errors import closest, located_error, text_matching
from edgewire.messages.base import Measurement
from edgewire.messages.declared import FieldType

MAX_KINDS = 50
MAX_FIELDS = 100
MAX_CHOICES = 100
MAX_POINTS = 96
LARGEST = 1e12
"""Beyond it a number would lose its last digit, or be no JSON."""
_CORRELATION = 0.8
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

Number = Annotated[float, Field(allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
Positive = Annotated[float, Field(allow_inf_nan=False, gt=0, le=LARGEST)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e7)]
Text = Annotated[str, Field(max_length=200)]
_TIME_OF_DAY = text_matching(r"^([01][0-9]|2[0-3]):[0-5][0-9]$", "a time of day in quotes, such as '07:30'")
TimeOfDay = Annotated[str, _TIME_OF_DAY]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TAKEN = frozenset({*Measurement.model_fields, *DEVICE_FIELDS, "kind", "event_type", "source"})
_OF_EXPORTS = re.compile(
    r"clean_.*|faults|split|label|network_delay_ms|local_time|local_weekday|local_time_slot|date|id|run_id"
)
_NO_KIND = frozenset({"batch", "runs", "labels", "all", "status", "cmd", "result", "scenario", "bridge", "spark"})


def _scalar(value: Any) -> Any:
    """Refuse what is no single value; a bool is none of the numbers, nor is a number a text."""
    if not isinstance(value, bool | int | float | str):
        raise ValueError("should be a text, a number, true or false")
    if isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) <= LARGEST:
        raise ValueError("should be a number of at most 10^12")
    if isinstance(value, str) and len(value) > 200:
        raise ValueError("is longer than 200 characters")
    return value


Scalar = Annotated[Any, BeforeValidator(_scalar, json_schema_input_type=bool | int | float | str)]


def _stay(value: Any) -> Any:
    if value in ("reading", "device"):
        return value
    try:
        found = duration_ms(value)
    except ValueError as error:
        raise ValueError(f"{error}; or reading, or device") from None
    if found < 1:
        raise ValueError("should be longer than 0")
    return found


def _stay_text(value: int | str) -> str:
    return value if isinstance(value, str) else duration_text(value)


Stay = Annotated[
    Literal["reading", "device"] | int,
    BeforeValidator(_stay, json_schema_input_type=str | float),
    PlainSerializer(_stay_text, return_type=str),
]


class ChoiceConfig(Config):
    """One of some values, drawn by weights."""

    of: tuple[Scalar, ...] | dict[str, Share | Positive] = Field(min_length=1, max_length=MAX_CHOICES)
    """The values, all alike: texts, numbers, or flags; texts also with their weights, `{eco: 0.7, normal: 0.3}`."""
    weights: tuple[Share | Positive, ...] = ()
    """Of a list of values, how often each comes beside the others; without it all alike."""
    every: Stay = "reading"
    """How long a value stays: drawn anew at each `reading`, once a `device`, or after a time, such as `6h`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.weights and (isinstance(self.of, dict) or len(self.weights) != len(self.of)):
            raise located_error(("weights",), "needs one for each value of the list")
        if not sum(self.shares) > 0:
            raise located_error(("of",), "has no value with a weight above 0")
        scalar_type(self.values)
        return self

    @property
    def values(self) -> tuple[Any, ...]:
        """Return the values in their order."""
        return tuple(self.of)

    @property
    def shares(self) -> tuple[float, ...]:
        """Return their weights."""
        return tuple(self.of.values()) if isinstance(self.of, dict) else self.weights or (1.0,) * len(self.of)


def scalar_type(values: tuple[Any, ...]) -> FieldType:
    """Return the type that values have in common; raises `ValueError` where there is none."""
    kinds = {"flag" if isinstance(one, bool) else "text" if isinstance(one, str) else "number" for one in values}
    if len(kinds) > 1:
        raise ValueError("has values of several types: write texts, numbers or flags alone, texts in quotes")
    if kinds == {"number"} and all(isinstance(one, int) for one in values):
        return "whole"
    found: FieldType = "flag" if kinds == {"flag"} else "text" if kinds == {"text"} else "number"
    return found


def _weekday(name: str) -> str:
    if name not in WEEKDAYS:
        hint = closest(name, WEEKDAYS) or f"; there are {', '.join(WEEKDAYS)}"
        raise ValueError(f"'{name}' is no day of the week{hint}")
    return name


class ProfileConfig(Config):
    """A course over the day in local time, straight from point to point, times a factor of the weekday."""

    points: dict[TimeOfDay, Number] = Field(min_length=1, max_length=MAX_POINTS)
    """Time of day -> value: `{'06:00': 0, '12:00': 80}`. After the last comes the first again."""
    days: dict[Annotated[str, AfterValidator(_weekday)], Number] = {}
    """Weekday -> factor; 1 for those that are not named."""
    steps: bool = False
    """Keep each value until the next point, instead of a straight line to it."""


def _is_rate(profile: ProfileConfig | None) -> ProfileConfig | None:
    if profile is None:
        return None
    if min(profile.points.values()) < 0 or min(profile.days.values(), default=0.0) < 0:
        raise ValueError("tells how often something happens: no value of it is below 0")
    if not max(profile.points.values()) > 0 or (len(profile.days) == len(WEEKDAYS) and not any(profile.days.values())):
        raise ValueError("tells how often something happens, and is 0 all the week")
    return profile


RateProfile = Annotated[ProfileConfig | None, AfterValidator(_is_rate)]


class CounterConfig(Config):
    """A count that only grows, from the power-on of the device on."""

    per_hour: Rate | None = None
    """Steps an hour, on average over the week."""
    of: str | None = None
    """Instead of `per_hour`: a field with `on_off`; counted is how often it goes on."""
    step: Positive = 1
    """How much a step adds."""
    start: Number = 0
    """What it begins with."""
    reset: Literal["never", "day", "week"] = "never"
    """Begins again at local midnight, or on Mondays."""
    wrap: Positive | None = None
    """Begins again at 0 where it reaches this, as a register with few digits."""
    profile: RateProfile = None
    """With `per_hour`: when in the day and week more comes, and less; only the proportions matter."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.per_hour is None) == (self.of is None):
            raise ValueError("needs either per_hour, or of and a field with on_off")
        if self.profile is not None and self.of is not None:
            raise located_error(("profile",), "goes with per_hour: leave it out")
        return self


class SineConfig(Config):
    """A sine."""

    mean: Number = 0
    amplitude: Number
    period: Annotated[DurationMs, Field(ge=1000)] = 86_400_000
    """One that divides a day keeps to the local time."""
    peak: TimeOfDay = "00:00"
    """The time of day at which it is highest."""

    @property
    def peak_ms(self) -> int:
        """Return the peak as ms since midnight."""
        hours, minutes = self.peak.split(":")
        return (int(hours) * 60 + int(minutes)) * 60_000


class NoiseConfig(Config):
    """Random values about a mean, normal with a deviation."""

    model_config = ConfigDict(populate_by_name=True)

    mean: Number = 0
    deviation: Positive
    period: Annotated[DurationMs, Field(ge=0)] = 0
    """Values this far apart are independent, and smooth in between; without it each reading is drawn by itself."""
    smooth: bool = False
    """With `period`: without detail at a quarter and a sixteenth of it, as what is slow by itself."""
    shared: bool = False
    """Whether all devices of a site have the same, as they feel the same air; without it each has its own."""
    spread: Annotated[float, Field(ge=0, le=2)] = 0
    """How far the deviation differs from device to device: log-normal, 0.5 is half of it or twice as much for some."""
    along: str | None = Field(default=None, alias="with")
    """Another field with `noise`, with which this one is correlated."""
    correlation: Annotated[float, Field(ge=-1, le=1)] = _CORRELATION
    """With that field, from -1 to 1."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.correlation != _CORRELATION and self.along is None:
            raise located_error(("correlation",), "is with another field: write with: and its name beside it")
        if self.smooth and not self.period:
            raise located_error(("smooth",), "is of noise with a period: write period beside it, or leave it out")
        return self


class WalkConfig(Config):
    """A random walk between two bounds, at which it turns back."""

    min: Number
    max: Number
    step: Positive
    """About how far it goes in the time `every`; in four times as long twice as far."""
    every: Annotated[DurationMs, Field(ge=1000)] = 60_000

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.min < self.max:
            raise located_error(("max",), "must be above min")
        return self


class OnOffConfig(Config):
    """A state that is on and off in turn."""

    on: Durations
    """How long it stays on: `4m..9m`, or one duration."""
    off: Durations
    """How long it stays off."""
    says: tuple[Text, Text] | None = None
    """Two texts, for on and for off, instead of true and false: `[open, closed]`."""


class PoissonConfig(Config):
    """How often something happened in the interval that ends at the reading."""

    per_hour: Rate | str
    """On average; or a formula."""
    profile: RateProfile = None
    """When in the day and week more comes, and less; only the proportions matter."""


class MissingConfig(Config):
    """Readings in which the field has no value."""

    share: Annotated[float, Field(gt=0, le=1)]
    """Of the readings."""
    stretch: Annotated[DurationMs, Field(ge=0)] = 0
    """All readings of so long together; without it each by itself."""


def _signal(text: str) -> str:
    SignalName.parse(text)
    return text


GENERATORS = (
    "constant", "choice", "counter", "sine", "profile", "noise", "walk", "on_off", "poisson", "world", "formula",
    "recorded",
)  # fmt: skip
_NUMERIC = frozenset({"number", "whole"})


class FieldConfig(Config):
    """A field of a declared kind: one of the generators, and how its value is sent."""

    constant: Scalar | None = None
    """The same value always: a text, a number, true or false."""
    choice: ChoiceConfig | None = None
    """One of some values."""
    counter: CounterConfig | None = None
    """A count that only grows."""
    sine: SineConfig | None = None
    """A sine."""
    profile: ProfileConfig | None = None
    """A course over the day and week."""
    noise: NoiseConfig | None = None
    """Random values about a mean."""
    walk: WalkConfig | None = None
    """A random walk between two bounds."""
    on_off: OnOffConfig | None = None
    """A state that is on and off in turn."""
    poisson: PoissonConfig | None = None
    """How often something happened since the last reading."""
    world: Annotated[str, AfterValidator(_signal)] | None = None
    """A signal of the shared world, such as `weather.temperature_c` or `people.inside@people-0001`."""
    recorded: FieldType | None = None
    """Out of the file that the group plays back (`replay`): a `number`, a `whole` one, a `flag` or a `text`."""
    formula: str | None = None
    """Made of other fields, settings and signals: `4 + 0.1 * (weather.temperature_c - 20) + 2 * door_open`."""
    decimals: int | None = Field(default=None, ge=0, le=9)
    """Of a number; 0 makes it a whole one. Without it three."""
    min: Number | None = None
    """A number below it is sent as this."""
    max: Number | None = None
    """A number above it is sent as this."""
    vary: Positive | None = None
    """How far devices differ: each adds a number of its own, which is normal with this deviation."""
    missing: Annotated[float, Field(gt=0, le=1)] | MissingConfig | None = None
    """The share of readings in which it is null; or `{share: 0.02, stretch: 10m}`."""
    hidden: bool = False
    """Not sent: it is there for formulas."""
    unit: Annotated[str, Field(max_length=20)] = ""
    """For people, such as `°C`."""
    device_class: Annotated[str, text_matching(r"^[a-z0-9_]{0,40}$", "a device class of Home Assistant")] = ""
    """Of Home Assistant, such as `temperature`, `door`."""
    label: Annotated[str, Field(max_length=60)] = ""
    """What people call it; without it its name."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [name for name in GENERATORS if getattr(self, name) is not None]
        if len(given) != 1:
            what = (
                f"has {' and '.join(given)}: keep one"
                if given
                else f"says not what makes it: write one of {', '.join(GENERATORS)}"
            )
            raise ValueError(what)
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise located_error(("max",), "must be above min")
        if self.hidden and self.missing is not None:
            raise located_error(("missing",), "is of what is sent, and this is hidden: leave it out")
        return self

    @property
    def generator(self) -> str:
        """Return the key that says what makes it."""
        return next(name for name in GENERATORS if getattr(self, name) is not None)

    def type_of(self, *, is_flag: bool) -> FieldType:
        """Return the type of its values; `is_flag` says whether its formula is one.

        Raises `ValueError` for keys that make no sense for it.
        """
        found = self._generated(is_flag=is_flag)
        if found == "number" and self.decimals == 0:
            found = "whole"
        if found not in _NUMERIC:
            for key in ("decimals", "min", "max", "vary"):
                if getattr(self, key) is not None:
                    raise located_error((key,), f"is of numbers, and its values are {found}s: leave it out")
        if self.vary is not None and self.generator in ("choice", "counter", "poisson"):
            raise located_error(("vary",), f"is not for {self.generator}: leave it out")
        if found == "whole" and self.decimals and self.generator not in ("constant", "choice"):
            raise located_error(("decimals",), f"of {self.generator} are none, its values are whole: leave it out")
        return found

    def _generated(self, *, is_flag: bool) -> FieldType:
        match self.generator:
            case "constant":
                return scalar_type((self.constant,))
            case "choice":
                assert self.choice is not None
                return scalar_type(self.choice.values)
            case "counter":
                assert self.counter is not None
                parts = (self.counter.step, self.counter.start, self.counter.wrap or 0)
                return "whole" if all(float(part).is_integer() for part in parts) else "number"
            case "on_off":
                assert self.on_off is not None
                return "flag" if self.on_off.says is None else "text"
            case "recorded":
                assert self.recorded is not None
                return self.recorded
            case "poisson":
                return "whole"
            case "world":
                return "whole" if SIGNALS[SignalName.parse(str(self.world)).signal].is_whole else "number"
        return "flag" if is_flag else "number"


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("should be lower-case letters, digits and '_', at most 63 of them, a letter first")
    return name


def _field_name(name: str) -> str:
    _name(name)
    if name in _TAKEN or _OF_EXPORTS.fullmatch(name):
        raise ValueError(f"every message, device or export has a '{name}' of its own: give the field another name")
    return name


def check_kind_name(name: str) -> None:
    """Raise `ValueError` for what no kind can be called."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
        raise ValueError(f"'{name}' is no name of a kind: write lower-case letters, digits and '_', at most 32 of them")
    if name in _NO_KIND:
        raise ValueError(f"'{name}' is a word that commands and stores have for something else: choose another name")


class KindConfig(Config):
    """A kind of device that the scenario declares: what its readings say, and by what each value is made."""

    fields: dict[Annotated[str, AfterValidator(_field_name)], FieldConfig] = Field(min_length=1, max_length=MAX_FIELDS)
    """Name -> field, in the order in which they are sent."""
    settings: dict[Annotated[str, AfterValidator(_name)], Number] = Field(default={}, max_length=MAX_FIELDS)
    """Numbers that formulas name, with their defaults; a group sets others under its own `settings`."""
    description: Annotated[str, Field(max_length=500)] = ""
    """For people."""
