"""The drivers of the fleet's vehicles: how and when each drives."""

import numpy as np

from devices.world.random import Flags, Floats, Hashes, Ints, hash_bits, uniform
from devices.world.runs import Runs
from devices.world.world import DAY_MS, HOUR_MS, SiteArrays, weekday

# Share of the fleet on day, late and night shift, when these begin and how long they last (h); by judgement.
_SHIFT_EDGES = np.array([0.62, 0.82])
_SHIFT_BEGINS = np.array([6.0, 13.0, 20.0])
_SHIFT_BEGIN_SPREAD_H, _SHIFT_LENGTH_H, _SHIFT_LENGTH_SPREAD_H = 3.0, 10.0, 3.0
_WORKS = np.array([0.96, 0.96, 0.96, 0.96, 0.96, 0.6, 0.4])
"""Chance that a driver works, Monday to Sunday."""
_DRIVES_ON_SHIFT, _DRIVES_OFF_SHIFT = 0.96, 0.1
_HURRY_CHANCE = 0.1


class Drivers:
    """The drivers of a world; driver n has vehicle n of the site, and does not depend on how many there are."""

    def __init__(self, seed: int, site_arrays: SiteArrays) -> None:
        self._seed = seed
        self._site_arrays = site_arrays

    def aggressiveness(self, sites: Ints, vehicles: Ints) -> Floats:
        """Tell how rashly each drives: 1 on average, gamma-distributed with shape 2.

        Event counts mixed over it are negative binomial, as claims and harsh events are (Entropy 23:829, 2021).
        """
        runs = Runs(sites, vehicles)
        sites, vehicles = sites[runs.first], vehicles[runs.first]
        first, second = (uniform(self._bits(f"driver/temper/{part}", sites, vehicles)) for part in (1, 2))
        return runs.spread(-0.5 * (np.log1p(-first) + np.log1p(-second)))

    def hour_begins_ms(self, sites: Ints, vehicles: Ints) -> Ints:
        """Tell when a vehicle's own hours begin after the full hour: else all would stand still at each full hour."""
        return (self._bits("driver/phase", sites, vehicles) % np.uint64(HOUR_MS)).astype(np.int64)

    def in_hurry(self, sites: Ints, vehicles: Ints, hours: Ints) -> Flags:
        """Tell whether the trip of an hour is driven in a hurry: a whole trip of elevated speed."""
        return np.asarray(uniform(self._bits("driver/hurry", sites, vehicles, hours)) < _HURRY_CHANCE)

    def drives(self, sites: Ints, vehicles: Ints, hours: Ints) -> Flags:
        """Tell whether a trip begins in a vehicle's hour (numbered from 1970 UTC)."""
        # The vehicle's hour begins between this full hour and the next.
        local = self._site_arrays.local_ms(sites, (hours + 1) * HOUR_MS)
        days, within = np.divmod(local, DAY_MS)
        shift = np.searchsorted(_SHIFT_EDGES, uniform(self._bits("driver/shift", sites, vehicles)), side="right")
        begin = _SHIFT_BEGINS[shift] + _SHIFT_BEGIN_SPREAD_H * uniform(self._bits("driver/begin", sites, vehicles))
        length = _SHIFT_LENGTH_H + _SHIFT_LENGTH_SPREAD_H * uniform(self._bits("driver/length", sites, vehicles))
        works = uniform(self._bits("driver/day", sites, vehicles, days)) < _WORKS[weekday(days)]
        on_shift = works & ((within / HOUR_MS - begin) % 24 < length)
        chance = np.where(on_shift, _DRIVES_ON_SHIFT, _DRIVES_OFF_SHIFT)
        return np.asarray(uniform(self._bits("driver/drives", sites, vehicles, hours)) < chance)

    def _bits(self, stream: str, sites: Ints, *counters: Ints) -> Hashes:
        return hash_bits(self._seed, stream, self._site_arrays.keys[sites], *counters)
