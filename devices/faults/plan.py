"""A fault calendar applied to the devices of a timeline. Pure: a row depends on seed, device and time alone.

Losses come first, then every fault in the order of the calendar works on what the one before made of the reading.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from devices.faults.assigned import AssignedFault, Bools
from devices.faults.base import Fault
from devices.faults.bursts import Burst
from devices.faults.connection_faults import ConnectionFault, Corrupt, Reboot
from devices.faults.effects import Rows, clock_error, disturb, lost, shift_fields, shift_times
from devices.faults.reboots import RebootSchedule
from devices.faults.schedule import SingleWindow, Windows
from devices.faults.sensor_faults import Dropout
from devices.sensors.base import Columns, take_rows
from devices.world.random import Hashes, Ints, hash_bits, uniform
from edgewire.errors import ConfigError

Held = Callable[[Ints, Ints], Columns]
"""The undisturbed last readings of devices (positions) before instants, a row each."""
CLOCKS = ("clock_step", "clock_drift")
_NO_ROWS = np.empty(0, dtype=np.int64)


class Readings(NamedTuple):
    """Readings of one kind, a row each."""

    kind: str
    positions: Ints
    """Of the devices in the timeline."""
    times: Ints
    columns: Columns


class FaultPlan:
    """The faults of a scenario for devices with these ids, kinds and keys."""

    def __init__(
        self,
        faults: Sequence[Fault],
        seed: int,
        ids: Sequence[str],
        kinds: Sequence[str],
        keys: Hashes,
        bursts: Iterable[AssignedFault] = (),
    ) -> None:
        self._seed = seed
        self._keys = keys
        kind_of = np.array(kinds, dtype=object)
        seen: Counter[str] = Counter()
        self._placed: dict[str, list[AssignedFault]] = {}
        self._mishaps: dict[str, list[AssignedFault]] = {}
        self._commanded: list[AssignedFault] = []
        for burst in bursts:
            self._placed.setdefault(burst.fault.kind, []).append(burst)
        for fault in faults:
            if isinstance(fault, Burst):
                continue
            fault_type = _type(fault)
            name = "/".join(["fault", fault_type, fault.kind, *fault.fields])
            # Another entry elsewhere in the calendar does not move this one's random windows.
            stream = f"{name}/{seen[name]}"
            seen[name] += 1
            has = np.asarray(kind_of == fault.kind, dtype=np.bool_)
            if fault.devices:
                has = has & np.isin(ids, fault.devices)
            if fault.share is not None:
                has = has & (uniform(hash_bits(seed, f"{stream}/share", keys)) < fault.share)
            self._list(fault).append(AssignedFault(fault, fault_type, stream, fault.schedule, has, keys))

    def of(self, kind: str) -> Sequence[AssignedFault]:
        """The faults of readings of a kind, in the order of the calendar, whether or not a device here has them."""
        return self._placed.get(kind, ())

    def connection_faults(self, kind: str) -> Sequence[AssignedFault]:
        """The faults of whole devices of a kind and of their links."""
        return self._mishaps.get(kind, ())

    def reboots(self, kind: str, since_ms: int) -> RebootSchedule | None:
        """The reboots among them; None where there are none."""
        reboots = [placed for placed in self.connection_faults(kind) if isinstance(placed.fault, Reboot)]
        return RebootSchedule(self._seed, reboots, since_ms) if reboots else None

    def bits(self, placed: AssignedFault, position: int) -> int:
        """What the chances of this fault at one device are drawn from."""
        return int(hash_bits(self._seed, f"{placed.stream}/chance", self._keys[position : position + 1])[0])

    def damaged(self, placed: AssignedFault, positions: Ints, boots: Ints, seqs: Ints) -> Bools:
        """Which of these messages a `corrupt` fault damages."""
        assert isinstance(placed.fault, Corrupt)
        chances = hash_bits(self._seed, f"{placed.stream}/chance", self._keys[positions], boots, seqs)
        return np.asarray(uniform(chances) < placed.fault.chance)

    # -- by command, in a live run

    def command(self, fault: Fault, position: int, from_ms: int, to_ms: int) -> None:
        """One device has this fault in [from_ms, to_ms)."""
        has = np.zeros(len(self._keys), dtype=np.bool_)
        has[position] = True
        stream = f"commanded/{_type(fault)}/{len(self._commanded)}"
        placed = AssignedFault(fault, _type(fault), stream, SingleWindow(from_ms, to_ms), has, self._keys)
        self._commanded.append(placed)
        self._list(fault).append(placed)

    @property
    def commanded(self) -> int:
        """How many faults were set by command."""
        return len(self._commanded)

    def clear(self, position: int, at_ms: int) -> int:
        """End what was set by command at one device; returns how many faults that were."""
        count = 0
        for number, placed in enumerate(self._commanded):
            schedule = placed.schedule
            if placed.has[position] and isinstance(schedule, SingleWindow) and schedule.end_ms > at_ms:
                # One that has not begun yet is there for no time at all.
                ended = replace(placed, schedule=SingleWindow(min(schedule.start_ms, at_ms), at_ms))
                self._commanded[number] = ended
                listed = self._list(placed.fault)
                listed[listed.index(placed)] = ended
                count += 1
        return count

    def _list(self, fault: Fault) -> list[AssignedFault]:
        return (self._mishaps if isinstance(fault, ConnectionFault) else self._placed).setdefault(fault.kind, [])

    def fields(self, kind: str) -> list[str]:
        """The fields of this kind's messages that some fault can change."""
        return list(dict.fromkeys(name for placed in self.of(kind) for name in placed.fault.fields))

    def in_world(self, kind: str) -> bool:
        """Whether some fault of a kind is in what its devices measure."""
        return any(placed.worlds is not None for placed in self.of(kind))

    def windows(
        self, placed: AssignedFault, positions: Ints, from_ms: int, to_ms: int, trail_ms: int = 0
    ) -> tuple[Ints, Windows]:
        """When a fault befalls which of these devices, as far as it, or its `trail_ms`, touches [from_ms, to_ms)."""
        positions = positions[placed.has[positions]]
        owners, windows = placed.schedule.between(
            self._seed, placed.stream, placed.keys[positions], from_ms - trail_ms, to_ms
        )
        return positions[owners], windows

    def lost(self, kind: str, positions: Ints, times: Ints, only: AssignedFault | None = None) -> Bools:
        """Which messages are never sent; with `only`, because of that fault."""
        gone = np.zeros(len(times), dtype=np.bool_)
        for placed in self.of(kind):
            fault = placed.fault
            if isinstance(fault, Dropout) and only in (None, placed):
                at = self._rows(placed, positions, times)
                gone[at.rows[lost(fault.chance, at)]] = True
        return gone

    def timestamps_ms(self, kind: str, positions: Ints, times: Ints) -> Ints:
        """What the devices' clocks show at these times."""
        stamps = times
        for placed in self.of(kind):
            if placed.type in CLOCKS:
                at = self._rows(placed, positions, times)
                stamps = stamps.copy()
                stamps[at.rows] += clock_error(placed.fault, at.since_ms)
        return stamps

    def disturb(self, readings: Readings, held: Held, watch: AssignedFault | None = None) -> tuple[Columns, Ints]:
        """The columns as the devices send them, and the rows in which the fault `watch` made a difference."""
        columns = dict(readings.columns)
        seen: list[Ints] = [_NO_ROWS]
        for placed in self.of(readings.kind):
            if isinstance(placed.fault, Burst):
                continue
            at = self._rows(placed, readings.positions, readings.times, held)
            if not len(at.rows):
                continue
            if placed.type in CLOCKS:
                errors = clock_error(placed.fault, at.since_ms)
                changed = shift_times(readings.kind, columns, at.rows, errors)
            else:
                errors = np.zeros(len(at.rows), dtype=np.int64)
                changed = disturb(placed.fault, columns, at)
            if placed is watch:
                differs = [_differing(columns[name], column, at.rows) for name, column in changed.items()]
                seen = [at.rows[errors != 0], *differs]
            columns |= changed
        return columns, np.unique(np.concatenate(seen))

    def disturb_happenings(
        self, kind: str, positions: Ints, times: Ints, fields: list[dict[str, Any]], watch: AssignedFault | None = None
    ) -> tuple[list[dict[str, Any]], Ints]:
        """As `disturb`, for messages between the readings: of all faults, only those of clocks show in them."""
        changed, seen = list(fields), _NO_ROWS
        for placed in self.of(kind):
            if placed.type not in CLOCKS:
                continue
            at = self._rows(placed, positions, times)
            errors = clock_error(placed.fault, at.since_ms)
            for row, error in zip(at.rows.tolist(), errors.tolist(), strict=True):
                changed[row] = shift_fields(kind, changed[row], error)
            if placed is watch:
                seen = at.rows[errors != 0]
        return changed, seen

    def _rows(self, placed: AssignedFault, positions: Ints, times: Ints, held: Held | None = None) -> Rows:
        """The rows that the fault befalls."""
        candidates = np.flatnonzero(placed.has[positions])
        times, positions = times[candidates], positions[candidates]
        keys = self._keys[positions]
        windows = placed.schedule.at(self._seed, placed.stream, placed.keys[positions], times)
        inside = windows.holds(times)
        starts, positions = windows.start[inside], positions[inside]
        before = partial(_once_each, held, positions, starts) if held else dict
        return Rows(
            self._seed, placed.stream, candidates[inside], keys[inside], times[inside], times[inside] - starts, before
        )


def check_devices(faults: Sequence[Fault], kinds: Mapping[str, str]) -> None:
    """Raise `ConfigError` where a fault names a device that the scenario (id -> kind) does not have."""
    for number, fault in enumerate(faults):
        for device_id in fault.devices:
            if kinds.get(device_id) != fault.kind:
                what = f"is a {kinds[device_id]}, not a" if device_id in kinds else "is not the id of a"
                raise ConfigError(f"scenario: faults[{number}].devices: '{device_id}' {what} {fault.kind}")


def _type(fault: Fault) -> str:
    return str(getattr(fault, "type"))  # noqa: B009 - every member of the union has it


def differing(before: Columns, after: Columns) -> Ints:
    """The rows in which some column differs."""
    everywhere = np.arange(len(next(iter(after.values()), [])))
    return np.unique(np.concatenate([_NO_ROWS, *(_differing(before[name], after[name], everywhere) for name in after)]))


def _differing(before: Iterable[Any], after: Iterable[Any], rows: Ints) -> Ints:
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        return np.asarray(rows[before[rows] != after[rows]])
    old, new = list(before), list(after)
    return np.array([row for row in rows.tolist() if old[row] != new[row]], dtype=np.int64)


def _once_each(held: Held, positions: Ints, starts: Ints) -> Columns:
    """As `held`, which is asked once for all rows of one window."""
    windows, rows = np.unique(np.stack([positions, starts]), axis=1, return_inverse=True)
    columns = held(windows[0], windows[1])
    rows = rows.reshape(-1)
    return {name: take_rows(column, rows) for name, column in columns.items()}
