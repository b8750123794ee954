"""The primitive fields of MQTT: integers, variable byte integers, strings, binary data.

Writers raise `Unsendable` for a value that has no form on the wire; `FieldReader` raises `ProtocolError` alone.
"""

import struct

from edgewire.mqtt.errors import MALFORMED_PACKET, ProtocolError, Unsendable

VARINT_MAX = 268_435_455
"""The largest variable byte integer, and so the longest packet without its fixed header."""

U16 = struct.Struct(">H")


def malformed(message: str) -> ProtocolError:
    """Return the error for bytes that are no MQTT packet."""
    return ProtocolError(message, MALFORMED_PACKET)


def write_int(value: int, size: int) -> bytes:
    """Return a big-endian integer of `size` bytes."""
    try:
        return value.to_bytes(size, "big")
    except OverflowError:
        raise Unsendable(f"{value} does not fit into {size} bytes") from None


def write_varint(value: int) -> bytes:
    """Return a variable byte integer: seven bits a byte, the lowest first."""
    if not 0 <= value <= VARINT_MAX:
        raise Unsendable(f"{value} is outside 0 to {VARINT_MAX}")
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_binary(value: bytes) -> bytes:
    """Return binary data after its two-byte length."""
    if len(value) > 65535:
        raise Unsendable(f"a field of {len(value)} bytes is longer than 65535")
    return U16.pack(len(value)) + value


def write_text(value: str) -> bytes:
    """Return UTF-8 text after its two-byte length; U+0000 and lone surrogates are forbidden."""
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        raise Unsendable(f"{value!r} has no UTF-8 form") from None
    if 0 in encoded:
        raise Unsendable(f"{value!r} contains U+0000")
    return write_binary(encoded)


def decode_text(data: bytes) -> str:
    """Return strict UTF-8 without U+0000 as text."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise malformed("a string is not UTF-8") from None
    if "\0" in text:
        raise malformed("a string contains U+0000")
    return text


class FieldReader:
    """Reads fields from one packet body, never beyond its end."""

    __slots__ = ("_data", "_pos")

    def __init__(self, data: bytes, pos: int = 0) -> None:
        self._data = data
        self._pos = pos

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        stop = self._pos + size
        if stop > len(self._data):
            raise malformed("a packet ends inside a field")
        found = self._data[self._pos : stop]
        self._pos = stop
        return found

    def u8(self) -> int:
        """Return one byte."""
        return self.read(1)[0]

    def u16(self) -> int:
        """Return a big-endian integer of two bytes."""
        value: int = U16.unpack(self.read(2))[0]
        return value

    def varint(self) -> int:
        """Return a variable byte integer."""
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.u8()
            value |= (byte & 127) << shift
            if byte < 128:
                # 2.1: the shortest form is the only one, as for the remaining length.
                if not byte and shift:
                    raise malformed("a variable byte integer is longer than it needs to be")
                return value
        raise malformed("a variable byte integer has more than four bytes")

    def binary(self) -> bytes:
        """Return binary data, which its two-byte length precedes."""
        return self.read(self.u16())

    def text(self) -> str:
        """Return text, which its two-byte length precedes."""
        return decode_text(self.binary())

    def packet_id(self) -> int:
        """Return a packet identifier, which is not 0."""
        value = self.u16()
        if not value:
            raise malformed("a packet identifier is 0")
        return value

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.read(len(self._data) - self._pos)

    @property
    def more(self) -> bool:
        """Tell whether any byte is left."""
        return self._pos < len(self._data)

    def end(self) -> None:
        """Raise if anything is left over."""
        if self.more:
            raise malformed(f"{len(self._data) - self._pos} bytes follow the end of a packet")
