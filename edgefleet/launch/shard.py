"""Runs one shard of a run in this process: `edgefleet run`, each of its workers, and any other launcher call it.

A job and its result are plain data that can be pickled, so a launcher may carry them to another process or machine.
"""

import asyncio
import ctypes
import gc
import math
import resource
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from devices.faults.labels import Label
from devices.fleet.bottleneck import diagnose
from devices.fleet.fleet import Fleet
from devices.fleet.metrics import FleetSnapshot
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgewire.errors import ServiceUnavailable
from edgewire.mqtt import Version
from edgewire.run_record import RunRecord

SNAPSHOT_S = 0.5
# A thread that computes readings gives way to the one that sends them after so long.
SWITCH_S = 0.0005
# Of mallopt(3): from this size on, memory is mapped, so it goes back to the system when it is freed. glibc raises its
# own limit up to 32 MiB as arrays come and go; the holes they left took 1.4 KB a device of 10,000.
M_MMAP_THRESHOLD, MAPPED_BYTES = -3, 1 << 16

OnSnapshot = Callable[[FleetSnapshot], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardJob:
    """Says what to run. Times are ms since 1970 UTC, as in `Fleet`."""

    scenario: Scenario
    name: str
    version: Version
    shard: Shard
    duration_s: float = math.inf
    messages: int | None = None
    from_ms: int | None = None
    power_on_ms: int | None = None
    started_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardResult:
    """Holds what came of a shard."""

    record: RunRecord
    labels: list[Label]
    final: FleetSnapshot


async def run_shard(job: ShardJob, stop: asyncio.Event, on_snapshot: OnSnapshot | None = None) -> ShardResult:
    """Run the shard until it is over or `stop` is set; `on_snapshot` is told how it goes, every half-second."""
    prepare_process()
    fleet = Fleet(
        job.scenario,
        name=job.name,
        version=job.version,
        shard=job.shard,
        from_ms=job.from_ms,
        power_on_ms=job.power_on_ms,
        started_ms=job.started_ms,
        messages=job.messages,
    )
    # What lives as long as the run is not searched for garbage again and again.
    gc.freeze()
    watch = asyncio.create_task(_watch(fleet, on_snapshot or (lambda _: None)), name="snapshots")
    try:
        record = await fleet.run(job.duration_s, stop)
        # After a long run this takes a while, in which whoever waits hears that we are alive.
        labels = await asyncio.to_thread(fleet.labels)
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        gc.unfreeze()
    for label in labels:
        record.faults[label.type] = record.faults.get(label.type, 0) + 1
    return ShardResult(record=record, labels=labels, final=fleet.final)


async def _watch(fleet: Fleet, on_snapshot: OnSnapshot) -> None:
    frozen = False
    while True:
        await asyncio.sleep(SNAPSHOT_S)
        on_snapshot(fleet.snapshot())
        if fleet.connected_after_s is not None and not frozen:
            gc.freeze()
            frozen = True


def prepare_process() -> None:
    """Let this process open as many files as it may, and pause seldom."""
    raise_open_files()
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(50_000, 20, 50)
    if sys.platform == "linux":
        # A C library without it, such as musl, has no such habit.
        with suppress(AttributeError):
            ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def combine(results: Sequence[ShardResult], failures: Sequence[str] = ()) -> ShardResult:
    """Return the shards of a run as one; `failures` are sentences about those that gave no result."""
    if not results:
        raise ServiceUnavailable("no part of the fleet came to its end: " + "; ".join(failures))
    total = FleetSnapshot.total(result.final for result in results)
    record = RunRecord.join([result.record for result in results])
    bottleneck = diagnose(total)
    connected = [result.record.connected_after_s for result in results]
    record = replace(
        record,
        limits=record.limits | {"lag_ms": total.lag.summary(), "lag_connected_ms": total.lag_connected.summary()},
        lag_ms=total.lag.to_json(),
        puback_ms=total.puback.to_json(),
        connected_after_s=None if failures or None in connected else max(filter(None, connected), default=0.0),
        limited_by=bottleneck.component,
        verdict=" ".join([*(f"Failed: {failure}." for failure in failures), bottleneck.summary]),
        failures=[*record.failures, *failures],
    )
    labels = sorted(
        (label for result in results for label in result.labels), key=lambda label: (label.device_id, label.start_ms)
    )
    return ShardResult(record=record, labels=labels, final=total)
