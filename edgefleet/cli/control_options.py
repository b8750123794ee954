"""Holds what `edgefleet run`, `edgefleet demo` and `edgefleet ctl` share: the token, which is in no option's value."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewire.errors import ConfigError

if TYPE_CHECKING:
    from edgefleet.control.server import ControlConfig

TOKEN_VARIABLE = "EDGEFLEET_CONTROL_TOKEN"  # noqa: S105 - the name of it

ControlAddress = Annotated[
    str | None,
    typer.Option(
        "--control",
        "--web",
        envvar="EDGEFLEET_CONTROL",
        metavar="[HOST:]PORT",
        help="Let the run be watched and changed: by a page in a browser, by `edgefleet ctl`, and over HTTP. 8088, "
        "or HOST:PORT; 0 takes a free port.",
        show_default=False,
    ),
]
ControlTokenFile = Annotated[
    Path | None,
    typer.Option(
        "--control-token-file",
        "--web-token-file",
        envvar="EDGEFLEET_CONTROL_TOKEN_FILE",
        help="File with the token that is asked for, needed for other hosts than this one. Also the variable "
        "EDGEFLEET_CONTROL_TOKEN.",
        show_default=False,
        dir_okay=False,
    ),
]

BridgeAddress = Annotated[
    str | None,
    typer.Option(
        "--bridge",
        envvar="EDGEFLEET_BRIDGE",
        metavar="URL",
        help="Address of the admin.port of the bridge behind the run, such as http://127.0.0.1:9464: with --control "
        "its state is part of what is told.",
        show_default=False,
    ),
]
BridgeTokenFile = Annotated[
    Path | None,
    typer.Option(
        envvar="EDGEFLEET_BRIDGE_TOKEN_FILE",
        help="File with the token of the bridge, where its `admin.token` is set: to pause and drain it.",
        show_default=False,
        dir_okay=False,
    ),
]
IngestAddress = Annotated[
    str | None,
    typer.Option(
        "--ingest",
        envvar="EDGEFLEET_INGEST",
        metavar="URL",
        help="Address of the ingest behind the bridge, such as http://127.0.0.1:8000: the same.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class PipelineAddresses:
    """Says where the services behind a run are, as far as that was told."""

    bridge: str | None = field(default=None, repr=False)
    ingest: str | None = field(default=None, repr=False)
    bridge_token: str | None = field(default=None, repr=False)

    @classmethod
    def parse(
        cls, bridge: str | None, bridge_token_file: Path | None, ingest: str | None, *, is_controlled: bool
    ) -> "PipelineAddresses":
        """Read the options. Raises `ConfigError` for what is no address, and where nobody could be told of it."""
        from edgefleet.control.metrics_page import parse_service_url

        for option, given in (("--bridge", bridge), ("--ingest", ingest)):
            if given is not None and not is_controlled:
                raise ConfigError(f"{option}: is for the page and `edgefleet ctl`: add --web 8089, or leave it out")
        if bridge_token_file is not None and bridge is None:
            raise ConfigError("--bridge-token-file: is for --bridge, which is not given")
        return cls(
            None if bridge is None else parse_service_url("--bridge", bridge),
            None if ingest is None else parse_service_url("--ingest", ingest),
            None if bridge_token_file is None else _read_secret_file(bridge_token_file, "--bridge-token-file"),
        )


def read_token(file: Path | None, option: str) -> str | None:
    """Return the token out of a file, or of the variable; None where there is neither. Raises `ConfigError`."""
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    return _read_secret_file(file, option)


def _read_secret_file(file: Path, option: str) -> str:
    from edgewire.secret_file import read_secret

    try:
        return read_secret(file)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def parse_control(address: str | None, token_file: Path | None, option: str = "--control") -> "ControlConfig | None":
    """Return where the control interface is to listen; None where it is not asked for. Raises `ConfigError`."""
    if address is None:
        if token_file is not None:
            raise ConfigError(f"{option}-token-file: is for {option}, which is not given")
        return None
    from edgefleet.control.server import ControlConfig
    from edgewire.http_guard import SHORTEST_TOKEN

    token = read_token(token_file, f"{option}-token-file")
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or " " in token):
        raise ConfigError(
            f"{option}-token-file: a token is {SHORTEST_TOKEN} characters of ASCII or more, without spaces: make one "
            "with `openssl rand -hex 32`"
        )
    return ControlConfig.parse(address, token, option)
