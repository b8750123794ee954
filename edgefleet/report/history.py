"""Keeps the numbers of a fleet over the time of its run, for its report: a few hundred points, however long it was."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from devices.fleet.latency import Histogram
from devices.fleet.metrics import FleetSnapshot
from edgefleet.report.live import REFRESH_S, ReadSnapshots

MOST = 400
"""Points that are kept; of more, every second one goes. Counts are since the start, so that no message goes with it."""


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """Holds the counts of the fleet since its start, so many seconds after it."""

    at_s: float
    connected: int = 0
    emitted: int = 0
    delivered: int = 0
    failed: int = 0
    """Refused or dropped."""
    buffered: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)
    """Emitted."""
    lag: Histogram = field(default_factory=Histogram)
    puback: Histogram = field(default_factory=Histogram)


class FleetHistory:
    """Collects points of a run."""

    def __init__(self, most: int = MOST) -> None:
        self.points = [HistoryPoint(0.0)]
        self._most = most
        self._every, self._passed = 1, 0

    def add(self, at_s: float, now: FleetSnapshot) -> None:
        """Enter the fleet as it is `at_s` seconds after its start."""
        self._passed += 1
        if self._passed % self._every:
            return
        self.points.append(_point(at_s, now))
        if len(self.points) > self._most:
            self.points = self.points[::2]
            self._every *= 2

    def close(self, at_s: float, final: FleetSnapshot) -> None:
        """Enter the fleet as it was when the run was over."""
        # What is left of the last step is too short for a rate.
        step_s = self.points[-1].at_s - self.points[-2].at_s if len(self.points) > 1 else 0.0
        if len(self.points) > 1 and self.points[-1].at_s > at_s - step_s / 2:
            self.points.pop()
        self.points.append(_point(at_s, final))

    def rates(self, count: Callable[[HistoryPoint], int]) -> list[tuple[float, float]]:
        """Return how many a second were counted, as (seconds, rate), between each two points."""
        pairs = zip(self.points, self.points[1:], strict=False)
        # A worker that has died takes its numbers with it.
        return [
            (now.at_s, max(0, count(now) - count(before)) / (now.at_s - before.at_s))
            for before, now in pairs
            if now.at_s > before.at_s
        ]


@asynccontextmanager
async def recorded_history(history: FleetHistory | None, snapshots: ReadSnapshots) -> AsyncIterator[None]:
    """Collect points for as long as the block runs; without a history, do nothing."""
    if history is None:
        yield
        return
    task = asyncio.create_task(_record(history, snapshots), name="history")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _record(history: FleetHistory, snapshots: ReadSnapshots) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(REFRESH_S)
        history.add(time.monotonic() - began, FleetSnapshot.total(snapshot for _, snapshot in snapshots()))


def _point(at_s: float, now: FleetSnapshot) -> HistoryPoint:
    return HistoryPoint(
        at_s,
        connected=now.connected,
        emitted=now.emitted,
        delivered=now.delivered,
        failed=now.refused + now.dropped,
        buffered=now.buffered,
        by_kind={kind: gauges.emitted for kind, gauges in now.kinds.items()},
        lag=now.lag.copy(),
        puback=now.puback.copy(),
    )
