"""A fault calendar applied to the devices of a timeline. Pure: a row depends on seed, device and time alone.

Losses come first, then every fault in the order of the calendar works on what the one before made of the reading.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from devices.faults.assigned import AssignedFault
from devices.faults.base import Fault
from devices.faults.reboots import RebootSchedule
from devices.faults.rows import NO_ROWS, ReadingSource, differing
from devices.faults.schedule import SingleWindow
from devices.faults.sensor_faults import shift_event_times
from devices.sensors.columns import Columns
from devices.world.random import Flags, Hashes, Ints, hash_bits, uniform
from edgewire.errors import ConfigError


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
        rare_days: Iterable[AssignedFault] = (),
        connections: Hashes | None = None,
        wholes: Hashes | None = None,
        whole_ids: Sequence[str] = (),
    ) -> None:
        """Assign the faults to the devices; those that change the world are assigned already (`bursts`).

        `rare_days` are no faults, and only labelled.

        Devices with the same one of `connections` (None: each has its own) share it, and what happens to it. Those with
        the same one of `wholes` (None: there are none) are parts of one device, whose id is in `whole_ids`: what is not
        in the readings of one sensor happens to all of them.
        """
        self._seed = seed
        self._keys = keys
        self._wholes = wholes
        self._kind_of = kind_of = np.array(kinds, dtype=object)
        seen: Counter[str] = Counter()
        self._of_readings: dict[str, list[AssignedFault]] = {}
        self._of_connections: dict[str, list[AssignedFault]] = {}
        self._set_by_command: list[AssignedFault] = []
        self._rare_days: dict[str, list[AssignedFault]] = {}
        for one in rare_days:
            self._rare_days.setdefault(one.fault.kind, []).append(one)
        for burst in bursts:
            self._enlist(burst)
        for fault in faults:
            if fault.changes_world:
                continue
            name = "/".join(["fault", fault.type_name, fault.kind, *fault.affected_fields])
            # Another entry elsewhere in the calendar does not move this one's random windows.
            stream = f"{name}/{seen[name]}"
            seen[name] += 1
            has = np.asarray(kind_of == fault.kind, dtype=np.bool_)
            drawn_by = keys
            if fault.is_of_connection and connections is not None:
                drawn_by = connections
            elif fault.is_executed_live and wholes is not None:
                drawn_by = wholes
            if fault.devices:
                named = np.isin(ids, fault.devices)
                has = has & (named if wholes is None else named | np.isin(whole_ids, fault.devices))
            if drawn_by is not keys:
                has = np.isin(drawn_by, drawn_by[has])
            if fault.share is not None:
                has = has & (uniform(hash_bits(seed, f"{stream}/share", drawn_by)) < fault.share)
            self._enlist(AssignedFault(fault, seed, stream, fault.schedule, has, drawn_by))

    def reading_faults(self, kind: str) -> Sequence[AssignedFault]:
        """Return the faults of readings of a kind, in the calendar's order, whether or not a device here has them."""
        return self._of_readings.get(kind, ())

    def connection_faults(self, kind: str) -> Sequence[AssignedFault]:
        """Return the faults of whole devices of a kind and of their links."""
        return self._of_connections.get(kind, ())

    def rare_days(self, kind: str) -> Sequence[AssignedFault]:
        """Return what is unlike other days in the world that devices of a kind measure."""
        return self._rare_days.get(kind, ())

    def reboots(self, kind: str, since_ms: int) -> RebootSchedule | None:
        """Return the reboots among them; None where there are none."""
        reboots = [assigned for assigned in self.connection_faults(kind) if assigned.fault.reset_reason is not None]
        return RebootSchedule(reboots, since_ms) if reboots else None

    def affected_fields(self, kind: str) -> list[str]:
        """Return the fields of this kind's messages that some fault can change."""
        return list(
            dict.fromkeys(name for assigned in self.reading_faults(kind) for name in assigned.fault.affected_fields)
        )

    def changes_world(self, kind: str) -> bool:
        """Return whether some fault of a kind is in what its devices measure."""
        return any(assigned.worlds is not None for assigned in self.reading_faults(kind))

    # -- what the devices say

    def lost(self, kind: str, positions: Ints, times: Ints, only: AssignedFault | None = None) -> Flags:
        """Return which messages are never sent; with `only`, because of that fault."""
        lost = np.zeros(len(times), dtype=np.bool_)
        for assigned in self.reading_faults(kind):
            if assigned.fault.loses_messages and only in (None, assigned):
                rows = assigned.affected_rows(positions, times)
                lost[rows.rows[assigned.fault.lost(rows)]] = True
        return lost

    def network_delay_ms(self, kind: str, positions: Ints, times: Ints) -> Ints:
        """Return how much later than measured messages leave in a live run, as the calendar has it."""
        delay = np.zeros(len(times), dtype=np.int64)
        for assigned in self.connection_faults(kind):
            if assigned.fault.holds_messages:
                delay = np.maximum(delay, assigned.left_ms(positions, times))
        return delay

    def timestamps_ms(self, kind: str, positions: Ints, times: Ints) -> Ints:
        """Return what the devices' clocks show at these times."""
        stamps = times
        for assigned in self.reading_faults(kind):
            if assigned.fault.changes_clock:
                rows = assigned.affected_rows(positions, times)
                stamps = stamps.copy()
                stamps[rows.rows] += assigned.fault.clock_error_ms(rows.since_ms)
        return stamps

    def apply_to_readings(
        self, readings: Readings, source: ReadingSource, watch: AssignedFault | None = None
    ) -> tuple[Columns, Ints]:
        """Return the columns as the devices send them, and the rows in which the fault `watch` made a difference."""
        columns = dict(readings.columns)
        seen: list[Ints] = [NO_ROWS]
        for assigned in self.reading_faults(readings.kind):
            if assigned.worlds is not None:
                continue
            rows = assigned.affected_rows(readings.positions, readings.times, source)
            if not len(rows.rows):
                continue
            changed = assigned.fault.apply(columns, rows)
            if assigned is watch:
                differs = [differing(columns[name], column, rows.rows) for name, column in changed.items()]
                seen = [rows.rows[assigned.fault.clock_error_ms(rows.since_ms) != 0], *differs]
            columns |= changed
        return columns, np.unique(np.concatenate(seen))

    def apply_to_events(
        self,
        kind: str,
        positions: Ints,
        times: Ints,
        events: Sequence[dict[str, Any]],
        watch: AssignedFault | None = None,
    ) -> tuple[Sequence[dict[str, Any]], Ints]:
        """Do the same to messages between the readings: of all faults, only those of clocks show in them."""
        wrong_clocks = [assigned for assigned in self.reading_faults(kind) if assigned.fault.changes_clock]
        if not wrong_clocks:
            return events, NO_ROWS
        changed, seen = list(events), NO_ROWS
        for assigned in wrong_clocks:
            rows = assigned.affected_rows(positions, times)
            errors = assigned.fault.clock_error_ms(rows.since_ms)
            for row, error in zip(rows.rows.tolist(), errors.tolist(), strict=True):
                changed[row] = shift_event_times(kind, changed[row], error)
            if assigned is watch:
                seen = rows.rows[errors != 0]
        return changed, seen

    # -- by command, in a live run

    def set_fault(
        self, fault: Fault, positions: Sequence[int], from_ms: int, to_ms: int, stream: str | None = None
    ) -> None:
        """Have these devices affected by this fault in [from_ms, to_ms); `stream` names its random draws."""
        has = self._meant(fault, positions)
        stream = stream or f"commanded/{fault.type_name}/{len(self._set_by_command)}"
        keys = self._wholes if fault.is_executed_live and self._wholes is not None else self._keys
        assigned = AssignedFault(fault, self._seed, stream, SingleWindow(from_ms, to_ms), has, keys)
        self._set_by_command.append(assigned)
        self._enlist(assigned)

    @property
    def commanded(self) -> int:
        """Return how many faults were set by command."""
        return len(self._set_by_command)

    def clear_faults(self, positions: Sequence[int], at_ms: int, stream: str | None = None) -> int:
        """End what was set by command at these devices, all of it or the fault of one `stream`.

        Returns how many faults that were, counted at each device.
        """
        count = 0
        for number, assigned in enumerate([*self._set_by_command]):
            chosen = self._meant(assigned.fault, positions)
            schedule, ending = assigned.schedule, assigned.has & chosen
            if stream not in (None, assigned.stream) or not ending.any():
                continue
            if not isinstance(schedule, SingleWindow) or schedule.end_ms <= at_ms:
                continue
            # One that has not begun yet is there for no time at all.
            ended = replace(assigned, schedule=SingleWindow(min(schedule.start_ms, at_ms), at_ms), has=ending)
            self._set_by_command[number] = ended
            parts = [ended]
            if (assigned.has & ~chosen).any():
                # The other devices keep it as it was.
                parts.append(replace(assigned, has=assigned.has & ~chosen))
                self._set_by_command.append(parts[1])
            self._replace(assigned, parts)
            count += int(ending.sum())
        return count

    def faults_of(self, kind: str, position: int) -> list[AssignedFault]:
        """Return all faults that a device of a kind has, now or at other times."""
        everything = [*self.reading_faults(kind), *self.connection_faults(kind)]
        return [assigned for assigned in everything if assigned.has[position]]

    def _meant(self, fault: Fault, positions: Sequence[int]) -> Flags:
        """Return which devices a fault is of that is of these: a device has its faults as a whole."""
        meant = np.zeros(len(self._keys), dtype=np.bool_)
        meant[list(positions)] = True
        if fault.is_executed_live and self._wholes is not None:
            return np.asarray(np.isin(self._wholes, self._wholes[meant]))
        return meant

    def _enlist(self, assigned: AssignedFault) -> None:
        """List a fault under all kinds of which a device has it."""
        lists = self._lists_of(assigned.fault)
        for kind in self._kinds_with(assigned):
            lists.setdefault(kind, []).append(assigned)

    def _kinds_with(self, assigned: AssignedFault) -> set[str]:
        fault = assigned.fault
        if not fault.is_executed_live or self._wholes is None:
            return {fault.kind}
        return {fault.kind, *self._kind_of[assigned.has].tolist()}

    def _lists_of(self, fault: Fault) -> dict[str, list[AssignedFault]]:
        return self._of_connections if fault.is_executed_live else self._of_readings

    def _replace(self, assigned: AssignedFault, parts: Sequence[AssignedFault]) -> None:
        """Put parts in the place of a fault: in lists of their own, as another thread may be going through those."""
        lists = self._lists_of(assigned.fault)
        for kind in self._kinds_with(assigned):
            listed = lists[kind]
            at = listed.index(assigned)
            lists[kind] = [*listed[:at], *parts, *listed[at + 1 :]]


def check_devices(faults: Sequence[Fault], kinds: Mapping[str, str], parts: Mapping[str, Collection[str]]) -> None:
    """Raise `ConfigError` where a fault names a device that the scenario (id -> kind) does not have.

    `parts` are the kinds of the parts of devices that have some, by the id of the device.
    """
    for number, fault in enumerate(faults):
        for device_id in fault.devices:
            if kinds.get(device_id) == fault.kind or fault.kind in parts.get(device_id, ()):
                continue
            what = f"is not the id of a {fault.kind}"
            if device_id in kinds:
                what = f"is a {kinds[device_id]}, not a {fault.kind}"
            elif device_id in parts:
                what = f"has no part that is a {fault.kind}: it has {', '.join(parts[device_id])}"
            raise ConfigError(f"scenario: faults[{number}].devices: '{device_id}' {what}")
