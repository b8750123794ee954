"""Finds the message that each arrival without an id is, by what it says. Pure.

What was said beside the messages of a run, by a real sensor or in answer to a command, is found with them: where it
says the same as one of them, in the order of time. If then not all of it is there, it is not known which is missing.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefleet.verify.expected_contents import ExpectedContents
from edgefleet.verify.message_index import MISSING, UNSENT, Indices, MessageIndex
from edgefleet.verify.multiset import match_keys

NEARBY_MS = 10_000
"""So far from when it was said may a message come that is taken for another one, which says the same."""
_FOREVER_MS = 2**60

Flags = NDArray[np.bool_]


class ArrivedContents(NamedTuple):
    """Holds arrivals without ids in columns."""

    whole: Indices
    moment: Indices
    values: Indices
    shape: Indices
    arrived_ms: Indices
    device: Indices
    is_timed: Flags
    stream: Indices
    said_ms: Indices
    """Its own time; that of its arrival where it has none."""


class ContentMatching:
    """Pairs what was sent, and what may be there beside it, with what arrived."""

    def __init__(
        self,
        index: MessageIndex,
        expected: ExpectedContents,
        ledger: NDArray[np.int32],
        came: ArrivedContents,
        allowance_ms: int,
    ) -> None:
        """`allowance_ms` is how long before it was due a message may seem to come."""
        self._index = index
        self._expected = expected
        self._ledger = ledger
        self._came = came
        self._allowance_ms = allowance_ms
        sides = expected.sides
        self.position: Indices = np.searchsorted(index.start, np.arange(len(index)), side="right") - 1
        """Of the device of each slot."""
        self.due_ms = index.wall_ms(expected.due_ms, self.position)
        self._all_whole = np.concatenate([expected.whole, sides.whole])
        self._all_due_ms = np.concatenate([self.due_ms, index.wall_ms(sides.due_ms, sides.device)])
        self.slot = np.full(len(came.whole), -1, np.int64)
        """Of each arrival; -1 where it is none of what was sent. Beyond the slots are those of what was said beside."""
        self.free: Flags = np.zeros(len(index), np.bool_)
        """Which slots are known and have no arrival."""
        self.is_first: Flags = np.zeros(len(came.whole), np.bool_)
        """Which arrivals are not copies of others."""
        self.unsure: set[str] = set()
        """Devices of which not all is there that says the same, and what was sent is only a part of that."""
        self._allowed_ms = self._measure_allowance()

    @property
    def is_beside(self) -> Flags:
        """Return which arrivals are of what was said beside."""
        found: Flags = self.slot >= len(self._index)
        return found

    def match(self) -> None:
        """Find all pairs."""
        expected, sides, count = self._expected, self._expected.sides, len(self._index)
        free = np.concatenate([self.free, np.ones(len(sides), np.bool_)])
        for code in (MISSING, UNSENT):
            # What was sent for certain is found first.
            free[:count] |= (self._ledger == code) & (expected.values != 0)
            for ours, beside, theirs, in_turn in self._ways():
                self._pair(free, np.concatenate([ours, beside]), theirs, in_turn=in_turn)
        nothing = np.zeros(count, np.int64)
        self._pair(free, np.concatenate([nothing, sides.whole]), self._timed(self._came.whole), in_turn=False)
        self.free = free[:count]
        if len(sides):
            self._doubt(free)
        self.is_first = self.slot >= 0
        for code in (MISSING, UNSENT):
            for ours, _, theirs, _ in self._ways():
                # What is there already and comes once more.
                waiting = np.flatnonzero((self.slot < 0) & (theirs != 0))
                self.slot[waiting] = _one_of(np.where((self._ledger == code) & ~self.free, ours, 0), theirs[waiting])
        timeless = np.where(sides.whole == 0, sides.values, 0)
        for beside, theirs in ((sides.whole, self._timed(self._came.whole)), (timeless, self._came.values)):
            waiting = np.flatnonzero((self.slot < 0) & (theirs != 0))
            again = _one_of(np.where(free[count:], 0, beside), theirs[waiting])
            self.slot[waiting] = np.where(again >= 0, again + count, -1)

    def _pair(self, free: Flags, ours: Indices, theirs: Indices, *, in_turn: bool) -> None:
        open_slots = np.flatnonzero(free & (ours != 0))
        waiting = np.flatnonzero((self.slot < 0) & (theirs != 0))
        e, a = match_keys(
            ours[open_slots], self._all_due_ms[open_slots], theirs[waiting], self._came.arrived_ms[waiting],
            self._allowed_ms, in_turn=in_turn,
        )  # fmt: skip
        self.slot[waiting[a]] = open_slots[e]
        free[open_slots[e]] = False

    def _ways(self) -> Iterator[tuple[Indices, Indices, Indices, bool]]:
        """Yield by which keys messages, what was said beside them, and arrivals are found.

        The last says whether there may be many of one key.
        """
        expected, sides, came = self._expected, self._expected.sides, self._came
        # Among those with a time, what was sent is found first.
        yield expected.whole, np.zeros(len(sides), np.int64), self._timed(came.whole), False
        yield expected.values, sides.values, np.where(came.is_timed, 0, came.values), True
        timeless = np.where(expected.whole == 0, expected.values, 0), np.where(sides.whole == 0, sides.values, 0)
        yield *timeless, came.values, True

    def _timed(self, keys: Indices) -> Indices:
        return np.where(self._came.is_timed, keys, 0)

    def _measure_allowance(self) -> int:
        """Return how long before it was due a message may come: no matter how long where that is so of most.

        Then the clocks differ.
        """
        pairs = forwards = 0
        for ours, _, theirs, _ in self._ways():
            open_slots, waiting = np.flatnonzero(ours), np.flatnonzero(theirs)
            columns = ours[open_slots], self.due_ms[open_slots], theirs[waiting], self._came.arrived_ms[waiting]
            pairs += len(match_keys(*columns, 0, in_turn=False)[0])
            forwards += len(match_keys(*columns, self._allowance_ms, in_turn=True)[0])
        return self._allowance_ms if 2 * forwards >= pairs else _FOREVER_MS

    # -- what says the same

    def _doubt(self, free: Flags) -> None:
        """Find where something is missing of what says the same, and it may be what was sent."""
        expected, sides, count = self._expected, self._expected.sides, len(self._index)
        arrival_of = np.full(count + len(sides), -1, np.int64)
        found = np.flatnonzero(self.slot >= 0)
        arrival_of[self.slot[found]] = found
        sent = self._ledger == MISSING
        shared = np.intersect1d(expected.values[sent & (expected.values != 0)], sides.values)
        for key in shared.tolist():
            slots = np.flatnonzero(sent & (expected.values == key))
            others = np.flatnonzero(sides.values == key) + count
            if free[slots].any():
                self._lend(slots, others, free, arrival_of)
            if free[others].any():
                self._doubt_found(slots, others[free[others]], arrival_of)

    def _lend(self, slots: Indices, others: Indices, free: Flags, arrival_of: Indices) -> None:
        """Let what was sent have an arrival that was taken for what was said beside it, where it is as near."""
        for one in slots[free[slots]].tolist():
            for other in others[~free[others]].tolist():
                arrival = int(arrival_of[other])
                if self._may_be(one, arrival):
                    self.slot[arrival], arrival_of[one], arrival_of[other] = one, arrival, -1
                    free[one], free[other] = False, True
                    self.free[one] = False
                    break

    def _doubt_found(self, slots: Indices, missing: Indices, arrival_of: Indices) -> None:
        for one in slots.tolist():
            arrival = int(arrival_of[one])
            if arrival >= 0 and any(self._may_be(other, arrival) for other in missing.tolist()):
                self.unsure.add(self._index.devices[int(self.position[one])].device_id)

    def _may_be(self, slot: int, arrival: int) -> bool:
        """Return whether an arrival that says the same may be this one, by when it came."""
        if self._came.is_timed[arrival] and (whole := int(self._all_whole[slot])):
            return whole == int(self._came.whole[arrival])
        late_ms = int(self._came.arrived_ms[arrival] - self._all_due_ms[slot])
        return -self._allowance_ms <= late_ms <= NEARBY_MS


def _one_of(ours: Indices, theirs: Indices) -> Indices:
    """Return a slot with each key; -1 where none has it."""
    order = np.argsort(ours, kind="stable")
    at = np.searchsorted(ours[order], theirs)
    slot = order[np.minimum(at, len(order) - 1)] if len(order) else np.zeros(len(theirs), np.int64)
    return np.where(ours[slot] == theirs, slot, -1) if len(order) else np.full(len(theirs), -1, np.int64)


def present_rows(
    index: MessageIndex, expected: ExpectedContents, came: ArrivedContents, allowance_ms: int, *, known: bool
) -> Flags:
    """Return which arrivals came, or were said, while a real sensor was in the place of their device.

    With `known`, only until it was heard of last, and of those devices alone of which not all is known that was said.
    """
    found = np.zeros(len(came.whole), np.bool_)
    sides = expected.sides
    for device_id, presences in sides.presences.items():
        if known and device_id not in sides.unheard:
            continue
        at = np.array([place for place, one in enumerate(index.devices) if one.device_id == device_id], np.int64)
        own = np.isin(came.device, at)
        if not own.any():
            continue
        for presence in presences:
            end_ms = presence.heard_ms if known else presence.to_ms
            begin, end = index.wall_ms(np.array([presence.from_ms, end_ms]), np.array([at[0], at[0]])).tolist()
            slack_ms = allowance_ms * index.device_time.fastest
            found |= own & (came.arrived_ms >= begin - allowance_ms) & (came.arrived_ms <= end + allowance_ms)
            is_within = (came.said_ms >= presence.from_ms - slack_ms) & (came.said_ms <= end_ms + slack_ms)
            found |= own & came.is_timed & is_within
    return found
