"""Keeps the schedules of single devices that commands change in a live run.

The timeline stays what the scenario says; a device that is told otherwise leaves its group at a moment, and from then
on belongs to another one with a schedule of its own. So whatever was computed before stays true, labels included.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np

from devices.faults.plan import FaultPlan
from devices.faults.schedule import FOREVER_MS
from devices.scenario.device_group import DeviceGroup
from devices.scenario.devices import Device
from devices.sensors.base import Neighbour, boot_number
from devices.timeline.group import AsSeen, Group
from devices.timeline.schedule import OverrideIntervals
from devices.world.world import World


@dataclass(slots=True)
class _Override:
    """Holds from when until when a device is on a schedule of its own."""

    device: Device
    begin_ms: int
    until_ms: int
    base: int
    boot: int
    reset: int
    """The boot that the last reset began; 0 where there was none."""
    lift: int
    """By how much its boots are above those that follow from the time of their beginning."""


class ScheduleOverrides:
    """Keeps the schedules that are no longer the scenario's. All changes are made at moments not yet computed."""

    def __init__(
        self,
        world: World,
        start_ms: int,
        devices: Sequence[Device],
        entries: Sequence[DeviceGroup],
        planned: Sequence[Group],
        faults: FaultPlan | None,
        as_seen: AsSeen,
        neighbours: Mapping[str, Neighbour],
    ) -> None:
        self._world = world
        self._start_ms = start_ms
        self._devices = devices
        self._entries = entries
        self._planned = planned
        self._faults = faults
        self._as_seen = as_seen
        self._neighbours = neighbours
        self._entry_of = {
            position: number for number, group in enumerate(planned) for position in group.positions.tolist()
        }
        # Of each device, its schedules one after the other.
        self._overrides: dict[int, list[_Override]] = {}
        # By entry and how many schedules a device had before; None where it must be built anew.
        self._groups: dict[tuple[int, int], Group | None] = {}
        # Windows are computed in another thread than commands come in.
        self._lock = Lock()

    def interval_ms(self, position: int) -> int:
        """Return how often a device measures now."""
        overrides = self._overrides.get(position)
        return (overrides[-1].device if overrides else self._devices[position]).interval_ms

    def is_stopped(self, position: int) -> bool:
        """Return whether a device has been told to take no readings."""
        overrides = self._overrides.get(position)
        return overrides[-1].until_ms < FOREVER_MS if overrides else not self._is_as_planned(position)

    def set_interval(self, position: int, interval_ms: int, at_ms: int) -> None:
        """Let a device measure this often from an instant on, also where that was stopped; seqs go on."""
        with self._lock:
            self._begin_override(
                position, interval_ms, at_ms, *self._group(position).next_boot_and_seq(position, at_ms)
            )

    def stop_sampling(self, position: int, at_ms: int) -> None:
        """Let a device take no readings from an instant on."""
        with self._lock:
            self._end_override(position, at_ms)

    def resume_sampling(self, position: int, at_ms: int) -> None:
        """Let a device take readings again."""
        self.set_interval(position, self.interval_ms(position), at_ms)

    def reboot_device(self, position: int, at_ms: int, down_ms: int, *, anew: bool = False) -> None:
        """Let a device be down from an instant on, then begin a new boot with seq 0, at the interval as it was.

        With `anew` it is as if it stood somewhere else from then on: what is peculiar to its place is drawn again.
        """
        with self._lock:
            self._end_override(position, at_ms)
            up_ms = at_ms + down_ms
            boot = boot_number(up_ms) + self._lift(position)
            reset = boot if anew else None
            self._begin_override(position, self.interval_ms(position), up_ms, boot, 0, reset)

    def boot_number(self, position: int, at_ms: int) -> int:
        """Return the boot that a device begins where it starts at this moment."""
        with self._lock:
            return int(boot_number(at_ms)) + self._lift(position)

    def silence_since(self, position: int, at_ms: int) -> None:
        """Take back what a device has measured since an instant, also one that is computed already: it was not sent."""
        with self._lock:
            self._planned[self._entry_of[position]].end_schedule(position, at_ms)
            for generation, override in enumerate(self._overrides.get(position, ())):
                override.until_ms = min(override.until_ms, at_ms)
                group = self._groups[self._entry_of[position], generation]
                if group is not None:
                    group.end_schedule(position, at_ms)

    def begin_boot(self, position: int, at_ms: int, least_boot: int) -> int:
        """Let a device begin a boot with seq 0, of this number at the least; return the number.

        All boots that it begins later are greater, though they follow from the time.
        """
        with self._lock:
            boot = max(int(boot_number(at_ms)) + self._lift(position), least_boot)
            lift = boot - int(boot_number(at_ms))
            self._begin_override(position, self.interval_ms(position), at_ms, boot, 0, lift=lift)
            return boot

    def groups(self) -> list[Group]:
        """Return the groups of changed devices."""
        with self._lock:
            for (entry, generation), group in list(self._groups.items()):
                if group is None:
                    self._groups[entry, generation] = self._build(entry, generation)
            return [group for group in self._groups.values() if group is not None]

    def _begin_override(
        self,
        position: int,
        interval_ms: int,
        at_ms: int,
        boot: int,
        base: int,
        reset: int | None = None,
        lift: int | None = None,
    ) -> None:
        self._end_override(position, at_ms)
        device = self._devices[position]
        changed = replace(device, interval_ms=interval_ms)
        overrides = self._overrides.setdefault(position, [])
        if reset is None:
            reset = overrides[-1].reset if overrides else 0
        if lift is None:
            lift = self._lift(position)
        overrides.append(_Override(changed, at_ms, FOREVER_MS, base, boot, reset, lift))
        self._groups[self._entry_of[position], len(overrides) - 1] = None

    def _end_override(self, position: int, at_ms: int) -> None:
        overrides = self._overrides.get(position)
        if overrides:
            overrides[-1].until_ms = min(overrides[-1].until_ms, at_ms)
        self._group(position).end_schedule(position, at_ms)

    def _lift(self, position: int) -> int:
        overrides = self._overrides.get(position)
        return overrides[-1].lift if overrides else 0

    def _group(self, position: int) -> Group:
        """Return the group that a device belongs to now."""
        entry, overrides = self._entry_of[position], self._overrides.get(position)
        if not overrides:
            return self._planned[entry]
        key = entry, len(overrides) - 1
        group = self._groups[key] or self._build(*key)
        self._groups[key] = group
        return group

    def _is_as_planned(self, position: int) -> bool:
        return self._planned[self._entry_of[position]].follows_schedule(position, FOREVER_MS - 1)

    def _build(self, entry: int, generation: int) -> Group:
        members = [
            (position, overrides[generation])
            for position, overrides in sorted(self._overrides.items())
            if len(overrides) > generation and self._entry_of[position] == entry
        ]
        columns = zip(
            *((one.begin_ms, one.until_ms, one.base, one.boot, one.reset, one.lift) for _, one in members), strict=True
        )
        intervals = OverrideIntervals(*(np.array(column, dtype=np.int64) for column in columns))
        kind = self._entries[entry].kind
        reboots = None if self._faults is None else self._faults.reboots(kind, self._start_ms)
        positions, devices = [position for position, _ in members], [override.device for _, override in members]
        group = self._entries[entry]
        return Group(
            self._world,
            self._start_ms,
            group,
            positions,
            devices,
            reboots,
            intervals,
            self._as_seen,
            self._neighbours,
        )
