"""Whether faults are found as easily in emulated air as in real air, by six detectors in use.

Faults are those of `devices.faults`, put into the temperature of JFK for a day at a time; Newark is its neighbour. The
real pair and each emulated pair get the same faults at the same hours. How far a result may be off by chance is told
by drawing blocks of 15 days again and again, the same of the real and of the emulated year.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

from benchmarks.realism.stations import YEAR_MS, Station, as_airport, emulated_air
from devices.faults.base import Fault
from devices.faults.rows import AffectedRows
from devices.faults.sensor_faults import Bias, Drift, Noise, Spike, StuckAt
from devices.world.random import hash_bits
from devices.world.world import HOUR_MS, MINUTE_MS, Site, World

_FIELD = "temperature_c"
_COMMON = {"kind": "bme280", "field": _FIELD, "from": "2013-01-01T00:00:00Z"}
FAULTS: Mapping[str, Fault] = {
    "spike": Spike.model_validate(_COMMON | {"type": "spike", "size": 3, "chance": 0.3}),
    "stuck": StuckAt.model_validate(_COMMON | {"type": "stuck_at"}),
    "drift": Drift.model_validate(_COMMON | {"type": "drift", "per_hour": 0.3}),
    "offset": Bias.model_validate(_COMMON | {"type": "bias", "offset": 4}),
    "noise": Noise.model_validate(_COMMON | {"type": "noise", "sigma": 1.5}),
}
"""By the names of the table."""
_EVERY_H, _LASTS_H = 120, 24
_BLOCK_H, _REDRAWN = 360, 200
_LEARNT_ROWS = 1500


def pair_of_airports(seed: int, here: Station, neighbour: Station) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the emulated year of two stations in one world, reported and missing as theirs are."""
    sites = [
        Site(name=f"s{number}", latitude=one.latitude, longitude=one.longitude, altitude_m=0, climate=one.normals(),
             coast=one.coast)
        for number, one in enumerate((here, neighbour))
    ]  # fmt: skip
    world = World.build(seed, sites, version=2)
    years = [
        as_airport(emulated_air(world, number, YEAR_MS + one.late_min * MINUTE_MS)).where(one.readings.notna())
        for number, one in enumerate((here, neighbour))
    ]
    return years[0], years[1]


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """What one detector made of a year with one fault, hour by hour."""

    scores: np.ndarray
    """NaN where it said nothing."""
    wrong: np.ndarray

    def auc(self, hours: np.ndarray | slice = slice(None)) -> float:
        """Return the area under the curve of these hours, of those with the fault among all others."""
        scores, wrong = self.scores[hours], self.wrong[hours]
        known = np.isfinite(scores)
        return float(roc_auc_score(wrong[known], scores[known]))


def detection(here: pd.DataFrame, neighbour: pd.DataFrame, seed: int) -> Iterator[tuple[str, str, Detection]]:
    """Yield detector, fault, and what was found."""
    for name, fault in FAULTS.items():
        faulty, wrong = with_fault(here, fault, seed)
        for detector, score in DETECTORS.items():
            scores = score(faulty, neighbour).where(faulty[_FIELD].notna())
            yield detector, name, Detection(scores.to_numpy(dtype=np.float64), wrong)


def difference(real: Detection, emulated: list[Detection]) -> tuple[float, float, float]:
    """Return the mean area of the emulated years less the real one's, and the ends of what holds in 95 of 100 draws."""
    draws = np.random.default_rng(0)
    starts = np.arange(0, len(real.scores) - _BLOCK_H + 1, _BLOCK_H)
    blocks = starts[:, None] + np.arange(_BLOCK_H)
    found = []
    for _ in range(_REDRAWN):
        hours = blocks[draws.integers(len(blocks), size=len(blocks))].ravel()
        found.append(emulated[draws.integers(len(emulated))].auc(hours) - real.auc(hours))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(np.mean([one.auc() for one in emulated]) - real.auc()), float(low), float(high)


def with_fault(year: pd.DataFrame, fault: Fault, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the year with this fault a day in five, and in which hours it is."""
    values = year[_FIELD].ffill().bfill().to_numpy()
    hours = np.arange(len(values))
    since = hours % _EVERY_H - (_EVERY_H - _LASTS_H)
    rows = np.flatnonzero(since >= 0)
    before = values[rows - since[rows] - 1]
    affected = AffectedRows(
        seed, "realism", rows, hash_bits(seed, "realism/station", np.zeros(len(rows), dtype=np.int64)), YEAR_MS[rows],
        (since[rows] + 1) * HOUR_MS, np.full(len(rows), -HOUR_MS), lambda: {_FIELD: before},
    )  # fmt: skip
    column = np.asarray(fault.apply({_FIELD: values}, affected)[_FIELD], dtype=np.float64)
    faulty = year.assign(**{_FIELD: np.where(year[_FIELD].isna(), np.nan, column)})
    wrong = since >= 0
    # Of spikes, only the readings that are one.
    return faulty, wrong & (column != values) if isinstance(fault, Spike) else wrong


def isolation_forest(year: pd.DataFrame, _: pd.DataFrame) -> pd.Series:
    """Return the score of an isolation forest over the readings and their changes."""
    shown = year.interpolate(limit=3)
    warm = shown[_FIELD]
    shown = shown.assign(
        step=warm.diff(), ahead=-warm.diff(-1), day=warm.diff(24), spread=warm.rolling(6, center=True).std(),
        usual=warm - warm.rolling(49, center=True, min_periods=12).median(),
    )  # fmt: skip
    known = shown.notna().all(axis=1)
    model = IsolationForest(n_estimators=100, random_state=0, n_jobs=1).fit(shown[known])
    return pd.Series(-model.score_samples(shown[known]), index=year.index[known]).reindex(year.index)


def residual(year: pd.DataFrame, _: pd.DataFrame) -> pd.Series:
    """Return the deviation of each reading from a linear forecast by the hours before and the same hour yesterday."""
    warm = year[_FIELD].interpolate(limit=3)
    past = pd.concat([warm.shift(lag) for lag in (1, 2, 3, 23, 24, 25)], axis=1)
    known = past.notna().all(axis=1) & warm.notna()
    table = np.column_stack([past[known], np.ones(known.sum())])
    rest = warm[known] - table @ np.linalg.lstsq(table, warm[known], rcond=None)[0]
    return (rest - rest.median()).abs().reindex(year.index)


def rolling_score(year: pd.DataFrame, _: pd.DataFrame) -> pd.Series:
    """Return how many deviations each reading is from the mean of the day before it."""
    warm = year[_FIELD]
    day = warm.shift(1).rolling(24, min_periods=12)
    return (warm - day.mean()).abs() / day.std().clip(lower=0.1)


def local_outliers(year: pd.DataFrame, _: pd.DataFrame) -> pd.Series:
    """Return how alone each six hours are among all others of the year (local outlier factor)."""
    with warnings.catch_warnings():
        # It warns of hours that are all the same, which those of a stuck sensor are.
        warnings.simplefilter("ignore", UserWarning)
        return _of_lags(year, lambda lags: -LocalOutlierFactor(20).fit(lags).negative_outlier_factor_)


def one_class(year: pd.DataFrame, _: pd.DataFrame) -> pd.Series:
    """Return how far each six hours are outside of what a one-class support vector machine takes for usual."""

    def score(lags: np.ndarray) -> np.ndarray:
        learnt = lags[:: max(1, len(lags) // _LEARNT_ROWS)]
        return np.asarray(-OneClassSVM(nu=0.1, gamma="scale").fit(learnt).decision_function(lags))

    return _of_lags(year, score)


def _of_lags(year: pd.DataFrame, score: Callable[[np.ndarray], np.ndarray]) -> pd.Series:
    """Return the scores of each hour with the five before it, less their mean, and the mean itself."""
    warm = year[_FIELD].interpolate(limit=3)
    lags = pd.concat([warm.shift(lag) for lag in range(6)], axis=1)
    mean = lags.mean(axis=1)
    table = lags.sub(mean, axis=0).assign(mean=mean / 5)
    known = lags.notna().all(axis=1)
    return pd.Series(score(table[known].to_numpy()), index=year.index[known]).reindex(year.index)


def beside_neighbour(year: pd.DataFrame, neighbour: pd.DataFrame) -> pd.Series:
    """Return how unusual the difference from the neighbour is for the time of the day."""
    apart = year[_FIELD] - neighbour[_FIELD]
    return (apart - apart.groupby(year.index.hour).transform("median")).abs()


DETECTORS: Mapping[str, Callable[[pd.DataFrame, pd.DataFrame], pd.Series]] = {
    "isolation forest": isolation_forest,
    "rolling deviation": rolling_score,
    "local outlier factor": local_outliers,
    "one-class machine": one_class,
    "residual of a forecast": residual,
    "beside the neighbour": beside_neighbour,
}
