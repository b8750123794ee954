"""The roads of every site: the common plan, turned, stretched and bent by the site's own draw."""

import numpy as np

from devices.world.network import ARTERY, CLASSES, KMH, MOTORWAY, NODES, RADIAL, STREET, Plan, plan
from devices.world.places import METRES_PER_DEGREE, Places
from devices.world.rng import Flags, Floats, Ints, draw, uniform

# By judgement: two in five streets of the town stand between high buildings, one motorway stretch in three and one
# radial in four has a tunnel.
_CANYON_CHANCE = 0.4
_TUNNEL_CHANCE = {MOTORWAY: 0.34, RADIAL: 0.25}
_TUNNEL_M = (250.0, 900.0)

LIMIT_MS = np.array([kind.limit_kmh * KMH for kind in CLASSES])
CORNER_M = np.array([kind.corner_m for kind in CLASSES])
ROAD_TYPES = np.array([kind.road_type for kind in CLASSES], dtype=object)


class Roads:
    """Arrays over [site, road]; a road is driven both ways. Distances along a road are from its first node."""

    def __init__(self, seed: int, places: Places) -> None:
        self.plan: Plan = plan()
        self._places = places
        roads = len(self.plan.ends)
        keys = places.keys[:, None]
        node_xy = self._bent(seed, places)
        self.first_xy = node_xy[:, self.plan.ends[:, 0]]
        """[site, road, (east, north)] of the first node, in metres from the site."""
        span = node_xy[:, self.plan.ends[:, 1]] - self.first_xy
        self.length_m: Floats = np.hypot(span[..., 0], span[..., 1])
        self.unit_xy = span / self.length_m[..., None]
        """Direction from the first node to the second."""
        numbers = np.arange(roads)
        in_town = np.isin(self.plan.road_class, (ARTERY, STREET))
        self.canyon: Flags = (uniform(draw(seed, "road/canyon", keys, numbers)) < _CANYON_CHANCE) & in_town
        self.tunnel_m = self._tunnels(seed, places, numbers)
        """[site, road, (from, to)]; both 0 where there is none."""
        scale = np.array([kind.peak_vph for kind in CLASSES])[self.plan.road_class]
        self.peak_vph: Floats = scale * (0.7 + 0.6 * uniform(draw(seed, "road/peak", keys, numbers)))
        # How near to its capacity a road comes in the busiest hour: 62 to 87 %, by judgement.
        self.capacity_vph: Floats = self.peak_vph * (1.15 + 0.45 * uniform(draw(seed, "road/capacity", keys, numbers)))

    def latitude_longitude(self, sites: Ints, east_m: Floats, north_m: Floats) -> tuple[Floats, Floats]:
        """Degrees of points that lie this far from their sites."""
        places = self._places
        return (
            np.clip(places.latitude[sites] + north_m / METRES_PER_DEGREE, -90, 90),
            (places.longitude[sites] + east_m / places.metres_per_longitude[sites] + 180) % 360 - 180,
        )

    def _bent(self, seed: int, places: Places) -> Floats:
        """Node coordinates of each site: the plan turned by any angle, stretched by 10 %, every node moved a little."""
        turn = 2 * np.pi * uniform(draw(seed, "roads/turn", places.keys))
        stretch = 0.95 + 0.2 * uniform(draw(seed, "roads/stretch", places.keys))
        radius = np.hypot(self.plan.node_xy[:, 0], self.plan.node_xy[:, 1])
        reach = np.where(radius < 2000, 40.0, 0.06 * radius)
        shift = [
            reach * (2 * uniform(draw(seed, f"roads/shift/{axis}", places.keys[:, None], np.arange(NODES))) - 1)
            for axis in ("east", "north")
        ]
        east = self.plan.node_xy[:, 0] + shift[0]
        north = self.plan.node_xy[:, 1] + shift[1]
        sine, cosine = np.sin(turn)[:, None], np.cos(turn)[:, None]
        turned = np.stack([east * cosine - north * sine, east * sine + north * cosine], axis=-1)
        return np.asarray(turned * stretch[:, None, None])

    def _tunnels(self, seed: int, places: Places, numbers: Ints) -> Floats:
        keys = places.keys[:, None]
        chance = np.array([_TUNNEL_CHANCE.get(kind, 0.0) for kind in range(len(CLASSES))])[self.plan.road_class]
        there = uniform(draw(seed, "road/tunnel", keys, numbers)) < chance
        shortest, longest = _TUNNEL_M
        length = shortest + (longest - shortest) * uniform(draw(seed, "road/tunnel/length", keys, numbers))
        start = (self.length_m - length) * (0.2 + 0.6 * uniform(draw(seed, "road/tunnel/place", keys, numbers)))
        return np.asarray(np.stack([start, start + length], axis=-1) * there[..., None])
