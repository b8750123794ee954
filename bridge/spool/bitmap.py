"""Flags the messages above a cursor that are done with: a flag each, in blocks of 4,096 ids.

In memory a block is a bytearray of ASCII digits, which marks and searches at C speed; on disk it is a bit each, so a
million messages behind one that is stuck cost 125 KB, whatever their order. Pure.
"""

SHIFT = 12

SIZE = 1 << SHIFT
"""Ids a block; block n holds the ids from n * SIZE."""

MASK = SIZE - 1

FULL = (1 << SIZE) - 1

DONE = ord("1")

_OPEN = b"0"


def empty_flags() -> bytearray:
    """Return the flags of a block of which nothing is done."""
    return bytearray(_OPEN * SIZE)


def next_open(flags: bytearray, start: int) -> int:
    """Return the first position from `start` that is not done; SIZE for none."""
    found = flags.find(_OPEN, start)
    return SIZE if found < 0 else found


def bits_of(flags: bytes) -> int:
    """Return the flags as a number whose bit n is flag n."""
    return int(flags[::-1], 2)


def flags_of(bits: int) -> bytearray:
    """Return the flags of which `bits_of` made this number."""
    return bytearray(f"{bits:0{SIZE}b}"[::-1].encode())


def to_disk(bits: int) -> bytes:
    """Return the form in which a block is stored."""
    return bits.to_bytes(SIZE // 8, "little")


def from_disk(stored: bytes) -> int:
    """Return the number of which `to_disk` made this."""
    return int.from_bytes(stored, "little")


def bits_above(bits: int, block: int, cursor: int) -> int:
    """Return the bits of those ids of the block that are beyond `cursor`."""
    passed = min(max(cursor + 1 - (block << SHIFT), 0), SIZE)
    return bits >> passed << passed


def bits_upto(block: int, cursor: int) -> int:
    """Return a bit for each id of the block that is not beyond `cursor`."""
    return FULL ^ bits_above(FULL, block, cursor)


def ids_of(bits: int, block: int) -> list[int]:
    """Return the ids whose bits are set."""
    first = block << SHIFT
    return [first + position for position, flag in enumerate(flags_of(bits)) if flag == DONE]
