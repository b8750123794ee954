"""Prints a verdict for people."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgefleet.verify.verdict import Counts, Latency, RunVerdict

_COLUMNS = ("sent", "stored", "lost", "dupli-\ncates", "out of\norder", "late", "p50", "p95", "p99")


def print_verdict(verdict: RunVerdict, console: Console) -> None:
    """Print a table by kind and sink, the ids of what is missing, and the verdict on the last line."""
    console.print(_table(verdict))
    for name, sink in verdict.sinks.items():
        if sink.note:
            console.print(sink.note, style="dim", highlight=False)
        if sink.total.unexpected:
            text = f"{name}: {sink.total.unexpected:,} arrived that the device counts as not sent"
            console.print(text, style="dim", highlight=False)
        if sink.total.lost:
            more = ", …" if sink.total.lost > len(sink.total.missing) else ""
            console.print(f"missing in {name}: {', '.join(sink.total.missing)}{more}", style="red", highlight=False)
    console.print(_last_line(verdict), soft_wrap=True)


def _table(verdict: RunVerdict) -> Table:
    """Return the counts as a table that fits 80 columns and cuts no number short."""
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
    others = [f"{number:,}" for number in (counts.duplicates, counts.out_of_order, counts.late)]
    return [f"{counts.sent:,}", f"{counts.stored:,}", lost, *others, *_percentiles(counts.latency)]


def _percentiles(latency: Latency | None) -> list[str]:
    return [f"{value:,}" for value in latency.to_json().values()] if latency else ["–"] * 3


def _last_line(verdict: RunVerdict) -> Text:
    parts = [f"sent {verdict.total_sent:,}"]
    for name, sink in verdict.sinks.items():
        parts.append(f"{name} stored {sink.total.stored:,} lost {sink.total.lost:,}")
    parts.append(f"duplicates {sum(total.duplicates for total in verdict.totals):,}")
    if not verdict.total_sent:
        parts.append("the record holds nothing that was sent")
    latency = next((total.latency for total in verdict.totals), None)
    if latency:
        parts.append(" ".join(f"{name} {value:,} ms" for name, value in latency.to_json().items()))
    mark = Text("PASS", style="bold green") if verdict.ok else Text("FAIL", style="bold red")
    return Text.assemble(mark, "  ", " · ".join(parts))
