"""What traffic cameras look at, and which vehicles of the fleet pass before them."""

from dataclasses import dataclass, fields

import numpy as np

from devices.world.components import components
from devices.world.random import Flags, Floats, Hashes, Ints, extend, hash_bits, uniform
from devices.world.roads import ARTERY, KMH, LANE, MOTORWAY, RADIAL, STREET
from devices.world.runs import Runs, distinct
from devices.world.world import World

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

    def spread(self, runs: Runs) -> "CameraViews":
        """Return the view of each row's run, of views with one for each run."""
        return CameraViews(*(runs.spread(getattr(self, field.name)) for field in fields(self)))


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


def locate_cameras(world: World, keys: Hashes, sites: Ints, _ordinals: Ints, _times: Ints) -> tuple[Floats, Floats]:
    """Return how far east and north of their sites cameras look at a road, in metres."""
    roads, view = components(world).roads, camera_views(world, keys, sites)
    first, unit = roads.first_xy[sites, view.roads], roads.unit_xy[sites, view.roads]
    east, north = (first + unit * view.along_m[:, None]).T
    return east, north


def fleet_passages(
    world: World, keys: Hashes, sites: Ints, view: CameraViews, times: Ints, interval: Ints
) -> FleetPassages:
    """Return the vehicles of the fleet that drove past cameras `keys` in (time - interval, time] of each reading."""
    log = components(world).vehicles.passage_log
    _, first, camera = distinct(keys)
    points = log.numbers(sites[first], view.roads[first], view.along_m[first])[camera]
    readings, passed = log.between(points, times - interval, times)
    site_keys = components(world).site_arrays.keys[sites[readings]]
    return FleetPassages(
        readings,
        (passed.time_ms - times[readings] + interval[readings]) / 1000,
        passed.speed_ms / KMH,
        passed.forward == view.forward_is_inbound[readings],
        hash_bits(world.seed, "vehicle/colour", site_keys, passed.vehicle),
    )
