"""Cuts a stream of bytes into packets: first byte and body. Knows nothing of what is in a body.

A length on the wire is checked against the limit before its body has arrived and never allocated: only bytes that are
here are held, and each is copied a bounded number of times however small the chunks are.
"""

from collections.abc import Iterator

from edgewire.mqtt.codec import malformed
from edgewire.mqtt.errors import PACKET_TOO_LARGE, ProtocolError

Frame = tuple[int, bytes]
"""The first byte of a packet and its body."""


def _first_byte_is_valid(first: int) -> bool:
    if first >> 4 == 3:
        qos, dup = first >> 1 & 3, first & 8
        return qos != 3 and not (dup and not qos)
    # 2.1.3: three types have the flags 0010, all others 0000; type 0 is forbidden.
    return first >> 4 != 0 and first & 15 == (2 if first >> 4 in (6, 8, 10) else 0)


_VALID = bytes(map(_first_byte_is_valid, range(256)))


class FrameReader:
    """Reads whole frames from chunks of any size. `limit` is the largest packet taken, its header included."""

    __slots__ = ("_limit", "_needed", "_partial")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._partial: bytearray | None = None
        self._needed = 0

    def feed(self, data: bytes, *, first_only: bool = False) -> Iterator[Frame]:
        """Yield the frames that `data` completes; iterate to the end. With `first_only` all after one are kept back.

        Raises `ProtocolError` at the first byte that cannot be right, after the frames before it.
        """
        partial = self._partial
        if partial is not None:
            partial += data
            if len(partial) < self._needed:
                return
            data = bytes(partial)
            self._partial = None
        pos, end = 0, len(data)
        while pos < end:
            first = data[pos]
            if not _VALID[first]:
                raise malformed(f"a packet begins with the byte 0x{first:02x}")
            start = pos + 2
            if start > end:
                self._keep(data, pos, 2)
                return
            length = data[pos + 1]
            if length > 127:
                # Most messages have a length of two bytes; the loop for the others takes several times as long.
                if start < end and 0 < data[start] < 128:
                    length = length & 127 | data[start] << 7
                    start += 1
                else:
                    length, start = _long_length(data, pos)
                    if not start:
                        self._keep(data, pos, end - pos + 1)
                        return
            stop = start + length
            if stop - pos > self._limit:
                raise ProtocolError(
                    f"a packet of {stop - pos} bytes is larger than the {self._limit} we take", PACKET_TOO_LARGE
                )
            if stop > end:
                self._keep(data, pos, stop - pos)
                return
            yield first, data[start:stop]
            pos = stop
            if first_only:
                self._keep(data, pos, 0)
                return

    def _keep(self, data: bytes, pos: int, needed: int) -> None:
        self._partial = bytearray(data[pos:])
        self._needed = needed


def _long_length(data: bytes, pos: int) -> tuple[int, int]:
    """Return the remaining length that begins after `pos`, and where the body starts: 0 if it has not arrived whole."""
    length = 0
    for count, byte in enumerate(data[pos + 1 : pos + 5]):
        length |= (byte & 127) << 7 * count
        if byte < 128:
            if not byte:
                raise malformed("a remaining length is longer than it needs to be")
            return length, pos + 2 + count
        if count == 3:
            raise malformed("a remaining length has more than four bytes")
    return 0, 0
