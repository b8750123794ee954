"""Implements `edgefleet learn`: a scenario of what an installation says."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgefleet.cli.broker_options import BrokerOptions
from edgefleet.cli.common import Json, parse_duration
from edgefleet.cli.option_groups import takes_options
from edgefleet.cli.waiting import Wait, parse_wait, wait_for_broker
from edgefleet.terminal import echo
from edgewire.errors import ConfigError

if TYPE_CHECKING:
    from edgefleet.learn.messages import Heard

_LISTEN = "10m"


@takes_options(broker=BrokerOptions)
def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="mqtt://…|CAPTURE.jsonl",
            envvar="EDGEFLEET_BROKER",
            show_envvar=False,
            help="A broker to listen to; or what `mosquitto_sub -F %j` wrote, or JSON lines.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="FILE.yaml, the scenario.", dir_okay=False)],
    for_: Annotated[
        str | None,
        typer.Option("--for", help=f"How long to listen to a broker. Default: {_LISTEN}.", show_default=False),
    ] = None,
    topics: Annotated[
        list[str] | None,
        typer.Option(metavar="FILTER", help="Topic filter to listen to; repeatable. Default: #.", show_default=False),
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="Devices of the scenario. Default: as many as were seen.", min=1, max=1_000_000)
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="Instead of --count: times the devices that were seen.", min=0.001, max=1e6)
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Also write the summary: FILE.html, FILE.md or FILE.json.", show_default=False),
    ] = None,
    *,
    broker: BrokerOptions,
    wait: Wait = "0s",
    as_json: Json = False,
) -> None:
    """Learn a fleet of what real devices say: topics, payloads, intervals, and what makes each value.

    Ids are made up, and no free text is copied. The summary sets captured and emulated side by side.

    Examples: `edgefleet learn mqtt://broker --for 10m --out fleet.yaml`,
    `edgefleet learn capture.jsonl --scale 100 --out fleet.yaml`
    """
    import orjson

    from edgefleet.learn.capture import HeardLimits, read_capture
    from edgefleet.learn.comparison import as_json as comparison_json
    from edgefleet.learn.comparison import compare
    from edgefleet.learn.learner import learn_fleet
    from edgefleet.learn.messages import NothingLearned
    from edgefleet.learn.report_file import check_report, write_report
    from edgefleet.learn.report_text import report_lines
    from edgefleet.learn.scenario_writer import device_counts, write_scenario
    from edgewire.redact import show_url

    if out.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--out {out}: write FILE.yaml")
    if report is not None:
        check_report(report)
    if count is not None and scale is not None:
        raise ConfigError("--count and --scale both say how many devices there are: leave one out")
    if "://" in source:
        heard = _listen(source, for_ or _LISTEN, topics or ["#"], broker, parse_wait(wait))
    else:
        if for_ or topics or broker.are_given:
            raise ConfigError(f"{source} is a file: --for, --topics and options of a connection are for a broker's URL")
        heard = read_capture(Path(source), HeardLimits())
    fleet = learn_fleet(heard)
    if not fleet.groups:
        reasons = "; ".join(fleet.unused.lines()) or "there is none"
        raise NothingLearned(f"{show_url(source)}: nothing was learned of {fleet.read:,} messages: {reasons}")
    counts = device_counts(fleet.groups, count, 1.0 if scale is None else scale)
    parts = compare(fleet, write_scenario(out, fleet, counts))
    if report is not None:
        write_report(report, fleet, parts, counts)
    if as_json:
        typer.echo(orjson.dumps(comparison_json(fleet, parts, counts)))
    else:
        typer.echo("\n".join(report_lines(fleet, parts, sum(counts))))
        typer.echo(f"{out}: edgefleet run {out}")


def _listen(source: str, for_: str, topics: list[str], broker: BrokerOptions, wait_s: float) -> "Heard":
    """Return what passes through a broker; an interrupt ends it sooner, and what was heard by then counts."""
    import asyncio

    from edgefleet.cli.signals import run_async, until_signal
    from edgefleet.learn.capture import HeardLimits
    from edgefleet.learn.listening import listen
    from edgewire.mqtt import Unsendable, check_filter

    for_ms = parse_duration("--for", for_, least_ms=100)
    for one in topics:
        try:
            check_filter(one)
        except Unsendable as error:
            raise ConfigError(f"--topics: {error}") from None
    access = broker.access(source, "learn")

    async def hear(stop: asyncio.Event) -> "Heard":
        await wait_for_broker([access.url], wait_s)
        echo(f"edgefleet: listening to {access.url} for {for_}; Ctrl-C ends it sooner", err=True)
        return await listen(access, topics, for_ms / 1000, HeardLimits(), stop)

    return run_async(until_signal(hear))
