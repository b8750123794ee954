"""Slow randomness: smooth noise that can be evaluated at any time directly.

Independent normals at the points of a time lattice, blended by cosine weights whose squares sum to one: mean 0 and
variance 1 everywhere, not only at the points.
"""

import numpy as np

from devices.world.rng import Floats, Hashes, Ints, coarse_normals, draw, further, normal

_OCTAVES = np.array([0.84, 0.46, 0.28]) / np.sqrt(0.84**2 + 0.46**2 + 0.28**2)
"""Weight of the detail at a period, a quarter and a sixteenth of it."""


def smooth(seed: int, stream: str, entity: Hashes | Ints | int, times_ms: Ints, period_ms: Ints | int) -> Floats:
    """Unit-variance noise of an entity; values a `period_ms` or more apart are independent."""
    cell, within = np.divmod(times_ms, period_ms)
    angle = _angle(within / period_ms)
    left = normal(draw(seed, stream, entity, cell))
    right = normal(draw(seed, stream, entity, cell + 1))
    return np.asarray(left * np.cos(angle) + right * np.sin(angle))


def smooth_of(bits: Hashes, times_ms: Ints, period_ms: Ints | int) -> Floats:
    """As `smooth`, for entities and a stream that are already hashed to `bits`."""
    cell, within = np.divmod(times_ms, period_ms)
    angle = _angle(within / period_ms)
    return np.asarray(normal(further(bits, cell)) * np.cos(angle) + normal(further(bits, cell + 1)) * np.sin(angle))


def fractal(seed: int, stream: str, entity: Hashes | Ints | int, times_ms: Ints, period_ms: Ints | int) -> Floats:
    """Unit-variance noise with detail at a period, a quarter and a sixteenth of it."""
    total = sum(
        weight * smooth(seed, f"{stream}/{octave}", entity, times_ms, np.maximum(period_ms // 4**octave, 1))
        for octave, weight in enumerate(_OCTAVES)
    )
    return np.asarray(total)


def fields(seed: int, stream: str, x: Floats, y: Floats, times_ms: Ints, periods_ms: Ints) -> Floats:
    """Unit-variance noise over a plane and time, one row a period; lattice points of the plane are 1 apart.

    Each is `fractal` in time. Sums run term by term, so that a value has the same bits in any company.
    """
    periods = periods_ms[:, None] // 4 ** np.arange(len(_OCTAVES))
    cell, within = np.divmod(times_ms, periods[..., None])
    time_angle = _angle(within / periods[..., None])
    west, south = np.floor(x), np.floor(y)
    x_angle, y_angle = _angle(x - west), _angle(y - south)
    streams = draw(seed, stream, np.arange(periods.size).reshape(*periods.shape, 1))
    octaves = np.zeros(cell.shape)
    for dy, y_weight in ((0, np.cos(y_angle)), (1, np.sin(y_angle))):
        for dx, x_weight in ((0, np.cos(x_angle)), (1, np.sin(x_angle))):
            place = ((south + dy).astype(np.int64) << 32) ^ ((west + dx).astype(np.int64) & 0xFFFFFFFF)
            there = further(streams, place)
            before, after = coarse_normals(further(there, cell)), coarse_normals(further(there, cell + 1))
            octaves += y_weight * x_weight * (before * np.cos(time_angle) + after * np.sin(time_angle))
    total = np.zeros((len(periods), len(times_ms)))
    for octave, weight in enumerate(_OCTAVES):
        total += weight * octaves[:, octave]
    return total


def _angle(fraction: Floats) -> Floats:
    return np.asarray((fraction * fraction * (3 - 2 * fraction)) * (np.pi / 2))
