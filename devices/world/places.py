"""The sites of a world as arrays, for vectorised look-ups by their position."""

import numpy as np

from devices.world.rng import Ints, draw
from devices.world.world import World

METRES_PER_DEGREE = 111_320.0
"""Of latitude, and of longitude at the equator."""


class Places:
    """Arrays with one entry a site. `keys` depends on a site's name alone, not on which other sites there are."""

    def __init__(self, world: World) -> None:
        sites = world.sites
        self.latitude = np.array([site.latitude for site in sites], dtype=np.float64)
        self.longitude = np.array([site.longitude for site in sites], dtype=np.float64)
        self.altitude_m = np.array([site.altitude_m for site in sites], dtype=np.float64)
        self.keys = np.array([draw(0, f"site/{site.name}")[0] for site in sites], dtype=np.uint64)
        # Towards the poles a degree of longitude shrinks to nothing; a few metres are left to divide by.
        self.metres_per_longitude = METRES_PER_DEGREE * np.maximum(np.cos(np.radians(self.latitude)), 1e-4)
        self._world = world

    def local_ms(self, sites: Ints, times_ms: Ints) -> Ints:
        """Local wall-clock milliseconds at each site and instant."""
        return self._world.local_ms(sites, times_ms)
