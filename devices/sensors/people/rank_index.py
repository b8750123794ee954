"""A rank index tells how many of the first flags of a long row are set, in a bit and a half a flag."""

import numpy as np

from devices.world.random import Flags, Hashes, Ints

_WORD = 64


class RankIndex:
    """Index flags that are given once; `rank` answers from whole words of them and the bits of one."""

    __slots__ = ("_before", "_words")

    def __init__(self, flags: Flags) -> None:
        # One word more, so that the count before the end is found as any other.
        padded = np.zeros((len(flags) // _WORD + 1) * _WORD, dtype=np.bool_)
        padded[: len(flags)] = flags
        self._words: Hashes = np.packbits(padded, bitorder="little").view("<u8").astype(np.uint64)
        counts = np.bitwise_count(self._words)
        self._before = np.concatenate([[0], np.cumsum(counts[:-1], dtype=np.int32)]).astype(np.int32)

    def rank(self, position: Ints) -> Ints:
        """Count the flags set before each position, which is 0 to the number of flags."""
        word, bit = np.divmod(position, _WORD)
        below = (np.uint64(1) << bit.astype(np.uint64)) - np.uint64(1)
        return np.asarray(self._before[word] + np.bitwise_count(self._words[word] & below).astype(np.int64))
