"""What the fleet's vehicles are driven for: what a unit in them says, or else by their number."""

import numpy as np

from devices.world.random import Ints, hash_bits, uniform
from devices.world.world import VEHICLE_USES, SiteArrays, World

_TAXIS = 0.4
"""Share of the vehicles of which nothing is said; the others deliver. By judgement: so some drive at any hour."""


class VehicleUses:
    """The uses of the vehicles of a world; that of one does not depend on which others there are."""

    def __init__(self, world: World, site_arrays: SiteArrays) -> None:
        self._world, self._site_arrays = world, site_arrays

    def of(self, sites: Ints, vehicles: Ints) -> Ints:
        """Return the uses of these vehicles, as positions in `VEHICLE_USES`."""
        draw = uniform(hash_bits(self._world.seed, "vehicle/use", self._site_arrays.keys[sites], vehicles))
        found = np.where(draw < _TAXIS, VEHICLE_USES.index("taxi"), VEHICLE_USES.index("delivery"))
        for site, (numbers, uses) in self._world.uses.items():
            rows = np.flatnonzero(sites == site)
            at = np.minimum(numbers.searchsorted(vehicles[rows]), len(numbers) - 1)
            found[rows] = np.where(numbers[at] == vehicles[rows], uses[at], found[rows])
        return found
