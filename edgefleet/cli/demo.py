"""Implements `edgefleet demo`: the main job on loopback, with a verdict."""

import math
from typing import Annotated

import orjson
import typer

from edgefleet.cli.broker import Engine, parse_engine
from edgefleet.cli.common import Json, LogLevel, parse_duration, start_logging
from edgefleet.cli.control_options import ControlAddress, ControlTokenFile, parse_control

DURATION_S = 45.0


def command(
    duration: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_DURATION",
            help="How long the fleet runs: 30s, 1m. Default: 45s; with --web until Ctrl-C, or it is stopped there.",
            show_default=False,
        ),
    ] = None,
    engine: Engine = None,
    control: ControlAddress = None,
    control_token_file: ControlTokenFile = None,
    as_json: Json = False,
    log_level: LogLevel = "warning",
) -> None:
    """Run a fleet of a few hundred devices on loopback and prove that everything it sent has arrived.

    Fleet, broker, bridge, HTTP ingest and Kafka all start by themselves: a mosquitto on the PATH, else iotcore, else
    amqtt; the Kafka that KAFKA_BOOTSTRAP_SERVERS names, else librdkafka's built-in cluster. Exit code 1 if anything was
    lost.

    Example: `edgefleet demo --duration 1m`, `edgefleet demo --web 8089`
    """
    from rich.console import Console

    from edgefleet import demo
    from edgefleet.cli.signals import run_async, until_signal
    from edgefleet.control.live import LiveControl
    from edgefleet.report.series_writer import SeriesWriter
    from edgefleet.verify import print_verdict

    start_logging(log_level)
    seconds = math.inf if control is not None else DURATION_S
    if duration is not None:
        seconds = parse_duration("--duration", duration) / 1000
    config = parse_control(control, control_token_file)
    people = Console(stderr=as_json)
    found = {}

    def say(name: str, text: str) -> None:
        people.print(f"[dim]{name:>7}[/dim]  {text}", highlight=False, soft_wrap=True)

    def on_listening(url: str) -> None:
        found["control"] = url
        say("page", f"{url}/ (also: edgefleet ctl status --fleet {url})")

    with demo.workspace() as folder, demo.services(folder, people, parse_engine(engine)) as services:
        live = None
        if config is not None:
            live = LiveControl(
                config=config,
                folder=folder,
                workers=1,
                is_elsewhere=False,
                broker=services.broker_process,
                bridge=services.bridge,
                ingest=services.ingest,
                on_listening=on_listening,
                series=SeriesWriter(folder),
            )
        arrivals = demo.read_kafka_along(services, folder)
        record = run_async(until_signal(lambda stop: demo.run_fleet(services, seconds, stop, people, arrivals, live)))
        people.print("[dim]the fleet has stopped; waiting for the last messages to arrive[/dim]")
        verdict = demo.verify_demo(record, services, arrivals, wait_s=30)
    if as_json:
        document = {**verdict.to_json(), "services": services.to_json() | found}
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    else:
        print_verdict(verdict, people)
    if not verdict.ok:
        raise typer.Exit(1)
