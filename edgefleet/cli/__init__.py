"""The command line: one file a command, registered here; errors become one line and an exit code.

A command's file has its options and their help, and is loaded when the command is called; what the command needs is
imported by its function, so that no help waits for it.

Exit codes: 0 done, 1 failed or something was lost, 2 wrong usage.
"""

import errno
import os
import sys
from typing import Annotated

import typer

from edgefleet.cli.lazy_group import RICH_MARKUP_MODE, lazy_group
from edgefleet.terminal import echo
from edgewire.errors import EdgefleetError

COMMANDS = (
    "demo",
    "init",
    "broker",
    "run",
    "ctl",
    "doctor",
    "generate",
    "plot",
    "fit",
    "learn",
    "bridge",
    "ingest",
    "verify",
    "web",
    "provision",
    "watch",
    "forget",
    "schema",
)
"""Each in the module of its name, in the order in which `--help` lists them."""

app = typer.Typer(
    name="edgefleet",
    cls=lazy_group({name: f"edgefleet.cli.{name.replace('-', '_')}" for name in COMMANDS}),
    help="A fleet of emulated edge devices on MQTT, and a bridge to HTTP and Kafka that loses nothing.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=RICH_MARKUP_MODE,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from edgefleet.version import describe_version

        typer.echo(f"edgefleet {describe_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Take the options that stand before a command; each ends the program by itself."""


_PATH_FAULTS = {
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EACCES: "choose a place that you may look into",
}
"""What ends even a look whether something is there -> what to do about it."""


def main() -> None:
    """Entry point of the `edgefleet` script."""
    try:
        app()
    except EdgefleetError as error:
        from edgewire.redact import hide_urls

        echo(f"edgefleet: {hide_urls(str(error))}", err=True)
        sys.exit(error.exit_code)
    except ImportError:
        sentence = _shadowed()
        typer.echo(f"edgefleet: {sentence}" if sentence else _traceback(), err=True)
        sys.exit(1)
    except MemoryError:
        typer.echo("edgefleet: there is no more memory: give it more, or less to do at once", err=True)
        sys.exit(1)
    except OSError as error:
        from edgewire.redact import hide_urls

        advice = _PATH_FAULTS.get(error.errno or 0)
        if advice is None or not isinstance(error.filename, str):
            typer.echo(_traceback(), err=True)
            sys.exit(1)
        echo(f"edgefleet: {hide_urls(error.filename)}: {error.strerror}: {advice}", err=True)
        sys.exit(2)
    except Exception:
        typer.echo(_traceback(), err=True)
        sys.exit(1)


def _traceback() -> str:
    """Return what Python prints of an error that nobody expected, whose words may be a URL with its password."""
    import traceback

    from edgewire.redact import hide_urls

    return hide_urls(traceback.format_exc().rstrip())


def _shadowed() -> str | None:
    """Return which of our packages was not imported, as another one has its name; None where all are ours."""
    ours = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    for name in ("edgewire", "devices", "bridge"):
        found = getattr(sys.modules.get(name), "__file__", None)
        if found and os.path.dirname(os.path.dirname(found)) != ours:
            return (
                f"Python has imported {found} as '{name}', which is a part of edgefleet: rename that folder, or "
                f"take it out of PYTHONPATH"
            )
    return None
