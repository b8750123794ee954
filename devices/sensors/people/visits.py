"""One local day at the doors of many shops: when each message is due, and what the counters have counted by then.

Entries and exits are each sorted by shop and time under one code, so a question about all shops is one binary search.
A fleet of 1,000 doors has a million visits a day: what is kept of one is 24 bytes and 3 bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from devices.sensors.columns import FixedTextColumn
from devices.sensors.people.rank_index import RankIndex
from devices.sensors.uuids import uuid4_texts
from devices.world.random import Flags, Hashes, Ints, hash_bits, uniform
from devices.world.shops import Shops
from devices.world.world import DAY_MS, World

# What a message is; at one moment an exit comes before its session.
ENTRY, EXIT, SESSION = 0, 1, 2
# A local day, with an hour more in autumn, lies anywhere within three days from a day before its number.
SPAN_MS = 4 * DAY_MS
# Shops whose visits are drawn at once: that takes many times what is kept of them.
_SHOPS_DRAWN = 100
_VISITS_DRAWN = 100_000


@dataclass(frozen=True, slots=True)
class VisitRows:
    """Entries or exits of a day at some shops, in the order of shop and time; one entry each."""

    codes: Ints
    """Of the shop and the moment at which it is told."""
    since_ms: NDArray[np.int32]
    """How long the visitor was inside by then."""
    numbers: NDArray[np.int32]
    """Those of the visits."""

    def take(self, rows: Ints | Flags) -> "VisitRows":
        """Return some of the rows."""
        return VisitRows(self.codes[rows], self.since_ms[rows], self.numbers[rows])

    @classmethod
    def none(cls) -> "VisitRows":
        """Return no rows at all."""
        return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32))

    @classmethod
    def concat(cls, parts: "Sequence[VisitRows]") -> "VisitRows":
        """Return the rows of some parts, one behind the other."""
        return cls(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(cls)))


@dataclass(frozen=True, slots=True)
class VisitCut:
    """What of a day falls in a window of time."""

    entries: VisitRows
    is_seen_in: Flags
    """Of each entry, whether the counter saw it."""
    is_late: Flags
    """Of each entry, whether it is told later: as the counter is powered on."""
    late: VisitRows
    """Entries of before that are told in the window."""
    exits: VisitRows
    is_seen_out: Flags

    @classmethod
    def none(cls) -> "VisitCut":
        """Return nothing at all."""
        rows, flags = VisitRows.none(), np.empty(0, dtype=np.bool_)
        return cls(rows, flags, flags, rows, rows, flags)

    @classmethod
    def joined(cls, cuts: "Sequence[VisitCut]") -> "VisitCut":
        """Return cuts of different shops as one, in the order of shop and time."""
        entries, late, exits = (
            VisitRows.concat([getattr(cut, name) for cut in cuts]) for name in ("entries", "late", "exits")
        )
        seen_in, is_late, seen_out = (
            np.concatenate([getattr(cut, name) for cut in cuts]) for name in ("is_seen_in", "is_late", "is_seen_out")
        )
        whole = cls(entries, seen_in, is_late, late, exits, seen_out)
        return whole.take(*(np.argsort(rows.codes, kind="stable") for rows in (entries, late, exits)))

    def take(self, entries: Ints | Flags, late: Ints | Flags, exits: Ints | Flags) -> "VisitCut":
        """Return some of the rows."""
        return VisitCut(
            self.entries.take(entries),
            self.is_seen_in[entries],
            self.is_late[entries],
            self.late.take(late),
            self.exits.take(exits),
            self.is_seen_out[exits],
        )

    def of_shops(self, is_kept: Flags) -> "VisitCut":
        """Return what is of some shops."""
        return self.take(*(is_kept[rows.codes // SPAN_MS] for rows in (self.entries, self.late, self.exits)))

    def shifted(self, shops: int) -> "VisitCut":
        """Return the same of shops that stand so many positions further on."""
        entries, late, exits = (
            replace(rows, codes=rows.codes + shops * SPAN_MS) for rows in (self.entries, self.late, self.exits)
        )
        return replace(self, entries=entries, late=late, exits=exits)


@dataclass(frozen=True, slots=True)
class VisitMessages:
    """Some messages of a day in the order of shop, time, visitor and sort; one entry each."""

    owner: Ints
    """Position of the shop in the `shops` that were asked for."""
    sorts: Ints
    numbers: Ints
    """Those of the visits."""
    entries_ms: Ints
    """Entry of the visit."""
    exits_ms: Ints
    """Its exit; of an entry not told."""
    due_ms: Ints

    @classmethod
    def in_order(
        cls, came: Ints, entries: VisitRows, left: Ints, exits: VisitRows, base_ms: int, *, has_late: bool
    ) -> "VisitMessages":
        """Return the messages of entries and exits, whose owners are `came` and `left`.

        Entries that are told late (`has_late`) need not be in order.
        """
        # At one moment the visitor who entered first comes first: who leaves then, unless an entry is told late.
        owner = np.concatenate([left, came])
        due_ms = np.concatenate([exits.codes, entries.codes]) % SPAN_MS + base_ms
        entries_ms = due_ms - np.concatenate([exits.since_ms, entries.since_ms])
        numbers = np.concatenate([exits.numbers, entries.numbers]).astype(np.int64)
        if has_late:
            order = np.lexsort((numbers, entries_ms, due_ms, owner))
        else:
            order = np.argsort(owner * SPAN_MS + (due_ms - base_ms), kind="stable")
        order = np.repeat(order, 1 + (order < len(left)))
        is_second = np.zeros(len(order), dtype=np.bool_)
        is_second[1:] = order[1:] == order[:-1]
        sorts = np.where(is_second, SESSION, np.where(order < len(left), EXIT, ENTRY))
        due_ms = due_ms[order]
        exits_ms = np.where(sorts == ENTRY, 0, due_ms)
        return cls(owner[order], sorts, numbers[order], entries_ms[order], exits_ms, due_ms)


def customer_ids(seed: int, day: int, keys: Hashes, numbers: Ints) -> FixedTextColumn:
    """Return a version 4 UUID for each of these visits to shops with these keys."""
    high, low = (hash_bits(seed, f"shop/customer/{half}", keys, day, numbers) for half in ("a", "b"))
    return uuid4_texts(high, low)


_TOLD_MS, _TOLD_APART_MS = 5000, 100
"""After a counter is powered on it tells within so long who is inside, each so long after the other at the most."""


class VisitDay:
    """The messages of a day: an entry, an exit and a session a visit.

    Of who is inside when the counters are powered on, they tell the entry then, so that every exit has its entry.
    """

    def __init__(self, world: World, shops: Shops, day: int, accuracy: float, powered_on_ms: int) -> None:
        self._world, self._keys, self._day = world, shops.keys, day
        self._base = (day - 1) * DAY_MS
        numbers, entries, exits = [], [], []
        edges = [*range(0, len(shops.keys), _SHOPS_DRAWN), len(shops.keys)]
        for begin, end in pairwise(edges):
            visits = shops.take(slice(begin, end)).visits(world, day)
            owners = visits.shops + begin
            numbers.append(visits.numbers.astype(np.int32))
            entries.append(self._code(owners, visits.entries_ms))
            exits.append(self._code(owners, visits.exits_ms))
        self._numbers, self._entries = np.concatenate(numbers), np.concatenate(entries)
        exit_codes = np.concatenate(exits)
        del entries, exits
        self._told, self._told_order = self._tell_entries(exit_codes, powered_on_ms)
        self._leaving = np.argsort(exit_codes, kind="stable").astype(np.int32)
        self._exits = exit_codes[self._leaving]
        self._counted = (
            self._seen("people/in", np.arange(len(self._entries)), accuracy),
            self._seen("people/out", self._leaving, accuracy),
        )

    def count_before(self, shops: Ints, time_ms: int) -> Ints:
        """Count the messages of each shop before an instant."""
        moment = np.full(len(shops), time_ms)
        return np.asarray(self._messages(self._code(shops, moment)) - self._messages(shops * SPAN_MS))

    def messages(self, shops: Ints, start_ms: int, stop_ms: int) -> VisitMessages:
        """Return those in [start_ms, stop_ms)."""
        start, stop = (self._code(shops, np.full(len(shops), moment)) for moment in (start_ms, stop_ms))
        came, entry = code_ranges(self._told, start, stop)
        left, exit_ = code_ranges(self._exits, start, stop)
        return VisitMessages.in_order(
            came,
            self._entry_rows(entry),
            left,
            self._exit_rows(exit_),
            self._base,
            has_late=self._told_order is not None,
        )

    def cut(self, from_ms: int, to_ms: int) -> VisitCut:
        """Return what falls in [from_ms, to_ms)."""
        shops = np.arange(len(self._keys))
        start, stop = (self._code(shops, np.full(len(shops), moment)) for moment in (from_ms, to_ms))
        entry, told, exit_ = (code_ranges(codes, start, stop)[1] for codes in (self._entries, self._told, self._exits))
        is_late = np.zeros(len(self._entries), dtype=np.bool_)
        if self._told_order is not None:
            is_late[self._told_order[self._told != self._entries[self._told_order]]] = True
            told = told[is_late[self._told_order[told]]]
        else:
            told = told[:0]
        entries = VisitRows(self._entries[entry], np.zeros(len(entry), dtype=np.int32), self._numbers[entry])
        seen_in, seen_out = (
            (index.rank(rows + 1) - index.rank(rows)).astype(np.bool_)
            for index, rows in zip(self._counted, (entry, exit_), strict=True)
        )
        return VisitCut(entries, seen_in, is_late[entry], self._entry_rows(told), self._exit_rows(exit_), seen_out)

    def before(self, time_ms: int) -> Ints:
        """Return what each shop had before an instant: entries told, exits, entries and exits that its counter saw."""
        shops = np.arange(len(self._keys))
        stop, begin = self._code(shops, np.full(len(shops), time_ms)), shops * SPAN_MS
        told = [codes.searchsorted(stop) - codes.searchsorted(begin) for codes in (self._told, self._exits)]
        return np.concatenate([np.stack(told), self._counted_to(shops, stop)])

    def _entry_rows(self, rows: Ints) -> VisitRows:
        """Return entries by their positions in the order in which they are told."""
        who = rows if self._told_order is None else self._told_order[rows]
        return VisitRows(self._told[rows], _as_int32(self._told[rows] - self._entries[who]), self._numbers[who])

    def _exit_rows(self, rows: Ints) -> VisitRows:
        who = self._leaving[rows]
        return VisitRows(self._exits[rows], _as_int32(self._exits[rows] - self._entries[who]), self._numbers[who])

    def counted_until(self, shops: Ints, times_ms: Ints) -> Ints:
        """Return entries and exits (a row each) that the counters have seen from local midnight to these instants."""
        return self._counted_to(shops, self._code(shops, times_ms) + 1)

    def counted_all(self, shops: Ints) -> Ints:
        """Return as `counted_until` does, over the whole day."""
        return self._counted_to(shops, (shops + 1) * SPAN_MS)

    def _tell_entries(self, exit_codes: Ints, powered_on_ms: int) -> tuple[Ints, Ints | None]:
        """Return the codes at which entries are told, ascending, and whose each is; None where each has its own."""
        owners = self._entries // SPAN_MS
        start = self._code(owners, np.full(len(owners), powered_on_ms))
        inside = (self._entries < start) & (exit_codes >= start)
        if not inside.any():
            return self._entries, None
        # One after the other, who leaves first at first, and all within seconds: a burst as the device is powered on
        # would wait for its connection, and in a stream at a pace they have a turn each.
        rows = np.flatnonzero(inside)
        rows = rows[np.argsort(exit_codes[rows], kind="stable")]
        first = np.searchsorted(owners[rows], owners[rows])
        count = np.searchsorted(owners[rows], owners[rows], side="right") - first
        apart_ms = np.clip(_TOLD_MS // count, 1, _TOLD_APART_MS)
        told = self._entries.copy()
        told[rows] = np.minimum(start[rows] + (np.arange(len(rows)) - first + 1) * apart_ms, exit_codes[rows])
        order = np.argsort(told, kind="stable")
        return told[order], order

    def _counted_to(self, shops: Ints, stop: Ints) -> Ints:
        found = [
            counted.rank(codes.searchsorted(stop)) - counted.rank(codes.searchsorted(shops * SPAN_MS))
            for codes, counted in zip((self._entries, self._exits), self._counted, strict=True)
        ]
        return np.stack(found)

    def _seen(self, stream: str, visitors: Ints | NDArray[np.int32], accuracy: float) -> RankIndex:
        """Return an index of which of these visitors a counter saw."""
        seen = np.zeros(len(visitors), dtype=np.bool_)
        for start in range(0, len(visitors), _VISITS_DRAWN):
            some = visitors[start : start + _VISITS_DRAWN]
            keys = self._keys[self._entries[some] // SPAN_MS]
            chance = uniform(hash_bits(self._world.seed, stream, keys, self._day, self._numbers[some].astype(np.int64)))
            seen[start : start + len(some)] = chance < accuracy
        return RankIndex(seen)

    def _code(self, shops: Ints, times_ms: Ints) -> Ints:
        return np.asarray(shops * SPAN_MS + np.clip(times_ms - self._base, 0, SPAN_MS - 1))

    def _messages(self, codes: Ints) -> Ints:
        """Count the messages before each of these codes."""
        return np.asarray(self._told.searchsorted(codes) + 2 * self._exits.searchsorted(codes))


def code_ranges(codes: Ints, start: Ints, stop: Ints) -> tuple[Ints, Ints]:
    """Return the positions of the codes from each start to its stop, and which of these each is of."""
    first = codes.searchsorted(start)
    counts = codes.searchsorted(stop) - first
    owner = np.repeat(np.arange(len(start)), counts)
    return owner, np.arange(len(owner)) + np.repeat(first - (np.cumsum(counts) - counts), counts)


def _as_int32(values: Ints) -> NDArray[np.int32]:
    return values.astype(np.int32)
