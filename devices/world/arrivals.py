"""Headways: when vehicles pass a point of a lane, and how closely a vehicle follows the one ahead.

Arrivals are Cowan's M3: some vehicles are bunched behind others, the rest are free. P(h > t) = a exp(-l (t - D)) for
t >= D: a share 1 - a follows at the least headway D, the others leave an exponential gap beyond it.
a = (1 - D q) / (1 - (1 - k) D q), where q is the flow of the lane; k = 0.2.
"""

import numpy as np

from devices.world.noise import smooth_noise_of
from devices.world.random import Floats, Hashes, Ints, extend, normal, uniform
from devices.world.runs import Runs

LEAST_HEADWAY_S = 2.0
"""Of a single lane; a judgement, as is the bunching parameter."""
_BUNCHING = 0.2
_TICKS_PER_S = 1_000_000


def free_share(flow_per_s: Floats, least_s: Floats | float = LEAST_HEADWAY_S) -> Floats:
    """Return the share of vehicles that do not follow in a bunch, by the flow of their lane."""
    occupied = least_s * flow_per_s
    return np.asarray((1 - occupied) / (1 - (1 - _BUNCHING) * occupied))


def arrivals(bits: Hashes, ends: Hashes, groups: Ints, counts: Ints, length_s: Floats) -> Floats:
    """Return the seconds from the beginning of its interval at which each vehicle passes, ascending within its group.

    `bits` is a draw for each vehicle, and vehicles of one group (a lane in an interval) stand together; `groups` is
    the group of each. `counts`, `length_s` and `ends` (a draw) have an entry a group. The count is given, so the free
    gaps are stretched until the last fills the interval. Sums are of whole microseconds: exact in any company.
    """
    least_s = np.minimum(LEAST_HEADWAY_S, 0.8 * length_s / np.maximum(counts, 1))
    free = free_share(counts / length_s, least_s)
    chance = uniform(bits)
    share = free[groups]
    begins = np.cumsum(counts) - counts
    first = np.arange(len(groups)) == begins[groups]
    # A uniform number below the share is, divided by it, uniform again.
    exponential = -np.log1p(-np.minimum(np.where(chance < share, chance / share, 0.0), 1 - 1e-12))
    exponential = np.where(first & (chance >= share), -np.log1p(-np.minimum(chance, 1 - 1e-12)), exponential)
    ticks = (exponential * _TICKS_PER_S).astype(np.int64)
    running = np.concatenate([[0], np.cumsum(ticks)])
    within = running[1:] - running[begins[groups]]
    tail = (-np.log1p(-uniform(ends)) * _TICKS_PER_S).astype(np.int64) + 1
    total = running[begins + counts] - running[begins] + tail
    stretch = (length_s - np.maximum(counts - 1, 0) * least_s) / total
    number = np.arange(len(groups)) - begins[groups]
    return np.asarray(within * stretch[groups] + number * least_s[groups])


# DfT 2019: 75 % of cars and vans keep 2 s and more. Who follows in a bunch keeps about 1.9 s, the rash less; the
# spread and the shares of bunched vehicles are judged so that the quarter comes out in usual traffic.
_BUNCHED_S, _BUNCHED_SIGMA, _RASHNESS = 1.8, 0.3, 0.3
_BUNCHED_EMPTY, _BUNCHED_PER_DENSITY, _BUNCHED_MOST = 0.2, 0.9, 0.8
_FREE_LEAST_S, _FREE_MEAN_S = 2.0, 6.0
_SWING, _SWING_MS = 0.12, 15_000


def headway_s(passage: Hashes, times_ms: Ints, density: Floats, aggressiveness: Floats) -> Floats:
    """Return the time gap to the vehicle ahead, by the bits of a vehicle's passage of a link; it swings a little."""
    share = np.minimum(_BUNCHED_EMPTY + _BUNCHED_PER_DENSITY * density, _BUNCHED_MOST)
    runs = Runs(passage, aggressiveness)
    bits, rash = passage[runs.first], aggressiveness[runs.first]
    bunched = _BUNCHED_S * np.exp(_BUNCHED_SIGMA * normal(extend(bits, 1)) - _RASHNESS * (rash - 1))
    free = _FREE_LEAST_S - _FREE_MEAN_S * np.log1p(-uniform(extend(bits, 2)))
    follows = runs.spread(uniform(extend(bits, 3))) < share
    gap = np.where(follows, runs.spread(bunched), runs.spread(free))
    swing = smooth_noise_of(runs.spread(extend(bits, 4)), times_ms, _SWING_MS)
    return np.asarray(gap * (1 + _SWING * swing))
