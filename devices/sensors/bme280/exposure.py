"""What surrounds each unit and no other: sun on the case, the wall behind it, a draught."""

import numpy as np

from devices.world.components import components
from devices.world.noise import GridInterpolator, fractal_noise
from devices.world.random import Floats, Hashes, Ints, hash_bits, normal, uniform
from devices.world.sun import sun_elevation_deg
from devices.world.weather import distinct_moments
from devices.world.world import HOUR_MS, MINUTE_MS, World

# By judgement: wall and draught make tenths of a degree that come and go within a day, and the sun warms a badly shaded
# case by up to a degree.
_WALL_C, _WALL_MS = 0.22, 12 * HOUR_MS
_SUN_C, _INDOOR_SUN_SHARE = 0.9, 0.35
# A sky is half covered at a usual moisture.
_CLEAR_SHARE, _CLOUD_PER_MOISTURE = 0.55, 0.3
# Its quickest part takes three quarters of an hour.
_STEP_MS = 15 * MINUTE_MS


class Exposure:
    """By how much each unit is warmer than the air that its site shares."""

    def __init__(self, world: World, keys: Hashes, sites: Ints, extent: float, *, indoors: bool) -> None:
        """`extent` of 1 is usual; 0 is none."""
        self._world, self._sites = world, sites
        self._atmosphere = components(world).atmosphere
        self._keys = keys
        wall = np.exp(0.4 * normal(hash_bits(world.seed, "bme280/wall", keys)))
        self._wall = extent * _WALL_C * wall
        # Most are shaded well: the share of the sun that gets through falls off.
        sun = uniform(hash_bits(world.seed, "bme280/sun", keys)) ** 2
        self._sun = extent * _SUN_C * sun * (_INDOOR_SUN_SHARE if indoors else 1)
        self._grid = GridInterpolator(self._slow, len(keys), _STEP_MS)

    def warmth(self, ids: Ints, times: Ints) -> Floats:
        """Return the K of these units at these times."""
        return np.asarray(self._grid.interpolate(ids, times)[0])

    def _slow(self, ids: Ints, times: Ints) -> Floats:
        towns, moments, position = distinct_moments(self._sites[ids], times)
        found = self._atmosphere.weather(towns, moments)
        height = np.sin(np.radians(np.maximum(sun_elevation_deg(self._world, towns, moments), 0)))
        shine = (height * np.clip(_CLEAR_SHARE - _CLOUD_PER_MOISTURE * found.moisture, 0, 1))[position]
        wall = fractal_noise(self._world.seed, "bme280/exposure", self._keys[ids], times, _WALL_MS)
        return np.asarray((self._wall[ids] * wall + self._sun[ids] * shine)[None, :])
