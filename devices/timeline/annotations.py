"""Adds to the messages of an export what one would else have to join: their faults, their set, their local time."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from devices.scenario.devices import Device
from devices.sensors.columns import DictionaryColumn
from devices.sensors.registry import KINDS
from devices.timeline.table import Table
from devices.world.random import Ints
from devices.world.timestamps import timestamps
from devices.world.world import World
from edgewire.clock import iso_ms, parse_ms
from edgewire.errors import ConfigError
from edgewire.messages.base import to_device_id

MOST_SETS = 16
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Split:
    """Says which set each message is in: by its device, or by its time; no device or time is in two of them."""

    names: tuple[str, ...]
    shares: tuple[float, ...]
    """Of each set; together 1."""
    by_device: Mapping[str, int] | None
    """Device id -> position of its set; None where the time decides."""
    bounds_ms: tuple[int, ...] = ()
    """When each set but the first begins."""
    gap_ms: int = 0
    """How long after each bound messages are in no set, so that what lasts across it is not in both."""

    @classmethod
    def of_devices(cls, sets: Mapping[str, float], devices: Sequence[Device], seed: int) -> "Split":
        """Return one that puts the devices of every kind into sets, by chance, of these shares as near as can be.

        `devices` are those of the whole scenario, so that shards agree.
        """
        chosen: dict[str, int] = {}
        ends = np.cumsum(list(sets.values()))
        for kind in dict.fromkeys(device.kind for device in devices):
            names = [device.device_id for device in devices if device.kind == kind]
            names.sort(key=lambda name: hashlib.blake2b(f"{seed}/split/{name}".encode()).digest())
            bounds = np.rint(ends * len(names)).astype(int)
            # As they are called in an export.
            ids = map(to_device_id, names)
            chosen |= {name: int(np.searchsorted(bounds, place, "right")) for place, name in enumerate(ids)}
        return cls(tuple(sets), tuple(sets.values()), chosen)

    @classmethod
    def of_times(cls, sets: Mapping[str, float], from_ms: int, to_ms: int, gap_ms: int) -> "Split":
        """Return one that cuts the time from `from_ms` to `to_ms` into sets, one after the other."""
        ends = np.cumsum(list(sets.values()))[:-1]
        bounds = tuple(round(from_ms + share * (to_ms - from_ms)) for share in ends.tolist())
        return cls(tuple(sets), tuple(sets.values()), None, bounds, gap_ms)

    def column(self, devices: Sequence[Device], table: Table) -> DictionaryColumn:
        """Return the set of every row; null of those in a gap."""
        if self.by_device is not None:
            last = len(self.names)
            of_device = np.array([self.by_device.get(device.device_id, last) for device in devices], dtype=np.int64)
            return DictionaryColumn(of_device[table.positions], [*self.names, None])
        bounds = np.array(self.bounds_ms, dtype=np.int64)
        sets = np.searchsorted(bounds, table.times, "right")
        begun = np.concatenate([[np.iinfo(np.int64).min // 2], bounds])[sets]
        return DictionaryColumn(np.where(table.times - begun < self.gap_ms, len(self.names), sets), [*self.names, None])


def parse_split(text: str) -> dict[str, float]:
    """Return the shares of sets, as in `train=0.8,test=0.2`; raises `ConfigError`."""
    sets: dict[str, float] = {}
    for part in text.split(","):
        name, sign, share = part.strip().partition("=")
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if not (sign and name and name not in sets and 0 < value <= 1):
            raise ConfigError(f"--split {text}: write NAME=SHARE, such as train=0.8,test=0.2")
        sets[name] = value
    if abs(sum(sets.values()) - 1) > 1e-6 or len(sets) > MOST_SETS:
        raise ConfigError(f"--split {text}: the shares of at most {MOST_SETS} sets should come to 1")
    return sets


@dataclass(frozen=True, slots=True)
class Annotations:
    """Says which columns are added to all messages."""

    has_faults: bool = False
    """`faults`: the types of all faults that the message shows, as the labels count them."""
    split: Split | None = None
    """`split`: the name of its set."""
    has_local_time: bool = False
    """`local_time`, and beside `weekday` and `time_slot`, which are in UTC, those in the zone of the device's site."""

    def add(
        self,
        table: Table,
        devices: Sequence[Device],
        world: World,
        faults: Mapping[tuple[int, int, int], Sequence[str]],
    ) -> Table:
        """Return a table with these columns; `faults` are those of messages by position, boot and seq, where any."""
        added: dict[str, Any] = {}
        if self.has_local_time:
            added["local_time"] = _local_times(table, devices, world)
        if self.split is not None:
            added["split"] = self.split.column(devices, table)
        if self.has_faults:
            none: list[str] = []
            boots = [0] * len(table.times) if table.boots is None else table.boots.tolist()
            keys = zip(table.positions.tolist(), boots, table.seqs.tolist(), strict=True)
            added["faults"] = [faults.get(key, none) for key in keys]
        if isinstance(table.columns, dict):
            return replace(table, columns=table.columns | added)
        columns = zip(*(list(column) for column in added.values()), strict=True) if added else ()
        rows = [row | dict(zip(added, values, strict=True)) for row, values in zip(table.columns, columns, strict=True)]
        if self.has_local_time:
            rows = [_with_local_calendar(table.kind, row) for row in rows]
        return replace(table, columns=rows)


def _local_times(table: Table, devices: Sequence[Device], world: World) -> list[str]:
    """Return the wall-clock time of every row at its device's site, with its offset."""
    numbers = {site.name: number for number, site in enumerate(world.sites)}
    of_device = np.array([numbers[device.site] for device in devices], dtype=np.int64)
    local: Ints = world.local_ms(of_device[table.positions], table.times)
    offsets = (local - table.times) // _MINUTE_MS
    ends = {offset: f"{offset // 60:+03d}:{offset % 60:02d}" for offset in np.unique(offsets).tolist() if offset >= 0}
    ends |= {offset: f"-{-offset // 60:02d}:{-offset % 60:02d}" for offset in np.unique(offsets).tolist() if offset < 0}
    return [text[:-1] + ends[offset] for text, offset in zip(timestamps(local), offsets.tolist(), strict=True)]


def _with_local_calendar(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the weekday and the time slot that it has by the clock of its site."""
    restamp = KINDS[kind].restamp_event
    if restamp is None or "time_slot" not in row:
        return row
    local = str(row["local_time"])
    sign = -1 if local[-6] == "-" else 1
    offset_ms = sign * (int(local[-5:-3]) * 60 + int(local[-2:])) * _MINUTE_MS
    times = [name for name in ("entry_time", "exit_time", "time") if row.get(name) is not None]
    there = restamp(row | {name: iso_ms(parse_ms(str(row[name])) + offset_ms) for name in times})
    return row | {"local_weekday": there["weekday"], "local_time_slot": there["time_slot"]}
