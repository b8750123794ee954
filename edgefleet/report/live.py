"""Shows the fleet while it runs, for people: a table on a terminal, a log line now and then elsewhere."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from rich.console import Console
from rich.live import Live
from rich.table import Table

from devices.fleet.metrics import FleetSnapshot
from devices.fleet.verdict import find_problems
from edgefleet.launch.worker_status import WorkerState
from edgefleet.terminal import fits
from edgewire import logs

REFRESH_S = 0.5
LOG_EVERY_S = 10.0
LEAST_COLUMN = 10
"""Characters that the column of a worker has at least, such as `0 running`."""

ReadSnapshots = Callable[[], Sequence[tuple[WorkerState, FleetSnapshot]]]
"""State and numbers of each process of the fleet; one for a fleet of one process."""

log = logs.get("fleet")


@asynccontextmanager
async def live_view(snapshots: ReadSnapshots, console: Console, title: str) -> AsyncIterator[None]:
    """Show the fleet for as long as the block runs."""
    show = _show_table(snapshots, console, title) if console.is_terminal else _show_lines(snapshots)
    task = asyncio.create_task(show, name="live view")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class FleetView(NamedTuple):
    """Holds the processes of the fleet at a moment."""

    moment_s: float
    snapshots: Sequence[tuple[WorkerState, FleetSnapshot]]

    @classmethod
    def from_snapshots(cls, snapshots: ReadSnapshots) -> "FleetView":
        """Return the fleet as it is now."""
        return cls(time.monotonic(), snapshots())

    @property
    def total(self) -> FleetSnapshot:
        """Return all processes together."""
        return FleetSnapshot.total(snapshot for _, snapshot in self.snapshots)

    @property
    def connected_after_s(self) -> float | None:
        """Return how long the fleet has tried to connect (s), once every device was connected; None until then."""
        parts = [snapshot for _, snapshot in self.snapshots]
        # One that has not spoken yet has no time either.
        if not parts or any(part.unconnected or not part.elapsed_s for part in parts):
            return None
        return max(part.elapsed_s for part in parts)


async def _show_table(snapshots: ReadSnapshots, console: Console, title: str) -> None:
    began, before = time.monotonic(), FleetView.from_snapshots(snapshots)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            await asyncio.sleep(REFRESH_S)
            now = FleetView.from_snapshots(snapshots)
            heading = f"{title} · {now.moment_s - began:.0f} s"
            live.update(table(heading, before, now, console.width), refresh=True)
            before = now


async def _show_lines(snapshots: ReadSnapshots) -> None:
    before = FleetView.from_snapshots(snapshots)
    announced = False
    while True:
        await asyncio.sleep(REFRESH_S)
        now = FleetView.from_snapshots(snapshots)
        if not announced and (after_s := now.connected_after_s) is not None:
            log.info("all connected", devices=now.total.devices, after_s=round(after_s, 1))
            announced = True
        if now.moment_s - before.moment_s >= LOG_EVERY_S:
            _log_progress(before, now)
            before = now


def _log_progress(before: FleetView, now: FleetView) -> None:
    total, earlier = now.total, before.total
    lag = total.lag.since(earlier.lag)
    problems = [finding.sentence for finding in find_problems(total, is_over=False)]
    down = {number: state.value for number, (state, _) in enumerate(now.snapshots) if not state.is_up}
    log.info(
        "running",
        connected=f"{total.connected}/{total.devices}",
        **({"gateways": f"{total.gateways_connected}/{total.gateways}"} if total.gateways else {}),
        emitted=total.emitted,
        per_second=round((total.emitted - earlier.emitted) / (now.moment_s - before.moment_s)),
        acknowledged=total.acknowledged,
        **({"sent_qos0": total.sent_qos0} if total.sent_qos0 else {}),
        **({"batched": f"{total.batched} in {total.batches}"} if total.batches else {}),
        **({"collecting": total.collecting} if total.collecting else {}),
        in_flight=total.inflight,
        buffered=total.buffered,
        refused=total.refused,
        dropped=total.dropped,
        **({"takeovers": total.incidents.takeovers.events} if total.incidents.takeovers.events else {}),
        **({"standby": total.standby} if total.standby else {}),
        reconnects=total.reconnects,
        lag_p50_ms=lag.percentile_ms(50),
        lag_p99_ms=lag.percentile_ms(99),
        puback_p99_ms=total.puback.since(earlier.puback).percentile_ms(99),
        **({"workers_down": down} if down else {}),
        **({"problems": problems} if problems else {}),
    )


def table(title: str, before: FleetView, now: FleetView, width: int) -> Table:
    """Return the numbers of the fleet, and of each process where there are several, with rates and lags since `before`.

    They have a row each. Where `width` characters are too few for that, they have a column each, as many as fit.
    """
    parts = [("all", now.total, before.total)]
    if len(now.snapshots) > 1:
        earlier = [snapshot for _, snapshot in before.snapshots] + [FleetSnapshot()] * len(now.snapshots)
        parts += [
            (f"{number} {state}", snapshot, earlier[number]) for number, (state, snapshot) in enumerate(now.snapshots)
        ]
    seconds = max(now.moment_s - before.moment_s, 0.001)
    names = list(_cells(*parts[0][1:], seconds))
    columns = [(name, list(_cells(snapshot, previous, seconds).values())) for name, snapshot, previous in parts]
    problems = "\n".join(finding.full_sentence for finding in find_problems(now.total, is_over=False))

    def heading() -> Table:
        return Table(
            title=title,
            title_justify="left",
            caption=problems or None,
            caption_justify="left",
            caption_style="bold red",
        )

    shown = heading()
    if len(parts) > 1:
        shown.add_column("worker", no_wrap=True)
    for name in names:
        shown.add_column(name, justify="right", no_wrap=True)
    for name, cells in columns:
        shown.add_row(*([name] if len(parts) > 1 else []), *cells)
    if fits(shown, width):
        return shown
    # Those that are not as they should be come first: the others do the same.
    amiss = {number for number, (state, _) in enumerate(now.snapshots) if not state.is_up}
    workers = sorted(range(len(columns) - 1), key=lambda number: number not in amiss)
    for room in range(min(len(workers), width // LEAST_COLUMN), -1, -1):
        fitting = [columns[0], *(columns[1 + number] for number in sorted(workers[:room]))]
        shown = heading()
        shown.add_column("" if len(fitting) == len(columns) else f"{len(columns) - len(fitting)} more", no_wrap=True)
        for name, _ in fitting:
            shown.add_column(name if len(parts) > 1 else "", justify="right", no_wrap=True)
        for position, name in enumerate(names):
            shown.add_row(name, *(cells[position] for _, cells in fitting))
        if fits(shown, width):
            break
    return shown


def _cells(now: FleetSnapshot, before: FleetSnapshot, seconds: float) -> dict[str, str]:
    lag = now.lag.since(before.lag)
    at_qos0 = {"sent at QoS 0": f"{now.sent_qos0:,}"} if now.sent_qos0 else {}
    takeovers = now.incidents.takeovers.events
    return {
        "connected": f"{now.connected:,}/{now.devices:,}",
        **({"gateways": f"{now.gateways_connected:,}/{now.gateways:,}"} if now.gateways else {}),
        "sent/s": f"{(now.delivered - before.delivered) / seconds:,.0f}",
        "emitted": f"{now.emitted:,}",
        "acknowledged": f"{now.acknowledged:,}",
        **at_qos0,
        **({"batched": f"{now.batched:,} in {now.batches:,}"} if now.batches else {}),
        **({"collecting": f"{now.collecting:,}"} if now.batches or now.collecting else {}),
        "in flight": f"{now.inflight:,}",
        "buffered": f"{now.buffered:,}",
        "refused": f"{now.refused:,}",
        "dropped": f"{now.dropped:,}",
        **({"taken over": f"{takeovers:,}"} if takeovers else {}),
        **({"standby": f"{now.standby:,}"} if now.incidents.withdrawals else {}),
        "reconnects": f"{now.reconnects:,}",
        "lag p50": _ms(lag.percentile_ms(50)),
        "lag p99": _ms(lag.percentile_ms(99)),
        "PUBACK p99": _ms(now.puback.since(before.puback).percentile_ms(99)),
    }


def _ms(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else f"{milliseconds:.1f} ms"
