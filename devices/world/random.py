"""Counter-based randomness: a draw is a hash of (seed, stream, entity, counter), so it can be had at any time.

There is no generator and no state. Arguments broadcast as numpy arrays do; the hash is the finaliser of splitmix64
(Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) over the running value.
"""

import zlib
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from devices.world.trigonometry import cosine, cosine_sine

Hashes = NDArray[np.uint64]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)


def _mix(value: Hashes) -> Hashes:
    value = (value ^ (value >> np.uint64(30))) * _M1
    value = (value ^ (value >> np.uint64(27))) * _M2
    return value ^ (value >> np.uint64(31))


def hash_bits(seed: int, stream: str, *counters: Hashes | Ints | int) -> Hashes:
    """Return 64 random bits for each combination of counters; `stream` names what they are for."""
    value = np.asarray([(seed ^ (zlib.crc32(stream.encode()) << 32)) & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64)
    return extend(value, *counters)


def extend(bits: Hashes, *counters: Hashes | Ints | int) -> Hashes:
    """Continue a draw: `extend(hash_bits(seed, stream, a), b)` is `hash_bits(seed, stream, a, b)`."""
    for counter in counters:
        step = np.asarray(counter)
        bits = _mix((bits ^ step.astype(np.uint64)) * _GOLDEN + _GOLDEN)
    return bits


def uniform(bits: Hashes) -> Floats:
    """Return a uniform number in [0, 1)."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(bits: Hashes) -> Floats:
    """Return a standard normal, by Box and Muller from the draw and a second one made of it."""
    first = 1.0 - uniform(bits)
    second = uniform(_mix(bits ^ _GOLDEN))
    return np.asarray(np.sqrt(-2.0 * np.log(first)) * cosine(2.0 * np.pi * second))


def normals(bits: Hashes) -> tuple[Floats, Floats]:
    """Return two independent standard normals, from the two halves of the bits; they end at 6.7 deviations."""
    radius = np.sqrt(-2.0 * np.log(((bits >> np.uint64(32)).astype(np.float64) + 0.5) * 2.0**-32))
    angle = (bits & np.uint64(0xFFFFFFFF)).astype(np.float64) * (2.0 * np.pi * 2.0**-32)
    across, up = cosine_sine(angle)
    return radius * across, radius * up


_TABLE_BITS = 14


def _normal_table() -> Floats:
    half = 2 ** (_TABLE_BITS - 1)
    upper = np.array([NormalDist().inv_cdf(0.5 + (index + 0.5) / (2 * half)) for index in range(half)])
    table = np.concatenate([-upper[::-1], upper])
    return np.asarray(table / table.std())


_NORMAL = _normal_table()
"""The quantiles of the standard normal in the middle of 2^14 equal shares; the outermost are at 4 deviations."""


def coarse_normals(bits: Hashes, place: int = 0) -> Floats:
    """Return a standard normal by 14 bits of a draw, from a table: a tenth of `normal`'s cost, no tail beyond 4.

    Places 0 to 3 of one draw are independent of each other.
    """
    index = (bits >> np.uint64(64 - _TABLE_BITS * (place + 1))) & np.uint64(2**_TABLE_BITS - 1)
    return np.asarray(_NORMAL[index.astype(np.int64)])


def poisson(bits: Hashes, mean: Floats) -> Ints:
    """Return Poisson counts, by inversion; for means above 60 the normal approximation (off by 1 % of a deviation)."""
    mean = np.broadcast_to(mean, bits.shape)
    counts = np.maximum(0, np.rint(mean + np.sqrt(mean) * normal(bits))).astype(np.int64)
    small = mean <= 60
    if small.any():
        counts[small] = _invert_poisson(uniform(bits[small]), mean[small])
    return counts


def _invert_poisson(target: Floats, mean: Floats) -> Ints:
    counts = np.zeros(len(target), dtype=np.int64)
    term = np.exp(-mean)
    reached = term.copy()
    for k in range(1, 130):
        below = reached < target
        if not below.any():
            break
        counts += below
        term = term * mean / k
        reached = reached + term
    return counts
