"""How closely a vehicle follows the one ahead."""

import numpy as np

from devices.world.noise import smooth_of
from devices.world.rng import Floats, Hashes, Ints, further, normal, uniform

# DfT 2019: 75 % of cars and vans keep 2 s and more. Who follows in a bunch keeps about 1.9 s, the rash less; the
# spread and the shares of bunched vehicles are judged so that the quarter comes out in usual traffic.
_BUNCHED_S, _BUNCHED_SIGMA, _RASHNESS = 1.8, 0.3, 0.3
_BUNCHED_EMPTY, _BUNCHED_PER_DENSITY, _BUNCHED_MOST = 0.2, 0.9, 0.8
_FREE_LEAST_S, _FREE_MEAN_S = 2.0, 6.0
_SWING, _SWING_MS = 0.12, 15_000


def headway_s(passage: Hashes, times_ms: Ints, density: Floats, temper: Floats) -> Floats:
    """Time gap to the vehicle ahead, for bits drawn for a vehicle's passage of a link; it swings a little in time."""
    share = np.minimum(_BUNCHED_EMPTY + _BUNCHED_PER_DENSITY * density, _BUNCHED_MOST)
    bunched = _BUNCHED_S * np.exp(_BUNCHED_SIGMA * normal(further(passage, 1)) - _RASHNESS * (temper - 1))
    free = _FREE_LEAST_S - _FREE_MEAN_S * np.log1p(-uniform(further(passage, 2)))
    gap = np.where(uniform(further(passage, 3)) < share, bunched, free)
    return np.asarray(gap * (1 + _SWING * smooth_of(further(passage, 4), times_ms, _SWING_MS)))
