"""The trips of the fleet's vehicles: every hour of a vehicle in which it drives has one, planned as a whole.

A trip goes from stop to stop over the roads of its site and ends where the next one begins. How fast it goes is up to
the road, the traffic, the weather and the driver; how it brakes and turns, too. A trip is a pure function of (seed,
site, vehicle, hour), so any moment of it can be had without the hours before.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from devices.world.random import Flags, Floats, Hashes, Ints, extend, hash_bits, normal, uniform
from devices.world.roads import CLASSES, CORNER_M, TOWN_NODES, Roads
from devices.world.traffic import Traffic
from devices.world.vehicles.drivers import Drivers
from devices.world.vehicles.kinematics import SpeedProfile
from devices.world.vehicles.routes import Routes
from devices.world.vehicles.schedule import TripSchedule
from devices.world.weather import Weather
from devices.world.world import HOUR_MS, SiteArrays, SpeedBoost

NEVER_S = 1e7
"""After the end of any trip's time: when a vehicle departs that does not drive."""

# Departure after the hour's beginning (s).
_DEPART_S = (15.0, 240.0)
_LATEST_S = 3590.0
_STOP_S = (30.0, 120.0)
_RED_CHANCE, _RED_S = 0.32, (4.0, 45.0)
# Relative spread of free speeds by class of road.
_SPREAD = np.array([kind.deviation_kmh / kind.free_kmh for kind in CLASSES])
# How much faster a hurried trip is wished to be, in standard deviations of the road's speeds; by judgement.
_HURRY = 2.0
_SPEED_UP_MS2, _SLOW_DOWN_MS2, _TURN_MS2 = (1.0, 1.5), (1.3, 2.1), (1.4, 2.5)
# Thresholds of harsh events are 2.7 to 4.4 m/s2 for braking and 3.4 to 5.5 for corners (Teltonika, Digital Matter).
_HARD_MS2, _SHARP_MS2 = (3.2, 6.2), (3.6, 5.4)
# Chance that a braking or a turn of a driver of aggressiveness 1 is a harsh one; no trustworthy rate was found.
_HARSH_CHANCE = 0.07
_SHARPEST_TURN_RAD, _STRAIGHT_RAD = 2.6, 0.15


@dataclass(frozen=True, slots=True)
class TripBatch:
    """Trips, one a row; [trip, link] arrays are padded after `count` links."""

    depart_s: Floats
    """After the beginning of the hour; `NEVER_S` where no trip begins."""
    count: Ints
    links: Ints
    begin_s: Floats
    """When each link is entered, seconds after departure; after the last link when the trip ends."""
    turn_rad: Floats
    """Change of heading at the end of each link; 0 at the end of the trip and at stops."""
    profile: SpeedProfile


@dataclass(frozen=True, slots=True)
class RouteBatch:
    """Hold where trips lead; one a row, as in `TripBatch`."""

    sites: Ints
    vehicles: Ints
    hours: Ints
    bits: Hashes
    links: Ints
    halts: Flags
    """Where the vehicle stops for a while at the end of a link."""
    valid: Flags
    haste: Floats
    """By how much faster than the others a vehicle gets on that would be late: 1 or more."""

    def take(self, rows: Ints) -> "RouteBatch":
        """Return some of the routes."""
        return RouteBatch(*(getattr(self, field.name)[rows] for field in fields(self)))

    def driving_s(self, profile: SpeedProfile) -> Floats:
        """Return how long each link takes to drive; 0 after the last."""
        return np.where(self.valid, profile.duration_s, 0.0)


class TripPlanner:
    """Plan trips, any number at once: one an hour, with steady accelerations."""

    profile: type[SpeedProfile] = SpeedProfile
    """How links are driven."""

    def __init__(
        self,
        seed: int,
        site_arrays: SiteArrays,
        roads: Roads,
        traffic: Traffic,
        weather: Callable[[Ints, Ints], Weather],
        drivers: Drivers,
        schedule: TripSchedule,
        speed_boost: SpeedBoost | None = None,
    ) -> None:
        self._seed = seed
        self._site_arrays = site_arrays
        self._roads = roads
        self._traffic = traffic
        self._weather = weather
        self.drivers = drivers
        self.schedule = schedule
        self._speed_boost = speed_boost
        self._routes = Routes(seed, site_arrays, roads.plan, drivers)

    def plan(self, sites: Ints, vehicles: Ints, hours: Ints) -> TripBatch:
        """Return the trips that these vehicles begin in these hours of theirs (`Drivers.hour_begins_ms`)."""
        bits = self._bits("trip", sites, vehicles, hours)
        drives = self.schedule.drives(sites, vehicles, hours)
        links, stops = self._find(sites, vehicles, hours, bits)
        valid = links >= 0
        # A parked vehicle stands at the beginning of the link it would take.
        valid &= drives[:, None]
        links = np.where(valid, links, np.where(links[:, :1] >= 0, links[:, :1], 0))
        last = valid & ~np.pad(valid[:, 1:], ((0, 0), (0, 1)))
        halts = (stops & valid) | last
        route = RouteBatch(sites, vehicles, hours, bits, links, halts, valid, np.ones(len(sites)))
        hurry = np.where(self.drivers.in_hurry(sites, vehicles, hours), _HURRY, 0.0)
        profile, wait_s, turn = self._speed_profile(route, hurry[:, None])
        depart, available_s = self._departures(sites, vehicles, hours, bits)
        route, profile, driving_s = self._in_haste(route, hurry[:, None], profile, available_s)
        wait_s, pace = _in_time(driving_s, wait_s, available_s)
        if (pace > 1).any():
            profile = profile.sped_up(pace)
            driving_s = route.driving_s(profile)
        depart = np.where(drives, depart, NEVER_S)
        spent = driving_s + np.where(valid, wait_s, 0.0)
        begin = np.concatenate([np.zeros((len(sites), 1)), np.cumsum(spent, axis=1)], axis=1)
        if self._speed_boost is not None:
            profile, begin = self._in_burst(self._speed_boost, route, hurry, pace, depart, begin, profile)
        return TripBatch(depart, valid.sum(axis=1), links, begin, turn, profile)

    def _find(self, sites: Ints, vehicles: Ints, hours: Ints, bits: Hashes) -> tuple[Ints, Flags]:
        """Return links in order, -1 after the last, and where the vehicle stops at the end of one."""
        return self._routes.find(sites, vehicles, hours, bits)

    def _departures(self, sites: Ints, vehicles: Ints, hours: Ints, bits: Hashes) -> tuple[Floats, Floats]:
        """Return departures after the beginning of the trips' times (s), and how long the trips may take."""
        depart = _between(_DEPART_S, extend(bits, 1))
        return depart, _LATEST_S - depart

    def _in_haste(
        self, route: RouteBatch, _hurry: Floats, profile: SpeedProfile, _available_s: Floats
    ) -> tuple[RouteBatch, SpeedProfile, Floats]:
        """Return routes, rides and how long these take (s); here nobody who is late gains time by himself."""
        return route, profile, route.driving_s(profile)

    def _in_burst(
        self,
        speed_boost: SpeedBoost,
        route: RouteBatch,
        hurry: Floats,
        pace: Floats,
        depart: Floats,
        begin: Floats,
        profile: SpeedProfile,
    ) -> tuple[SpeedProfile, Floats]:
        """Return the trips with those links sped up that lie, with the stop they lead to, in a burst of speeding.

        A driver who is early at a stop leaves it as planned: before and after a burst, and at its stops, the vehicle is
        where it would be without, so that its effect begins and ends with it.
        """
        number = np.arange(route.links.shape[1])
        stop = np.minimum.accumulate(np.where(route.halts, number, number[-1])[:, ::-1], axis=1)[:, ::-1]
        row, link = np.nonzero(route.valid)
        zero_ms = self.schedule.begins_ms(route.sites, route.vehicles, route.hours)
        at_ms = zero_ms[:, None] + np.ceil((depart[:, None] + begin) * 1000).astype(np.int64)
        level = np.broadcast_to(hurry[:, None], route.links.shape).copy()
        burst = speed_boost(route.sites[row], route.vehicles[row], at_ms[row, link], at_ms[row, stop[row, link] + 1])
        level[row, link] = np.maximum(level[row, link], burst)
        rows = np.flatnonzero((level != hurry[:, None]).any(axis=1))
        if not len(rows):
            return profile, begin
        boosted = self._speed_profile(route.take(rows), level[rows])[0].sped_up(pace[rows])
        sped_up = route.valid[rows] & (level != hurry[:, None])[rows]
        gain = np.where(sped_up, profile.take(rows).duration_s - boosted.duration_s, 0.0)
        lead = np.cumsum(gain, axis=1)
        # Of the lead, what there was at the last stop is lost there.
        left = np.maximum.accumulate(np.where(route.halts[rows], lead, 0.0), axis=1)
        begin = begin.copy()
        begin[rows, 1:] -= np.where(route.valid[rows], lead - left, 0.0)
        return profile.replaced(rows, boosted), begin

    def _speed_profile(self, route: RouteBatch, hurry: Floats) -> tuple[SpeedProfile, Floats, Floats]:
        """Tell how each link is driven, how long is waited at its end, and by how much the vehicle turns there.

        `hurry` [trip, link or all of them] is in standard deviations of the road's speeds.
        """
        sites, vehicles, hours, links = route.sites, route.vehicles, route.hours, route.links
        aggressiveness, bits, halts = self.drivers.aggressiveness(sites, vehicles), route.bits, route.halts
        roads, plan = self._roads, self._roads.plan
        road, kind = links >> 1, plan.road_class[links >> 1]
        length = roads.length_m[sites[:, None], road]
        link_bits = extend(bits[:, None], np.arange(100, 100 + links.shape[1]))
        speed, density, wet = self._surroundings(sites, self.schedule.hours(sites, vehicles, hours), road)
        usual = aggressiveness[:, None] - 0.9 + 0.5 * normal(extend(link_bits, 1))
        spread = _SPREAD[kind] * (1 - density)
        wished = np.maximum(speed * (1 + spread * (usual + hurry)), 3.0)
        turn = self._turns(sites, links) * ~halts
        # Who is not in a hurry yet enters the next link no faster for that he will be.
        shy = np.minimum(hurry, np.concatenate([hurry[:, :1], hurry[:, :-1]], axis=1))
        following = np.maximum(speed * (1 + spread * (usual + shy)), 3.0)
        following = np.concatenate([following[:, 1:], following[:, -1:]], axis=1)
        rash = np.minimum(_HARSH_CHANCE * aggressiveness[:, None] * (1 + hurry / _HURRY), 0.5)
        leave = np.minimum(np.minimum(wished, following), self._turn_speed(link_bits, kind, turn, rash))
        town = np.isin(plan.link_to(links), TOWN_NODES)
        red = town & (uniform(extend(link_bits, 2)) < _RED_CHANCE * (0.8 + density))
        leave = np.where(halts | red, 0.0, leave)
        wait = np.where(red, _between(_RED_S, extend(link_bits, 3)), 0.0)
        wait = np.where(halts, _between(_STOP_S, extend(link_bits, 4)), wait) * route.valid
        down = _between(_SLOW_DOWN_MS2, extend(link_bits, 5))
        hard = uniform(extend(link_bits, 6)) < rash * (1 + density + wet[:, None])
        down = np.where(hard, _between(_HARD_MS2, extend(link_bits, 7)), down)
        up = _between(_SPEED_UP_MS2, extend(link_bits, 8)) + 0.15 * np.minimum(aggressiveness, 2)[:, None]
        enter = np.concatenate([np.zeros((len(sites), 1)), leave[:, :-1]], axis=1)
        return SpeedProfile.fitted(length, enter, wished, leave, up, down), wait, turn

    def _surroundings(self, sites: Ints, hours: Ints, road: Ints) -> tuple[Floats, Floats, Floats]:
        """Return speed and density of the traffic on each road half-way through the vehicles' hours, and the rain."""
        # Many vehicles share a site and an hour; hours since 1970 fit into 23 bits.
        pairs, row = np.unique((sites << 23) + hours, return_inverse=True)
        places, middle = pairs >> 23, ((pairs & ((1 << 23) - 1)) + 1) * HOUR_MS
        flow = self._traffic.flow_on_all_roads(places, middle)
        wet = self._weather(places, middle).rain
        return flow.speed_ms[row[:, None], road], flow.density[row[:, None], road], wet[row]

    def _turns(self, sites: Ints, links: Ints) -> Floats:
        """Return the change of heading from each link to the next; 0 where there is none, or it would be a U-turn."""
        unit = self._roads.unit_xy[sites[:, None], links >> 1] * np.where(links & 1, -1.0, 1.0)[..., None]
        angle = np.arctan2(unit[..., 0], unit[..., 1])
        change = np.zeros(links.shape)
        change[:, :-1] = (angle[:, 1:] - angle[:, :-1] + np.pi) % (2 * np.pi) - np.pi
        return np.where(np.abs(change) > _SHARPEST_TURN_RAD, 0.0, change)

    def _turn_speed(self, link_bits: Hashes, kind: Ints, turn: Floats, rash: Floats) -> Floats:
        """Tell how fast a bend is taken: by the lateral acceleration a driver puts up with, now and then much of it."""
        lateral = _between(_TURN_MS2, extend(link_bits, 9))
        lateral = np.where(uniform(extend(link_bits, 10)) < rash, _between(_SHARP_MS2, extend(link_bits, 11)), lateral)
        bend = np.abs(turn)
        return np.where(
            bend < _STRAIGHT_RAD, np.inf, np.sqrt(lateral / np.maximum(curvature(bend, corner_m(kind)), 1e-9))
        )

    def _bits(self, stream: str, sites: Ints, *counters: Ints) -> Hashes:
        return hash_bits(self._seed, stream, self._site_arrays.keys[sites], *counters)


def _in_time(driving_s: Floats, wait_s: Floats, available_s: Floats) -> tuple[Floats, Floats]:
    """Return waits and factors of speed with which trips end before the next may begin.

    Who would be late waits less, and if need be drives faster.
    """
    driving = total(driving_s)
    waiting = np.maximum(total(wait_s), 1e-9)
    wait_s = wait_s * np.clip((available_s - driving) / waiting, 0, 1)[:, None]
    return wait_s, np.maximum(driving / available_s, 1.0)[:, None]


def total(each: Floats) -> Floats:
    """Return the sum of each row; added up from the left, so that it is the same however wide the row is padded."""
    return np.asarray(np.cumsum(each, axis=1)[:, -1])


def corner_m(kind: Ints) -> Floats:
    """Return how far before the end of links [trip, link] vehicles begin to turn: the shorter corner of the two."""
    own = CORNER_M[kind]
    return np.asarray(np.minimum(own, np.concatenate([own[:, 1:], own[:, -1:]], axis=1)))


def curvature(turn_rad: Floats, corner: Floats) -> Floats:
    """Return the sharpest curvature (1/m) of a bend that is turned smoothly (3q² - 2q³) over twice `corner` metres."""
    return 1.5 * turn_rad / (2 * corner)


def _between(bounds: tuple[float, float], bits: Hashes) -> Floats:
    low, high = bounds
    return low + (high - low) * uniform(bits)
