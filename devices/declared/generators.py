"""Generators of the fields of declared kinds: each value is a function of seed, kind, field, device and time alone.

None walks from reading to reading. What has a course of its own in time is laid on a grid of the time: a walk is noise
of many periods, an on/off state has one on-period in each cell of the grid, and a counter's event k comes at a moment
drawn within the k-th part of what it counts.
"""

from typing import NamedTuple

import numpy as np

from devices.declared.config import (
    ChoiceConfig,
    CounterConfig,
    NoiseConfig,
    OnOffConfig,
    SineConfig,
    WalkConfig,
)
from devices.declared.profile import Profile, plain_hours_until
from devices.declared.signals import Rows
from devices.world.noise import fractal_noise, smooth_noise
from devices.world.random import Flags, Floats, Hashes, Ints, extend, hash_bits, normal, uniform
from devices.world.world import DAY_MS, HOUR_MS, World

_SHORTEST_OCTAVE_MS = 1000
_MOST_OCTAVES = 12
_WALK = 0.54
"""By which a walk moves `step` in the time `every`, as root mean square: measured."""


class Course(NamedTuple):
    """Names a field of a kind, by which its randomness is drawn."""

    seed: int
    stream: str

    def part(self, name: str) -> "Course":
        """Return a course of its own for a part of what is drawn."""
        return Course(self.seed, f"{self.stream}/{name}")

    def bits(self, *counters: Hashes | Ints | int) -> Hashes:
        """Return random bits for each combination of counters."""
        return hash_bits(self.seed, self.stream, *counters)


def unit_noise(course: Course, config: NoiseConfig, rows: Rows) -> Floats:
    """Return noise of mean 0 and deviation 1: of each reading by itself, or with a period smooth."""
    period_ms = config.period
    keys = course.part("site").bits(rows.sites) if config.shared else rows.keys
    if not period_ms:
        return normal(course.bits(keys, rows.times))
    if config.smooth:
        return smooth_noise(course.seed, course.stream, keys, rows.times, period_ms)
    return fractal_noise(course.seed, course.stream, keys, rows.times, period_ms)


def noise(config: NoiseConfig, course: Course, other: tuple[Course, NoiseConfig] | None, rows: Rows) -> Floats:
    """Return noise, which with `other`, the course of another field with noise, goes along with that one's."""
    found = unit_noise(course, config, rows)
    if other is not None:
        share = config.correlation
        found = share * unit_noise(*other, rows) + np.sqrt(1 - share * share) * found
    if config.spread:
        # The mean of the squares of these factors is 1: over all devices the deviation is as it is said.
        own = normal(course.part("spread").bits(rows.keys))
        found = found * np.exp(config.spread * own - config.spread**2)
    return np.asarray(config.mean + config.deviation * found)


def walk(config: WalkConfig, course: Course, rows: Rows) -> Floats:
    """Return a random walk that is thrown back at its bounds.

    The sum of noise at periods T, T/4, T/16 … with weights 1, 1/2, 1/4 … moves as a random walk does, by the root of
    the time, for all times between the shortest period and T. T is as long as the walk takes for its whole range.
    """
    span = config.max - config.min
    longest = int(min(max(_WALK * (span / config.step) ** 2 * config.every, 4 * _SHORTEST_OCTAVE_MS), 3650 * DAY_MS))
    total, weight, period, squares = np.zeros(len(rows)), 1.0, longest, 0.0
    for octave in range(_MOST_OCTAVES):
        total += weight * smooth_noise(course.seed, f"{course.stream}/{octave}", rows.keys, rows.times, period)
        squares += weight * weight
        weight /= 2
        period //= 4
        if period < _SHORTEST_OCTAVE_MS:
            break
    # Beyond a bound it goes back the way it came.
    turned = np.mod(0.5 + total / np.sqrt(squares) * 0.5, 2.0)
    return np.asarray(config.min + span * np.where(turned > 1, 2 - turned, turned))


def sine(config: SineConfig, rows: Rows) -> Floats:
    """Return a sine: by local time where its period divides a day, else by UTC."""
    divides = DAY_MS % config.period == 0
    times = rows.world.local_ms(rows.sites, rows.times) if divides else rows.times
    angle = 2 * np.pi * ((times - config.peak_ms) % config.period) / config.period
    return np.asarray(config.mean + config.amplitude * np.cos(angle))


def choice(config: ChoiceConfig, course: Course, rows: Rows) -> Ints:
    """Return the number of the value that was drawn."""
    weights = np.array(config.shares, dtype=np.float64)
    edges = np.cumsum(weights) / weights.sum()
    if config.every == "reading":
        bits = course.bits(rows.keys, rows.times)
    elif config.every == "device":
        bits = course.bits(rows.keys)
    else:
        bits = course.bits(rows.keys, _phased(course, config.every, rows) // config.every)
    return np.minimum(np.searchsorted(edges, uniform(bits), side="right"), len(edges) - 1)


def in_stretches(course: Course, share: float, stretch_ms: int, rows: Rows) -> Flags:
    """Return whether a row is among a share of them: each by itself, or stretches of time together."""
    counter = rows.times if not stretch_ms else _phased(course, stretch_ms, rows) // stretch_ms
    return np.asarray(uniform(course.bits(rows.keys, counter)) < share)


def _phased(course: Course, period_ms: int, rows: Rows) -> Ints:
    """Return the times, for each device ahead by a part of a period that is its own."""
    ahead = uniform(course.part("phase").bits(rows.keys)) * period_ms
    return np.asarray(rows.times + ahead.astype(np.int64))


class OnOff:
    """A state that is on and off in turn, for times between the bounds of each.

    Cells of the mean length of an on and an off have one period each of the state whose times vary less, at a moment
    drawn within the cell; so far apart that what lies between stays within the other's bounds.
    """

    def __init__(self, config: OnOffConfig, course: Course) -> None:
        (self._least, self._most), others = config.on, config.off
        self._is_on = others[1] - others[0] >= self._most - self._least
        if not self._is_on:
            (self._least, self._most), others = config.off, config.on
        self._cell = (self._least + self._most + others[0] + others[1]) // 2
        self._leeway = ((others[1] - others[0]) - (self._most - self._least)) // 2
        self._course = course

    def state(self, rows: Rows) -> Flags:
        """Return whether it is on."""
        cell, within = self._cells(rows.keys, rows.times)
        begin, length = self._period(rows.keys, cell)
        # It never reaches into the next cell: at the latest it ends the least time of the other state before that.
        inside = (within >= begin) & (within < begin + length)
        return np.asarray(inside if self._is_on else ~inside)

    def count(self, keys: Hashes, times: Ints) -> Ints:
        """Return how often it has gone on up to each instant, from some moment on."""
        cell, within = self._cells(keys, times)
        begin, length = self._period(keys, cell)
        return np.asarray(cell + (within >= (begin if self._is_on else begin + length)))

    def _cells(self, keys: Hashes, times: Ints) -> tuple[Ints, Ints]:
        ahead = (uniform(self._course.part("phase").bits(keys)) * self._cell).astype(np.int64)
        cell, within = np.divmod(times + ahead, self._cell)
        return cell, within

    def _period(self, keys: Hashes, cell: Ints) -> tuple[Ints, Ints]:
        """Return when the period of a cell begins within it, and how long it is."""
        bits = self._course.bits(keys, cell)
        begin = (uniform(bits) * (self._leeway + 1)).astype(np.int64)
        length = self._least + (uniform(extend(bits, 1)) * (self._most - self._least + 1)).astype(np.int64)
        return begin, length


class Counter:
    """Counts up since the device was powered on, or since local midnight or Monday."""

    def __init__(self, config: CounterConfig, course: Course, of: OnOff | None) -> None:
        """Count how often a state went on, or without it so many an hour."""
        self._config = config
        self._course = course
        self._of = of
        self._profile = None if config.profile is None else Profile(config.profile)

    def value(self, rows: Rows, powered_on_ms: int) -> Floats:
        """Return the count of each row, in its steps."""
        config = self._config
        since = np.full_like(rows.times, powered_on_ms)
        if config.reset != "never":
            since = np.maximum(since, _local_begin(rows.world, rows.sites, rows.times, config.reset))
        events = self._events(rows, rows.times) - self._events(rows, since)
        total = config.start + config.step * np.maximum(events, 0)
        return np.asarray(total if config.wrap is None else np.mod(total, config.wrap), dtype=np.float64)

    def _events(self, rows: Rows, times: Ints) -> Ints:
        if self._of is not None:
            return self._of.count(rows.keys, times)
        assert self._config.per_hour is not None, "the validator said so"
        if self._profile is None:
            hours = plain_hours_until(times)
        else:
            hours = self._profile.hours_until(rows.world, rows.sites, times)
        expected = hours * self._config.per_hour
        whole = np.floor(expected).astype(np.int64)
        return np.asarray(whole + (expected - whole >= uniform(self._course.bits(rows.keys, whole))))


def _local_begin(world: World, sites: Ints, times: Ints, reset: str) -> Ints:
    """Return when the local day or week of each instant began."""
    begins = np.empty_like(times)
    for site in np.unique(sites).tolist():
        rows = np.flatnonzero(sites == site)
        local = world.local[site]
        days = local.from_utc(times[rows]) // DAY_MS
        if reset == "week":
            days = days - (days + 3) % 7
        found, inverse = np.unique(days, return_inverse=True)
        begins[rows] = local.day_starts_ms(found)[inverse]
    return begins


def mean_count(per_hour: Floats, profile: Profile | None, rows: Rows) -> Floats:
    """Return how many are expected in the interval that ends at each row; NaN where the rate is."""
    hours: Floats = np.asarray(rows.interval_ms / HOUR_MS)
    if profile is not None:
        ends = profile.hours_until(rows.world, rows.sites, rows.times)
        hours = ends - profile.hours_until(rows.world, rows.sites, rows.times - rows.interval_ms)
    return np.asarray(np.maximum(per_hour, 0.0) * hours)
