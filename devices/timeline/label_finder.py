"""Finds the ground truth: for each time that a fault affects a device, the messages that show it.

A message shows a fault if it would be another one, or would have been sent, without it. So the faulty stretches, and
only those, are computed with the fault and compared with what they were a step before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from devices.faults.assigned import AssignedFault
from devices.faults.labels import Label
from devices.faults.plan import FaultPlan, Readings
from devices.faults.rows import differing_rows
from devices.faults.schedule import FOREVER_MS, Windows
from devices.timeline.group import Group
from devices.timeline.message_numbers import MessageNumbers
from devices.timeline.table import Table
from devices.world.random import Ints


@dataclass(slots=True)
class _Found:
    """Counts the messages that show one fault at one device at one time, within one boot."""

    end_ms: int
    first_seq: int | None = None
    last_seq: int | None = None
    messages: int = 0

    def add(self, seqs: Ints) -> None:
        """Count these messages, if any."""
        if not len(seqs):
            return
        first, last = int(seqs.min()), int(seqs.max())
        self.first_seq = first if self.first_seq is None else min(self.first_seq, first)
        self.last_seq = last if self.last_seq is None else max(self.last_seq, last)
        self.messages += len(seqs)


class _Showing(NamedTuple):
    """Names the messages of one boot of a device that show a fault, which is there from its start to its end."""

    position: int
    start_ms: int
    end_ms: int
    boot: int
    seqs: Ints


def find_labels(
    plan: FaultPlan,
    groups: Sequence[Group],
    device_ids: Sequence[str],
    boot: int,
    windows: Sequence[tuple[int, int]],
    numbers: MessageNumbers,
    *,
    live: bool = False,
    delays: bool = False,
) -> list[Label]:
    """Return the labels of all faults that messages due in these successive windows show, by start, device, calendar.

    `boot` is that of the messages that have none of their own. With `live`, faults of links are there too, with the
    messages that were due meanwhile, if any; with `delays` those of them that hold messages back.
    """
    labels: dict[tuple[int, str, int, int], Label] = {}
    faults = 0
    for group in groups:
        for number, assigned in enumerate(_labelled_faults(plan, group.kind, live=live, delays=delays)):
            found: dict[tuple[int, int, int], _Found] = {}
            for begin, end in windows:
                for one in _showing(plan, group, assigned, boot, begin, end, numbers):
                    found.setdefault((one.position, one.start_ms, one.boot), _Found(one.end_ms)).add(one.seqs)
                if assigned.fault.is_executed_live or group.reports_on_change:
                    _add_unseen(found, group, assigned, boot, begin, end)
            fields = _fields(assigned, group, min(key[1] for key in found)) if found else ()
            for (position, start_ms, in_boot), span in found.items():
                faults += 1
                label = _label(assigned, fields, device_ids[position], group.kind, in_boot, start_ms, span)
                labels[start_ms, label.device_id, number, faults] = label
    return [labels[key] for key in sorted(labels)]


def faults_shown(
    plan: FaultPlan, group: Group, boot: int, from_ms: int, to_ms: int, numbers: MessageNumbers, *, delays: bool
) -> dict[tuple[int, int, int], list[str]]:
    """Return the types of the faults that each message due in [from_ms, to_ms) shows, by position, boot and seq.

    They are those that the labels tell of; messages without any are not there.
    """
    found: dict[tuple[int, int, int], list[str]] = {}
    for assigned in _labelled_faults(plan, group.kind, live=False, delays=delays):
        for one in _showing(plan, group, assigned, boot, from_ms, to_ms, numbers):
            for seq in one.seqs.tolist():
                types = found.setdefault((one.position, one.boot, seq), [])
                if assigned.fault.type_name not in types:
                    types.append(assigned.fault.type_name)
    return found


def _labelled_faults(plan: FaultPlan, kind: str, *, live: bool, delays: bool) -> list[AssignedFault]:
    # Faults of links are numbered behind the others of the kind.
    connection = [
        one
        for one in plan.connection_faults(kind)
        if live or one.fault.shows_in_exports or (delays and one.fault.holds_messages)
    ]
    return [*plan.reading_faults(kind), *connection, *plan.rare_days(kind)]


def _add_unseen(
    found: dict[tuple[int, int, int], _Found],
    group: Group,
    assigned: AssignedFault,
    boot: int,
    from_ms: int,
    to_ms: int,
) -> None:
    """Add the times of a fault of a device or its link in which no message was due: they are labelled all the same."""
    labelled = {(position, start_ms) for position, start_ms, _ in found}
    positions, windows = assigned.windows_between(group.positions, from_ms, to_ms)
    for position, start_ms, end_ms in zip(*(part.tolist() for part in (positions, *windows)), strict=True):
        if start_ms == end_ms:
            continue  # it was ended before it began
        if (position, start_ms) not in labelled and group.follows_schedule(position, max(start_ms, from_ms)):
            # A reset is labelled with the boot that begins with it.
            in_boot = group.next_boot_and_seq(position, end_ms if assigned.fault.reset_reason else start_ms)[0]
            found[position, start_ms, in_boot] = _Found(end_ms)


def _showing(
    plan: FaultPlan,
    group: Group,
    assigned: AssignedFault,
    boot: int,
    from_ms: int,
    to_ms: int,
    numbers: MessageNumbers,
) -> Iterator[_Showing]:
    """Yield the messages due in [from_ms, to_ms) that show a fault, by device, beginning of the fault, and boot."""
    # How a vehicle was driven is told by the reading after it too.
    trail_ms = max(assigned.fault.trail_ms, group.lookback_ms if assigned.worlds is not None else 0)
    positions, windows = assigned.windows_between(group.positions, from_ms, to_ms, trail_ms)
    begins = np.maximum(windows.start, from_ms)
    ends = np.minimum(_shown_until(positions, windows, trail_ms), to_ms)
    for window, table in group.tables_in_windows(positions, begins, ends):
        boots = np.full(len(window), boot) if table.boots is None else table.boots
        rows = _shown_by(plan, group, assigned, table)
        if not isinstance(table.columns, dict):
            # What happens between readings tells of its own moment, readings of the time before them as well.
            rows = rows[table.times[rows] < windows.end[window[rows]]]
        shown = numbers.made_of(group, table, rows, assigned.fault.affected_fields)
        if shown is None:
            continue
        if assigned.fault.is_executed_live:
            shown = shown.select(assigned.struck_messages(table.positions[shown.rows], boots[shown.rows], shown.seqs))
        shown = shown.select(np.lexsort((shown.seqs, boots[shown.rows], window[shown.rows])))
        both = np.stack([window[shown.rows], boots[shown.rows]])
        _, starts = np.unique(both, axis=1, return_index=True)
        # Without any message there are no starts, and one stop.
        stops = [*starts[1:].tolist(), len(shown.rows)]
        for first, stop in zip(starts.tolist(), stops, strict=False):
            row = shown.rows[first]
            at = window[row]
            start_ms, end_ms = int(windows.start[at]), int(windows.end[at])
            yield _Showing(int(positions[at]), start_ms, end_ms, int(boots[row]), shown.seqs[first:stop])
        for row in shown.silent.tolist():
            at = window[row]
            start_ms, end_ms = int(windows.start[at]), int(windows.end[at])
            yield _Showing(int(positions[at]), start_ms, end_ms, int(boots[row]), shown.seqs[:0])


def _shown_until(positions: Ints, windows: Windows, trail_ms: int) -> Ints:
    """Return until when readings can show these windows, device by device: at the longest until the next begins."""
    end = np.minimum(windows.end, FOREVER_MS - trail_ms) + trail_ms
    before_another = np.flatnonzero(positions[1:] == positions[:-1])
    end[before_another] = np.minimum(end[before_another], windows.start[before_another + 1])
    return np.asarray(end)


def _shown_by(plan: FaultPlan, group: Group, assigned: AssignedFault, table: Table) -> Ints:
    """Return the rows of a table that show the fault; one of a link strikes some of the messages made of them."""
    if assigned.fault.is_executed_live:
        return np.flatnonzero(~plan.lost(table.kind, table.positions, table.times))
    if assigned.fault.loses_messages:
        return np.flatnonzero(plan.lost(table.kind, table.positions, table.times, only=assigned))
    sent = np.flatnonzero(~plan.lost(table.kind, table.positions, table.times))
    table = table.rows(sent)
    if assigned.worlds is not None and not isinstance(table.columns, dict):
        # What happens between readings would be something else in the other world, not the same with other values.
        return np.asarray(sent)
    if assigned.worlds is not None:
        without, with_it = (group.sample_in_world(world, table.positions, table.times) for world in assigned.worlds)
        return np.asarray(sent[differing_rows(without, with_it)])
    if not isinstance(table.columns, dict):
        _, rows = plan.apply_to_events(table.kind, table.positions, table.times, table.columns, assigned)
    else:
        readings = Readings(table.kind, table.positions, table.times, table.columns)
        _, rows = plan.apply_to_readings(readings, group, assigned)
    return np.asarray(sent[rows])


def _fields(assigned: AssignedFault, group: Group, at_ms: int) -> tuple[str, ...]:
    """Return the fields that a fault changes of what these devices say: some are there only by a setting."""
    fields = assigned.fault.affected_fields
    if not fields:
        return fields
    said = {"timestamp", *group.last_reading_before(group.positions[:1], np.array([at_ms]))}
    return tuple(name for name in fields if name in said)


def _label(
    assigned: AssignedFault,
    fields: tuple[str, ...],
    device_id: str,
    kind: str,
    boot: int,
    start_ms: int,
    span: _Found,
) -> Label:
    fault = assigned.fault
    return Label(
        device_id=device_id,
        kind=kind,
        boot=boot,
        type=fault.type_name,
        fields=fields,
        parameters=fault.parameters,
        layer=fault.layer,
        start_ms=start_ms,
        end_ms=None if span.end_ms == FOREVER_MS else span.end_ms,
        first_seq=span.first_seq,
        last_seq=span.last_seq,
        messages=span.messages,
    )
