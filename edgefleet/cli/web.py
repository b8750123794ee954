"""Implements `edgefleet web`: the page of runs that are over, or go on elsewhere, by the files that they leave."""

from typing import TYPE_CHECKING, Annotated

import typer

from edgefleet.cli.common import LogLevel, RunFolders, start_logging
from edgefleet.cli.control_options import ControlTokenFile, parse_control

if TYPE_CHECKING:
    import asyncio

DEFAULT_ADDRESS = "8089"


def command(
    runs: RunFolders,
    web: Annotated[
        str,
        typer.Option(
            "--web",
            envvar="EDGEFLEET_WEB",
            metavar="[HOST:]PORT",
            help="Where the page is: 8089, or HOST:PORT; 0 takes a free port.",
        ),
    ] = DEFAULT_ADDRESS,
    web_token_file: ControlTokenFile = None,
    log_level: LogLevel = "warning",
) -> None:
    """Show runs in a browser by the files that they have left: flow, groups, map, time line, devices and log.

    It is the page of `edgefleet run --web`, to look at alone: nothing can be done to a record. Of several runs the page
    lets you choose. A run that goes on is shown as far as its files tell. Ctrl-C ends it.

    Example: `edgefleet web runs/20260301-120000`, `edgefleet web runs/* --web 0`
    """
    from edgefleet.cli.signals import run_async, until_signal
    from edgefleet.control.records_server import load_runs, served_records
    from edgefleet.terminal import echo

    start_logging(log_level)
    config = parse_control(web, web_token_file, "--web")
    assert config is not None
    found = load_runs(runs)

    async def serve(stop: "asyncio.Event") -> None:
        async with served_records(config, found) as url:
            plural = "" if len(found) == 1 else "s"
            echo(f"page of {len(found)} run{plural}: {url}/ (Ctrl-C ends it)")
            await stop.wait()

    run_async(until_signal(serve))
