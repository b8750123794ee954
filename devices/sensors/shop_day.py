"""One local day at the doors of many shops: when each message is due, and what the counters have counted by then.

Everything is sorted by shop and time under one code, so a question about all shops is one binary search.
"""

import numpy as np
from numpy.typing import NDArray

from devices.world import World
from devices.world.rng import Ints, draw, uniform
from devices.world.shops import Shops
from devices.world.site import DAY_MS

# What a message is; at one moment an exit comes before its session.
ENTRY, EXIT, SESSION = 0, 1, 2
# A local day, with an hour more in autumn, lies anywhere within three days from a day before its number.
_SPAN_MS = 4 * DAY_MS


class ShopDay:
    """The messages of a day: 3 a visit, in the order of shop, time, visitor and sort."""

    def __init__(self, world: World, shops: Shops, day: int, accuracy: float) -> None:
        self._world, self._shops, self._day = world, shops, day
        self._base = (day - 1) * DAY_MS
        visits = self._visits = shops.visits(world, day)
        entries, exits = self._code(visits.shops, visits.entries_ms), self._code(visits.shops, visits.exits_ms)
        count = len(entries)
        codes = np.concatenate([entries, exits, exits])
        sorts = np.repeat(np.array([ENTRY, EXIT, SESSION], dtype=np.int8), count)
        visitors = np.tile(np.arange(count), 3)
        order = np.lexsort((sorts, visitors, codes))
        self._codes, self._sorts, self._visitors = codes[order], sorts[order], visitors[order]
        leaving = np.argsort(exits, kind="stable")
        self._sides = (entries, exits[leaving])
        self._counted = tuple(
            np.concatenate([[0], np.cumsum(self._seen(f"people/{way}", rows, accuracy))])
            for way, rows in (("in", np.arange(count)), ("out", leaving))
        )

    def before(self, shops: Ints, time_ms: int) -> Ints:
        """Messages of each shop before an instant."""
        return np.asarray(self._at(shops, time_ms) - self._first(shops))

    def in_all(self, shops: Ints) -> Ints:
        """Messages of each shop."""
        return np.asarray(self._first(shops + 1) - self._first(shops))

    def rows(self, shops: Ints, start_ms: int, stop_ms: int) -> tuple[Ints, Ints]:
        """The messages in [start_ms, stop_ms): for each the position of its shop in `shops`, and its row."""
        first, stop = self._at(shops, start_ms), self._at(shops, stop_ms)
        counts = stop - first
        owner = np.repeat(np.arange(len(shops)), counts)
        return owner, np.arange(len(owner)) + np.repeat(first - (np.cumsum(counts) - counts), counts)

    def times(self, rows: Ints) -> Ints:
        """When these messages are due."""
        return np.asarray(self._codes[rows] % _SPAN_MS + self._base)

    def details(self, rows: Ints) -> tuple[NDArray[np.int8], Ints, Ints]:
        """Sort of these messages, and entry and exit of the visits they are of."""
        visitors = self._visitors[rows]
        return self._sorts[rows], self._visits.entries_ms[visitors], self._visits.exits_ms[visitors]

    def customers(self, rows: Ints) -> list[str]:
        """A version 4 UUID for the visitor of each message."""
        visitors = self._visitors[rows]
        counters = (self._shops.keys[self._visits.shops[visitors]], self._day, self._visits.numbers[visitors])
        high = draw(self._world.seed, "shop/customer/a", *counters) & np.uint64(0xFFFFFFFFFFFF0FFF) | np.uint64(0x4000)
        low = draw(self._world.seed, "shop/customer/b", *counters) & np.uint64(2**62 - 1) | np.uint64(2**63)
        return [
            f"{a >> 32:08x}-{a >> 16 & 0xFFFF:04x}-{a & 0xFFFF:04x}-{b >> 48:04x}-{b & 0xFFFFFFFFFFFF:012x}"
            for a, b in zip(high.tolist(), low.tolist(), strict=True)
        ]

    def counted(self, shops: Ints, times_ms: Ints) -> Ints:
        """Entries and exits (a row each) that the counters have seen from local midnight to these instants."""
        codes = self._code(shops, times_ms)
        found = [
            counted[side.searchsorted(codes, side="right")] - counted[side.searchsorted(shops * _SPAN_MS)]
            for side, counted in zip(self._sides, self._counted, strict=True)
        ]
        return np.stack(found)

    def counted_in_all(self, shops: Ints) -> Ints:
        """As `counted`, over the whole day."""
        found = [
            counted[side.searchsorted((shops + 1) * _SPAN_MS)] - counted[side.searchsorted(shops * _SPAN_MS)]
            for side, counted in zip(self._sides, self._counted, strict=True)
        ]
        return np.stack(found)

    def _seen(self, stream: str, visitors: Ints, accuracy: float) -> NDArray[np.bool_]:
        keys = self._shops.keys[self._visits.shops[visitors]]
        chance = uniform(draw(self._world.seed, stream, keys, self._day, self._visits.numbers[visitors]))
        return np.asarray(chance < accuracy)

    def _code(self, shops: Ints, times_ms: Ints) -> Ints:
        return np.asarray(shops * _SPAN_MS + np.clip(times_ms - self._base, 0, _SPAN_MS - 1))

    def _at(self, shops: Ints, time_ms: int) -> Ints:
        return np.asarray(self._codes.searchsorted(self._code(shops, np.full(len(shops), time_ms))))

    def _first(self, shops: Ints) -> Ints:
        return np.asarray(self._codes.searchsorted(shops * _SPAN_MS))
