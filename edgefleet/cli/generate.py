"""Implements `edgefleet generate`: a scenario's messages into files, a database, HTTP ingest or Kafka, no broker."""

from typing import Annotated

import typer

from edgefleet.cli.common import DEFAULT_FROM, Json, find_scenario, warn_of_steps
from edgefleet.cli.delivery_options import DeliveryOptions
from edgefleet.cli.export_options import ExportOptions
from edgefleet.cli.fleet_options import FleetOptions, ScenarioOrKind
from edgefleet.cli.option_groups import takes_options
from edgefleet.cli.shorthands import ScenarioShorthands
from edgewire.errors import ConfigError


@takes_options(fleet=FleetOptions, shorthands=ScenarioShorthands, delivery=DeliveryOptions, options=ExportOptions)
def command(
    scenario: ScenarioOrKind = None,
    *,
    fleet: FleetOptions,
    shorthands: ScenarioShorthands,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            envvar="EDGEFLEET_FROM",
            help=f"First time (ISO 8601, UTC without an offset). Default: {DEFAULT_FROM}; without --to 10 h of it "
            "at the first site, where all are vehicles, cameras and shops, which say little at night.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[str | None, typer.Option(envvar="EDGEFLEET_TO", help="Time before which it ends.")] = None,
    out: Annotated[
        str,
        typer.Option(
            envvar="EDGEFLEET_OUT",
            help="FILE.jsonl, FILE.csv, FILE.parquet, FOLDER/, s3://…, postgresql://…, or - for stdout.",
        ),
    ] = "-",
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            envvar="EDGEFLEET_FORMAT",
            help="jsonl, csv or parquet (jsonl.gz, csv.zst …), where the name does not say it.",
        ),
    ] = None,
    delivery: DeliveryOptions,
    stream: Annotated[
        bool, typer.Option("--stream", envvar="EDGEFLEET_STREAM", help="Endless, from now on, as messages fall due.")
    ] = False,
    interval: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_INTERVAL",
            help="With --stream: a message every so often (0.25, 250ms, 2s); else with --kind: the devices' own.",
        ),
    ] = None,
    print_: Annotated[
        bool,
        typer.Option(
            "--print",
            envvar="EDGEFLEET_PRINT",
            help="With --stream: a banner, a readable line a message, and statistics.",
        ),
    ] = False,
    stats_every: Annotated[
        int | None,
        typer.Option(
            envvar="EDGEFLEET_STATS_EVERY",
            help="With --stream: statistics after so many messages. Default with --print: 100.",
            min=1,
        ),
    ] = None,
    records: Annotated[
        int | None,
        typer.Option(
            "--records",
            "--events",
            envvar="EDGEFLEET_RECORDS",
            help="Stop after this many messages.",
            min=1,
            max=10**15,
        ),
    ] = None,
    world: Annotated[
        int | None,
        typer.Option(envvar="EDGEFLEET_WORLD", help="Version of the world, instead of the scenario's.", min=1, max=2),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(envvar="EDGEFLEET_SEED", help="Seed, instead of the scenario's.", min=0, max=2**63 - 1)
    ] = None,
    shard: Annotated[str, typer.Option(envvar="FLEET_SHARD", help="Only part i of n of the devices: i/n.")] = "0/1",
    options: ExportOptions,
    resume: Annotated[
        bool, typer.Option("--resume", envvar="EDGEFLEET_RESUME", help="Go on where an interrupted export stopped.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write the messages that the devices of SCENARIO send between two times, the same bytes as a live run.

    Without --to and --records it ends an hour after it began.

    Example: `edgefleet generate scenarios/mixed.yaml --from 2026-03-01 --to 2026-03-02 --out march.jsonl`
    """
    from devices.scenario.devices import Shard
    from edgefleet.cli.destination import Destination
    from edgefleet.cli.exporting import export_span, parse_interval, stream_live
    from edgefleet.cli.signals import StopFlag
    from edgefleet.cli.span import parse_span

    loaded = shorthands.apply(fleet.load(scenario, None if stream or scenario else interval))
    own = {"seed": seed, "world": world}
    loaded = loaded.model_copy(update={key: value for key, value in own.items() if value is not None})
    warn_of_steps(loaded)
    destination = Destination.parse(out, format_, delivery)
    with StopFlag.on_signals() as stop:
        if stream:
            if from_ or to or resume:
                raise ConfigError("--stream is live and endless: leave out --from, --to and --resume")
            options.refuse_in_stream()
            every = stats_every or (100 if print_ else None)
            outcome = stream_live(
                loaded,
                Shard.parse(shard),
                destination,
                parse_interval(interval),
                records,
                stop,
                is_printed=print_,
                stats_every=every,
                is_quiet=as_json,
            )
        else:
            if print_ or stats_every:
                raise ConfigError("--print and --stats-every are for a stream: add --stream")
            if interval is not None and scenario:
                raise ConfigError("--interval is the pace of --stream; the devices' own interval is in the scenario")
            span = parse_span(loaded, from_, to, records, clean=options.clean)
            source = find_scenario(scenario)
            outcome = export_span(loaded, shard, destination, span, stop, options, resume=resume, source=source)
    outcome.report(as_json=as_json)
