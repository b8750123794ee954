"""Whether faults are found as easily in emulated air as in real air, by three detectors in use.

Faults are those of `devices.faults`, put into the temperature of JFK for a day at a time; Newark is its neighbour. The
real pair and each emulated pair get the same faults at the same hours.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

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


def detection(here: pd.DataFrame, neighbour: pd.DataFrame, seed: int) -> Iterator[tuple[str, str, float]]:
    """Yield detector, fault, and the area under the curve of the hours with that fault among all others."""
    for name, fault in FAULTS.items():
        faulty, wrong = with_fault(here, fault, seed)
        for detector, score in DETECTORS.items():
            scores = score(faulty, neighbour)
            known = (faulty[_FIELD].notna() & np.isfinite(scores)).to_numpy()
            yield detector, name, float(roc_auc_score(wrong[known], scores.to_numpy()[known]))


def with_fault(year: pd.DataFrame, fault: Fault, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the year with this fault a day in five, and in which hours it is."""
    values = year[_FIELD].ffill().bfill().to_numpy()
    hours = np.arange(len(values))
    since = hours % _EVERY_H - (_EVERY_H - _LASTS_H)
    rows = np.flatnonzero(since >= 0)
    before = values[rows - since[rows] - 1]
    affected = AffectedRows(
        seed, "realism", rows, hash_bits(seed, "realism/station", np.zeros(len(rows), dtype=np.int64)), YEAR_MS[rows],
        (since[rows] + 1) * HOUR_MS, lambda: {_FIELD: before},
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


def beside_neighbour(year: pd.DataFrame, neighbour: pd.DataFrame) -> pd.Series:
    """Return how unusual the difference from the neighbour is for the time of the day."""
    apart = year[_FIELD] - neighbour[_FIELD]
    return (apart - apart.groupby(year.index.hour).transform("median")).abs()


DETECTORS: Mapping[str, Callable[[pd.DataFrame, pd.DataFrame], pd.Series]] = {
    "isolation forest": isolation_forest,
    "residual of a forecast": residual,
    "beside the neighbour": beside_neighbour,
}
