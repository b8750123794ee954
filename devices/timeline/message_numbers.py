"""Tells which messages are made of a row of a table, and which numbers they have on the wire.

A reading is one message, several, or none: formats say so. Messages are numbered, not readings.
"""

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import numpy as np

from devices.firmware.outbox import NO_SEQ
from devices.sensors.fields import time_fields
from devices.timeline.group import Group
from devices.timeline.table import Table
from devices.timeline.wire_format import WireFormat
from devices.world.random import Flags, Ints


class MessageRows(NamedTuple):
    """Holds the messages that are made of a table, row by row, and of each row in the order of its parts."""

    per_row: int
    """Messages that are made of one row."""
    seqs: Ints
    addresses: Ints
    said: Flags
    """Whether there is such a message."""


def message_rows(wire_format: WireFormat, table: Table) -> MessageRows:
    """Return the numbers and addresses of the messages that are made of a table; left out ones are numbered as well."""
    parts, is_said = wire_format.parts(table.channel), wire_format.is_said(table)
    said = np.ones(len(table.seqs) * len(parts), dtype=bool) if is_said is None else is_said.ravel()
    addresses = np.tile(np.array([part.address for part in parts], dtype=np.int64), len(table.seqs))
    if len(parts) == 1 and parts[0].is_numbered:
        return MessageRows(1, table.seqs, addresses, said)
    numbered = sum(part.is_numbered for part in parts)
    seqs = np.full((len(table.seqs), len(parts)), NO_SEQ, dtype=np.int64)
    places = [place for place, part in enumerate(parts) if part.is_numbered]
    for number, place in enumerate(places):
        seqs[:, place] = table.seqs * numbered + number
    return MessageRows(len(parts), seqs.ravel(), addresses, said)


class NumberedMessages(NamedTuple):
    """Names messages by the row of the table that each is made of, and its number."""

    rows: Ints
    seqs: Ints
    silent: Ints
    """Rows of which a format left out all such messages."""

    def select(self, chosen: Flags | Ints) -> "NumberedMessages":
        """Return some of them, or all in another order."""
        return self._replace(rows=self.rows[chosen], seqs=self.seqs[chosen])


class MessageNumbers:
    """Finds messages by their numbers in a span of time, as `Timeline.batch` gives them to who asks from its start."""

    def __init__(
        self,
        format_of: Callable[[int], WireFormat],
        as_sent: Callable[[Group, Table], Iterable[Table]],
        groups: Iterable[Group],
        from_ms: int,
        to_ms: int,
        boot: int,
    ) -> None:
        """Take from `as_sent` a table as faults leave it: what is sent, and what they keep from it.

        `boot` is that of the rows that have none of their own.
        """
        self._format_of = format_of
        self._as_sent = as_sent
        self._groups = tuple(groups)
        self._span = from_ms, to_ms
        self._boot = boot
        # Of a device and boot: its first number, and what the messages that are said would be numbered without gaps
        # for those that are not.
        self._said: dict[int, dict[int, tuple[int, Ints]]] = {}

    def made_of(self, group: Group, table: Table, rows: Ints, fields: Collection[str] = ()) -> NumberedMessages | None:
        """Return the messages that are made of some rows of a table and say one of these fields, or any without them.

        None where no message of this channel says one.
        """
        if not len(rows):
            return NumberedMessages(rows, rows, rows)
        wire_format = self._format_of(int(table.positions[0]))
        parts, said_fields = wire_format.parts(table.channel), wire_format.said_fields(table.channel)
        if said_fields is None and len(parts) == 1 and not wire_format.leaves_out:
            return NumberedMessages(rows, table.seqs[rows], rows[:0])
        wanted = {*fields, *(time_fields(table.kind) if "timestamp" in fields else ())}
        numbered = [place for place, part in enumerate(parts) if part.is_numbered]
        chosen = [
            (number, place)
            for number, place in enumerate(numbered)
            if not wanted or said_fields is None or not wanted.isdisjoint(said_fields[place])
        ]
        if not chosen:
            return None
        some = table.rows(rows)
        numbers, places = (np.array(column, np.int64) for column in zip(*chosen, strict=True))
        seqs = some.seqs[:, None] * len(numbered) + numbers
        is_said = self._is_said(group, wire_format, some)[:, places]
        repeated = np.broadcast_to(rows[:, None], seqs.shape)
        found = NumberedMessages(repeated[is_said], seqs[is_said], rows[~is_said.any(axis=1)])
        return self._on_wire(table, found) if wire_format.leaves_out else found

    def _is_said(self, group: Group, wire_format: WireFormat, some: Table) -> Flags:
        """Return of each row whether each of its messages is there: without a position there may be none."""
        said = np.ones((len(some.times), len(wire_format.parts(some.channel))), dtype=bool)
        if not wire_format.leaves_out:
            return said
        marked = some.rows(np.arange(len(some.times)))
        for table in self._as_sent(group, marked):
            found = wire_format.is_said(table)
            if found is None:
                continue
            # Both are in the order of time of each device.
            keys = list(zip(some.positions.tolist(), some.times.tolist(), some.seqs.tolist(), strict=True))
            at = {key: row for row, key in enumerate(keys)}
            theirs = zip(table.positions.tolist(), table.times.tolist(), table.seqs.tolist(), strict=True)
            said[[at[key] for key in theirs]] = found
        return said

    def _on_wire(self, table: Table, found: NumberedMessages) -> NumberedMessages:
        """Return the same messages, numbered without those that are left out."""
        boots = np.broadcast_to(self._boot if table.boots is None else table.boots, len(table.times))
        seqs = found.seqs.copy()
        for place, row in enumerate(found.rows.tolist()):
            position, boot = int(table.positions[row]), int(boots[row])
            if position not in self._said:
                self._said[position] = self._listen(position)
            if (known := self._said[position].get(boot)) is not None:
                seqs[place] = known[0] + np.searchsorted(known[1], seqs[place])
        return found._replace(seqs=seqs)

    def _listen(self, position: int) -> dict[int, tuple[int, Ints]]:
        """Return what a device says in the span: of each boot its first number, and the numbers that are said."""
        found: dict[int, list[tuple[Ints, Flags]]] = {}
        where, begin, end = (np.array([one]) for one in (position, *self._span))
        for group in self._groups:
            if position not in group.positions:
                continue
            for _, whole in group.tables_in_windows(where, begin, end):
                for table in self._as_sent(group, whole):
                    rows = message_rows(self._format_of(position), table)
                    boots = np.repeat(
                        np.broadcast_to(self._boot if table.boots is None else table.boots, len(table.times)),
                        rows.per_row,
                    )
                    for boot in np.unique(boots).tolist():
                        mine = (boots == boot) & (rows.seqs != NO_SEQ)
                        found.setdefault(boot, []).append((rows.seqs[mine], rows.said[mine]))
        said: dict[int, tuple[int, Ints]] = {}
        for boot, pieces in found.items():
            seqs, is_said = (np.concatenate(columns) for columns in zip(*pieces, strict=True))
            if len(seqs):
                said[boot] = int(seqs.min()), np.sort(seqs[is_said])
        return said
