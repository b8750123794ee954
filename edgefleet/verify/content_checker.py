"""Compares what arrived without ids of the devices' own with what was sent, as multisets. Pure.

What arrived is kept as numbers until all of it is there, some 60 bytes a message. Then each finds the message that it
is, if there is one that says the same of the same device, and is entered in its slot as if it had an id: so the counts
have one meaning. Two messages that say the same cannot be told apart; which of them is missing is not known, only how
many.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from edgefleet.verify.arrivals import Arrivals
from edgefleet.verify.checker import Checker
from edgefleet.verify.clocks import ALLOWANCE_MS
from edgefleet.verify.content_matching import ArrivedContents, ContentMatching, present_rows
from edgefleet.verify.expected_contents import ExpectedContents
from edgefleet.verify.message_content import content_keys, content_of, differing_fields, has_own_time, is_decoded
from edgefleet.verify.message_index import MISSING, Indices, MessageIndex
from edgefleet.verify.multiset import match_keys, match_nearby
from edgefleet.verify.verdict import Alterations, SinkVerdict
from edgewire.clock import iso_ms

LOOKED_INTO = 100
"""So many altered messages are compared value by value."""
_SAMPLES = 5000
_EXAMPLES = 5
_NEARBY_MS = 60_000
"""So long after it was due may a message come that has neither the time nor the values that were sent."""
_OTHER_RUN_MS = 5000
"""So long before a run, or after it, is another time: the times of some are whole seconds."""
_SPARE = 1_000_000
"""So many arrivals more than were sent are kept; what comes beyond is counted."""


class ContentChecker:
    """Takes what arrived in one sink, and says what that amounts to: by ids where there are some, else by content."""

    def __init__(self, index: MessageIndex, expected: ExpectedContents, allowance_ms: int = ALLOWANCE_MS) -> None:
        self._index = index
        self._expected = expected
        self._allowance_ms = allowance_ms
        self._checker = Checker(index, allowance_ms)
        self.sent = self._checker.sent
        self._pages: list[ArrivedContents] = []
        self._kept = 0
        self._streams: list[str] = []
        self._samples: dict[int, tuple[int, bytes]] = {}
        self._found = 0
        self._is_assigned = False
        self._others = 0
        self._alterations = Alterations()
        self._untold: list[str] = []
        self._notes: list[str] = []
        sides = expected.sides
        known = np.concatenate([expected.whole, expected.values[expected.whole == 0]])
        beside = np.where(sides.whole != 0, sides.whole, sides.values)
        # What says the same as something that was sent is waited for as well: either may be still on its way.
        alike = np.isin(beside, known)
        self._beside = int(np.count_nonzero(alike))
        self._keys, self._left = np.unique(np.concatenate([known[known != 0], beside[alike]]), return_counts=True)
        timeless = np.concatenate([expected.values[expected.values != 0], beside[alike & (sides.whole == 0)]])
        self._timeless, self._timeless_left = np.unique(timeless, return_counts=True)

    @property
    def stored(self) -> int:
        """Return how many of those that were sent have arrived, about, as long as more may come."""
        return min(self.sent, self._checker.stored + self._found)

    @property
    def complete(self) -> bool:
        """Return whether all has arrived that was sent, or may have been."""
        is_there = self._checker.stored + self._found >= self.sent + (0 if self._is_assigned else self._beside)
        return is_there and not self._checker.unconfirmed

    def missing_devices(self) -> list[tuple[str, int]]:
        """Return id and boot of the devices of which something with an id is missing."""
        return [one for one in self._checker.missing_devices() if one[0] not in self._expected.ids]

    def missing_of(self, message_ids: Iterable[str]) -> list[str]:
        """Return those of these messages, of devices with ids in their messages, that were sent and are not there."""
        by_content = self._expected.devices
        return [one for one in self._checker.missing_of(message_ids) if one.partition(":")[0] not in by_content]

    def add_conflicts(self, conflicts: Arrivals) -> None:
        """Enter under which ids other content came than is there."""
        self._checker.add_conflicts(conflicts)

    def add_arrivals(self, arrivals: Arrivals) -> None:
        """Enter what arrived next. Messages of other devices and runs are passed over."""
        devices, content = self._expected.devices, arrivals.fields or [None] * len(arrivals.device_id)
        by_content = [
            name in devices and is_decoded(fields) for name, fields in zip(arrivals.device_id, content, strict=True)
        ]
        chosen = np.flatnonzero(by_content)
        if len(chosen) < len(by_content):
            self._checker.add_arrivals(_rows(arrivals, np.flatnonzero(~np.array(by_content, bool)).tolist()))
        if len(chosen):
            self._keep(arrivals, chosen.tolist())

    def verdict(self, late_after_ms: int, note: str = "") -> SinkVerdict:
        """Return what all that was entered amounts to."""
        if not self._is_assigned:
            self._assign()
        notes = [text for text in (note, *self._expected.notes, *self._notes) if text]
        found = self._checker.verdict(late_after_ms, "; ".join(notes))
        return replace(found, untold=(*found.untold, *self._untold), alterations=self._alterations)

    # -- while it arrives

    def _keep(self, arrivals: Arrivals, rows: list[int]) -> None:
        record = self._index.record
        found: list[tuple[int, ...]] = []
        said: list[tuple[int, dict[str, Any]]] = []
        if arrivals.stream not in self._streams:
            self._streams.append(arrivals.stream)
        stream = self._streams.index(arrivals.stream)
        for row in rows:
            fields, name = arrivals.fields[row], arrivals.device_id[row]
            assert fields is not None
            content, is_timed, time_ms = content_of(fields), has_own_time(fields), arrivals.timestamp_ms[row]
            arrived_ms = arrivals.arrived_ms[row]
            if arrived_ms < record.started_ms - self._allowance_ms and (record.fixed_boots or not is_timed):
                # Of an earlier run: what it says may be the same, and nothing else tells them apart.
                self._others += 1
                continue
            keys = content_keys(name, time_ms, content)
            found.append((*keys, arrived_ms, self._expected.devices[name], is_timed, stream, time_ms))
            said.append((time_ms, content))
        room = max(0, 2 * len(self._index) + _SPARE - self._kept)
        self._others += len(found) - len(found[:room])
        if not found[:room]:
            return
        columns = [np.array(column, np.int64) for column in zip(*found[:room], strict=True)]
        whole, moment, values, shape, arrived, device, timed, streams, said_ms = columns
        page = ArrivedContents(whole, moment, values, shape, arrived, device, timed != 0, streams, said_ms)
        for row in np.flatnonzero(~self._count_found(page)).tolist()[: _SAMPLES - len(self._samples)]:
            time_ms, content = said[row]
            self._samples[self._kept + row] = time_ms, orjson.dumps(content)
        self._pages.append(page)
        self._kept += len(page.whole)

    def _count_found(self, page: ArrivedContents) -> NDArray[np.bool_]:
        """Count the messages that seem to be some that were sent; return of which there is one like them."""
        by_whole = _take(self._keys, self._left, page.whole, page.is_timed)
        by_values = _take(self._keys, self._left, page.values, page.is_timed & ~by_whole.is_known)
        timeless = _take(self._timeless, self._timeless_left, page.values, ~page.is_timed)
        self._found += by_whole.found + by_values.found + timeless.found
        known: NDArray[np.bool_] = by_whole.is_known | by_values.is_known | timeless.is_known
        return known

    # -- when all is there

    def _assign(self) -> None:
        """Find the message that each arrival is, and enter them in the order in which they came."""
        self._is_assigned, self._found = True, 0
        if not self._pages:
            return
        came = ArrivedContents(*(np.concatenate(columns) for columns in zip(*self._pages, strict=True)))
        self._pages.clear()
        index, expected = self._index, self._expected
        ledger = self._checker.ledger
        matching = ContentMatching(index, expected, ledger, came, self._allowance_ms)
        matching.match()
        slot, due_ms = matching.slot, matching.due_ms
        present = present_rows(index, expected, came, self._allowance_ms, known=False)
        # Without a time, what says the same as a message of before is the real sensor's, and no copy.
        copies = present & ~came.is_timed & (slot >= 0) & ~matching.is_first
        beside = matching.is_beside | (present & (slot < 0)) | copies
        own = np.where(beside, -1, slot)
        altered = self._find_altered(came, np.where(beside, 0, own), matching.free & (ledger == MISSING), due_ms)
        self._tell_of_sides(came, matching, beside)
        self._enter(came, own, due_ms, matching.position, altered, beside)

    def _tell_of_sides(self, came: ArrivedContents, matching: ContentMatching, beside: NDArray[np.bool_]) -> None:
        """Say what arrived beside the messages of the run, and where that leaves open whether one of them did."""
        index, expected = self._index, self._expected
        if count := int(np.count_nonzero(beside)):
            self._notes.append(f"{count:,} more are answers to commands, or of real sensors in the places of devices")
        unsure = set(matching.unsure)
        if expected.sides.unheard:
            taken = matching.slot[(matching.slot >= 0) & ~beside]
            doubtful = present_rows(index, expected, came, self._allowance_ms, known=True) & ~came.is_timed
            unsure |= _devices_at(index, came.device[doubtful & (matching.slot >= 0) & ~beside])
            unsure |= (expected.sides.unheard - expected.sides.presences.keys()) & _devices_at(
                index, matching.position[taken]
            )
        if unsure:
            names = sorted(unsure)
            more = ", …" if len(names) > 3 else ""
            self._untold.append(
                f"messages of {', '.join(names[:3])}{more} say the same as a real sensor in its place, or as an answer "
                "to a command, and not all of that is there, or known: whether one that was sent is missing cannot be "
                "told"
            )

    def _find_altered(
        self, came: ArrivedContents, slot: Indices, free: NDArray[np.bool_], due_ms: Indices
    ) -> list[tuple[int, int]]:
        """Return which messages that are missing came with other values: slot and arrival."""
        expected, pairs = self._expected, []
        timeless = expected.whole == 0
        device = np.searchsorted(self._index.start, np.arange(len(self._index)), side="right") - 1
        names = np.array([hash(one.device_id) or 1 for one in self._index.devices], np.int64)[device]
        theirs = np.array([hash(self._index.devices[at].device_id) or 1 for at in came.device.tolist()], np.int64)
        waiting = slot < 0
        ways: list[tuple[Indices, Indices, bool]] = [
            (expected.moment ^ expected.shape, came.moment ^ came.shape, False),
            (expected.moment, came.moment, False),
            (np.where(timeless, 0, expected.values), came.values, False),
            (np.where(timeless, expected.shape, 0), came.shape, True),
            (np.where(timeless, names, 0), theirs, True),
        ]
        for number, (ours, others, is_nearby) in enumerate(ways):
            open_slots = np.flatnonzero(free & (ours != 0) & (~timeless if number < 3 else timeless))
            left = np.flatnonzero(waiting & (came.is_timed if number < 3 else True))
            if not len(open_slots) or not len(left):
                continue
            if is_nearby:
                e, a = match_nearby(
                    ours[open_slots], due_ms[open_slots], others[left], came.arrived_ms[left],
                    self._allowance_ms, _NEARBY_MS,
                )  # fmt: skip
            else:
                e, a = match_keys(
                    ours[open_slots], due_ms[open_slots], others[left], came.arrived_ms[left],
                    self._allowance_ms, in_turn=False,
                )  # fmt: skip
            pairs += list(zip(open_slots[e].tolist(), left[a].tolist(), strict=True))
            free[open_slots[e]] = False
            waiting[left[a]] = False
        return pairs

    def _enter(
        self,
        came: ArrivedContents,
        slot: Indices,
        due_ms: Indices,
        position: Indices,
        altered: list[tuple[int, int]],
        beside: NDArray[np.bool_],
    ) -> None:
        index, checker = self._index, self._checker
        for number, stream in enumerate(self._streams):
            rows = np.flatnonzero((slot >= 0) & (came.stream == number))
            if len(rows):
                at = slot[rows]
                checker.enter(stream, position[at], at, came.arrived_ms[rows], due_ms[at])
        unsure = np.array([one.device_id in self._expected.unsure for one in index.devices], bool)
        self._alterations = self._explain(altered)
        checker.enter_altered(np.array([one for one, _ in altered], np.int64))
        strange = slot < 0
        strange[[arrival for _, arrival in altered]] = False
        strange &= ~unsure[came.device] & ~beside
        of_another_run = strange & self._is_of_another_time(came)
        self._others += int(np.count_nonzero(of_another_run))
        strange &= ~of_another_run
        checker.count_unexpected(came.device[strange])
        timeless = strange & (np.isin(came.device, self._timeless_devices(position)) | ~came.is_timed)
        if count := int(np.count_nonzero(timeless)):
            names = sorted({index.devices[at].device_id for at in np.unique(came.device[timeless]).tolist()})
            more = ", …" if len(names) > 3 else ""
            self._untold.append(
                f"{count:,} came from {', '.join(names[:3])}{more} that this run did not send, and messages there have "
                "no time: another run or device of the same names speaks as well, or somebody asked them. Which of its "
                "messages are this run's cannot be told"
            )
        if self._others:
            self._notes.append(
                f"{self._others:,} messages under the names of its devices came before it began, are of another time, "
                "or too many to look into, and were passed over"
            )

    def _is_of_another_time(self, came: ArrivedContents) -> NDArray[np.bool_]:
        """Return which arrivals say that they were said before the run began, or after it ended: of another one."""
        record, time = self._index.record, self._index.device_time
        slack_ms = _OTHER_RUN_MS * time.fastest
        end_ms = time.device_ms(record.stopped_ms - record.started_ms)
        outside = (came.said_ms < record.sim_started_ms - slack_ms) | (came.said_ms > end_ms + slack_ms)
        found: NDArray[np.bool_] = came.is_timed & outside
        # A device whose clock is wrong may say any time.
        return np.zeros_like(found) if self._index.has_device_clock_faults else found

    def _timeless_devices(self, position: Indices) -> Indices:
        expected = self._expected
        slots = np.flatnonzero((expected.whole == 0) & (expected.values != 0))
        ids = {self._index.devices[at].device_id for at in np.unique(position[slots]).tolist()}
        return np.array([at for at, one in enumerate(self._index.devices) if one.device_id in ids], np.int64)

    def _explain(self, altered: list[tuple[int, int]]) -> Alterations:
        """Compare the first altered messages value by value."""
        arrival_of = {slot: arrival for slot, arrival in altered if arrival in self._samples}
        chosen = sorted(arrival_of)[:LOOKED_INTO]
        counts: Counter[str] = Counter()
        examples: list[str] = []
        for slot, content, time_ms in self._expected.contents(self._index, chosen):
            came_ms, text = self._samples[arrival_of[slot]]
            came = orjson.loads(text)
            names = differing_fields(content, came)
            if self._expected.whole[slot] and came_ms != time_ms:
                names.append("timestamp")
            counts.update(names)
            if len(examples) < _EXAMPLES and names:
                message, first = self._index.message_id(slot), names[0]
                sent, there = (iso_ms(time_ms), iso_ms(came_ms)) if first == "timestamp" else (
                    _shown(content, first), _shown(came, first)
                )  # fmt: skip
                examples.append(f"{message}: {first} is {there}, and {sent} was sent")
        return Alterations(looked_into=len(chosen), fields=dict(counts.most_common(20)), examples=tuple(examples))


def _shown(content: dict[str, Any], name: str) -> str:
    value: Any = content
    for level in name.split("."):
        value = value.get(level) if isinstance(value, dict) else None
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else f"{text[:60]}…"


class _Taken(NamedTuple):
    found: int
    is_known: NDArray[np.bool_]


def _take(keys: Indices, left: Indices, wanted: Indices, which: NDArray[np.bool_]) -> _Taken:
    """Take what is left of the keys that are wanted: of which of them there are some, and how many there were."""
    is_known = np.zeros(len(wanted), np.bool_)
    if not len(keys):
        return _Taken(0, is_known)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    is_known = which & (keys[at] == wanted)
    places, counts = np.unique(at[is_known], return_counts=True)
    taken = np.minimum(counts, left[places])
    left[places] -= taken
    return _Taken(int(taken.sum()), is_known)


def _devices_at(index: MessageIndex, positions: Indices) -> set[str]:
    return {index.devices[at].device_id for at in np.unique(positions).tolist()}


def _rows(arrivals: Arrivals, rows: list[int]) -> Arrivals:
    return Arrivals(
        arrivals.stream,
        [arrivals.device_id[row] for row in rows],
        [arrivals.boot[row] for row in rows],
        [arrivals.seq[row] for row in rows],
        [arrivals.timestamp_ms[row] for row in rows],
        [arrivals.arrived_ms[row] for row in rows],
    )
