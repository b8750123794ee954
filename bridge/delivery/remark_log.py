"""Counts, logs and shows what a sink remarks on messages that it delivered."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.metrics import BridgeMetrics
from bridge.sinks.base import Remark
from edgewire import logs
from edgewire.clock import Clock

_LOG_EVERY_S = 60.0
"""A cause is logged at most so often; all are counted."""

_SHOWN_S = 600.0
"""How long after the last of its kind a remark is shown."""


@dataclass(slots=True)
class _Seen:
    """Holds the newest remark of a cause."""

    reason: str
    count: int
    last_s: float
    logged_s: float | None = None


class RemarkLog:
    """Holds the remarks of one sink, by cause."""

    def __init__(self, sink: str, metrics: BridgeMetrics, clock: Clock) -> None:
        self._sink = sink
        self._metrics = metrics
        self._clock = clock
        self._log = logs.get(f"sink.{sink}")
        self._seen: dict[str, _Seen] = {}

    @property
    def warnings(self) -> list[str]:
        """Return the newest remark of each cause, with their number, while it is recent."""
        since = self._clock.monotonic() - _SHOWN_S
        return [
            f"{seen.count:,} messages were delivered with a remark ({cause}), last: {seen.reason}"
            for cause, seen in self._seen.items()
            if seen.last_s >= since
        ]

    def record(self, remarks: Sequence[Remark]) -> None:
        """Note the remarks on a batch."""
        now = self._clock.monotonic()
        counts = Counter(remark.cause for remark in remarks)
        reasons = {remark.cause: remark.reason for remark in remarks}
        for cause, count in counts.items():
            self._metrics.remarks.labels(self._sink, cause).inc(count)
            seen = self._seen.setdefault(cause, _Seen("", 0, now))
            seen.reason, seen.last_s = reasons[cause], now
            seen.count += count
            if seen.logged_s is None or now - seen.logged_s >= _LOG_EVERY_S:
                seen.logged_s = now
                self._log.warning("delivered, with a remark", cause=cause, messages=count, reason=seen.reason)
