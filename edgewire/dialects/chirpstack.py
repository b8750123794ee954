"""ChirpStack 4, a LoRaWAN network server: events of all its devices over one connection, in JSON.

Read in ChirpStack's documentation (integrations, events; MQTT). Quirks: fields that are zero are left out (`fCnt`,
`dr`, `acknowledged`; chirpstack #43); the case of EUIs differs; version 3 has other names; with `json=false` events are
protobuf.
"""

from collections.abc import Mapping
from typing import Any, Literal

from edgewire.config import Config
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, Value, unread
from edgewire.dialects.lorawan import (
    decoded_values,
    frame_bytes,
    location_values,
    object_at,
    radio_values,
    read_eui,
    whole_at,
)
from edgewire.dialects.lorawan_levels import EuiTemplate, TopicLevel
from edgewire.dialects.times import device_time
from edgewire.dialects.values import number, read_object, shown

_ROLES: Mapping[str, MessageRole] = {
    "join": MessageRole.STATE,
    "log": MessageRole.STATE,
    "status": MessageRole.STATE,
    "integration": MessageRole.STATE,
    "ack": MessageRole.ANSWER,
    "txack": MessageRole.ANSWER,
    "location": MessageRole.READING,
    "up": MessageRole.READING,
}
_TOLD_ELSEWHERE = frozenset({"time", "deviceInfo"})
_LONGEST_NAME = 200


class ChirpStackOptions(Config):
    """Says what names a device."""

    device: Literal["dev_eui", "name"] = "dev_eui"
    """`name` for the name that it has in ChirpStack, which is unique only where people see to it."""
    application: TopicLevel = "4b1f0c9e-0000-4000-8000-000000000001"
    """Of emulated devices: the id of their application. With names in braces: `{site}`."""
    dev_eui: EuiTemplate = "0000{mac}"
    """Of emulated devices, 16 hexadecimal digits. ChirpStack writes small letters, and `{mac}` has capitals."""


class ChirpStackDecoder:
    """Reads events of devices, and downlinks that are asked for."""

    filters = ("application/+/device/+/event/+", "application/+/device/+/command/+")

    def __init__(self, options: ChirpStackOptions | None = None) -> None:
        self._by = (options or ChirpStackOptions()).device

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what an event says. Raises `DialectError`."""
        match topic.split("/"):
            case ["application", application, "device", written, ("event" | "command") as what, name] if application:
                eui = read_eui(written)
            case _:
                raise DialectError(
                    f"topic '{topic}' is none of ChirpStack: they are application/ID/device/EUI/event/EVENT"
                )
        try:
            body = read_object(payload)
        except DialectError as error:
            raise DialectError(f"{error}; ChirpStack writes JSON with json=true in its settings of MQTT") from None
        if what == "command":
            return unread(eui, MessageRole.COMMAND, arrival, body)
        role = _ROLES.get(name)
        if role is None:
            raise DialectError(f"event {shown(name)} is none of ChirpStack's: {', '.join(sorted(_ROLES))}")
        device = self._device(body, eui)
        at_ms, time_source, told = device_time(body.get("time"), arrival)
        role, values, extra = _read_event(name, role, body)
        remarks = (told,) if told else ()
        return DialectMessage(device, role, at_ms, time_source, values, "", {}, extra, arrival.retained, remarks)

    def _device(self, body: Mapping[str, Any], eui: str) -> str:
        info = object_at(body, "deviceInfo")
        if not info:
            was = "version 3, and 4 is read" if "devEUI" in body else "no version that is read: it has no deviceInfo"
            raise DialectError(f"the event is of {was}")
        if read_eui(info.get("devEui")) != eui:
            raise DialectError(f"the event is of device {shown(info['devEui'])}, and its topic of '{eui}'")
        if self._by == "dev_eui":
            return eui
        name = info.get("deviceName")
        if not isinstance(name, str) or not name or len(name) > _LONGEST_NAME:
            raise DialectError(f"deviceName is {shown(name)}, which is to name the device: see the option device")
        return name


_Read = tuple[MessageRole, dict[str, Value], dict[str, object]]


def _read_event(name: str, role: MessageRole, body: Mapping[str, Any]) -> _Read:
    """Return what an event is for, its values, and what of it is none. Raises `DialectError`."""
    match name:
        case "up":
            return _uplink(body)
        case "location":
            place = object_at(body, "location")
            if not place:
                raise DialectError("the event of a location has no location")
            return role, location_values(place), {}
        case "status":
            extra = {key: value for key, value in body.items() if key not in _TOLD_ELSEWHERE}
            is_known = not (extra.get("batteryLevelUnavailable") or extra.get("externalPowerSource"))
            level = number(extra.get("batteryLevel", 0)) if is_known else None
            return role, {} if level is None else {"battery_pct": level}, extra
        case "ack":
            acknowledged = body.get("acknowledged", False)
            if not isinstance(acknowledged, bool):
                raise DialectError(f"acknowledged is {shown(acknowledged)}, neither true nor false")
            return role, {"acknowledged": acknowledged}, {"queue_item": body.get("queueItemId")}
    return role, {}, {key: value for key, value in body.items() if key not in _TOLD_ELSEWHERE}


def _uplink(body: Mapping[str, Any]) -> _Read:
    frame = frame_bytes(body.get("data"), "data")
    radio, heard_by = radio_values(body.get("rxInfo"), "rxInfo")
    found = object_at(body, "object")
    values, extra = decoded_values(found, radio)
    extra |= {"f_cnt": whole_at(body, "fCnt"), "f_port": whole_at(body, "fPort"), "data_rate": whole_at(body, "dr")}
    extra |= {"bytes": frame, "gateways": heard_by}
    if frequency := number(object_at(body, "txInfo").get("frequency")):
        extra["frequency_hz"] = frequency
    # A frame may say nothing but what concerns the network.
    role = MessageRole.READING if frame or found else MessageRole.STATE
    return role, values, extra
