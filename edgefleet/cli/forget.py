"""Implements `edgefleet forget`: clears what the devices of a scenario have left at their broker."""

from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from edgefleet.cli.common import Json, parse_duration, start_logging
from edgefleet.cli.fleet_options import FleetOptions, ScenarioOrKind
from edgefleet.cli.option_groups import takes_options
from edgefleet.cli.shorthands import ScenarioShorthands
from edgefleet.cli.waiting import Wait, parse_wait, wait_for_broker
from edgefleet.terminal import echo

if TYPE_CHECKING:
    from devices.fleet.forget import ForgetReport
    from devices.scenario.devices import Shard
    from devices.scenario.scenario import Scenario

FORGET_S = 300
"""How long it may take unless a user says otherwise."""


@takes_options(fleet=FleetOptions, shorthands=ScenarioShorthands)
def command(
    scenario: ScenarioOrKind = None,
    *,
    fleet: FleetOptions,
    shorthands: ScenarioShorthands,
    broker: Annotated[list[str] | None, typer.Option(help="Broker URL, instead of the scenario's; repeatable.")] = None,
    shard: Annotated[str, typer.Option(envvar="FLEET_SHARD", help="Only part i of n of the devices: i/n.")] = "0/1",
    timeout: Annotated[
        str, typer.Option(envvar="EDGEFLEET_FORGET_TIMEOUT", help="Give up after this long: 30s, 5m.")
    ] = f"{FORGET_S}s",
    wait: Wait = "0s",
    as_json: Json = False,
) -> None:
    """Clear what the devices of SCENARIO have left at their broker: retained statuses and all else retained, sessions.

    It connects as each device, so a fleet that runs meanwhile is disturbed. Devices that are `hardware` keep theirs.
    Exit code 1 where something may still be there: refused, not answered, or not done in time.

    Example: `edgefleet forget scenarios/mixed.yaml`
    """
    from devices.scenario.devices import Shard
    from edgefleet.cli.signals import run_async

    start_logging("warning")
    timeout_s = parse_duration("--timeout", timeout) / 1000
    loaded = shorthands.apply(fleet.load(scenario))
    if broker:
        loaded = loaded.with_keys(broker=tuple(broker))
    if wait_s := parse_wait(wait):
        run_async(wait_for_broker(loaded.broker_urls, wait_s))
    report = forget(loaded, Shard.parse(shard), timeout_s)
    if as_json:
        typer.echo(orjson.dumps(report.to_json()))
    else:
        echo(str(report))
    if report.failures:
        raise typer.Exit(1)


def forget(scenario: "Scenario", shard: "Shard", timeout_s: float) -> "ForgetReport":
    """Clear what these devices have left, until it is done, the time is over, or Ctrl-C."""
    from devices.fleet.forget import forget_devices
    from edgefleet.cli.signals import run_async, until_signal

    return run_async(until_signal(lambda stop: forget_devices(scenario, shard, timeout_s, stop)))
