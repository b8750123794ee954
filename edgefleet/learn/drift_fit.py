"""Finds a slow course that some devices have much more of than others, beside noise that is alike in all.

What the calmest devices do is in all of them; what the others do beyond it, whose devices differ far, is the drift.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from devices.world.random import Floats
from edgefleet.learn.moments import autocovariance, measure
from edgefleet.learn.noise_fit import PERIODS, simulated_series, unevenness_by_chance

_LEAST_DEVICES, _LEAST_READINGS = 12, 16
_LEAST_UNEVEN = 0.25
"""Of the logarithms of deviations, beyond what chance makes of them."""
_CALM = 1 / 3
_LEAST_EXCESS = 0.3
"""Of the variance, from which on there is a drift."""
_SPREADS = np.arange(0.0, 2.01, 0.1)


class DriftShape(NamedTuple):
    """Says what a drift is like, and which devices hardly have it."""

    deviation: float
    period_ms: int
    is_smooth: bool
    spread: float
    calm: Sequence[Floats]
    """What those devices said."""


def fit_drift(columns: Sequence[Floats], interval_ms: int) -> DriftShape | None:
    """Return the drift of devices that differ in how far they move; None where they are alike."""
    told = sorted((one for one in columns if len(one) >= _LEAST_READINGS), key=lambda one: float(one.std()))
    if len(told) < _LEAST_DEVICES:
        return None
    seen = measure(told)
    readings = round(float(np.median([len(one) for one in told])))
    if seen.uneven**2 < _LEAST_UNEVEN**2 + unevenness_by_chance(seen, readings, interval_ms) ** 2:
        return None
    calm = told[: max(4, round(_CALM * len(told)))]
    every, quiet = autocovariance(told), autocovariance(calm)
    excess = every[0] - quiet[0]
    if excess < _LEAST_EXCESS * every[0]:
        return None
    wanted = [(whole - part) / excess for whole, part in zip(every[1:], quiet[1:], strict=True)]
    found = min(
        (
            (_distance(wanted, series), periods, is_smooth, series)
            for is_smooth in (True, False)
            for periods in PERIODS
            for series in [simulated_series(readings, periods, is_smooth)]
        ),
        key=lambda entry: entry[0],
    )
    _, periods, is_smooth, series = found
    # A course far longer than was seen moves less within it than it does in all.
    own = np.array([float(one.std()) for one in series])
    deviation = float(np.sqrt(excess) / np.sqrt((own**2).mean()))
    spread = _spread(seen.uneven, own * deviation, float(np.sqrt(quiet[0])))
    return DriftShape(deviation, round(periods * interval_ms), is_smooth, spread, calm)


def _distance(wanted: Sequence[float], series: Sequence[Floats]) -> float:
    whole, *lags = autocovariance(series)
    return sum((lag / whole - one) ** 2 / place for place, (lag, one) in enumerate(zip(lags, wanted, strict=True), 1))


def _spread(uneven: float, deviations: Floats, calm: float) -> float:
    """Return how far the drift of devices differs, so that their deviations differ as far as was seen."""
    own = np.random.default_rng(1).normal(size=(64, len(deviations)))

    def unevenness(spread: float) -> float:
        drift = deviations * np.exp(spread * own - spread**2)
        return float(np.log(np.sqrt(drift**2 + calm**2)).std())

    return float(min(_SPREADS, key=lambda spread: abs(unevenness(float(spread)) - uneven)))
