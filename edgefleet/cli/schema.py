"""Implements `edgefleet schema`: JSON Schema of messages and files, AsyncAPI, and schemas of Spark, Avro, Protobuf."""

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
_OF_TOPICS = (_SPARK, "avro", "protobuf")
"""Languages in which the values of Kafka topics are described."""


def command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="A kind, such as bme280, a file: scenario, bridge; or every Kafka topic: spark, avro, protobuf."
            " Default: all of JSON Schema.",
        ),
    ] = None,
    as_asyncapi: Annotated[
        bool, typer.Option("--asyncapi", help="Print the AsyncAPI 3.0 document of all messages instead.")
    ] = False,
    kinds_of: KindsOf = None,
) -> None:
    """Print JSON Schema: of one message, of the scenario or bridge file, or of all, by name.

    `spark` prints for each Kafka topic the schema of its values for Apache Spark, as StructType JSON and as DDL, and of
    the records themselves with their headers; `avro` and `protobuf` what the bridge registers for it.

    Example: `edgefleet schema bme280`, `edgefleet schema --asyncapi`, `edgefleet schema avro`
    """
    from rich.console import Console

    from edgewire.messages.schema import asyncapi, schema_names

    know_kinds(kinds_of)
    names = (*schema_names(), *_FILES, *_OF_TOPICS)
    if name is not None and (as_asyncapi or name not in names):
        wrong = "--asyncapi covers all messages and takes no name" if as_asyncapi else f"there is no schema '{name}'"
        raise ConfigError(f"{wrong}; names are {', '.join(names)}")
    if as_asyncapi:
        document = asyncapi()
    elif name in _OF_TOPICS:
        document = _of_topics(name)
    elif name is not None:
        document = _schema(name)
    else:
        document = {each: _schema(each) for each in names if each not in _OF_TOPICS}
    Console().print_json(data=document)


def _of_topics(name: str) -> dict[str, Any]:
    match name:
        case "avro":
            from edgewire.messages.avro import avro_schemas

            return avro_schemas()
        case "protobuf":
            from edgewire.messages.protobuf import protobuf_schemas

            return protobuf_schemas()
        case _:
            return _spark()


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
