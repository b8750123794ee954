"""Reports what was lost before it reached us: counted, logged, and shown by /readyz for an hour.

The bridge itself loses nothing, so what is missing was dropped by the broker or by a device; see `broker_stats` and
`sequence_gaps`, which find it.
"""

from collections.abc import Sequence

from bridge.metrics import BridgeMetrics
from edgewire import logs
from edgewire.clock import Clock, iso_ms

_SHOWN_MS = 3_600_000

log = logs.get("losses")


class LossReport:
    """Holds the latest loss of every kind, and counts all."""

    def __init__(self, metrics: BridgeMetrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._latest: dict[str, tuple[int, str]] = {}

    @property
    def warnings(self) -> list[str]:
        """Return one sentence for each kind of loss of the last hour."""
        now_ms = self._clock.now_ms()
        return [f"{text} ({iso_ms(when)})" for when, text in self._latest.values() if now_ms - when < _SHOWN_MS]

    def record_session_lost(self, broker: str) -> None:
        """Report that the broker has no session where there should be one."""
        self._metrics.sessions_lost.inc()
        log.error("the broker had no session for us: whatever it had queued is lost", broker=broker)
        self._remember("session", f"broker {broker} had lost our session and whatever it had queued in it")

    def record_first_session(self, broker: str) -> None:
        """Report that another broker of the list is subscribed to for the first time."""
        said = "had no session for us yet: what was published there before is not received"
        log.warning(f"the broker {said}", broker=broker)
        self._remember("first session", f"broker {broker} {said}")

    def record_dropped(self, count: int) -> None:
        """Report that the broker's own count of dropped messages, of all its clients, has risen."""
        self._metrics.broker_dropped.inc(count)
        log.error("the broker drops messages: look at its max_queued_messages and max_queued_bytes", count=count)
        self._remember("dropped", f"the broker has dropped {count} messages, ours or another client's")

    def record_missing(self, count: int, devices: int, gaps: Sequence[str], unnamed: int = 0) -> None:
        """Report that numbers of devices were left out and have not come in time: `gaps`, and so many more."""
        self._metrics.missing.inc(count)
        log.error("messages of devices are missing", count=count, devices=devices, gaps=gaps, more_gaps=unnamed)
        said = f"{count} messages of {devices} devices are missing, such as {gaps[0]}"
        self._remember("missing", f"{said}: lost by device or broker")

    def record_found_late(self, count: int) -> None:
        """Report that messages which were called missing have come after all."""
        self._metrics.found_late.inc(count)
        log.info("messages that were missing have come late", count=count)

    def _remember(self, kind: str, text: str) -> None:
        self._latest[kind] = (self._clock.now_ms(), text)
