"""When the devices of a group measure: reading k at phase + k x interval, late by jitter, while commands let them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from devices.faults.schedule import FOREVER_MS
from devices.sensors.base import boot_number
from devices.world.random import Ints, hash_bits, uniform


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


@dataclass(frozen=True, slots=True)
class OverrideIntervals:
    """Where commands changed what devices of a group do: from when until when each keeps to the group's schedule."""

    begin_ms: Ints
    until_ms: Ints
    base: Ints
    """Seq of the first message since then."""
    boot: Ints


class Due(NamedTuple):
    """Readings due in windows of time."""

    first: Ints
    """Number of the first reading of each window."""
    window: Ints
    """Of each reading: which window it is in."""
    times: Ints


class Schedule:
    """Of the devices of a group, by their place in it; `numbers` are those of readings, from 0."""

    def __init__(
        self,
        seed: int,
        start_ms: int,
        devices: Sequence[Member],
        jitter_ms: int = 0,
        overrides: OverrideIntervals | None = None,
    ) -> None:
        self.overrides = overrides
        self._start_ms = start_ms
        self.interval = np.array([device.interval_ms for device in devices], dtype=np.int64)
        phases = np.array([device.phase_ms for device in devices], dtype=np.int64)
        self._seed = seed
        self._keys = np.array([device.key for device in devices], dtype=np.uint64)
        self._first_due = phases + (start_ms if overrides is None else overrides.begin_ms)
        # Below the interval, or readings would change places.
        self._jitter = np.minimum(jitter_ms, self.interval - 1) if jitter_ms else None

    @property
    def rate_per_ms(self) -> float:
        """Readings of all devices together."""
        return float((1 / self.interval).sum()) if len(self.interval) else 1.0

    def time(self, owners: Ints, numbers: Ints) -> Ints:
        """When readings with these numbers are due."""
        times = self._first_due[owners] + numbers * self.interval[owners]
        if self._jitter is None:
            return np.asarray(times)
        late = uniform(hash_bits(self._seed, "firmware/jitter", self._keys[owners], numbers))
        return np.asarray(times + (late * (self._jitter[owners] + 1)).astype(np.int64))

    def before(self, owners: Ints, instants: Ints | int) -> Ints:
        """Number of the first reading that is due at or after an instant; negative before the first one."""
        numbers = np.asarray(-((self._first_due[owners] - instants) // self.interval[owners]))
        if self._jitter is not None:
            numbers = numbers - (self.time(owners, numbers - 1) >= instants)
        return numbers

    def numbers(self, owners: Ints, times: Ints) -> Ints:
        """Of readings that are due at these times."""
        return np.asarray((times - self._first_due[owners]) // self.interval[owners])

    def due(self, owners: Ints, from_ms: Ints | int, to_ms: Ints | int) -> Due:
        """Readings due in a window of time for each of these devices."""
        if self.overrides is not None:
            from_ms = np.maximum(from_ms, self.overrides.begin_ms[owners])
            to_ms = np.minimum(to_ms, self.overrides.until_ms[owners])
        first = np.maximum(self.before(owners, from_ms), 0)
        stop = np.maximum(self.before(owners, to_ms), 0)
        counts = np.maximum(stop - first, 0)
        window = np.repeat(np.arange(len(owners)), counts)
        within = np.arange(len(window)) - np.repeat(np.cumsum(counts) - counts, counts)
        return Due(first, window, self.time(owners[window], first[window] + within))

    def last_before(self, owners: Ints, instants: Ints) -> Ints:
        """When each device measured last before an instant, if need be before it was powered on."""
        return self.time(owners, self.before(owners, instants) - 1)

    # -- what commands change

    def is_active(self, from_ms: int, to_ms: int) -> bool:
        """Whether any device keeps to this schedule in a window of time."""
        overrides = self.overrides
        return overrides is None or bool(((overrides.begin_ms < to_ms) & (overrides.until_ms > from_ms)).any())

    def is_followed(self, owner: int, at_ms: int) -> bool:
        """Whether a device keeps to this schedule at an instant."""
        return self.overrides is None or bool(self.overrides.begin_ms[owner] <= at_ms < self.overrides.until_ms[owner])

    def end_at(self, owner: int, at_ms: int) -> None:
        """A device keeps to this schedule no longer."""
        if self.overrides is None:
            start = np.full(len(self.interval), self._start_ms)
            self.overrides = OverrideIntervals(
                start, np.full_like(start, FOREVER_MS), np.zeros_like(start), boot_number(start)
            )
        self.overrides.until_ms[owner] = min(at_ms, int(self.overrides.until_ms[owner]))

    def stretches(self, owners: Ints, from_ms: int, to_ms: int) -> Iterator[tuple[Ints, int, int, int]]:
        """Devices with the same beginning and end in a window of time: since when they count, from when to when."""
        overrides = self.overrides
        if overrides is None:
            yield owners, self._start_ms, from_ms, to_ms
            return
        usual = (overrides.begin_ms[owners] == self._start_ms) & (overrides.until_ms[owners] >= to_ms)
        if usual.any():
            yield owners[usual], self._start_ms, from_ms, to_ms
        for owner in owners[~usual]:
            begin_ms, until_ms = int(overrides.begin_ms[owner]), int(overrides.until_ms[owner])
            if begin_ms < to_ms and until_ms > from_ms:
                yield np.array([owner]), begin_ms, max(begin_ms, from_ms), min(until_ms, to_ms)
