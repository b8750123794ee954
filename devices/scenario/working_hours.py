"""The hours of the week in which devices measure: windows of UTC, by the clock of a time zone.

Time that counts is that within the windows. Both directions of the mapping between it and UTC are a lookup in a table,
so that what is due at any instant is known without walking there.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from edgewire.config import Config

Instants = NDArray[np.int64]
"""Milliseconds since 1970 UTC."""

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)")
_FIRST_YEAR, _LAST_YEAR = 1999, 2101
_DAY_MINUTES = 24 * 60


def _minutes(value: object) -> object:
    """Return minutes since midnight of `18:00`; YAML makes such a number of it, where nobody quotes it."""
    if isinstance(value, str) and (found := _TIME.fullmatch(value.strip())):
        return int(found[1]) * 60 + int(found[2])
    if isinstance(value, str):
        raise ValueError(f"'{value}' is no time of the day, such as 08:30")
    return value


def _days(value: object) -> Any:
    """Return the numbers of days, from `mon-fri`, `sat` or a list of such."""
    parts = value if isinstance(value, list | tuple) else str(value).split(",")
    found: set[int] = set()
    for part in parts:
        if isinstance(part, int):
            found.add(part)
            continue
        first, dash, last = (word.strip().lower()[:3] for word in str(part).partition("-"))
        if first not in _DAYS or (dash and last not in _DAYS):
            raise ValueError(f"'{part}' is no day or range of days: write {', '.join(_DAYS)}, or mon-fri")
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        found.update(day % 7 for day in range(begin, (end if end >= begin else end + 7) + 1))
    return tuple(sorted(found))


MinuteOfDay = Annotated[int, BeforeValidator(_minutes, json_schema_input_type=str), Field(ge=0, le=_DAY_MINUTES)]
Days = Annotated[
    tuple[Annotated[int, Field(ge=0, le=6)], ...],
    BeforeValidator(_days, json_schema_input_type=str | list[str]),
    Field(min_length=1, max_length=7),
]


class WorkingHours(Config):
    """The hours in which devices measure; in the others they are connected and say nothing."""

    model_config = ConfigDict(populate_by_name=True)

    days: Days = (0, 1, 2, 3, 4)
    """`mon-fri`, `sat,sun`, or a list of days."""
    from_: MinuteOfDay = Field(default=8 * 60, alias="from")
    """When they begin, by the clock of the group's `timezone`: `08:00`."""
    to: MinuteOfDay = 18 * 60
    """When they end; at or before `from` it is of the next day."""

    @model_validator(mode="after")
    def _check(self) -> "WorkingHours":
        if self.from_ == _DAY_MINUTES:
            raise ValueError("from: 24:00 is 00:00 of the next day: write that")
        return self

    def windows(self, zone: str) -> "ActiveWindows":
        """Return when these hours are, in a time zone."""
        return _windows(self.days, self.from_, self.to, zone)


class ActiveWindows:
    """Maps time to the time that counts, and back: both are milliseconds, the latter since the first window."""

    def __init__(self, begin_ms: Instants, end_ms: Instants) -> None:
        """`begin_ms` and `end_ms` are those of the windows, in order and apart from each other."""
        self._begin_ms, self._end_ms = begin_ms, end_ms
        self._before = np.concatenate(([0], np.cumsum(end_ms - begin_ms)))
        """How much time has counted when each window begins."""

    def active_ms(self, instants: Instants | int) -> Instants:
        """Return how much time has counted before these instants."""
        at = np.searchsorted(self._begin_ms, instants, side="right") - 1
        inside = np.minimum(np.asarray(instants), self._end_ms[at]) - self._begin_ms[at]
        return np.where(at < 0, 0, self._before[at] + inside)

    def instants(self, active_ms: Instants) -> Instants:
        """Return when so much time has counted: the earliest instant that is within a window."""
        at = np.clip(np.searchsorted(self._before, active_ms, side="right") - 1, 0, len(self._begin_ms) - 1)
        return np.asarray(self._begin_ms[at] + active_ms - self._before[at])

    @property
    def share(self) -> float:
        """Return which part of all time counts."""
        return float(self._before[-1] / (self._end_ms[-1] - self._begin_ms[0]))


@lru_cache(maxsize=64)
def _windows(days: tuple[int, ...], first: int, last: int, zone_name: str) -> ActiveWindows:
    zone = ZoneInfo(zone_name)
    length = last - first if last > first else last - first + _DAY_MINUTES
    begins, ends = [], []
    midnight = datetime(_FIRST_YEAR, 1, 1, tzinfo=zone)
    while midnight.year < _LAST_YEAR:
        if midnight.weekday() in days:
            # By the clock on the wall: so many hours later there is, on two days of a year, an hour more or less.
            begin = midnight + timedelta(minutes=first)
            begins.append(_utc_ms(begin))
            ends.append(_utc_ms(begin + timedelta(minutes=length)))
        midnight += timedelta(days=1)
    begin_ms, end_ms = np.array(begins, np.int64), np.array(ends, np.int64)
    # Of windows that touch each other none is left between.
    return ActiveWindows(begin_ms, np.minimum(end_ms, np.append(begin_ms[1:], end_ms[-1])))


def _utc_ms(local: datetime) -> int:
    return round(local.astimezone(UTC).timestamp() * 1000)
