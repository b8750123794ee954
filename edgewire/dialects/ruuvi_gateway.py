"""Ruuvi Gateway: what it has heard of RuuviTags, each advertisement a message.

Read in Ruuvi's documentation (gateway, time-stamped data; data formats 3 and 5, with their test vectors). Quirks: times
are texts; `data` is the whole advertisement, in which the maker's part stands behind others; each value has a number of
its own that says that there is none.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from edgewire.config import Config
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, Value, unread
from edgewire.dialects.times import device_time
from edgewire.dialects.values import number, read_object, shown

_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_RUUVI = b"\x99\x04"
"""The maker's number, 0x0499, as it stands in an advertisement."""
_MAKERS_DATA = 0xFF
_LONGEST_DATA = 512
"""Hexadecimal digits; an advertisement has 31 bytes, an extended one up to 254."""
_RAW_5 = struct.Struct(">hHHhhhHBH")
_RAW_3 = struct.Struct(">BBBHhhhH")


class RuuviGatewayOptions(Config):
    """Has no keys: what a gateway says needs none."""


class RuuviGatewayDecoder:
    """Reads advertisements of tags, and whether the gateway is there."""

    filters = ("ruuvi/+/+",)

    def __init__(self, options: RuuviGatewayOptions | None = None) -> None:
        pass

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what an advertisement says. Raises `DialectError`."""
        levels = topic.rsplit("/", 2)
        if len(levels) != 3 or not _MAC.fullmatch(levels[1]):
            raise DialectError(f"topic '{topic}' is none of a Ruuvi Gateway: they are ruuvi/GATEWAY/TAG")
        gateway, tag = levels[1:]
        body = read_object(payload)
        if tag == "gw_status":
            online = body.get("state") == "online"
            return unread(gateway, MessageRole.AVAILABILITY, arrival, body, {"online": online})
        if not _MAC.fullmatch(tag):
            raise DialectError(f"topic '{topic}' is none of a Ruuvi Gateway: {shown(tag)} is no address of a tag")
        values = dict(_advertised(body.get("data")))
        if (rssi := number(body.get("rssi"))) is not None:
            values["rssi_dbm"] = rssi
        at_ms, time_source, told = device_time(body.get("ts"), arrival)
        remarks = (told,) if told else ()
        extra = {"gateway": gateway}
        role = MessageRole.READING
        return DialectMessage(tag, role, at_ms, time_source, values, "", {}, extra, arrival.retained, remarks)


def _advertised(data: object) -> Iterator[tuple[str, Value]]:
    """Yield the values of an advertisement. Raises `DialectError`."""
    if not isinstance(data, str) or len(data) > _LONGEST_DATA:
        raise DialectError(f"data is {shown(data)}, and no advertisement in hexadecimal digits")
    try:
        left = bytes.fromhex(data)
    except ValueError:
        raise DialectError(f"data is {shown(data)}, and no advertisement in hexadecimal digits") from None
    while len(left) > 1:
        # A part has its length, a type and what it says.
        part, left = left[1 : left[0] + 1], left[left[0] + 1 :]
        if part[:1] == bytes([_MAKERS_DATA]) and part[1:3] == _RUUVI:
            form, said = part[3:4], part[4:]
            read = _FORMATS.get(form[0]) if form else None
            if read is None:
                raise DialectError(f"the advertisement is of Ruuvi's data format {form.hex()}, and 3 and 5 are read")
            try:
                return read(said)
            except struct.error:
                raise DialectError(f"the advertisement ends in the middle, after {len(said)} bytes") from None
    raise DialectError(f"data is {shown(data)}, which no Ruuvi tag advertises")


def _format_5(said: bytes) -> Iterator[tuple[str, Value]]:
    air, humidity, pressure, x, y, z, power, moves, sequence = _RAW_5.unpack(said[: _RAW_5.size])
    volts, sent_with = power >> 5, power & 31
    told: list[tuple[str, int, int, Value]] = [
        ("temperature_c", air, -0x8000, round(air * 0.005, 3)),
        ("humidity", humidity, 0xFFFF, round(humidity * 0.0025, 4)),
        ("pressure_hpa", pressure, 0xFFFF, round((pressure + 50_000) / 100, 2)),
        *((f"acceleration_{axis}_g", one, -0x8000, one / 1000) for axis, one in zip("xyz", (x, y, z), strict=True)),
        ("battery_v", volts, 2047, (volts + 1600) / 1000),
        ("tx_power_dbm", sent_with, 31, sent_with * 2 - 40),
        ("movements", moves, 0xFF, moves),
        ("sequence", sequence, 0xFFFF, sequence),
    ]
    return ((name, value) for name, raw, none, value in told if raw != none)


def _format_3(said: bytes) -> Iterator[tuple[str, Value]]:
    humidity, degrees, hundredths, pressure, x, y, z, millivolts = _RAW_3.unpack(said[: _RAW_3.size])
    size = (degrees & 0x7F) + hundredths / 100
    told: dict[str, Value] = {
        "humidity": humidity / 2,
        "temperature_c": round(-size if degrees & 0x80 else size, 2),
        "pressure_hpa": round((pressure + 50_000) / 100, 2),
        **{f"acceleration_{axis}_g": one / 1000 for axis, one in zip("xyz", (x, y, z), strict=True)},
        "battery_v": millivolts / 1000,
    }
    return iter(told.items())


_FORMATS: Mapping[int, Callable[[bytes], Iterator[tuple[str, Any]]]] = MappingProxyType({3: _format_3, 5: _format_5})
