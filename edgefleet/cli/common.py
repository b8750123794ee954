"""Holds what several commands share: options and their values. Every command loads it: it imports little."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, cast, get_args

import typer

from edgewire.clock import parse_ms
from edgewire.errors import ConfigError

if TYPE_CHECKING:
    from devices.scenario.scenario import Scenario

DEFAULT_FROM = "2026-03-02"
"""When exports and plots begin unless they are told: always the same, so that they are the same."""

Parsed = TypeVar("Parsed")

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")]
HtmlPage = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Also write a report, one HTML file for a browser.", show_default=False
    ),
]


def _folder_of_run(path: Path) -> Path:
    """Return the folder of a run that is named by it, or by the record in it."""
    return path.parent if path.name == "run.json" and path.is_file() else path


def _folders_of_runs(paths: list[Path]) -> list[Path]:
    return [_folder_of_run(path) for path in paths]


RunFolders = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN…",
        help="Folder of the run record, or its run.json.",
        show_default=False,
        callback=_folders_of_runs,
    ),
]
LogLevel = Annotated[
    str,
    typer.Option(envvar="EDGEFLEET_LOG_LEVEL", help="debug, info, warning or error; logs go to stderr."),
]
LogFormat = Annotated[
    str,
    typer.Option(
        envvar="EDGEFLEET_LOG_FORMAT", help="text, json (one object a line), or auto: text on a terminal, else json."
    ),
]


KindsOf = Annotated[
    Path | None,
    typer.Option(
        envvar="EDGEFLEET_KINDS_OF",
        help="A scenario that declares kinds of its own: they are known here as those of edgefleet are.",
        dir_okay=False,
        show_default=False,
    ),
]


def know_kinds(path: Path | None) -> None:
    """Make the kinds of plug-ins known, and with a scenario those that it declares; raises `ConfigError`."""
    from importlib.metadata import entry_points

    if path is not None:
        from devices.scenario.loading import load_scenario

        if not load_scenario(path).kinds:
            raise ConfigError(f"--kinds-of {path}: declares no kinds; it has no key kinds")
    elif entry_points(group="edgefleet.kinds"):
        import devices.sensors.registry  # noqa: F401 - makes them known


def first_token(text: str | None) -> str | None:
    """Return the token that a client shows: the ingest takes several from its variable, with spaces between."""
    return text.split()[0] if text and text.split() else text


def find_scenario(path: Path | None) -> Path | None:
    """Return the path of the scenario of that name which comes with edgefleet, or else the path itself."""
    from edgefleet.starter import scenario_path

    return None if path is None else scenario_path(path)


def warn_of_steps(scenario: "Scenario") -> None:
    """Say where the steps of a scenario are left out, as they are of live runs."""
    if scenario.steps:
        typer.echo("edgefleet: steps of the scenario are done in live runs alone: there is none of them here", err=True)


def start_logging(level: str, fmt: str = "auto") -> None:
    """Log at the level and in the form a user named; raises `typer.BadParameter` for a name that is none."""
    from edgewire import logs

    if level.lower() not in ("debug", "info", "warning", "error"):
        raise typer.BadParameter(f"'{level}' is no log level: debug, info, warning or error", param_hint="--log-level")
    if fmt not in get_args(logs.LogFormat):
        raise typer.BadParameter(
            f"'{fmt}' is no log format: {', '.join(get_args(logs.LogFormat))}", param_hint="--log-format"
        )
    logs.configure(level, cast("logs.LogFormat", fmt))


def parse_option(option: str, parse: Callable[[str], Parsed], text: str) -> Parsed:
    """Return an option's value; raises `ConfigError` that names the option where `parse` raises `ValueError`."""
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def parse_duration(option: str, text: str, *, least_ms: int = 1) -> int:
    """Return the milliseconds of an option's duration; raises `ConfigError` for none, and for less than `least_ms`."""
    from edgewire.config import duration_ms, duration_text

    milliseconds = parse_option(option, duration_ms, text)
    if milliseconds < least_ms:
        raise ConfigError(f"{option}: '{text}' is too short: give {duration_text(least_ms)} or more, such as 10s")
    return milliseconds


def parse_instant(
    option: str,
    text: str,
    hint: str = "is no ISO 8601 time, such as 2026-03-01T12:00:00Z",
    error: Callable[[str], Exception] = ConfigError,
) -> int:
    """Return the milliseconds since 1970 of an option's time; raises `error` that names the option."""
    try:
        return parse_ms(text)
    except (ValueError, OverflowError):
        raise error(f"{option}: '{text}' {hint}") from None
