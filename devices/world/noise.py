"""Slow randomness and slow quantities, which can be had at any time directly.

Noise is made of independent normals at the points of a time lattice, blended by cosine weights whose squares sum to
one: mean 0 and variance 1 everywhere, not only at the points.

An interpolator computes a slow quantity at regular instants of the clock alone and interpolates between them: what
changes over hours need not be computed for each of a thousand readings of one second. As the instants are multiples
of a step since 1970, a value stays a function of place and time; what is kept of them is only to save time.
"""

from collections.abc import Callable, Sequence

import numpy as np

from devices.world.random import Floats, Hashes, Ints, coarse_normals, extend, hash_bits, normal
from devices.world.runs import Runs, distinct
from devices.world.trigonometry import cosine_sine
from devices.world.world import MINUTE_MS

_OCTAVES = np.array([0.84, 0.46, 0.28]) / np.sqrt(0.84**2 + 0.46**2 + 0.28**2)
"""Weight of the detail at a period, a quarter and a sixteenth of it."""


def smooth_noise(seed: int, stream: str, entity: Hashes | Ints | int, times_ms: Ints, period_ms: Ints | int) -> Floats:
    """Return unit-variance noise of an entity; values a `period_ms` or more apart are independent."""
    return smooth_noise_of(hash_bits(seed, stream, entity), times_ms, period_ms)


def smooth_noise_of(bits: Hashes, times_ms: Ints, period_ms: Ints | int) -> Floats:
    """Return `smooth_noise` for entities and a stream that are already hashed to `bits`."""
    cell, within = _cells(times_ms, period_ms)
    angle = _angle(within / period_ms)
    left, right = _ends(*np.broadcast_arrays(bits, cell))
    cosine, sine = cosine_sine(angle)
    return np.asarray(left * cosine + right * sine)


def _cells(times_ms: Ints, period_ms: Ints | int) -> tuple[Ints, Ints]:
    """Return in which period each instant is, and how far into it; `np.divmod` takes 100 times as long by an array."""
    cell = times_ms // period_ms
    return cell, times_ms - cell * period_ms


def _ends(bits: Hashes, cell: Ints) -> tuple[Floats, Floats]:
    """Return the normals at both ends of each cell, drawn once for readings of one entity in one cell in a row."""
    every_bits, every_cell = bits.ravel(), cell.ravel()
    runs = Runs(every_cell, every_bits)
    every_bits, every_cell = every_bits[runs.first], every_cell[runs.first]
    left, right = normal(extend(every_bits, every_cell)), normal(extend(every_bits, every_cell + 1))
    return runs.spread(left).reshape(cell.shape), runs.spread(right).reshape(cell.shape)


class NoiseSources:
    """Streams of smooth noise that are asked for together, each with its period."""

    def __init__(self, streams: Hashes, periods_ms: Sequence[int]) -> None:
        """`streams` are hashed, and have a period each."""
        self._streams = streams
        self._periods, self._which = np.unique(np.array(periods_ms, dtype=np.int64), return_inverse=True)

    def at(self, entities: Hashes | Ints, times_ms: Ints) -> Floats:
        """Return `smooth_noise` of each entity at each instant, a row a stream.

        Normals are drawn once for readings of one entity in one period in a row, and once for the end of a period and
        the beginning of the next.
        """
        count, which, periods = len(times_ms), self._which, self._periods[:, None]
        if not count:
            return np.empty((len(which), 0))
        cell, within = _cells(times_ms, periods)
        is_new = np.ones(cell.shape, dtype=np.bool_)
        np.not_equal(cell[:, 1:], cell[:, :-1], out=is_new[:, 1:])
        is_new[:, 1:] |= entities[1:] != entities[:-1]
        # The runs of all periods, those of one behind those of another; then those of each stream, likewise.
        first = np.flatnonzero(is_new)
        run = np.cumsum(is_new).reshape(cell.shape) - 1
        begins, ends = run[:, 0], run[:, -1] + 1
        entity, number = entities[first % count], cell.ravel()[first]
        goes_on = np.zeros(len(first), dtype=np.bool_)
        goes_on[:-1] = (entity[1:] == entity[:-1]) & (number[1:] == number[:-1] + 1)
        goes_on[ends - 1] = False
        runs_of = (ends - begins)[which]
        shift = np.cumsum(runs_of) - runs_of - begins[which]
        at = np.arange(runs_of.sum()) - np.repeat(shift, runs_of)
        bits, number = extend(np.repeat(self._streams, runs_of), entity[at]), number[at]
        left = normal(extend(bits, number))
        alone = np.flatnonzero(~goes_on[at])
        right = np.empty_like(left)
        right[:-1] = left[1:]
        right[alone] = normal(extend(bits[alone], number[alone] + 1))
        found = np.empty((len(which), count))
        for period, length_ms in enumerate(self._periods.tolist()):
            cosine, sine = cosine_sine(_angle(within[period] / length_ms))
            for stream in np.flatnonzero(which == period).tolist():
                rows = run[period] + shift[stream]
                np.multiply(left.take(rows), cosine, out=found[stream])
                found[stream] += right.take(rows) * sine
        return found


def fractal_noise(seed: int, stream: str, entity: Hashes | Ints | int, times_ms: Ints, period_ms: Ints | int) -> Floats:
    """Return unit-variance noise with detail at a period, a quarter and a sixteenth of it."""
    total = sum(
        weight * smooth_noise(seed, f"{stream}/{octave}", entity, times_ms, np.maximum(period_ms // 4**octave, 1))
        for octave, weight in enumerate(_OCTAVES)
    )
    return np.asarray(total)


def noise_fields(seed: int, stream: str, x: Floats, y: Floats, times_ms: Ints, periods_ms: Ints) -> Floats:
    """Return unit-variance noise over a plane and time, one row a period; lattice points of the plane are 1 apart.

    Each is `fractal_noise` in time. Sums run term by term, so that a value has the same bits in any company.
    """
    periods = periods_ms[:, None] // 4 ** np.arange(len(_OCTAVES))
    cell, within = _cells(times_ms, periods[..., None])
    time_angle = _angle(within / periods[..., None])
    west, south = np.floor(x), np.floor(y)
    x_angle, y_angle = _angle(x - west), _angle(y - south)
    streams = hash_bits(seed, stream, np.arange(periods.size).reshape(*periods.shape, 1))
    octaves = np.zeros(cell.shape)
    for dy, y_weight in ((0, np.cos(y_angle)), (1, np.sin(y_angle))):
        for dx, x_weight in ((0, np.cos(x_angle)), (1, np.sin(x_angle))):
            place = ((south + dy).astype(np.int64) << 32) ^ ((west + dx).astype(np.int64) & 0xFFFFFFFF)
            there = extend(streams, place)
            before, after = coarse_normals(extend(there, cell)), coarse_normals(extend(there, cell + 1))
            octaves += y_weight * x_weight * (before * np.cos(time_angle) + after * np.sin(time_angle))
    total = np.zeros((len(periods), len(times_ms)))
    for octave, weight in enumerate(_OCTAVES):
        total += weight * octaves[:, octave]
    return total


def _angle(fraction: Floats) -> Floats:
    return np.asarray((fraction * fraction * (3 - 2 * fraction)) * (np.pi / 2))


GRID_MS = 5 * MINUTE_MS
"""The step where none is given."""
# A stretch of the grid is computed for all places, with spare cells ahead, where it has no more points than this
# beyond four for each row asked for; the points of a sparser question are computed one by one.
_SPARE_POINTS = 20_000
_BLOCK_POINTS = 256
_TABLES_KEPT = 16


class GridInterpolator:
    """Quantities of some places over time. The stretches last asked for are kept: small questions cost little."""

    def __init__(self, compute: Callable[[Ints, Ints], Floats], places: int, step_ms: int = GRID_MS) -> None:
        """`compute(places, times)` gives one row of values a quantity; it must be a pure function of each pair."""
        self._compute = compute
        self._places = places
        self._step_ms = step_ms
        self._block = max(1, _BLOCK_POINTS // places)
        self._tables: dict[tuple[int, int], Floats] = {}

    def interpolate(self, places: Ints, times_ms: Ints, wanted: slice = slice(None)) -> Floats:
        """Return the wanted quantities at these places and instants: an array of (quantities, rows)."""
        cell = times_ms // self._step_ms
        share = (times_ms - cell * self._step_ms) / self._step_ms
        if not len(cell):
            return self._compute(places, times_ms)[wanted]
        first, last = int(cell.min()), int(cell.max()) + 1
        if (last - first + 1) * self._places <= _SPARE_POINTS + 4 * len(cell):
            start = first // self._block
            table = self._table(start, last // self._block)
            left = (cell - start * self._block) * self._places + places
            right = left + self._places
        else:
            # Who asks for a full hour of each day, asks for points alone: those after them would count for nothing.
            codes, points = np.unique(
                np.concatenate([cell, cell + (share > 0)]) * self._places + np.concatenate([places, places]),
                return_inverse=True,
            )
            table = self._compute(codes % self._places, codes // self._places * self._step_ms)
            left, right = points[: len(cell)], points[len(cell) :]
        table = table[wanted]
        lower = table.take(left, axis=1, mode="clip")
        return np.asarray(lower + (table.take(right, axis=1, mode="clip") - lower) * share)

    def _table(self, first_block: int, last_block: int) -> Floats:
        """Return all places at the instants of these blocks, place by place within an instant."""
        known = self._tables.get((first_block, last_block))
        if known is None:
            known = self._from_kept(first_block, last_block)
            while len(self._tables) >= _TABLES_KEPT:
                del self._tables[next(iter(self._tables))]
            self._tables[first_block, last_block] = known
        return known

    def _from_kept(self, first_block: int, last_block: int) -> Floats:
        """Return a table of which only the blocks that go beyond those kept are computed: questions follow the time."""
        reaching = [span for span in self._tables if span[0] <= first_block <= span[1]]
        if not reaching:
            return self._computed(first_block, last_block)
        first, last = max(reaching, key=lambda span: span[1])
        points = self._block * self._places
        kept = self._tables[first, last][:, (first_block - first) * points : (last_block + 1 - first) * points]
        if last >= last_block:
            return kept
        return np.concatenate([kept, self._computed(last + 1, last_block)], axis=1)

    def _computed(self, first_block: int, last_block: int) -> Floats:
        cells = np.arange(first_block * self._block, (last_block + 1) * self._block)
        places = np.tile(np.arange(self._places), len(cells))
        return self._compute(places, np.repeat(cells * self._step_ms, self._places))


# A key is an entity and a knot: knot numbers, shifted to be positive, fit into these bits for 500,000 years of minutes.
_KNOT_BITS = 40
_KNOT_ZERO = 1 << (_KNOT_BITS - 1)


class KnotInterpolator:
    """A table of `width` values per entity and knot, filled as needed."""

    def __init__(
        self, compute: Callable[[Ints, Ints], Floats], width: int, step_ms: int, capacity: int = 65_536
    ) -> None:
        """`compute(entities, times_ms)` gives a row of `width` values for each pair."""
        self._compute = compute
        self._step_ms = step_ms
        self._capacity = capacity
        self._rows: dict[int, int] = {}
        self._values: Floats = np.empty((256, width))

    def interpolate(self, entities: Ints, times_ms: Ints) -> Floats:
        """Return the values of each entity at each instant, a row each."""
        knot, within = _cells(times_ms, self._step_ms)
        keys = (entities << _KNOT_BITS) + (knot + _KNOT_ZERO)
        runs = Runs(keys)
        first = keys[runs.first]
        wanted, position = np.unique(np.concatenate([first, first + 1]), return_inverse=True)
        values = self._look_up(wanted)
        share = (within / self._step_ms)[:, None]
        left, right = values[position[: len(first)]], values[position[len(first) :]]
        return np.asarray(runs.spread(left) + runs.spread(right - left) * share)

    def previous(self, entities: Ints, times_ms: Ints) -> Floats:
        """Return the values at the last knot before each instant."""
        keys = (entities << _KNOT_BITS) + (times_ms // self._step_ms + _KNOT_ZERO)
        wanted, _, position = distinct(keys)
        return np.asarray(self._look_up(wanted)[position])

    def _look_up(self, wanted: Ints) -> Floats:
        keys = wanted.tolist()
        rows = self._rows
        missing = [key for key in keys if key not in rows]
        if missing:
            if len(rows) + len(missing) > self._capacity:
                rows.clear()
                missing = keys
            self._add(missing)
        return np.asarray(self._values[[rows[key] for key in keys]])

    def _add(self, keys: list[int]) -> None:
        first = len(self._rows)
        needed = first + len(keys)
        if needed > len(self._values):
            grown = np.empty((max(needed, 2 * len(self._values)), self._values.shape[1]))
            grown[:first] = self._values[:first]
            self._values = grown
        numbers = np.array(keys, dtype=np.int64)
        entities, knots = numbers >> _KNOT_BITS, (numbers & ((1 << _KNOT_BITS) - 1)) - _KNOT_ZERO
        self._values[first:needed] = self._compute(entities, knots * self._step_ms)
        self._rows.update(zip(keys, range(first, needed), strict=True))
