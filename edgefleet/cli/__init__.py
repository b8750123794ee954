"""The command line: one file a command, registered here; errors become one line and an exit code.

Exit codes: 0 done, 1 failed or something was lost, 2 wrong usage.
"""

import sys
from typing import Annotated

import typer

from edgefleet import __version__
from edgefleet.cli import bridge, demo, doctor, generate, ingest, plot, provision, run, schema, verify, watch
from edgewire.errors import EdgefleetError

app = typer.Typer(
    name="edgefleet",
    help="A fleet of emulated edge devices on MQTT, and a bridge to HTTP and Kafka that loses nothing.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"edgefleet {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Take the options that stand before a command; each ends the program by itself."""


app.command("demo")(demo.command)
app.command("run")(run.command)
app.command("doctor")(doctor.command)
app.command("generate")(generate.command)
app.command("plot")(plot.command)
app.add_typer(bridge.app, name="bridge")
app.command("ingest")(ingest.command)
app.command("verify")(verify.command)
app.command("provision")(provision.command)
app.command("watch")(watch.command)
app.command("schema")(schema.command)


def main() -> None:
    """Entry point of the `edgefleet` script."""
    try:
        app()
    except EdgefleetError as error:
        typer.echo(f"edgefleet: {error}", err=True)
        sys.exit(error.exit_code)
