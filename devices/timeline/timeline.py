"""Tells of a scenario and a window of time who is due when, with which message. Pure: no clock, no broker.

A device is powered on at `start`. Its reading k is due at start + phase + k x interval, the phase drawn from its
id, so a fleet never speaks in chorus. What happens between two readings (a visitor at the door) is due when it
happens. `seq` numbers both together, so it can be told for any window without walking there from the start.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from devices.faults.assigned import AssignedFault
from devices.faults.base import Fault
from devices.faults.bursts import Bursts
from devices.faults.labels import Label
from devices.faults.plan import FaultPlan, Readings, check_devices
from devices.faults.rare_day_labels import assign_rare_days
from devices.faults.transitions import FaultTransition, fault_transitions
from devices.scenario.device_group import DeviceGroup
from devices.scenario.devices import Device, Shard, kinds_by_id
from devices.scenario.kind_places import find_neighbours
from devices.scenario.scenario import Scenario
from devices.scenario.shard_devices import ShardDevices
from devices.sensors.base import boot_number
from devices.sensors.columns import Columns, DictionaryColumn
from devices.sensors.fields import numeric_fields
from devices.sensors.registry import KINDS
from devices.timeline.annotations import Annotations
from devices.timeline.encode import encode_lines
from devices.timeline.formats import make_wire_formats
from devices.timeline.group import Group
from devices.timeline.label_finder import faults_shown, find_labels
from devices.timeline.message_numbers import MessageNumbers, MessageRows, message_rows
from devices.timeline.native_format import NativeFormat
from devices.timeline.overrides import ScheduleOverrides
from devices.timeline.said_numbers import SaidNumbers
from devices.timeline.table import Batch, Table
from devices.timeline.wall_time import PacedTime, with_shown_times
from devices.timeline.wire_format import WireFormat
from devices.world.random import Ints
from devices.world.timestamps import timestamps
from devices.world.world import World
from edgewire.dialects.encoder import Publication
from edgewire.messages import Channel
from edgewire.messages.base import to_device_id

_LABELLED_ROWS = 200_000
"""Readings that are compared at once to find the labels."""
_MOST_SORTED_MS = 2**62
_NATIVE = NativeFormat()


class Timeline:
    """Computes the messages of a scenario, or of a shard of it, for devices powered on at `start_ms`."""

    def __init__(
        self,
        scenario: Scenario,
        start_ms: int,
        shard: Shard | None = None,
        *,
        in_dialects: bool = False,
        only: Collection[str] | None = None,
    ) -> None:
        """Write messages `in_dialects`, as they go on the wire; without that all of them in the native format.

        `only` are the ids of the devices that are wanted, of those in the shard. Raises `ConfigError`.
        """
        self.start_ms = start_ms
        self.boot: int = boot_number(start_ms)
        """The boot of all devices, until one reboots."""
        shard = shard or Shard()
        found = ShardDevices(scenario, shard)
        self._baseline = World.build(
            scenario.seed,
            scenario.sites,
            found.vehicle_sites,
            everywhere=scenario.vehicles,
            version=scenario.world,
            uses=found.vehicle_uses,
        )
        bursts = Bursts(scenario, self._baseline, [device for device, _ in found.everyone] if scenario.faults else [])
        self.world = bursts.world
        mine, self.connection_numbers = found.mine, found.connection_numbers
        """Of each device, the number in the scenario of the connection over which it speaks."""
        if only is not None:
            kept = [at for at, (device, _) in enumerate(mine) if device.device_id in only]
            mine, self.connection_numbers = [mine[at] for at in kept], [self.connection_numbers[at] for at in kept]
        self.devices = tuple(device for device, _ in mine)
        self._entry_of = [group for _, group in mine]
        self._order = _order_of(self.devices)
        rare_days = list(_rare_days(self.world, mine))
        self._faults = None
        if scenario.faults or rare_days:
            everyone = found.everyone if scenario.faults else []
            self._faults = _fault_plan(scenario, everyone, self.devices, bursts, rare_days)
        formats = make_wire_formats(scenario) if in_dialects else {}
        self._formats = [formats.get(id(group), _NATIVE) for group in self._entry_of] if formats else None
        self._has_unsaid = any(one.leaves_out for one in formats.values())
        self._said_numbers = SaidNumbers()
        asks = any(KINDS[group.kind].asks_neighbours for group in scenario.devices)
        sites = [site.name for site in scenario.sites]
        self._neighbours = find_neighbours(found.everyone, sites) if asks else {}
        self._as_planned: list[Group] = []
        for group in scenario.devices:
            positions = [position for position, (_, owner) in enumerate(mine) if owner is group]
            members = [self.devices[position] for position in positions]
            reboots = self._faults.reboots(group.kind, start_ms) if self._faults else None
            self._as_planned.append(
                Group(
                    self.world,
                    start_ms,
                    group,
                    positions,
                    members,
                    reboots,
                    as_seen=self._as_seen,
                    neighbours=self._neighbours,
                )
            )
        # A shard may have no devices, and much is divided by this.
        self.rate_per_s = sum(1000 / device.interval_ms for device in self.devices) or 1e-6
        self._scenario = scenario
        self._overrides: ScheduleOverrides | None = None
        self.shows_delays = False
        """Whether messages of an export say how much later than measured a live run sends them: `network_delay_ms`, and
        the faults that hold them back have labels."""
        self.annotations: Annotations | None = None
        """What is added to the messages of an export."""
        self.paced: PacedTime | None = None
        """The times that messages show where they go out at a pace of their own; windows are then asked for in turn."""

    @classmethod
    def for_export(cls, scenario: Scenario, start_ms: int, shard: Shard | None = None) -> "Timeline":
        """Return one of the message contract, whatever the devices speak live; raises as the constructor.

        Devices whose names are no ids of the contract have those that a bridge makes of them.
        """
        made = cls(scenario, start_ms, shard)
        ids = [to_device_id(device.device_id) for device in made.devices]
        made.devices = tuple(
            device if name == device.device_id else replace(device, device_id=name)
            for name, device in zip(ids, made.devices, strict=True)
        )
        made._order = _order_of(made.devices)
        return made

    def tables(self, from_ms: int, to_ms: int, *, clean: bool = False) -> list[Table]:
        """Return the messages that are sent, due in [from_ms, to_ms), as columns, one table a group and channel.

        With `clean`, the tables of a kind that faults are scheduled for have, behind their own columns, `clean_<field>`
        for every field that a fault can change: what the message would say in good order. `clean_timestamp` is the
        true time, `clean_` columns are there in every window and have the type of their field.
        """
        return [table for table, _ in self._tables(from_ms, to_ms, clean) if len(table.times)]

    def batch(self, from_ms: int, to_ms: int, *, clean: bool = False, lost: bool = False) -> Batch:
        """Return the messages due in [from_ms, to_ms), as the bytes that go on the wire.

        `clean` is as in `tables`; with `lost`, messages that a fault keeps from being sent are there too, their
        payload empty.
        """
        if self._has_unsaid:
            self._said_numbers.begin_window(from_ms, to_ms)
        tables: list[Table] = []
        is_sent: list[bool] = []
        for table, gone in self._tables(from_ms, to_ms, clean):
            parts = [table] if gone is None or not lost else [table, gone]
            tables += parts
            is_sent += [True, False][: len(parts)]
        if not sum(len(table.times) for table in tables):
            return Batch([], [], [], [], [], [], [])
        made = [(table, self._message_rows(table)) for table in tables]
        times = np.concatenate([np.repeat(table.times, messages.per_row) for table, messages in made])
        positions = np.concatenate([np.repeat(table.positions, messages.per_row) for table, messages in made])
        seqs = np.concatenate([messages.seqs for _, messages in made])
        boots = np.concatenate(
            [
                np.repeat(np.broadcast_to(self.boots(table), len(table.times)), messages.per_row)
                for table, messages in made
            ]
        )
        if self._has_unsaid:
            said = np.concatenate([messages.said for _, messages in made])
            seqs = self._said_numbers.renumber(positions, boots, seqs, said)
        order = self.output_order(times, positions, seqs)
        if self._has_unsaid:
            order = order[said[order]]
        if self.paced is not None:
            self.paced.extend(times[order])
        payloads: list[bytes] = []
        for (table, messages), sent in zip(made, is_sent, strict=True):
            payloads += self.encode_table(table) if sent else [b""] * len(messages.seqs)
        channels = [table.channel for table, messages in made for _ in range(len(messages.seqs))]
        addresses = np.concatenate([messages.addresses for _, messages in made])
        rows = order.tolist()
        return Batch(
            times[order].tolist(),
            positions[order].tolist(),
            seqs[order].tolist(),
            [channels[row] for row in rows],
            [payloads[row] for row in rows],
            boots[order].tolist(),
            addresses[order].tolist(),
        )

    def batches(self, from_ms: int, to_ms: int, rows: int) -> Iterator[Batch]:
        """Yield the messages of [from_ms, to_ms) in successive batches of about `rows` each."""
        step = max(1, round(rows / self.rate_per_s * 1000))
        for window in range(from_ms, to_ms, step):
            yield self.batch(window, min(window + step, to_ms))

    def output_order(self, times: Ints, positions: Ints, seqs: Ints) -> Ints:
        """Return the rows in the order of all output: by due time, device id, seq."""
        if not len(times):
            return np.empty(0, dtype=np.int64)
        first, ids = int(times.min()), self._order.take(positions, mode="clip")
        if int(times.max()) - first < _MOST_SORTED_MS // len(self.devices):
            # One number a row, which sorts in a third of the time; seq decides only where these are the same.
            codes = (times - first) * len(self.devices) + ids
            order = np.argsort(codes, kind="stable")
            if (np.diff(codes[order]) > 0).all():
                return np.asarray(order)
        return np.lexsort((seqs, ids, times))

    def encode_table(self, table: Table) -> list[bytes]:
        """Return the payloads of a table, row by row."""
        boots = self.boots(table)
        if isinstance(boots, int):
            return self._encode(table, boots)
        per_row = self._message_rows(table).per_row
        payloads: list[bytes] = [b""] * (len(boots) * per_row)
        for boot in np.unique(boots).tolist():
            rows = np.flatnonzero(boots == boot)
            encoded = self._encode(table.rows(rows), boot)
            for place in range(per_row):
                for row, payload in zip(rows.tolist(), encoded[place::per_row], strict=True):
                    payloads[row * per_row + place] = payload
        return payloads

    def encode_lines(self, tables: Sequence[Table]) -> bytes:
        """Return tables, each in the order of all output, as NDJSON in that order, in the native format.

        A table alone is not taken apart into payloads: it takes an eighth less (traffic) to two fifths (bme280).
        """
        if len(tables) == 1 and self.paced is None:
            table = tables[0]
            boots, columns = self.boots(table), table.columns
            if isinstance(boots, int) and isinstance(columns, dict):
                who = DictionaryColumn(table.positions, [device.device_id for device in self.devices])
                return encode_lines(who, self.timestamps_ms(table), boots, table.seqs, columns)
        payloads = [payload for table in tables for payload in self.encode_table(table)]
        ordered = map(payloads.__getitem__, self.merged_order(tables).tolist())
        return b"\n".join([*ordered, b""])

    def merged_order(self, tables: Sequence[Table]) -> Ints:
        """Return the order of all output of the rows of several tables, one behind the other."""
        if not tables:
            return np.empty(0, dtype=np.int64)
        times, positions, seqs = (
            np.concatenate([getattr(table, name) for table in tables]) for name in ("times", "positions", "seqs")
        )
        return self.output_order(times, positions, seqs)

    def boots(self, table: Table) -> Ints | int:
        """Return the `boot` of each row, or of all."""
        return self.boot if table.boots is None else table.boots

    def timestamps_ms(self, table: Table) -> Ints:
        """Return each row's `timestamp`, ms since 1970 UTC: when it is due, unless a fault sets the clock wrong."""
        if self._faults is None:
            return table.times
        return self._faults.timestamps_ms(table.kind, table.positions, table.times)

    def device_group(self, position: int) -> DeviceGroup:
        """Return the entry of the scenario that a device is from."""
        return self._entry_of[position]

    def wire_format(self, position: int) -> WireFormat:
        """Return the format in which a device writes what it says."""
        return _NATIVE if self._formats is None else self._formats[position]

    def read_now(self, position: int, at_ms: int) -> list[Publication]:
        """Return the messages of a reading that a device takes at an instant because somebody asks for it.

        None of a device whose messages are events, which happen or not.
        """
        owner = next((one for one in self._groups if position in one.positions), None)
        if owner is None or KINDS[owner.kind].channel is Channel.EVENT:
            return []
        columns = owner.sample_in_world(self.world, np.array([position]), np.array([at_ms]))
        table = Table(owner.kind, owner.channel, np.array([at_ms]), np.array([position]), np.array([0]), columns)
        if self._faults is not None and self._faults.reading_faults(owner.kind):
            table, _ = _with_faults(self._faults, owner, table, None)
        topics, parts = self.wire_format(position).topics(self.devices[position]), self._message_rows(table)
        payloads = self.encode_table(table)
        made = zip(parts.addresses.tolist(), payloads, parts.said.tolist(), strict=True)
        return [Publication(topics[at], payload, retain=False) for at, payload, is_said in made if is_said]

    def clean_readings(self, position: int, instants: Sequence[int]) -> list[dict[str, float]]:
        """Return the numbers of the reading that a device took last up to each instant, as they are in good order."""
        # The newest schedule of a device is the one it keeps to; what it had before a change is not looked for.
        owner = next((one for one in reversed(self._groups) if position in one.positions), None)
        if owner is None or not instants:
            return [{} for _ in instants]
        positions = np.full(len(instants), position, dtype=np.int64)
        columns = owner.clean_before(self._baseline, positions, np.array(instants, dtype=np.int64) + 1)
        names = [name for name in numeric_fields(owner.kind) if name in columns]
        values = ([*map(_number, columns[name])] for name in names)
        rows = zip(*values, strict=True) if names else ((),) * len(instants)
        return [{name: value for name, value in zip(names, row, strict=True) if value is not None} for row in rows]

    @property
    def overrides(self) -> ScheduleOverrides:
        """The schedules that commands change in a live run."""
        if self._overrides is None:
            self._overrides = ScheduleOverrides(
                self.world,
                self.start_ms,
                self.devices,
                self._scenario.devices,
                self._as_planned,
                self._faults,
                self._as_seen,
                self._neighbours,
            )
        return self._overrides

    def boot_at(self, position: int, at_ms: int) -> int:
        """Return the boot that a device begins where it starts at this moment of a live run."""
        return int(boot_number(at_ms)) if self._overrides is None else self._overrides.boot_number(position, at_ms)

    @property
    def faults(self) -> FaultPlan:
        """The fault calendar."""
        if self._faults is None:
            self._faults = _plan_of((), self.world.seed, self.devices, ())
        return self._faults

    def boots_at(self, at_ms: int) -> list[tuple[int, int, str]]:
        """Return of each device its boot at this time, when that began, and why."""
        began = [(self.boot, self.start_ms, "power_on")] * len(self.devices)
        for group in self._as_planned if self._faults else ():
            reboots = self.faults.reboots(group.kind, self.start_ms)
            if reboots is None:
                continue
            last = reboots.last_reboot_ms(group.positions, np.full(len(group.positions), at_ms))
            for position, when in zip(group.positions.tolist(), last.tolist(), strict=True):
                if when > self.start_ms:
                    began[position] = boot_number(when), when, reboots.reset_reason(position, when)
        return began

    def fault_transitions(self, from_ms: int, to_ms: int, *, first: bool) -> list[FaultTransition]:
        """Return the faults of devices and links that begin or end in [from_ms, to_ms); with `first`, those that are
        there as it begins too."""
        return (
            list(fault_transitions(self._faults, self._as_planned, from_ms, to_ms, first=first)) if self._faults else []
        )

    def labels(self, from_ms: int, to_ms: int, *, live: bool = False) -> list[Label]:
        """Return the ground truth of the messages due in [from_ms, to_ms): every fault that shows in some of them.

        `first_seq`, `last_seq` and `messages` tell of these messages; start and end are those of the fault itself.
        With `live`, the faults of devices and links are there too, which an export does not show.
        """
        if self._faults is None or not self.devices:
            return []
        step = max(1000, round(_LABELLED_ROWS / self.rate_per_s * 1000))
        begins = range(max(from_ms, self.start_ms), to_ms, step)
        windows = [(begin, min(begin + step, to_ms)) for begin in begins]
        names = [device.device_id for device in self.devices]
        numbers = self._message_numbers(from_ms, to_ms)
        return find_labels(
            self._faults, self._groups, names, self.boot, windows, numbers, live=live, delays=self.shows_delays
        )

    def _message_numbers(self, from_ms: int, to_ms: int) -> MessageNumbers:
        return MessageNumbers(
            self.wire_format, self._as_sent, self._groups, max(from_ms, self.start_ms), to_ms, self.boot
        )

    def _encode(self, table: Table, boot: int) -> list[bytes]:
        if not len(table.positions):
            return []
        devices = [self.devices[position] for position in table.positions.tolist()]
        # A table is of one group, and so of one format.
        wire_format = self.wire_format(int(table.positions[0]))
        stamps = self.timestamps_ms(table)
        if self.paced is not None:
            error = stamps - table.times
            table, stamps = with_shown_times(table, error, self.paced), self.paced(table.times) + error
        return wire_format.encode(table, devices, stamps, boot)

    def _message_rows(self, table: Table) -> MessageRows:
        """Return the numbers and addresses of the messages that are made of a table."""
        # A table is of one group, and so of one format.
        return message_rows(self.wire_format(int(table.positions[0])) if len(table.positions) else _NATIVE, table)

    def _as_sent(self, group: Group, table: Table) -> list[Table]:
        """Return a table as faults leave it, and its rows that they keep from being sent."""
        if self._faults is None or not self._faults.reading_faults(group.kind):
            return [table]
        sent, gone = _with_faults(self._faults, group, table, None)
        return [sent] if gone is None else [sent, gone]

    def _as_seen(self, group: Group, positions: Ints, times: Ints, columns: Columns) -> Columns:
        """Return readings as the firmware of their devices has them: with the faults of sensors."""
        if self._faults is None or not self._faults.reading_faults(group.kind):
            return columns
        readings = Readings(group.kind, positions, times, columns)
        return self._faults.apply_to_readings(readings, group)[0]

    @property
    def _groups(self) -> list[Group]:
        return self._as_planned if self._overrides is None else self._as_planned + self._overrides.groups()

    def _tables(self, from_ms: int, to_ms: int, clean: bool) -> Iterator[tuple[Table, Table | None]]:
        """Yield of every group and channel what is sent, and what a fault keeps from being sent."""
        from_ms = max(from_ms, self.start_ms)
        for group in self._groups:
            shown: dict[tuple[int, int, int], list[str]] = {}
            if self.annotations and self.annotations.has_faults and self._faults is not None:
                numbers = self._message_numbers(from_ms, to_ms)
                shown = faults_shown(self._faults, group, self.boot, from_ms, to_ms, numbers, delays=self.shows_delays)
            for table in group.tables(from_ms, to_ms):
                sent, gone = table, None
                if self._faults is not None and self._faults.reading_faults(group.kind):
                    sent, gone = _with_faults(self._faults, group, table, self._baseline if clean else None)
                sent = self._with_delays(sent) if self.shows_delays else sent
                yield self._annotated(sent, shown) if self.annotations else sent, gone

    def _annotated(self, table: Table, faults: dict[tuple[int, int, int], list[str]]) -> Table:
        assert self.annotations is not None, "nothing is to be added"
        boots = np.broadcast_to(self.boots(table), len(table.times))
        added = self.annotations.add(replace(table, boots=boots), self.devices, self.world, faults)
        return replace(added, boots=table.boots)

    def _with_delays(self, table: Table) -> Table:
        delay = self.faults.network_delay_ms(table.kind, table.positions, table.times)
        if not isinstance(table.columns, dict):
            rows = zip(table.columns, delay.tolist(), strict=True)
            return replace(table, columns=[row | {"network_delay_ms": late} for row, late in rows])
        return replace(table, columns=table.columns | {"network_delay_ms": delay})


def _number(value: Any) -> float | None:
    return None if value is None else round(float(value), 9)


def _with_faults(plan: FaultPlan, group: Group, table: Table, clean: World | None) -> tuple[Table, Table | None]:
    """Return a table as the devices send it, and its rows that they do not; `clean` is the world without faults."""
    gone = plan.lost(table.kind, table.positions, table.times)
    missing = None
    if gone.any():
        missing, table = table.rows(np.flatnonzero(gone)), table.rows(np.flatnonzero(~gone))
    kind, positions, times, columns = table.kind, table.positions, table.times, table.columns
    if not isinstance(columns, dict):
        rows, _ = plan.apply_to_events(kind, positions, times, columns)
        if clean is not None and "timestamp" in plan.affected_fields(kind):
            rows = [row | {"clean_timestamp": text} for row, text in zip(rows, timestamps(times), strict=True)]
        return replace(table, columns=rows), missing
    disturbed, _ = plan.apply_to_readings(Readings(kind, positions, times, columns), group)
    if clean is not None and len(times):
        true = columns if not plan.changes_world(kind) else group.sample_in_world(clean, positions, times)
        true = true | {"timestamp": timestamps(times)}
        disturbed |= {f"clean_{name}": true[name] for name in plan.affected_fields(kind) if name in true}
    return replace(table, columns=disturbed), missing


def _fault_plan(
    scenario: Scenario,
    everyone: Sequence[tuple[Device, DeviceGroup]],
    mine: Sequence[Device],
    bursts: Bursts,
    rare_days: Iterable[AssignedFault],
) -> FaultPlan:
    check_devices(scenario.faults, *kinds_by_id(device for device, _ in everyone))
    return _plan_of(scenario.faults, scenario.seed, mine, bursts.assigned_to(mine), rare_days)


def _order_of(devices: Sequence[Device]) -> Ints:
    """Return the place of each device in the order of their ids."""
    return np.argsort(np.argsort([device.device_id for device in devices], kind="stable"))


def _rare_days(world: World, mine: Sequence[tuple[Device, DeviceGroup]]) -> Iterator[AssignedFault]:
    numbers = {site.name: number for number, site in enumerate(world.sites)}
    sites = np.array([numbers[device.site] for device, _ in mine], dtype=np.int64)
    by_us = np.array([group.replay is None for _, group in mine], dtype=np.bool_)
    return assign_rare_days(world, [device.kind for device, _ in mine], sites, by_us)


def _plan_of(
    faults: Sequence[Fault],
    seed: int,
    mine: Sequence[Device],
    bursts: Iterable[AssignedFault],
    rare_days: Iterable[AssignedFault] = (),
) -> FaultPlan:
    keys = np.array([device.key for device in mine], dtype=np.uint64)
    ids, kinds = [device.device_id for device in mine], [device.kind for device in mine]
    connections, wholes = None, None
    if any(device.gateway is not None or device.host is not None for device in mine):
        connections = np.array([device.carrier_key for device in mine], dtype=np.uint64)
    if any(device.host is not None for device in mine):
        wholes = np.array([device.whole_key for device in mine], dtype=np.uint64)
    whole_ids = [] if wholes is None else [device.whole_id for device in mine]
    return FaultPlan(faults, seed, ids, kinds, keys, bursts, rare_days, connections, wholes, whole_ids)
