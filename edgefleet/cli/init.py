"""Implements `edgefleet init`: what a user begins with, in a folder."""

from pathlib import Path
from typing import Annotated

import typer

_SCHEMAS_OF = ("scenario", "bridge")


def command(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="Where to; it is made where it is missing.", file_okay=False)
    ] = Path(),
    scenario: Annotated[
        str | None, typer.Option(help="Of the scenarios only this one: mixed, bme280, …", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Write scenarios, a bridge's file, dashboards and alarm rules into a folder, with schemas for an editor.

    The YAML files name their schema, so that an editor completes keys and marks mistakes. A file that is there and
    says something else is never overwritten without --force.

    Example: `edgefleet init my-fleet --scenario mixed`
    """
    import orjson

    from edgefleet.cli.schema import file_schema
    from edgefleet.starter import SCHEMAS, starter_files, write_files

    files = starter_files(scenario)
    for name in _SCHEMAS_OF:
        schema = orjson.dumps(file_schema(name), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        files[f"{SCHEMAS}/{name}.schema.json"] = schema.decode()
    written = write_files(folder, files, overwrite=force)
    for name in written:
        typer.echo(folder / name)
    first = scenario or "mixed"
    typer.echo(
        f"{len(written)} files written, {len(files) - len(written)} were there;"
        f" edgefleet run {folder / 'scenarios' / first}.yaml",
        err=True,
    )
