"""Holds what verification found, as numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Latency:
    """Holds percentiles of the time from when a message was due to when it arrived, in milliseconds."""

    p50: int
    p95: int
    p99: int

    def to_json(self) -> dict[str, int]:
        """Return it as printed with `--json`."""
        return {"p50": self.p50, "p95": self.p95, "p99": self.p99}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Counts what a sink has of the messages of one kind, or of all."""

    sent: int = 0
    """What should be there: emitted, less what the device dropped and what it had not sent when it stopped."""
    stored: int = 0
    """How many of those are there, each counted once."""
    missing: tuple[str, ...] = ()
    """Ids of the first that are not."""
    unexpected: int = 0
    """Arrived although, by the record, the device never sent it; often on its way when the fleet stopped."""
    duplicates: int = 0
    """Arrivals of a message beyond its first."""
    out_of_order: int = 0
    """Arrived after a later message of the same device, boot and stream."""
    late: int = 0
    latency: Latency | None = None
    """None where nothing arrived."""

    @property
    def lost(self) -> int:
        """Return how many never arrived."""
        return self.sent - self.stored

    def to_json(self) -> dict[str, Any]:
        """Return it as printed with `--json`."""
        return {
            "stored": self.stored,
            "lost": self.lost,
            "missing": list(self.missing),
            "unexpected": self.unexpected,
            "duplicates": self.duplicates,
            "out_of_order": self.out_of_order,
            "late": self.late,
            "latency_ms": self.latency.to_json() if self.latency else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkVerdict:
    """Holds what one sink has."""

    total: Counts
    per_kind: Mapping[str, Counts]
    note: str = ""
    """What one must know to read the numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunVerdict:
    """Says whether all that was sent is in every sink that was looked into."""

    run_id: str
    sent: Mapping[str, int]
    """By kind."""
    sinks: Mapping[str, SinkVerdict] = field(default_factory=dict)
    """By name: `http`, `kafka`."""

    @property
    def total_sent(self) -> int:
        """Return how many messages of all kinds should have arrived."""
        return sum(self.sent.values())

    @property
    def ok(self) -> bool:
        """Return whether nothing was lost, and there was something to lose: an empty run proves nothing."""
        return self.total_sent > 0 and all(sink.total.lost == 0 for sink in self.sinks.values())

    @property
    def totals(self) -> list[Counts]:
        """Return the counts of each sink."""
        return [sink.total for sink in self.sinks.values()]

    def to_json(self) -> dict[str, Any]:
        """Return it as printed with `--json`. The latency at the top is that of the first sink."""
        latency = next((total.latency for total in self.totals), None)
        return {
            "ok": self.ok,
            "run_id": self.run_id,
            "sent": self.total_sent,
            **{name: _sink_json(sink) for name, sink in self.sinks.items()},
            "duplicates": sum(total.duplicates for total in self.totals),
            "out_of_order": sum(total.out_of_order for total in self.totals),
            "late": sum(total.late for total in self.totals),
            "latency_ms": latency.to_json() if latency else None,
            "per_kind": {
                kind: {"sent": sent} | {name: sink.per_kind[kind].to_json() for name, sink in self.sinks.items()}
                for kind, sent in self.sent.items()
            },
        }


def _sink_json(sink: SinkVerdict) -> dict[str, Any]:
    return sink.total.to_json() | ({"note": sink.note} if sink.note else {})
