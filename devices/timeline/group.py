"""Groups, the devices of one entry of a scenario: their readings as columns, numbered, in a window of time.

Knows nothing of faults: these are the readings of devices in good order. Of devices that report on change they are
those that are published (`change_reports`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from devices.faults.reboots import RebootSchedule
from devices.faults.schedule import NEVER_MS
from devices.replay.player import Played, ReplayPlayer
from devices.replay.sensor import ReplaySensor
from devices.scenario.device_group import DeviceGroup
from devices.scenario.working_hours import ActiveWindows
from devices.sensors.base import (
    AsksPlaces,
    EventSensor,
    HasLookback,
    Neighbour,
    Population,
    ReadsSky,
    boot_number,
)
from devices.sensors.columns import Columns, concat_columns
from devices.sensors.registry import KINDS
from devices.timeline.change_reports import ChangeReports, compared_values
from devices.timeline.schedule import Due, Member, OverrideIntervals, Schedule
from devices.timeline.table import Table
from devices.world.random import Floats, Ints
from devices.world.world import World
from edgewire.messages import Channel

AsSeen = Callable[["Group", Ints, Ints, Columns], Columns]
"""Makes of readings of a group, by position and time, what its devices take them for."""
_ROWS_AHEAD, _LONGEST_AHEAD_MS = 64, 600_000
"""Where small windows follow one another, as in a live run, so many readings are computed at once: one alone costs as
much as these together. At the most those of ten minutes."""


class Group:
    """The devices of one entry of the scenario that belong to this shard."""

    def __init__(
        self,
        world: World,
        start_ms: int,
        group: DeviceGroup,
        positions: Sequence[int],
        devices: Sequence[Member],
        reboots: RebootSchedule | None = None,
        overrides: OverrideIntervals | None = None,
        as_seen: AsSeen | None = None,
        neighbours: Mapping[str, Neighbour] | None = None,
    ) -> None:
        """Devices that report on change compare their readings `as_seen`, with what sensors' faults make of them."""
        kind = KINDS[group.kind]
        self.kind = group.kind
        self.positions = np.array(positions, dtype=np.int64)
        """Those of its devices in the timeline, ascending."""
        player = _player(group, world.seed, start_ms, devices)
        self._schedule = Schedule(
            world.seed,
            start_ms,
            devices,
            group.jitter,
            overrides,
            # What a command sets is one interval for all readings.
            cycle_ms=group.intervals if all(device.interval_ms == group.interval for device in devices) else (),
            windows=_active_windows(group, player),
        )
        self._reboots = reboots
        self._world = world
        self._start_ms = start_ms
        self._everyone = np.arange(len(devices), dtype=np.int64)
        self.channel = kind.channel
        site_index = {site.name: index for index, site in enumerate(world.sites)}
        population = Population(
            keys=np.array([device.key for device in devices], dtype=np.uint64),
            sites=np.array([site_index[device.site] for device in devices], dtype=np.int64),
            interval_ms=self._schedule.interval_ms,
            ordinals=np.array([device.ordinal for device in devices], dtype=np.int64),
            powered_on_ms=start_ms,
            resets=None if overrides is None else overrides.reset,
            neighbours=neighbours or {},
            recorded=player,
        )
        self._ahead_ms = min(round(_ROWS_AHEAD / self._schedule.rate_per_ms), _LONGEST_AHEAD_MS)
        self._answered_to_ms: int | None = None
        self._known: tuple[int, int, Table] | None = None
        self._rows_at_once = kind.rows_at_once
        self._sensor = kind.sensor(kind.settings(**group.settings), population)
        if player is not None and not kind.recorded:
            self._sensor = ReplaySensor(self._sensor, player)
        if isinstance(self._sensor, AsksPlaces):
            self._sensor.check_places(world)
        self._as_seen = as_seen
        self._reports: ChangeReports | None = None
        if group.on_change is not None:
            booted_ms = None if reboots is None else self._booted_ms
            self._reports = ChangeReports(
                group.on_change, compared_values(group), self._schedule, self._compared_columns, booted_ms
            )

    @property
    def overrides(self) -> OverrideIntervals | None:
        """The intervals in which each device keeps to the schedule, where commands changed that."""
        return self._schedule.overrides

    @property
    def reports_on_change(self) -> bool:
        """Return whether readings are published only where they differ."""
        return self._reports is not None

    @property
    def lookback_ms(self) -> int:
        """Return how much of the past its readings tell of at the most."""
        return self._sensor.lookback_ms if isinstance(self._sensor, HasLookback) else 0

    def tables(self, from_ms: int, to_ms: int) -> Iterator[Table]:
        """Yield what these devices have to say in [from_ms, to_ms)."""
        if not len(self._everyone) or to_ms <= from_ms or not self._schedule.is_active(from_ms, to_ms):
            return
        follows, self._answered_to_ms = from_ms == self._answered_to_ms, to_ms
        if isinstance(self._sensor, EventSensor) or not follows or to_ms - from_ms >= self._ahead_ms:
            yield from self._tables(self._everyone, from_ms, to_ms)
        else:
            yield self._ahead(from_ms, to_ms)

    def tables_in_windows(self, positions: Ints, from_ms: Ints, to_ms: Ints) -> Iterator[tuple[Ints, Table]]:
        """Yield the same for one device and window of time each; beside each table, which window its rows are from."""
        owners = np.searchsorted(self.positions, positions)
        if isinstance(self._sensor, EventSensor):
            for window, (owner, begin, end) in enumerate(zip(owners, from_ms.tolist(), to_ms.tolist(), strict=True)):
                for table in self._tables(np.array([owner]), begin, end):
                    yield np.full(len(table.times), window), table
        elif len(owners):
            windows, table = self._readings_due(owners, self._schedule.due_in(owners, from_ms, to_ms))
            table, kept = self._numbered(owners[windows], table)
            yield windows[kept], table

    def last_reading_before(self, positions: Ints, instants: Ints) -> Columns:
        """Return the reading that each device took last before an instant, if need be before it was powered on."""
        owners = np.searchsorted(self.positions, positions)
        return self._sensor.sample(self._world, owners, self._schedule.last_due_before(owners, instants))

    def read_searching(self, positions: Ints, times: Ints, unfound: Floats) -> Columns:
        """Return what the receivers of these devices read while they have yet to find this share of the satellites.

        There are no columns where what is said of the sky is played back, or they have no receivers.
        """
        if not isinstance(self._sensor, ReadsSky):
            return {}
        return self._sensor.sample_searching(self._world, np.searchsorted(self.positions, positions), times, unfound)

    def clean_before(self, world: World, positions: Ints, instants: Ints) -> Columns:
        """Return what these devices would read in another world when they took a reading last before an instant."""
        owners = np.searchsorted(self.positions, positions)
        return self._sampled(world, owners, self._schedule.last_due_before(owners, instants))

    def sample_in_world(self, world: World, positions: Ints, times: Ints) -> Columns:
        """Return what these devices would read at these times in another world."""
        return self._sampled(world, np.searchsorted(self.positions, positions), times)

    def next_boot_and_seq(self, position: int, at_ms: int) -> tuple[int, int]:
        """Return boot and seq of the first message that a device would have from an instant on."""
        owner = np.searchsorted(self.positions, [position])
        instant = np.array([at_ms])
        begin_ms, boot, base, lift = self._start_ms, boot_number(self._start_ms), 0, 0
        if (own := self.overrides) is not None:
            parts = own.begin_ms, own.boot, own.base, own.lift
            begin_ms, boot, base, lift = (int(part[owner[0]]) for part in parts)
        count = int(self._count(owner, instant)[0])
        booted_ms = NEVER_MS
        if self._reboots is not None:
            booted_ms = int(self._reboots.last_reboot_ms(self.positions[owner], instant)[0])
        if booted_ms <= begin_ms:
            return boot, base + count
        return boot_number(booted_ms) + lift, count - int(self._count(owner, np.array([booted_ms]))[0])

    def follows_schedule(self, position: int, at_ms: int) -> bool:
        """Return whether a device keeps to this schedule at an instant."""
        return self._schedule.is_followed(int(np.searchsorted(self.positions, position)), at_ms)

    def end_schedule(self, position: int, at_ms: int) -> None:
        """Let a device keep to this schedule no longer than up to an instant."""
        self._schedule.end_at(int(np.searchsorted(self.positions, position)), at_ms)

    # -- readings

    def _ahead(self, from_ms: int, to_ms: int) -> Table:
        """Return the readings of a small window out of a longer one, which is computed once for many of this size."""
        known = self._known
        if known is None or not known[0] <= from_ms <= to_ms <= known[1]:
            end_ms = from_ms + self._ahead_ms
            due = self._schedule.due_in(self._everyone, from_ms, end_ms)
            owners, table = self._readings_due(self._everyone, due, goes_on=True)
            self._known = known = from_ms, end_ms, self._numbered(owners, table)[0]
        table = known[2]
        inside = (table.times >= from_ms) & (table.times < to_ms)
        if self.overrides is not None:
            # A command may have ended a schedule since.
            inside &= table.times < self.overrides.until_ms[np.searchsorted(self.positions, table.positions)]
        return table.rows(np.flatnonzero(inside))

    def _tables(self, owners: Ints, from_ms: int, to_ms: int) -> Iterator[Table]:
        if not isinstance(self._sensor, EventSensor):
            window, table = self._readings_due(owners, self._schedule.due_in(owners, from_ms, to_ms), goes_on=True)
            yield self._numbered(owners[window], table)[0]
            return
        for some, start_ms, begin_ms, end_ms in self._schedule.split_by_override(owners, from_ms, to_ms):
            for who, table in self._readings_and_events(self._sensor, some, start_ms, begin_ms, end_ms):
                yield self._numbered(who, table)[0]

    def _readings_due(self, owners: Ints, due: Due, *, goes_on: bool = False) -> tuple[Ints, Table]:
        """Return those of the readings due that are published, and beside them the window of each."""
        window, times = due.window, due.times
        if self._reports is None:
            return window, self._readings(owners[window], times)
        counts = np.bincount(window, minlength=len(owners))
        said = self._reports.select(owners, due.first, counts, goes_on=goes_on)
        window = window[said.rows]
        return window, self._readings(owners[window], times[said.rows], said.seqs)

    def _compared_columns(self, owners: Ints, times: Ints) -> Columns:
        columns = self._sampled(self._world, owners, times)
        return columns if self._as_seen is None else self._as_seen(self, self.positions[owners], times, columns)

    def _booted_ms(self, owners: Ints, times: Ints) -> Ints:
        assert self._reboots is not None
        return self._reboots.last_reboot_ms(self.positions[owners], times)

    def _readings(self, owners: Ints, times: Ints, seqs: Ints | None = None) -> Table:
        columns = self._sampled(self._world, owners, times)
        if seqs is None:
            seqs = self._schedule.numbers_at(owners, times)
        return Table(self.kind, self.channel, times, self.positions[owners], seqs, columns)

    def _readings_and_events(
        self, sensor: EventSensor, owners: Ints, start_ms: int, from_ms: int, to_ms: int
    ) -> Iterator[tuple[Ints, Table]]:
        """Yield the readings and the events, and beside each table the device of each row."""
        due = self._schedule.due_in(owners, from_ms, to_ms)
        before = sensor.event_count(self._world, owners, start_ms, from_ms)
        events = sensor.events(self._world, owners, from_ms, to_ms)
        # Within one device: by time, what happened before the reading of the same millisecond.
        who = np.concatenate([events.owner, due.window])
        times = np.concatenate([events.time_ms, due.times])
        is_reading = np.arange(len(who)) >= len(events.owner)
        order = np.lexsort((is_reading, times, who))
        begins = np.searchsorted(who[order], np.arange(len(owners)))
        seqs = np.empty(len(order), dtype=np.int64)
        seqs[order] = np.arange(len(order)) + (due.first + before - begins)[who[order]]
        split = len(events.owner)
        yield owners[due.window], self._readings(owners[due.window], due.times, seqs[split:])
        there = owners[events.owner]
        table = Table(self.kind, Channel.EVENT, events.time_ms, self.positions[there], seqs[:split], events.fields)
        yield there, table

    def _sampled(self, world: World, owners: Ints, times: Ints) -> Columns:
        """Return the readings of each of these devices at each of these times."""
        step = self._rows_at_once
        parts = [
            self._sensor.sample(world, owners[start : start + step], times[start : start + step])
            for start in range(0, len(owners), step)
        ]
        if len(parts) < 2:
            return parts[0] if parts else {}
        return {name: concat_columns([part[name] for part in parts]) for name in parts[0]}

    # -- numbering

    def _numbered(self, owners: Ints, table: Table) -> tuple[Table, Ints]:
        """Number a table since the last reboot, less what devices that are down do not measure; and the rows kept."""
        kept = np.arange(len(owners))
        overrides, reboots = self.overrides, self._reboots
        counted = table.seqs
        if overrides is not None:
            table = replace(table, seqs=counted + overrides.base[owners], boots=overrides.boot[owners])
        if reboots is None or not len(owners):
            return table, kept
        kept = np.flatnonzero(~reboots.is_down(table.positions, table.times))
        if len(kept) < len(owners):
            table, owners, counted = table.rows(kept), owners[kept], counted[kept]
        since = reboots.last_reboot_ms(table.positions, table.times)
        rows = np.flatnonzero(since > (self._start_ms if overrides is None else overrides.begin_ms[owners]))
        seqs = table.seqs.copy()
        boots = np.full(len(owners), boot_number(self._start_ms)) if table.boots is None else table.boots.copy()
        seqs[rows] = counted[rows] - self._count(owners[rows], since[rows])
        boots[rows] = boot_number(since[rows]) + (0 if overrides is None else overrides.lift[owners[rows]])
        return replace(table, seqs=seqs, boots=boots), kept

    def _count(self, owners: Ints, instants: Ints) -> Ints:
        """Return how many messages each device had before an instant, since this schedule began."""
        begin_ms = np.full(len(owners), self._start_ms)
        if self.overrides is not None:
            begin_ms = self.overrides.begin_ms[owners]
            instants = np.minimum(instants, self.overrides.until_ms[owners])
        count = np.maximum(self._schedule.first_number_from(owners, instants), 0)
        if self._reports is not None:
            return self._reports.count(owners, count)
        if isinstance(self._sensor, EventSensor):
            # In the order of time: a sensor that counts from the beginning goes on from its last answer.
            asked = set(zip(instants.tolist(), begin_ms.tolist(), owners.tolist(), strict=True))
            for instant, begin, owner in sorted(asked):
                events = self._sensor.event_count(self._world, np.array([owner]), begin, max(begin, instant))
                count[(owners == owner) & (instants == instant)] += events[0]
        return count


def _player(group: DeviceGroup, seed: int, start_ms: int, devices: Sequence[Member]) -> ReplayPlayer | None:
    if group.replay is None:
        return None
    played = [Played(device.device_id, device.place, device.key) for device in devices]
    return ReplayPlayer(group.replay, KINDS[group.kind], seed, start_ms, played)


def _active_windows(group: DeviceGroup, player: ReplayPlayer | None) -> ActiveWindows | None:
    if group.working_hours is not None:
        return group.working_hours.windows(group.timezone)
    if player is None or player.span is None:
        return None
    begin_ms, end_ms = player.span
    return ActiveWindows(np.array([begin_ms]), np.array([end_ms]))
