"""Finds the noise whose series look as those that were seen: by simulating what the generators make.

Each candidate is sampled as the devices were, as often and as long, and measured by the same estimators. So a slow
course of which a short capture shows a part is taken for what it is.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from devices.world.noise import fractal_noise, smooth_noise
from devices.world.random import Floats
from edgefleet.learn.moments import Moments, measure

_DEVICES = 48
_MOST_READINGS = 240
_STEP_MS = 1000
PERIODS = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 256.0, 512.0, 1024.0, 4096.0)
"""Of candidates, in intervals."""
_WHITE = np.arange(0, 1.0, 0.05)
_WEIGHTS = (4.0, 2.0, 1.0, 1.0)
"""Of the lags, the nearest first."""
_TOLERATED, _APART = 1.5, 0.05
_FEW = 8
"""Readings of a device below which what follows what is not told apart."""


class NoiseShape(NamedTuple):
    """Says what noise is like: a smooth part with a period, and one of each reading alone."""

    slow: float
    period_ms: int
    is_smooth: bool
    """Whether the smooth part has no detail within its period."""
    fast: float
    vary: float
    """How far the devices' means differ beside it."""
    moves: float = 0.0
    """How far the smooth part goes in the time that was seen, which is less than `slow` where its period is longer."""


def fit_noise(seen: Moments, readings: int, interval_ms: int, step: float = 0.0) -> NoiseShape:
    """Return noise that has the moments that were seen of so many readings a device.

    `step` is what the values are rounded to: that is noise of its own, and is made again as they are written.
    """
    first = seen.lags[0]
    rounding = step / 12**0.5
    if first is None or readings < _FEW or first < 0.1 or not seen.within:
        fast = _beyond(seen.within, rounding) or seen.within or seen.deviation
        return NoiseShape(0.0, 0, False, fast, _beyond(seen.between, seen.within / max(readings, 1) ** 0.5))
    candidates = [
        (_fault(seen, shape, white), periods, is_smooth, white, shape)
        for is_smooth in (False, True)
        for periods in PERIODS
        for shape in [_simulated(min(readings, _MOST_READINGS), periods, is_smooth)]
        for white in _WHITE.tolist()
    ]
    _, periods, is_smooth, white, shape = min(candidates, key=lambda one: one[0])
    slow = seen.within * float(np.sqrt(1 - white)) / shape.within
    fast = _beyond(seen.within * float(np.sqrt(white)), rounding)
    vary = _beyond(seen.between, slow * shape.between)
    moves = seen.within * float(np.sqrt(1 - white))
    return NoiseShape(slow, round(periods * interval_ms), is_smooth, fast, vary, moves)


def unevenness_by_chance(seen: Moments, readings: int, interval_ms: int) -> float:
    """Return how far the deviations of devices differ that all have the noise which was seen."""
    noise = fit_noise(seen, readings, interval_ms)
    if not noise.slow:
        return float(np.sqrt(0.5 / max(readings, 2)))
    shape = _simulated(min(readings, _MOST_READINGS), noise.period_ms / interval_ms, noise.is_smooth)
    return float(shape.uneven * noise.slow**2 / (noise.slow**2 + noise.fast**2))


def _fault(seen: Moments, shape: Moments, white: float) -> float:
    """Return how far noise with so much of each reading alone is from what was seen."""
    fault = 0.0
    for weight, wanted, smooth in zip(_WEIGHTS, seen.lags, shape.lags, strict=True):
        if wanted is not None:
            fault += weight * ((1 - white) * (smooth or 0.0) - wanted) ** 2
    # A course far longer than was seen makes devices differ: where they do not, it is none.
    explained = seen.within * float(np.sqrt(1 - white)) / shape.within * shape.between
    if seen.between and explained > _TOLERATED * seen.between:
        fault += _APART * float(np.log(explained / seen.between)) ** 2
    return fault


def _beyond(between: float, explained: float) -> float:
    """Return what differs between devices beside what their courses explain."""
    return float(np.sqrt(max(0.0, between**2 - explained**2)))


@lru_cache(512)
def _simulated(readings: int, periods: float, is_smooth: bool) -> Moments:
    return measure(simulated_series(readings, periods, is_smooth))


@lru_cache(512)
def simulated_series(readings: int, periods: float, is_smooth: bool) -> list[Floats]:
    """Return what some devices do whose noise has this period, in intervals, and deviation 1."""
    times = np.tile(np.arange(readings, dtype=np.int64) * _STEP_MS, _DEVICES)
    devices = np.repeat(np.arange(_DEVICES, dtype=np.uint64), readings)
    course = smooth_noise if is_smooth else fractal_noise
    values = course(1, "learn", devices, times, round(periods * _STEP_MS))
    return list(values.reshape(_DEVICES, readings))
