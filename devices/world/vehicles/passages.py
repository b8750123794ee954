"""Which vehicles of the fleet drove past which points of the roads, hour by hour."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from devices.world.random import Flags, Floats, Ints, hash_bits
from devices.world.vehicles.growing_table import GrowingTable
from devices.world.vehicles.row_index import UNKNOWN, RowIndex, ranges
from devices.world.vehicles.schedule import TripSchedule
from devices.world.vehicles.trip_cache import TripCache
from devices.world.world import HOUR_MS

_HOURS_KEPT = 6
"""Hours of which is kept who passed where. A camera asks for the current one all the time, and for the one before."""
_PAIRS_AT_ONCE = 500_000
"""Of a point and a link on its road."""
_TRIPS_AT_ONCE = 2_048
"""That are planned in one go: 7 KB each while they are, 22,500 vehicles had 1 GB in every process."""
_ROADS = 1024
"""More than a site has."""


@dataclass(frozen=True, slots=True)
class Passages:
    """Vehicles that drove past a point, in the order of time."""

    time_ms: Ints
    vehicle: Ints
    speed_ms: Floats
    forward: Flags

    @classmethod
    def none(cls) -> "Passages":
        """Return no vehicle at all."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(nothing, nothing, np.empty(0), np.empty(0, dtype=np.bool_))

    @classmethod
    def concat(cls, passages: "list[Passages]") -> "Passages":
        """Return those of several hours or points, one after the other."""
        return cls(*(np.concatenate([getattr(some, field.name) for some in passages]) for field in fields(cls)))

    def take(self, rows: Ints | slice) -> "Passages":
        """Return some of the rows."""
        return Passages(self.time_ms[rows], self.vehicle[rows], self.speed_ms[rows], self.forward[rows])


class _Hour:
    """The passages of one hour at the points that were asked for, by point and time under one code."""

    def __init__(self, hour: int) -> None:
        self.begin_ms = hour * HOUR_MS
        # Of each point, whether its passages are here; of those beyond the end they are not.
        self._is_known: Flags = np.zeros(0, dtype=np.bool_)
        self.passages = Passages.none()
        self._codes: Ints = np.empty(0, dtype=np.int64)
        self.of_point: dict[int, Passages] = {}

    def unknown(self, points: Ints) -> Ints:
        """Return those of some points whose passages are not here, ascending, each once."""
        found = np.unique(points)
        is_known = np.zeros(len(found), dtype=np.bool_)
        within = found < len(self._is_known)
        is_known[within] = self._is_known[found[within]]
        return found[~is_known]

    def mark_known(self, points: Ints) -> None:
        """Take note that all passages at these points, which ascend, are here."""
        if points[-1] >= len(self._is_known):
            self._is_known = np.pad(self._is_known, (0, int(points[-1]) + 1 - len(self._is_known)))
        self._is_known[points] = True

    def add(self, points: Ints, passages: Passages) -> None:
        """Add the passages at these points, a point a passage."""
        codes = np.concatenate([self._codes, points * HOUR_MS + passages.time_ms - self.begin_ms])
        passages = Passages.concat([self.passages, passages])
        order = np.lexsort((passages.vehicle, codes))
        self._codes, self.passages = codes[order], passages.take(order)

    def until(self, points: Ints, times_ms: Ints) -> Ints:
        """Return how many stand before the first that passed each point after a time."""
        return self._codes.searchsorted(points * HOUR_MS + np.clip(times_ms + 1 - self.begin_ms, 0, HOUR_MS))


class PassageLog:
    """Finds who passed; kept for some hours, as cameras ask again and again."""

    def __init__(self, schedule: TripSchedule, cache: TripCache, vehicles: Mapping[int, Ints]) -> None:
        """`vehicles` are the numbers of the vehicles that there are at each site, which a camera there may count.

        Nothing that `cache` has given is valid after a search.
        """
        self._schedule, self._cache, self._vehicles = schedule, cache, vehicles
        # A point is a site, a road, and metres along it.
        self._index = RowIndex()
        self._places = GrowingTable(2, np.int32)
        self._along_m = GrowingTable(1, np.float64)
        self._hours: dict[int, _Hour] = {}

    def numbers(self, sites: Ints, roads: Ints, along_m: Floats) -> Ints:
        """Return the number under which each of these points is known here."""
        keys = hash_bits(0, "road/point", sites, roads, along_m.view(np.int64)).view(np.int64)
        found = self._index.find(keys)
        missing = np.flatnonzero(found == UNKNOWN)
        if len(missing):
            new, first = np.unique(keys[missing], return_index=True)
            rows = missing[first]
            self._index.add(new, len(self._places))
            self._places.extend(np.stack([sites[rows], roads[rows]], axis=1))
            self._along_m.extend(along_m[rows][:, None])
            found = self._index.find(keys)
        return found

    def at_point(self, point: int, hour: int) -> Passages:
        """Return the vehicles that passed a point in an hour (since 1970), in the order of time."""
        found = self._hour(hour, np.array([point]))
        if point not in found.of_point:
            first, last = found.until(np.array([point] * 2), found.begin_ms + np.array([-1, HOUR_MS]))
            found.of_point[point] = found.passages.take(slice(first, last))
        return found.of_point[point]

    def between(self, points: Ints, after_ms: Ints, to_ms: Ints) -> tuple[Ints, Passages]:
        """Return the vehicles that passed each of these points in (after, to], and the position of the point of each.

        Those of one point stand together, in the order of time.
        """
        rows: list[Ints] = [np.empty(0, dtype=np.int64)]
        found = [Passages.none()]
        first_hour, last_hour = (after_ms + 1) // HOUR_MS, to_ms // HOUR_MS
        longest = int((last_hour - first_hour).max(initial=0))
        hours = np.unique(np.minimum(first_hour[:, None] + np.arange(longest + 1), last_hour[:, None]))
        for hour in hours.tolist():
            here = np.flatnonzero((first_hour <= hour) & (hour <= last_hour))
            its = self._hour(hour, points[here])
            first = its.until(points[here], after_ms[here])
            count = its.until(points[here], to_ms[here]) - first
            rows.append(np.repeat(here, count))
            found.append(
                its.passages.take(np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count))
            )
        joined = np.concatenate(rows)
        order = np.argsort(joined, kind="stable")
        return joined[order], Passages.concat(found).take(order)

    def _hour(self, hour: int, points: Ints) -> _Hour:
        """Return an hour in which these points are known; it was asked for last."""
        found = self._hours.pop(hour, None)
        if found is None:
            while len(self._hours) >= _HOURS_KEPT:
                del self._hours[next(iter(self._hours))]
            found = _Hour(hour)
        self._hours[hour] = found
        missing = found.unknown(points)
        if len(missing):
            self._find(found, hour, missing)
            found.mark_known(missing)
        return found

    def _find(self, found: _Hour, hour: int, points: Ints) -> None:
        """Add who passed these points."""
        site, road = self._places.values[points].T.astype(np.int64)
        along = self._along_m.values[points, 0]
        towns = np.unique(site)
        numbers = [self._vehicles[town] for town in towns.tolist()]
        sites = np.repeat(towns, [len(some) for some in numbers])
        vehicles = np.concatenate(numbers)
        if not len(vehicles):
            return
        trips = self._schedule.of_hour(sites, vehicles, hour)
        sites, vehicles, own = np.tile(sites, len(trips)), np.tile(vehicles, len(trips)), trips.ravel()
        begins = self._schedule.begins_ms(sites, vehicles, own)
        # Most are not driven, or set out later; to plan a trip takes a hundred times as long as to see that.
        drives = self._schedule.drives(sites, vehicles, own) & (begins < found.begin_ms + HOUR_MS)
        driven = np.flatnonzero(drives)
        for begin in range(0, len(driven), _TRIPS_AT_ONCE):
            some = driven[begin : begin + _TRIPS_AT_ONCE]
            self._find_among(found, (points, site, road, along), sites[some], vehicles[some], own[some], begins[some])

    def _find_among(
        self,
        found: _Hour,
        asked: tuple[Ints, Ints, Ints, Floats],
        sites: Ints,
        vehicles: Ints,
        trips: Ints,
        begins: Ints,
    ) -> None:
        """Add which of these trips, whose times begin then, passed points: their numbers, sites, roads and metres."""
        points, site, road, along = asked
        cache = self._cache
        rows = cache.rows(sites, vehicles, trips)
        first, last = cache.ends(rows)
        at, which = ranges(first, last)
        departs_ms = begins + cache.depart_s(rows) * 1000
        enters_ms = departs_ms[which] + cache.begin_s(at) * 1000
        leaves_ms = enters_ms + cache.profile(sites[which], at).duration_s * 1000
        meanwhile = np.flatnonzero((leaves_ms >= found.begin_ms - 1000) & (enters_ms <= found.begin_ms + HOUR_MS))
        at, which = at[meanwhile], which[meanwhile]
        roads = sites[which] * _ROADS + (cache.links(at) >> 1)
        order = np.argsort(roads, kind="stable")
        at, which, roads = at[order], which[order], roads[order]
        wanted = site * _ROADS + road
        start = roads.searchsorted(wanted)
        on_road = roads.searchsorted(wanted, side="right") - start
        for some in np.split(np.arange(len(points)), np.flatnonzero(np.diff(np.cumsum(on_road) // _PAIRS_AT_ONCE)) + 1):
            here = on_road[some]
            point = np.repeat(some, here)
            link = np.arange(len(point)) + np.repeat(start[some] - (np.cumsum(here) - here), here)
            on, who = at[link], which[link]
            forward = (cache.links(on) & 1) == 0
            begin, profile = cache.begin_s(on), cache.profile(sites[who], on)
            elapsed = profile.arrival_s(np.where(forward, along[point], profile.length_m - along[point]))
            after_ms = np.ceil((cache.depart_s(rows[who]) + begin + elapsed) * 1000).astype(np.int64)
            times = begins[who] + after_ms
            within = np.flatnonzero((times >= found.begin_ms) & (times < found.begin_ms + HOUR_MS))
            speed = profile.take(within).state_at(elapsed[within])[1]
            passed = Passages(times[within], vehicles[who[within]], speed, forward[within])
            found.add(points[point[within]], passed)
