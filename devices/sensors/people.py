"""People counter at a shop door: every crossing and every visit as it happens, and counts at each interval.

A visit gives three messages: an entry, an exit, and at the moment of the exit the session that joins them.
"""

from bisect import bisect_right
from functools import lru_cache
from typing import Any

import numpy as np
from pydantic import Field

from devices.sensors.base import Columns, Happenings, Ints, Population
from devices.world import World
from devices.world.shops import Shop, Visits
from devices.world.site import DAY_MS, HOUR_MS
from edgewire.clock import iso_ms
from edgewire.config import Config

_WEEKDAYS = ("Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday")  # from 1970-01-01
_PLANS_KEPT = 50_000
# What a row of a day's plan is; at one moment an exit comes before its session.
_ENTRY, _EXIT, _SESSION = 0, 1, 2


class Settings(Config):
    """The shop that is counted."""

    daily_customers: float = Field(default=1000, gt=0, le=200_000)
    """On an average day."""
    daily_variation: float = Field(default=0.10, ge=0, le=2)
    """Relative spread of the day's total."""
    fixed_daily_total: bool = False
    """Exactly `daily_customers` every day, whatever the weekday and the weather."""


class PeopleSensor:
    """Many counters with the same settings, each at a shop of its own."""

    def __init__(self, settings: Settings, population: Population) -> None:
        self._interval = population.interval_ms
        self._shops = [
            Shop(int(key), int(site), settings.daily_customers, settings.daily_variation, settings.fixed_daily_total)
            for key, site in zip(population.keys, population.sites, strict=True)
        ]
        self._plans = lru_cache(_PLANS_KEPT)(_Plan)
        self._sums: dict[tuple[int, int], Ints] = {}

    def sample(self, world: World, ids: Ints, times: Ints) -> Columns:
        """Counts of the interval that ends at each reading, and since local midnight."""
        counts = [
            self._count(world, index, time_ms, int(self._interval[index]))
            for index, time_ms in zip(ids.tolist(), times.tolist(), strict=True)
        ]
        entries, exits, total_entries, total_exits = np.array(counts, dtype=np.int64).reshape(-1, 4).T
        return {
            "event_type": ["count"] * len(counts),
            "interval_s": np.round(self._interval[ids] / 1000, 3),
            "entries": entries,
            "exits": exits,
            "total_entries": total_entries,
            "total_exits": total_exits,
            "occupancy": total_entries - total_exits,
        }

    def happenings(self, world: World, ids: Ints, start_ms: int, stop_ms: int) -> Happenings:
        """Crossings and sessions in [start_ms, stop_ms)."""
        owners: list[int] = []
        times: list[int] = []
        fields: list[dict[str, Any]] = []
        for position, index in enumerate(ids.tolist()):
            for day in range(self._day(world, index, start_ms), self._day(world, index, stop_ms - 1) + 1):
                plan = self._plans(world, self._shops[index], day)
                for row in range(*plan.rows.searchsorted([start_ms, stop_ms])):
                    owners.append(position)
                    times.append(int(plan.rows[row]))
                    fields.append(plan.fields(row))
        return Happenings(np.array(owners, dtype=np.int64), np.array(times, dtype=np.int64), fields)

    def happened(self, world: World, ids: Ints, start_ms: int, stop_ms: int) -> Ints:
        """Three messages for every visit of a whole day, and of the first and the last day what lies in the window."""
        counts = np.zeros(len(ids), dtype=np.int64)
        for position, index in enumerate(ids.tolist()):
            first, last = self._day(world, index, start_ms), self._day(world, index, stop_ms)
            plans = [self._plans(world, self._shops[index], day).rows for day in (first, last)]
            counts[position] = plans[1].searchsorted(stop_ms) - plans[0].searchsorted(start_ms)
            if last > first:
                counts[position] += self._messages(world, index, first, last)
        return counts

    def _count(self, world: World, index: int, time_ms: int, interval_ms: int) -> tuple[int, int, int, int]:
        """Entries and exits in (time - interval, time], and since midnight."""
        day = self._day(world, index, time_ms)
        visits = self._plans(world, self._shops[index], day).visits
        sides = (visits.entries_ms, np.sort(visits.exits_ms))
        totals = [int(side.searchsorted(time_ms, side="right")) for side in sides]
        recent = [
            total - int(side.searchsorted(time_ms - interval_ms, side="right"))
            for total, side in zip(totals, sides, strict=True)
        ]
        if self._day(world, index, time_ms - interval_ms) < day:
            earlier = self._plans(world, self._shops[index], day - 1).visits
            recent[0] += len(earlier.entries_ms) - int(
                earlier.entries_ms.searchsorted(time_ms - interval_ms, side="right")
            )
            recent[1] += int((earlier.exits_ms > time_ms - interval_ms).sum())
        return recent[0], recent[1], totals[0], totals[1]

    def _messages(self, world: World, index: int, first_day: int, stop_day: int) -> int:
        """Messages of the days [first_day, stop_day)."""
        sums = self._sums.get((index, first_day))
        if sums is None or len(sums) < stop_day - first_day:
            # A run that goes on asks for later and later days: a year ahead at a time.
            days = np.arange(first_day, stop_day + 365)
            sums = self._sums[index, first_day] = np.cumsum(3 * self._shops[index].totals(world, days))
        return int(sums[stop_day - first_day - 1])

    def _day(self, world: World, index: int, time_ms: int) -> int:
        return int(world.local[self._shops[index].site].of(np.array([time_ms]))[0] // DAY_MS)


class _Plan:
    """A day at one door: when each of its messages is due, in order, and what it says."""

    def __init__(self, world: World, shop: Shop, day: int) -> None:
        self.visits: Visits = shop.visits(world, day)
        entries, exits = self.visits.entries_ms, self.visits.exits_ms
        count = len(entries)
        times = np.concatenate([entries, exits, exits])
        sorts = np.repeat([_ENTRY, _EXIT, _SESSION], count)
        visitors = np.tile(np.arange(count), 3)
        order = np.lexsort((sorts, visitors, times))
        self.rows = times[order]
        self._sorts = sorts[order]
        self._visitors = visitors[order]

    def fields(self, row: int) -> dict[str, Any]:
        """The message of a row."""
        sort, visitor = self._sorts[row], self._visitors[row]
        entry, leave = int(self.visits.entries_ms[visitor]), int(self.visits.exits_ms[visitor])
        if sort == _SESSION:
            return {
                "event_type": "foot_traffic",
                "customer_id": self._customer(visitor),
                "entry_time": iso_ms(entry),
                "exit_time": iso_ms(leave),
                "trip_duration_minutes": round((leave - entry) / 60_000, 2),
                **_calendar(entry),
            }
        moment = entry if sort == _ENTRY else leave
        return {"event_type": "entry" if sort == _ENTRY else "exit", "time": iso_ms(moment), **_calendar(moment)}

    def _customer(self, visitor: int) -> str:
        high, low = (int(half[visitor]) for half in self.visits.customers)
        text = f"{(high & 0xFFFFFFFFFFFF0FFF) | 0x4000:016x}{(low & 0x3FFFFFFFFFFFFFFF) | 0x8000000000000000:016x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


# Slots of three hours, the first of a day from 01:00; the one from 22:00 reaches past midnight.
_SLOT_STARTS = (1, 4, 7, 10, 13, 16, 19, 22)
_SLOT_NAMES = [f"{start:02d}:00–{(start + 2) % 24:02d}:59" for start in _SLOT_STARTS]


def _calendar(time_ms: int) -> dict[str, str]:
    """Weekday and time slot, in UTC as all times of these messages."""
    hour = time_ms % DAY_MS // HOUR_MS
    return {
        "weekday": _WEEKDAYS[time_ms // DAY_MS % 7],
        "time_slot": _SLOT_NAMES[bisect_right(_SLOT_STARTS, hour) - 1],
    }
