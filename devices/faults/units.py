"""Notations of the fault calendar: instants, rates, ranges of durations, durations with a sign."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, Field

from edgewire.config import duration_ms

_DAY_MS = 86_400_000
_RATE_UNITS = {"s": "1s", "min": "1m", "m": "1m", "minute": "1m", "h": "1h", "hour": "1h", "d": "1d", "day": "1d"}


def utc(value: object) -> object:
    """A time without an offset is UTC, as on the command line."""
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


Instant = Annotated[AwareDatetime, BeforeValidator(utc)]
"""A time; without an offset it is UTC."""

PerDay = Annotated[float, BeforeValidator(_per_day), Field(gt=0, le=86_400, allow_inf_nan=False)]
"""`2/day`, `0.5/h`, `1/min`, held as a number a day."""

Durations = Annotated[tuple[int, int], BeforeValidator(_durations)]
"""`5m..1h`, or one duration for all, held as whole milliseconds."""

SignedMs = Annotated[int, BeforeValidator(_signed), Field(ge=-(10**12), le=10**12)]
"""A duration that may begin with a minus, held as whole milliseconds."""
