"""UUIDs of version 4 (RFC 9562) made of hashes, for a whole column at once."""

import numpy as np

from devices.world.random import Hashes

_VERSION_MASK, _VERSION = np.uint64(0xFFFFFFFFFFFF0FFF), np.uint64(0x4000)
_VARIANT_MASK, _VARIANT = np.uint64(0x3FFFFFFFFFFFFFFF), np.uint64(0x8000000000000000)
_DIGITS, _TEXT = 32, 36
_HYPHENS = (8, 13, 18, 23)


def uuid4_hex(high: Hashes, low: Hashes) -> list[str]:
    """Return 32 hexadecimal digits for each pair of random halves."""
    digits = _digits(high, low)
    return [digits[begin : begin + _DIGITS] for begin in range(0, len(digits), _DIGITS)]


def uuid4_texts(high: Hashes, low: Hashes) -> list[str]:
    """Return the usual text, with hyphens, for each pair of random halves."""
    digits = np.frombuffer(_digits(high, low).encode(), dtype=np.uint8).reshape(-1, _DIGITS)
    rows = np.insert(digits, [at - number for number, at in enumerate(_HYPHENS)], ord("-"), axis=1)
    text = rows.tobytes().decode()
    return [text[begin : begin + _TEXT] for begin in range(0, len(text), _TEXT)]


def _digits(high: Hashes, low: Hashes) -> str:
    halves = np.stack([high & _VERSION_MASK | _VERSION, low & _VARIANT_MASK | _VARIANT], axis=1)
    return halves.astype(">u8").tobytes().hex()
