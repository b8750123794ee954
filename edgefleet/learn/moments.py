"""Measures of a series of each device: what is compared between captured and emulated, by the same estimators."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from devices.world.random import Floats

_LEAST = 4
"""Readings of a device from which its series says something of what follows what."""
_ENOUGH = 8
"""Readings of a device, and devices, from which on their deviations are compared."""
_STILL = 0.05
_UNMOVED = 1e-18


@dataclass(frozen=True, slots=True)
class Moments:
    """Says how the values of several devices are: all together, and each from reading to reading."""

    count: int
    low: float
    high: float
    mean: float
    deviation: float
    within: float
    """Deviation within a device, pooled."""
    between: float
    """Deviation of the devices' means."""
    uneven: float
    """How far the devices' deviations differ: the deviation of their logarithms."""
    lags: tuple[float | None, ...]
    """Correlation with the reading before, and with those `LAGS` before; None where too little is seen or nothing
    moves."""


LAGS = (1, 2, 4, 8)


def measure(series: Sequence[Floats]) -> Moments:
    """Return the moments of the series of each device, of which one at least has a value."""
    every = np.concatenate(series)
    moving = [one - one.mean() for one in series if len(one) >= _LEAST]
    squares = sum(float((one**2).sum()) for one in moving)
    freedom = sum(len(one) - 1 for one in moving)
    means = np.array([one.mean() for one in series if len(one)])
    return Moments(
        len(every),
        float(every.min()),
        float(every.max()),
        float(every.mean()),
        float(every.std()),
        float(np.sqrt(squares / freedom)) if freedom else 0.0,
        float(means.std(ddof=1)) if len(means) > 1 else 0.0,
        _unevenness(moving),
        tuple(_lag(moving, lag) for lag in LAGS),
    )


def _unevenness(moving: Sequence[Floats]) -> float:
    spreads = np.array([one.std() for one in moving if len(one) >= _ENOUGH])
    if len(spreads) < _ENOUGH or not spreads.any():
        return 0.0
    # One that hardly moves is not told from one that does not.
    return float(np.log(np.maximum(spreads, _STILL * spreads.mean())).std(ddof=1))


def autocovariance(series: Sequence[Floats]) -> list[float]:
    """Return the variance within devices, and their covariance over each of `LAGS`, the mean of all devices."""
    moving = [one - one.mean() for one in series if len(one) > max(LAGS) + 1]
    return [
        sum(float((one[lag:] * one[: len(one) - lag]).mean()) for one in moving) / len(moving) for lag in (0, *LAGS)
    ]


def _lag(moving: Sequence[Floats], lag: int) -> float | None:
    """Return the correlation over a lag, pooled over the devices."""
    products = squares = 0.0
    for one in moving:
        if len(one) > lag + 1:
            products += float((one[lag:] * one[:-lag]).sum()) / (len(one) - lag)
            squares += float((one**2).mean())
    return products / squares if squares > _UNMOVED else None
