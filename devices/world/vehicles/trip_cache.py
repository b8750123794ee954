"""Trips that are being driven are kept, so that each is planned once, and laid out for looking up moments in many."""

from dataclasses import fields

import numpy as np

from devices.world.random import Floats, Ints, hash_bits
from devices.world.runs import Runs
from devices.world.vehicles.growing_table import GrowingTable
from devices.world.vehicles.kinematics import SpeedProfile
from devices.world.vehicles.trips import TripPlanner

# Bits of a key: site above, vehicle, hour below.
_HOUR_BITS, _VEHICLE_BITS = 23, 22
# Trips that are kept: three a vehicle, as readings ask for the trip of the hour and of the one before, and forgetting
# comes in between. A trip has 13 links on average and takes 1.2 KB, twice that after the room was doubled: 10 MB for up
# to 1,400 vehicles, 500 MB from 70,000 on. Beyond 100,000 vehicles in one process each trip is planned more than once;
# divide them into shards.
_FEWEST_KEPT, _KEPT_BY_VEHICLE, _MOST_KEPT = 4_096, 3, 200_000


class TripCache:
    """Planned trips. A trip is known by its row, a link of a trip by its index; a trip's links follow one another.

    Rows and indices are valid until a call of `rows` forgets all trips.
    """

    def __init__(self, planner: TripPlanner, vehicles: int, fewest_kept: int = _FEWEST_KEPT) -> None:
        """`vehicles` is how many there are; `fewest_kept` trips are kept even where they are few."""
        self._kept = min(max(fewest_kept, _KEPT_BY_VEHICLE * vehicles), _MOST_KEPT)
        self._planner = planner
        # Room for one trip on the common time axis, and where it ends for looking up.
        self._end_s = planner.schedule.longest_s
        self._span_s = 2 * self._end_s
        self._rows: dict[int, int] = {}
        self.cleared = 0
        """How often all was forgotten; rows are valid until it changes."""
        self._times = GrowingTable(2, np.float64)
        self._ends = GrowingTable(2, np.int64)
        self._links = GrowingTable(1, np.int64)
        self._profiles = GrowingTable(3 + len(fields(planner.profile)), np.float64)

    def __len__(self) -> int:
        """Count the trips that are kept."""
        return len(self._rows)

    def rows(self, sites: Ints, vehicles: Ints, hours: Ints) -> Ints:
        """Return the row of the trip of each vehicle in each hour, planned if it was not yet."""
        runs = Runs(sites, vehicles, hours)
        each = runs.first
        keys, first, position = np.unique(
            _keys(sites[each], vehicles[each], hours[each]), return_index=True, return_inverse=True
        )
        wanted = keys.tolist()
        known = self._rows
        missing = [number for number, key in enumerate(wanted) if key not in known]
        if missing:
            if len(known) + len(missing) > self._kept:
                self._clear()
                missing = list(range(len(wanted)))
            at = each[first[missing]]
            self._add([wanted[number] for number in missing], sites[at], vehicles[at], hours[at])
        return runs.spread(np.array([known[key] for key in wanted], dtype=np.int64)[position])

    def depart_s(self, rows: Ints) -> Floats:
        """Return the departure after the beginning of the vehicle's hour."""
        return np.asarray(self._times.values[rows, 0])

    def duration_s(self, rows: Ints) -> Floats:
        """Return the time from departure to the end of the last stop."""
        return np.asarray(self._times.values[rows, 1])

    def ends(self, rows: Ints) -> tuple[Ints, Ints]:
        """Return the indices of the first and the last link."""
        first, last = self._ends.values.take(rows, axis=0).T
        return first, last

    def link_at(self, rows: Ints, seconds: Floats) -> Ints:
        """Return the index of the link of each trip this long after departure: the first before, the last after it."""
        axis = rows * self._span_s + np.clip(seconds, 0, self._end_s)
        return np.asarray(np.searchsorted(self._profiles.values[:, 0], axis, side="right") - 1)

    def links(self, at: Ints) -> Ints:
        """Return the links of the road plan behind indices."""
        return np.asarray(self._links.values[at, 0])

    def profiles(self, at: Ints) -> tuple[Floats, Floats, SpeedProfile]:
        """Tell when links are entered (s after departure), the turn at their end (rad), and how they are driven."""
        columns = self._profiles.values.take(at, axis=0).T
        return columns[1], columns[2], self._planner.profile(*columns[3:])

    def _add(self, keys: list[int], sites: Ints, vehicles: Ints, hours: Ints) -> None:
        batch = self._planner.plan(sites, vehicles, hours)
        first_row = len(self._times)
        # A trip that is not driven keeps one link, to stand at.
        count = np.maximum(batch.count, 1)
        taken = np.arange(batch.links.shape[1]) < count[:, None]
        row = np.repeat(np.arange(first_row, first_row + len(keys)), count)
        last = len(self._links) + np.cumsum(count) - 1
        begin = batch.begin_s[:, :-1][taken]
        profile = batch.profile.take(taken)
        self._times.extend(np.stack([batch.depart_s, batch.begin_s[:, -1]], axis=1))
        self._ends.extend(np.stack([last - count + 1, last], axis=1))
        self._links.extend(batch.links[taken][:, None])
        self._profiles.extend(
            np.stack([row * self._span_s + begin, begin, batch.turn_rad[taken], *profile.columns()], axis=1)
        )
        self._rows.update(zip(keys, range(first_row, first_row + len(keys)), strict=True))

    def _clear(self) -> None:
        self._rows.clear()
        self.cleared += 1
        for table in (self._times, self._ends, self._links, self._profiles):
            table.clear()


def _keys(sites: Ints, vehicles: Ints, hours: Ints) -> Ints:
    """Return the key of each trip; of a vehicle whose number has too many bits it is a hash, below 0."""
    keys = (((sites << _VEHICLE_BITS) + vehicles) << _HOUR_BITS) + hours
    large = np.flatnonzero(vehicles >> _VEHICLE_BITS)
    if len(large):
        bits = hash_bits(0, "trip", sites[large], vehicles[large], hours[large]) | np.uint64(1 << 63)
        keys[large] = bits.view(np.int64)
    return np.asarray(keys)
