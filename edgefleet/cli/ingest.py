"""`edgefleet ingest`: the reference HTTP ingest service."""

from typing import Annotated

import orjson
import typer
from rich.console import Console

from edgefleet.cli.common import Json, LogLevel, run_async, start_logging, until_signal
from edgewire.config import size_bytes
from edgewire.errors import ConfigError


def command(
    host: Annotated[
        str, typer.Option(envvar="EDGEFLEET_INGEST_HOST", help="Address to listen on; 0.0.0.0 for all.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="EDGEFLEET_INGEST_PORT", min=0, max=65535, help="Port; 0 takes a free one.")
    ] = 8000,
    store: Annotated[
        str, typer.Option(envvar="EDGEFLEET_INGEST_STORE", help="Where to keep the messages: sqlite:///PATH.")
    ] = "sqlite:///edgefleet.db",
    max_body: Annotated[
        str, typer.Option(envvar="EDGEFLEET_INGEST_MAX_BODY", help="Largest request body that is taken.")
    ] = "8MiB",
    as_json: Json = False,
    log_level: LogLevel = "info",
) -> None:
    """Take messages over HTTP, check them against the contract, and keep each once.

    Stops in order on SIGTERM and Ctrl-C; `/docs` describes the API. With `--json`, one line says where it listens.

    Example: `edgefleet ingest --port 8000 --store sqlite:///edgefleet.db`
    """
    from edgefleet.ingest.server import IngestConfig, serve

    start_logging(log_level)
    try:
        max_body_bytes = size_bytes(max_body)
    except ValueError as error:
        raise ConfigError(f"--max-body: {error}") from None
    config = IngestConfig(host=host, port=port, store=store, max_body_bytes=max_body_bytes)

    def announce(url: str) -> None:
        if as_json:
            typer.echo(orjson.dumps({"url": url, "store": store}))
        else:
            Console(highlight=False).print(f"ingest listens on {url}, stores in {store}; API: {url}/docs")

    run_async(until_signal(lambda stop: serve(config, stop, announce)))
