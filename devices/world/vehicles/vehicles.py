"""The vehicles of the fleet at any moment: where they are, how they move, and what they drove past."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from devices.world.random import Flags, Floats, Ints
from devices.world.roads import CORNER_M, Roads
from devices.world.runs import Runs
from devices.world.trigonometry import within_turn
from devices.world.vehicles.passages import PassageLog, Passages
from devices.world.vehicles.row_index import UNKNOWN
from devices.world.vehicles.trip_cache import TripCache
from devices.world.vehicles.trips import NEVER_S, TripPlanner, curvature

_SURELY_S = 1.0
"""After the end of a trip everything has come to rest, however sums were rounded."""
_WATCHED_APART = 4_096
"""Of more vehicles the trips that cameras look at are not kept among those of the units in this process: most are of
other shards, and who passed is kept anyway."""


@dataclass(frozen=True, slots=True)
class Motion:
    """Vehicles at some instants; one value a row."""

    latitude: Floats
    longitude: Floats
    speed_ms: Floats
    acceleration_ms2: Floats
    """Along the road; braking is negative."""
    lateral_ms2: Floats
    heading_deg: Floats
    """0 = north, 90 = east."""
    on_trip: Flags
    """Between departure and arrival, also while waiting at a light; the engine runs."""
    road: Ints
    """Number of the road at the site; that of the next or last trip while parked."""
    along_m: Floats
    """Distance from the road's first node."""
    forward: Flags
    """Whether it heads for the road's second node."""
    trip: Ints
    """Number of the trip in the vehicle's schedule."""
    link: Ints
    """Number of the link in the trip, from 0."""


@dataclass(frozen=True, slots=True)
class PeakAcceleration:
    """Hold the harshest that vehicles did within windows of time, m/s²; 0 where there was nothing of the kind."""

    braking_ms2: Floats
    lateral_ms2: Floats


class _Answer(NamedTuple):
    """Holds what was asked last, and found: trips, their rows, and seconds since their departures."""

    asked: tuple[Ints, Ints, Ints]
    cleared: int
    """As of the cache when it was found."""
    found: tuple[Ints, Ints, Floats]


_NOTHING = np.empty(0, dtype=np.int64)


class Vehicles:
    """The fleet of a world. Vehicle n of a site is the same whatever other vehicles there are."""

    def __init__(self, roads: Roads, planner: TripPlanner, cache: TripCache, vehicles: Mapping[int, Ints]) -> None:
        """`vehicles` are the numbers of the vehicles that there are at each site, which a camera there may count."""
        self._roads = roads
        self._planner = planner
        self._cache = cache
        count = sum(map(len, vehicles.values()))
        self._answer = _Answer((_NOTHING,) * 3, -1, (_NOTHING, _NOTHING, np.empty(0)))
        self.first_trip = planner.schedule.number_in_2000
        """The number of a trip in 2000, from which on they are told to users."""
        watched = cache if count <= _WATCHED_APART else TripCache(planner, roads, 0)
        self.passage_log = PassageLog(planner.schedule, watched, vehicles)
        """Who passed where."""

    def motion(self, sites: Ints, vehicles: Ints, times_ms: Ints) -> Motion:
        """Tell where these vehicles are and how they move."""
        cache = self._cache
        hours, rows, seconds = self._moment(sites, vehicles, times_ms)
        runs = self._runs(rows, seconds)
        sites, hours, rows = (column[runs.first] for column in (sites, hours, rows))
        seconds = seconds[runs.first]
        at = cache.link_at(rows, seconds)
        profile, turn = cache.profile(sites, at), cache.turns(sites, at)
        distance, speed, acceleration = profile.state_at(seconds - cache.begin_s(at))
        on_trip = (seconds >= 0) & (seconds < cache.duration_s(rows))
        link = cache.links(at)
        road, forward = link >> 1, (link & 1) == 0
        length = self._roads.length_m[sites, road]
        east, north, heading, bend = self._place(sites, rows, at, distance, turn)
        latitude, longitude = self._roads.latitude_longitude(sites, east, north)
        columns = (
            latitude, longitude, speed * on_trip, acceleration * on_trip, speed**2 * bend * on_trip, heading, on_trip,
            road, np.where(forward, distance, length - distance), forward, hours, at - cache.ends(rows)[0],
        )  # fmt: skip
        return Motion(*map(runs.spread, columns))

    def speeds_before(
        self, sites: Ints, vehicles: Ints, times_ms: Ints, moving: Motion, ago_ms: int
    ) -> tuple[Floats, Ints]:
        """Return how fast vehicles were so long before these instants, at which they move like this, and on which road.

        Of one that is asked after at regular intervals, that is mostly how it moved some rows before.
        """
        speed, road = np.empty_like(moving.speed_ms), np.empty_like(moving.road)
        earlier = times_ms - ago_ms
        # How many rows before is told by the first vehicle; those whose intervals are others are computed.
        firsts = Runs(sites, vehicles).first[1:2]
        own = times_ms[: firsts[0]] if len(firsts) else times_ms
        back = int(own.searchsorted(own[:1] + ago_ms).sum())
        known = np.zeros(len(times_ms), dtype=np.bool_)
        if 0 < back < len(times_ms):
            known[back:] = earlier[back:] == times_ms[:-back]
            for column in (sites, vehicles):
                known[back:] &= column[back:] == column[:-back]
            speed[back:], road[back:] = moving.speed_ms[:-back], moving.road[:-back]
        rest = np.flatnonzero(~known)
        speed[rest], road[rest] = self._speeds(sites[rest], vehicles[rest], earlier[rest])
        return speed, road

    def _speeds(self, sites: Ints, vehicles: Ints, times_ms: Ints) -> tuple[Floats, Ints]:
        """Return how fast these vehicles are, and on which road: a part of `motion`."""
        cache = self._cache
        _, rows, seconds = self._find_moment(sites, vehicles, times_ms)
        runs = self._runs(rows, seconds)
        sites, rows, seconds = sites[runs.first], rows[runs.first], seconds[runs.first]
        at = cache.link_at(rows, seconds)
        speed = cache.profile(sites, at).state_at(seconds - cache.begin_s(at))[1]
        on_trip = (seconds >= 0) & (seconds < cache.duration_s(rows))
        return runs.spread(speed * on_trip), runs.spread(cache.links(at) >> 1)

    def places(self, sites: Ints, vehicles: Ints, times_ms: Ints) -> tuple[Floats, Floats]:
        """Return how far east and north of their sites these vehicles are, in metres."""
        _, rows, seconds = self._moment(sites, vehicles, times_ms)
        cache = self._cache
        at = cache.link_at(rows, seconds)
        distance, _, _ = cache.profile(sites, at).state_at(seconds - cache.begin_s(at))
        return self._place(sites, rows, at, distance, cache.turns(sites, at))[:2]

    def peak_acceleration(self, sites: Ints, vehicles: Ints, times_ms: Ints, window_ms: Ints) -> PeakAcceleration:
        """Return the harshest braking and cornering in (time - window, time], within one trip."""
        cache = self._cache
        _, rows, seconds = self._moment(sites, vehicles, times_ms)
        since = seconds - window_ms / 1000
        braking, lateral = np.zeros(len(rows)), np.zeros(len(rows))
        # Who stands since before the window has done nothing in it.
        each = np.flatnonzero((seconds >= 0) & (since < cache.duration_s(rows) + _SURELY_S))
        sites, seconds, since = sites[each], seconds[each], since[each]
        at = cache.link_at(rows[each], seconds)
        first = cache.ends(rows[each])[0]
        while len(each):
            begin, turn, profile = cache.begin_s(at), cache.turns(sites, at), cache.profile(sites, at)
            up, cruise, down = profile.phases_s
            brakes, ends = begin + up + cruise, begin + up + cruise + down
            # Shorter than half a second is a touch of the pedal that no unit reports.
            slows = (brakes < seconds) & (ends > since) & (down > 0.5)
            harshest = np.where(slows, profile.braking_ms2(since - begin, seconds - begin), 0.0)
            braking[each] = np.maximum(braking[each], harshest)
            bend = curvature(np.abs(turn), self._corner(at, np.where(turn == 0, at, at + 1)))
            ends = ends + profile.tail_s
            turns = (ends <= seconds) & (ends > since)
            lateral[each] = np.maximum(lateral[each], np.where(turns, profile.leave_ms**2 * bend, 0.0))
            earlier = np.flatnonzero((begin > since) & (at > first))
            each, seconds, since, first = each[earlier], seconds[earlier], since[earlier], first[earlier]
            sites, at = sites[earlier], at[earlier] - 1
        return PeakAcceleration(braking, lateral)

    def last_trips(self, sites: Ints, vehicles: Ints, times_ms: Ints) -> tuple[Ints, Ints]:
        """Return number and departure (ms) of the last trip that each vehicle began, ten days ago if none since."""
        last = self.last_trip(sites, vehicles, times_ms)
        rows = self._cache.rows(sites, vehicles, last)
        depart_s = self._cache.depart_s(rows)
        after_ms = np.ceil(np.where(depart_s < NEVER_S, depart_s, 0) * 1000).astype(np.int64)
        return last, self._planner.schedule.begins_ms(sites, vehicles, last) + after_ms

    def last_trip(self, sites: Ints, vehicles: Ints, times_ms: Ints) -> Ints:
        """Return the number of the last trip that each vehicle began, ten days ago if none since."""
        hours, rows, seconds = self._moment(sites, vehicles, times_ms)
        last = hours.copy()
        waiting = np.flatnonzero(seconds < 0)
        if len(waiting):
            runs = Runs(*(column[waiting] for column in (sites, vehicles, hours)))
            first = waiting[runs.first]
            last[waiting] = runs.spread(self._last_driven(rows[first], sites[first], vehicles[first], hours[first]))
        return last

    def _last_driven(self, rows: Ints, sites: Ints, vehicles: Ints, trips: Ints) -> Ints:
        """Return the trips that were driven last before these; who stands is asked after with every reading."""
        schedule, found = self._planner.schedule, self._cache.last_driven(rows)
        missing = np.flatnonzero(found == UNKNOWN)
        if len(missing):
            asked = sites[missing], vehicles[missing], trips[missing]
            schedule.draw_ahead(*asked)
            each = zip(*(column.tolist() for column in asked), strict=True)
            found[missing] = [schedule.last_driven(*one) for one in each]
            self._cache.set_last_driven(rows[missing], found[missing])
        return found

    def passages(self, site: int, road: int, along_m: float, hour: int) -> Passages:
        """Return the vehicles of a site that passed a point of a road in an hour (since 1970), in the order of time."""
        point = self.passage_log.numbers(np.array([site]), np.array([road]), np.array([along_m]))
        return self.passage_log.at_point(int(point[0]), hour)

    def _moment(self, sites: Ints, vehicles: Ints, times_ms: Ints) -> tuple[Ints, Ints, Floats]:
        """Return each vehicle's trip, the row of it, and the seconds since its departure.

        The last answer is kept: where a vehicle is, and what it did since, is asked together.
        """
        asked, answer = (sites, vehicles, times_ms), self._answer
        if answer.cleared == self._cache.cleared and all(map(np.array_equal, asked, answer.asked)):
            return answer.found
        found = self._find_moment(*asked)
        self._answer = _Answer(asked, self._cache.cleared, found)
        return found

    def _find_moment(self, sites: Ints, vehicles: Ints, times_ms: Ints) -> tuple[Ints, Ints, Floats]:
        hours, within = self._planner.schedule.at(sites, vehicles, times_ms)
        rows = self._cache.rows(sites, vehicles, hours)
        return hours, rows, within / 1000 - self._cache.depart_s(rows)

    def _runs(self, rows: Ints, seconds: Floats) -> Runs:
        """Return the runs of moments of a trip between which nothing moves: before its departure, or after its end."""
        ended = seconds > self._cache.duration_s(rows) + _SURELY_S
        stands = np.where(ended, -2, np.where(seconds < 0, -1, np.arange(len(rows))))
        return Runs(rows, stands)

    def _place(
        self, sites: Ints, rows: Ints, at: Ints, distance: Floats, turn_after: Floats
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Return east, north (m from the site), heading and curvature. Bends are rounded on both sides of the node."""
        cache = self._cache
        first, last = cache.ends(rows)
        before, after = np.maximum(at - 1, first), np.minimum(at + 1, last)
        turn_before = np.where(at > first, cache.turns(sites, before), 0.0)
        link = cache.links(at)
        to_go = self._roads.length_m[sites, link >> 1] - distance
        corner_after, corner_before = self._corner(at, after), self._corner(before, at)
        leaving = (to_go < corner_after) & (turn_after != 0)
        entering = ~leaving & (distance < corner_before) & (turn_before != 0)
        corner = np.where(leaving, corner_after, corner_before)
        turn = np.where(leaving, turn_after, np.where(entering, turn_before, 0.0))
        # How much of the bend is done, 0 to 1; the node is half-route.
        done = np.where(leaving, 0.5 * (1 - to_go / corner), np.where(entering, 0.5 * (1 + distance / corner), 0.0))
        unit, start = self._direction(sites, link)
        other, _ = self._direction(sites, cache.links(np.where(leaving, after, np.where(entering, before, at))))
        # A quadratic Bezier curve with the node as its control point, as a shift from the straight line.
        shift = np.where(leaving, 1.0, -1.0) * corner * np.where(leaving, done, 1 - done) ** 2
        east, north = (start + unit * distance[:, None] + (other - unit) * shift[:, None]).T
        turned = turn * done**2 * (3 - 2 * done)
        angle = self._roads.heading_rad[sites, link] + np.where(leaving, turned, turned - turn)
        return east, north, within_turn(np.degrees(angle)), np.abs(turn) * 6 * done * (1 - done) / (2 * corner)

    def _direction(self, sites: Ints, links: Ints) -> tuple[Floats, Floats]:
        """Return the unit vector and starting point of links."""
        roads = self._roads
        road, back = links >> 1, (links & 1).astype(np.float64)[:, None]
        unit = roads.unit_xy[sites, road]
        length = roads.length_m[sites, road][:, None]
        return unit * (1 - 2 * back), roads.first_xy[sites, road] + unit * back * length

    def _corner(self, one: Ints, other: Ints) -> Floats:
        """Tell how far from the node between two links a bend reaches (m)."""
        kind = self._roads.plan.road_class
        reach = CORNER_M[kind[self._cache.links(one) >> 1]], CORNER_M[kind[self._cache.links(other) >> 1]]
        return np.asarray(np.minimum(*reach))
