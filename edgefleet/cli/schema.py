"""Implements `edgefleet schema`: JSON Schema of messages and configuration files, and the AsyncAPI document."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from edgewire.errors import ConfigError


def _scenario() -> dict[str, Any]:
    from devices.scenario.scenario import Scenario

    return Scenario.model_json_schema()


def _bridge() -> dict[str, Any]:
    from bridge.config import BridgeConfig

    return BridgeConfig.model_json_schema()


_FILES: Mapping[str, Callable[[], dict[str, Any]]] = {"scenario": _scenario, "bridge": _bridge}
"""Configuration files that have a schema."""


def command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A kind, such as bme280, or a file: scenario, bridge. Default: all."),
    ] = None,
    as_asyncapi: Annotated[
        bool, typer.Option("--asyncapi", help="Print the AsyncAPI 3.0 document of all messages instead.")
    ] = False,
) -> None:
    """Print JSON Schema: of one message, of the scenario or bridge file, or of all, by name.

    Example: `edgefleet schema bme280`, `edgefleet schema --asyncapi`
    """
    from rich.console import Console

    from edgewire.messages.schema import MESSAGE_SCHEMAS, asyncapi

    names = (*MESSAGE_SCHEMAS, *_FILES)
    if name is not None and (as_asyncapi or name not in names):
        wrong = "--asyncapi covers all messages and takes no name" if as_asyncapi else f"there is no schema '{name}'"
        raise ConfigError(f"{wrong}; names are {', '.join(names)}")
    if as_asyncapi:
        document = asyncapi()
    elif name is not None:
        document = _schema(name)
    else:
        document = {each: _schema(each) for each in names}
    Console().print_json(data=document)


def _schema(name: str) -> dict[str, Any]:
    from edgewire.messages.schema import message_schema

    return file_schema(name) if name in _FILES else message_schema(name)


def file_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of a configuration file: `scenario` or `bridge`."""
    from edgewire.messages.schema import JSON_SCHEMA

    return {"$schema": JSON_SCHEMA, **_FILES[name]()}
