"""Readers of the packets that servers send, and of those that both sides send. See `decode`."""

from collections.abc import Callable
from typing import TypeVar

from edgewire.mqtt.codec import Reader, malformed
from edgewire.mqtt.errors import ProtocolError
from edgewire.mqtt.packets import (
    Auth,
    Connack,
    Disconnect,
    Packet,
    Pingresp,
    Puback,
    Pubcomp,
    Pubrec,
    Pubrel,
    Suback,
    Unsuback,
    Version,
)
from edgewire.mqtt.properties import NO_PROPERTIES, Place, Properties, read_properties

_T = TypeVar("_T")
BodyReader = Callable[[int, bytes, Version], Packet]
"""Takes the first byte, the body and the version."""


def properties_of(reader: Reader, place: Place, version: Version) -> Properties:
    return read_properties(reader, place) if version is Version.V5 else NO_PROPERTIES


def _code_and_properties(reader: Reader, place: Place, version: Version) -> tuple[int, Properties]:
    """The optional end of many version 5 packets: nothing means success, a code may stand without properties."""
    code, properties = 0, NO_PROPERTIES
    if version is Version.V5 and reader.more:
        code = reader.u8()
        if reader.more:
            properties = read_properties(reader, place)
    reader.end()
    return code, properties


def read_acknowledgement(kind: type[Puback] | type[Pubrec] | type[Pubrel] | type[Pubcomp]) -> BodyReader:
    place = Place[kind.__name__.upper()]

    def read(first: int, body: bytes, version: Version) -> Packet:
        reader = Reader(body)
        return kind(reader.packet_id(), *_code_and_properties(reader, place, version))

    return read


def read_connack(first: int, body: bytes, version: Version) -> Connack:
    reader = Reader(body)
    flags, code = reader.u8(), reader.u8()
    if flags > 1:
        raise malformed(f"CONNACK has the flags 0x{flags:02x}")
    if flags and code:
        raise ProtocolError("CONNACK refuses the connection and has a session for it")
    if version is Version.V5 and reader.more:
        properties = read_properties(reader, Place.CONNACK)
    else:
        # Also a server that knows 3.1.1 alone and refuses our version 5 in its own form.
        properties = NO_PROPERTIES
        if not code if version is Version.V5 else code > 5:
            raise malformed(f"CONNACK has the code {code} and no properties")
    reader.end()
    return Connack(bool(flags), code, properties)


def read_suback(first: int, body: bytes, version: Version) -> Suback:
    reader = Reader(body)
    packet_id = reader.packet_id()
    properties = properties_of(reader, Place.SUBACK, version)
    codes = not_empty(tuple(reader.rest()), "SUBACK")
    if version is not Version.V5 and not {0, 1, 2, 0x80}.issuperset(codes):
        raise malformed(f"SUBACK has the codes {codes}")
    return Suback(packet_id, codes, properties)


def read_unsuback(first: int, body: bytes, version: Version) -> Unsuback:
    reader = Reader(body)
    packet_id = reader.packet_id()
    if version is not Version.V5:
        reader.end()
        return Unsuback(packet_id)
    properties = read_properties(reader, Place.UNSUBACK)
    return Unsuback(packet_id, not_empty(tuple(reader.rest()), "UNSUBACK"), properties)


def not_empty(items: tuple[_T, ...], name: str) -> tuple[_T, ...]:
    if not items:
        raise ProtocolError(f"{name} is empty")
    return items


def read_pingresp(first: int, body: bytes, version: Version) -> Pingresp:
    Reader(body).end()
    return Pingresp()


def read_disconnect(first: int, body: bytes, version: Version) -> Disconnect:
    return Disconnect(*_code_and_properties(Reader(body), Place.DISCONNECT, version))


def read_auth(first: int, body: bytes, version: Version) -> Auth:
    if version is not Version.V5:
        raise malformed("MQTT 3.1.1 has no AUTH packet")
    return Auth(*_code_and_properties(Reader(body), Place.AUTH, version))
