"""Meshtastic: what nodes of a mesh say, as one of them that has MQTT writes it in JSON.

Read in the firmware's source (src/serialization/MeshPacketSerializer.cpp) and Meshtastic's documentation (MQTT).
Quirks: numbers of nodes were signed before 2.2.0; older firmware writes 0 for sensors that a node does not have; a
position that is not known is 0, 0; a battery of 101 % is a node on mains.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from edgewire.config import Config
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, Value, unread
from edgewire.dialects.plain_values import check_place, plain_value, plain_values
from edgewire.dialects.times import device_time
from edgewire.dialects.values import number, read_object, shown

_NODES = 1 << 32
_POWERED_PCT = 101
_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "temperature": "temperature_c",
        "relative_humidity": "humidity",
        "barometric_pressure": "pressure_hpa",
        "lux": "illuminance_lx",
        "battery_level": "battery_pct",
        "uptime_seconds": "uptime_s",
    }
)
"""What is measured, as telemetry.proto has its units; all else keeps its name."""
_OF_DEVICE = frozenset({"channel_utilization", "air_util_tx"})
"""What telemetry of the node itself has."""


class MeshtasticOptions(Config):
    """Has no keys: what a node says needs none."""


class MeshtasticDecoder:
    """Reads what nodes say: a device is the node from which a message is, by its number."""

    filters = ("msh/#",)

    def __init__(self, options: MeshtasticOptions | None = None) -> None:
        pass

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        levels = topic.split("/")
        if len(levels) < 5 or levels[0] != "msh" or levels[-4:-2] != ["2", "json"]:
            raise DialectError(
                f"topic '{topic}' is none of Meshtastic's in JSON, which are msh/REGION/2/json/CHANNEL/!NODE:"
                " its protobuf is not read"
            )
        body = read_object(payload)
        device = _node(body.get("from"))
        if levels[-2] == "mqtt":
            return unread(device, MessageRole.COMMAND, arrival, body)
        said = body.get("payload", {})
        if not isinstance(said, dict):
            said = {"text": said}
        role, values, extra = _read(body.get("type"), said)
        for name, key in (("rssi_dbm", "rssi"), ("snr_db", "snr")):
            if (heard := number(body.get(key))) is not None:
                values[name] = heard
        at_ms, time_source, told = device_time(body.get("timestamp"), arrival)
        extra |= {"id": body.get("id"), "gateway": body.get("sender")}
        remarks = (told,) if told else ()
        return DialectMessage(device, role, at_ms, time_source, values, "", {}, extra, arrival.retained, remarks)


def _node(written: object) -> str:
    """Return a node as people write it. Raises `DialectError`."""
    if type(written) is not int or not -(_NODES >> 1) <= written < _NODES:
        raise DialectError(f"from is {shown(written)}, and no number of a node")
    return f"!{written % _NODES:08x}"


_Read = tuple[MessageRole, dict[str, Value], dict[str, object]]


def _read(kind: object, said: Mapping[str, Any]) -> _Read:
    match kind:
        case "telemetry":
            return _telemetry(said)
        case "position":
            return _position(said)
        case "text":
            text = plain_value(said.get("text"))
            # A text that is JSON is written as that.
            return MessageRole.EVENT, {} if text is None else {"text": text}, {"payload": said} if text is None else {}
    return MessageRole.STATE, {}, {"type": kind, "payload": said}


def _telemetry(said: Mapping[str, Any]) -> _Read:
    values, extra = plain_values({_NAMES.get(name, name): value for name, value in said.items()})
    is_of_device = not _OF_DEVICE.isdisjoint(said)
    if "voltage" in values:
        values["battery_v" if is_of_device else "voltage_v"] = values.pop("voltage")
    if values.get("pressure_hpa") == 0:
        del values["pressure_hpa"]
    if values.get("battery_pct") == _POWERED_PCT:
        extra["on_mains"] = True
        del values["battery_pct"]
    return MessageRole.STATE if is_of_device else MessageRole.READING, values, extra


def _position(said: Mapping[str, Any]) -> _Read:
    extra: dict[str, object] = {name: value for name, value in said.items() if name not in _PLACE}
    read = {name: (number(said.get(name)), place) for name, place in _PLACE.items()}
    found = {place: value for value, place in read.values() if value is not None}
    latitude, longitude = (found.pop(name, None) for name in ("latitude", "longitude"))
    values: dict[str, Value] = {**found}
    if latitude is not None and longitude is not None and (latitude or longitude):
        values |= {"latitude": latitude / 1e7, "longitude": longitude / 1e7}
        check_place(values)
    return MessageRole.READING, values, extra


_PLACE: Mapping[str, str] = MappingProxyType(
    {"latitude_i": "latitude", "longitude_i": "longitude", "altitude": "altitude_m", "sats_in_view": "satellites"}
)
