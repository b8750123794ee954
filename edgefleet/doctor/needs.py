"""Reckons what a scenario asks for: files, ports, memory, processor time and packet sizes. Pure arithmetic."""

from collections import Counter
from dataclasses import dataclass
from math import ceil
from typing import Any

from devices.fleet.brokers import LOOPBACK_ADDRESSES, is_loopback
from devices.fleet.metrics import LOOK_S, LOOK_SHARE
from devices.scenario.device_group import DeviceGroup
from devices.scenario.device_parts import entries
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from devices.sensors.registry import KINDS
from devices.timeline.timeline import Timeline
from edgewire.dialects.payload_template import join_readings
from edgewire.link import BrokerUrl

# Beside its connections a process has its event loop, logs, pipes, and dials under way that will fail.
SPARE_FILES = 300
# Measured with 15,000 bme280 (benchmarks/scale.py), rounded up.
PROCESS_BYTES = 90 * 2**20
DEVICE_BYTES = 8 * 2**10
# Processor time of one message on the wire, acknowledgement included.
WIRE_S = 30e-6
# A packet has the topic and some bytes of frame around the payload.
FRAME_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Holds what one shard needs, run by `workers` processes of one machine; of brokers, for the whole scenario."""

    devices: int
    connections: int
    """Fewer than devices where some share those of gateways, or are parts of one."""
    workers: int
    messages_per_s: float
    cpu_cores: float
    memory_bytes: int
    memory_without_devices_bytes: int
    """Of that: what the processes take by themselves."""
    connections_by_broker: dict[BrokerUrl, int]
    """From this machine."""
    all_connections_by_broker: dict[BrokerUrl, int]
    messages_per_s_by_broker: float
    sources_by_broker: dict[BrokerUrl, int]
    """Local addresses to dial from."""
    largest_packet_bytes: int
    highest_qos: int
    keep_alive_s: int
    session_expiry_s: int

    @property
    def files_a_worker(self) -> int:
        """Return the open files of the fullest process."""
        return self.files_of(self.workers)

    def files_of(self, workers: int) -> int:
        """Return the open files of the fullest process if there were so many."""
        return ceil(self.connections / workers) + SPARE_FILES

    @classmethod
    def of(cls, scenario: Scenario, *, shard: Shard | None = None, workers: int = 1) -> "Needs":
        """Return what this scenario needs."""
        shard = shard or Shard()
        urls = scenario.broker_urls
        total = sum(group.connections for group in scenario.devices)
        numbers = range(shard.index, total, shard.count)
        mine = _devices_of(scenario, shard)
        share = mine / sum(group.size for group in scenario.devices)
        rate = scenario.messages_per_s
        # Several workers have a process over them.
        processes_bytes = (workers if workers == 1 else workers + 1) * PROCESS_BYTES
        # Readings are taken at the interval, whether or not they are published.
        taken = [(group, group.size * 1000 / group.interval * scenario.time_scale) for group in scenario.devices]
        cpu = rate * WIRE_S * share + sum(per_s * KINDS[group.kind].reading_s for group, per_s in taken) * share
        return cls(
            devices=mine,
            connections=len(numbers),
            workers=workers,
            messages_per_s=rate * share,
            # The rounds over all devices, once a second or more seldom.
            cpu_cores=cpu + min(mine * LOOK_S, workers * LOOK_SHARE),
            memory_bytes=processes_bytes + mine * DEVICE_BYTES + round(_sensor_bytes(scenario) * share),
            memory_without_devices_bytes=processes_bytes,
            connections_by_broker=_spread(urls, numbers),
            all_connections_by_broker=_spread(urls, range(total)),
            messages_per_s_by_broker=rate / len(set(urls)),
            sources_by_broker={url: _sources(scenario, url) for url in urls},
            largest_packet_bytes=_largest_packet(scenario),
            highest_qos=max(group.qos for group in scenario.devices),
            keep_alive_s=scenario.keep_alive // 1000,
            session_expiry_s=scenario.session_expiry // 1000,
        )


def _devices_of(scenario: Scenario, shard: Shard) -> int:
    """Return how many devices, or parts of some, a shard has: those of one connection are never divided."""
    before = devices = 0
    for entry in entries(scenario.devices):
        first, size = entry[0], sum(group.size for group in entry)
        numbers = range(before, before + first.connections)
        mine = numbers[(shard.index - before) % shard.count :: shard.count]
        devices += len(mine) * first.devices_per_connection
        if numbers[-1] in mine:
            devices -= first.connections * first.devices_per_connection - size
        before += first.connections
    return devices


def _spread(urls: tuple[BrokerUrl, ...], numbers: range) -> dict[BrokerUrl, int]:
    """Return how many of the connections with these numbers each broker gets."""
    return dict(Counter(urls[number % len(urls)] for number in numbers))


def _sources(scenario: Scenario, url: BrokerUrl) -> int:
    return len(scenario.source_addresses) or (LOOPBACK_ADDRESSES if is_loopback(url.host) else 1)


def _sensor_bytes(scenario: Scenario) -> int:
    return sum(group.size * KINDS[group.kind].memory_bytes for group in scenario.devices)


def _largest_packet(scenario: Scenario) -> int:
    """Return the largest of the packets that one device of each group sends in a day or so."""
    groups = [_one_of(group) for group in scenario.devices]
    start_ms = round(scenario.start.timestamp() * 1000) if scenario.start else 0
    timeline = Timeline(
        scenario.model_copy(update={"devices": tuple(groups), "faults": ()}), start_ms, in_dialects=True
    )
    batch = timeline.batch(start_ms, start_ms + 24 * 3_600_000)
    topics = [
        max(map(len, timeline.wire_format(position).topics(device))) for position, device in enumerate(timeline.devices)
    ]
    sizes = (
        topics[device] + _message_bytes(timeline, device, address, payload)
        for device, address, payload in zip(batch.device, batch.address, batch.payload, strict=True)
    )
    return max(sizes, default=0) + FRAME_BYTES


def _message_bytes(timeline: Timeline, device: int, address: int, payload: bytes) -> int:
    """Return how long the message of a reading is, with others of the same size where it says several."""
    options = timeline.wire_format(device).options
    rule = None if options is None else options[address].batch
    return len(payload) if rule is None else len(join_readings(rule.readings * [payload], rule.pad_to))


def _one_of(group: DeviceGroup) -> DeviceGroup:
    # So seldom that a day is quickly computed.
    changes: dict[str, Any] = {"interval": max(group.interval, 600_000), "on": None}
    if group.gateway is not None:
        changes["gateway"] = group.gateway.model_copy(update={"count": 1, "devices": None})
    return group.model_copy(update=changes | ({"ids": group.ids[:1]} if group.ids else {"count": 1}))
