"""Implements `edgefleet schema`: JSON Schema of messages and files, the AsyncAPI document, and schemas of Spark."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from edgefleet.cli.common import KindsOf, know_kinds
from edgewire.errors import ConfigError


def _scenario() -> dict[str, Any]:
    from devices.scenario.scenario import Scenario

    return Scenario.model_json_schema()


def _bridge() -> dict[str, Any]:
    from bridge.config import BridgeConfig

    return BridgeConfig.model_json_schema()


_FILES: Mapping[str, Callable[[], dict[str, Any]]] = {"scenario": _scenario, "bridge": _bridge}
"""Configuration files that have a schema."""
_SPARK = "spark"


def command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="A kind, such as bme280, a file: scenario, bridge; or spark: every Kafka topic. Default: all.",
        ),
    ] = None,
    as_asyncapi: Annotated[
        bool, typer.Option("--asyncapi", help="Print the AsyncAPI 3.0 document of all messages instead.")
    ] = False,
    kinds_of: KindsOf = None,
) -> None:
    """Print JSON Schema: of one message, of the scenario or bridge file, or of all, by name.

    `spark` prints for each Kafka topic the schema of its values for Apache Spark, as StructType JSON and as DDL, and of
    the records themselves with their headers.

    Example: `edgefleet schema bme280`, `edgefleet schema --asyncapi`, `edgefleet schema spark`
    """
    from rich.console import Console

    from edgewire.messages.schema import asyncapi, schema_names

    know_kinds(kinds_of)
    names = (*schema_names(), *_FILES, _SPARK)
    if name is not None and (as_asyncapi or name not in names):
        wrong = "--asyncapi covers all messages and takes no name" if as_asyncapi else f"there is no schema '{name}'"
        raise ConfigError(f"{wrong}; names are {', '.join(names)}")
    if as_asyncapi:
        document = asyncapi()
    elif name == _SPARK:
        document = _spark()
    elif name is not None:
        document = _schema(name)
    else:
        document = {each: _schema(each) for each in names if each != _SPARK}
    Console().print_json(data=document)


def _spark() -> dict[str, Any]:
    from edgewire.messages.spark import HEADERS, ddl, kafka_record, spark_schemas

    record = kafka_record()
    return {"record": {"struct": record, "ddl": ddl(record), "headers": HEADERS}, "topics": spark_schemas()}


def _schema(name: str) -> dict[str, Any]:
    from edgewire.messages.schema import message_schema

    return file_schema(name) if name in _FILES else message_schema(name)


def file_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of a configuration file: `scenario` or `bridge`."""
    from edgewire.messages.schema import JSON_SCHEMA

    return {"$schema": JSON_SCHEMA, **_FILES[name]()}
