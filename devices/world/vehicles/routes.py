"""The routes of the fleet's vehicles lead from stop to stop over the roads of a site."""

import numpy as np

from devices.world.random import Flags, Floats, Hashes, Ints, extend, hash_bits, uniform
from devices.world.roads import STOPS, Plan
from devices.world.vehicles.drivers import Drivers
from devices.world.world import SiteArrays

# What a trip takes on free roads (s); traffic and stops may double it.
_TRIP_S = (1300.0, 2200.0)
_STOPS_BETWEEN = 9


class Routes:
    """The routes of all trips; a pure function of (seed, site, vehicle, hour)."""

    def __init__(self, seed: int, site_arrays: SiteArrays, plan: Plan, drivers: Drivers) -> None:
        self._seed = seed
        self._site_arrays = site_arrays
        self._plan = plan
        self._drivers = drivers

    def stop_at(self, sites: Ints, vehicles: Ints, hours: Ints) -> Ints:
        """Return the node at which a vehicle stands as an hour begins: anywhere between two trips, else its home."""
        between = self._drivers.drives(sites, vehicles, hours - 1) & self._drivers.drives(sites, vehicles, hours)
        on_tour = self._bits("trip/stop", sites, vehicles, hours)
        home = self._bits("vehicle/home", sites, vehicles)
        return STOPS[(np.where(between, on_tour, home) % np.uint64(len(STOPS))).astype(np.int64)]

    def find(self, sites: Ints, vehicles: Ints, hours: Ints, bits: Hashes) -> tuple[Ints, Flags]:
        """Return links in order, -1 after the last, and where the vehicle stops at the end of one.

        As many stops are visited on the way as the time wished for the trip allows, one at least.
        """
        start, goal = self.stop_at(sites, vehicles, hours), self.stop_at(sites, vehicles, hours + 1)
        number = (extend(bits[:, None], np.arange(2, 2 + _STOPS_BETWEEN)) % np.uint64(len(STOPS))).astype(np.int64)
        stops = STOPS[number]
        stops[:, 0] = np.where(stops[:, 0] == start, STOPS[(number[:, 0] + 1) % len(STOPS)], stops[:, 0])
        shortest, longest = _TRIP_S
        wished_s = shortest + (longest - shortest) * uniform(extend(bits, 0))
        return self.by_way_of(start, stops, goal, wished_s, at_least=1)

    def by_way_of(
        self, start: Ints, stops: Ints, goal: Ints, wished_s: Floats, at_least: int = 0
    ) -> tuple[Ints, Flags]:
        """Return the ways that lead from start to goal by as many of the stops [trip, stop] as the time allows."""
        plan, between = self._plan, stops.shape[1]
        points = np.concatenate([start[:, None], stops], axis=1)
        reached_s = np.cumsum(plan.seconds[points[:, :-1], points[:, 1:]], axis=1)
        total_s = reached_s + plan.seconds[stops, goal[:, None]]
        fits = total_s <= wished_s[:, None]
        visited = np.maximum(np.where(fits.any(axis=1), between - fits[:, ::-1].argmax(axis=1), at_least), at_least)
        leg = np.arange(between + 1)
        towards = np.concatenate([stops, goal[:, None]], axis=1)
        towards = np.where(leg == visited[:, None], goal[:, None], towards)
        return self._expand(points, np.where(leg <= visited[:, None], towards, points))

    def _expand(self, node: Ints, towards: Ints) -> tuple[Ints, Flags]:
        """Join the links of legs [trip, leg] to one sequence a trip, with a flag at the last link of each leg."""
        plan = self._plan
        steps: list[Ints] = []
        while True:
            link = plan.next_link[node, towards]
            if not (link >= 0).any():
                break
            steps.append(link)
            node = np.where(link >= 0, plan.link_to(link), node)
        trips = len(node)
        shape = (trips, node.shape[1], len(steps))
        taken = np.stack(steps, axis=2) if steps else np.full((*shape[:2], 1), -1)
        ends_leg = (taken >= 0) & ~np.pad(taken[..., 1:] >= 0, ((0, 0), (0, 0), (0, 1)))
        taken, ends_leg = taken.reshape(trips, -1), ends_leg.reshape(trips, -1)
        rows, columns = np.nonzero(taken >= 0)
        place = (np.cumsum(taken >= 0, axis=1) - 1)[rows, columns]
        links = np.full((trips, place.max(initial=0) + 1), -1, dtype=np.int64)
        stops = np.zeros(links.shape, dtype=np.bool_)
        links[rows, place] = taken[rows, columns]
        stops[rows, place] = ends_leg[rows, columns]
        return links, stops

    def _bits(self, stream: str, sites: Ints, *counters: Ints) -> Hashes:
        return hash_bits(self._seed, stream, self._site_arrays.keys[sites], *counters)
