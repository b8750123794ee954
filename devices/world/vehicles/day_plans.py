"""What the fleet's vehicles do all day: from home to work, on errands, on rounds, and home again.

A vehicle's day runs from 4 to 4 o'clock, local time, as in travel surveys. Its trips follow from who drives it, the
weekday and the holidays; each begins where the one before ended, and the last one ends at home. A day is a pure
function of (seed, site, vehicle, day), drawn as a whole and kept.

The figures are set by judgement to what travel surveys report (NHTS 2017: 3.4 trips a driver and day, 60 minutes of
driving, a mean trip of 15 km and a median one of 7, departures with a peak at 7 to 8 and a broad one at 16 to 18 h,
under 1 % of the driving in each hour from 0 to 4).
"""

import numpy as np

from devices.world.random import Flags, Floats, Hashes, Ints, extend, hash_bits, normal, uniform
from devices.world.roads import STOPS, TOWN_NODES, Plan
from devices.world.vehicles.growing_table import GrowingTable
from devices.world.world import DAY_MS, HOUR_MS, SiteArrays, World, weekday

TRIPS_A_DAY = 12
"""Numbers of trips that a day has; the last is never driven."""
_DAY_BEGINS_H = 4
_DAYS_UNTIL_2000 = 10_957
_LOOKED_BACK_DAYS = 10
_DAYS_A_BLOCK = 16
_FEWEST_KEPT, _KEPT_BY_VEHICLE, _MOST_KEPT = 8_192, 3, 300_000
_DRAWN_TOGETHER = 256
"""Vehicles: a day of one takes nearly as long to draw as those of so many."""

_COMMUTER, _ON_ROUNDS, _FREE = range(3)
_PEOPLE = np.array([0.60, 0.68])
"""Bounds of the shares of those who commute, of those on rounds all day (deliveries, care); the rest is free."""
# Chance to work, Monday to Sunday.
_WORKS = np.array(
    [
        [0.88, 0.90, 0.90, 0.90, 0.84, 0.10, 0.05],
        [0.94, 0.95, 0.95, 0.95, 0.93, 0.30, 0.06],
        [0.0] * 7,
    ]
)
_GOES_OUT = np.array([0.78, 0.78, 0.79, 0.80, 0.82, 0.85, 0.74])
# When the first trip begins (h): of commuters by their habit, early, late or for the late shift; then of the others.
_HABITS = ((0.80, 7.6, 0.75), (0.93, 9.4, 1.1), (1.0, 13.3, 0.8))
_HABIT_SWING_H = 0.2
_ROUNDS_BEGIN_H = (7.5, 0.7)
_FREE_BEGIN_H = np.array([[10.3, 2.4]] * 5 + [[10.6, 2.3], [11.6, 2.3]])
# Stays (h): at work, full or part time; elsewhere as lognormals, median and sigma.
_FULL_TIME_H, _PART_TIME_H, _PART_TIME = (8.5, 0.7), (4.6, 0.7), 0.22
_ERRAND_H, _OUTING_H, _CALL_H, _AT_HOME_H = (0.6, 0.9), (1.5, 0.8), (0.3, 0.75), (1.3, 0.9)
# Chance that the next trip does not lead home.
_CHAIN, _CHAIN_ON_ROUNDS, _ROUNDS_END_H = 0.25, 0.9, 16.3
# Chance to go out again from home, by the hour from which it holds.
_AGAIN = ((0.0, 0.4), (15.0, 0.5), (17.0, 0.55), (19.0, 0.33), (20.5, 0.12), (22.0, 0.01))
_LAST_RETURN_H = 23.3
# Time of a trip on free roads (s), lognormal: to work, on an errand, on a round; a long one, at week-ends more often.
_COMMUTE_S, _ERRAND_S, _CALL_S, _LONG_S = (660.0, 0.6), (240.0, 0.9), (300.0, 0.8), (2700.0, 0.5)
_LONG, _LONG_AT_WEEKEND = 0.04, 0.2
_LONGEST_S = 7200.0
_CHOICES = 6
_LIVE_IN_TOWN = 0.7
"""Of the others, two thirds live there as well."""
# A trip has this much more time than it takes on free roads; the rest is stay.
_SLOWNESS, _SPARE_S = 2.0, 300.0


class DayPlans:
    """The schedule of vehicles that are driven as people do; a `TripSchedule`."""

    longest_s = 86_400.0
    number_in_2000 = _DAYS_UNTIL_2000 * TRIPS_A_DAY

    def __init__(self, world: World, site_arrays: SiteArrays, plan: Plan) -> None:
        self._world, self._site_arrays, self._plan = world, site_arrays, plan
        vehicles = sum(map(len, world.vehicles.values()))
        self._kept = min(max(_FEWEST_KEPT, _KEPT_BY_VEHICLE * vehicles), _MOST_KEPT)
        self._draws_ahead = _KEPT_BY_VEHICLE * vehicles <= _MOST_KEPT
        self._rows: dict[int, int] = {}
        self._edges: dict[tuple[int, int, int], Ints] = {}
        self._begins = GrowingTable(TRIPS_A_DAY, np.int64)
        self._nodes = GrowingTable(TRIPS_A_DAY + 1, np.int64)
        self._wished = GrowingTable(TRIPS_A_DAY, np.float64)

    def at(self, sites: Ints, vehicles: Ints, times_ms: Ints) -> tuple[Ints, Ints]:
        """Return the number of the trip in whose time these moments are, and the ms since that began."""
        days, starts = self._days(sites, times_ms)
        since = times_ms - starts
        begins = self._begins_of(sites, vehicles, days)
        count = (begins <= since[:, None]).sum(axis=1)
        begin = np.where(count > 0, np.take_along_axis(begins, np.maximum(count - 1, 0)[:, None], axis=1)[:, 0], 0)
        return days * TRIPS_A_DAY + count - 1, since - begin

    def begins_ms(self, sites: Ints, vehicles: Ints, trips: Ints) -> Ints:
        """Tell when the times of these trips begin; of one that is not driven, when its day does."""
        days, number = np.divmod(trips, TRIPS_A_DAY)
        begins = self._begins_of(sites, vehicles, days)[np.arange(len(trips)), number]
        return np.where(begins < DAY_MS * 2, begins, 0) + self._starts(sites, days)

    def hours(self, sites: Ints, vehicles: Ints, trips: Ints) -> Ints:
        """Return the hour of the clock (since 1970) in which the times of these trips begin."""
        return self.begins_ms(sites, vehicles, trips) // HOUR_MS

    def drives(self, sites: Ints, vehicles: Ints, trips: Ints) -> Flags:
        """Tell which trips are driven."""
        days, number = np.divmod(trips, TRIPS_A_DAY)
        return self._begins_of(sites, vehicles, days)[np.arange(len(trips)), number] < DAY_MS * 2

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
        rows, each = self._known(sites, vehicles, days), np.arange(len(trips))
        nodes = self._nodes.values[rows]
        return nodes[each, number], nodes[each, number + 1], self._wished.values[rows, number]

    def available_s(self, sites: Ints, vehicles: Ints, trips: Ints) -> Floats:
        """Return how long trips may take: until the next begins, or the day ends."""
        days, number = np.divmod(trips, TRIPS_A_DAY)
        begins = self._begins_of(sites, vehicles, days)
        each = np.arange(len(trips))
        following = np.minimum(begins[each, np.minimum(number + 1, TRIPS_A_DAY - 1)], DAY_MS - HOUR_MS)
        # On the day of the year that has 23 hours, too, nobody is late.
        return np.asarray(np.maximum((following - begins[each, number]) / 1000 - 1, 60.0))

    def _begins_of(self, sites: Ints, vehicles: Ints, days: Ints) -> Ints:
        rows = self._known(sites, vehicles, days)
        return np.asarray(self._begins.values[rows])

    def _days(self, sites: Ints, times_ms: Ints) -> tuple[Ints, Ints]:
        """Return the local day (since 1970) of each moment, and the instant at which that began."""
        days, starts = np.empty_like(times_ms), np.empty_like(times_ms)
        for site in np.unique(sites).tolist():
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
            known = self._world.local[site].day_starts_ms(np.arange(low, high)) + _DAY_BEGINS_H * HOUR_MS
            self._edges[site, low, high] = known
        return known

    def _starts(self, sites: Ints, days: Ints) -> Ints:
        starts = np.empty_like(days)
        for site in np.unique(sites).tolist():
            rows = np.flatnonzero(sites == site)
            low = int(days[rows].min()) // _DAYS_A_BLOCK * _DAYS_A_BLOCK - 2
            high = (int(days[rows].max()) // _DAYS_A_BLOCK + 1) * _DAYS_A_BLOCK + 2
            starts[rows] = self._day_edges(site, low, high)[days[rows] - low]
        return starts

    def _known(self, sites: Ints, vehicles: Ints, days: Ints) -> Ints:
        """Return the row of each vehicle's day, drawn if it was not yet."""
        keys, first, position = np.unique(
            hash_bits(0, "vehicle/day", sites, vehicles, days), return_index=True, return_inverse=True
        )
        wanted = keys.tolist()
        rows = self._rows
        missing = [number for number, key in enumerate(wanted) if key not in rows]
        if missing:
            at = first[missing]
            if self._draws_ahead:
                new, where = self._with_neighbours(sites[at], vehicles[at], days[at])
            else:
                new, where = [wanted[number] for number in missing], (sites[at], vehicles[at], days[at])
            if len(rows) + len(new) > self._kept:
                rows.clear()
                for table in (self._begins, self._nodes, self._wished):
                    table.clear()
                new, where = wanted, (sites[first], vehicles[first], days[first])
            self._draw(*where)
            rows.update(zip(new, range(len(rows), len(rows) + len(new)), strict=True))
        return np.array([rows[key] for key in wanted], dtype=np.int64)[position]

    def _with_neighbours(self, sites: Ints, vehicles: Ints, days: Ints) -> tuple[list[int], tuple[Ints, Ints, Ints]]:
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
        keys, first = np.unique(hash_bits(0, "vehicle/day", *places), return_index=True)
        new = [number for number, key in enumerate(keys.tolist()) if key not in self._rows]
        at = first[new]
        return keys[new].tolist(), (places[0][at], places[1][at], places[2][at])

    def _draw(self, sites: Ints, vehicles: Ints, days: Ints) -> None:
        """Add begins (ms since the day's), nodes and wishes of the trips of days, a row each."""
        day = _Day(self._world, self._site_arrays, self._plan, sites, vehicles, days)
        for number in range(TRIPS_A_DAY - 1):
            day.add_trip(number)
        self._begins.extend(day.begins)
        self._nodes.extend(day.nodes)
        self._wished.extend(day.wished)


class _Day:
    """Days being drawn, a row each: where the vehicle is, since when, and whether it goes on."""

    def __init__(
        self, world: World, site_arrays: SiteArrays, plan: Plan, sites: Ints, vehicles: Ints, days: Ints
    ) -> None:
        self._seed, self._keys, self._vehicles, self._days = world.seed, site_arrays.keys[sites], vehicles, days
        self._plan = plan
        # Draws of all trips of the days at once, [trip, day], by stream.
        self._uniforms: dict[str, Floats] = {}
        self._normals: dict[str, Floats] = {}
        self._stops: list[Ints] = []
        rows = len(days)
        self.begins = np.full((rows, TRIPS_A_DAY), 1 << 50, dtype=np.int64)
        self.nodes = np.empty((rows, TRIPS_A_DAY + 1), dtype=np.int64)
        self.wished = np.zeros((rows, TRIPS_A_DAY))
        home = self._own("vehicle/home")
        in_town = uniform(extend(home, 1)) < _LIVE_IN_TOWN
        self._home = np.where(in_town, TOWN_NODES[_choice(home, len(TOWN_NODES))], _stop(home))
        self.nodes[:] = self._home[:, None]
        who = np.searchsorted(_PEOPLE, uniform(self._own("driver/life")), side="right")
        self._weekday = np.where(world.is_holiday(sites, days), 6, weekday(days))
        works = uniform(self._today("day/works")) < _WORKS[who, self._weekday]
        self._commutes, self._rounds = works & (who == _COMMUTER), works & (who == _ON_ROUNDS)
        self._goes = works | (uniform(self._today("day/out")) < _GOES_OUT[self._weekday])
        self._hour = self._first_hour()
        self._node = self._home
        self._worked = np.zeros(rows, dtype=np.bool_)
        offers = np.stack([_stop(self._own(f"vehicle/work/{choice}")) for choice in range(_CHOICES)])
        self._work = self._destination(offers, _lognormal(normal(self._own("vehicle/way")), _COMMUTE_S))
        self._is_part_time = uniform(self._own("driver/time")) < _PART_TIME
        self._long_way = np.zeros(rows)

    def add_trip(self, number: int) -> None:
        """Add the trip of this number to the days that go on."""
        at_home = self._node == self._home
        # A day ends at home, while there are numbers left.
        goes = self._goes & (~at_home | (number < TRIPS_A_DAY - 2))
        to_work = at_home & self._commutes & ~self._worked
        chance = self._uniform("trip/chain", number)
        rounds = self._rounds & (self._hour < _ROUNDS_END_H)
        chains = chance < np.where(rounds, _CHAIN_ON_ROUNDS, np.where(self._hour < 20, _CHAIN, 0.0))
        homeward = ~at_home & (~chains | (number >= TRIPS_A_DAY - 3))
        at_weekend = self._weekday >= 5
        is_long = self._uniform("trip/long", number) < np.where(at_weekend, _LONG_AT_WEEKEND, _LONG)
        is_long &= ~to_work & ~rounds & (self._hour < 17) & at_home
        way = self._normal("trip/way", number)
        wish = np.where(rounds, _lognormal(way, _CALL_S), _lognormal(way, _ERRAND_S))
        wish = np.where(is_long, _lognormal(self._normal("trip/far", number), _LONG_S), wish)
        goal = self._destination(self._offers(number), wish)
        goal = np.where(homeward, self._home, np.where(to_work, self._work, goal))
        goal = np.where(goal == self._node, STOPS[(np.searchsorted(STOPS[:25], goal) + 1) % 25], goal)
        direct = self._plan.seconds[self._node, goal]
        # Who has come a long way goes back one; to work and home from it leads the fastest.
        wish = np.where(homeward, self._long_way, np.where(to_work, 0.0, wish))
        wish = np.where(is_long | homeward, np.minimum(wish, _LONGEST_S), np.minimum(wish, 1.6 * direct))
        wish = np.where(self._hour > 20, 0.0, wish)
        rows = np.flatnonzero(goes)
        self.begins[rows, number] = ((self._hour - _DAY_BEGINS_H) * HOUR_MS).astype(np.int64)[rows]
        self.nodes[rows, number + 1] = goal[rows]
        self.wished[rows, number] = wish[rows]
        arrives = self._hour + (_SLOWNESS * np.maximum(direct, wish) + _SPARE_S) / 3600
        self._long_way = np.where(is_long, wish, np.where(homeward, 0.0, self._long_way))
        stay = self._stay(number, to_work, rounds, homeward, at_weekend | (self._hour > 18))
        leaves = arrives + stay
        # Who is out at night comes home at last.
        latest = np.maximum(_LAST_RETURN_H - 2.5 * self._uniform("trip/late", number) ** 2, arrives + 0.05)
        leaves = np.where(homeward, leaves, np.minimum(leaves, latest))
        again = self._uniform("trip/again", number) < _by_hour(leaves)
        self._goes = goes & (~homeward | (again & (leaves < 22.5)))
        self._worked |= to_work & goes
        self._hour = np.where(goes, leaves, self._hour)
        self._node = np.where(goes, goal, self._node)

    def _stay(self, number: int, to_work: Flags, rounds: Flags, homeward: Flags, is_free: Flags) -> Floats:
        """Return how long the vehicle stands where the trip leads (h)."""
        swing = self._normal("trip/stay", number)
        usual = np.where(self._is_part_time, *(mean + sigma * swing for mean, sigma in (_PART_TIME_H, _FULL_TIME_H)))
        errand = np.where(is_free, *(_lognormal(swing, kind) for kind in (_OUTING_H, _ERRAND_H)))
        stay = np.where(rounds, _lognormal(swing, _CALL_H), errand)
        stay = np.where(homeward, _lognormal(swing, _AT_HOME_H), stay)
        return np.maximum(np.where(to_work, usual, stay), 0.03)

    def _first_hour(self) -> Floats:
        """Return the local time at which the first trip begins (h)."""
        kind, swing = uniform(self._own("driver/habit")), normal(self._own("driver/hour"))
        today = normal(self._today("day/hour"))
        habit = np.zeros(len(kind))
        for below, mean, sigma in reversed(_HABITS):
            habit = np.where(kind < below, mean + sigma * swing, habit)
        habit = habit + _HABIT_SWING_H * today
        mean, sigma = _ROUNDS_BEGIN_H
        on_rounds = mean + sigma * swing + 0.3 * today
        free_mean, free_sigma = _FREE_BEGIN_H[self._weekday].T
        hour = np.where(self._commutes, habit, np.where(self._rounds, on_rounds, free_mean + free_sigma * today))
        return np.clip(hour, 4.6 + 0.5 * np.abs(today), 21.0)

    def _destination(self, offers: Ints, wish_s: Floats) -> Ints:
        """Return of the places that are on offer [some, day] the one to which the way is nearest to that wished for."""
        way = self._plan.seconds[self._node, offers]
        off = np.where(way > 0, np.abs(np.log(np.maximum(way, 1) / wish_s)), np.inf)
        best, each = off.argmin(axis=0), np.arange(len(wish_s))
        return np.where(np.isfinite(off[best, each]), offers[best, each], self._home)

    def _own(self, stream: str) -> Hashes:
        return hash_bits(self._seed, stream, self._keys, self._vehicles)

    def _today(self, stream: str) -> Hashes:
        return hash_bits(self._seed, stream, self._keys, self._vehicles, self._days, 0)

    def _each(self, stream: str) -> Hashes:
        """Return the draws of all trips, [trip, day]."""
        numbers = np.arange(TRIPS_A_DAY - 1)[:, None]
        return hash_bits(self._seed, stream, self._keys, self._vehicles, self._days, numbers)

    def _uniform(self, stream: str, number: int) -> Floats:
        if stream not in self._uniforms:
            self._uniforms[stream] = uniform(self._each(stream))
        return np.asarray(self._uniforms[stream][number])

    def _normal(self, stream: str, number: int) -> Floats:
        if stream not in self._normals:
            self._normals[stream] = normal(self._each(stream))
        return np.asarray(self._normals[stream][number])

    def _offers(self, number: int) -> Ints:
        """Return the places of which one may be the goal of a trip, [some, day]."""
        if not self._stops:
            self._stops = [_stop(self._each(f"trip/goal/{choice}")) for choice in range(_CHOICES)]
        return np.stack([stops[number] for stops in self._stops])


def _lognormal(swing: Floats, kind: tuple[float, float]) -> Floats:
    median, sigma = kind
    return np.asarray(median * np.exp(sigma * np.clip(swing, -3, 3)))


def _stop(bits: Hashes) -> Ints:
    return STOPS[_choice(bits, len(STOPS))]


def _choice(bits: Hashes, count: int) -> Ints:
    return (bits % np.uint64(count)).astype(np.int64)


def _by_hour(hours: Floats) -> Floats:
    """Return the chance to go out again at these local times."""
    bounds, chances = np.array(_AGAIN).T
    return np.asarray(chances[np.searchsorted(bounds, hours, side="right") - 1])
