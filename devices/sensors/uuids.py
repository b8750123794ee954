"""UUIDs of version 4 (RFC 9562) made of hashes, for a whole column at once."""

import numpy as np
from numpy.typing import NDArray

from devices.sensors.columns import FixedTextColumn
from devices.world.random import Hashes

_VERSION_MASK, _VERSION = np.uint64(0xFFFFFFFFFFFF0FFF), np.uint64(0x4000)
_VARIANT_MASK, _VARIANT = np.uint64(0x3FFFFFFFFFFFFFFF), np.uint64(0x8000000000000000)
_DIGITS = 32
_HYPHENS = (8, 13, 18, 23)


def uuid4_hex(high: Hashes, low: Hashes) -> FixedTextColumn:
    """Return 32 hexadecimal digits for each pair of random halves."""
    return FixedTextColumn(_digits(high, low))


def uuid4_texts(high: Hashes, low: Hashes) -> FixedTextColumn:
    """Return the usual text, with hyphens, for each pair of random halves."""
    places = [at - number for number, at in enumerate(_HYPHENS)]
    return FixedTextColumn(np.insert(_digits(high, low), places, ord("-"), axis=1))


def _digits(high: Hashes, low: Hashes) -> NDArray[np.uint8]:
    halves = np.stack([high & _VERSION_MASK | _VERSION, low & _VARIANT_MASK | _VARIANT], axis=1)
    text = halves.astype(">u8").tobytes().hex().encode()
    return np.frombuffer(text, dtype=np.uint8).reshape(-1, _DIGITS)
