"""Shows an export on a terminal, and ends one whose reader has left."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from devices.export.job import ExportProgress, ExportSpan


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
def progress_bar(span: ExportSpan, title: str) -> Iterator[ExportProgress]:
    """Yield the progress of an export: a bar on a terminal, with rate and time left."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield ExportProgress()
        return
    began = time.monotonic()
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
