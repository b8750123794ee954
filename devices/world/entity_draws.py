"""Random bits of entities whose rows stand in runs: what follows from the entity alone is hashed once a run.

A reading's bits are those of its device, continued by its time; a device has dozens of readings in a row, and hashing
its key takes as long as hashing the time.
"""

from devices.world.random import Hashes, Ints, extend, hash_bits
from devices.world.runs import Runs


class EntityDraws:
    """Draws by the keys of entities, one a row, and further counters."""

    def __init__(self, seed: int, *keys: Hashes | Ints) -> None:
        """An entity is known by all of its keys together."""
        self._seed = seed
        self._runs = Runs(*keys)
        self._keys = [column[self._runs.first] for column in keys]

    def bits(self, stream: str, *counters: Hashes | Ints | int) -> Hashes:
        """Return the bits of each row: `hash_bits(seed, stream, *keys, *counters)`."""
        return extend(self._runs.spread(hash_bits(self._seed, stream, *self._keys)), *counters)
