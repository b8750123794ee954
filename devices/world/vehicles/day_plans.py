"""What the vehicles do all day, by what they are driven for.

A vehicle's day runs from 4 to 4 o'clock, local time. Each trip begins where the one before ended, and the last one ends
at home, or at the depot. A day is a pure function of (seed, site, vehicle, day), drawn as a whole and kept.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from devices.world.random import Flags, Floats, Hashes, Ints, hash_bits
from devices.world.rare_days import RareDays
from devices.world.roads import Plan
from devices.world.runs import Runs
from devices.world.vehicles.drawn_days import DAY_BEGINS_H, NEVER_MS, TRIPS_A_DAY, DayConditions, DrawnDays
from devices.world.vehicles.growing_table import GrowingTable
from devices.world.vehicles.private_days import draw_private_days
from devices.world.vehicles.row_index import UNKNOWN, RowIndex, ranges
from devices.world.vehicles.uses import VehicleUses
from devices.world.vehicles.working_days import DUTIES, draw_working_days
from devices.world.world import DAY_MS, HOUR_MS, VEHICLE_USES, SiteArrays, VehicleUse, World, weekday

_DAYS_UNTIL_2000 = 10_957
_LOOKED_BACK_DAYS = 10
_DAYS_A_BLOCK = 16
# Days that are kept: of each vehicle two, today's and the one before or after, whatever is asked between. A day has 20
# trips on average and takes 300 bytes.
_FEWEST_KEPT, _KEPT_BY_VEHICLE, _MOST_KEPT = 2_048, 2, 300_000
_SPAN_MS = 2 * NEVER_MS
"""Longer than any day."""
_DRAWN_TOGETHER = 256
"""Vehicles: a day of one takes nearly as long to draw as those of so many."""
_STAYS = 0.8
"""Share of the days there is room for that stay when some are forgotten, so that it is seldom."""
_FEW = 8
"""More than so many are drawn alone: those around them are many more, and in a process with a shard mostly others'."""

_Draw = Callable[[Plan, int, Hashes, Ints, Ints, Ints, DayConditions | None], DrawnDays]
_DRAWS: Mapping[VehicleUse, _Draw] = {
    "private": draw_private_days,
    **{use: partial(draw_working_days, duty) for use, duty in DUTIES.items()},
}


class DayPlans:
    """The schedule of vehicles that are driven as people do; a `TripSchedule`."""

    longest_s = 86_400.0
    number_in_2000 = _DAYS_UNTIL_2000 * TRIPS_A_DAY

    def __init__(self, world: World, site_arrays: SiteArrays, plan: Plan, rare_days: RareDays | None = None) -> None:
        """Without `rare_days` there is neither snow nor an event."""
        self._rare_days = rare_days
        self._world, self._site_arrays, self._plan = world, site_arrays, plan
        self.uses = VehicleUses(world, site_arrays)
        vehicles = sum(map(len, world.vehicles.values()))
        self._kept = min(max(_FEWEST_KEPT, _KEPT_BY_VEHICLE * vehicles), _MOST_KEPT)
        self._draws_ahead = _KEPT_BY_VEHICLE * vehicles <= _MOST_KEPT
        self._index = RowIndex()
        self._edges: dict[tuple[int, int, int], Ints] = {}
        # The trips of all days, one behind the other, each day's followed by one that never begins, where its last led
        # to; and where the first and that one of each day stand.
        self._ends = GrowingTable(2, np.int32)
        self._begins = GrowingTable(1, np.int32)
        self._nodes = GrowingTable(1, np.int8)
        self._wished = GrowingTable(1, np.float64)

    def at(self, sites: Ints, vehicles: Ints, times_ms: Ints) -> tuple[Ints, Ints]:
        """Return the number of the trip in whose time these moments are, and the ms since that began."""
        days, starts = self._days(sites, times_ms)
        since = times_ms - starts
        rows = self._known(sites, vehicles, days)
        runs = Runs(rows)
        begins = self._begin(rows[runs.first], np.arange(TRIPS_A_DAY)[:, None]).T
        # Beginnings ascend: those of all days, one behind the other on one axis, are looked through at once.
        axis = np.arange(len(begins)) * _SPAN_MS
        run = runs.spread(np.arange(len(begins)))
        count = np.searchsorted((begins + axis[:, None]).ravel(), since + axis[run], side="right") - run * TRIPS_A_DAY
        begin = np.where(count > 0, begins[run, np.maximum(count - 1, 0)], 0)
        return days * TRIPS_A_DAY + count - 1, since - begin

    def begins_ms(self, sites: Ints, vehicles: Ints, trips: Ints) -> Ints:
        """Tell when the times of these trips begin; of one that is not driven, when its day does."""
        days, number = np.divmod(trips, TRIPS_A_DAY)
        begins = self._begin(self._known(sites, vehicles, days), number)
        return np.where(begins < NEVER_MS, begins, 0) + self._starts(sites, days)

    def hours(self, sites: Ints, vehicles: Ints, trips: Ints) -> Ints:
        """Return the hour of the clock (since 1970) in which the times of these trips begin."""
        return self.begins_ms(sites, vehicles, trips) // HOUR_MS

    def drives(self, sites: Ints, vehicles: Ints, trips: Ints) -> Flags:
        """Tell which trips are driven."""
        days, number = np.divmod(trips, TRIPS_A_DAY)
        return self._begin(self._known(sites, vehicles, days), number) < NEVER_MS

    def of_hour(self, sites: Ints, vehicles: Ints, hour: int) -> Ints:
        """Return the trip in whose time the hour begins, and as many after it as begin in it; of some one too many."""
        first = self.at(sites, vehicles, np.full(len(sites), hour * HOUR_MS))[0]
        last = self.at(sites, vehicles, np.full(len(sites), (hour + 1) * HOUR_MS - 1))[0]
        return np.asarray(first + np.arange(int((last - first).max(initial=0)) + 1)[:, None])

    def last_driven(self, site: int, vehicle: int, trip: int) -> int:
        """Return the last trip before this one that is driven; the first of ten days if none is."""
        first = day = trip // TRIPS_A_DAY
        while day > first - _LOOKED_BACK_DAYS:
            trips = np.arange(day * TRIPS_A_DAY, min(trip, (day + 1) * TRIPS_A_DAY))
            drives = self.drives(np.full_like(trips, site), np.full_like(trips, vehicle), trips)
            if drives.any():
                return int(trips[-1 - drives[::-1].argmax()])
            day -= 1
        return day * TRIPS_A_DAY

    def draw_ahead(self, sites: Ints, vehicles: Ints, trips: Ints) -> None:
        """Draw the days in which the last trips before these are sought, of all vehicles at once."""
        days = trips // TRIPS_A_DAY
        self._known(np.tile(sites, 2), np.tile(vehicles, 2), np.concatenate([days, days - 1]))

    def route_ends(self, sites: Ints, vehicles: Ints, trips: Ints) -> tuple[Ints, Ints, Floats]:
        """Return the nodes at which trips begin and end, and how long they are wished to take on free roads (s)."""
        days, number = np.divmod(trips, TRIPS_A_DAY)
        rows = self._known(sites, vehicles, days)
        at, following = self._place(rows, number), self._place(rows, number + 1)
        start, goal = (self._nodes.values[place, 0].astype(np.int64) for place in (at, following))
        return start, goal, self._wished.values[at, 0]

    def available_s(self, sites: Ints, vehicles: Ints, trips: Ints) -> Floats:
        """Return how long trips may take: until the next begins, or the day ends."""
        days, number = np.divmod(trips, TRIPS_A_DAY)
        rows = self._known(sites, vehicles, days)
        following = np.minimum(self._begin(rows, np.minimum(number + 1, TRIPS_A_DAY - 1)), DAY_MS - HOUR_MS)
        # On the day of the year that has 23 hours, too, nobody is late.
        return np.asarray(np.maximum((following - self._begin(rows, number)) / 1000 - 1, 60.0))

    def _place(self, rows: Ints, number: Ints) -> Ints:
        """Return where trips of these days stand; where they are not driven, the one that never begins."""
        first, last = self._ends.values.take(rows, axis=0).astype(np.int64).T
        return np.asarray(np.minimum(first + number, last))

    def _begin(self, rows: Ints, number: Ints) -> Ints:
        """Tell when trips begin (ms after the day), `NEVER_MS` if they do not."""
        return np.asarray(self._begins.values[self._place(rows, number), 0].astype(np.int64))

    def _days(self, sites: Ints, times_ms: Ints) -> tuple[Ints, Ints]:
        """Return the local day (since 1970) of each moment, and the instant at which that began."""
        days, starts = np.empty_like(times_ms), np.empty_like(times_ms)
        for site in np.flatnonzero(np.bincount(sites)).tolist():
            rows = np.flatnonzero(sites == site) if len(self._world.sites) > 1 else slice(None)
            times = times_ms[rows]
            low = int(times.min()) // DAY_MS // _DAYS_A_BLOCK * _DAYS_A_BLOCK - 2
            high = (int(times.max()) // DAY_MS // _DAYS_A_BLOCK + 1) * _DAYS_A_BLOCK + 2
            edges = self._day_edges(site, low, high)
            index = edges.searchsorted(times, side="right") - 1
            days[rows], starts[rows] = low + index, edges[index]
        return days, starts

    def _day_edges(self, site: int, low: int, high: int) -> Ints:
        known = self._edges.get((site, low, high))
        if known is None:
            if len(self._edges) >= 4096:
                self._edges.clear()
            known = self._world.local[site].day_starts_ms(np.arange(low, high)) + DAY_BEGINS_H * HOUR_MS
            self._edges[site, low, high] = known
        return known

    def _starts(self, sites: Ints, days: Ints) -> Ints:
        starts = np.empty_like(days)
        for site in np.flatnonzero(np.bincount(sites)).tolist():
            rows = np.flatnonzero(sites == site)
            low = int(days[rows].min()) // _DAYS_A_BLOCK * _DAYS_A_BLOCK - 2
            high = (int(days[rows].max()) // _DAYS_A_BLOCK + 1) * _DAYS_A_BLOCK + 2
            starts[rows] = self._day_edges(site, low, high)[days[rows] - low]
        return starts

    def _known(self, sites: Ints, vehicles: Ints, days: Ints) -> Ints:
        """Return the row of each vehicle's day, drawn if it was not yet."""
        runs = Runs(sites, vehicles, days)
        sites, vehicles, days = sites[runs.first], vehicles[runs.first], days[runs.first]
        keys, first, position = np.unique(_keys(sites, vehicles, days), return_index=True, return_inverse=True)
        found = self._index.find(keys)
        missing = np.flatnonzero(found == UNKNOWN)
        if len(missing):
            at = first[missing]
            new, where = keys[missing], (sites[at], vehicles[at], days[at])
            if self._draws_ahead and len(missing) <= _FEW:
                new, where = self._with_neighbours(*where)
            if len(self._index) + len(new) > self._kept:
                self._forget(found[found != UNKNOWN], self._kept - len(new))
                if (self._index.find(keys) == UNKNOWN).sum() > len(missing):
                    new, where = keys, (sites[first], vehicles[first], days[first])
            self._draw(*where)
            self._index.add(new, len(self._index))
            found = self._index.find(keys)
        return runs.spread(found[position])

    def _forget(self, needed: Ints, room: int) -> None:
        """Forget the days that were drawn first, without those needed; all, where there is no `room` for these."""
        stays = np.zeros(len(self._index), dtype=np.bool_)
        if len(needed) <= room:
            newest = round(room * _STAYS) - len(needed)
            stays[len(stays) - max(newest, 0) :] = True
            stays[needed] = True
        first, last = self._ends.values[stays].T.astype(np.int64)
        self._index.keep(stays)
        for table in (self._begins, self._nodes, self._wished):
            table.keep(ranges(first, last)[0])
        self._ends.clear()
        self._add_ends(0, last - first + 1)

    def _add_ends(self, begin: int, counts: Ints) -> None:
        """Add where the trips of days stand, so many of each, from there on."""
        ends = begin + np.cumsum(counts)
        self._ends.extend(np.stack([ends - counts, ends - 1], axis=1))

    def _with_neighbours(self, sites: Ints, vehicles: Ints, days: Ints) -> tuple[Ints, tuple[Ints, Ints, Ints]]:
        """Return these days and the ones before, of the vehicles around as well, with their keys: they are asked next.

        What is known is left out.
        """
        found = [(sites, vehicles, days)]
        for site in np.unique(sites).tolist():
            rows = sites == site
            others = self._world.vehicles[site]
            block = np.searchsorted(others, vehicles[rows]) // _DRAWN_TOGETHER
            for number, day in np.unique(np.stack([block, days[rows]]), axis=1).T.tolist():
                near = others[number * _DRAWN_TOGETHER : (number + 1) * _DRAWN_TOGETHER]
                found += [(np.full_like(near, site), near, np.full_like(near, day - back)) for back in (0, 1)]
        places = [np.concatenate(part) for part in zip(*found, strict=True)]
        keys, first = np.unique(_keys(*places), return_index=True)
        new = np.flatnonzero(self._index.find(keys) == UNKNOWN)
        at = first[new]
        return keys[new], (places[0][at], places[1][at], places[2][at])

    def _draw(self, sites: Ints, vehicles: Ints, days: Ints) -> None:
        """Add days, a row each."""
        found = DrawnDays.without_trips(np.zeros(len(days), dtype=np.int64))
        weekdays = np.where(self._world.is_holiday(sites, days), 6, weekday(days))
        uses = self.uses.of(sites, vehicles)
        for use in np.unique(uses).tolist():
            rows = np.flatnonzero(uses == use)
            keys = self._site_arrays.keys[sites[rows]]
            found.set(
                rows,
                _DRAWS[VEHICLE_USES[use]](
                    self._plan,
                    self._world.seed,
                    keys,
                    vehicles[rows],
                    days[rows],
                    weekdays[rows],
                    self._conditions(sites[rows], days[rows]),
                ),
            )
        counts = (found.begins_ms < NEVER_MS).sum(axis=1) + 1
        taken = np.arange(TRIPS_A_DAY) < counts[:, None]
        self._add_ends(len(self._begins), counts)
        self._begins.extend(found.begins_ms[taken][:, None])
        self._nodes.extend(found.nodes[:, :-1][taken][:, None])
        self._wished.extend(found.wished_s[taken][:, None])

    def _conditions(self, sites: Ints, days: Ints) -> DayConditions | None:
        """Return the snow and the event of these sites and days; None where no site has any."""
        rare_days = self._rare_days
        if rare_days is None:
            return None
        starts, event = self._starts(sites, days), rare_days.events(sites, days)

        def snow_at(hours: Floats) -> Floats:
            return rare_days.snow(sites, starts + ((hours - DAY_BEGINS_H) * HOUR_MS).astype(np.int64))

        begins, ends = ((times - days * DAY_MS) / HOUR_MS for times in (event.begins_ms, event.ends_ms))
        return DayConditions(snow_at, np.where(event.happens, event.size, 0.0), begins, ends)


def _keys(sites: Ints, vehicles: Ints, days: Ints) -> Ints:
    return hash_bits(0, "vehicle/day", sites, vehicles, days).view(np.int64)
