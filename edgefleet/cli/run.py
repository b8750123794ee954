"""Implements `edgefleet run`: a scenario live on a broker."""

import asyncio
import itertools
import math
import re
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from devices.faults.labels import FILE_NAME as LABELS_FILE
from devices.fleet.brokers import broker_pool_for
from devices.fleet.metrics import FleetSnapshot
from devices.fleet.run_record import new_run_id
from devices.scenario.devices import Shard
from devices.scenario.pace import in_real_time
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from edgefleet.cli.common import (
    Json,
    LogLevel,
    ScenarioFile,
    parse_duration,
    parse_instant,
    run_async,
    start_logging,
    until_signal,
)
from edgefleet.doctor import (
    BrokerFacts,
    Machine,
    Needs,
    ProbePlan,
    common_limits,
    evaluate,
    probe_brokers,
    require_healthy,
)
from edgefleet.launch.launcher import Launcher
from edgefleet.launch.process_tuning import raise_open_files, tune_allocator
from edgefleet.launch.processes import ProcessLauncher
from edgefleet.launch.ray_cluster import join_cluster
from edgefleet.launch.shard import ShardJob, ShardResult, combine, run_shard, starting_checkpoint
from edgefleet.launch.worker_status import WorkerState
from edgefleet.launch.workers import Workers
from edgefleet.report.fail_if import FailCondition
from edgefleet.report.fleet_metrics import serve_metrics
from edgefleet.report.live import ReadSnapshots, live_view
from edgefleet.report.run_files import COMPANIONS, RunFiles
from edgefleet.report.run_summary import apply_condition, has_failed, summary_json, summary_text
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError
from edgewire.run_folder import RunFolder

# Of a year in which a run may begin, so that it also ends in one with four digits.
LATEST_MS = parse_ms("9000-01-01T00:00:00Z")
RUN_ID = r"[A-Za-z0-9._-]{1,64}"


def command(
    scenario: ScenarioFile,
    broker: Annotated[list[str] | None, typer.Option(help="Broker URL, instead of the scenario's; repeatable.")] = None,
    duration: Annotated[str | None, typer.Option(help="Stop after this long: 30s, 5m, 1h. Default: at Ctrl-C.")] = None,
    messages: Annotated[
        int | None, typer.Option(help="Stop when each device has sent so many messages.", min=1)
    ] = None,
    time_scale: Annotated[
        float | None, typer.Option(help="Speed of the devices' time.", min=0.001, max=100_000)
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="Devices' time at which the run begins (ISO 8601). Default: now.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed, instead of the scenario's.", min=0, max=2**63 - 1)] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that share the devices. Default: 1, or the free processors of the Ray cluster.",
            min=1,
            max=256,
            show_default=False,
        ),
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Run the workers on the Ray cluster of this machine.")] = False,
    ray_address: Annotated[
        str | None, typer.Option(help="The same, on the cluster at HOST:PORT. Also RAY_ADDRESS.", show_default=False)
    ] = None,
    shard: Annotated[str, typer.Option(envvar="FLEET_SHARD", help="Run only part i of n of the devices: i/n.")] = "0/1",
    record: Annotated[
        Path | None, typer.Option(help="Folder for the run record. Default: runs/ and the time.", file_okay=False)
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let --record replace what another run has left in that folder.")
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
        str | None, typer.Option(help="Serve /metrics for Prometheus on this port, or HOST:PORT.", show_default=False)
    ] = None,
    fail_if: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_FAIL_IF",
            help="Also fail where this holds: 'p99_ms>50 or connected<0.99'. docs/fleet.md has the names.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option(help="Begin by asking the broker and comparing needs and limits, as `edgefleet doctor`.")
    ] = True,
    wait: Annotated[
        str,
        typer.Option(
            envvar="EDGEFLEET_WAIT", help="Wait so long for a broker that is not there yet, or is busy: 60s, 5m."
        ),
    ] = "0s",
    as_json: Json = False,
    log_level: LogLevel = "info",
) -> None:
    """Run the devices of SCENARIO on its broker until Ctrl-C, and write down what each of them emitted.

    Exit code 1 if anything is missing: refused, dropped, unsent or never acknowledged, a device that never connected
    or was thrown out, a part of the fleet that died, or what --fail-if says.

    Example: `edgefleet run scenarios/mixed.yaml --duration 1m`
    """
    start_logging(log_level)
    changes = {"broker": tuple(broker) if broker else None, "time_scale": time_scale, "seed": seed}
    loaded = in_real_time(
        Scenario.load(scenario).model_copy(update={key: value for key, value in changes.items() if value is not None})
    )
    condition = None if fail_if is None else FailCondition(fail_if)
    part = Shard.parse(shard)
    folder = RunFolder(record or record_folder(part), COMPANIONS)
    files = RunFiles(folder, with_labels=bool(loaded.faults))
    raise_open_files()
    tune_allocator()
    duration_s = math.inf if duration is None else parse_duration("--duration", duration) / 1000
    wait_s = parse_duration("--wait", wait, least_ms=0) / 1000
    if wait_s and not check:
        raise ConfigError(
            "--wait: it waits until the broker answers, and with --no-check nobody asks it: leave one of the two out; "
            "without --wait the devices themselves try until they are connected"
        )
    from_ms = _begin_ms(from_)
    job = ShardJob(
        scenario=loaded,
        name=str(scenario),
        version=None,
        shard=part,
        duration_s=duration_s,
        messages=messages,
        from_ms=from_ms,
        power_on_ms=power_on_ms(loaded, from_ms),
        run_id=_checked_run_id(run_id),
    )
    on_ray = join_cluster(ray_address, log_level) if ray or ray_address else nullcontext()
    with on_ray as cluster:
        count = workers or (max(1, cluster.processors()[1]) if cluster else 1)
        brokers = run_async(ask_brokers(loaded, part, wait_s)) if check else None
        if brokers is not None:
            if not cluster:
                require_healthy(evaluate(Needs.of(loaded, shard=part, workers=count), Machine.read(), brokers))
            version = min(broker.version for broker in brokers)
            job = replace(job, version=version, limits=common_limits(brokers))
        launcher: Launcher | None = ProcessLauncher(log_level) if count > 1 else None
        if cluster:
            launcher = cluster.prepare(job, count, brokers)
        # A run that cannot be written down is not begun.
        folder.claim(overwrite=overwrite)
        unfinished = folder.find_unfinished(job.run_id)
        failures = [unfinished] if unfinished else []
        try:
            folder.begin()
            files.write_start(starting_checkpoint(job))
            result = run_async(_run(job, count, launcher, metrics, files, condition, failures))
        except BaseException:
            folder.abandon()
            raise
    with suppress(OSError):  # a terminal that has gone, or another full disk
        for problem in files.problems:
            typer.echo(f"edgefleet: {problem}", err=True)
    run = str(files.path)
    try:
        typer.echo(orjson.dumps(summary_json(result, run)) if as_json else summary_text(result, run, LABELS_FILE))
    except OSError:
        raise typer.Exit(1) from None
    if has_failed(result.record):
        raise typer.Exit(1)


async def ask_brokers(scenario: Scenario, shard: Shard, wait_s: float) -> Sequence[BrokerFacts]:
    """Return what the brokers say of themselves; one that is not there may take so long to come."""
    plan = ProbePlan(session_expiry_s=scenario.session_expiry // 1000, scenario=scenario, shard=shard, wait_s=wait_s)
    return await probe_brokers(broker_pool_for(scenario), plan)


async def _run(
    job: ShardJob,
    count: int,
    launcher: Launcher | None,
    metrics: str | None,
    files: RunFiles,
    condition: FailCondition | None,
    failures: Sequence[str],
) -> ShardResult:
    """Run the job in this process, or by workers where there is a launcher, and write down what came of it."""
    at_once = asyncio.Event()
    console = Console(stderr=True)
    title = f"{job.name} on {', '.join(map(str, job.scenario.broker_urls))}"
    latest = FleetSnapshot()

    def keep(snapshot: FleetSnapshot) -> None:
        nonlocal latest
        latest = snapshot

    async def run(stop: asyncio.Event) -> ShardResult:
        if launcher is None:
            snapshots: ReadSnapshots = lambda: [(WorkerState.RUNNING, latest)]  # noqa: E731 - a function of one line, and its type
            async with live_view(snapshots, console, title):
                with serve_metrics(snapshots, metrics):
                    return combine([await run_shard(job, stop, keep, files.write_checkpoint, at_once)])
        workers = Workers(job, count, launcher, on_checkpoint=files.write_checkpoint)
        async with live_view(workers.snapshots, console, title):
            with serve_metrics(workers.snapshots, metrics):
                return await workers.run_workers(stop, at_once)

    async def work(stop: asyncio.Event) -> ShardResult:
        result = await run(stop)
        result = replace(result, record=replace(result.record, failures=[*failures, *result.record.failures]))
        result = apply_condition(result, condition)
        # Here, where a signal does not yet end the process.
        return await asyncio.to_thread(files.write_result, result)

    return await until_signal(work, at_once)


def power_on_ms(scenario: Scenario, from_ms: int | None) -> int | None:
    """Return when the devices were powered on: as the scenario says, else now in a live run, else at the epoch."""
    if scenario.start is not None:
        return round(scenario.start.timestamp() * 1000)
    return None if from_ms is None else EPOCH_MS


def record_folder(shard: Shard) -> Path:
    """Return where a run's record goes unless the user names a folder: `runs/20260301-120000`, with the shard."""
    name = datetime.fromtimestamp(time.time(), UTC).strftime("%Y%m%d-%H%M%S")
    folder = Path("runs") / (name if shard.count == 1 else f"{name}-{shard.index}of{shard.count}")
    # Two may begin in the same second.
    others = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    return next(found for found in itertools.chain([folder], others) if not found.exists())


def _checked_run_id(text: str | None) -> str:
    if text is None:
        return new_run_id()
    if not re.fullmatch(RUN_ID, text):
        raise ConfigError(f"--run-id: '{text}' is no name of a run: 1 to 64 letters, digits, '.', '_' and '-'")
    return text


def _begin_ms(text: str | None) -> int | None:
    if text is None:
        return None
    instant_ms = parse_instant("--from", text)
    if not EPOCH_MS <= instant_ms < LATEST_MS:
        raise ConfigError(f"--from: '{text}' is not between the years 2000, as of which boots are counted, and 9000")
    return instant_ms
