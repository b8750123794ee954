"""The trips of the fleet's vehicles: every hour of a vehicle in which it drives has one, planned as a whole.

A trip goes from stop to stop over the roads of its site and ends where the next one begins. How fast it goes is up to
the road, the traffic, the weather and the driver; how it brakes and turns, too. A trip is a pure function of (seed,
site, vehicle, hour), so any moment of it can be had without the hours before.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from devices.world.drivers import Drivers
from devices.world.kinematics import Ride
from devices.world.network import CLASSES, STOPS, TOWN_NODES
from devices.world.places import Places
from devices.world.rng import Flags, Floats, Hashes, Ints, draw, further, normal, uniform
from devices.world.roads import CORNER_M, Roads
from devices.world.site import HOUR_MS
from devices.world.traffic import Traffic
from devices.world.weather import Weather

NEVER_S = 1e4
"""After the end of any hour: when a vehicle departs that does not drive."""

# Departure after the hour's beginning, and what a trip takes on free roads (s); traffic and stops may double it.
_DEPART_S, _TRIP_S = (15.0, 240.0), (1300.0, 2200.0)
_LATEST_S = 3590.0
_STOPS_BETWEEN = 9
_STOP_S = (30.0, 120.0)
_RED_CHANCE, _RED_S = 0.32, (4.0, 45.0)
# Relative spread of free speeds by class of road.
_SPREAD = np.array([kind.deviation_kmh / kind.free_kmh for kind in CLASSES])
_HURRY = 2.0
_SPEED_UP_MS2, _SLOW_DOWN_MS2, _TURN_MS2 = (1.0, 1.5), (1.3, 2.1), (1.4, 2.5)
# Thresholds of harsh events are 2.7 to 4.4 m/s2 for braking and 3.4 to 5.5 for corners (Teltonika, Digital Matter).
_HARD_MS2, _SHARP_MS2 = (3.2, 6.2), (3.6, 5.4)
# Chance that a braking or a turn of a driver of temper 1 is a harsh one; no trustworthy rate was found.
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
    ride: Ride


class TripPlanner:
    """Plans trips, any number at once."""

    def __init__(
        self,
        seed: int,
        places: Places,
        roads: Roads,
        traffic: Traffic,
        weather: Callable[[Ints, Ints], Weather],
        drivers: Drivers,
    ) -> None:
        self._seed = seed
        self._places = places
        self._roads = roads
        self._traffic = traffic
        self._weather = weather
        self.drivers = drivers

    def plan(self, sites: Ints, vehicles: Ints, hours: Ints) -> TripBatch:
        """The trips that these vehicles begin in these hours of theirs (`Drivers.hour_begins_ms`)."""
        bits = self._draw("trip", sites, vehicles, hours)
        drives = self.drivers.drives(sites, vehicles, hours)
        links, stops = self._route(sites, vehicles, hours, bits)
        valid = links >= 0
        # A parked vehicle stands at the beginning of the link it would take.
        valid &= drives[:, None]
        links = np.where(valid, links, np.where(links[:, :1] >= 0, links[:, :1], 0))
        last = valid & ~np.pad(valid[:, 1:], ((0, 0), (0, 1)))
        halts = (stops & valid) | last
        temper = self.drivers.temper(sites, vehicles)
        ride, wait_s, turn = self._ride(sites, vehicles, hours, bits, temper, links, halts, valid)
        depart = _between(_DEPART_S, further(bits, 1))
        ride, wait_s = _in_time(ride, wait_s, valid, _LATEST_S - depart)
        depart = np.where(drives, depart, NEVER_S)
        spent = np.where(valid, ride.duration_s + wait_s, 0.0)
        begin = np.concatenate([np.zeros((len(sites), 1)), np.cumsum(spent, axis=1)], axis=1)
        return TripBatch(depart, valid.sum(axis=1), links, begin, turn, ride)

    def stop_at(self, sites: Ints, vehicles: Ints, hours: Ints) -> Ints:
        """The node at which a vehicle stands as an hour begins: anywhere between two trips, else its home."""
        between = self.drivers.drives(sites, vehicles, hours - 1) & self.drivers.drives(sites, vehicles, hours)
        on_tour = self._draw("trip/stop", sites, vehicles, hours)
        home = self._draw("vehicle/home", sites, vehicles)
        return STOPS[(np.where(between, on_tour, home) % np.uint64(len(STOPS))).astype(np.int64)]

    def _route(self, sites: Ints, vehicles: Ints, hours: Ints, bits: Hashes) -> tuple[Ints, Flags]:
        """Links in order, -1 after the last, and where the vehicle stops at the end of one.

        As many stops are visited on the way as the time wished for the trip allows, one at least.
        """
        plan = self._roads.plan
        start, goal = self.stop_at(sites, vehicles, hours), self.stop_at(sites, vehicles, hours + 1)
        number = (further(bits[:, None], np.arange(2, 2 + _STOPS_BETWEEN)) % np.uint64(len(STOPS))).astype(np.int64)
        stops = STOPS[number]
        stops[:, 0] = np.where(stops[:, 0] == start, STOPS[(number[:, 0] + 1) % len(STOPS)], stops[:, 0])
        points = np.concatenate([start[:, None], stops], axis=1)
        reached_s = np.cumsum(plan.seconds[points[:, :-1], points[:, 1:]], axis=1)
        total_s = reached_s + plan.seconds[stops, goal[:, None]]
        fits = total_s <= _between(_TRIP_S, further(bits, 0))[:, None]
        visited = np.maximum(np.where(fits.any(axis=1), _STOPS_BETWEEN - fits[:, ::-1].argmax(axis=1), 1), 1)
        leg = np.arange(_STOPS_BETWEEN + 1)
        towards = np.concatenate([stops, goal[:, None]], axis=1)
        towards = np.where(leg == visited[:, None], goal[:, None], towards)
        return self._expand(points, np.where(leg <= visited[:, None], towards, points))

    def _expand(self, node: Ints, towards: Ints) -> tuple[Ints, Flags]:
        """The links of legs [trip, leg] joined to one sequence a trip, and a flag at the last link of each leg."""
        plan = self._roads.plan
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

    def _ride(
        self,
        sites: Ints,
        vehicles: Ints,
        hours: Ints,
        bits: Hashes,
        temper: Floats,
        links: Ints,
        halts: Flags,
        valid: Flags,
    ) -> tuple[Ride, Floats, Floats]:
        """How each link is driven, how long is waited at its end, and by how much the vehicle turns there."""
        roads, plan = self._roads, self._roads.plan
        road, kind = links >> 1, plan.road_class[links >> 1]
        length = roads.length_m[sites[:, None], road]
        luck = further(bits[:, None], np.arange(100, 100 + links.shape[1]))
        speed, density, wet = self._surroundings(sites, hours, road)
        hurry = self.drivers.hurried(sites, vehicles, hours)
        mood = temper - 0.9 + _HURRY * hurry
        wished = speed * (1 + _SPREAD[kind] * (1 - density) * (mood[:, None] + 0.5 * normal(further(luck, 1))))
        wished = np.maximum(wished, 3.0)
        turn = self._turns(sites, links) * ~halts
        following = np.concatenate([wished[:, 1:], wished[:, -1:]], axis=1)
        rash = np.minimum(_HARSH_CHANCE * temper[:, None] * (1 + hurry[:, None]), 0.5)
        leave = np.minimum(np.minimum(wished, following), self._turn_speed(luck, kind, turn, rash))
        town = np.isin(plan.link_to(links), TOWN_NODES)
        red = town & (uniform(further(luck, 2)) < _RED_CHANCE * (0.8 + density))
        leave = np.where(halts | red, 0.0, leave)
        wait = np.where(red, _between(_RED_S, further(luck, 3)), 0.0)
        wait = np.where(halts, _between(_STOP_S, further(luck, 4)), wait) * valid
        down = _between(_SLOW_DOWN_MS2, further(luck, 5))
        hard = uniform(further(luck, 6)) < rash * (1 + density + wet[:, None])
        down = np.where(hard, _between(_HARD_MS2, further(luck, 7)), down)
        up = _between(_SPEED_UP_MS2, further(luck, 8)) + 0.15 * np.minimum(temper, 2)[:, None]
        enter = np.concatenate([np.zeros((len(sites), 1)), leave[:, :-1]], axis=1)
        return Ride.fitted(length, enter, wished, leave, up, down), wait, turn

    def _surroundings(self, sites: Ints, hours: Ints, road: Ints) -> tuple[Floats, Floats, Floats]:
        """Speed and density of the traffic on each road half-way through the vehicles' hours, and how wet it is."""
        # Many vehicles share a site and an hour; hours since 1970 fit into 23 bits.
        pairs, row = np.unique((sites << 23) + hours, return_inverse=True)
        places, middle = pairs >> 23, ((pairs & ((1 << 23) - 1)) + 1) * HOUR_MS
        flow = self._traffic.on_all_roads(places, middle)
        wet = self._weather(places, middle).rain
        return flow.speed_ms[row[:, None], road], flow.density[row[:, None], road], wet[row]

    def _turns(self, sites: Ints, links: Ints) -> Floats:
        """Change of heading from each link to the next; 0 where there is none, or where it would be a U-turn."""
        unit = self._roads.unit_xy[sites[:, None], links >> 1] * np.where(links & 1, -1.0, 1.0)[..., None]
        angle = np.arctan2(unit[..., 0], unit[..., 1])
        change = np.zeros(links.shape)
        change[:, :-1] = (angle[:, 1:] - angle[:, :-1] + np.pi) % (2 * np.pi) - np.pi
        return np.where(np.abs(change) > _SHARPEST_TURN_RAD, 0.0, change)

    def _turn_speed(self, luck: Hashes, kind: Ints, turn: Floats, rash: Floats) -> Floats:
        """How fast a bend is taken: by the lateral acceleration a driver puts up with, now and then much of it."""
        lateral = _between(_TURN_MS2, further(luck, 9))
        lateral = np.where(uniform(further(luck, 10)) < rash, _between(_SHARP_MS2, further(luck, 11)), lateral)
        bend = np.abs(turn)
        return np.where(
            bend < _STRAIGHT_RAD, np.inf, np.sqrt(lateral / np.maximum(curvature(bend, corner_m(kind)), 1e-9))
        )

    def _draw(self, stream: str, sites: Ints, *counters: Ints) -> Hashes:
        return draw(self._seed, stream, self._places.keys[sites], *counters)


def _in_time(ride: Ride, wait_s: Floats, valid: Flags, available_s: Floats) -> tuple[Ride, Floats]:
    """Trips that end before the next may begin: who would be late waits less, and if need be drives faster."""
    driving = np.where(valid, ride.duration_s, 0.0).sum(axis=1)
    waiting = np.maximum(wait_s.sum(axis=1), 1e-9)
    wait_s = wait_s * np.clip((available_s - driving) / waiting, 0, 1)[:, None]
    haste = np.maximum(driving / available_s, 1.0)[:, None]
    return ride.hastened(haste), wait_s


def corner_m(kind: Ints) -> Floats:
    """How far before the end of links [trip, link] a vehicle begins to turn into the next: the shorter of the two."""
    own = CORNER_M[kind]
    return np.asarray(np.minimum(own, np.concatenate([own[:, 1:], own[:, -1:]], axis=1)))


def curvature(turn_rad: Floats, corner: Floats) -> Floats:
    """Sharpest curvature (1/m) of a bend that is turned smoothly (3q² - 2q³) over twice `corner` metres."""
    return 1.5 * turn_rad / (2 * corner)


def _between(bounds: tuple[float, float], bits: Hashes) -> Floats:
    low, high = bounds
    return low + (high - low) * uniform(bits)
