"""Holds what verification found, as numbers and as sentences, and what that amounts to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from edgefleet.verify.timing import SinkTiming
from edgewire.run_record import ActionRecord, StandbySpan

_DEVICES_SHOWN = 3
_DEVICES_LISTED = 100


class Outcome(StrEnum):
    """Says what a comparison amounts to."""

    PASS = "PASS"  # noqa: S105 - a word for people
    """All that the whole fleet emitted is there."""
    FAIL = "FAIL"
    """Something is missing, and it is known what."""
    INCOMPLETE = "INCOMPLETE"
    """Nothing is known to be missing, but not everything is known."""


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
    """Counts what a sink has of the messages of one kind, or of all.

    Each message that was emitted is either sent, refused, dropped or unsent.
    """

    sent: int = 0
    """What should be there."""
    stored: int = 0
    """How many of those are there, each counted once."""
    missing: tuple[str, ...] = ()
    """Ids of the first that are not."""
    altered: int = 0
    """How many of those are there with other values than were sent; told only of what has no id in it."""
    earlier: int = 0
    """Of those that are not: how many were there before this run sent them, so that it cannot be told."""
    refused: int = 0
    """The broker would not take them."""
    dropped: int = 0
    """The device gave them up."""
    overflowed: int = 0
    """Of those dropped: not by a fault of the scenario, but because the outbox was full."""
    unsent: int = 0
    """Left in the device when the run stopped, or never confirmed by the broker, and not there."""
    unexpected: int = 0
    """Arrived although, by the record, the device never sent it; often on its way when the fleet stopped."""
    duplicates: int = 0
    """Arrivals of a message beyond its first."""
    out_of_order: int = 0
    """Arrived after a later message of the same device, boot and stream."""
    late: int | None = 0
    """None where the clocks differ."""
    latency: Latency | None = None
    """None where nothing arrived, or the clocks differ."""

    @property
    def lost(self) -> int:
        """Return how many were sent and never arrived."""
        return self.sent - self.stored - self.earlier - self.altered

    def to_json(self) -> dict[str, Any]:
        """Return it as printed with `--json`."""
        return {
            "stored": self.stored,
            "lost": self.lost,
            "missing": list(self.missing),
            "altered": self.altered,
            "earlier": self.earlier,
            "refused": self.refused,
            "dropped": self.dropped,
            "overflowed": self.overflowed,
            "unsent": self.unsent,
            "unexpected": self.unexpected,
            "duplicates": self.duplicates,
            "out_of_order": self.out_of_order,
            "late": self.late,
            "latency_ms": self.latency.to_json() if self.latency else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Alterations:
    """Says what is other than it was sent in the messages that were looked into."""

    looked_into: int = 0
    fields: Mapping[str, int] = field(default_factory=dict)
    """Name of a value, or `timestamp` -> in how many it is other."""
    examples: tuple[str, ...] = ()
    """The first, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkVerdict:
    """Holds what one sink has."""

    total: Counts
    per_kind: Mapping[str, Counts]
    note: str = ""
    """What one must know to read the numbers."""
    clocks_differ_ms: int | None = None
    """By how much the sink's clock seems to be ahead of the fleet's, where that is why latencies mean nothing."""
    untold: tuple[str, ...] = ()
    """Sentences on what cannot be told from what is there."""
    reasons: tuple[str, ...] = ()
    """Sentences on what somebody has done to the run, so that something is missing; they say nothing where none is."""
    alterations: Alterations = field(default_factory=Alterations)
    timing: SinkTiming = field(default_factory=SinkTiming)
    """For a report; `--json` has none of it."""

    def without_times(self) -> Self:
        """Return it without latencies, of what does not say when it came."""
        per_kind = {kind: replace(counts, late=None, latency=None) for kind, counts in self.per_kind.items()}
        return replace(self, total=replace(self.total, late=None, latency=None), per_kind=per_kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunVerdict:
    """Says whether all that was emitted is in every sink that was looked into."""

    run_id: str
    sent: Mapping[str, int]
    """By kind."""
    sinks: Mapping[str, SinkVerdict] = field(default_factory=dict)
    """By name: `http`, `kafka`."""
    refused: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By kind and reason."""
    standby: Sequence[StandbySpan] = ()
    """When real sensors were in the places of emulators: what these did not send meanwhile is not missing."""
    actions: Sequence[ActionRecord] = ()
    """What was done to the run as it went on."""
    gaps: Sequence[str] = ()
    """Sentences on the parts of the fleet whose messages are not accounted for."""

    @property
    def total_sent(self) -> int:
        """Return how many messages of all kinds should have arrived."""
        return sum(self.sent.values())

    @property
    def outcome(self) -> Outcome:
        """Return what it amounts to. An empty run proves nothing."""
        if any(self._failures(sink) for sink in self.sinks.values()):
            return Outcome.FAIL
        if self.untold:
            return Outcome.INCOMPLETE
        return Outcome.PASS if self.total_sent > 0 else Outcome.FAIL

    @property
    def ok(self) -> bool:
        """Return whether it is known that nothing is missing."""
        return self.outcome is Outcome.PASS

    @property
    def untold(self) -> list[str]:
        """Return why it is not known whether everything arrived, in sentences."""
        return [*self.gaps, *(sentence for sink in self.sinks.values() for sentence in sink.untold)]

    @property
    def totals(self) -> list[Counts]:
        """Return the counts of each sink."""
        return [sink.total for sink in self.sinks.values()]

    def failures(self) -> list[str]:
        """Return what is known to be missing, in sentences."""
        found = [f"{name}: {text}" for name, sink in self.sinks.items() for text in self._failures(sink)]
        return found if found or self.total_sent or self.untold else ["the record holds nothing that was sent"]

    def without_times(self, names: Sequence[str]) -> Self:
        """Return it without the latencies of these sinks, whose rows do not say when they came."""
        sinks = {name: sink.without_times() if name in names else sink for name, sink in self.sinks.items()}
        return replace(self, sinks=sinks)

    def _failures(self, sink: SinkVerdict) -> list[str]:
        total = sink.total
        reasons: dict[str, int] = {}
        for of_kind in self.refused.values():
            for reason, count in of_kind.items():
                reasons[reason] = reasons.get(reason, 0) + count
        why = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
        return [
            sentence
            for count, sentence in (
                (total.lost, f"{total.lost:,} were sent and did not arrive{_of_devices(sink)}"),
                *((total.lost, reason) for reason in sink.reasons),
                (total.altered, f"{total.altered:,} arrived with other values than were sent{_in_fields(sink)}"),
                (total.refused, f"the broker refused {total.refused:,}: {why}"),
                (total.unsent, f"{total.unsent:,} never left the devices, or were never confirmed, and did not arrive"),
                (total.overflowed, f"{total.overflowed:,} were given up by devices whose outbox was full"),
            )
            if count
        ]

    def to_json(self) -> dict[str, Any]:
        """Return it as printed with `--json`. The latency at the top is that of the first sink."""
        latency = next((total.latency for total in self.totals), None)
        late = [total.late for total in self.totals if total.late is not None]
        return {
            "ok": self.ok,
            "verdict": self.outcome.value,
            "run_id": self.run_id,
            "sent": self.total_sent,
            "failures": self.failures(),
            "incomplete": self.untold,
            "refused": {kind: dict(reasons) for kind, reasons in self.refused.items()},
            "actions": [
                {"number": one.number, "at_ms": one.at_ms, "action": one.action, "said": one.said}
                for one in self.actions
            ],
            "standby": {"spans": len(self.standby), "withheld": sum(span.withheld_count for span in self.standby)},
            **{name: _sink_json(sink) for name, sink in self.sinks.items()},
            "altered": sum(total.altered for total in self.totals),
            "duplicates": sum(total.duplicates for total in self.totals),
            "out_of_order": sum(total.out_of_order for total in self.totals),
            "late": sum(late) if late or not self.sinks else None,
            "latency_ms": latency.to_json() if latency else None,
            "per_kind": {
                kind: {"sent": sent} | {name: sink.per_kind[kind].to_json() for name, sink in self.sinks.items()}
                for kind, sent in self.sent.items()
            },
        }


def _of_devices(sink: SinkVerdict) -> str:
    """Say of which devices messages are missing, those with the most first."""
    missing = _most_missing(sink)
    more = ", …" if len(sink.timing.missing_by_device) > _DEVICES_SHOWN else ""
    named = ", ".join(f"{count:,} of {name}" for name, count in [*missing.items()][:_DEVICES_SHOWN])
    return f": {named}{more}" if named else ""


def _in_fields(sink: SinkVerdict) -> str:
    """Say what is other in messages that were altered."""
    found = sink.alterations
    named = ", ".join(f"{name} in {count:,}" for name, count in found.fields.items())
    part = "" if found.looked_into >= sink.total.altered else f" of the first {found.looked_into:,}"
    return f": {named}{part}" if named else ""


def _most_missing(sink: SinkVerdict) -> dict[str, int]:
    return dict(sorted(sink.timing.missing_by_device.items(), key=lambda one: (-one[1], one[0])))


def _sink_json(sink: SinkVerdict) -> dict[str, Any]:
    found = sink.total.to_json() | {"clocks_differ_ms": sink.clocks_differ_ms}
    found["missing_by_device"] = dict([*_most_missing(sink).items()][:_DEVICES_LISTED])
    found["altered_fields"] = dict(sink.alterations.fields)
    return found | ({"note": sink.note} if sink.note else {})
