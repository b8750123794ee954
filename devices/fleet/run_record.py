"""Makes the record of a run: what each device says of itself, and what limited the fleet."""

import asyncio
import hashlib
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal

from devices.firmware.outbox import NO_SEQ, ReadingsToken, SeqRanges
from devices.fleet.bottleneck import diagnose, verdict_text
from devices.fleet.carrier_client import CarrierClient
from devices.fleet.device_client import DeviceClient
from devices.fleet.host_client import HostClient
from devices.fleet.metrics import FleetSnapshot
from devices.fleet.side_messages import SideMessageRecorder
from devices.fleet.verdict import find_notes, find_problems
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgewire.run_checkpoint import encode_devices
from edgewire.run_record import (
    DeviceRecord,
    GatewayRecord,
    PoweredPart,
    ReloadRecord,
    RunRecord,
    StandbySpan,
    TimeChange,
    count_seqs,
    count_totals,
)

# So many devices are looked at in one go of the event loop: some 0.7 ms, in which no message leaves.
CHECKPOINT_STEP = 50

# Keys that say how a scenario is run, not what its devices say: the shards of a run may differ in them.
OF_THE_HOST = {"broker", "identities", "ca_file", "source_addresses", "connects_per_second"}


def new_run_id() -> str:
    """Return an id that no other run has."""
    return uuid.uuid4().hex


def has_fixed_boots(scenario: Scenario, from_ms: int | None, power_on_ms: int | None) -> bool:
    """Return whether another run of the scenario may send messages of the same ids, as its boots come again.

    Two runs whose devices start at the same moment of their time do. Where that time is fast, the next run may come
    upon a reboot of the calendar that this one has gone through.
    """
    return from_ms is not None or power_on_ms is not None or (scenario.time_scale > 1 and bool(scenario.faults))


def scenario_digest(scenario: Scenario) -> str:
    """Return the SHA-256 of what decides which devices there are and what they say, in hex."""
    without: dict[str, Any] = dict.fromkeys(OF_THE_HOST, True) | {"devices": {"__all__": {"identities"}}}
    return hashlib.sha256(scenario.model_dump_json(exclude=without).encode()).hexdigest()


def spoken_scenario(scenario: Scenario, *, always: bool = False) -> dict[str, Any] | None:
    """Return the scenario as it is to be read again, without what is of the host; None where all speak the contract.

    With `always`, also then.
    """
    if not always and all(group.make_encoder() is None for group in scenario.devices):
        return None
    whole: dict[str, Any] = scenario.model_dump(mode="json", exclude=OF_THE_HOST | {"password_file"})
    # What was not set must not seem to be: a format of one's own and a dialect exclude each other.
    whole["devices"] = [
        group.model_dump(mode="json", exclude_unset=True, exclude={"identities"}) for group in scenario.devices
    ]
    return whole


def written_scenario(scenario: Scenario) -> dict[str, Any]:
    """Return the scenario as a person could have written it, without what is of the host, for a file of its own."""
    without = OF_THE_HOST | {"password_file", "devices"}
    whole: dict[str, Any] = scenario.model_dump(mode="json", exclude_unset=True, exclude=without)
    whole["devices"] = [
        group.model_dump(mode="json", exclude_unset=True, exclude={"identities"}) for group in scenario.devices
    ]
    return whole


def device_records(client: DeviceClient) -> Iterator[DeviceRecord]:
    """Yield the record of a device's messages so far: one a boot that had some, or the only one.

    What it has sent and is not acknowledged is unsent. Changes nothing of the device.
    """
    firmware = client.firmware
    in_flight = _in_flight(client)
    boots = list(firmware.all_counters())
    for counters in [one for one in boots if one.first_seq is not None] or boots[-1:]:
        unacknowledged = sorted(counters.uncertain.as_list() + in_flight.get(counters.boot, SeqRanges()).as_list())
        yield DeviceRecord(
            device_id=firmware.device_id,
            kind=client.device.kind,
            site=client.device.site,
            boot=counters.boot,
            first_seq=counters.first_seq,
            last_seq=counters.last_seq,
            acknowledged=counters.acknowledged,
            sent_qos0=counters.sent_qos0,
            refused={reason: seqs.as_list() for reason, seqs in counters.refused.items()},
            # Of the device: they stand with its last boot.
            reconnects=max(0, client.reconnects) if counters is firmware.counters else 0,
            dropped=counters.dropped.as_list(),
            dropped_by_fault=counters.dropped_by_fault,
            unsent=sorted(firmware.waiting_seqs(counters.boot).as_list() + unacknowledged),
            unacknowledged=unacknowledged,
            unacknowledged_by_fault=counters.uncertain_by_fault,
            changed_ms=client.changed_ms,
            renames=client.renames(counters.boot),
        )


def carrier_record(carrier: CarrierClient) -> GatewayRecord:
    """Return which devices have the connection of a gateway, or which parts that of their device."""
    return GatewayRecord(
        gateway_id=carrier.device.device_id,
        site=carrier.device.site,
        reconnects=max(0, carrier.reconnects),
        devices=carrier.carried_ids,
        has_parts=isinstance(carrier, HostClient),
    )


def _in_flight(client: DeviceClient) -> dict[int, SeqRanges]:
    """Return what was published and is not acknowledged yet, by boot."""
    found: dict[int, SeqRanges] = {}
    for token in client.unacknowledged():
        match token:
            case int(seq) if seq != NO_SEQ:
                found.setdefault(client.firmware.boot, SeqRanges()).add(seq)
            case (int(boot), int(seq)) if seq != NO_SEQ:
                found.setdefault(boot, SeqRanges()).add(seq)
            case ReadingsToken(boot, seqs):
                for seq in seqs:
                    found.setdefault(boot, SeqRanges()).add(seq)
            case _:
                pass
    return found


async def encode_so_far(clients: Sequence[DeviceClient], share: float) -> tuple[list[bytes], dict[str, int]]:
    """Return the records of the devices as JSON, and their totals; takes no more than this share of the processor.

    It goes a few devices at a time, so that no message waits for it: what is said of a device is of one moment, what is
    said of all of them is not.
    """
    pieces: list[bytes] = []
    totals = Counter(count_totals([]))
    for start in range(0, len(clients), CHECKPOINT_STEP):
        began = time.thread_time()
        records = [record for client in clients[start : start + CHECKPOINT_STEP] for record in device_records(client)]
        pieces += encode_devices(records)
        totals.update(count_totals(records))
        await asyncio.sleep((time.thread_time() - began) * (1 / share - 1))
    return pieces, dict(totals)


def close_books(final: FleetSnapshot, devices: Sequence[DeviceRecord]) -> FleetSnapshot:
    """Return the fleet as it ended, with what became of every message at last, as its devices tell it."""
    unsent = sum(count_seqs(device.unsent) for device in devices)
    unacknowledged = sum(count_seqs(device.unacknowledged) for device in devices)
    books = replace(
        final,
        acknowledged=sum(device.acknowledged for device in devices),
        sent_qos0=sum(device.sent_qos0 for device in devices),
        dropped=sum(count_seqs(device.dropped) for device in devices),
        dropped_by_fault=sum(device.dropped_by_fault for device in devices),
        unsent=unsent - unacknowledged,
        unacknowledged=unacknowledged,
        unacknowledged_by_fault=sum(device.unacknowledged_by_fault for device in devices),
    )
    refused = sum(count_seqs(device.refused_ranges) for device in devices)
    ended = books.delivered + books.dropped + unsent + refused
    return replace(books, unaccounted=final.emitted - ended)


def fleet_record(
    scenario: Scenario,
    devices: list[DeviceRecord],
    snapshot: FleetSnapshot,
    *,
    state: Literal["running", "complete"] = "complete",
    run_id: str,
    scenario_sha256: str,
    shard: Shard,
    fixed_boots: bool,
    name: str,
    broker: str,
    started_ms: int,
    stopped_ms: int,
    sim_started_ms: int,
    powered: Sequence[PoweredPart],
    spoken: dict[str, Any] | None,
    duration_s: float,
    messages: int | None,
    connected_after_s: float | None,
    standby: Sequence[StandbySpan] = (),
    side_messages: SideMessageRecorder | None = None,
    reloads: Sequence[ReloadRecord] = (),
    time_changes: Sequence[TimeChange] = (),
    connected_to: Mapping[str, int] = MappingProxyType({}),
    gateways: Sequence[GatewayRecord] = (),
) -> RunRecord:
    """Return the record of a run: of one that is over, `snapshot` is what `close_books` made of it."""
    record = RunRecord(
        state=state,
        run_id=run_id,
        shards=[(shard.index, shard.count)],
        scenario=name,
        scenario_sha256=scenario_sha256,
        scenario_devices=sum(group.size for group in scenario.devices),
        fixed_boots=fixed_boots,
        seed=scenario.seed,
        broker=broker,
        started_ms=started_ms,
        stopped_ms=stopped_ms,
        sim_started_ms=sim_started_ms,
        spoken=spoken,
        powered=[] if spoken is None else list(powered),
        time_scale=scenario.time_scale,
        time_changes=list(time_changes),
        limits={"duration_s": duration_s, "messages": messages, "lag_ms": snapshot.lag.summary()},
        lag_ms=snapshot.lag.to_json(),
        puback_ms=snapshot.puback.to_json(),
        connected_after_s=None if connected_after_s is None else round(connected_after_s, 3),
        standby=list(standby),
        side_messages=[] if side_messages is None else list(side_messages.messages),
        side_messages_left_out={} if side_messages is None else dict(side_messages.left_out),
        reloads=list(reloads),
        connected_to=dict(connected_to),
        gateways=list(gateways),
        devices=devices,
    )
    return with_verdict(record, snapshot)


def with_verdict(record: RunRecord, now: FleetSnapshot, failures: Sequence[str] = ()) -> RunRecord:
    """Return the record with the verdict on the numbers of its whole fleet; `failures` are parts that are missing."""
    is_over = record.state == "complete"
    bottleneck = diagnose(now, is_over=is_over, parts_missing=bool(failures))
    text = verdict_text(now, bottleneck, is_over=is_over)
    return replace(
        record,
        limited_by=bottleneck.component,
        verdict=" ".join([*(f"Failed: {failure}." for failure in failures), text]),
        problems=dict(find_problems(now, is_over=is_over)),
        notes=dict(find_notes(now)),
        incidents=now.incidents.to_json(),
    )
