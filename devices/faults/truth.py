"""Finds the ground truth: for each time that a fault befalls a device, the messages that show it.

A message shows a fault if it would be another one, or would have been sent, without it. So the faulty stretches, and
only those, are computed with the fault and compared with what they were a step before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from devices.faults.labels import Label
from devices.faults.model import Dropout
from devices.faults.plan import FaultPlan, Placed, Readings, differing
from devices.faults.schedule import FOREVER_MS, Windows
from devices.group import Group, Table
from devices.world.rng import Ints


@dataclass(slots=True)
class _Found:
    """Messages that show one fault at one device at one time."""

    end_ms: int
    first_seq: int
    last_seq: int
    messages: int


def find_labels(
    plan: FaultPlan,
    groups: Sequence[Group],
    device_ids: Sequence[str],
    boot: int,
    windows: Sequence[tuple[int, int]],
) -> list[Label]:
    """The labels of all faults that messages due in these successive windows show, by start, device and calendar."""
    labels: list[tuple[int, str, int, Label]] = []
    for group in groups:
        for number, placed in enumerate(plan.of(group.kind)):
            found: dict[tuple[int, int], _Found] = {}
            for begin, end in windows:
                _add(found, _showing(plan, group, placed, begin, end))
            for (position, start_ms), span in found.items():
                label = _label(placed, device_ids[position], boot, start_ms, span)
                labels.append((start_ms, label.device_id, number, label))
    labels.sort(key=lambda item: item[:3])
    return [label for *_, label in labels]


def _add(found: dict[tuple[int, int], _Found], more: Iterator[tuple[int, int, int, Ints]]) -> None:
    for position, start_ms, end_ms, seqs in more:
        first, last = int(seqs.min()), int(seqs.max())
        span = found.setdefault((position, start_ms), _Found(end_ms, first, last, 0))
        span.first_seq, span.last_seq = min(span.first_seq, first), max(span.last_seq, last)
        span.messages += len(seqs)


def _showing(
    plan: FaultPlan, group: Group, placed: Placed, from_ms: int, to_ms: int
) -> Iterator[tuple[int, int, int, Ints]]:
    """Device, start and end of each time the fault is there in [from_ms, to_ms), and the seqs that show it."""
    # How a vehicle was driven is told by the reading after it too.
    trail_ms = group.looks_back_ms if placed.worlds is not None else 0
    positions, windows = plan.windows(placed, group.positions, from_ms, to_ms, trail_ms)
    begins = np.maximum(windows.start, from_ms)
    ends = np.minimum(_shown_until(positions, windows, trail_ms), to_ms)
    for window, table in group.tables_of(positions, begins, ends):
        rows = _shown_by(plan, group, placed, table)
        rows = rows[np.argsort(window[rows], kind="stable")]
        numbers, starts = np.unique(window[rows], return_index=True)
        for number, seqs in zip(numbers.tolist(), np.split(table.seqs[rows], starts[1:]), strict=False):
            yield int(positions[number]), int(windows.start[number]), int(windows.end[number]), seqs


def _shown_until(positions: Ints, windows: Windows, trail_ms: int) -> Ints:
    """Until when readings can show these windows, device by device: at the longest until the next one begins."""
    end = np.minimum(windows.end, FOREVER_MS - trail_ms) + trail_ms
    before_another = np.flatnonzero(positions[1:] == positions[:-1])
    end[before_another] = np.minimum(end[before_another], windows.start[before_another + 1])
    return np.asarray(end)


def _shown_by(plan: FaultPlan, group: Group, placed: Placed, table: Table) -> Ints:
    """The rows of a table that show the fault."""
    if isinstance(placed.fault, Dropout):
        return np.flatnonzero(plan.lost(table.kind, table.positions, table.times, only=placed))
    sent = np.flatnonzero(~plan.lost(table.kind, table.positions, table.times))
    table = table.rows(sent)
    if placed.worlds is not None:
        without, with_it = (group.sample(world, table.positions, table.times) for world in placed.worlds)
        return np.asarray(sent[differing(without, with_it)])
    if isinstance(table.columns, list):
        _, rows = plan.disturb_happenings(table.kind, table.positions, table.times, table.columns, placed)
    else:
        readings = Readings(table.kind, table.positions, table.times, table.columns)
        _, rows = plan.disturb(readings, group.last_before, placed)
    return np.asarray(sent[rows])


def _label(placed: Placed, device_id: str, boot: int, start_ms: int, span: _Found) -> Label:
    fault = placed.fault
    return Label(
        device_id=device_id,
        kind=fault.kind,
        boot=boot,
        type=placed.type,
        fields=fault.fields,
        parameters=fault.parameters,
        layer=fault.layer,
        start_ms=start_ms,
        end_ms=None if span.end_ms == FOREVER_MS else span.end_ms,
        first_seq=span.first_seq,
        last_seq=span.last_seq,
        messages=span.messages,
    )
