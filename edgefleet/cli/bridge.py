"""Implements `edgefleet bridge`: from MQTT through a durable spool to HTTP and Kafka."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from edgefleet.cli.bridge_file import load_bridge
from edgefleet.cli.bridge_route import route
from edgefleet.cli.common import Json, LogFormat, LogLevel, start_logging
from edgefleet.cli.dead_letters import app as dead_letters_app
from edgefleet.cli.lazy_group import RICH_MARKUP_MODE, CommandGroup
from edgefleet.cli.waiting import Wait, parse_wait, wait_for_broker

if TYPE_CHECKING:
    from bridge.config import BridgeConfig

app = typer.Typer(
    help="Forward messages from MQTT to HTTP and Kafka, and lose none.",
    cls=CommandGroup,
    no_args_is_help=True,
    rich_markup_mode=RICH_MARKUP_MODE,
    add_completion=False,
)
app.add_typer(dead_letters_app, name="dead-letters")
app.command("route")(route)

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="Configuration file, such as bridge.yaml.", show_default=False)
]


@app.command("run")
def run(config: ConfigFile, log_level: LogLevel = "info", log_format: LogFormat = "auto") -> None:
    """Run the bridge until SIGTERM or Ctrl-C; what it has begun is finished, what is pending waits in the spool.

    SIGHUP reads the configuration again, SIGUSR1 drains.

    Example: `edgefleet bridge run bridge.yaml`
    """

    start_logging(log_level, log_format)
    _serve(config, load_bridge(config))


@app.command("drain")
def drain(config: ConfigFile, log_level: LogLevel = "info", log_format: LogFormat = "auto") -> None:
    """Take no new messages, deliver every one that is pending, and end the session with the broker.

    For a member that is to go for good. Tells the bridge that runs on this configuration's spool to do so and waits for
    it, or does it itself where none runs. Exit code 1 if something is left after drain_timeout.

    Example: `edgefleet bridge drain bridge.yaml`
    """
    from bridge.control import drain_running_bridge
    from bridge.spool.sqlite import lock_owner

    start_logging(log_level, log_format)
    loaded = load_bridge(config)
    if pid := lock_owner(loaded.spool.path):
        drain_running_bridge(loaded, pid)
    else:
        _serve(config, loaded, drain=True)
    typer.echo("drained: everything is delivered, and the broker keeps nothing for this bridge")


def _serve(config: Path, loaded: "BridgeConfig", *, drain: bool = False) -> None:
    """Run a bridge, and do what signals ask of it."""
    import asyncio
    import gc
    import signal
    import sys

    from bridge import service
    from bridge.control import ControlSignals
    from edgefleet.cli.signals import run_async, until_signal
    from edgefleet.launch.process_tuning import tuned_process

    async def serve(stop: asyncio.Event) -> None:
        signals = ControlSignals(stop, lambda: load_bridge(config))
        if sys.platform != "win32":
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, signals.reload.set)
            loop.add_signal_handler(signal.SIGUSR1, signals.drain.set)
        if drain:
            signals.drain.set()
        await service.run_bridge(loaded, stop, signals=signals)

    # The writer thread gives up the GIL at every statement; untuned, a busy event loop would keep it from a commit for
    # tens of milliseconds, and the collector, which looks at every object that there is, would keep both.
    with tuned_process():
        gc.freeze()
        run_async(until_signal(serve))


@app.command("check")
def check(config: ConfigFile, as_json: Json = False, wait: Wait = "0s") -> None:
    """Check the configuration and reach every endpoint; exit code 1 if one is not as it should be.

    Example: `edgefleet bridge check bridge.yaml`
    """
    import asyncio

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from bridge.check import Finding, check_endpoints
    from edgefleet.terminal import fit_table

    start_logging("error")
    loaded, wait_s = load_bridge(config), parse_wait(wait)

    async def ask() -> list[Finding]:
        await wait_for_broker(loaded.brokers, wait_s)
        return await check_endpoints(loaded)

    findings = asyncio.run(ask())
    if as_json:
        _print_json({finding.part: {"ok": finding.ok, "text": finding.text} for finding in findings})
    else:
        table = Table(box=None, show_header=False)
        for finding in findings:
            table.add_row("[green]ok[/]" if finding.ok else "[red]failed[/]", finding.part, escape(finding.text))
        console = Console()
        console.print(fit_table(table, console.width, keys=2, one_a_line=True))
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


@app.command("status")
def status(config: ConfigFile, as_json: Json = False) -> None:
    """Print the books of every sink, counted from the spool; exit code 1 if they do not balance.

    received = delivered + dead letters + dropped by rule + discarded by an operator + pending. Works beside a running
    bridge.

    Example: `edgefleet bridge status bridge.yaml`
    """
    from rich.console import Console
    from rich.table import Table

    from bridge.spool.accounting import lag_s, read_spool_report
    from edgefleet.terminal import fit_table, say
    from edgewire.clock import SystemClock, iso_ms

    ledger = read_spool_report(load_bridge(config).spool.path)
    now_ms = SystemClock().now_ms()
    if as_json:
        _print_json(ledger.document(now_ms))
    else:
        table = Table("", *(one.sink for one in ledger.sinks), box=None)
        for name in ("received", "delivered", "dead_lettered", "dropped", "discarded", "pending"):
            table.add_row(name.replace("_", " "), *(f"{getattr(one, name):,}" for one in ledger.sinks))
        oldest = [one.oldest_pending_ms for one in ledger.sinks]
        table.add_row("oldest pending", *("-" if one is None else iso_ms(one) for one in oldest))
        table.add_row("lag", *(f"{lag_s(one, now_ms):,.0f} s" for one in oldest))
        table.add_row("balanced", *("yes" if one.balanced else "[red]no[/]" for one in ledger.sinks))
        console = Console()
        console.print(fit_table(table, console.width))
        say(console, f"the spool holds {ledger.spool_bytes:,} bytes, its file has {ledger.file_bytes:,}")
    if not ledger.balanced:
        raise typer.Exit(1)


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(orjson.dumps(document))
