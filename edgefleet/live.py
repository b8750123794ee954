"""The fleet while it runs, for people: a table on a terminal, a log line now and then elsewhere."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from devices.fleet import Fleet, Snapshot
from edgewire import logs

REFRESH_S = 0.5
LOG_EVERY_S = 10.0

log = logs.get("fleet")


@asynccontextmanager
async def watching(fleet: Fleet, console: Console, title: str) -> AsyncIterator[None]:
    """Show the fleet for as long as the block runs."""
    show = _show_table(fleet, console, title) if console.is_terminal else _show_lines(fleet)
    task = asyncio.create_task(show, name="live view")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _show_table(fleet: Fleet, console: Console, title: str) -> None:
    began, before = time.monotonic(), fleet.snapshot()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            await asyncio.sleep(REFRESH_S)
            now = fleet.snapshot()
            live.update(_table(title, now, (now.emitted - before.emitted) / REFRESH_S, began), refresh=True)
            before = now


async def _show_lines(fleet: Fleet) -> None:
    before = fleet.snapshot()
    while True:
        await asyncio.sleep(LOG_EVERY_S)
        now = fleet.snapshot()
        log.info(
            "running",
            connected=f"{now.connected}/{now.devices}",
            emitted=now.emitted,
            per_second=round((now.emitted - before.emitted) / LOG_EVERY_S),
            acknowledged=now.acknowledged,
            buffered=now.buffered,
            dropped=now.dropped,
            reconnects=now.reconnects,
            lag_p99_ms=now.lag_p99_ms,
        )
        before = now


def _table(title: str, now: Snapshot, per_second: float, began: float) -> Table:
    table = Table(title=f"{title} · {time.monotonic() - began:.0f} s", title_justify="left")
    cells = {
        "connected": f"{now.connected:,}/{now.devices:,}",
        "emitted": f"{now.emitted:,}",
        "msg/s": f"{per_second:,.0f}",
        "acknowledged": f"{now.acknowledged:,}",
        "buffered": f"{now.buffered:,}",
        "dropped": f"{now.dropped:,}",
        "reconnects": f"{now.reconnects:,}",
        "lag p99": "–" if now.lag_p99_ms is None else f"{now.lag_p99_ms:.1f} ms",
    }
    for name in cells:
        table.add_column(name, justify="right", min_width=9)
    table.add_row(*cells.values())
    return table
