"""Trips that are being driven are kept, so that each is planned once, and laid out for looking up moments in many."""

import numpy as np

from devices.world.random import Floats, Ints, hash_bits
from devices.world.roads import CORNER_M, Roads
from devices.world.runs import Runs
from devices.world.vehicles.growing_table import GrowingTable
from devices.world.vehicles.kinematics import SpeedProfile
from devices.world.vehicles.row_index import UNKNOWN, RowIndex, ranges
from devices.world.vehicles.trips import TripPlanner

# Bits of a key: site above, vehicle, hour below.
_HOUR_BITS, _VEHICLE_BITS = 23, 22
# Trips that are kept: one a vehicle, the one that it is on, and some more, as forgetting comes in strokes. A trip has
# six links on average and takes 400 bytes. Beyond 160,000 vehicles in one process each is planned more than once;
# divide them into shards.
_FEWEST_KEPT, _SPARE, _MOST_KEPT = 2_048, 0.25, 200_000
# Bits of what is kept of a link: its number, whether it is a trip's first, and whether it leads on without a turn.
_LINK, _FIRST, _STRAIGHT = 0x7FF, 0x800, 0x1000
_LEAVE = 2
"""Column of the speed at a link's end, behind its beginning and the cruising speed."""


class TripCache:
    """Planned trips. A trip is known by its row, a link of a trip by its index; a trip's links follow one another.

    Rows and indices are valid until a call of `rows` forgets some. What follows from the roads is not kept, nor what
    a link has in common with the one before.
    """

    def __init__(self, planner: TripPlanner, roads: Roads, vehicles: int, fewest_kept: int = _FEWEST_KEPT) -> None:
        """`vehicles` is how many there are; `fewest_kept` trips are kept even where they are few."""
        self._kept = min(max(fewest_kept, round((1 + _SPARE) * vehicles)), _MOST_KEPT)
        self._planner = planner
        self._roads = roads
        self._corner_m = CORNER_M[roads.plan.road_class]
        # Room for one trip on the common time axis, and where it ends for looking up.
        self._end_s = planner.schedule.longest_s
        self._span_s = 2 * self._end_s
        self._index = RowIndex()
        self.cleared = 0
        """How often some were forgotten; rows are valid until it changes."""
        self._times = GrowingTable(2, np.float64)
        self._ends = GrowingTable(2, np.int32)
        self._last_driven = GrowingTable(1, np.int64)
        self._links = GrowingTable(1, np.int16)
        self._rides = GrowingTable(1 + planner.profile.OWN_COLUMNS, np.float64)

    def __len__(self) -> int:
        """Count the trips that are kept."""
        return len(self._index)

    def rows(self, sites: Ints, vehicles: Ints, hours: Ints) -> Ints:
        """Return the row of the trip of each vehicle in each hour, planned if it was not yet."""
        runs = Runs(sites, vehicles, hours)
        each = runs.first
        keys, first, position = np.unique(
            _keys(sites[each], vehicles[each], hours[each]), return_index=True, return_inverse=True
        )
        found = self._index.find(keys)
        missing = np.flatnonzero(found == UNKNOWN)
        if len(missing):
            if len(self) + len(missing) > self._kept:
                self._forget(found[found != UNKNOWN], self._kept - len(missing))
                found = self._index.find(keys)
                missing = np.flatnonzero(found == UNKNOWN)
            at = each[first[missing]]
            found[missing] = self._add(keys[missing], sites[at], vehicles[at], hours[at])
        return runs.spread(found[position])

    def depart_s(self, rows: Ints) -> Floats:
        """Return the departure after the beginning of the vehicle's hour."""
        return np.asarray(self._times.values[rows, 0])

    def duration_s(self, rows: Ints) -> Floats:
        """Return the time from departure to the end of the last stop."""
        return np.asarray(self._times.values[rows, 1])

    def last_driven(self, rows: Ints) -> Ints:
        """Return the trip that the vehicle drove last before each of these, `UNKNOWN` where nobody has said so."""
        return np.asarray(self._last_driven.values[rows, 0])

    def set_last_driven(self, rows: Ints, trips: Ints) -> None:
        """Keep which trips vehicles drove last before these."""
        self._last_driven.values[rows, 0] = trips

    def ends(self, rows: Ints) -> tuple[Ints, Ints]:
        """Return the indices of the first and the last link."""
        first, last = self._ends.values.take(rows, axis=0).T.astype(np.int64)
        return first, last

    def link_at(self, rows: Ints, seconds: Floats) -> Ints:
        """Return the index of the link of each trip this long after departure: the first before, the last after it."""
        runs = Runs(rows)
        first, last = self.ends(rows[runs.first])
        at, which = ranges(first, last)
        axis = which * self._span_s + self._rides.values[at, 0]
        wanted = runs.spread(np.arange(len(first))) * self._span_s + np.clip(seconds, 0, self._end_s)
        return np.asarray(at[axis.searchsorted(wanted, side="right") - 1])

    def links(self, at: Ints) -> Ints:
        """Return the links of the road plan behind indices."""
        return np.asarray(self._links.values[at, 0].astype(np.int64) & _LINK)

    def turns(self, sites: Ints, at: Ints) -> Floats:
        """Return the change of heading (rad) at the end of links of these sites."""
        kept = self._links.values[:, 0]
        link, following = kept[at], kept.take(at + 1, mode="clip")
        heading = self._roads.heading_rad
        turn = heading[sites, following & _LINK] - heading[sites, link & _LINK]
        return np.where(link & _STRAIGHT, 0.0, (turn + np.pi) % (2 * np.pi) - np.pi)

    def begin_s(self, at: Ints) -> Floats:
        """Tell when links are entered, in seconds after departure."""
        return np.asarray(self._rides.values[at, 0])

    def profile(self, sites: Ints, at: Ints) -> SpeedProfile:
        """Tell how links of these sites are driven."""
        kept, before = self._links.values[:, 0], np.maximum(at - 1, 0)
        link, behind, following = kept[at], kept[before], kept.take(at + 1, mode="clip")
        own = self._rides.values.take(at, axis=0).T
        enter = np.where(link & _FIRST, 0.0, self._rides.values[before, _LEAVE])
        roads = link & _LINK, behind & _LINK, following & _LINK
        corner, corner_behind, corner_following = (self._corner_m[road >> 1] for road in roads)
        # A bend that is not driven through in one go has no part of the link.
        lead = np.where((behind & _STRAIGHT == 0) & (enter > 0), np.minimum(corner, corner_behind), 0.0)
        tail = np.where((link & _STRAIGHT == 0) & (own[_LEAVE] > 0), np.minimum(corner, corner_following), 0.0)
        return self._planner.profile.along(self._roads.length_m[sites, roads[0] >> 1], enter, (lead, tail), own[1:])

    def _add(self, keys: Ints, sites: Ints, vehicles: Ints, hours: Ints) -> Ints:
        """Plan trips, whose keys ascend, and return their rows."""
        batch = self._planner.plan(sites, vehicles, hours)
        first_row = len(self._times)
        # A trip that is not driven keeps one link, to stand at.
        count = np.maximum(batch.count, 1)
        taken = np.arange(batch.links.shape[1]) < count[:, None]
        last = len(self._links) + np.cumsum(count) - 1
        links = batch.links.astype(np.int16)
        links[:, 0] |= _FIRST
        links[batch.turn_rad == 0] |= _STRAIGHT
        self._times.extend(np.stack([batch.depart_s, batch.begin_s[:, -1]], axis=1))
        self._ends.extend(np.stack([last - count + 1, last], axis=1))
        self._last_driven.extend(np.full((len(keys), 1), UNKNOWN))
        self._links.extend(links[taken][:, None])
        own = batch.profile.take(taken).own_columns()
        self._rides.extend(np.stack([batch.begin_s[:, :-1][taken], *own], axis=1))
        self._index.add(keys, first_row)
        return np.arange(first_row, first_row + len(keys))

    def _forget(self, needed: Ints, room: int) -> None:
        """Forget the trips that were planned first, without those needed, so that few are forgotten often.

        There is `room` for what stays; where it does not suffice, all are forgotten.
        """
        stays = np.zeros(len(self), dtype=np.bool_)
        if len(needed) <= room:
            newest = round(room / (1 + _SPARE)) - len(needed)
            stays[len(stays) - max(newest, 0) :] = True
            stays[needed] = True
        rows = np.flatnonzero(stays)
        first, last = self.ends(rows)
        self._index.keep(stays)
        for table in (self._times, self._last_driven):
            table.keep(rows)
        for table in (self._links, self._rides):
            table.keep(ranges(first, last)[0])
        count = last - first + 1
        ends = np.cumsum(count) - 1
        self._ends.clear()
        self._ends.extend(np.stack([ends - count + 1, ends], axis=1))
        self.cleared += 1


def _keys(sites: Ints, vehicles: Ints, hours: Ints) -> Ints:
    """Return the key of each trip; of a vehicle whose number has too many bits it is a hash, below 0."""
    keys = (((sites << _VEHICLE_BITS) + vehicles) << _HOUR_BITS) + hours
    large = np.flatnonzero(vehicles >> _VEHICLE_BITS)
    if len(large):
        bits = hash_bits(0, "trip", sites[large], vehicles[large], hours[large]) | np.uint64(1 << 63)
        keys[large] = bits.view(np.int64)
    return np.asarray(keys)
