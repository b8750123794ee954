"""Implements `edgefleet doctor`: what a scenario needs, and whether this machine and its broker have it."""

from typing import Annotated

import orjson
import typer

from edgefleet.cli.common import Json, start_logging
from edgefleet.cli.fleet_options import FleetOptions, Interval, ScenarioOrKind
from edgefleet.cli.option_groups import takes_options
from edgefleet.cli.shorthands import ScenarioShorthands
from edgefleet.cli.waiting import Wait, parse_wait


@takes_options(fleet=FleetOptions, shorthands=ScenarioShorthands)
def command(
    scenario: ScenarioOrKind = None,
    *,
    fleet: FleetOptions,
    shorthands: ScenarioShorthands,
    interval: Interval = None,
    broker: Annotated[list[str] | None, typer.Option(help="Broker URL, instead of the scenario's; repeatable.")] = None,
    workers: Annotated[
        int, typer.Option(envvar="EDGEFLEET_WORKERS", help="Processes that share the devices.", min=1, max=256)
    ] = 1,
    shard: Annotated[str, typer.Option(envvar="FLEET_SHARD", help="Only part i of n of the devices: i/n.")] = "0/1",
    wait: Wait = "0s",
    as_json: Json = False,
) -> None:
    """Compare what SCENARIO needs with this machine and its broker, and name what to change; exit code 1 if it must.

    Example: `edgefleet doctor scenarios/mixed.yaml --workers 2`
    """
    from rich.console import Console

    from devices.fleet.brokers import broker_pool_for
    from devices.scenario.devices import Shard
    from edgefleet.cli.signals import run_async
    from edgefleet.doctor import (
        DoctorCheck,
        Machine,
        Needs,
        ProbePlan,
        evaluate,
        platform_checks,
        print_checks,
        probe_brokers,
    )
    from edgefleet.version import describe_version

    start_logging("warning")
    loaded = shorthands.apply(fleet.load(scenario, interval))
    if broker:
        loaded = loaded.with_keys(broker=tuple(broker))
    part = Shard.parse(shard)
    plan = ProbePlan(
        session_expiry_s=loaded.session_expiry // 1000,
        ask_sys=True,
        scenario=loaded,
        shard=part,
        wait_s=parse_wait(wait),
    )
    brokers = run_async(probe_brokers(broker_pool_for(loaded), plan))
    checks = [DoctorCheck("edgefleet", "ok", "any", describe_version())]
    checks += evaluate(Needs.of(loaded, shard=Shard.parse(shard), workers=workers), Machine.read(), brokers)
    checks += platform_checks(loaded)
    if warning := loaded.plain_password_warning:
        checks.append(DoctorCheck("passwords", "warning", "TLS", "none", warning))
    if as_json:
        facts = [{"broker": str(one.url), "sys": one.sys} for one in brokers]
        ok = all(check.verdict != "failure" for check in checks)
        typer.echo(orjson.dumps({"ok": ok, "checks": [check.to_json() for check in checks], "brokers": facts}))
    else:
        print_checks(checks, Console())
    if any(check.verdict == "failure" for check in checks):
        raise typer.Exit(1)
