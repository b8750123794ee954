"""Implements `edgefleet demo`: the main job on loopback, with a verdict."""

from typing import Annotated

import orjson
import typer

from edgefleet.cli.broker import Engine, parse_engine
from edgefleet.cli.common import Json, LogLevel, parse_duration, start_logging


def command(
    duration: Annotated[
        str, typer.Option(envvar="EDGEFLEET_DURATION", help="How long the fleet runs: 30s, 1m.")
    ] = "45s",
    engine: Engine = None,
    as_json: Json = False,
    log_level: LogLevel = "warning",
) -> None:
    """Run a fleet of a few hundred devices on loopback and prove that everything it sent has arrived.

    Fleet, broker, bridge, HTTP ingest and Kafka all start by themselves: a mosquitto on the PATH, else iotcore, else
    amqtt; the Kafka that KAFKA_BOOTSTRAP_SERVERS names, else librdkafka's built-in cluster. Exit code 1 if anything was
    lost.

    Example: `edgefleet demo --duration 1m`
    """
    from rich.console import Console

    from edgefleet import demo
    from edgefleet.cli.signals import run_async, until_signal
    from edgefleet.verify import print_verdict

    start_logging(log_level)
    seconds = parse_duration("--duration", duration) / 1000
    demo.require_kafka_for(seconds)
    people = Console(stderr=as_json)
    with demo.workspace() as folder, demo.services(folder, people, parse_engine(engine)) as services:
        record = run_async(until_signal(lambda stop: demo.run_fleet(services, seconds, stop, people)))
        people.print("[dim]the fleet has stopped; waiting for the last messages to arrive[/dim]")
        verdict = demo.verify_demo(record, services, wait_s=30)
    if as_json:
        typer.echo(orjson.dumps({**verdict.to_json(), "services": services.to_json()}, option=orjson.OPT_INDENT_2))
    else:
        print_verdict(verdict, people)
    if not verdict.ok:
        raise typer.Exit(1)
