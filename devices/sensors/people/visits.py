"""One local day at the doors of many shops: when each message is due, and what the counters have counted by then.

Entries and exits are each sorted by shop and time under one code, so a question about all shops is one binary search.
A fleet of 1,000 doors has a million visits a day: what is kept of one is 24 bytes and 3 bits.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from devices.sensors.columns import FixedTextColumn
from devices.sensors.people.rank_index import RankIndex
from devices.sensors.uuids import uuid4_texts
from devices.world.random import Hashes, Ints, hash_bits, uniform
from devices.world.shops import Shops
from devices.world.world import DAY_MS, World

# What a message is; at one moment an exit comes before its session.
ENTRY, EXIT, SESSION = 0, 1, 2
# A local day, with an hour more in autumn, lies anywhere within three days from a day before its number.
_SPAN_MS = 4 * DAY_MS
# Shops whose visits are drawn at once: that takes many times what is kept of them.
_SHOPS_DRAWN = 100
_VISITS_DRAWN = 100_000


@dataclass(frozen=True, slots=True)
class VisitMessages:
    """Some messages of a day in the order of shop, time, visitor and sort; one entry each."""

    owner: Ints
    """Position of the shop in the `shops` that were asked for."""
    sorts: Ints
    visitors: Ints
    entries_ms: Ints
    """Entry of the visit."""
    exits_ms: Ints
    """Its exit; of an entry not told."""
    due_ms: Ints


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
            visits = replace(shops, keys=shops.keys[begin:end], sites=shops.sites[begin:end]).visits(world, day)
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
        return np.asarray(self._messages(self._code(shops, moment)) - self._messages(shops * _SPAN_MS))

    def count_all(self, shops: Ints) -> Ints:
        """Count the messages of each shop."""
        return np.asarray(self._messages((shops + 1) * _SPAN_MS) - self._messages(shops * _SPAN_MS))

    def messages(self, shops: Ints, start_ms: int, stop_ms: int) -> VisitMessages:
        """Return those in [start_ms, stop_ms)."""
        start, stop = (self._code(shops, np.full(len(shops), moment)) for moment in (start_ms, stop_ms))
        came, entry = _ranges(self._told, start, stop)
        left, exit_ = _ranges(self._exits, start, stop)
        visitors = self._leaving[exit_].astype(np.int64)
        due_ms = np.concatenate([self._instants(self._told[entry]), *[self._instants(self._exits[exit_])] * 2])
        if self._told_order is not None:
            entry = self._told_order[entry]
        owner, who = np.concatenate([came, left, left]), np.concatenate([entry, visitors, visitors])
        sorts = np.repeat([ENTRY, EXIT, SESSION], [len(came), len(left), len(left)])
        exits_ms = np.concatenate([np.zeros(len(came), dtype=np.int64), *[self._instants(self._exits[exit_])] * 2])
        order = np.lexsort((sorts, who, due_ms, owner))
        entries_ms = self._instants(self._entries[who[order]])
        return VisitMessages(owner[order], sorts[order], who[order], entries_ms, exits_ms[order], due_ms[order])

    def visit_bits(self, visitors: Ints) -> Hashes:
        """Return random bits for each of these visitors."""
        keys = self._keys[self._entries[visitors] // _SPAN_MS]
        return hash_bits(self._world.seed, "shop/visit", keys, self._day, self._numbers[visitors].astype(np.int64))

    def customer_ids(self, visitors: Ints) -> FixedTextColumn:
        """Return a version 4 UUID for each of these visitors."""
        counters = (
            self._keys[self._entries[visitors] // _SPAN_MS],
            self._day,
            self._numbers[visitors].astype(np.int64),
        )
        high, low = (hash_bits(self._world.seed, f"shop/customer/{half}", *counters) for half in ("a", "b"))
        return uuid4_texts(high, low)

    def counted_until(self, shops: Ints, times_ms: Ints) -> Ints:
        """Return entries and exits (a row each) that the counters have seen from local midnight to these instants."""
        return self._counted_to(shops, self._code(shops, times_ms) + 1)

    def counted_all(self, shops: Ints) -> Ints:
        """Return as `counted_until` does, over the whole day."""
        return self._counted_to(shops, (shops + 1) * _SPAN_MS)

    def _tell_entries(self, exit_codes: Ints, powered_on_ms: int) -> tuple[Ints, Ints | None]:
        """Return the codes at which entries are told, ascending, and whose each is; None where each has its own."""
        owners = self._entries // _SPAN_MS
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
            counted.rank(codes.searchsorted(stop)) - counted.rank(codes.searchsorted(shops * _SPAN_MS))
            for codes, counted in zip((self._entries, self._exits), self._counted, strict=True)
        ]
        return np.stack(found)

    def _seen(self, stream: str, visitors: Ints | NDArray[np.int32], accuracy: float) -> RankIndex:
        """Return an index of which of these visitors a counter saw."""
        seen = np.zeros(len(visitors), dtype=np.bool_)
        for start in range(0, len(visitors), _VISITS_DRAWN):
            some = visitors[start : start + _VISITS_DRAWN]
            keys = self._keys[self._entries[some] // _SPAN_MS]
            chance = uniform(hash_bits(self._world.seed, stream, keys, self._day, self._numbers[some].astype(np.int64)))
            seen[start : start + len(some)] = chance < accuracy
        return RankIndex(seen)

    def _code(self, shops: Ints, times_ms: Ints) -> Ints:
        return np.asarray(shops * _SPAN_MS + np.clip(times_ms - self._base, 0, _SPAN_MS - 1))

    def _instants(self, codes: Ints) -> Ints:
        return np.asarray(codes % _SPAN_MS + self._base)

    def _messages(self, codes: Ints) -> Ints:
        """Count the messages before each of these codes."""
        return np.asarray(self._told.searchsorted(codes) + 2 * self._exits.searchsorted(codes))


def _ranges(codes: Ints, start: Ints, stop: Ints) -> tuple[Ints, Ints]:
    """Return the positions of the codes from each start to its stop, and which of these each is of."""
    first = codes.searchsorted(start)
    counts = codes.searchsorted(stop) - first
    owner = np.repeat(np.arange(len(start)), counts)
    return owner, np.arange(len(owner)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
