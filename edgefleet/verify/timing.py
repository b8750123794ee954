"""Keeps when messages were due and arrived, and how long they took, in as many numbers as a chart can show. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

LONGEST_MS = 10_000_000
# Ten steps a power of ten; below 10 ms there are fewer whole numbers than that.
_EDGES_MS = np.unique(np.rint(np.geomspace(1, LONGEST_MS, 71))).astype(np.int64)


@dataclass(frozen=True, slots=True)
class LatencyBucket:
    """Counts what took more than `low_ms` and at most `high_ms`; the first has all below, the last all above."""

    low_ms: float
    high_ms: float
    count: int


def bucket_latencies(latency_ms: NDArray[np.int32]) -> tuple[LatencyBucket, ...]:
    """Return the histogram of these latencies, without the buckets that are empty."""
    places = np.minimum(np.searchsorted(_EDGES_MS, latency_ms), len(_EDGES_MS) - 1)
    counts = np.bincount(places, minlength=len(_EDGES_MS))
    lower = [0.5, *_EDGES_MS[:-1].tolist()]
    return tuple(
        LatencyBucket(lower[at], float(_EDGES_MS[at]), int(counts[at])) for at in np.flatnonzero(counts).tolist()
    )


class TimeSeries:
    """Counts events over time, in at most `most` steps that begin at an instant and double in width as time goes on."""

    def __init__(self, origin_ms: int, width_ms: int = 500, most: int = 400) -> None:
        self.width_ms = width_ms
        self._origin_ms = origin_ms
        self._counts = np.zeros(most, np.int64)
        self._used = 0

    def add(self, at_ms: NDArray[np.int64]) -> None:
        """Count events at these instants; what was before the first step is counted in it."""
        if not len(at_ms):
            return
        since = np.maximum(0, at_ms - self._origin_ms)
        latest = int(since.max())
        while latest // self.width_ms >= len(self._counts):
            pairs = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts = np.concatenate((pairs, np.zeros_like(pairs)))
            self._used = (self._used + 1) // 2
            self.width_ms *= 2
        self._used = max(self._used, latest // self.width_ms + 1)
        self._counts += np.bincount(since // self.width_ms, minlength=len(self._counts))

    def counts(self) -> list[int]:
        """Return the count of each step up to the last that has one."""
        counts: list[int] = self._counts[: self._used].tolist()
        return counts


@dataclass(frozen=True, slots=True)
class ArrivalRates:
    """Counts the messages that arrived: when they were due and when they did, in steps of so long each."""

    due: Sequence[int] = ()
    due_width_ms: int = 1
    arrived: Sequence[int] = ()
    arrived_width_ms: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkTiming:
    """Holds what a report shows of one sink beyond its counts."""

    latency: tuple[LatencyBucket, ...] = ()
    latency_per_kind: dict[str, tuple[LatencyBucket, ...]] = field(default_factory=dict)
    rates: ArrivalRates = ArrivalRates()
    missing_by_device: dict[str, int] = field(default_factory=dict)
