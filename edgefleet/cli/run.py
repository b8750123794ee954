"""`edgefleet run`: a scenario live on a broker."""

import asyncio
import math
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from devices.faults.labels import FILE_NAME as LABELS_FILE
from devices.faults.labels import Label, write_labels
from devices.fleet import Fleet, probe
from devices.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.timeline import Shard
from edgefleet.cli.common import Json, LogLevel, ScenarioFile, run_async, start_logging, until_signal
from edgefleet.live import watching
from edgewire.clock import parse_ms
from edgewire.config import duration_ms
from edgewire.errors import ConfigError
from edgewire.link import BrokerUrl
from edgewire.runrecord import RunRecord


def command(
    scenario: ScenarioFile,
    broker: Annotated[str | None, typer.Option(help="Broker URL, instead of the scenario's.")] = None,
    duration: Annotated[str | None, typer.Option(help="Stop after this long: 30s, 5m, 1h. Default: at Ctrl-C.")] = None,
    time_scale: Annotated[float | None, typer.Option(help="Speed of the devices' time.", min=0.001)] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="Devices' time at which the run begins (ISO 8601). Default: now.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed, instead of the scenario's.", min=0)] = None,
    shard: Annotated[str, typer.Option(envvar="FLEET_SHARD", help="Run only part i of n of the devices: i/n.")] = "0/1",
    record: Annotated[
        Path | None, typer.Option(help="Folder for the run record. Default: runs/ and the time.", file_okay=False)
    ] = None,
    as_json: Json = False,
    log_level: LogLevel = "info",
) -> None:
    """Run the devices of SCENARIO on its broker until Ctrl-C, and write down what each of them emitted.

    Example: `edgefleet run scenarios/mixed.yaml --duration 1m`
    """
    start_logging(log_level)
    changes = {"broker": broker, "time_scale": time_scale, "seed": seed}
    loaded = Scenario.load(scenario).model_copy(
        update={key: value for key, value in changes.items() if value is not None}
    )
    part = Shard.parse(shard)
    folder = record or record_folder(part)
    work = _run(loaded, str(scenario), _seconds(duration), _instant(from_), part, Console(stderr=True))
    result, labels = run_async(work)
    path = result.save(folder)
    if loaded.faults:
        write_labels(folder / LABELS_FILE, labels)
    _report(result, path, labels=len(labels), as_json=as_json)


async def _run(
    scenario: Scenario, name: str, duration_s: float, from_ms: int | None, shard: Shard, console: Console
) -> tuple[RunRecord, list[Label]]:
    version = await probe(BrokerUrl.parse(scenario.broker))
    fleet = Fleet(
        scenario, name=name, version=version, shard=shard, from_ms=from_ms, power_on_ms=power_on_ms(scenario, from_ms)
    )

    async def work(stop: asyncio.Event) -> tuple[RunRecord, list[Label]]:
        async with watching(fleet, console, f"{name} on {scenario.broker}"):
            record = await fleet.run(duration_s, stop)
        return record, fleet.labels()

    return await until_signal(work)


def power_on_ms(scenario: Scenario, from_ms: int | None) -> int | None:
    """When the devices were powered on: as the scenario says, else now in a live run, else at the epoch."""
    if scenario.start is not None:
        return round(scenario.start.timestamp() * 1000)
    return None if from_ms is None else EPOCH_MS


def record_folder(shard: Shard) -> Path:
    """Where a run's record goes unless the user names a folder: `runs/20260301-120000`, with the shard."""
    name = datetime.fromtimestamp(time.time(), UTC).strftime("%Y%m%d-%H%M%S")
    return Path("runs") / (name if shard.count == 1 else f"{name}-{shard.index}of{shard.count}")


def _seconds(duration: str | None) -> float:
    if duration is None:
        return math.inf
    try:
        return duration_ms(duration) / 1000
    except ValueError as error:
        raise ConfigError(f"--duration: {error}") from None


def _instant(text: str | None) -> int | None:
    try:
        return None if text is None else parse_ms(text)
    except ValueError:
        raise ConfigError(f"--from: '{text}' is no ISO 8601 time, such as 2026-03-01T12:00:00Z") from None


def _report(record: RunRecord, path: Path, *, labels: int, as_json: bool) -> None:
    totals = record.totals
    if as_json:
        typer.echo(orjson.dumps({"run": str(path.parent), **totals, **record.limits, "labels": labels}))
        return
    unsent = f", {totals['unsent']:,} unsent or unconfirmed" if totals["unsent"] else ""
    dropped = f", {totals['dropped']:,} dropped by full outboxes or faults" if totals["dropped"] else ""
    faults = f"; {labels:,} faults in {LABELS_FILE}" if labels else ""
    typer.echo(
        f"{len(record.devices):,} devices emitted {totals['emitted']:,} messages, "
        f"{totals['acknowledged']:,} acknowledged{dropped}{unsent}; record in {path.parent}{faults}"
    )
