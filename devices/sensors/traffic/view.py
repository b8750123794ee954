"""What traffic cameras look at, and which vehicles of the fleet pass before them."""

from dataclasses import dataclass, fields

import numpy as np

from devices.world.components import components
from devices.world.random import Flags, Floats, Hashes, Ints, extend, hash_bits, uniform
from devices.world.roads import ARTERY, KMH, LANE, MOTORWAY, RADIAL, STREET
from devices.world.vehicles.vehicles import Passages
from devices.world.world import HOUR_MS, World

# Where cameras are put, by class of road; by judgement.
_CLASSES = np.array([ARTERY, MOTORWAY, RADIAL, LANE, STREET])
_SHARES = np.array([0.45, 0.2, 0.15, 0.1, 0.1])


@dataclass(frozen=True, slots=True)
class CameraViews:
    """Says where cameras look; one value a row."""

    roads: Ints
    """Number of the road at the site."""
    road_class: Ints
    along_m: Floats
    """Distance from the road's first node."""
    forward_is_inbound: Flags
    """Whether the road's second node is nearer to the centre than its first."""

    def take(self, rows: Ints) -> "CameraViews":
        """Return some of the rows."""
        return CameraViews(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class FleetPassages:
    """Vehicles of the fleet before cameras, reading by reading in the order of time; one an element."""

    row: Ints
    """Position of the reading."""
    moment_s: Floats
    """Since its interval began."""
    speed_kmh: Floats
    inbound: Flags
    colour: Hashes
    """The draw that decides on the vehicle's colour: it has the same before every camera."""


def camera_views(world: World, keys: Hashes, sites: Ints) -> CameraViews:
    """Return the view of each camera, drawn by its key: a point in the middle part of a road."""
    roads = components(world).roads
    bits = hash_bits(world.seed, "camera/place", keys)
    road_class = _CLASSES[np.searchsorted(np.cumsum(_SHARES)[:-1], uniform(bits), side="right")]
    road = np.empty(len(sites), dtype=np.int64)
    for each in _CLASSES.tolist():
        candidates = np.flatnonzero(roads.plan.road_class == each)
        rows = road_class == each
        road[rows] = candidates[(extend(bits[rows], 1) % np.uint64(len(candidates))).astype(np.int64)]
    length, first = roads.length_m[sites, road], roads.first_xy[sites, road]
    second = first + roads.unit_xy[sites, road] * length[:, None]
    return CameraViews(
        road,
        road_class,
        length * (0.3 + 0.4 * uniform(extend(bits, 2))),
        np.hypot(*second.T) < np.hypot(*first.T),
    )


def fleet_passages(world: World, sites: Ints, view: CameraViews, times: Ints, interval: Ints) -> FleetPassages:
    """Return the vehicles of the fleet that drove past in (time - interval, time] of each reading."""
    points: dict[tuple[int, int, float], list[int]] = {}
    for row, point in enumerate(zip(sites.tolist(), view.roads.tolist(), view.along_m.tolist(), strict=True)):
        if len(world.vehicles[point[0]]):
            points.setdefault(point, []).append(row)
    rows: list[Ints] = [np.empty(0, dtype=np.int64)]
    found = [Passages.none()]
    for point, its_rows in points.items():
        here = np.array(its_rows, dtype=np.int64)
        begin, end = times[here] - interval[here], times[here]
        passages = _passages(world, point, begin, end)
        first = np.searchsorted(passages.time_ms, begin, side="right")
        count = np.searchsorted(passages.time_ms, end, side="right") - first
        rows.append(np.repeat(here, count))
        found.append(passages.take(np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count)))
    joined = np.concatenate(rows)
    order = np.argsort(joined, kind="stable")
    readings, passed = joined[order], Passages.concat(found).take(order)
    keys = components(world).site_arrays.keys[sites[readings]]
    return FleetPassages(
        readings,
        (passed.time_ms - times[readings] + interval[readings]) / 1000,
        passed.speed_ms / KMH,
        passed.forward == view.forward_is_inbound[readings],
        hash_bits(world.seed, "vehicle/colour", keys, passed.vehicle),
    )


def _passages(world: World, point: tuple[int, int, float], begin_ms: Ints, end_ms: Ints) -> Passages:
    """Return all that passed a point (site, road, m) in the hours that these windows touch."""
    spans = zip((begin_ms // HOUR_MS).tolist(), (end_ms // HOUR_MS).tolist(), strict=True)
    hours = sorted({hour for first, last in set(spans) for hour in range(first, last + 1)})
    vehicles = components(world).vehicles
    return Passages.concat([vehicles.passages(*point, hour) for hour in hours])
