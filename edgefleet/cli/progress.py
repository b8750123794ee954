"""Shows an export on a terminal, and ends one whose reader has left."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from devices.export.job import ExportProgress, ExportSpan

LINE_EVERY_S = 60.0
"""Between two lines of progress where no terminal shows a bar."""


@contextlib.contextmanager
def closed_pipe_is_the_end() -> Iterator[None]:
    """End in order when the reader of stdout does, as in `edgefleet generate … | head`."""
    try:
        yield
    except BrokenPipeError:
        # Python flushes stdout at its end, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


@contextlib.contextmanager
def progress_bar(span: ExportSpan, title: str, *, is_told: bool = True) -> Iterator[ExportProgress]:
    """Yield the progress of an export: a bar on a terminal, with rate and time left.

    Elsewhere a line a minute, where `is_told`.
    """
    console = Console(stderr=True)
    began = time.monotonic()
    if not console.is_terminal:
        yield ExportProgress(report=_lines(span, title, began) if is_told else lambda _: None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[records]} records, {task.fields[rate]}/s,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        by_records = span.records is not None
        total = span.records or span.to_ms - span.from_ms
        task = bars.add_task(title, total=total, records="0", rate="–")

        def report(now: ExportProgress) -> None:
            rate = (now.records - now.resumed) / max(time.monotonic() - began, 1e-9)
            done = now.records if by_records else now.next_ms - span.from_ms
            bars.update(task, completed=done, records=f"{now.records:,}", rate=f"{rate:,.0f}")

        yield ExportProgress(report=report)


def _lines(span: ExportSpan, title: str, began: float) -> Callable[[ExportProgress], None]:
    told_at = began

    def report(now: ExportProgress) -> None:
        nonlocal told_at
        if time.monotonic() - told_at < LINE_EVERY_S:
            return
        told_at = time.monotonic()
        total, done = span.to_ms - span.from_ms, now.next_ms - span.from_ms
        if span.records is not None:
            total, done = span.records, now.records
        rate = (now.records - now.resumed) / max(told_at - began, 1e-9)
        typer.echo(f"{now.records:,} records to {title}, {done / total:.0%} of all, {rate:,.0f}/s", err=True)

    return report
