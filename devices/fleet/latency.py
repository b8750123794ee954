"""Measures how long things take: a histogram of milliseconds that several processes can add up.

How long the broker takes to acknowledge is measured on a sample, so that most messages cost nothing more.
"""

from collections.abc import Hashable, Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

# To find the buckets of one value costs as much as those of a hundred: values are kept until there are so many.
_KEPT = 2048

# One message in so many is timed at the most; where few are sent, more of them, for about so many a second.
EVERY = 16
SAMPLES_PER_S = 400

# A percentile is told from so many values on: below, it would be the largest of a few.
ENOUGH = {50: 5, 95: 20, 99: 100}


def sample_every(messages_per_s: float) -> int:
    """Return one message in how many is to be timed, where so many are sent."""
    return max(1, min(EVERY, round(messages_per_s / SAMPLES_PER_S)))


class Histogram:
    """Counts values in buckets that grow by a tenth, from 0.1 ms to 1,000 s: percentiles are right to within 10 %."""

    _EDGES_MS = np.geomspace(0.1, 1_000_000, num=170)

    def __init__(self) -> None:
        self._in_buckets: NDArray[np.int64] = np.zeros(len(self._EDGES_MS) + 1, dtype=np.int64)
        self._sum_ms = 0.0
        self._kept_ms: list[float] = []

    def add(self, values_ms: Iterable[float]) -> None:
        """Count these values; milliseconds."""
        self._kept_ms.extend(values_ms)
        if len(self._kept_ms) >= _KEPT:
            self._sort_in()

    @property
    def sum_ms(self) -> float:
        """Return the sum of all values."""
        self._sort_in()
        return self._sum_ms

    def merge(self, other: Self) -> None:
        """Count what another one has counted."""
        self._in_buckets += other._counts
        self._sum_ms += other._sum_ms

    def copy(self) -> Self:
        """Return one that no longer changes with this one."""
        copy = type(self)()
        copy.merge(self)
        return copy

    def since(self, before: Self) -> Self:
        """Return what this one has counted since `before` was a copy of it."""
        later = self.copy()
        later._in_buckets -= before._counts
        later._sum_ms -= before._sum_ms
        return later

    @property
    def total(self) -> int:
        """Return how many values were counted."""
        return int(self._counts.sum())

    def percentile_ms(self, percent: float) -> float | None:
        """Return the upper edge of the bucket in which this percentile lies; None while nothing was counted."""
        if not self.total:
            return None
        rank = np.searchsorted(np.cumsum(self._counts), self.total * percent / 100)
        return round(float(self._EDGES_MS[min(int(rank), len(self._EDGES_MS) - 1)]), 2)

    def sound_percentile_ms(self, percent: int) -> float | None:
        """Return this percentile, one of `ENOUGH`; None where it would be made of too few values."""
        return self.percentile_ms(percent) if self.total >= ENOUGH[percent] else None

    def usual_ms(self) -> float | None:
        """Return the 99th percentile; of fewer values the median, in which no single one counts; None of too few."""
        return self.sound_percentile_ms(99) or self.sound_percentile_ms(50)

    def share_between(self, low_ms: float, high_ms: float) -> float:
        """Return which part of the values lies between these two, to within a bucket."""
        low, high = np.searchsorted(self._EDGES_MS, (low_ms, high_ms))
        return float(self._counts[low:high].sum()) / max(1, self.total)

    def summary(self) -> dict[str, float | None]:
        """Return the percentiles that reports show, as far as there are enough values for each."""
        return {f"p{percent}": self.sound_percentile_ms(percent) for percent in ENOUGH}

    def buckets(self) -> list[tuple[float, int]]:
        """Return `(upper edge in ms, count)` of each bucket with something in it; the last stands for all beyond it."""
        edges = self._EDGES_MS
        return [
            (round(float(edges[min(rank, len(edges) - 1)]), 2), int(self._counts[rank]))
            for rank in np.flatnonzero(self._counts).tolist()
        ]

    def cumulative(self) -> list[tuple[float, int]]:
        """Return `(edge in ms, how many took no longer)` for every tenth edge up to 10 s: few enough to publish."""
        totals = np.cumsum(self._counts)
        ranks = range(0, int(np.searchsorted(self._EDGES_MS, 10_000)), 10)
        return [(float(self._EDGES_MS[rank]), int(totals[rank])) for rank in ranks]

    def to_json(self) -> dict[str, Any]:
        """Return it as a run record holds it."""
        return {"count": self.total, **self.summary(), "buckets": self.buckets()}

    @property
    def _counts(self) -> NDArray[np.int64]:
        self._sort_in()
        return self._in_buckets

    def _sort_in(self) -> None:
        """Put the values that are kept into their buckets."""
        if self._kept_ms:
            buckets = np.searchsorted(self._EDGES_MS, self._kept_ms)
            self._in_buckets += np.bincount(buckets, minlength=len(self._in_buckets))
            self._sum_ms += sum(self._kept_ms)
            self._kept_ms.clear()


class AckProbe:
    """Times one message a device at once. PUBACKs come in the order of the messages (MQTT 4.6), so they are counted."""

    def __init__(self, every: int = EVERY) -> None:
        """Time one message in `every`."""
        self.latency = Histogram()
        self._every = every
        self._under_way: dict[Hashable, tuple[int, float]] = {}
        self._skipped = 0

    def is_due(self) -> bool:
        """Return whether the message that is published now is one of the sample."""
        self._skipped += 1
        if self._skipped < self._every:
            return False
        self._skipped = 0
        return True

    def start_sample(self, publisher: Hashable, outstanding: int, now: float) -> None:
        """Time the newest of `outstanding` unacknowledged messages of a device, which went out just now."""
        if outstanding:
            self._under_way[publisher] = (outstanding, now)

    def count_acknowledged(self, publisher: Hashable, count: int, now: float) -> None:
        """Count so many more messages of a device that were acknowledged."""
        outstanding, since = self._under_way[publisher]
        if count < outstanding:
            self._under_way[publisher] = (outstanding - count, since)
            return
        del self._under_way[publisher]
        self.latency.add([1000 * (now - since)])

    def forget_sample(self, publisher: Hashable) -> None:
        """Give up a measurement: what is acknowledged on the next connection tells of the outage, not of the broker."""
        self._under_way.pop(publisher, None)

    def __contains__(self, publisher: object) -> bool:
        return publisher in self._under_way
