"""Implements `edgefleet run`: a scenario live on a broker."""

import math
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from edgefleet.cli.broker import start_embedded
from edgefleet.cli.common import HtmlPage, Json, LogLevel, parse_duration, start_logging
from edgefleet.cli.control_options import (
    BridgeAddress,
    BridgeTokenFile,
    ControlAddress,
    ControlTokenFile,
    IngestAddress,
    PipelineAddresses,
    parse_control,
)
from edgefleet.cli.fleet_options import FleetOptions, Interval, ScenarioOrKind
from edgefleet.cli.forget import FORGET_S, forget
from edgefleet.cli.option_groups import takes_options
from edgefleet.cli.shorthands import ScenarioShorthands
from edgefleet.terminal import echo
from edgewire.clock import SystemClock
from edgewire.errors import ConfigError

if TYPE_CHECKING:
    from devices.scenario.scenario import Scenario
    from edgefleet.embedded import Broker
    from edgefleet.launch.launcher import Launcher


@takes_options(fleet=FleetOptions, shorthands=ScenarioShorthands)
def command(
    context: typer.Context,
    scenario: ScenarioOrKind = None,
    *,
    fleet: FleetOptions,
    shorthands: ScenarioShorthands,
    interval: Interval = None,
    broker: Annotated[
        list[str] | None,
        typer.Option(
            help="Broker URL, instead of the scenario's; repeatable. 'embedded' starts one, for as long as the run."
        ),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(envvar="EDGEFLEET_DURATION", help="Stop after this long: 30s, 5m, 1h. Default: at Ctrl-C."),
    ] = None,
    messages: Annotated[
        int | None,
        typer.Option(envvar="EDGEFLEET_MESSAGES", help="Stop when each device has sent so many messages.", min=1),
    ] = None,
    time_scale: Annotated[
        float | None,
        typer.Option(envvar="EDGEFLEET_TIME_SCALE", help="Speed of the devices' time.", min=0.001, max=100_000),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from", envvar="EDGEFLEET_FROM", help="Devices' time at which the run begins (ISO 8601). Default: now."
        ),
    ] = None,
    world: Annotated[
        int | None,
        typer.Option(envvar="EDGEFLEET_WORLD", help="Version of the world, instead of the scenario's.", min=1, max=2),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(envvar="EDGEFLEET_SEED", help="Seed, instead of the scenario's.", min=0, max=2**63 - 1)
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            envvar="EDGEFLEET_WORKERS",
            help="Processes that share the devices. Default: 1, or the free processors of the Ray cluster.",
            min=1,
            max=256,
            show_default=False,
        ),
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", envvar="EDGEFLEET_RAY", help="Run the workers on the Ray cluster of this machine.")
    ] = False,
    ray_address: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_RAY_ADDRESS",
            help="The same, on the cluster at HOST:PORT. Also RAY_ADDRESS.",
            show_default=False,
        ),
    ] = None,
    shard: Annotated[str, typer.Option(envvar="FLEET_SHARD", help="Run only part i of n of the devices: i/n.")] = "0/1",
    record: Annotated[
        Path | None,
        typer.Option(
            envvar="EDGEFLEET_RECORD", help="Folder for the run record. Default: runs/ and the time.", file_okay=False
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            envvar="EDGEFLEET_OVERWRITE",
            help="Let --record replace what another run has left in that folder.",
        ),
    ] = False,
    run_id: Annotated[
        str | None,
        typer.Option(
            envvar="FLEET_RUN_ID",
            help="Name of this run, the same for all of its shards. Default: a random one.",
            show_default=False,
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_METRICS",
            help="Serve /metrics for Prometheus on this port, or HOST:PORT.",
            show_default=False,
        ),
    ] = None,
    control: ControlAddress = None,
    control_token_file: ControlTokenFile = None,
    bridge: BridgeAddress = None,
    bridge_token_file: BridgeTokenFile = None,
    ingest: IngestAddress = None,
    fail_if: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_FAIL_IF",
            help="Also fail where this holds: 'p99_ms>50 or connected<0.99'. docs/fleet.md has the names.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            envvar="EDGEFLEET_CHECK",
            help="Begin by asking the broker and comparing needs and limits, as `edgefleet doctor`.",
        ),
    ] = True,
    wait: Annotated[
        str,
        typer.Option(
            envvar="EDGEFLEET_WAIT", help="Wait so long for a broker that is not there yet, or is busy: 60s, 5m."
        ),
    ] = "0s",
    connect_first: Annotated[
        str,
        typer.Option(
            envvar="EDGEFLEET_CONNECT_FIRST",
            help="Let devices connect for so long before they begin to measure; --duration counts from then.",
        ),
    ] = "0s",
    forget_after: Annotated[
        bool,
        typer.Option(
            "--forget",
            envvar="EDGEFLEET_FORGET",
            help="At the end, clear what the devices leave at the broker, as `edgefleet forget`.",
        ),
    ] = False,
    html: HtmlPage = None,
    as_json: Json = False,
    log_level: LogLevel = "info",
) -> None:
    """Run the devices of SCENARIO on its broker until Ctrl-C, and write down what each of them emitted.

    Exit code 1 if anything is missing: refused, dropped, unsent or never acknowledged, a device that never connected
    or was thrown out, a part of the fleet that died, or what --fail-if says.

    Without a file: `--kind`, with `--count`, `--interval` and `--set` where they matter.

    Example: `edgefleet run scenarios/mixed.yaml --duration 1m`, `edgefleet run --kind bme280 --count 100`
    """
    from devices.faults.labels import FILE_NAME as LABELS_FILE
    from devices.scenario.devices import Shard
    from devices.scenario.pace import in_real_time
    from edgefleet.cli.live_run import (
        ask_brokers,
        parse_begin,
        parse_run_id,
        record_folder,
        run_live,
        without_repeats,
    )
    from edgefleet.cli.signals import run_async
    from edgefleet.control.live import LiveControl
    from edgefleet.control.steps import StepRunner
    from edgefleet.doctor import Machine, Needs, common_limits, evaluate, require_healthy
    from edgefleet.launch.process_tuning import raise_open_files, tune_allocator
    from edgefleet.launch.processes import ProcessLauncher
    from edgefleet.launch.ray_cluster import join_cluster
    from edgefleet.launch.reload import ScenarioReloader
    from edgefleet.launch.shard import ShardJob, starting_checkpoint
    from edgefleet.report.fail_if import FailCondition
    from edgefleet.report.html.files import check_page, list_run_files, read_run_states, write_page
    from edgefleet.report.html.run_page import run_page
    from edgefleet.report.run_files import COMPANIONS, RunFiles
    from edgefleet.report.run_summary import has_failed, summary_json, summary_text
    from edgefleet.report.series_writer import SeriesWriter
    from edgewire import logs
    from edgewire.run_folder import RunFolder

    start_logging(log_level)
    control_config = parse_control(control, control_token_file)
    pipeline = PipelineAddresses.parse(bridge, bridge_token_file, ingest, is_controlled=control_config is not None)
    own_brokers: list[Broker] = []
    urls = start_embedded(context, broker or (), only_here=not (ray or ray_address), started=own_brokers)
    changes = {"broker": urls or None, "time_scale": time_scale, "seed": seed, "world": world}

    def read_scenario() -> "Scenario":
        read = shorthands.apply(fleet.load(scenario, interval))
        return in_real_time(read.with_keys(**{key: value for key, value in changes.items() if value is not None}))

    loaded = read_scenario()
    if warning := loaded.plain_password_warning:
        logs.get("run").warning(warning)
    condition = None if fail_if is None else FailCondition(fail_if)
    part = Shard.parse(shard)
    folder = RunFolder(record or record_folder(part), COMPANIONS)
    files = RunFiles(folder, with_labels=bool(loaded.faults))
    if html:
        check_page(html, [*([scenario] if scenario else []), *list_run_files([folder.path])])
    raise_open_files()
    tune_allocator()
    duration_s = math.inf if duration is None else parse_duration("--duration", duration) / 1000
    wait_s = parse_duration("--wait", wait, least_ms=0) / 1000
    if wait_s and not check:
        raise ConfigError(
            "--wait: it waits until the broker answers, and with --no-check nobody asks it: leave one of the two out; "
            "without --wait the devices themselves try until they are connected"
        )
    from_ms = parse_begin(from_)
    loaded.check_countable(loaded.power_on_ms(from_ms), SystemClock().now_ms() if from_ms is None else from_ms)
    job = ShardJob(
        scenario=loaded,
        name=fleet.name(scenario),
        version=None,
        shard=part,
        duration_s=duration_s,
        messages=messages,
        from_ms=from_ms,
        power_on_ms=loaded.power_on_ms(from_ms),
        run_id=parse_run_id(run_id),
        connect_first_ms=parse_duration("--connect-first", connect_first, least_ms=0),
    )
    steps = StepRunner(loaded.steps) if loaded.steps else None
    if steps is not None:
        job = replace(job, barriers=steps.barriers)
    on_ray = join_cluster(ray_address, log_level) if ray or ray_address else nullcontext()
    with on_ray as cluster:
        count = workers or (max(1, cluster.processors()[1]) if cluster else 1)
        # What workers are forked from comes up while the brokers are asked.
        launcher: Launcher | None = ProcessLauncher(log_level) if count > 1 and not cluster else None
        brokers = run_async(ask_brokers(loaded, part, wait_s)) if check else None
        if brokers is not None:
            if not cluster:
                require_healthy(evaluate(Needs.of(loaded, shard=part, workers=count), Machine.read(), brokers))
            version = min(broker.version for broker in brokers)
            job = replace(job, version=version, limits=common_limits(brokers))
        if cluster:
            launcher = cluster.prepare(job, count, brokers)
        # A run that cannot be written down is not begun.
        folder.claim(overwrite=overwrite)
        unfinished = folder.find_unfinished(job.run_id)
        failures = [unfinished] if unfinished else []
        try:
            folder.begin()
            files.write_start(starting_checkpoint(job))
            files.write_scenario(loaded)
            reloader = None if scenario is None else ScenarioReloader(loaded, read_scenario)
            live_control = LiveControl(
                config=control_config,
                folder=folder.path,
                workers=count,
                is_elsewhere=cluster is not None,
                broker=next(iter(own_brokers), None),
                steps=steps,
                bridge=pipeline.bridge,
                bridge_token=pipeline.bridge_token,
                ingest=pipeline.ingest,
                series=SeriesWriter(folder.path),
            )
            result = run_async(
                run_live(job, count, launcher, metrics, files, condition, failures, reloader, live_control)
            )
        except BaseException:
            folder.abandon()
            raise
    left = []
    if forget_after:
        later = [reloader.scenario] if reloader and reloader.applied else []
        if live_control.scenarios:
            later = [*without_repeats(loaded, live_control.scenarios[:-1]), *live_control.scenarios[-1:]]
        left = [forget(one, part, FORGET_S) for one in (loaded, *later)]
    with suppress(OSError):  # a terminal that has gone, or another full disk
        for problem in files.problems:
            echo(f"edgefleet: {problem}", err=True)
        for report in left:
            echo(f"edgefleet forget: {report}", err=True)
    run = str(files.path)
    unwritten: ConfigError | None = None
    if html:
        try:
            write_page(html, run_page(result, read_run_states([folder.path])))
        except ConfigError as error:
            unwritten = error
    try:
        if as_json:
            typer.echo(orjson.dumps(summary_json(result, run)))
        else:
            echo(summary_text(result, run, LABELS_FILE))
    except OSError:
        raise typer.Exit(1) from None
    if unwritten:
        raise unwritten
    if has_failed(result.record) or any(report.failures for report in left):
        raise typer.Exit(1)
