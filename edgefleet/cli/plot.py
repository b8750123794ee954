"""Implements `edgefleet plot`: pictures of an export, or of what a scenario would give."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from edgefleet.cli.common import DEFAULT_FROM, Json, KindsOf, find_scenario, know_kinds, parse_instant, warn_of_steps
from edgefleet.cli.fleet_options import FleetOptions, Interval
from edgefleet.cli.option_groups import takes_options
from edgewire.errors import ConfigError

_DAY_MS = 86_400_000


@takes_options(fleet=FleetOptions)
def command(
    out: Annotated[Path, typer.Option(help="FILE.png or FILE.html.", dir_okay=False)],
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE|FOLDER|SCENARIO]",
            help="An export (.jsonl, .csv, .parquet, .arrow, or a folder), or a scenario (.yaml); or give --kind.",
            show_default=False,
        ),
    ] = None,
    *,
    fleet: FleetOptions,
    interval: Interval = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", help=f"Of a scenario: first time. Default: {DEFAULT_FROM}.", show_default=False),
    ] = None,
    to: Annotated[str | None, typer.Option(help="Of a scenario: time before which it ends. Default: a day.")] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Of an export: its labels of faults (.jsonl), whose times are shaded. A scenario knows its own."
        ),
    ] = None,
    kinds_of: KindsOf = None,
    as_json: Json = False,
) -> None:
    """Draw series a device, hourly profiles of traffic and footfall, and a map of the tracks.

    Example: `edgefleet plot scenarios/mixed.yaml --to 2026-03-02T06:00 --out night.png`
    """
    from devices.sensors.base import EPOCH_MS
    from devices.timeline.timeline import Timeline

    try:
        from devices.export import plots, series
    except ImportError:
        raise ConfigError("plots need the package matplotlib: pip install 'edgefleet[export]'") from None
    know_kinds(kinds_of)
    if out.suffix not in (".png", ".html"):
        raise ConfigError(f"--out {out}: write FILE.png or FILE.html")
    if source is not None and not source.suffix and not source.is_dir():
        source = find_scenario(source)
    if source is None or source.suffix in (".yaml", ".yml"):
        scenario = fleet.load(source, interval, what="an export or a scenario file")
        warn_of_steps(scenario)
        begin = parse_instant("--from", from_ or DEFAULT_FROM)
        end = begin + _DAY_MS if to is None else parse_instant("--to", to)
        if begin < EPOCH_MS and scenario.start is None:
            raise ConfigError(f"--from {from_}: the devices have been running since 2000-01-01: give a later --from")
        if end <= begin:
            raise ConfigError(f"--to {to} is not after --from {from_ or DEFAULT_FROM}")
        powered_on = scenario.power_on_ms(begin)
        timeline = Timeline(scenario, EPOCH_MS if powered_on is None else powered_on)
        found = series.read_timeline(timeline, begin, end)
        faults = plots.fault_windows(timeline.labels(begin, end))
    else:
        fleet.refuse_beside(source, interval)
        if from_ or to:
            raise ConfigError("--from and --to are for a scenario; an export is drawn as a whole")
        found, faults = series.read_export(source), []
    title = source.name if source else fleet.name(None)
    if found.expected:
        title += f" (of stretches of time, {found.records / found.expected:.2%} of all)"
    figure = plots.draw_figure(found, title, plots.read_labels(labels) if labels else faults)
    plots.save_figure(figure, out, title)
    if as_json:
        expected = {"expected": found.expected} if found.expected else {}
        typer.echo(orjson.dumps({"records": found.records, "kinds": list(found.kinds), "out": str(out)} | expected))
    else:
        drawn = f"{found.records:,}" + (f" of about {found.expected:,}" if found.expected else "")
        typer.echo(f"{drawn} records drawn in {out}")
