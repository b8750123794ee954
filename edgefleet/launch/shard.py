"""Runs one shard of a run in this process: `edgefleet run`, each of its workers, and any other launcher call it.

A job and its result are plain data that can be pickled, so a launcher may carry them to another process or machine.
"""

import asyncio
import gc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from devices.faults.labels import Label
from devices.fleet.fleet import Fleet
from devices.fleet.metrics import FleetSnapshot
from devices.fleet.run_record import new_run_id, with_verdict
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgefleet.launch.process_tuning import tuned_process
from edgewire.errors import ServiceUnavailable
from edgewire.mqtt import ServerLimits, Version
from edgewire.run_record import RunRecord, UnaccountedPart

SNAPSHOT_S = 0.5
OnSnapshot = Callable[[FleetSnapshot], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardJob:
    """Says what to run. Times are ms since 1970 UTC, as in `Fleet`."""

    scenario: Scenario
    name: str
    version: Version | None
    """Of MQTT, as the brokers have said; None lets each device find out."""
    shard: Shard
    limits: ServerLimits = field(default_factory=ServerLimits)
    """What all brokers take, as far as they have said it."""
    duration_s: float = math.inf
    messages: int | None = None
    run_id: str = field(default_factory=new_run_id)
    """The same in all parts of the run."""
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
    """Run the shard until it is over or `stop` is set; `on_snapshot` is told how it goes, every half-second.

    The process's settings that it changes meanwhile are afterwards as they were.
    """
    with tuned_process():
        fleet = Fleet(
            job.scenario,
            name=job.name,
            version=job.version,
            limits=job.limits,
            shard=job.shard,
            from_ms=job.from_ms,
            power_on_ms=job.power_on_ms,
            started_ms=job.started_ms,
            messages=job.messages,
            run_id=job.run_id,
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


def combine(
    results: Sequence[ShardResult],
    failures: Sequence[str] = (),
    *,
    shard: Shard | None = None,
    unaccounted: Sequence[UnaccountedPart] = (),
) -> ShardResult:
    """Return the parts of a run as one.

    `failures` are sentences about those that gave no result, `unaccounted` their devices. `shard` is what all of them
    together are; None where that is what the only one says.
    """
    if not results:
        raise ServiceUnavailable("no part of the fleet came to its end: " + "; ".join(failures))
    total = FleetSnapshot.total(result.final for result in results)
    record = RunRecord.join([result.record for result in results])
    connected = [result.record.connected_after_s for result in results]
    record = replace(
        record,
        shards=record.shards if shard is None else [(shard.index, shard.count)],
        limits=record.limits | {"lag_ms": total.lag.summary(), "lag_connected_ms": total.lag_connected.summary()},
        lag_ms=total.lag.to_json(),
        puback_ms=total.puback.to_json(),
        connected_after_s=None if failures or None in connected else max(filter(None, connected), default=0.0),
        failures=[*record.failures, *failures],
        unaccounted=[*record.unaccounted, *unaccounted],
    )
    record = with_verdict(record, total, failures)
    labels = sorted(
        (label for result in results for label in result.labels), key=lambda label: (label.device_id, label.start_ms)
    )
    return ShardResult(record=record, labels=labels, final=total)
