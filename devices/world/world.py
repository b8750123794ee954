"""The one world all devices of a scenario share: its seed, its places, and who drives through them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from devices.world.rng import Floats, Ints
from devices.world.site import LocalTime, Site

Haste = Callable[[Ints, Ints, Ints, Ints], Floats]
"""How much faster than usual vehicles (site, ordinal) are driven on the whole stretch from one instant to another, in
standard deviations of the road's speeds; a row each, 0 for as usual."""


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Everything in it is a pure function of (seed, entity, time); this only says what there is."""

    seed: int
    sites: tuple[Site, ...]
    local: tuple[LocalTime, ...]
    """Local time of each site."""
    vehicles: Mapping[int, Ints]
    """Ordinals of the fleet's vehicles at each site, by the site's position in `sites`."""
    haste: Haste | None = None
    """Who is in a burst of speeding when; None where nobody ever is."""

    @classmethod
    def of(cls, seed: int, sites: Sequence[Site], vehicles: Mapping[int, str] | None = None) -> "World":
        """A world with these sites; `vehicles` maps the ordinal of each vehicle of the fleet to its site's name."""
        at: dict[str, list[int]] = {site.name: [] for site in sites}
        for ordinal, site in sorted((vehicles or {}).items()):
            at[site].append(ordinal)
        return cls(
            seed,
            tuple(sites),
            tuple(LocalTime(site.timezone) for site in sites),
            {index: np.array(at[site.name], dtype=np.int64) for index, site in enumerate(sites)},
        )

    def local_ms(self, sites: Ints, times_ms: Ints) -> Ints:
        """Local wall-clock milliseconds at each site and instant."""
        local = np.empty_like(times_ms)
        for site in np.unique(sites):
            rows = sites == site
            local[rows] = self.local[site].of(times_ms[rows])
        return local
