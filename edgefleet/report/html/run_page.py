"""Makes the report of a run: what the fleet sent, how fast, what the broker made of it, and what went wrong."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from devices.faults.labels import Label
from edgefleet.launch.shard import ShardResult
from edgefleet.report.html.charts import histogram, sparkline, thin_states
from edgefleet.report.html.faults import show_faults
from edgefleet.report.html.markup import Markup, figure_cell, show_ms, show_number, table
from edgefleet.report.html.page import Sentence, charts, document, head, section, tiles
from edgefleet.report.html.sections import (
    CAUSES,
    group_buckets,
    percentiles,
    show_about,
    show_causes,
    show_course,
    show_devices,
    show_footer,
)
from edgefleet.report.run_summary import has_failed
from edgewire.run_record import RunRecord, count_seqs

ALWAYS_SHOWN = 4
"""Columns of counts by kind."""
LEAST_MS = 500
"""Between two states of which a rate is told."""


States = Sequence[dict[str, Any]]


def run_page(result: ShardResult, states: States) -> bytes:
    """Return the report of a run that is over as HTML; `states` are how it was over its time (`StatusSeries`)."""
    record = result.record
    failed = has_failed(record)
    end_s = (record.stopped_ms - record.started_ms) / 1000
    return document(
        f"Run of {record.scenario}: {'FAIL' if failed else 'OK'}",
        head(
            "edgefleet run",
            record.scenario,
            "FAIL" if failed else "OK",
            "bad" if failed else "good",
            _sentences(record),
        ),
        _tiles(result),
        section("Over time", show_course(record, states)),
        section("Latency", _latency(record)),
        section("By kind", _kinds(record, states)),
        section("Causes", show_causes(record)),
        section("Faults", _faults(record, result.labels, end_s)),
        section("Devices with trouble", show_devices(record)),
        section("About this run", show_about(record, made_on="Machine")),
        show_footer(),
    )


def _sentences(record: RunRecord) -> Iterator[Sentence]:
    """Yield what is wrong, then what is worth a word, then the whole verdict with its evidence."""
    problems = list(record.problems.values())
    yield from (Sentence(f"{text.rstrip('.')}.", "bad") for text in (*record.failures, *problems))
    yield from (Sentence(f"{text.rstrip('.')}.", "warn") for text in record.notes.values())
    # What stands above is in the verdict as well.
    rest = record.verdict
    for text in (*record.failures, *problems, *record.notes.values()):
        rest = rest.replace(f"Failed: {text}.", "").replace(f"{text}.", "").strip()
    if rest:
        yield Sentence(rest)


def _tiles(result: ShardResult) -> Markup:
    record, totals = result.record, result.record.totals
    p99 = result.final.puback.summary()["p99"]
    unacknowledged, overflowed = result.final.unacknowledged, totals["dropped"] - result.final.dropped_by_fault
    return tiles(
        [
            ("devices", figure_cell(record.device_count, "devices"), False),
            ("emitted", figure_cell(totals["emitted"], "emitted"), False),
            ("acknowledged", figure_cell(totals["acknowledged"], "acknowledged"), False),
            *([("sent at QoS 0", figure_cell(totals["sent_qos0"], "sent_qos0"), False)] if totals["sent_qos0"] else []),
            ("refused", figure_cell(totals["refused"], "refused"), totals["refused"] > 0),
            ("dropped", figure_cell(totals["dropped"], "dropped"), overflowed > 0),
            ("unsent", figure_cell(totals["unsent"], "unsent"), totals["unsent"] > 0),
            ("never acknowledged", figure_cell(unacknowledged, "unacknowledged"), unacknowledged > 0),
            ("PUBACK p99", "–" if p99 is None else show_ms(p99), False),
            (
                "all connected after",
                "–" if record.connected_after_s is None else f"{record.connected_after_s:g} s",
                record.connected_after_s is None and record.device_count > 0,
            ),
        ]
    )


def _latency(record: RunRecord) -> Markup:
    return charts(
        *(
            histogram(f"{title}, {found['count']:,} values", group_buckets(found), percentiles(found))
            for title, found in (
                ("From due to handed to the connection", record.lag_ms),
                ("From PUBLISH to PUBACK, of a sample", record.puback_ms),
            )
            if found.get("count")
        )
    )


def _kinds(record: RunRecord, states: States) -> Markup:
    rows: list[tuple[str, list[int], Markup]] = []
    thinned = thin_states(states)
    names = ("devices", "emitted", "acknowledged", "refused", "at QoS 0", *(name for name, _ in CAUSES), "reconnects")
    for kind in [*sorted({device.kind for device in record.devices}), None]:
        found = [device for device in record.devices if kind in (device.kind, None)]
        counts = [
            len({device.device_id for device in found}),
            sum(device.emitted for device in found),
            sum(device.acknowledged for device in found),
            sum(count_seqs(device.refused_ranges) for device in found),
            sum(device.sent_qos0 for device in found),
            *(sum(count_device(device) for device in found) for _, count_device in CAUSES),
            sum(device.reconnects for device in found),
        ]
        rates = [*_rates(thinned, kind)]
        shape = sparkline(rates, f"{kind or 'all'}: up to {max(rates, default=0):,.0f} a second")
        rows.append((kind or "all", counts, shape))
    # The first are always there; of the others, those that have something to say.
    shown = [at for at in range(len(names)) if at < ALWAYS_SHOWN or any(counts[at] for _, counts, _ in rows)]
    return table(
        "What became of the messages, by kind of device",
        ["kind", *(names[at] for at in shown), "due a second, over time"],
        [[kind, *(show_number(counts[at]) for at in shown), shape] for kind, counts, shape in rows],
    )


def _rates(states: States, kind: str | None) -> Iterator[float]:
    """Yield how many messages a second were due between each two states."""
    for before, now in pairwise(states):
        counts = [
            one["emitted"] if kind is None else one["kinds"].get(kind, {}).get("emitted", 0) for one in (before, now)
        ]
        span_ms = now["at_ms"] - before["at_ms"]
        if span_ms >= LEAST_MS:  # in less, what is counted is not of the time between
            # A worker that has died takes its numbers with it.
            yield 1000 * max(0, counts[1] - counts[0]) / span_ms


def _faults(record: RunRecord, labels: Iterable[Label], end_s: float) -> Markup:
    return show_faults(record, labels, end_s) if record.device_count else Markup()
