"""Runs one shard of a run in this process: `edgefleet run`, each of its workers, and any other launcher call it.

A job and its result are plain data that can be pickled, so a launcher may carry them to another process or machine.
"""

import asyncio
import gc
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from devices.faults.labels import Label
from devices.fleet.fleet import Fleet
from devices.fleet.metrics import FleetSnapshot
from devices.fleet.pacer import startup_delay_ms
from devices.fleet.receiver_outputs import ReceiverOutputs
from devices.fleet.run_record import (
    fleet_record,
    has_fixed_boots,
    new_run_id,
    scenario_digest,
    spoken_scenario,
    with_verdict,
)
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgefleet.launch.process_tuning import tuned_process
from edgefleet.launch.requests import RequestQueue
from edgewire import logs
from edgewire.clock import SystemClock
from edgewire.errors import ServiceUnavailable
from edgewire.mqtt import ServerLimits, Version
from edgewire.run_checkpoint import NOT_ENDED, RunCheckpoint
from edgewire.run_record import PoweredPart, RunRecord, UnaccountedPart, count_totals

SNAPSHOT_S = 0.5
# A process that is killed leaves what it knew so long ago at the most, where that takes no more than this share of its
# core, or of its part of one: 23 us a device.
CHECKPOINT_S = 5.0
CHECKPOINT_SHARE = 0.02
# The first ones follow each other sooner, and the very first is not spread over so long a time; but it comes when the
# first readings do, and half of the processor would make those late.
FIRST_CHECKPOINT_S = 1.0
FIRST_CHECKPOINT_SHARE = 0.1

OnSnapshot = Callable[[FleetSnapshot], None]
OnCheckpoint = Callable[[RunCheckpoint], Awaitable[None]]


log = logs.get("shard")


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
    connect_first_ms: int = 0
    """How long devices connect before the first of them measures, beyond what building them may take."""
    core_share: float = 1.0
    """Which part of a core the process has: less than 1 where several have to share one."""
    barriers: tuple[int, ...] = ()
    """Of the fleet: when steps of the scenario change its devices."""

    def lead_ms(self, shards: int, workers_per_core: float = 1.0) -> int:
        """Return how far ahead of now it begins: as long as building devices may take, and connecting may alone."""
        return startup_delay_ms(self.scenario, shards, workers_per_core) + self.connect_first_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardResult:
    """Holds what came of a shard."""

    record: RunRecord
    labels: list[Label]
    final: FleetSnapshot


def starting_checkpoint(job: ShardJob) -> RunCheckpoint:
    """Return the checkpoint of a run that has sent nothing yet: who it is, and which devices it is to have."""
    now_ms = SystemClock().now_ms()
    started_ms = job.started_ms or now_ms
    sim_started_ms = started_ms if job.from_ms is None else job.from_ms
    head = fleet_record(
        job.scenario,
        [],
        FleetSnapshot(),
        state="running",
        run_id=job.run_id,
        scenario_sha256=scenario_digest(job.scenario),
        shard=job.shard,
        fixed_boots=has_fixed_boots(job.scenario, job.from_ms, job.power_on_ms),
        name=job.name,
        broker=", ".join(map(str, job.scenario.broker_urls)),
        started_ms=started_ms,
        stopped_ms=now_ms,
        sim_started_ms=sim_started_ms,
        powered=[
            PoweredPart(
                shard=(job.shard.index, job.shard.count),
                power_on_ms=sim_started_ms if job.power_on_ms is None else job.power_on_ms,
                begun_ms=sim_started_ms,
            )
        ],
        spoken=spoken_scenario(job.scenario),
        duration_s=job.duration_s,
        messages=job.messages,
        connected_after_s=None,
    )
    return RunCheckpoint(head=replace(head, verdict=NOT_ENDED), totals=count_totals([]))


async def run_shard(
    job: ShardJob,
    stop: asyncio.Event,
    on_snapshot: OnSnapshot | None = None,
    on_checkpoint: OnCheckpoint | None = None,
    at_once: asyncio.Event | None = None,
    requests: RequestQueue | None = None,
) -> ShardResult:
    """Run the shard until it is over or `stop` is set; with `at_once` as well, nothing is waited for any more.

    Its fleet does what is asked for in `requests`, such as to go on with another scenario.
    `on_snapshot` is told how it goes, every half-second; `on_checkpoint` what each device has done so far, every few
    seconds as of the first readings. The process's settings that it changes meanwhile are afterwards as they were.
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
            barriers=job.barriers,
            core_share=job.core_share,
        )
        # What lives as long as the run is not searched for garbage again and again.
        gc.freeze()
        outputs = ReceiverOutputs(
            job.scenario, fleet.timeline.start_ms, job.shard, fleet.device_time_ms, fleet.seconds_until
        )
        await outputs.open()
        helpers = [asyncio.create_task(_watch(fleet, on_snapshot or (lambda _: None)), name="snapshots")]
        if on_checkpoint:
            helpers.append(
                asyncio.create_task(_write_checkpoints(fleet, on_checkpoint, job.core_share), name="checkpoints")
            )
        if requests is not None:
            helpers.append(asyncio.create_task(requests.serve(fleet, job.scenario.seed), name="requests"))
        helpers.append(asyncio.create_task(outputs.serve(), name="receiver outputs"))
        try:
            record = await fleet.run(job.duration_s, stop, at_once)
            labels = await _labels(fleet, at_once)
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await outputs.close()
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


async def _write_checkpoints(fleet: Fleet, on_checkpoint: OnCheckpoint, core_share: float) -> None:
    """Hand on checkpoints: one as the first readings fall due, more often in the first seconds then than later."""
    # Before, a large fleet has enough to do with connecting, and no device has done what `starting_checkpoint` lacks.
    await asyncio.sleep(max(0.0, fleet.starts_in_s))
    share, pause_s = FIRST_CHECKPOINT_SHARE, FIRST_CHECKPOINT_S
    while True:
        await on_checkpoint(await fleet.checkpoint(share * core_share))
        await asyncio.sleep(pause_s)
        share, pause_s = CHECKPOINT_SHARE, min(CHECKPOINT_S, 2 * pause_s)


async def _labels(fleet: Fleet, at_once: asyncio.Event | None) -> list[Label]:
    """Return the ground truth; of one that is to end at once, what is found meanwhile: it may be nothing."""
    # After a long run this takes a while, in which whoever waits hears that we are alive.
    finding = asyncio.ensure_future(asyncio.to_thread(fleet.labels))
    hurrying = asyncio.create_task((at_once or asyncio.Event()).wait(), name="hurry")
    try:
        await asyncio.wait((finding, hurrying), return_when=asyncio.FIRST_COMPLETED)
        if not finding.done():
            log.warning("no labels of the faults: the run was to end at once")
            return []
        return finding.result()
    finally:
        hurrying.cancel()


def combine(
    results: Sequence[ShardResult],
    failures: Sequence[str] = (),
    *,
    shard: Shard | None = None,
    unaccounted: Sequence[UnaccountedPart] = (),
    known: Sequence[RunCheckpoint] = (),
    snapshots: Sequence[FleetSnapshot] = (),
) -> ShardResult:
    """Return the parts of a run as one. Raises `ServiceUnavailable` where nothing is known of any.

    `failures` are sentences about those that gave no result, `unaccounted` their devices, `known` what these had done
    when they last spoke of it. `shard` is what all parts together are; None where that is what the only one says.
    `snapshots` are the last numbers of all: they are taken where none gave a result.
    """
    if not results and not known:
        raise ServiceUnavailable("nothing is known of any part of the fleet: " + "; ".join(failures))
    total = FleetSnapshot.total([result.final for result in results] or snapshots)
    record = RunRecord.join([*(result.record for result in results), *(one.to_record() for one in known)])
    connected = [result.record.connected_after_s for result in results]
    record = replace(
        record,
        state="complete",
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
