"""Prints what came of a run, for people and for machines, and says whether it failed."""

from dataclasses import replace
from typing import Any

from devices.faults.rare_day_labels import RARE_DAY_TYPES
from edgefleet.launch.shard import ShardResult
from edgefleet.report.fail_if import FailCondition, RunNumbers
from edgewire.run_record import RunRecord, count_seqs, describe_actions


def apply_condition(result: ShardResult, condition: FailCondition | None) -> ShardResult:
    """Return the result with one more problem where the condition of the user makes the run fail."""
    failure = condition and condition.find_failure(RunNumbers(result.record, result.final))
    return add_problem(result, "fail_if", failure or None)


def add_problem(result: ShardResult, name: str, sentence: str | None) -> ShardResult:
    """Return the result with one more problem, a sentence without its full stop; None adds none."""
    if sentence is None:
        return result
    record = replace(
        result.record,
        problems=result.record.problems | {name: sentence},
        verdict=f"{sentence[0].upper()}{sentence[1:]}. {result.record.verdict}",
    )
    return replace(result, record=record)


def has_failed(record: RunRecord) -> bool:
    """Return whether something is missing from a run, so that its exit code is 1."""
    return bool(record.problems or record.failures)


def summary_json(result: ShardResult, folder: str) -> dict[str, Any]:
    """Return what `--json` prints."""
    record, final = result.record, result.final
    return {
        "run": folder,
        "devices": record.device_count,
        **record.totals,
        **record.limits,
        "puback_ms": {"count": final.puback.total, **final.puback.summary()},
        "connected_after_s": record.connected_after_s,
        "connack_ms": {"count": final.connack.total, **final.connack.summary()},
        # Of all processes together.
        "ramp_slowed_s": round(final.slowed_s, 1),
        "batched": final.batched,
        "batches": final.batches,
        "reconnects": final.reconnects,
        "gateways": sum(not one.has_parts for one in record.gateways),
        "devices_with_parts": len({one.gateway_id for one in record.gateways if one.has_parts}),
        "rss_bytes": final.rss_bytes,
        "cpu_s": round(final.cpu_s, 3),
        "ok": not has_failed(record),
        "connected_to": record.connected_to,
        "limited_by": record.limited_by,
        "verdict": record.verdict,
        "problems": record.problems,
        "notes": record.notes,
        "failures": record.failures,
        "never_connected": final.unconnected,
        "unacknowledged": final.unacknowledged,
        "dropped_by_fault": final.dropped_by_fault,
        "refused_by": record.refused,
        "incidents": record.incidents,
        "standby": final.standby,
        "withheld": sum(span.withheld_count for span in record.standby),
        "labels": len(result.labels),
        "rare_day_labels": _rare_days(result),
        "actions": [
            {"number": one.number, "action": one.action, "outcome": one.outcome, "said": one.said}
            for one in record.actions
        ],
    }


def summary_text(result: ShardResult, folder: str, labels_file: str) -> str:
    """Return the same for people: what became of the messages, and the verdict."""
    record, totals = result.record, result.record.totals
    by_fault = sum(device.dropped_by_fault for device in record.devices)
    unacknowledged = sum(count_seqs(device.unacknowledged) for device in record.devices)
    overflowed = totals["dropped"] - by_fault
    in_outboxes = totals["unsent"] - unacknowledged
    counts = [
        (totals["acknowledged"], "acknowledged"),
        (totals["sent_qos0"], "sent at QoS 0"),
        (totals["refused"], "refused by the broker"),
        (overflowed, "dropped by full outboxes"),
        (by_fault, "dropped by faults"),
        (unacknowledged, "never acknowledged"),
        (in_outboxes, "unsent"),
    ]
    said = [f"{count:,} {what}" for count, what in counts if count or what == "acknowledged"]
    if totals["sent_qos0"] and not totals["acknowledged"]:
        said = said[1:]
    rare_days = _rare_days(result)
    labels = [(len(result.labels) - rare_days, "fault{}"), (rare_days, "label{} of rare days")]
    labelled = " and ".join(f"{count:,} {what.format('' if count == 1 else 's')}" for count, what in labels if count)
    in_file = f"; {labelled} in {labels_file}" if labelled else ""
    there = ", ".join(f"{count:,} to {broker}" for broker, count in sorted(record.connected_to.items()))
    connected = f"\nconnected at the end: {there}" if ", " in record.broker else ""
    done = f"\n{describe_actions(record.actions)}" if record.actions else ""
    final = result.final
    what = (
        f"readings, {final.batched:,} of them in {final.batches:,} messages of several" if final.batches else "messages"
    )
    return (
        f"{_who(record)} emitted {totals['emitted']:,} {what}: {', '.join(said)}; "
        f"record in {folder}{in_file}{connected}{done}\n{'FAIL  ' if has_failed(record) else ''}{record.verdict}"
    )


def _rare_days(result: ShardResult) -> int:
    """Count the labels of snow and of events in town, which are no faults."""
    return sum(label.type in RARE_DAY_TYPES for label in result.labels)


def _who(record: RunRecord) -> str:
    """Return how many devices there were, and how many of them shared connections."""
    # One that was replaced is there twice.
    wholes = {one.gateway_id for one in record.gateways if one.has_parts}
    gateways = [one for one in record.gateways if not one.has_parts]
    parts = len({part for one in record.gateways if one.has_parts for part in one.devices})
    count = record.device_count - parts + len(wholes)
    said = f"{count:,} device{'' if count == 1 else 's'}"
    if wholes:
        which = "" if len(wholes) == count else f"{len(wholes):,} of them "
        said += f", {which}with {parts:,} parts,"
    if gateways:
        shared = sum(len(one.devices) for one in gateways)
        which = "" if shared == record.device_count else f", {shared:,} of them"
        said = f"{said.rstrip(',')}{which} behind {len(gateways):,} gateway{'' if len(gateways) == 1 else 's'}"
        said += "," if which else ""
    return said
