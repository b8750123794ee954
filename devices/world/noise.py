"""Slow randomness: smooth noise that can be evaluated at any time directly.

Independent normals at the points of a time lattice, blended by cosine weights whose squares sum to one: mean 0 and
variance 1 everywhere, not only at the points.
"""

import numpy as np

from devices.world.rng import Floats, Hashes, Ints, draw, normal


def smooth(seed: int, stream: str, entity: Hashes | Ints | int, times_ms: Ints, period_ms: Ints | int) -> Floats:
    """Unit-variance noise of an entity; values a `period_ms` or more apart are independent."""
    cell, within = np.divmod(times_ms, period_ms)
    fraction = within / period_ms
    angle = (fraction * fraction * (3 - 2 * fraction)) * (np.pi / 2)
    left = normal(draw(seed, stream, entity, cell))
    right = normal(draw(seed, stream, entity, cell + 1))
    return np.asarray(left * np.cos(angle) + right * np.sin(angle))


def fractal(seed: int, stream: str, entity: Hashes | Ints | int, times_ms: Ints, period_ms: Ints | int) -> Floats:
    """Unit-variance noise with detail at a period, a quarter and a sixteenth of it."""
    weights = (0.84, 0.46, 0.28)
    total = sum(
        weight * smooth(seed, f"{stream}/{octave}", entity, times_ms, np.maximum(period_ms // 4**octave, 1))
        for octave, weight in enumerate(weights)
    )
    return np.asarray(total / np.sqrt(sum(weight**2 for weight in weights)))
