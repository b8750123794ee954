"""The devices of one entry of a scenario: which of them is due when, and the readings as columns.

Knows nothing of faults: these are the readings of devices in good order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from devices.catalog import CATALOG, CatalogEntry
from devices.scenario import DeviceGroup
from devices.sensors.base import Columns, EventSensor, LookingBack, Population, Sensor
from devices.world import World
from edgewire.messages import Channel

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Table:
    """Messages of one group of devices on one channel; every array and column has one entry a row."""

    kind: str
    channel: Channel
    times: Ints
    """When each is due, which is when it is measured; ms since 1970 UTC."""
    positions: Ints
    """Of the device in `Timeline.devices`."""
    seqs: Ints
    columns: Columns | list[dict[str, Any]]
    """Fields of the messages beside device_id, timestamp, boot and seq: columns where all rows have the same fields,
    else the fields of each row."""

    def rows(self, rows: Ints) -> "Table":
        """Some of its rows, in the order given."""
        picked = rows.tolist()
        columns = self.columns
        chosen = (
            [columns[row] for row in picked]
            if isinstance(columns, list)
            else {
                name: column[rows] if isinstance(column, np.ndarray) else [column[row] for row in picked]
                for name, column in columns.items()
            }
        )
        return replace(
            self, times=self.times[rows], positions=self.positions[rows], seqs=self.seqs[rows], columns=chosen
        )


class Member(Protocol):
    """What a group needs of a device."""

    @property
    def site(self) -> str: ...

    @property
    def interval_ms(self) -> int: ...

    @property
    def phase_ms(self) -> int: ...

    @property
    def ordinal(self) -> int: ...

    @property
    def key(self) -> int: ...


class Due(NamedTuple):
    """Readings due in windows of time."""

    first: Ints
    """Number of the first reading of each window."""
    window: Ints
    """Of each reading: which window it is in."""
    times: Ints


_ROWS_SAMPLED = 5_000
"""Readings that a sensor is asked for at once: what it needs besides (every vehicle that a camera saw) is many times
what it answers."""


_ROWS_AHEAD, _LONGEST_AHEAD_MS = 64, 600_000
"""Where small windows follow one another, as in a live run, so many readings are computed at once: one alone costs as
much as these together. At the most those of ten minutes."""


class Group:
    """The devices of one entry of the scenario that belong to this shard."""

    def __init__(
        self, world: World, start_ms: int, group: DeviceGroup, positions: Sequence[int], devices: Sequence[Member]
    ) -> None:
        entry: CatalogEntry = CATALOG[group.kind]
        self.kind = group.kind
        self.positions = np.array(positions, dtype=np.int64)
        """Of its devices in the timeline, ascending."""
        self._world = world
        self._start_ms = start_ms
        self._everyone = np.arange(len(devices), dtype=np.int64)
        self._interval = np.array([device.interval_ms for device in devices], dtype=np.int64)
        self._first_due = start_ms + np.array([device.phase_ms for device in devices], dtype=np.int64)
        self._channel = entry.channel
        site_index = {site.name: index for index, site in enumerate(world.sites)}
        population = Population(
            keys=np.array([device.key for device in devices], dtype=np.uint64),
            sites=np.array([site_index[device.site] for device in devices], dtype=np.int64),
            interval_ms=self._interval,
            ordinals=np.array([device.ordinal for device in devices], dtype=np.int64),
            powered_on_ms=start_ms,
        )
        rate_per_ms = float((1 / self._interval).sum()) if len(devices) else 1.0
        self._ahead_ms = min(round(_ROWS_AHEAD / rate_per_ms), _LONGEST_AHEAD_MS)
        self._answered_to_ms: int | None = None
        self._known: tuple[int, int, Table] | None = None
        self._sensor = entry.sensor(entry.settings(**group.settings), population)

    @property
    def looks_back_ms(self) -> int:
        """How much of the past the readings tell of at the most."""
        return self._sensor.looks_back_ms if isinstance(self._sensor, LookingBack) else 0

    def tables(self, from_ms: int, to_ms: int) -> Iterator[Table]:
        """What these devices have to say in [from_ms, to_ms)."""
        if not len(self._everyone) or to_ms <= from_ms:
            return
        follows, self._answered_to_ms = from_ms == self._answered_to_ms, to_ms
        if isinstance(self._sensor, EventSensor) or not follows or to_ms - from_ms >= self._ahead_ms:
            yield from self._tables(self._everyone, from_ms, to_ms)
        else:
            yield self._ahead(from_ms, to_ms)

    def tables_of(self, positions: Ints, from_ms: Ints, to_ms: Ints) -> Iterator[tuple[Ints, Table]]:
        """As `tables`, for one device and window of time each; beside each table, which window its rows are from."""
        owners = np.searchsorted(self.positions, positions)
        if isinstance(self._sensor, EventSensor):
            for window, (owner, begin, end) in enumerate(zip(owners, from_ms.tolist(), to_ms.tolist(), strict=True)):
                for table in self._tables(np.array([owner]), begin, end):
                    yield np.full(len(table.times), window), table
        elif len(owners):
            due = self._due(owners, from_ms, to_ms)
            yield due.window, self._readings(owners[due.window], due.times)

    def last_before(self, positions: Ints, instants: Ints) -> Columns:
        """The reading that each device took last before an instant, if need be before it was powered on."""
        owners = np.searchsorted(self.positions, positions)
        number = -((self._first_due[owners] - instants) // self._interval[owners]) - 1
        return self._sensor.sample(self._world, owners, self._first_due[owners] + number * self._interval[owners])

    def sample(self, world: World, positions: Ints, times: Ints) -> Columns:
        """What these devices would read at these times in another world."""
        return _sampled(self._sensor, world, np.searchsorted(self.positions, positions), times)

    def _ahead(self, from_ms: int, to_ms: int) -> Table:
        """As `tables`, of readings alone, out of a longer window that is computed once for many of this size."""
        if self._known is None or not self._known[0] <= from_ms <= to_ms <= self._known[1]:
            end_ms = from_ms + self._ahead_ms
            due = self._due(self._everyone, from_ms, end_ms)
            self._known = from_ms, end_ms, self._readings(due.window, due.times)
        table = self._known[2]
        return table.rows(np.flatnonzero((table.times >= from_ms) & (table.times < to_ms)))

    def _tables(self, owners: Ints, from_ms: int, to_ms: int) -> Iterator[Table]:
        due = self._due(owners, from_ms, to_ms)
        if isinstance(self._sensor, EventSensor):
            yield from self._with_happenings(self._sensor, owners, from_ms, to_ms, due)
        else:
            yield self._readings(owners[due.window], due.times)

    def _due(self, owners: Ints, from_ms: Ints | int, to_ms: Ints | int) -> Due:
        """Readings due in a window of time for each of these devices."""
        first_due, interval = self._first_due[owners], self._interval[owners]
        first = np.maximum(-((first_due - from_ms) // interval), 0)
        stop = np.maximum(-((first_due - to_ms) // interval), 0)
        counts = np.maximum(stop - first, 0)
        window = np.repeat(np.arange(len(owners)), counts)
        within = np.arange(len(window)) - np.repeat(np.cumsum(counts) - counts, counts)
        return Due(first, window, first_due[window] + (first[window] + within) * interval[window])

    def _readings(self, owners: Ints, times: Ints, seqs: Ints | None = None) -> Table:
        columns = _sampled(self._sensor, self._world, owners, times)
        if seqs is None:
            seqs = (times - self._first_due[owners]) // self._interval[owners]
        return Table(self.kind, self._channel, times, self.positions[owners], seqs, columns)

    def _with_happenings(
        self, sensor: EventSensor, owners: Ints, from_ms: int, to_ms: int, due: Due
    ) -> Iterator[Table]:
        before = sensor.happened(self._world, owners, self._start_ms, from_ms)
        happened = sensor.happenings(self._world, owners, from_ms, to_ms)
        # Within one device: by time, what happened before the reading of the same millisecond.
        who = np.concatenate([happened.owner, due.window])
        times = np.concatenate([happened.time_ms, due.times])
        is_reading = np.arange(len(who)) >= len(happened.owner)
        order = np.lexsort((is_reading, times, who))
        begins = np.searchsorted(who[order], np.arange(len(owners)))
        seqs = np.empty(len(order), dtype=np.int64)
        seqs[order] = np.arange(len(order)) + (due.first + before - begins)[who[order]]
        split = len(happened.owner)
        yield self._readings(owners[due.window], due.times, seqs[split:])
        yield Table(
            self.kind,
            Channel.EVENT,
            happened.time_ms,
            self.positions[owners[happened.owner]],
            seqs[:split],
            happened.fields,
        )


def _sampled(sensor: Sensor, world: World, owners: Ints, times: Ints) -> Columns:
    """The readings of each of these devices at each of these times."""
    parts = [
        sensor.sample(world, owners[start : start + _ROWS_SAMPLED], times[start : start + _ROWS_SAMPLED])
        for start in range(0, len(owners), _ROWS_SAMPLED)
    ]
    if len(parts) < 2:
        return parts[0] if parts else {}
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


def _joined(parts: list[Any]) -> Any:
    """One column of its parts, in order."""
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    return [value for part in parts for value in part]
