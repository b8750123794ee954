"""Prints a verdict for people."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgefleet.terminal import fit_table, say
from edgefleet.verify.clocks import humanize_ms
from edgefleet.verify.verdict import Counts, Latency, Outcome, RunVerdict, SinkVerdict
from edgewire.run_record import BY_REQUEST, StandbySpan, describe_actions

_COLUMNS = ("sent", "stored", "lost", "re-\nfused", "dupli-\ncates", "out of\norder", "late", "p50", "p95", "p99")

_STYLES = {Outcome.PASS: "bold green", Outcome.FAIL: "bold red", Outcome.INCOMPLETE: "bold yellow"}


def print_verdict(verdict: RunVerdict, console: Console) -> None:
    """Print a table by kind and sink, the ids of what is missing, what is wrong, and the verdict on the last line."""
    console.print(fit_table(_table(verdict), console.width, keys=2))
    for name, sink in verdict.sinks.items():
        for text in sink_notes(name, sink):
            say(console, text, "dim")
        if sink.total.lost:
            more = ", …" if sink.total.lost > len(sink.total.missing) else ""
            say(console, f"missing in {name}: {', '.join(sink.total.missing)}{more}", "red")
    if verdict.standby:
        say(console, _standby_note(verdict.standby), "dim")
    if verdict.actions:
        say(console, describe_actions(verdict.actions), "dim")
    for failure in verdict.failures():
        say(console, failure, "red")
    for sentence in verdict.gaps:
        say(console, f"not known: {sentence}", "yellow")
    for name, sink in verdict.sinks.items():
        for sentence in sink.untold:
            say(console, f"not known: {name}: {sentence}", "yellow")
    say(console, _last_line(verdict))


def sink_notes(name: str, sink: SinkVerdict) -> Iterator[str]:
    """Yield what one must know to read the numbers of a sink."""
    if sink.note:
        yield sink.note
    if sink.clocks_differ_ms is not None:
        yield f"{name}: {_clock_note(sink.clocks_differ_ms)}"
    if sink.total.unexpected:
        yield f"{name}: {sink.total.unexpected:,} arrived that the device counts as not sent"
    if by_fault := sink.total.dropped - sink.total.overflowed:
        yield f"{name}: {by_fault:,} are not there because a fault of the scenario or a reset took them"


def _standby_note(spans: Sequence[StandbySpan]) -> str:
    devices, withheld = len({span.device_id for span in spans}), sum(span.withheld_count for span in spans)
    asked = sum(span.why == BY_REQUEST for span in spans)
    why = "" if not asked else f" ({asked:,} of them because they were told to)"
    return (
        f"real sensors had the places of {devices:,} emulators, {len(spans):,} times{why}: {withheld:,} messages that "
        "these would have sent meanwhile were not sent, and what the sensors sent is not this run's"
    )


def _clock_note(differ_ms: int) -> str:
    if differ_ms < 0:
        return (
            f"the clocks of the fleet and of the sink differ by about {humanize_ms(differ_ms)} (arrived before it was "
            "due): latencies mean nothing"
        )
    return (
        f"the clocks of the fleet and of the sink differ by about {humanize_ms(differ_ms)}, unless the first and the "
        "last message were held up equally long: latencies mean nothing"
    )


def _table(verdict: RunVerdict) -> Table:
    """Return the counts as a table, whose figures have all their digits."""
    caption = "p50, p95, p99: latency from due to arrived, in milliseconds"
    table = Table(title=f"run {verdict.run_id}", caption=caption, box=None, header_style="dim")
    table.add_column("kind", no_wrap=True)
    table.add_column("sink", no_wrap=True)
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for kind in verdict.sent:
        for name, sink in verdict.sinks.items():
            table.add_row(kind, name, *_cells(sink.per_kind[kind]))
        table.add_section()
    for name, sink in verdict.sinks.items():
        table.add_row("total", name, *_cells(sink.total), style="bold")
    return table


def _cells(counts: Counts) -> list[str | Text]:
    lost = Text(f"{counts.lost:,}", style="bold red" if counts.lost else "green")
    refused = Text(f"{counts.refused:,}", style="bold red" if counts.refused else "")
    others = [f"{number:,}" for number in (counts.duplicates, counts.out_of_order)]
    late = "–" if counts.late is None else f"{counts.late:,}"
    return [f"{counts.sent:,}", f"{counts.stored:,}", lost, refused, *others, late, *_percentiles(counts.latency)]


def _percentiles(latency: Latency | None) -> list[str]:
    return [f"{value:,}" for value in latency.to_json().values()] if latency else ["–"] * 3


def _last_line(verdict: RunVerdict) -> Text:
    parts = [f"sent {verdict.total_sent:,}"]
    for name, sink in verdict.sinks.items():
        parts.append(f"{name} stored {sink.total.stored:,} lost {sink.total.lost:,}")
    for name in ("refused", "unsent"):
        counts = max((getattr(total, name) for total in verdict.totals), default=0)
        parts += [f"{name} {counts:,}"] if counts else []
    parts.append(f"duplicates {sum(total.duplicates for total in verdict.totals):,}")
    latency = next((total.latency for total in verdict.totals), None)
    if latency:
        parts.append(" ".join(f"{name} {value:,} ms" for name, value in latency.to_json().items()))
    outcome = verdict.outcome
    return Text.assemble(Text(outcome.value, style=_STYLES[outcome]), "  ", " · ".join(parts))
