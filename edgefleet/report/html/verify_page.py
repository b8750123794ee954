"""Makes the report of a verification: what arrived of what a run sent, when, how late, and what is missing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from devices.faults.labels import Label
from edgefleet.report.html.charts import Bar, Line, histogram, line_chart, sparkline
from edgefleet.report.html.faults import show_faults
from edgefleet.report.html.markup import Markup, element, figure_cell, show_ms, table
from edgefleet.report.html.page import Sentence, charts, document, head, section, tiles
from edgefleet.report.html.sections import (
    show_about,
    show_causes,
    show_course,
    show_devices,
    show_first,
    show_footer,
    total_cells,
)
from edgefleet.verify.report import sink_notes
from edgefleet.verify.timing import LatencyBucket
from edgefleet.verify.verdict import Counts, Outcome, RunVerdict, SinkVerdict
from edgewire.run_record import RunRecord

_STATES = {Outcome.PASS: "good", Outcome.FAIL: "bad", Outcome.INCOMPLETE: "warn"}


def verify_page(
    verdict: RunVerdict,
    record: RunRecord,
    labels: Iterable[Label],
    services: Mapping[str, str],
    late_after_ms: int,
    states: Sequence[dict[str, Any]] = (),
) -> bytes:
    """Return the report as HTML; `services` has where each sink was read, `states` how the run was over its time."""
    end_s = _end_s(verdict, record)
    return document(
        f"{verdict.outcome.value}: run {verdict.run_id}",
        head(
            "edgefleet verify",
            record.scenario,
            verdict.outcome.value,
            _STATES[verdict.outcome],
            _sentences(verdict),
        ),
        _tiles(verdict),
        section("Over time", charts(*(_rates(name, sink, end_s) for name, sink in verdict.sinks.items()))),
        section("Latency", charts(*_latencies(verdict))),
        section("The run over its time", show_course(record, states)),
        section("By kind", _kinds(verdict)),
        section("Causes", show_causes(record, _causes(verdict, late_after_ms)), *_missing(verdict)),
        section("Faults", show_faults(record, labels, end_s)),
        section(
            "Devices with trouble",
            show_devices(record, {name: sink.timing.missing_by_device for name, sink in verdict.sinks.items()}),
        ),
        section(
            "About this run",
            show_about(
                record,
                [(f"Read for {name}", element("code", place)) for name, place in services.items()]
                + [("Late after", show_ms(late_after_ms))],
                made_on="Verified on",
            ),
        ),
        show_footer(),
    )


def _end_s(verdict: RunVerdict, record: RunRecord) -> float:
    """Return how many seconds after its start a run is over, and the last of its messages has arrived."""
    ends = [(record.stopped_ms - record.started_ms) / 1000]
    for sink in verdict.sinks.values():
        rates = sink.timing.rates
        ends += [len(rates.due) * rates.due_width_ms / 1000, len(rates.arrived) * rates.arrived_width_ms / 1000]
    return max(ends)


def _sentences(verdict: RunVerdict) -> Iterator[Sentence]:
    yield from (Sentence(f"{text}.", "bad") for text in verdict.failures())
    yield from (Sentence(f"Not known: {text.rstrip('.')}.", "warn") for text in verdict.gaps)
    for name, sink in verdict.sinks.items():
        yield from (Sentence(f"Not known: {name}: {text.rstrip('.')}.", "warn") for text in sink.untold)
        yield from (Sentence(f"{text}.") for text in sink_notes(name, sink))
    if verdict.ok:
        yield Sentence(
            f"All {verdict.total_sent:,} messages that the fleet sent are in {' and in '.join(verdict.sinks)}."
        )


def _tiles(verdict: RunVerdict) -> Markup:
    shown: list[tuple[str, object, bool]] = [("sent", figure_cell(verdict.total_sent, "sent"), False)]
    for name, sink in verdict.sinks.items():
        shown.append((f"stored, {name}", figure_cell(sink.total.stored, f"{name}.stored"), False))
        shown.append((f"lost, {name}", figure_cell(sink.total.lost, f"{name}.lost"), sink.total.lost > 0))
    first = next(iter(verdict.sinks), "")
    total = verdict.sinks[first].total if first else Counts()
    shown.append(("refused", figure_cell(total.refused, f"{first}.refused"), total.refused > 0))
    shown.append(("unsent", figure_cell(total.unsent, f"{first}.unsent"), total.unsent > 0))
    found = verdict.to_json()
    everywhere = ", all sinks" if len(verdict.sinks) > 1 else ""
    shown.append((f"duplicates{everywhere}", figure_cell(found["duplicates"], "duplicates"), False))
    shown.append((f"late{everywhere}", figure_cell(found["late"], "late"), False))
    latency = total.latency
    for name, value in latency.to_json().items() if latency else ():
        shown.append((f"{name}, {first} (ms)", figure_cell(value, f"latency_ms.{name}"), False))
    return tiles(shown)


def _rates(name: str, sink: SinkVerdict, end_s: float) -> Markup:
    rates = sink.timing.rates
    if not rates.arrived:
        return element("p", f"{name}: nothing arrived.", class_="quiet")
    return line_chart(
        f"Messages a second, {name}",
        [
            Line("due", _per_second(rates.due, rates.due_width_ms)),
            Line("arrived", _per_second(rates.arrived, rates.arrived_width_ms), "orange"),
        ],
        end_s,
    )


def _per_second(counts: Iterable[int], width_ms: int) -> list[tuple[float, float]]:
    seconds = width_ms / 1000
    return [((at + 0.5) * seconds, count / seconds) for at, count in enumerate(counts)]


def _latencies(verdict: RunVerdict) -> Iterator[Markup]:
    for name, sink in verdict.sinks.items():
        if sink.timing.latency and sink.total.latency:
            marked = {key: float(value) for key, value in sink.total.latency.to_json().items()}
            yield histogram(f"From due to arrived, {name}", _bars(sink.timing.latency), marked)
        else:
            why = "nothing arrived" if sink.clocks_differ_ms is None else "the clocks differ"
            yield element("p", f"{name}: no latencies, as {why}.", class_="quiet")


def _bars(buckets: Iterable[LatencyBucket]) -> list[Bar]:
    return [Bar(bucket.low_ms, bucket.high_ms, bucket.count) for bucket in buckets]


_COLUMNS = ("sent", "stored", "lost", "refused", "unsent", "duplicates", "out of order", "late", "p50", "p95", "p99")


def _kinds(verdict: RunVerdict) -> Markup:
    rows: list[list[object]] = []
    for kind, sent in verdict.sent.items():
        for name, sink in verdict.sinks.items():
            shape = sink.timing.latency_per_kind.get(kind, ())
            path = f"per_kind.{kind}"
            rows.append([kind, name, figure_cell(sent, f"{path}.sent"), *_cells(sink.per_kind[kind], f"{path}.{name}")])
            rows[-1].append(_shape(shape, kind, name))
    for name, sink in verdict.sinks.items():
        rows.append(["all", name, figure_cell(verdict.total_sent, "sent"), *_cells(sink.total, name)])
        rows[-1].append(_shape(sink.timing.latency, "all", name))
    head_cells = ["kind", "sink", *_COLUMNS, "latencies"]
    return table("Counts, and latency from due to arrived in ms, by kind of device", head_cells, rows, names=2)


def _cells(counts: Counts, path: str) -> list[Markup]:
    latency: Mapping[str, int | None] = (
        counts.latency.to_json() if counts.latency else dict.fromkeys(("p50", "p95", "p99"))
    )
    return total_cells(
        [
            (counts.stored, f"{path}.stored", False),
            (counts.lost, f"{path}.lost", True),
            (counts.refused, f"{path}.refused", True),
            (counts.unsent, f"{path}.unsent", True),
            (counts.duplicates, f"{path}.duplicates", False),
            (counts.out_of_order, f"{path}.out_of_order", False),
            (counts.late, f"{path}.late", False),
            *((value, f"{path}.latency_ms.{name}", False) for name, value in latency.items()),
        ]
    )


def _shape(buckets: tuple[LatencyBucket, ...], kind: str, sink: str) -> Markup:
    if not buckets:
        return element("span", "–")
    said = f"{kind} in {sink}: {show_ms(buckets[0].low_ms)} to {show_ms(buckets[-1].high_ms)}"
    return sparkline([0, *(bucket.count for bucket in buckets), 0], said)


def _causes(verdict: RunVerdict, late_after_ms: int) -> Iterator[tuple[str, Mapping[str, int | None]]]:
    for name, sink in verdict.sinks.items():
        of = sink.per_kind.items()
        yield f"sent and not in {name}", {kind: counts.lost for kind, counts in of}
        yield f"in {name} before this run sent it", {kind: counts.earlier for kind, counts in of}
        yield f"in {name} later than {show_ms(late_after_ms)}", {kind: counts.late for kind, counts in of}
        yield f"more than once in {name}", {kind: counts.duplicates for kind, counts in of}
        yield f"out of order in {name}", {kind: counts.out_of_order for kind, counts in of}
        yield f"in {name}, though counted as not sent", {kind: counts.unexpected for kind, counts in of}


def _missing(verdict: RunVerdict) -> Iterator[Markup]:
    for name, sink in verdict.sinks.items():
        if sink.total.lost:
            yield element("p", f"Missing in {name}: ", show_first(sink.total.missing, sink.total.lost))
