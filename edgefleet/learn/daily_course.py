"""Finds what a number does over the day, where at least two days were seen."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from devices.world.random import Floats, Ints

_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
_SEEN_MS = 2 * _DAY_MS - _HOUR_MS
_LEAST_SHARE = 0.4
"""Of the variance within devices, from which on it is more than chance that the hours differ."""


def daily_course(series: Sequence[tuple[Ints, Sequence[Any]]]) -> Floats | None:
    """Return the mean of each hour of the day (UTC) beside the device's mean; None where it tells little, or too little
    was seen."""
    told = [
        (times, np.array(values, dtype=np.float64))
        for times, values in series
        if len(times) and times[-1] - times[0] >= _SEEN_MS
    ]
    if not told:
        return None
    hours = np.concatenate([times // _HOUR_MS % 24 for times, _ in told])
    beside = np.concatenate([values - values.mean() for _, values in told])
    counts = np.bincount(hours, minlength=24)
    if counts.min() < 2 or not beside.any():
        return None
    course: Floats = np.bincount(hours, beside, minlength=24) / counts
    left = beside - course[hours]
    return course if 1 - float((left**2).sum() / (beside**2).sum()) >= _LEAST_SHARE else None


def course_at(course: Floats, times: Ints) -> Floats:
    """Return the course at some moments, straight between the middles of hours."""
    within = (times % _DAY_MS) / _HOUR_MS
    return np.asarray(np.interp(within, np.arange(-1, 25) + 0.5, course[np.arange(-1, 25) % 24]))


def course_points(course: Floats) -> dict[str, float]:
    """Return it as the points of a profile, to three digits."""
    return {f"{hour:02d}:30": float(f"{value:.3g}") for hour, value in enumerate(course.tolist())}
