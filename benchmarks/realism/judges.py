"""How well a model tells real readings from emulated ones, as the area under the curve: .5 is a guess, 1 always.

Windows are of one or three days. Blocks of 15 days are never in training and test at once, nor are the windows that
reach into them; the emulated year that a judge is tested on has another seed than the one it has learnt from.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import roc_auc_score

FOLDS, BLOCK_DAYS = 4, 15
_HOURS = 24


@dataclass(frozen=True, slots=True)
class Judge:
    """A model, and what it is shown of a window."""

    name: str
    model: Callable[[], RandomForestClassifier | HistGradientBoostingClassifier]
    days: int
    shapes: bool = False
    """Whether it is shown changes from hour to hour and summaries beside the readings."""


def forest() -> RandomForestClassifier:
    """Return a forest."""
    return RandomForestClassifier(100, min_samples_leaf=2, random_state=0, n_jobs=1)


def boosting() -> HistGradientBoostingClassifier:
    """Return the stricter model."""
    return HistGradientBoostingClassifier(max_iter=80, random_state=0)


JUDGES = (
    Judge("random forest, one day", forest, 1),
    Judge("gradient boosting, one day", boosting, 1),
    Judge("random forest, three days", forest, 3),
    Judge("gradient boosting, three days", boosting, 3),
    Judge("gradient boosting, one day with changes and summaries", boosting, 1, shapes=True),
)
"""Of the readings but for the last."""


def area_under_curve(
    judge: Judge, real: pd.DataFrame, learnt: pd.DataFrame, tested: pd.DataFrame, rows_a_day: int = _HOURS
) -> float:
    """Return how well a judge knows the real rows from the tested ones that has learnt from the others."""
    sets = [_windows(year, judge.days, rows_a_day) for year in (real, learnt, tested)]
    tables = [_shown(rows, shapes=judge.shapes) for rows, _ in sets]
    chance, answer = [], []
    for fold in range(FOLDS):
        inside = [day // BLOCK_DAYS % FOLDS == fold for _, day in sets]
        outside = [~np.isin(day, _around(day[test], judge.days)) for (_, day), test in zip(sets, inside, strict=True)]
        train = [table[rows] for table, rows in zip(tables[:2], outside[:2], strict=True)]
        model = judge.model().fit(np.concatenate(train), np.repeat([1, 0], [len(one) for one in train]))
        test = [tables[0][inside[0]], tables[2][inside[2]]]
        chance.append(model.predict_proba(np.concatenate(test))[:, 1])
        answer.append(np.repeat([1, 0], [len(one) for one in test]))
    return float(roc_auc_score(np.concatenate(answer), np.concatenate(chance)))


def _around(days: np.ndarray, width: int) -> np.ndarray:
    return np.unique(np.concatenate([days + shift for shift in range(1 - width, width)]))


def _windows(year: pd.DataFrame, days: int, rows_a_day: int) -> tuple[np.ndarray, np.ndarray]:
    filled = year.interpolate(limit=3) if rows_a_day > 1 else year
    by_day = filled.to_numpy().reshape(-1, rows_a_day, year.shape[1])
    rows = np.stack([by_day[day : day + days].reshape(-1, year.shape[1]) for day in range(len(by_day) - days + 1)])
    whole = np.isfinite(rows).all(axis=(1, 2))
    return rows[whole], np.flatnonzero(whole)


def _shown(rows: np.ndarray, *, shapes: bool) -> np.ndarray:
    readings = rows.reshape(len(rows), -1)
    if not shapes:
        return readings
    step = np.diff(rows, axis=1)
    summaries = [rows.mean(1), rows.std(1), np.ptp(rows, axis=1), step.std(1), np.diff(step, axis=1).std(1)]
    return np.concatenate([readings, step.reshape(len(rows), -1), *summaries], axis=1)
