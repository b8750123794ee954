"""Makes the report of a run: what the fleet sent, how fast, what the broker made of it, and what went wrong."""

from collections.abc import Iterable, Iterator
from functools import partial

from devices.faults.labels import Label
from edgefleet.launch.shard import ShardResult
from edgefleet.report.history import FleetHistory, HistoryPoint
from edgefleet.report.html.charts import Line, histogram, line_chart, sparkline
from edgefleet.report.html.faults import show_faults
from edgefleet.report.html.markup import Markup, figure_cell, show_ms, show_number, table
from edgefleet.report.html.page import Sentence, charts, document, head, section, tiles
from edgefleet.report.html.sections import (
    CAUSES,
    group_buckets,
    percentiles,
    show_about,
    show_causes,
    show_devices,
    show_footer,
)
from edgefleet.report.run_summary import has_failed
from edgewire.run_record import RunRecord, count_seqs

ALWAYS_SHOWN = 4
"""Columns of counts by kind."""


def run_page(result: ShardResult, history: FleetHistory) -> bytes:
    """Return the report of a run that is over as HTML."""
    record = result.record
    failed = has_failed(record)
    end_s = max((record.stopped_ms - record.started_ms) / 1000, history.points[-1].at_s)
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
        section("Over time", _over_time(history, end_s)),
        section("Latency", _latency(record)),
        section("By kind", _kinds(record, history)),
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


def _over_time(history: FleetHistory, end_s: float) -> Markup:
    points = history.points
    shown = [
        line_chart(
            "Messages a second",
            [
                Line("due", history.rates(lambda point: point.emitted)),
                Line("acknowledged or sent", history.rates(lambda point: point.delivered), "b"),
            ],
            end_s,
        ),
        line_chart("Devices connected", [Line("connected", [(one.at_s, one.connected) for one in points])], end_s),
        line_chart("Latency, 99 % within (ms)", list(_latency_lines(history)), end_s, " ms"),
    ]
    if any(point.buffered for point in points):
        waiting = [(one.at_s, one.buffered) for one in points]
        shown.append(line_chart("Messages waiting in outboxes", [Line("waiting", waiting)], end_s))
    if any(point.failed for point in points):
        rates = history.rates(lambda point: point.failed)
        shown.append(line_chart("Refused or dropped a second", [Line("refused or dropped", rates, "bad")], end_s))
    return charts(*shown)


def _latency_lines(history: FleetHistory) -> Iterator[Line]:
    for name, colour in (("lag", "a"), ("puback", "b")):
        found = []
        for before, now in zip(history.points, history.points[1:], strict=False):
            value = getattr(now, name).since(getattr(before, name)).percentile_ms(99)
            if value is not None:
                found.append((now.at_s, value))
        yield Line({"lag": "due → handed over", "puback": "PUBLISH → PUBACK"}[name], found, colour)


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


def _kinds(record: RunRecord, history: FleetHistory) -> Markup:
    rows: list[tuple[str, list[int], Markup]] = []
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
        rates = [rate for _, rate in history.rates(partial(_of_kind, kind))]
        shape = sparkline(rates, f"{kind or 'all'}: up to {max(rates, default=0):,.0f} a second")
        rows.append((kind or "all", counts, shape))
    # The first are always there; of the others, those that have something to say.
    shown = [at for at in range(len(names)) if at < ALWAYS_SHOWN or any(counts[at] for _, counts, _ in rows)]
    return table(
        "What became of the messages, by kind of device",
        ["kind", *(names[at] for at in shown), "due a second, over time"],
        [[kind, *(show_number(counts[at]) for at in shown), shape] for kind, counts, shape in rows],
    )


def _of_kind(kind: str | None, point: HistoryPoint) -> int:
    return point.emitted if kind is None else point.by_kind.get(kind, 0)


def _faults(record: RunRecord, labels: Iterable[Label], end_s: float) -> Markup:
    return show_faults(record, labels, end_s) if record.device_count else Markup()
