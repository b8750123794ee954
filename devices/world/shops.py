"""Shops and the people who visit them: every visit of a day is drawn at once, so any moment of it can be had."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.world.noise import smooth
from devices.world.rng import Ints, draw, normal, poisson, uniform
from devices.world.site import DAY_MS, HOUR_MS, LocalTime
from devices.world.weather import weather
from devices.world.world import World

# Share of a day's entries by hour, Bourke St Mall, Melbourne, 2015-16 (%, 9 to 20 h); the remaining hours hold what
# is left of the day, spread so that it rises from 6 h and falls off after 21 h.
_EARLY = [0.3, 0.15, 0.1, 0.1, 0.15, 0.4, 0.8, 1.3, 2.0]
_LATE = [1.8, 1.1, 0.6]
_MON_THU = [*_EARLY, 3.2, 4.7, 6.7, 10.7, 12.0, 9.7, 9.3, 9.2, 10.1, 8.0, 4.8, 3.0, *_LATE]
_SATURDAY = [*_EARLY, 2.4, 4.7, 7.1, 8.9, 10.2, 10.8, 11.0, 10.5, 9.2, 7.2, 5.3, 3.2, *_LATE]
_SUNDAY = [*_EARLY, 2.2, 4.7, 7.5, 9.6, 11.1, 12.0, 11.9, 11.0, 8.9, 6.5, 4.2, 2.3, *_LATE]
_BY_HOUR = np.array([_MON_THU] * 5 + [_SATURDAY, _SUNDAY])
_CUMULATIVE = np.concatenate([np.zeros((7, 1)), np.cumsum(_BY_HOUR, axis=1) / _BY_HOUR.sum(axis=1)[:, None]], axis=1)
# Week share Monday to Sunday, same source, relative to the mean day.
_WEEK = np.array([13.1, 13.1, 13.9, 14.9, 16.9, 15.5, 12.6]) * 7 / 100
# Dwell: lognormal, median 15 min, sigma 0.89 (Euclid: 14.8 to 17.1 min, 0.89 to 0.92).
_DWELL_MEDIAN_MS, _DWELL_SIGMA = 15 * 60_000, 0.89
_DAY_EFFECT_CV = 0.15


@dataclass(frozen=True, slots=True)
class Visits:
    """The visits of one local day at one shop; instants in ms since 1970 UTC, in the order of the entries."""

    entries_ms: Ints
    exits_ms: Ints
    customers: tuple[NDArray[np.uint64], NDArray[np.uint64]]
    """Two halves of each customer's 128-bit id."""


@dataclass(frozen=True, slots=True)
class Shop:
    """One door that is counted."""

    key: int
    """Stable hash of the counter at its door."""
    site: int
    daily_customers: float
    """On an average day."""
    variation: float
    """Relative spread of the day's total, by which the usual day effect is scaled; 0 for none."""
    fixed_total: bool = False
    """Exactly `daily_customers` every day."""

    def totals(self, world: World, days: Ints) -> Ints:
        """Visits of each local day (days since 1970-01-01)."""
        if self.fixed_total:
            return np.full(len(days), round(self.daily_customers), dtype=np.int64)
        noon = days * DAY_MS + DAY_MS // 2
        effect = np.exp(self.variation * smooth(world.seed, "shop/day", self.key, noon, 3 * DAY_MS))
        sites = np.full(len(days), self.site, dtype=np.int64)
        rain = 1 - 0.2 * weather(world, sites, noon).rain
        mean = self.daily_customers * _WEEK[(days + 3) % 7] * effect * rain
        return poisson(draw(world.seed, "shop/total", self.key, days), mean)

    def visits(self, world: World, day: int) -> Visits:
        """Every visit of a local day; all end before midnight."""
        count = int(self.totals(world, np.array([day]))[0])
        number = np.arange(count)
        weekday = (day + 3) % 7
        quantile = uniform(draw(world.seed, "shop/entry", self.key, day, number))
        moment = np.interp(quantile, _CUMULATIVE[weekday], np.arange(25)) * HOUR_MS
        dwell = _DWELL_MEDIAN_MS * np.exp(_DWELL_SIGMA * normal(draw(world.seed, "shop/dwell", self.key, day, number)))
        entry = np.minimum(moment.astype(np.int64), DAY_MS - 120_000)
        leave = np.minimum(entry + dwell.astype(np.int64), DAY_MS - 1000)
        order = np.argsort(entry, kind="stable")
        local: LocalTime = world.local[self.site]
        start = int(local.day_starts_ms(np.array([day]))[0])
        ids = (draw(world.seed, "shop/customer/a", self.key, day, number)[order],
               draw(world.seed, "shop/customer/b", self.key, day, number)[order])  # fmt: skip
        return Visits(start + entry[order], start + leave[order], ids)
