"""Says what is missing from a run, from its books alone: each finding is a sentence, the gravest first.

One function serves the live view, `--json`, `run.json` and the exit code, so that none of them knows better. A problem
makes the run fail; a note is told all the same.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from devices.fleet.metrics import FleetSnapshot

# Reasons that are named of one finding; the rest are summed up.
SHOWN = 3


class RunFinding(NamedTuple):
    """Holds one thing that was found."""

    name: str
    """For machines; the same as in `--fail-if` where it has a number there."""
    sentence: str
    """For people; begins with a capital letter and has no full stop."""

    @property
    def full_sentence(self) -> str:
        """Return the sentence with what ends it."""
        return self.sentence if self.sentence.endswith("?") else f"{self.sentence}."


def find_problems(now: FleetSnapshot, *, is_over: bool) -> list[RunFinding]:
    """Return what is missing and fails the run; until a run `is_over`, only what cannot be made good any more."""
    return [finding for finding in _problems(now, is_over=is_over) if finding.sentence]


def find_notes(now: FleetSnapshot) -> list[RunFinding]:
    """Return what happened and is worth a word, though nothing is missing for it."""
    return list(_notes(now))


def _problems(now: FleetSnapshot, *, is_over: bool) -> Iterator[RunFinding]:
    incidents = now.incidents
    if is_over and now.emitted and not now.delivered:
        yield RunFinding(
            "nothing_arrived", f"The broker took none of {_count(now.emitted, 'message')}, as far as it says"
        )
    if is_over and now.unconnected:
        why = incidents.connects_refused + incidents.connects_failed
        yield RunFinding(
            "never_connected",
            f"{now.unconnected:,} of {_count(now.devices, 'device')} never connected{_reasons(why, ': ')}",
        )
    if incidents.takeovers.events:
        tally = incidents.takeovers
        yield RunFinding(
            "takeovers",
            f"Another client uses the ids {tally.names} (another run? the real sensors?): "
            f"{_count(tally.devices, 'device')} thrown out {_count(tally.events, 'time')}",
        )
    if now.refused:
        yield RunFinding("refused", f"The broker refused {_count(now.refused, 'message')}: {_refusals(now)}")
    if incidents.controls_refused:
        count = _count(incidents.controls_refused.total(), "status or result", "statuses or results")
        yield RunFinding("controls_refused", f"The broker refused {count}{_reasons(incidents.controls_refused, ': ')}")
    if incidents.deaf.devices:
        yield RunFinding(
            "subscribes_refused",
            f"{_count(incidents.deaf.devices, 'device takes', 'devices take')} no commands, as the broker refused the "
            f"subscription{_reasons(incidents.subscribes_refused, ': ')} ({incidents.deaf.names})",
        )
    overflowed = now.dropped - now.dropped_by_fault
    if overflowed:
        yield RunFinding("dropped", f"{_count(overflowed, 'message was', 'messages were')} dropped by full outboxes")
    if not is_over:
        if incidents.unanswered.devices and now.inflight:
            count = _count(incidents.unanswered.devices, "device")
            yield RunFinding(
                "unanswered", f"The broker has acknowledged nothing of {count} for long ({incidents.unanswered.names})"
            )
        return
    in_doubt = now.unacknowledged - now.unacknowledged_by_fault
    if in_doubt:
        yield RunFinding(
            "unacknowledged",
            f"{_count(in_doubt, 'message was', 'messages were')} sent and never acknowledged: "
            f"{'it' if in_doubt == 1 else 'they'} may have arrived or not",
        )
    if now.unsent:
        yield RunFinding(
            "unsent", f"{_count(now.unsent, 'message was', 'messages were')} still in the outboxes at the end"
        )
    if now.unaccounted:
        yield RunFinding(
            "unaccounted",
            f"The books do not balance by {_count(abs(now.unaccounted), 'message')}: a mistake of edgefleet's, "
            "please report it",
        )


def _notes(now: FleetSnapshot) -> Iterator[RunFinding]:
    incidents = now.incidents
    if now.devices and not now.emitted:
        yield RunFinding("nothing_emitted", "No device had anything to send in this time")
    if now.dropped_by_fault or now.unacknowledged_by_fault:
        doubt = f", and left {now.unacknowledged_by_fault:,} in doubt" if now.unacknowledged_by_fault else ""
        yield RunFinding(
            "dropped_by_fault",
            f"Faults and resets of the scenario cost {_count(now.dropped_by_fault, 'message')}{doubt}",
        )
    if now.sent_qos0:
        yield RunFinding(
            "sent_qos0",
            f"{_count(now.sent_qos0, 'message')} left at QoS 0, which no broker acknowledges: only 'edgefleet verify' "
            "can tell whether they arrived",
        )
    if now.batches:
        yield RunFinding(
            "batches",
            f"{_count(now.batched, 'reading was', 'readings were')} in {_count(now.batches, 'message')} of several: all"
            " other numbers are of readings",
        )
    if incidents.withdrawals:
        are = "is" if now.standby == 1 else "are"
        there = f"; {_count(now.standby, 'emulator')} {are} still away" if now.standby else ""
        yield RunFinding(
            "standby",
            f"Emulators left their places to real sensors {_count(incidents.withdrawals.total(), 'time')}"
            f"{_reasons(incidents.withdrawals, ': ')}{there}",
        )
    if incidents.connects_refused and not now.unconnected:
        count = _count(incidents.connects_refused.total(), "connection")
        yield RunFinding("refused_dials", f"The broker refused {count}{_reasons(incidents.connects_refused, ': ')}")
    if incidents.server_disconnects:
        count = _count(incidents.server_disconnects.total(), "connection")
        yield RunFinding(
            "server_disconnects", f"The broker ended {count}{_reasons(incidents.server_disconnects, ': ')}"
        )
    if incidents.adapted:
        yield RunFinding("adapted", f"The limits of the broker are obeyed{_reasons(incidents.adapted, ': ')}")
    if incidents.ignored:
        yield RunFinding("ignored", f"Ignored{_reasons(incidents.ignored, ': ')}")


def _refusals(now: FleetSnapshot) -> str:
    """Return the reasons of the refused messages, each with the kinds of devices that it met."""
    by_reason = now.incidents.by_reason()
    parts = []
    for reason, count in by_reason.most_common(SHOWN):
        kinds = sorted({kind for kind, one in now.incidents.refused if one == reason})
        parts.append(f"{reason}, of {' and '.join(kinds)}" + (f" ({count:,})" if len(by_reason) > 1 else ""))
    return "; ".join(parts) + _more(by_reason)


def _reasons(counts: Counter[str], before: str) -> str:
    """Return the reasons after `before`, with their counts where there are several; nothing where there is none."""
    if not counts:
        return ""
    shown = [reason + (f" ({count:,})" if len(counts) > 1 else "") for reason, count in counts.most_common(SHOWN)]
    return before + ", ".join(shown) + _more(counts)


def _more(counts: Counter[str]) -> str:
    return f"; and {len(counts) - SHOWN} more reasons" if len(counts) > SHOWN else ""


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"
