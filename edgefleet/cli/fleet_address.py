"""Holds which run a command of `edgefleet ctl` is about, and has actions carried out there."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from edgefleet.cli.common import Json
from edgefleet.cli.control_options import read_token
from edgefleet.terminal import echo

if TYPE_CHECKING:
    from edgefleet.control.client import ControlClient

DEFAULT_URL = "http://127.0.0.1:8088"


@dataclass(frozen=True, slots=True)
class FleetAddress:
    """Says which run is meant."""

    fleet: Annotated[
        str,
        typer.Option(envvar="EDGEFLEET_CTL_FLEET", help="URL of its control interface, or the folder of its record."),
    ] = DEFAULT_URL
    token_file: Annotated[
        Path | None,
        typer.Option(
            envvar="EDGEFLEET_CONTROL_TOKEN_FILE",
            help="File with its token. Also the variable EDGEFLEET_CONTROL_TOKEN.",
            show_default=False,
            dir_okay=False,
        ),
    ] = None
    as_json: Json = False

    def connect(self) -> "ControlClient":
        """Return the way to it; raises `ConfigError` for one that is none."""
        from edgefleet.control.address import find_address
        from edgefleet.control.client import ControlClient

        return ControlClient(find_address(self.fleet), read_token(self.token_file, "--token-file"))

    def act(self, action: str, **keys: Any) -> None:
        """Have an action carried out, and say what came of it; exit code 1 where some of it was not done."""
        given = {name: value for name, value in keys.items() if value is not None and value != ()}
        result = self.connect().act({"action": action, **given})
        if self.as_json:
            typer.echo(orjson.dumps(result))
        else:
            echo(result["said"])
            for row in result["told"]:
                echo(f"  {row.pop('device_id')}: {', '.join(f'{name} {value}' for name, value in row.items())}")
        if result["outcome"] != "done":
            raise typer.Exit(1)
