"""What uplinks of LoRaWAN network servers have in common: bytes, what a decoder there made of them, and the radio.

Servers write their messages from protobuf, so that a field that is zero is left out: a missing number is 0 where 0 can
be measured, and no value where it cannot.
"""

import base64
import binascii
import math
import re
from collections.abc import Mapping
from typing import Any

from edgewire.dialects.base import DialectError, Value
from edgewire.dialects.plain_values import check_place, plain_values
from edgewire.dialects.values import number, shown

_EUI = re.compile(r"[0-9a-fA-F]{16}")
_MOST_RECEPTIONS = 1000
_LONGEST_FRAME = 1000
"""Letters of base64; a frame has 242 bytes at the most."""


def read_eui(written: object) -> str:
    """Return an EUI-64 in small letters, as which two servers' are the same. Raises `DialectError`."""
    if not isinstance(written, str) or not _EUI.fullmatch(written):
        raise DialectError(f"{shown(written)} is no EUI of a device, which has 16 hexadecimal digits")
    return written.lower()


def object_at(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return an object of a message, empty where it is not there. Raises `DialectError`."""
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DialectError(f"{key} is {shown(value)}, and no object")
    return value


def whole_at(body: Mapping[str, Any], key: str) -> int:
    """Return a whole number of a message, 0 where it is not there. Raises `DialectError`."""
    value = body.get(key, 0)
    if type(value) is not int or not 0 <= value < 1 << 32:
        raise DialectError(f"{key} is {shown(value)}, and no whole number below 2^32")
    return value


def frame_bytes(written: object, key: str) -> str:
    """Return the bytes of a frame in hexadecimal digits. Raises `DialectError` for what is no base64."""
    if written is None:
        return ""
    try:
        if not isinstance(written, str) or len(written) > _LONGEST_FRAME:
            raise ValueError
        return base64.b64decode(written, validate=True).hex()
    except (ValueError, binascii.Error):
        raise DialectError(f"{key} is {shown(written)}, and no base64 of a frame") from None


def radio_values(receptions: object, key: str) -> tuple[dict[str, Value], int]:
    """Return the signal at the gateway that heard a frame best, and how many heard it. Raises `DialectError`."""
    if receptions is None:
        return {}, 0
    if not isinstance(receptions, list) or len(receptions) > _MOST_RECEPTIONS:
        raise DialectError(f"{key} is {shown(receptions)}, and no list of gateways")
    best: dict[str, Value] = {}
    loudest = -math.inf
    for one in receptions:
        if not isinstance(one, dict):
            raise DialectError(f"{key} has {shown(one)}, and no object of a gateway")
        rssi, snr = number(one.get("rssi")), number(one.get("snr", 0))
        if rssi is not None and rssi > loudest:
            loudest, best = rssi, {"rssi_dbm": rssi}
            if snr is not None:
                best["snr_db"] = snr
    return best, len(receptions)


def decoded_values(body: Mapping[str, Any], radio: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, object]]:
    """Return what a server's decoder made of a frame, beside its radio's values, and what of it is no value.

    A name of the decoder's own goes before that of the radio. Raises `DialectError`.
    """
    values, extra = plain_values(body)
    return {**radio, **values}, extra


def location_values(place: Mapping[str, Any]) -> dict[str, Value]:
    """Return where a server has found a device to be. Raises `DialectError`."""
    values: dict[str, Value] = {}
    for key, name in (("latitude", "latitude"), ("longitude", "longitude"), ("altitude", "altitude_m")):
        if (found := number(place.get(key, 0))) is not None:
            values[name] = found
    check_place(values)
    return values
