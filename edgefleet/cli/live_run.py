"""Does what `edgefleet run` was told: asks the brokers, runs the devices, and writes down what came of it."""

import asyncio
import itertools
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from devices.fleet.brokers import broker_pool_for
from devices.fleet.metrics import FleetSnapshot
from devices.fleet.run_record import new_run_id
from devices.scenario.devices import Shard, device_ids
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from edgefleet.cli.common import parse_instant
from edgefleet.cli.signals import until_signal
from edgefleet.control.live import LiveControl, RunView, steered
from edgefleet.doctor import (
    BrokerFacts,
    ProbePlan,
    probe_brokers,
)
from edgefleet.launch.launcher import Launcher
from edgefleet.launch.reload import ScenarioReloader
from edgefleet.launch.requests import LocalShard
from edgefleet.launch.shard import ShardJob, ShardResult, combine, run_shard
from edgefleet.launch.worker_status import WorkerState
from edgefleet.launch.workers import Workers
from edgefleet.report.fail_if import FailCondition
from edgefleet.report.fleet_metrics import serve_metrics
from edgefleet.report.live import ReadSnapshots, live_view
from edgefleet.report.run_files import RunFiles
from edgefleet.report.run_summary import add_problem, apply_condition
from edgewire.clock import SystemClock, parse_ms
from edgewire.errors import ConfigError
from edgewire.run_checkpoint import RunCheckpoint

# Of a year in which a run may begin, so that it also ends in one with four digits.
LATEST_MS = parse_ms("9000-01-01T00:00:00Z")
RUN_ID = r"[A-Za-z0-9._-]{1,64}"


async def ask_brokers(scenario: Scenario, shard: Shard, wait_s: float) -> Sequence[BrokerFacts]:
    """Return what the brokers say of themselves; one that is not there may take so long to come."""
    plan = ProbePlan(session_expiry_s=scenario.session_expiry // 1000, scenario=scenario, shard=shard, wait_s=wait_s)
    return await probe_brokers(broker_pool_for(scenario), plan)


async def run_live(
    job: ShardJob,
    count: int,
    launcher: Launcher | None,
    metrics: str | None,
    files: RunFiles,
    condition: FailCondition | None,
    failures: Sequence[str],
    reloader: ScenarioReloader | None = None,
    control: LiveControl | None = None,
) -> ShardResult:
    """Run the job in this process, or by workers where there is a launcher, and write down what came of it.

    With a `reloader`, SIGHUP has it read the scenario again; with a `control`, it is controlled over HTTP.
    """
    at_once = asyncio.Event()
    console = Console(stderr=True)
    title = f"{job.name} on {', '.join(map(str, job.scenario.broker_urls))}"
    latest = FleetSnapshot()

    def keep(snapshot: FleetSnapshot) -> None:
        nonlocal latest
        latest = snapshot

    async def write_checkpoint(checkpoint: RunCheckpoint) -> None:
        head = replace(checkpoint.head, actions=control.actions if control else [])
        await files.write_checkpoint(replace(checkpoint, head=head))

    async def run(stop: asyncio.Event) -> ShardResult:
        if launcher is None:
            snapshots: ReadSnapshots = lambda: [(WorkerState.RUNNING, latest)]  # noqa: E731 - a function of one line, and its type
            shard = LocalShard(job.scenario)
            started_ms = job.started_ms
            view = RunView(job, shard, snapshots, lambda: started_ms)
            async with live_view(snapshots, console, title):
                with serve_metrics(snapshots, metrics, reloader):
                    async with steered(view, control, reloader, stop, at_once):
                        # Only now: what is begun above takes its time.
                        started_ms = started_ms or _start_ms(job)
                        begun = replace(job, started_ms=started_ms)
                        running = run_shard(begun, stop, keep, write_checkpoint, at_once, shard.requests)
                        return combine([await running])
        workers = Workers(job, count, launcher, on_checkpoint=write_checkpoint)
        view = RunView(job, workers, workers.snapshots, lambda: workers.started_ms)
        async with live_view(workers.snapshots, console, title):
            with serve_metrics(workers.snapshots, metrics, reloader):
                async with steered(view, control, reloader, stop, at_once):
                    return await workers.run_workers(stop, at_once)

    async def work(stop: asyncio.Event) -> ShardResult:
        result = await run(stop)
        actions = control.actions if control else []
        record = replace(result.record, failures=[*failures, *result.record.failures], actions=actions)
        result = replace(result, record=record)
        problem = control.steps.problem() if control and control.steps else None
        result = add_problem(result, "steps", problem)
        result = apply_condition(result, condition)
        # Here, where a signal does not yet end the process.
        return await asyncio.to_thread(files.write_result, result)

    return await until_signal(work, at_once, reloader.request_reload if reloader else None)


def _start_ms(job: ShardJob) -> int:
    return SystemClock().now_ms() + job.lead_ms(job.shard.count)


def record_folder(shard: Shard) -> Path:
    """Return where a run's record goes unless the user names a folder: `runs/20260301-120000`, with the shard."""
    name = datetime.fromtimestamp(time.time(), UTC).strftime("%Y%m%d-%H%M%S")
    folder = Path("runs") / (name if shard.count == 1 else f"{name}-{shard.index}of{shard.count}")
    # Two may begin in the same second.
    others = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    return next(found for found in itertools.chain([folder], others) if not found.exists())


def without_repeats(first: Scenario, later: Sequence[Scenario]) -> list[Scenario]:
    """Return those of the later scenarios of a run, in turn, that have devices which none before them had."""
    known, kept = set(device_ids(first)), []
    for scenario in later:
        ids = set(device_ids(scenario))
        if not ids <= known:
            kept.append(scenario)
            known |= ids
    return kept


def parse_run_id(text: str | None) -> str:
    """Return the name of the run, a random one where none is given; raises `ConfigError` for what is no name."""
    if text is None:
        return new_run_id()
    if not re.fullmatch(RUN_ID, text):
        raise ConfigError(f"--run-id: '{text}' is no name of a run: 1 to 64 letters, digits, '.', '_' and '-'")
    return text


def parse_begin(text: str | None) -> int | None:
    """Return the devices' time of `--from`; raises `ConfigError` for one that no run can begin at."""
    if text is None:
        return None
    instant_ms = parse_instant("--from", text)
    if not EPOCH_MS <= instant_ms < LATEST_MS:
        raise ConfigError(f"--from: '{text}' is not between the years 2000, as of which boots are counted, and 9000")
    return instant_ms
