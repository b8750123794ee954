"""Implements `edgefleet bridge route`: what would be sent where, shown without sending anything."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from edgefleet.cli.bridge_file import load_bridge
from edgefleet.cli.common import Json
from edgewire.errors import ConfigError

if TYPE_CHECKING:  # it takes long to import
    from rich.console import Console

_COLOURS = {"sent": "green", "dropped": "yellow", "dead letter": "red"}


def route(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="Configuration file.", show_default=False)],
    topic: Annotated[str, typer.Option(help="The topic of the message.", show_default=False)],
    payload: Annotated[
        str, typer.Option(help="The payload as text, @FILE, or - for standard input.", show_default=False)
    ],
    as_json: Json = False,
) -> None:
    """Show what would be sent where for one message; nothing is sent. Exit code 1 if it would be a dead letter.

    Example: `edgefleet bridge route bridge.yaml --topic edge/hq/gps/g1/telemetry --payload @message.json`
    """
    from bridge.check import preview_route

    found = preview_route(load_bridge(config), topic, _read(payload))
    if as_json:
        typer.echo(orjson.dumps(found))
    else:
        _print(found)
    fates = [fate for one in found.get("readings", [found]) for fate in one["sinks"].values()]
    if any(one["fate"] == "dead letter" for one in fates):
        raise typer.Exit(1)


def _read(payload: str) -> bytes:
    if payload == "-":
        return sys.stdin.buffer.read()
    if not payload.startswith("@"):
        return payload.encode()
    try:
        return Path(payload[1:]).read_bytes()
    except OSError as error:
        raise ConfigError(f"--payload: {payload[1:]} cannot be read: {error.strerror}") from None


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(soft_wrap=True, highlight=False)
    subscribed = "" if found["subscribed"] else " (not among the subscriptions)"
    console.print(f"topic  {escape(found['topic'])}{subscribed}")
    readings = found.get("readings", [found])
    for number, reading in enumerate(readings, 1):
        if len(readings) > 1:
            console.print(f"\n[bold]reading {number} of {len(readings)}[/]")
        _print_message(console, reading)


def _print_message(console: "Console", found: dict[str, Any]) -> None:
    from rich.markup import escape

    console.print(f"route  {escape(found['route'] or 'none')}")
    if decoded := found["decoded"]:
        console.print(f"read as {decoded['format']}: {escape(decoded['topic'])}")
        console.print("        " + escape(orjson.dumps(decoded["fields"]).decode()))
    if schema := found["schema"]:
        verdict = "valid" if schema["valid"] else f"[yellow]{escape(schema['fault'])}[/]"
        console.print(f"schema {verdict} (validate: {schema['validate']}, {escape(schema['against'])})")
    for sink, fate in found["sinks"].items():
        reason = f": {escape(fate['reason'])}" if "reason" in fate else ""
        console.print(f"\n[bold]{sink}[/]  [{_COLOURS[fate['fate']]}]{fate['fate']}[/]{reason}")
        for name, value in fate.items():
            if name in ("fate", "reason") or value is None:
                continue
            lines = [f"{key}: {one}" for key, one in value.items()] if isinstance(value, dict) else [str(value)]
            for number, line in enumerate(lines):
                console.print(f"  {'' if number else name:<12} {escape(line)}")
