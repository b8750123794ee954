"""The schedule of a group: when reading k is taken, late by jitter, while commands let it be.

Usually it is phase + k x interval. The intervals of a group may be several, which come in turn; and time may count
within working hours alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from devices.faults.schedule import FOREVER_MS
from devices.scenario.working_hours import ActiveWindows
from devices.sensors.base import boot_number
from devices.world.random import Ints, hash_bits, uniform


class Member(Protocol):
    """Tells what a group needs of a device."""

    @property
    def device_id(self) -> str: ...

    @property
    def place(self) -> int: ...

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
    """Says from when until when each device keeps to the group's schedule, where commands changed that."""

    begin_ms: Ints
    until_ms: Ints
    base: Ints
    """Seq of the first message since then."""
    boot: Ints
    reset: Ints
    """The boot that the device's last reset began; 0 where there was none."""
    lift: Ints
    """By how much its boots are above those that follow from the time of their beginning."""


class Due(NamedTuple):
    """Holds the readings due in windows of time."""

    first: Ints
    """Number of the first reading of each window."""
    window: Ints
    """The window that each reading is in."""
    times: Ints


class Schedule:
    """Says when devices of a group measure. `owners` are their places in it, `numbers` those of readings, from 0."""

    def __init__(
        self,
        seed: int,
        start_ms: int,
        devices: Sequence[Member],
        jitter_ms: int = 0,
        overrides: OverrideIntervals | None = None,
        *,
        cycle_ms: Sequence[int] = (),
        windows: ActiveWindows | None = None,
    ) -> None:
        """`cycle_ms` are intervals that come in turn, whose mean is each device's own; time counts in `windows`."""
        self.overrides = overrides
        self._windows = windows
        self._start_ms = start_ms
        self.interval_ms = np.array([device.interval_ms for device in devices], dtype=np.int64)
        phases = np.array([device.phase_ms for device in devices], dtype=np.int64)
        self._seed = seed
        self._keys = np.array([device.key for device in devices], dtype=np.uint64)
        begin_ms = start_ms if overrides is None else overrides.begin_ms
        self._first_due = phases + (begin_ms if windows is None else windows.active_ms(begin_ms))
        self._offsets = np.cumsum([0, *cycle_ms[:-1]], dtype=np.int64)
        """Of the readings in a cycle."""
        self._cycle_ms = (
            self.interval_ms * len(self._offsets) if len(cycle_ms) < 2 else np.full_like(phases, sum(cycle_ms))
        )
        self._least_ms = np.full_like(phases, min(cycle_ms)) if len(cycle_ms) > 1 else self.interval_ms
        self._most_ms = np.full_like(phases, max(cycle_ms)) if len(cycle_ms) > 1 else self.interval_ms
        # Below the interval, or readings would change places.
        self._jitter = np.minimum(jitter_ms, self.interval_ms - 1) if jitter_ms else None

    @property
    def rate_per_ms(self) -> float:
        """Return how many readings all devices take together."""
        return float((1 / self.interval_ms).sum()) if len(self.interval_ms) else 1.0

    def due_ms(self, owners: Ints, numbers: Ints) -> Ints:
        """Return when readings with these numbers are due."""
        if len(self._offsets) == 1:
            times = self._first_due[owners] + numbers * self._cycle_ms[owners]
        else:
            cycles, places = np.divmod(numbers, len(self._offsets))
            times = self._first_due[owners] + cycles * self._cycle_ms[owners] + self._offsets[places]
        if self._jitter is not None:
            late = uniform(hash_bits(self._seed, "firmware/jitter", self._keys[owners], numbers))
            times = times + (late * (self._jitter[owners] + 1)).astype(np.int64)
        return np.asarray(times if self._windows is None else self._windows.instants(times))

    def first_number_from(self, owners: Ints, instants: Ints | int) -> Ints:
        """Return the number of the first reading due at or after an instant; negative before the first one."""
        counted = instants if self._windows is None else self._windows.active_ms(instants)
        if len(self._offsets) == 1:
            numbers = np.asarray(-((self._first_due[owners] - counted) // self._cycle_ms[owners]))
        else:
            cycles, within = np.divmod(counted - self._first_due[owners], self._cycle_ms[owners])
            numbers = cycles * len(self._offsets) + np.searchsorted(self._offsets, within)
        if self._jitter is not None:
            numbers = numbers - (self.due_ms(owners, numbers - 1) >= instants)
        return numbers

    def numbers_at(self, owners: Ints, times: Ints) -> Ints:
        """Return the numbers of the readings that are due at these times."""
        counted = times if self._windows is None else self._windows.active_ms(times)
        cycles, within = np.divmod(counted - self._first_due[owners], self._cycle_ms[owners])
        if len(self._offsets) == 1:
            return np.asarray(cycles)
        return np.asarray(cycles * len(self._offsets) + np.searchsorted(self._offsets, within, side="right") - 1)

    def due_in(self, owners: Ints, from_ms: Ints | int, to_ms: Ints | int) -> Due:
        """Return the readings due in a window of time for each of these devices."""
        if self.overrides is not None:
            from_ms = np.maximum(from_ms, self.overrides.begin_ms[owners])
            to_ms = np.minimum(to_ms, self.overrides.until_ms[owners])
        first = np.maximum(self.first_number_from(owners, from_ms), 0)
        stop = np.maximum(self.first_number_from(owners, to_ms), 0)
        counts = np.maximum(stop - first, 0)
        window = np.repeat(np.arange(len(owners)), counts)
        within = np.arange(len(window)) - np.repeat(np.cumsum(counts) - counts, counts)
        return Due(first, window, self.due_ms(owners[window], first[window] + within))

    def numbers_within(self, span_ms: int) -> Ints:
        """Return, device by device, how many numbers apart readings may be that are never longer apart than that.

        It is 1 at the least; hours in which nobody measures do not count.
        """
        late = 0 if self._jitter is None else self._jitter
        return np.maximum((span_ms - late) // self._most_ms, 1)

    def numbers_beyond(self, span_ms: int) -> Ints:
        """Return how many numbers apart readings have to be that are never less apart than that; 1 at the least."""
        late = 0 if self._jitter is None or not span_ms else self._jitter
        return np.maximum(-((-span_ms - late) // self._least_ms), 1)

    def last_due_before(self, owners: Ints, instants: Ints) -> Ints:
        """Return when each device measured last before an instant, if need be before it was powered on."""
        return self.due_ms(owners, self.first_number_from(owners, instants) - 1)

    # -- what commands change

    def is_active(self, from_ms: int, to_ms: int) -> bool:
        """Return whether any device keeps to this schedule in a window of time."""
        overrides = self.overrides
        return overrides is None or bool(((overrides.begin_ms < to_ms) & (overrides.until_ms > from_ms)).any())

    def is_followed(self, owner: int, at_ms: int) -> bool:
        """Return whether a device keeps to this schedule at an instant."""
        return self.overrides is None or bool(self.overrides.begin_ms[owner] <= at_ms < self.overrides.until_ms[owner])

    def end_at(self, owner: int, at_ms: int) -> None:
        """Let a device keep to this schedule no longer than up to an instant."""
        if self.overrides is None:
            start = np.full(len(self.interval_ms), self._start_ms)
            self.overrides = OverrideIntervals(
                start,
                np.full_like(start, FOREVER_MS),
                np.zeros_like(start),
                boot_number(start),
                np.zeros_like(start),
                np.zeros_like(start),
            )
        self.overrides.until_ms[owner] = min(at_ms, int(self.overrides.until_ms[owner]))

    def split_by_override(self, owners: Ints, from_ms: int, to_ms: int) -> Iterator[tuple[Ints, int, int, int]]:
        """Yield devices with the same beginning and end in a window: since when they count, from when to when."""
        overrides = self.overrides
        if overrides is None:
            yield owners, self._start_ms, from_ms, to_ms
            return
        usual = (overrides.begin_ms[owners] == self._start_ms) & (overrides.until_ms[owners] >= to_ms)
        if usual.any():
            yield owners[usual], self._start_ms, from_ms, to_ms
        for owner in owners[~usual]:
            begin_ms, until_ms = int(overrides.begin_ms[owner]), int(overrides.until_ms[owner])
            if begin_ms < min(until_ms, to_ms) and until_ms > from_ms:
                yield np.array([owner]), begin_ms, max(begin_ms, from_ms), min(until_ms, to_ms)
