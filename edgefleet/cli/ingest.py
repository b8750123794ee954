"""Implements `edgefleet ingest`: the reference HTTP ingest service."""

from typing import Annotated

import orjson
import typer

from edgefleet.cli.common import Json, KindsOf, LogLevel, know_kinds, parse_duration, parse_option, start_logging
from edgewire.errors import ConfigError


def command(
    host: Annotated[
        str, typer.Option(envvar="EDGEFLEET_INGEST_HOST", help="Address to listen on; 0.0.0.0 for all.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="EDGEFLEET_INGEST_PORT", min=0, max=65535, help="Port; 0 takes a free one.")
    ] = 8000,
    store: Annotated[
        str,
        typer.Option(
            envvar="EDGEFLEET_INGEST_STORE",
            help="Where to keep the messages: sqlite:///PATH or postgresql://USER@HOST/DATABASE.",
        ),
    ] = "sqlite:///edgefleet.db",
    max_body: Annotated[
        str, typer.Option(envvar="EDGEFLEET_INGEST_MAX_BODY", help="Largest request body that is taken.")
    ] = "8MiB",
    body_timeout: Annotated[
        str, typer.Option(envvar="EDGEFLEET_INGEST_BODY_TIMEOUT", help="Time a sender has for the body of a request.")
    ] = "30s",
    token: Annotated[
        list[str] | None,
        typer.Option(
            envvar="EDGEFLEET_INGEST_TOKEN",
            help="Bearer token needed to post and to read; repeatable (in the variable: spaces between).",
        ),
    ] = None,
    kinds_of: KindsOf = None,
    as_json: Json = False,
    log_level: LogLevel = "info",
) -> None:
    """Take messages over HTTP, check them against the contract, and keep each once.

    Stops in order on SIGTERM and Ctrl-C; `/docs` describes the API. With `--json`, one line says where it listens.

    Example: `edgefleet ingest --port 8000 --store sqlite:///edgefleet.db`
    """
    from rich.console import Console

    from edgefleet.cli.signals import run_async, until_signal
    from edgefleet.ingest.body import BodyLimits
    from edgefleet.ingest.server import IngestConfig, serve
    from edgewire.config import size_bytes
    from edgewire.redact import show_url

    start_logging(log_level)
    know_kinds(kinds_of)
    limits = BodyLimits(
        bytes=parse_option("--max-body", size_bytes, max_body),
        seconds=parse_duration("--body-timeout", body_timeout) / 1000,
    )
    if any(not one for one in token or ()):
        raise ConfigError("--token is empty; leave it out to let everybody in")
    config = IngestConfig(host=host, port=port, store=store, limits=limits, tokens=tuple(token or ()))

    place = show_url(store)

    def announce(url: str) -> None:
        if as_json:
            typer.echo(orjson.dumps({"url": url, "store": place}))
        else:
            Console(highlight=False, markup=False).print(f"ingest listens on {url}, stores in {place}; API: {url}/docs")

    run_async(until_signal(lambda stop: serve(config, stop, announce)))
