"""Says which readings devices publish that report on change, and how many they have published before.

Every n-th reading of a device is published whatever it says, n being what its longest silence allows; a reading in
between, where a value has left the dead band about the one that was published last. So what is published of a stretch
between two such readings depends on that stretch alone, and can be told of any time without walking there. How many
messages there were before it is counted from the power-on: counts are kept, thinly, for who asks again.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from devices.scenario.device_group import DeviceGroup
from devices.scenario.on_change import OnChange, compared_fields
from devices.scenario.speech import spoken_messages
from devices.sensors.columns import Columns, DictionaryColumn
from devices.sensors.derived import DERIVED, derived_column, spoken_fields
from devices.sensors.registry import KINDS
from devices.timeline.field_texts import converted_numbers
from devices.timeline.schedule import Schedule
from devices.world.random import Flags, Ints
from edgewire.clock import iso_ms
from edgewire.dialects.own_format import MappedField
from edgewire.dialects.payload_template import FieldPart, compile_payload
from edgewire.errors import ConfigError

Values = NDArray[np.float64]

_ROWS_COMPARED = 200_000
"""Readings that are looked at together."""
_MOST_COUNTED = 100_000_000
"""Readings of all devices that are counted for one answer: some minutes."""
_MARKS = 128
"""Counts that are kept of a device at the most; the more there were, the wider apart they are."""
_KNOWN_COUNTS = 100_000
_ALREADY = 1e-7
"""A difference that is less than the dead band by this part of it is as much: numbers of decimals are not exact."""
_LONG_AGO = np.int64(-(2**40))


class ComparedField(NamedTuple):
    """Names a value that is compared with the one that was published last."""

    field: MappedField
    band: float
    """By how much it has to differ; 0: at all."""


class SaidReadings(NamedTuple):
    """Holds which of a number of readings are published, and their numbers among those that are."""

    rows: Ints
    seqs: Ints


@dataclass(slots=True)
class _State:
    """Holds what devices have done before a reading; one entry a device in every array."""

    number: Ints
    """Of that reading; -1 where nothing is known."""
    last: Ints
    """Number of the reading that was published last."""
    values: Values
    """What it said."""
    said: Ints
    """How many were published."""

    def of(self, owners: Ints | slice) -> "_State":
        """Return the entries of some devices."""
        return _State(self.number[owners], self.last[owners], self.values[owners], self.said[owners])

    def enter(self, places: Ints, other: "_State") -> None:
        """Take the entries of others for those at these places."""
        self.number[places], self.last[places] = other.number, other.last
        self.values[places], self.said[places] = other.values, other.said


def compared_values(group: DeviceGroup) -> tuple[ComparedField, ...]:
    """Return what is compared of the readings of a group: what has a dead band, or all that is said."""
    rule = group.on_change or OnChange()
    if rule.change:
        return tuple(ComparedField(MappedField((), name), band) for name, band in rule.change.items())
    encoder = group.make_encoder()
    if encoder is None:
        return tuple(ComparedField(MappedField((), name), 0.0) for name in compared_fields(group.kind))
    said: dict[str, ComparedField] = {}
    channel = KINDS[group.kind].channel
    for message in spoken_messages(group.kind, encoder)[channel]:
        for part in compile_payload(message.payload, spoken_fields(group.kind, channel)):
            if isinstance(part, FieldPart) and not part.field.time:
                said.setdefault(part.field.name, ComparedField(part.field, 0.0))
    return tuple(said.values())


class ChangeReports:
    """Chooses among the readings of a group. `owners` are the devices' places in it, as in its schedule."""

    def __init__(
        self,
        rule: OnChange,
        fields: tuple[ComparedField, ...],
        schedule: Schedule,
        sample: Callable[[Ints, Ints], Columns],
        booted_ms: Callable[[Ints, Ints], Ints] | None = None,
    ) -> None:
        """Take readings of owners at times from `sample`, and when their boots began, if there are several."""
        self._schedule = schedule
        self._sample = sample
        self._booted_ms = booted_ms
        self._fields = fields
        self._bands = np.array([one.band * (1 - _ALREADY) or np.nextafter(0, 1) for one in fields])
        self._every = schedule.numbers_within(rule.max_interval)
        self._apart = np.minimum(schedule.numbers_beyond(rule.min_interval), self._every)
        devices = len(self._every)
        # Where the last window that was asked for ended, and where it began.
        self._tail, self._before = self._unknown(devices), self._unknown(devices)
        self._marks: dict[int, tuple[int, array[int]]] = {}
        self._counts: dict[tuple[int, int], int] = {}
        # Windows are computed in another thread than commands come in.
        self._lock = Lock()

    def select(self, owners: Ints, first: Ints, counts: Ints, *, goes_on: bool) -> SaidReadings:
        """Return which of the readings from number `first` on, so many of each device, are published.

        With `goes_on` the next windows will follow these, as in a live run.
        """
        found: list[SaidReadings] = []
        with self._lock:
            starts = self._starts(owners, first)
            lengths = first + counts - starts.number
            begin = 0
            rows_before = np.cumsum(counts) - counts
            for end in _cuts(lengths):
                some = slice(begin, end)
                start = starts.of(some)
                is_said, after = self._walk(owners[some], start, lengths[some])
                who = np.repeat(np.arange(end - begin), lengths[some])
                seqs = _running(is_said, lengths[some]) + start.said[who]
                place = np.arange(len(who)) - np.repeat(np.cumsum(lengths[some]) - lengths[some], lengths[some])
                asked = place - (first[some] - start.number)[who]
                kept = np.flatnonzero(is_said & (asked >= 0))
                found.append(SaidReadings(rows_before[some][who[kept]] + asked[kept], seqs[kept]))
                if goes_on:
                    self._before.enter(owners[some], start)
                    self._tail.enter(owners[some], after)
                begin = end
        if not found:
            return SaidReadings(np.empty(0, np.int64), np.empty(0, np.int64))
        return SaidReadings(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def count(self, owners: Ints, numbers: Ints) -> Ints:
        """Return how many readings before those with these numbers each device has published."""
        with self._lock:
            asked = list(zip(owners.tolist(), numbers.tolist(), strict=True))
            missing = [one for one in dict.fromkeys(asked) if one not in self._counts]
            if missing:
                if len(self._counts) + len(missing) > _KNOWN_COUNTS:
                    self._counts.clear()
                    missing = list(dict.fromkeys(asked))
                who, until = (np.array(column, np.int64) for column in zip(*missing, strict=True))
                starts = self._starts(who, until)
                begin, lengths = 0, until - starts.number
                for end in _cuts(lengths):
                    some = slice(begin, end)
                    after = self._walk(who[some], starts.of(some), lengths[some])[1]
                    self._counts.update(zip(missing[some], after.said.tolist(), strict=True))
                    begin = end
            return np.array([self._counts[one] for one in asked], dtype=np.int64)

    # -- where to begin

    def _unknown(self, devices: int) -> _State:
        """Return a state of so many devices of which nothing is known."""
        return _State(
            np.full(devices, -1, np.int64),
            np.full(devices, _LONG_AGO),
            np.full((devices, len(self._fields)), np.nan),
            np.zeros(devices, np.int64),
        )

    def _starts(self, owners: Ints, numbers: Ints) -> _State:
        """Return the state of devices from which on one has to look to know what comes at these numbers."""
        every = self._every[owners]
        fixed = numbers // every * every
        found = self._unknown(len(owners))
        found.number[:] = fixed
        unknown = np.ones(len(owners), np.bool_)
        for known in (self._tail, self._before):
            use = np.flatnonzero(unknown & (known.number[owners] >= fixed) & (known.number[owners] <= numbers))
            found.enter(use, known.of(owners[use]))
            unknown[use] = False
        rest = np.flatnonzero(unknown)
        if len(rest):
            found.said[rest] = self._count_stretches(owners[rest], fixed[rest] // every[rest])
        return found

    def _count_stretches(self, owners: Ints, stretches: Ints) -> Ints:
        """Return how many messages each device had before the stretch with this number began."""
        counts = np.zeros(len(owners), np.int64)
        until: dict[int, int] = {}
        for owner, stretch in zip(owners.tolist(), stretches.tolist(), strict=True):
            until[owner] = max(stretch, until.get(owner, 0))
        self._extend_marks(until)
        later: list[tuple[int, int, int]] = []
        for at, (owner, stretch) in enumerate(zip(owners.tolist(), stretches.tolist(), strict=True)):
            stride, marks = self._marks.get(owner, (1, _FROM_POWER_ON))
            place = min(stretch // stride, len(marks) - 1)
            counts[at] = marks[place]
            if place * stride < stretch:
                later.append((at, place * stride, stretch))
        for at, of_each in self._count_each([(int(owners[at]), begin, end) for at, begin, end in later]):
            counts[later[at][0]] += int(of_each.sum())
        return counts

    def _extend_marks(self, until: dict[int, int]) -> None:
        """Keep the counts of devices up to a stretch each."""
        wanted: list[tuple[int, int, int]] = []
        for owner, stretch in until.items():
            stride, marks = self._marks.get(owner, (1, _FROM_POWER_ON))
            known = (len(marks) - 1) * stride
            if stretch - known >= stride:
                wanted.append((owner, known, stretch))
        for at, of_each in self._count_each(wanted):
            owner, known, stretch = wanted[at]
            stride, kept = self._marks.get(owner, (1, _FROM_POWER_ON))
            marks = array("q", kept)
            totals = marks[-1] + np.cumsum(of_each)
            while stretch // stride >= _MARKS:
                stride *= 2
                marks = marks[::2]
            first = len(marks) * stride
            marks.extend(totals[first - known - 1 :: stride].tolist())
            self._marks[owner] = stride, marks

    def _count_each(self, wanted: list[tuple[int, int, int]]) -> list[tuple[int, Ints]]:
        """Return how many are published in each of the stretches from one to another of a device."""
        if not wanted:
            return []
        owners, begins, ends = (np.array(column, np.int64) for column in zip(*wanted, strict=True))
        every = self._every[owners]
        if (most := int(((ends - begins) * every).sum())) > _MOST_COUNTED:
            powered_on = iso_ms(int(self._schedule.due_ms(owners[:1], np.zeros(1, np.int64))[0]))
            raise ConfigError(
                f"devices that report on change number their messages from the first, of {powered_on}, and {most:,}"
                " readings have been taken since: let them start later, by start in the scenario"
            )
        which = np.repeat(np.arange(len(wanted)), ends - begins)
        counts = ends - begins
        stretch = begins[which] + np.arange(len(which)) - (np.cumsum(counts) - counts)[which]
        lengths = every[which]
        counted = np.empty(len(which), np.int64)
        begin = 0
        for end in _cuts(lengths):
            some = slice(begin, end)
            start = self._unknown(end - begin)
            start.number[:] = stretch[some] * lengths[some]
            counted[some] = self._walk(owners[which[some]], start, lengths[some])[1].said
            begin = end
        return list(enumerate(np.split(counted, np.cumsum(counts)[:-1])))

    # -- what is published

    def _walk(self, owners: Ints, start: _State, lengths: Ints) -> tuple[Flags, _State]:
        """Return of the next so many readings of each device whether they are published, and the state after them."""
        who = np.repeat(np.arange(len(owners)), lengths)
        begins = np.cumsum(lengths) - lengths
        numbers = start.number[who] + np.arange(len(who)) - begins[who]
        every = self._every[owners[who]]
        place = numbers % every
        is_said = place == 0
        times = self._schedule.due_ms(owners[who], numbers)
        if self._booted_ms is not None and len(who):
            before = self._schedule.due_ms(owners[who], numbers - 1)
            is_said |= self._booted_ms(owners[who], times) != self._booted_ms(owners[who], before)
        values = self._values(owners[who], times)
        # What changes so shortly before one that is published anyway is told by that one.
        is_near = every - place < self._apart[owners[who]]
        last, said = start.last.copy(), start.values.copy()
        # Stretches do not depend on one another: all are walked side by side.
        heads = np.unique(np.concatenate([begins[lengths > 0], np.flatnonzero(place == 0)]))
        sizes = np.diff(np.append(heads, len(who)))
        longest_first = np.argsort(-sizes, kind="stable")
        heads, sizes = heads[longest_first], sizes[longest_first]
        apart = self._apart[owners[who[heads]]]
        lasts, saids = last[who[heads]], said[who[heads]]
        for step in range(int(sizes[0]) if len(sizes) else 0):
            active = int(np.searchsorted(-sizes, -step))
            rows = heads[:active] + step
            here = values[rows]
            with np.errstate(invalid="ignore"):
                moved = (np.abs(here - saids[:active]) >= self._bands) | (np.isnan(here) != np.isnan(saids[:active]))
            told = is_said[rows] | (
                moved.any(axis=1) & ~is_near[rows] & (numbers[rows] - lasts[:active] >= apart[:active])
            )
            is_said[rows] = told
            lasts[:active] = np.where(told, numbers[rows], lasts[:active])
            saids[:active] = np.where(told[:, None], here, saids[:active])
        newest = np.flatnonzero(lengths > 0)
        # The last stretch of a device is the one whose rows are the last.
        of_device = np.argsort(heads)
        ends = np.searchsorted(heads[of_device], begins[newest] + lengths[newest]) - 1
        last[newest], said[newest] = lasts[of_device[ends]], saids[of_device[ends]]
        total = np.bincount(who[is_said], minlength=len(owners)) if len(who) else np.zeros(len(owners), np.int64)
        return is_said, _State(start.number + lengths, last, said, start.said + total)

    def _values(self, owners: Ints, times: Ints) -> Values:
        """Return the values that are compared, a row a reading; NaN where there is none."""
        if not len(owners):
            return np.empty((0, len(self._fields)))
        columns = self._sample(owners, times)
        return np.stack([_compared(one.field, columns, len(owners)) for one in self._fields], axis=1)


_FROM_POWER_ON = array("q", [0])


def _cuts(lengths: Ints) -> list[int]:
    """Return where to cut devices into lots with about as many readings as are looked at together."""
    if not len(lengths):
        return []
    lots = np.cumsum(lengths) // _ROWS_COMPARED
    return [*(np.flatnonzero(np.diff(lots)) + 1).tolist(), len(lengths)]


def _running(is_said: Flags, lengths: Ints) -> Ints:
    """Return how many of a device's readings before each one are published."""
    total: Ints = np.cumsum(is_said) - is_said
    begins = np.cumsum(lengths) - lengths
    base = total[np.minimum(begins, max(0, len(total) - 1))] if len(total) else begins
    return np.asarray(total - np.repeat(base, lengths))


def _compared(field: MappedField, columns: Columns, rows: int) -> Values:
    """Return a column as numbers: texts by their checksum, NaN for what has no value, or is no value of a sensor."""
    name = field.name
    column: Any = columns.get(name)
    if column is None and name in DERIVED and set(DERIVED[name].needs) <= columns.keys():
        column = derived_column(name, columns)
    if column is None or isinstance(column, DictionaryColumn):
        return np.zeros(rows)
    if isinstance(column, np.ndarray) and column.dtype.kind in "iufb":
        return np.asarray(converted_numbers(column, field), dtype=np.float64)
    values = column.tolist() if isinstance(column, np.ndarray) else column
    if any(isinstance(value, str) for value in values):
        return np.array([np.nan if value is None else crc32(str(value).encode()) for value in values], dtype=np.float64)
    numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    has_value = ~np.isnan(numbers)
    numbers[has_value] = converted_numbers(numbers[has_value], field)
    return numbers
