"""Slow functions of time, computed at regular instants (knots) and interpolated linearly between them.

Knots lie at multiples of the step since 1970, so a value does not depend on which others were asked for; what is
kept of them is only to save time.
"""

from collections.abc import Callable

import numpy as np

from devices.world.rng import Floats, Ints

# A key is an entity and a knot: knot numbers, shifted to be positive, fit into these bits for 500,000 years of minutes.
_KNOT_BITS = 40
_KNOT_ZERO = 1 << (_KNOT_BITS - 1)


class Knots:
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

    def at(self, entities: Ints, times_ms: Ints) -> Floats:
        """The values of each entity at each instant, a row each."""
        knot, within = np.divmod(times_ms, self._step_ms)
        keys = (entities << _KNOT_BITS) + (knot + _KNOT_ZERO)
        wanted, position = np.unique(np.concatenate([keys, keys + 1]), return_inverse=True)
        values = self._look_up(wanted)
        share = (within / self._step_ms)[:, None]
        left, right = values[position[: len(keys)]], values[position[len(keys) :]]
        return np.asarray(left + (right - left) * share)

    def nearest(self, entities: Ints, times_ms: Ints) -> Floats:
        """The values at the last knot before each instant."""
        keys = (entities << _KNOT_BITS) + (times_ms // self._step_ms + _KNOT_ZERO)
        wanted, position = np.unique(keys, return_inverse=True)
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
