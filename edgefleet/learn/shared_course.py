"""Finds what devices have in common at each moment, as those in one room feel the same air."""

from collections.abc import Sequence

import numpy as np

from devices.world.random import Floats, Ints

_LEAST_DEVICES, _LEAST_READINGS = 8, 12
_LEAST_SHARE = 0.4
"""Of the variance within devices, from which on it is more than chance."""


def shared_course(times: Sequence[Ints], columns: Sequence[Floats], interval_ms: int) -> Floats | None:
    """Return what the devices do together, in steps of the interval, beside their means; None where each goes its way.

    It begins at the first reading of all; where nobody has spoken in a step it is what it was before.
    """
    told = [(at, one) for at, one in zip(times, columns, strict=True) if len(one) >= _LEAST_READINGS]
    if len(told) < _LEAST_DEVICES:
        return None
    begin = min(int(at[0]) for at, _ in told)
    steps = np.concatenate([(at - begin) // interval_ms for at, _ in told])
    beside = np.concatenate([one - one.mean() for _, one in told])
    counts = np.bincount(steps)
    variance = float((beside**2).mean())
    many = counts >= max(_LEAST_DEVICES, len(told) / 2)
    if not variance or many.sum() < _LEAST_READINGS:
        return None
    means = np.bincount(steps, beside)[many] / counts[many]
    by_chance = float((1 / counts[many]).mean())
    share = (float((means**2).mean()) / variance - by_chance) / (1 - by_chance)
    if share < _LEAST_SHARE:
        return None
    places = np.flatnonzero(many)
    return np.asarray(np.interp(np.arange(len(counts)), places, means))


def shared_at(course: Floats, begin_ms: int, times: Ints, interval_ms: int) -> Floats:
    """Return a course that begins at a moment at some others."""
    return course[np.clip((times - begin_ms) // interval_ms, 0, len(course) - 1)]
