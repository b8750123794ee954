"""Courses of a day and a week in local time: their value at any time, and the part of it that is over by then."""

import numpy as np

from devices.declared.config import WEEKDAYS, ProfileConfig
from devices.declared.signals import Rows
from devices.world.random import Floats, Ints
from devices.world.world import DAY_MS, HOUR_MS, MINUTE_MS, World

_MINUTES = 24 * 60
_WEEK = 7


class Profile:
    """A value by local time: straight lines, or steps, between points of a day, times a factor of the weekday."""

    def __init__(self, config: ProfileConfig) -> None:
        points = sorted((_minutes_of(text), value) for text, value in config.points.items())
        self._minutes = np.array([minute for minute, _ in points], dtype=np.float64)
        self._values = np.array([value for _, value in points], dtype=np.float64)
        self._steps = config.steps
        self._factors = np.array([config.days.get(day, 1.0) for day in WEEKDAYS], dtype=np.float64)
        every: Floats = np.arange(_MINUTES, dtype=np.float64) + 0.5
        by_minute = (self._factors[:, None] * self._of_day(every)[None, :]).ravel()
        self._sums = np.concatenate([[0.0], np.cumsum(by_minute)])

    @property
    def mean(self) -> float:
        """Return the mean over a week."""
        return float(self._sums[-1]) / (_WEEK * _MINUTES)

    def at(self, rows: Rows) -> Floats:
        """Return its value at the local time of each row."""
        days, within = np.divmod(rows.world.local_ms(rows.sites, rows.times), DAY_MS)
        return np.asarray(self._of_day(within / MINUTE_MS) * self._factors[(days + 3) % _WEEK])

    def hours_until(self, world: World, sites: Ints, times: Ints) -> Floats:
        """Return its sum over the hours up to each instant, relative to its mean: from one to another it only grows.

        A day on which clocks change is an hour shorter or longer, and has all that is of a day.
        """
        days = np.empty_like(times)
        share = np.empty(len(times))
        for site in np.unique(sites).tolist():
            rows = np.flatnonzero(sites == site)
            local = world.local[site]
            own = local.from_utc(times[rows]) // DAY_MS
            found, inverse = np.unique(own, return_inverse=True)
            starts, ends = local.day_starts_ms(found), local.day_starts_ms(found + 1)
            days[rows] = own
            share[rows] = np.clip((times[rows] - starts[inverse]) / (ends - starts)[inverse], 0, 1)
        weeks, weekday = np.divmod(days + 3, _WEEK)
        minutes = weekday * _MINUTES + share * _MINUTES
        whole = np.minimum(minutes.astype(np.int64), _WEEK * _MINUTES - 1)
        part = self._sums[whole] + (self._sums[whole + 1] - self._sums[whole]) * (minutes - whole)
        return np.asarray((weeks * (_WEEK * 24.0)) + part / (60 * self.mean))

    def _of_day(self, minutes: Floats) -> Floats:
        if self._steps:
            return self._values[np.searchsorted(self._minutes, minutes, side="right") - 1]
        return np.interp(minutes, self._minutes, self._values, period=_MINUTES)


def plain_hours_until(times: Ints) -> Floats:
    """Return the hours up to each instant."""
    return np.asarray(times / HOUR_MS)


def _minutes_of(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
