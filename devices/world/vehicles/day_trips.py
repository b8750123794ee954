"""The trips of vehicles that are driven as people do: by the plans of their days, without jolts, within reason."""

from dataclasses import replace

import numpy as np

from devices.world.random import Flags, Floats, Hashes, Ints, extend, normal, uniform
from devices.world.rare_days import RareDays
from devices.world.roads import CLASSES, KMH, STOPS, TOWN_NODES, Roads
from devices.world.traffic import Traffic
from devices.world.vehicles.day_plans import DayPlans
from devices.world.vehicles.drivers import Drivers
from devices.world.vehicles.kinematics import SpeedProfile
from devices.world.vehicles.smooth_profile import PEAK, SmoothProfile
from devices.world.vehicles.trips import RouteBatch, TripPlanner, corner_m, curvature, total
from devices.world.vehicles.working_days import DUTIES
from devices.world.weather import Atmosphere
from devices.world.world import VEHICLE_USES, SiteArrays, World

_WAYPOINTS = 14
# Turning round on the way, and parking (s).
_TURN_ROUND_S, _PARK_S = (3.0, 12.0), (2.0, 15.0)
_RED_CHANCE, _RED_S, _QUEUE = 0.3, (3.0, 40.0), 1.5
_SPREAD = np.array([kind.deviation_kmh / kind.free_kmh for kind in CLASSES])
_FREE_MS = np.array([kind.free_kmh * KMH for kind in CLASSES])
# Speeds beside those of the road, in its standard deviations: by temper, by the moment, in a hurry. They end, so that
# speeds have the thin tail of counts at roadsides (DfT 2022: 11 % are faster than the limit and 10 mph on motorways).
_TEMPER_ENDS, _MOMENT, _MOMENT_ENDS, _FASTEST = (-1.0, 1.7), 0.6, 2.0, 4.0
# Greatest accelerations (m/s²). Comfortable: lognormal, median and sigma, and ends (by judgement: 3.0 is
# comfortable, and drivers begin to call a braking hard at 3.4). Rash ones begin at the thresholds that makers set,
# 0.28 g and 0.35 g, and fall off exponentially, as the excess over a high threshold does (Pickands 1975); so few, by
# judgement.
_BRAKING_MS2, _SPEEDING_UP_MS2, _CORNERING_MS2 = (1.15, 0.5), (1.0, 0.5), (1.6, 0.28)
_LEAST_MS2, _COMFORTABLE_MS2, _COMFORTABLE_CORNER_MS2 = 0.3, 2.7, 3.2
_HARD_MS2, _HARD_EXCESS_MS2, _HARDEST_MS2 = 2.76, 0.55, 7.5
_SHARP_MS2, _SHARP_EXCESS_MS2, _SHARPEST_MS2 = 3.45, 0.18, 3.98
_RASH_CHANCE = 0.03
_STRAIGHT_RAD = 0.15
# In a jam a late driver gets on faster than the others: so many tries, each by a little more than is just enough.
_HASTES, _MORE_HASTE = 12, 1.02
_HALT_S = np.array([DUTIES[use].halt_s if use in DUTIES else (0.0, 0.0) for use in VEHICLE_USES])
# The speed swings while cruising: by 5 % on an empty road, by 30 % where traffic moves in waves.
_SWING, _WAVES, _WAVES_FROM, _SWING_S = 0.05, 0.6, 0.15, (12.0, 34.0)


class DayTripPlanner(TripPlanner):
    """Plan trips, any number at once: those of `DayPlans`, driven smoothly."""

    profile = SmoothProfile

    def __init__(
        self,
        world: World,
        site_arrays: SiteArrays,
        roads: Roads,
        traffic: Traffic,
        atmosphere: Atmosphere,
        drivers: Drivers,
        rare_days: RareDays | None = None,
    ) -> None:
        """Without `rare_days` neither snow nor an event changes the days."""
        self._plans = DayPlans(world, site_arrays, roads.plan, rare_days)
        super().__init__(
            world.seed, site_arrays, roads, traffic, atmosphere.weather, drivers, self._plans, world.speed_boost
        )

    def _find(self, sites: Ints, vehicles: Ints, hours: Ints, bits: Hashes) -> tuple[Ints, Flags]:
        """Return links in order, -1 after the last, and where the vehicle halts or turns round at the end of one.

        The way is the fastest, or leads by other places where it is wished to take longer.
        """
        start, goal, wished = self._plans.route_ends(sites, vehicles, hours)
        # A vehicle that stands, stands where some way begins.
        goal = np.where(goal == start, np.where(start == 0, 1, 0), goal)
        number = (extend(bits[:, None], np.arange(2, 2 + _WAYPOINTS)) % np.uint64(len(STOPS))).astype(np.int64)
        calls = self._halt_s(sites, vehicles)[0] > 0
        # Who has to call at several places has them near each other.
        by_way_of = np.where(calls[:, None], TOWN_NODES[number % len(TOWN_NODES)], STOPS[number])
        links, ends = self._routes.by_way_of(start, by_way_of, goal, wished)
        halts = ends & calls[:, None]
        halts[:, :-1] |= (links[:, 1:] >= 0) & (links[:, 1:] == links[:, :-1] ^ 1)
        return links, halts

    def _halt_s(self, sites: Ints, vehicles: Ints) -> tuple[Floats, Floats]:
        """Return median and sigma of how long vehicles halt on the way, lognormal, with the engine idling; or zeros."""
        median, sigma = _HALT_S[self._plans.uses.of(sites, vehicles)].T
        return median, sigma

    def _departures(self, sites: Ints, vehicles: Ints, hours: Ints, bits: Hashes) -> tuple[Floats, Floats]:
        """Return no delay: the times of trips begin with their departures; and what time there is till the next."""
        return np.zeros(len(sites)), self._plans.available_s(sites, vehicles, hours)

    def _in_haste(
        self, route: RouteBatch, hurry: Floats, profile: SpeedProfile, available_s: Floats
    ) -> tuple[RouteBatch, SpeedProfile, Floats]:
        """Return routes, rides and how long these take (s), with those hastened that would be late: few, in jams.

        Speeds are raised up to those of a free road, so that bends and brakings are none but those of all drivers.
        """
        driving_s = route.driving_s(profile)
        for _ in range(_HASTES):
            lateness = total(driving_s) / available_s
            rows = np.flatnonzero(lateness > 1)
            if not len(rows):
                break
            haste = route.haste.copy()
            haste[rows] *= _MORE_HASTE * lateness[rows]
            route = replace(route, haste=haste)
            some = route.take(rows)
            hastened = self._speed_profile(some, hurry[rows])[0]
            profile = profile.replaced(rows, hastened)
            driving_s[rows] = some.driving_s(hastened)
        return route, profile, driving_s

    def _speed_profile(self, route: RouteBatch, hurry: Floats) -> tuple[SpeedProfile, Floats, Floats]:
        """Tell how each link is driven, how long is waited at its end, and by how much the vehicle turns there."""
        sites, vehicles, links, halts = route.sites, route.vehicles, route.links, route.halts
        temper = self.drivers.aggressiveness(sites, vehicles)[:, None]
        roads, plan = self._roads, self._roads.plan
        road = links >> 1
        kind = plan.road_class[road]
        bits = extend(route.bits[:, None], np.arange(100, 100 + links.shape[1]))
        speed, density, wet = self._surroundings(sites, self.schedule.hours(sites, vehicles, route.hours), road)
        moment = _MOMENT * np.clip(normal(extend(bits, 1)), -_MOMENT_ENDS, _MOMENT_ENDS)
        usual = np.clip(temper - 1, *_TEMPER_ENDS) + moment
        spread = _SPREAD[kind] * (1 - density)
        speed = np.minimum(speed * route.haste[:, None], _FREE_MS[kind])
        wished = np.maximum(speed * (1 + spread * np.minimum(usual + hurry, _FASTEST)), 2.5)
        # Who is not in a hurry yet enters the next link no faster for that he will be.
        shy = np.minimum(hurry, np.concatenate([hurry[:, :1], hurry[:, :-1]], axis=1))
        following = np.maximum(speed * (1 + spread * np.minimum(usual + shy, _FASTEST)), 2.5)
        following = np.concatenate([following[:, 1:], following[:, -1:]], axis=1)
        turn = self._turns(sites, links) * ~halts
        rash = np.minimum(_RASH_CHANCE * temper * (1 + hurry), 0.3) * (1 + density + wet[:, None])
        bend = np.abs(turn)
        corner = corner_m(kind)
        sideways = _drawn(_CORNERING_MS2, _COMFORTABLE_CORNER_MS2, extend(bits, 9))
        # What is hardly a bend nobody slows down for, unless it were felt.
        sideways = np.where(bend < _STRAIGHT_RAD, _COMFORTABLE_CORNER_MS2, sideways)
        sharp = np.minimum(_SHARP_MS2 - _SHARP_EXCESS_MS2 * np.log1p(-uniform(extend(bits, 11))), _SHARPEST_MS2)
        sideways = np.where(uniform(extend(bits, 10)) < rash, sharp, sideways)
        turning = np.sqrt(sideways / np.maximum(curvature(bend, corner), 1e-9))
        leave = np.minimum(np.minimum(wished, following), turning)
        town = np.isin(plan.link_to(links), TOWN_NODES)
        red = town & (uniform(extend(bits, 2)) < _RED_CHANCE * (0.8 + density))
        leave = np.where(halts | red, 0.0, leave)
        last = route.valid & ~np.pad(route.valid[:, 1:], ((0, 0), (0, 1)))
        wait = np.where(red, _between(_RED_S, extend(bits, 3)) * (1 + _QUEUE * density), 0.0)
        stop = np.where(last, _between(_PARK_S, extend(bits, 4)), _between(_TURN_ROUND_S, extend(bits, 4)))
        median, sigma = (each[:, None] for each in self._halt_s(sites, vehicles))
        call = median * np.exp(sigma * np.clip(normal(extend(bits, 14)), -2.5, 2.5))
        wait = np.where(halts, np.where(last, stop, np.maximum(stop, call)), wait) * route.valid
        down = _drawn(_BRAKING_MS2, _COMFORTABLE_MS2, extend(bits, 5))
        hard = np.minimum(_HARD_MS2 - _HARD_EXCESS_MS2 * np.log1p(-uniform(extend(bits, 7))), _HARDEST_MS2)
        down = np.where(uniform(extend(bits, 6)) < rash, hard, down)
        up = _drawn(_SPEEDING_UP_MS2, _COMFORTABLE_MS2, extend(bits, 8))
        nothing = np.zeros((len(sites), 1))
        enter = np.concatenate([nothing, leave[:, :-1]], axis=1)
        tail = np.where((bend > 0) & (leave > 0), corner, 0.0)
        lead = np.concatenate([nothing, tail[:, :-1]], axis=1)
        waves = np.maximum(_SWING, _WAVES * (density - _WAVES_FROM))
        swing = np.minimum(waves, 0.35) * (0.5 + uniform(extend(bits, 12))), _between(_SWING_S, extend(bits, 13))
        length = roads.length_m[sites[:, None], road]
        profile = SmoothProfile.between_bends(
            length, (enter, wished, leave), up / PEAK, down / PEAK, (lead, tail), swing
        )
        return profile, wait, turn


def _drawn(kind: tuple[float, float], most: float, bits: Hashes) -> Floats:
    median, sigma = kind
    drawn = median * np.exp(sigma * normal(bits))
    # What would be above is as far below the limit: there is no heap at it.
    return np.maximum(np.where(drawn > most, most**2 / drawn, drawn), _LEAST_MS2)


def _between(bounds: tuple[float, float], bits: Hashes) -> Floats:
    low, high = bounds
    return low + (high - low) * uniform(bits)
