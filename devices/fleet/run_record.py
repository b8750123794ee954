"""Makes the record of a run: what each device says of itself, and what limited the fleet."""

import hashlib
import uuid
from collections.abc import Iterator, Sequence

from devices.fleet.bottleneck import diagnose
from devices.fleet.device_client import DeviceClient
from devices.fleet.metrics import FleetSnapshot
from devices.scenario.devices import Shard, device_ids
from devices.scenario.scenario import Scenario
from edgewire.run_record import DeviceRecord, RunRecord, UnaccountedPart

# Keys that say how a scenario is run, not what its devices say: the shards of a run may differ in them.
OF_THE_HOST = {"broker", "identities", "ca_file", "source_addresses", "connects_per_second"}


def new_run_id() -> str:
    """Return an id that no other run has."""
    return uuid.uuid4().hex


def scenario_digest(scenario: Scenario) -> str:
    """Return the SHA-256 of what decides which devices there are and what they say, in hex."""
    return hashlib.sha256(scenario.model_dump_json(exclude=OF_THE_HOST).encode()).hexdigest()


def unaccounted_part(scenario: Scenario, shard: Shard, name: str, reason: str) -> UnaccountedPart:
    """Return the entry for a part of the fleet that ended without its record, with the ids of all its devices."""
    devices = device_ids(scenario)[shard.index :: shard.count]
    return UnaccountedPart(name=name, shard=(shard.index, shard.count), reason=reason, device_ids=devices)


def device_records(client: DeviceClient) -> Iterator[DeviceRecord]:
    """Yield the record of a device's messages: one a boot that had some, or the only one."""
    firmware = client.firmware
    firmware.on_uncertain(client.unacknowledged())
    boots = list(firmware.all_counters())
    for counters in [one for one in boots if one.first_seq is not None] or boots[-1:]:
        yield DeviceRecord(
            device_id=firmware.device_id,
            kind=client.device.kind,
            site=client.device.site,
            boot=counters.boot,
            first_seq=counters.first_seq,
            last_seq=counters.last_seq,
            acknowledged=counters.acknowledged,
            sent_qos0=counters.sent_qos0,
            refused={reason: seqs.as_list() for reason, seqs in (counters.refused or {}).items()},
            # Of the device: they stand with its last boot.
            reconnects=max(0, client.reconnects) if counters is firmware.counters else 0,
            dropped=counters.dropped.as_list(),
            dropped_by_fault=counters.dropped_by_fault,
            unsent=sorted(firmware.outbox.seqs(counters.boot).as_list() + counters.uncertain.as_list()),
            unacknowledged=sorted(counters.uncertain.as_list()),
        )


def fleet_record(
    scenario: Scenario,
    clients: Sequence[DeviceClient],
    final: FleetSnapshot,
    *,
    run_id: str,
    shard: Shard,
    fixed_boots: bool,
    name: str,
    broker: str,
    started_ms: int,
    stopped_ms: int,
    sim_started_ms: int,
    duration_s: float,
    messages: int | None,
    connected_after_s: float | None,
) -> RunRecord:
    """Return the record of a run that is over; `final` is the fleet before its devices said goodbye."""
    bottleneck = diagnose(final)
    return RunRecord(
        run_id=run_id,
        shards=[(shard.index, shard.count)],
        scenario=name,
        scenario_sha256=scenario_digest(scenario),
        scenario_devices=sum(group.size for group in scenario.devices),
        fixed_boots=fixed_boots,
        seed=scenario.seed,
        broker=broker,
        started_ms=started_ms,
        stopped_ms=stopped_ms,
        sim_started_ms=sim_started_ms,
        time_scale=scenario.time_scale,
        limits={"duration_s": duration_s, "messages": messages, "lag_ms": final.lag.summary()},
        lag_ms=final.lag.to_json(),
        puback_ms=final.puback.to_json(),
        connected_after_s=None if connected_after_s is None else round(connected_after_s, 3),
        limited_by=bottleneck.component,
        verdict=bottleneck.summary,
        devices=[record for client in clients for record in device_records(client)],
    )
