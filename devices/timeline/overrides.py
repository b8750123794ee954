"""What commands change in a live run: the schedules of single devices.

The timeline stays what the scenario says; a device that is told otherwise leaves its group at a moment, and from then
on belongs to another one with a schedule of its own. So whatever was computed before stays true, labels included.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np

from devices.faults.plan import FaultPlan
from devices.faults.schedule import FOREVER_MS
from devices.scenario.devices import Device
from devices.scenario.scenario import DeviceGroup
from devices.sensors.base import boot_number
from devices.timeline.group import Group
from devices.timeline.schedule import OverrideIntervals
from devices.world.world import World


@dataclass(slots=True)
class _Span:
    """A device on a schedule of its own."""

    device: Device
    begin_ms: int
    until_ms: int
    base: int
    boot: int


class ScheduleOverrides:
    """The schedules that are no longer the scenario's. All changes are made at moments not yet computed."""

    def __init__(
        self,
        world: World,
        start_ms: int,
        devices: Sequence[Device],
        entries: Sequence[DeviceGroup],
        planned: Sequence[Group],
        faults: FaultPlan | None,
    ) -> None:
        self._world = world
        self._start_ms = start_ms
        self._devices = devices
        self._entries = entries
        self._planned = planned
        self._faults = faults
        self._entry_of = {
            position: number for number, group in enumerate(planned) for position in group.positions.tolist()
        }
        # Of each device, its schedules one after the other.
        self._spans: dict[int, list[_Span]] = {}
        # By entry and how many schedules a device had before; None where it must be built anew.
        self._groups: dict[tuple[int, int], Group | None] = {}
        # Windows are computed in another thread than commands come in.
        self._lock = Lock()

    def interval_ms(self, position: int) -> int:
        """How often a device measures now."""
        spans = self._spans.get(position)
        return (spans[-1].device if spans else self._devices[position]).interval_ms

    def is_stopped(self, position: int) -> bool:
        """Whether a device has been told to take no readings."""
        spans = self._spans.get(position)
        return spans[-1].until_ms < FOREVER_MS if spans else not self._holds_forever(position)

    def set_interval(self, position: int, interval_ms: int, at_ms: int) -> None:
        """Measure this often from an instant on, also where that was stopped; seqs go on."""
        with self._lock:
            self._begin(position, interval_ms, at_ms, *self._group(position).next_message(position, at_ms))

    def stop_sampling(self, position: int, at_ms: int) -> None:
        """Take no readings from an instant on."""
        with self._lock:
            self._end(position, at_ms)

    def resume_sampling(self, position: int, at_ms: int) -> None:
        """Take readings again."""
        self.set_interval(position, self.interval_ms(position), at_ms)

    def reboot_device(self, position: int, at_ms: int, down_ms: int) -> None:
        """Be down from an instant on, then begin a new boot with seq 0, at the interval as it was."""
        with self._lock:
            self._end(position, at_ms)
            up_ms = at_ms + down_ms
            self._begin(position, self.interval_ms(position), up_ms, boot_number(up_ms), 0)

    def groups(self) -> list[Group]:
        """The groups of changed devices."""
        with self._lock:
            for (entry, generation), group in list(self._groups.items()):
                if group is None:
                    self._groups[entry, generation] = self._build(entry, generation)
            return [group for group in self._groups.values() if group is not None]

    def _begin(self, position: int, interval_ms: int, at_ms: int, boot: int, base: int) -> None:
        self._end(position, at_ms)
        device = self._devices[position]
        changed = replace(device, interval_ms=interval_ms, phase_ms=device.key % interval_ms)
        spans = self._spans.setdefault(position, [])
        spans.append(_Span(changed, at_ms, FOREVER_MS, base, boot))
        self._groups[self._entry_of[position], len(spans) - 1] = None

    def _end(self, position: int, at_ms: int) -> None:
        spans = self._spans.get(position)
        if spans:
            spans[-1].until_ms = min(spans[-1].until_ms, at_ms)
        self._group(position).end_schedule(position, at_ms)

    def _group(self, position: int) -> Group:
        """The one that a device belongs to now."""
        entry, spans = self._entry_of[position], self._spans.get(position)
        if not spans:
            return self._planned[entry]
        key = entry, len(spans) - 1
        group = self._groups[key] or self._build(*key)
        self._groups[key] = group
        return group

    def _holds_forever(self, position: int) -> bool:
        return self._planned[self._entry_of[position]].follows_schedule(position, FOREVER_MS - 1)

    def _build(self, entry: int, generation: int) -> Group:
        members = [
            (position, spans[generation])
            for position, spans in sorted(self._spans.items())
            if len(spans) > generation and self._entry_of[position] == entry
        ]
        columns = zip(*((span.begin_ms, span.until_ms, span.base, span.boot) for _, span in members), strict=True)
        spans = OverrideIntervals(*(np.array(column, dtype=np.int64) for column in columns))
        kind = self._entries[entry].kind
        reboots = None if self._faults is None else self._faults.reboots(kind, self._start_ms)
        positions, devices = [position for position, _ in members], [span.device for _, span in members]
        return Group(self._world, self._start_ms, self._entries[entry], positions, devices, reboots, spans)
