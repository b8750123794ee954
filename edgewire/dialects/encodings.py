"""Encodings of a payload beside JSON: CBOR (RFC 8949) and MessagePack. What they say is what JSON can say.

A payload is turned into JSON where it is read, and made of JSON where it is sent, so that all between knows JSON alone:
a number that is a double in one is the same double in the other.
"""

import base64
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import orjson

from edgewire.dialects.base import DialectError
from edgewire.dialects.cbor import read_cbor, write_cbor
from edgewire.dialects.values import MAX_PAYLOAD
from edgewire.errors import ConfigError
from edgewire.extras import require_extra

EncodingName = Literal["json", "cbor", "msgpack"]


class Encoding(NamedTuple):
    """Turns payloads into JSON and back."""

    name: str
    title: str
    """What people call it."""
    content_type: str
    """Its media type, for MQTT 5."""
    from_json: Callable[[bytes], bytes]
    """Returns a payload that is JSON in this encoding."""
    read: Callable[[bytes], Any]
    """Returns what a payload says. Raises `DialectError`."""

    def to_json(self, payload: bytes) -> bytes:
        """Return a payload as JSON. Raises `DialectError` for what is none of this encoding, or no JSON could say."""
        if len(payload) > MAX_PAYLOAD:
            raise DialectError(f"payload of {len(payload):,} bytes is longer than the {MAX_PAYLOAD:,} allowed")
        found = self.read(payload)
        try:
            return orjson.dumps(found, default=_as_text)
        except (orjson.JSONEncodeError, RecursionError) as error:
            raise DialectError(f"payload of {self.title} says what no JSON can: {error}") from None


def find_encoding(name: EncodingName) -> Encoding | None:
    """Return an encoding by its name; None for JSON."""
    return ENCODINGS.get(name)


def encoding_fault(name: EncodingName) -> str | None:
    """Return why an encoding cannot be used here, with what to install; None where it can."""
    if name != "msgpack":
        return None
    try:
        require_extra("msgpack", "msgpack", "encoding: msgpack")
    except ConfigError as error:
        return str(error)
    return None


def _as_text(value: Any) -> str:
    """Return what JSON has no type for: bytes as base64url without padding (RFC 8949, 6.1), instants in ISO 8601."""
    if isinstance(value, bytes):
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
    try:
        # Of MessagePack's own type of instants.
        return str(value.to_datetime().isoformat())
    except (AttributeError, OverflowError, ValueError, OSError):
        raise TypeError from None


def _read_msgpack(payload: bytes) -> Any:
    import msgpack

    try:
        return msgpack.unpackb(payload, ext_hook=_refuse_extension)
    except msgpack.ExtraData as error:
        read = len(payload) - len(error.extra)
        raise DialectError(f"payload of MessagePack ends after {read:,} bytes, and has {len(payload):,}") from None
    except msgpack.StackError:
        raise DialectError("payload of MessagePack is nested too deep") from None
    except DialectError:
        raise
    except (ValueError, msgpack.UnpackException) as error:
        raise DialectError(f"payload is not MessagePack: {str(error)[:100] or 'it cannot be read'}") from None


def _refuse_extension(code: int, _data: bytes) -> Any:
    raise DialectError(f"payload of MessagePack has the extension {code}, which JSON has no word for")


def _write_msgpack(payload: bytes) -> bytes:
    import msgpack

    packed: bytes = msgpack.packb(orjson.loads(payload))
    return packed


ENCODINGS: Mapping[str, Encoding] = MappingProxyType(
    {
        one.name: one
        for one in (
            Encoding("cbor", "CBOR", "application/cbor", lambda payload: write_cbor(orjson.loads(payload)), read_cbor),
            Encoding("msgpack", "MessagePack", "application/vnd.msgpack", _write_msgpack, _read_msgpack),
        )
    }
)
"""Name -> encoding."""


def likely_encoding(payload: bytes) -> Encoding | None:
    """Return the encoding that an object begins with, to tell a person who reads it as JSON; None for any other."""
    first = payload[0] if payload else 0
    if 0xA0 <= first <= 0xBF:
        return ENCODINGS["cbor"]
    return ENCODINGS["msgpack"] if 0x80 <= first <= 0x8F or first in (0xDE, 0xDF) else None
