"""How late messages leave: a histogram of (sent - due), so a user sees whether the generator kept up."""

import numpy as np


class LagHistogram:
    """Counts in buckets that grow by a tenth, from 0.1 ms to 1,000 s: percentiles are right to within 10 %."""

    _EDGES_MS = np.geomspace(0.1, 1_000_000, num=170)

    def __init__(self) -> None:
        self._counts = np.zeros(len(self._EDGES_MS) + 1, dtype=np.int64)

    def add(self, lags_ms: list[float]) -> None:
        """Count these lags; milliseconds."""
        np.add.at(self._counts, np.searchsorted(self._EDGES_MS, lags_ms), 1)

    @property
    def total(self) -> int:
        """How many were counted."""
        return int(self._counts.sum())

    def percentile_ms(self, percent: float) -> float | None:
        """The upper edge of the bucket in which this percentile lies; None while nothing was counted."""
        if not self.total:
            return None
        rank = np.searchsorted(np.cumsum(self._counts), self.total * percent / 100)
        return round(float(self._EDGES_MS[min(int(rank), len(self._EDGES_MS) - 1)]), 2)

    def summary(self) -> dict[str, float | None]:
        """The percentiles that reports show."""
        return {f"p{percent}": self.percentile_ms(percent) for percent in (50, 95, 99)}
