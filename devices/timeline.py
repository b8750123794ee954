"""Scenario x window of time -> who is due when, with which reading. Pure: no clock, no broker.

A device is powered on at `start`. Its reading k is due at start + phase + k x interval, the phase drawn from its
id, so a fleet never speaks in chorus. What happens between two readings (a visitor at the door) is due when it
happens. `seq` numbers both together, so it can be told for any window without walking there from the start.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.catalog import CATALOG, CatalogEntry
from devices.encode import encode, encode_fields
from devices.scenario import DeviceGroup, Scenario
from devices.sensors.base import EPOCH_MS, EventSensor, Population
from devices.world import World
from edgewire.errors import ConfigError
from edgewire.messages import Channel, Topic

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Device:
    """Who a device is, and when it speaks."""

    device_id: str
    kind: str
    site: str
    qos: int
    interval_ms: int
    phase_ms: int
    ordinal: int
    """Number within its kind, from 0: gps 3 and telematics 3 ride in the same vehicle."""
    key: int
    """Stable 64-bit hash of the device id: what its randomness is drawn by."""

    def topic(self, channel: Channel) -> str:
        """The topic of one of its channels."""
        return str(Topic(self.site, self.kind, self.device_id, channel))


@dataclass(frozen=True, slots=True)
class Shard:
    """Every `count`-th device, from device `index`: what one process of several takes care of."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `i/n`, such as `0/3`; raises `ConfigError`."""
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise ConfigError(f"shard '{text}': write i/n with i from 0 to n-1, such as 0/3")
        return cls(int(index), int(count))


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages in the order of their due time, device id and seq; one row each, column by column."""

    due_ms: list[int]
    device: list[int]
    """Position in `Timeline.devices`."""
    seq: list[int]
    channel: list[Channel]
    payload: list[bytes]

    def __len__(self) -> int:
        return len(self.due_ms)


class Timeline:
    """The messages of a scenario, or of a shard of it, for devices powered on at `start_ms`."""

    def __init__(self, scenario: Scenario, start_ms: int, shard: Shard | None = None) -> None:
        self.start_ms = start_ms
        self.boot = (start_ms - EPOCH_MS) // 1000 + 1
        everyone = _devices(scenario)
        self.world = World.of(scenario.seed, scenario.sites, vehicles=_vehicles(everyone))
        shard = shard or Shard()
        mine = everyone[shard.index :: shard.count]
        self.devices = tuple(device for device, _ in mine)
        self._order = np.argsort(np.argsort([device.device_id for device in self.devices], kind="stable"))
        self._groups = [
            _Group(self, group, [position for position, (_, owner) in enumerate(mine) if owner is group])
            for group in scenario.devices
        ]
        self.rate_per_s = sum(1000 / device.interval_ms for device in self.devices)

    def batch(self, from_ms: int, to_ms: int) -> Batch:
        """All messages due in [from_ms, to_ms)."""
        from_ms = max(from_ms, self.start_ms)
        parts = [part for group in self._groups for part in group.messages(from_ms, to_ms) if part.payloads]
        if not parts:
            return Batch([], [], [], [], [])
        times = np.concatenate([part.times for part in parts])
        positions = np.concatenate([part.positions for part in parts])
        seqs = np.concatenate([part.seqs for part in parts])
        order = np.lexsort((seqs, self._order[positions], times))
        channels = [part.channel for part in parts for _ in part.payloads]
        payloads = [payload for part in parts for payload in part.payloads]
        rows = order.tolist()
        return Batch(
            times[order].tolist(),
            positions[order].tolist(),
            seqs[order].tolist(),
            [channels[row] for row in rows],
            [payloads[row] for row in rows],
        )

    def windows(self, from_ms: int, to_ms: int, rows: int) -> Iterator[Batch]:
        """[from_ms, to_ms) in successive batches of about `rows` messages each."""
        step = max(1, round(rows / self.rate_per_s * 1000))
        for window in range(from_ms, to_ms, step):
            yield self.batch(window, min(window + step, to_ms))


@dataclass(frozen=True, slots=True)
class _Part:
    """Messages of one group on one channel."""

    channel: Channel
    times: Ints
    positions: Ints
    seqs: Ints
    payloads: list[bytes]


class _Group:
    """The devices of one entry of the scenario that belong to this shard."""

    def __init__(self, timeline: Timeline, group: DeviceGroup, positions: list[int]) -> None:
        entry: CatalogEntry = CATALOG[group.kind]
        self._timeline = timeline
        self._positions = np.array(positions, dtype=np.int64)
        devices = [timeline.devices[position] for position in positions]
        self._ids = [device.device_id for device in devices]
        self._everyone = np.arange(len(devices), dtype=np.int64)
        self._interval = np.array([device.interval_ms for device in devices], dtype=np.int64)
        self._first_due = timeline.start_ms + np.array([device.phase_ms for device in devices], dtype=np.int64)
        self._channel = entry.channel
        site_index = {site.name: index for index, site in enumerate(timeline.world.sites)}
        population = Population(
            keys=np.array([device.key for device in devices], dtype=np.uint64),
            sites=np.array([site_index[device.site] for device in devices], dtype=np.int64),
            interval_ms=self._interval,
            ordinals=np.array([device.ordinal for device in devices], dtype=np.int64),
        )
        self._sensor = entry.sensor(entry.settings(**group.settings), population)

    def messages(self, from_ms: int, to_ms: int) -> Iterator[_Part]:
        """What these devices have to say in [from_ms, to_ms)."""
        if not self._ids or to_ms <= from_ms:
            return
        first, owners, times = self._due(from_ms, to_ms)
        if isinstance(self._sensor, EventSensor):
            yield from self._with_happenings(self._sensor, from_ms, to_ms, first, owners, times)
            return
        seqs = (times - self._first_due[owners]) // self._interval[owners]
        yield self._readings(owners, times, seqs)

    def _due(self, from_ms: int, to_ms: int) -> tuple[Ints, Ints, Ints]:
        """Readings due in the window: each device's first reading number, then owner and time of every reading."""
        first = np.maximum(-((self._first_due - from_ms) // self._interval), 0)
        stop = np.maximum(-((self._first_due - to_ms) // self._interval), 0)
        counts = np.maximum(stop - first, 0)
        owners = np.repeat(self._everyone, counts)
        within = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        return first, owners, self._first_due[owners] + (first[owners] + within) * self._interval[owners]

    def _readings(self, owners: Ints, times: Ints, seqs: Ints) -> _Part:
        columns = self._sensor.sample(self._timeline.world, owners, times) if len(owners) else {}
        payloads = encode(self._names(owners), times, self._timeline.boot, seqs, columns) if len(owners) else []
        return _Part(self._channel, times, self._positions[owners], seqs, payloads)

    def _with_happenings(
        self, sensor: EventSensor, from_ms: int, to_ms: int, first: Ints, owners: Ints, times: Ints
    ) -> Iterator[_Part]:
        world = self._timeline.world
        before = sensor.happened(world, self._everyone, self._timeline.start_ms, from_ms)
        happened = sensor.happenings(world, self._everyone, from_ms, to_ms)
        # Within one device: by time, what happened before the reading of the same millisecond.
        all_owners = np.concatenate([happened.owner, owners])
        all_times = np.concatenate([happened.time_ms, times])
        is_reading = np.arange(len(all_owners)) >= len(happened.owner)
        order = np.lexsort((is_reading, all_times, all_owners))
        begins = np.searchsorted(all_owners[order], self._everyone)
        seqs = np.empty(len(order), dtype=np.int64)
        seqs[order] = np.arange(len(order)) + (first + before - begins)[all_owners[order]]
        split = len(happened.owner)
        yield self._readings(owners, times, seqs[split:])
        yield _Part(
            Channel.EVENT,
            happened.time_ms,
            self._positions[happened.owner],
            seqs[:split],
            encode_fields(
                self._names(happened.owner), happened.time_ms, self._timeline.boot, seqs[:split], happened.fields
            ),
        )

    def _names(self, owners: Ints) -> list[str]:
        ids = self._ids
        return [ids[owner] for owner in owners.tolist()]


def _devices(scenario: Scenario) -> list[tuple[Device, DeviceGroup]]:
    """Every device of the scenario, in file order; raises `ConfigError` where two would have the same id."""
    numbers = dict.fromkeys(CATALOG, 0)
    devices: list[tuple[Device, DeviceGroup]] = []
    for group in scenario.devices:
        for position in range(group.size):
            ordinal = numbers[group.kind]
            numbers[group.kind] += 1
            site = group.site or scenario.sites[ordinal % len(scenario.sites)].name
            device_id = group.ids[position] if group.ids else group.device_id(ordinal + 1)
            devices.append((_device(device_id, group, site, ordinal), group))
    _refuse_twins([device.device_id for device, _ in devices])
    return devices


def _device(device_id: str, group: DeviceGroup, site: str, ordinal: int) -> Device:
    key = int.from_bytes(hashlib.blake2b(device_id.encode(), digest_size=8).digest(), "little")
    return Device(device_id, group.kind, site, group.qos, group.interval, key % group.interval, ordinal, key)


def _refuse_twins(device_ids: Sequence[str]) -> None:
    seen: set[str] = set()
    for device_id in device_ids:
        if device_id in seen:
            raise ConfigError(f"scenario: two devices are called '{device_id}'; give one group another id")
        seen.add(device_id)


def _vehicles(devices: Sequence[tuple[Device, DeviceGroup]]) -> dict[int, str]:
    """Site of every vehicle that carries a unit of the fleet, by ordinal."""
    return {device.ordinal: device.site for device, _ in devices if device.kind in ("gps", "telematics")}
