"""When the messages of a run were due and when a sink stored them, read from the sink itself."""

from contextlib import closing
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from edgefleet.verify.arrivals import ArrivalSource
from edgewire.run_record import RunRecord

Times = NDArray[np.int64]


class SinkLatency(NamedTuple):
    """Of all messages that one sink has: when each was due and when it was stored, in milliseconds since 1970."""

    due_ms: Times
    stored_ms: Times

    @classmethod
    def read(cls, source: ArrivalSource, record: RunRecord, devices: str = "") -> Self:
        """All that a sink has of devices whose names begin so; they must be of this run.

        Devices' time is wall time, less a fixed difference.
        """
        shift = record.started_ms - record.sim_started_ms
        with closing(source):
            parts = []
            for one in source.read_arrivals():
                rows = [name.startswith(devices) for name in one.device_id]
                due, stored = (np.array(column, np.int64)[rows] for column in (one.timestamp_ms, one.arrived_ms))
                parts.append((due + shift, stored))
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def latency_ms(self, from_ms: float, to_ms: float) -> dict[str, Any]:
        """Percentiles of those that were due in this time."""
        rows = (self.due_ms >= from_ms) & (self.due_ms < to_ms)
        if not rows.any():
            return {"messages": 0}
        took = (self.stored_ms - self.due_ms)[rows]
        p50, p95, p99 = np.percentile(took, (50, 95, 99), method="inverted_cdf").tolist()
        return {"messages": int(rows.sum()), "p50": p50, "p95": p95, "p99": p99, "max": int(took.max())}
