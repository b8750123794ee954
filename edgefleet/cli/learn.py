"""Implements `edgefleet learn`: a scenario of what an installation says."""

from pathlib import Path
from typing import Annotated

import typer

from edgefleet.cli.common import Json
from edgewire.errors import ConfigError


def command(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="CAPTURE.jsonl",
            help="What `mosquitto_sub -F %j` wrote, or JSON lines of topic, payload, qos, retain and time.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="FILE.yaml, the scenario.", dir_okay=False)],
    count: Annotated[
        int | None, typer.Option(help="Devices of the scenario. Default: as many as were seen.", min=1, max=1_000_000)
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="Instead of --count: times the devices that were seen.", min=0.001, max=1e6)
    ] = None,
    as_json: Json = False,
) -> None:
    """Learn a fleet of what real devices say: topics, payloads, intervals, and what makes each value.

    Ids are made up, and no free text is copied. The summary sets captured and emulated side by side.

    Example: `edgefleet learn capture.jsonl --scale 100 --out fleet.yaml`
    """
    import orjson

    from edgefleet.learn.capture import HeardLimits, read_capture
    from edgefleet.learn.comparison import as_json as comparison_json
    from edgefleet.learn.comparison import compare
    from edgefleet.learn.learner import learn_fleet
    from edgefleet.learn.messages import NothingLearned
    from edgefleet.learn.report_text import report_lines
    from edgefleet.learn.scenario_writer import device_counts, write_scenario

    if out.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--out {out}: write FILE.yaml")
    if count is not None and scale is not None:
        raise ConfigError("--count and --scale both say how many devices there are: leave one out")
    fleet = learn_fleet(read_capture(source, HeardLimits()))
    if not fleet.groups:
        reasons = "; ".join(fleet.unused.lines()) or "there is no message in it"
        raise NothingLearned(f"{source}: nothing was learned of {fleet.read:,} messages: {reasons}")
    counts = device_counts(fleet.groups, count, 1.0 if scale is None else scale)
    parts = compare(fleet, write_scenario(out, fleet, counts))
    if as_json:
        typer.echo(orjson.dumps(comparison_json(fleet, parts, counts)))
    else:
        typer.echo("\n".join(report_lines(fleet, parts, sum(counts))))
        typer.echo(f"{out}: edgefleet run {out}")
