"""The fleet at a moment, in numbers that several processes can add up."""

import resource
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from devices.fleet.histogram import Histogram


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """What live views, metrics and the report are made of. Counts are since the start of the run."""

    devices: int = 0
    connected: int = 0
    resting: int = 0
    """Not connected because they want no connection: they sleep, or are down during a reset."""
    unconnected: int = 0
    """Not connected even once so far."""
    emitted: int = 0
    acknowledged: int = 0
    inflight: int = 0
    """Published and not yet acknowledged."""
    buffered: int = 0
    """In the outboxes."""
    stalled: int = 0
    """Of those in outboxes: the ones whose device is connected, so that only the broker's window holds them back."""
    dropped: int = 0
    reconnects: int = 0
    failed_dials: int = 0
    refused_dials: int = 0
    """Of the failed dials: those that the broker answered with a refusal."""
    slowed_s: float = 0.0
    """How long the ramp went slower than it was allowed to, because the broker was slow to answer."""
    lag: Histogram = field(default_factory=Histogram)
    """Handed to the connection - due."""
    lag_connected: Histogram = field(default_factory=Histogram)
    """Of that, what came after all devices had connected once."""
    puback: Histogram = field(default_factory=Histogram)
    """Acknowledged - published; a sample."""
    connack: Histogram = field(default_factory=Histogram)
    """Accepted by the broker - dialled."""
    elapsed_s: float = 0.0
    """Since the process began to dial, of all processes together."""
    cpu_s: float = 0.0
    """Processor time since then."""
    rss_bytes: int = 0
    """Memory of the process."""

    @property
    def lag_p99_ms(self) -> float | None:
        """99 % of the messages so far left no later than this after they were due."""
        return self.lag.percentile_ms(99)

    @classmethod
    def total(cls, parts: "Iterable[Snapshot]") -> "Snapshot":
        """All of them together."""
        total = cls()
        for part in parts:
            for item in fields(cls):
                value = getattr(part, item.name)
                if isinstance(value, Histogram):
                    getattr(total, item.name).merge(value)
                else:
                    setattr(total, item.name, getattr(total, item.name) + value)
        return total


def process_usage() -> tuple[float, int]:
    """Processor time (s) and memory (bytes) of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, _rss_bytes(usage.ru_maxrss)


def _rss_bytes(max_rss_kib: int) -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        # Without /proc only the largest so far is known.
        return max_rss_kib * 1024
