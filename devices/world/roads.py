"""The roads of every site: one plan of a town's grid of streets, a ring motorway round it and villages outside.

Which road leads where is the same everywhere; each site turns, stretches and bends the plan by its own draw.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from devices.world.random import Flags, Floats, Ints, hash_bits, uniform
from devices.world.world import METRES_PER_DEGREE, SiteArrays

KMH = 1 / 3.6
"""Metres a second in a kilometre an hour."""


@dataclass(frozen=True, slots=True)
class RoadClass:
    """Hold what roads of one class have in common."""

    road_type: str
    """city, highway or rural."""
    limit_kmh: float
    lanes: int
    """Each way."""
    free_kmh: float
    """Mean speed of free traffic."""
    deviation_kmh: float
    """Standard deviation of speeds in free traffic."""
    peak_vph: float
    """Vehicles an hour, both ways together, in the busiest hour of a usual weekday; judged, not measured."""
    corner_m: float
    """How far before a bend or junction a vehicle begins to turn."""


# Speeds: DfT vehicle speed compliance statistics 2022 as normals (realism.md section 3): roads with a limit of
# 30 mph N(30.0, 6.1) mph, rural single carriageways N(48.8, 9.1), motorways N(69.0, 7.8). Streets and radials scaled.
CLASSES = (
    RoadClass("city", 50, 1, 48.3, 9.8, 900, 14),
    RoadClass("city", 30, 1, 29.0, 6.0, 350, 12),
    RoadClass("highway", 110, 2, 111.0, 12.6, 3600, 400),
    RoadClass("highway", 70, 1, 67.0, 9.5, 1400, 60),
    RoadClass("rural", 90, 1, 78.5, 14.6, 450, 60),
)
ARTERY, STREET, MOTORWAY, RADIAL, LANE = range(5)
LIMIT_MS = np.array([kind.limit_kmh * KMH for kind in CLASSES])
CORNER_M = np.array([kind.corner_m for kind in CLASSES])
ROAD_TYPES = tuple(kind.road_type for kind in CLASSES)

_GRID = 5
_SPACING_M = 420.0
_RING, _RING_RADIUS_M = 8, 4000.0
_VILLAGES, _VILLAGE_RADIUS_M = 6, 8000.0
_FIRST_RING = _GRID * _GRID
FIRST_VILLAGE = _FIRST_RING + _RING
NODES = FIRST_VILLAGE + _VILLAGES
TOWN_NODES = np.arange(_FIRST_RING)
RING_NODES = np.arange(_FIRST_RING, FIRST_VILLAGE)
STOPS = np.array([*range(_FIRST_RING), *range(FIRST_VILLAGE, NODES), *range(FIRST_VILLAGE, NODES)], dtype=np.int64)
"""Nodes at which trips begin and end; villages twice, so that a third of the stops is in one."""
# Seconds lost at a junction, so that routes are not all zigzag.
_JUNCTION_S = 6.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Nodes and roads before a site bends them. Link 2r drives road r from its first node to its second, 2r+1 back."""

    node_xy: Floats
    """Metres east and north of the centre."""
    ends: Ints
    """First and second node of each road."""
    road_class: Ints
    next_link: Ints
    """[node, destination] -> the link to take; -1 where one is already there."""
    seconds: Floats
    """[node, destination] -> driving time on free roads."""
    metres: Floats
    """[node, destination] -> how long that way is."""

    def link_to(self, links: Ints) -> Ints:
        """Return the node at which links end."""
        return np.asarray(self.ends[links >> 1, 1 - (links & 1)])


@lru_cache(1)
def plan() -> Plan:
    """Return the plan, with the fastest way from everywhere to everywhere."""
    node_xy = _nodes()
    roads = _roads()
    ends = np.array([road[:2] for road in roads], dtype=np.int64)
    road_class = np.array([road[2] for road in roads], dtype=np.int64)
    length = np.hypot(*(node_xy[ends[:, 0]] - node_xy[ends[:, 1]]).T)
    free = np.array([kind.limit_kmh * KMH for kind in CLASSES])[road_class]
    next_link, seconds = _fastest(ends, length / free + _JUNCTION_S)
    return Plan(node_xy, ends, road_class, next_link, seconds, _lengths(ends, length, next_link))


# By judgement: two in five streets of the town stand between high buildings, one motorway stretch in three and one
# radial in four has a tunnel.
_CANYON_CHANCE = 0.4
_TUNNEL_CHANCE = {MOTORWAY: 0.34, RADIAL: 0.25}
_TUNNEL_M = (250.0, 900.0)


class Roads:
    """Arrays over [site, road]; a road is driven both ways. Distances along a road are from its first node."""

    def __init__(self, seed: int, site_arrays: SiteArrays) -> None:
        self.plan: Plan = plan()
        self._site_arrays = site_arrays
        roads = len(self.plan.ends)
        keys = site_arrays.keys[:, None]
        node_xy = self._bent(seed, site_arrays)
        self.first_xy = node_xy[:, self.plan.ends[:, 0]]
        """[site, road, (east, north)] of the first node, in metres from the site."""
        span = node_xy[:, self.plan.ends[:, 1]] - self.first_xy
        self.length_m: Floats = np.hypot(span[..., 0], span[..., 1])
        self.unit_xy = span / self.length_m[..., None]
        """Direction from the first node to the second."""
        both_ways = self.unit_xy[:, :, None] * np.array([1.0, -1.0])[:, None]
        self.heading_rad: Floats = np.arctan2(both_ways[..., 0], both_ways[..., 1]).reshape(len(keys), -1)
        """[site, link], from north to the east; link 2r leads along road r, 2r + 1 back."""
        numbers = np.arange(roads)
        in_town = np.isin(self.plan.road_class, (ARTERY, STREET))
        self.canyon: Flags = (uniform(hash_bits(seed, "road/canyon", keys, numbers)) < _CANYON_CHANCE) & in_town
        self.tunnel_m = self._tunnels(seed, site_arrays, numbers)
        """[site, road, (from, to)]; both 0 where there is none."""
        self.has_tunnel: Flags = self.tunnel_m[..., 1] > 0
        scale = np.array([kind.peak_vph for kind in CLASSES])[self.plan.road_class]
        self.peak_vph: Floats = scale * (0.7 + 0.6 * uniform(hash_bits(seed, "road/peak", keys, numbers)))
        # How near to its capacity a road comes in the busiest hour: 62 to 87 %, by judgement.
        self.capacity_vph: Floats = self.peak_vph * (
            1.15 + 0.45 * uniform(hash_bits(seed, "road/capacity", keys, numbers))
        )

    def latitude_longitude(self, sites: Ints, east_m: Floats, north_m: Floats) -> tuple[Floats, Floats]:
        """Return the degrees of points that lie this far from their sites."""
        site_arrays = self._site_arrays
        return (
            np.clip(site_arrays.latitude[sites] + north_m / METRES_PER_DEGREE, -90, 90),
            # Not `within_turn`: a town at a pole goes around it.
            (site_arrays.longitude[sites] + east_m / site_arrays.metres_per_longitude[sites] + 180) % 360 - 180,
        )

    def _bent(self, seed: int, site_arrays: SiteArrays) -> Floats:
        """Return the nodes of each site: the plan turned by any angle, stretched by 10 %, every node moved a little."""
        turn = 2 * np.pi * uniform(hash_bits(seed, "roads/turn", site_arrays.keys))
        stretch = 0.95 + 0.2 * uniform(hash_bits(seed, "roads/stretch", site_arrays.keys))
        radius = np.hypot(self.plan.node_xy[:, 0], self.plan.node_xy[:, 1])
        reach = np.where(radius < 2000, 40.0, 0.06 * radius)
        shift = [
            reach
            * (2 * uniform(hash_bits(seed, f"roads/shift/{axis}", site_arrays.keys[:, None], np.arange(NODES))) - 1)
            for axis in ("east", "north")
        ]
        east = self.plan.node_xy[:, 0] + shift[0]
        north = self.plan.node_xy[:, 1] + shift[1]
        sine, cosine = np.sin(turn)[:, None], np.cos(turn)[:, None]
        turned = np.stack([east * cosine - north * sine, east * sine + north * cosine], axis=-1)
        return np.asarray(turned * stretch[:, None, None])

    def _tunnels(self, seed: int, site_arrays: SiteArrays, numbers: Ints) -> Floats:
        keys = site_arrays.keys[:, None]
        chance = np.array([_TUNNEL_CHANCE.get(kind, 0.0) for kind in range(len(CLASSES))])[self.plan.road_class]
        there = uniform(hash_bits(seed, "road/tunnel", keys, numbers)) < chance
        shortest, longest = _TUNNEL_M
        length = shortest + (longest - shortest) * uniform(hash_bits(seed, "road/tunnel/length", keys, numbers))
        start = (self.length_m - length) * (0.2 + 0.6 * uniform(hash_bits(seed, "road/tunnel/place", keys, numbers)))
        return np.asarray(np.stack([start, start + length], axis=-1) * there[..., None])


def _nodes() -> Floats:
    offset = (_GRID - 1) / 2
    grid = [
        ((column - offset) * _SPACING_M, (row - offset) * _SPACING_M) for row in range(_GRID) for column in range(_GRID)
    ]
    circles = [
        (radius * np.sin(2 * np.pi * place / count), radius * np.cos(2 * np.pi * place / count))
        for count, radius in ((_RING, _RING_RADIUS_M), (_VILLAGES, _VILLAGE_RADIUS_M))
        for place in range(count)
    ]
    return np.array(grid + circles)


def _roads() -> list[tuple[int, int, int]]:
    """List the roads: first node, second node, class."""
    middle = _GRID // 2
    rows = [
        (row * _GRID + column, row * _GRID + column + 1, ARTERY if row == middle else STREET)
        for row in range(_GRID)
        for column in range(_GRID - 1)
    ]
    columns = [
        (row * _GRID + column, (row + 1) * _GRID + column, ARTERY if column == middle else STREET)
        for row in range(_GRID - 1)
        for column in range(_GRID)
    ]
    ring = [(_FIRST_RING + place, _FIRST_RING + (place + 1) % _RING, MOTORWAY) for place in range(_RING)]
    # The ring's north, east, south and west lead to the ends of the town's two arteries.
    gates = (_GRID * (_GRID - 1) + middle, middle * _GRID + _GRID - 1, middle, middle * _GRID)
    radials = [(gate, _FIRST_RING + 2 * side, RADIAL) for side, gate in enumerate(gates)]
    nearest = [round(village * _RING / _VILLAGES) % _RING for village in range(_VILLAGES)]
    lanes = [(_FIRST_RING + ring_node, FIRST_VILLAGE + village, LANE) for village, ring_node in enumerate(nearest)]
    between = [
        (FIRST_VILLAGE + village, FIRST_VILLAGE + (village + 1) % _VILLAGES, LANE) for village in range(_VILLAGES)
    ]
    return rows + columns + ring + radials + lanes + between


def _fastest(ends: Ints, cost: Floats) -> tuple[Ints, Floats]:
    """Return the next link and the time between all pairs of nodes (Floyd and Warshall)."""
    seconds = np.full((NODES, NODES), np.inf)
    next_link: NDArray[np.int64] = np.full((NODES, NODES), -1, dtype=np.int64)
    np.fill_diagonal(seconds, 0.0)
    for road, (first, second) in enumerate(ends.tolist()):
        seconds[first, second] = seconds[second, first] = cost[road]
        next_link[first, second], next_link[second, first] = 2 * road, 2 * road + 1
    for via in range(NODES):
        through = seconds[:, via, None] + seconds[None, via, :]
        shorter = through < seconds - 1e-9
        seconds = np.where(shorter, through, seconds)
        next_link = np.where(shorter, next_link[:, via, None], next_link)
    return next_link, seconds


def _lengths(ends: Ints, length: Floats, next_link: Ints) -> Floats:
    """Return how long the ways between all pairs of nodes are, which `_fastest` found."""
    node, goal = np.indices((NODES, NODES))
    metres = np.zeros((NODES, NODES))
    while ((link := next_link[node, goal]) >= 0).any():
        metres += np.where(link >= 0, length[link >> 1], 0.0)
        node = np.where(link >= 0, ends[link >> 1, 1 - (link & 1)], node)
    return metres
