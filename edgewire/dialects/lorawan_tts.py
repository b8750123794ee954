"""The Things Stack 3, a LoRaWAN network server: what its devices say over one connection of an application, in JSON.

Read in The Things Stack's documentation (MQTT server; data formats). Quirks: fields that are zero are left out (`f_cnt`
of the first frame; lorawan-stack #3874); there are two times of arrival, of which that of the network server is
the earlier; the frequency is a text.
"""

from collections.abc import Mapping
from typing import Any, Literal

from edgewire.config import Config
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, unread
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
    "service/data": MessageRole.STATE,
    "down/queued": MessageRole.ANSWER,
    "down/sent": MessageRole.ANSWER,
    "down/ack": MessageRole.ANSWER,
    "down/nack": MessageRole.ANSWER,
    "down/failed": MessageRole.ANSWER,
    "down/push": MessageRole.COMMAND,
    "down/replace": MessageRole.COMMAND,
}
"""End of a topic -> what is said there, beside uplinks and locations."""
_KEPT = ("normalized_payload", "decoded_payload_warnings")


class TheThingsStackOptions(Config):
    """Says what names a device."""

    device: Literal["device_id", "dev_eui"] = "device_id"
    """`dev_eui` where devices of several applications may have the same id; then a message without it is refused."""
    application: TopicLevel = "edgefleet@ttn"
    """Of emulated devices: application and tenant, as they stand in topics. With names in braces: `{site}`."""
    dev_eui: EuiTemplate = "0000{mac}"
    """Of emulated devices, 16 hexadecimal digits."""


class TheThingsStackDecoder:
    """Reads what an application's devices say, and downlinks that are asked for."""

    filters = ("v3/+/devices/+/#",)

    def __init__(self, options: TheThingsStackOptions | None = None) -> None:
        self._by = (options or TheThingsStackOptions()).device

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        match topic.split("/"):
            case ["v3", application, "devices", device, *rest] if application and device and rest:
                what = "/".join(rest)
            case _:
                raise DialectError(f"topic '{topic}' is none of The Things Stack: they are v3/APP@TENANT/devices/ID/…")
        if what not in _ROLES and what not in ("up", "location/solved"):
            raise DialectError(f"topic '{topic}' is none of The Things Stack: nothing is said on {shown(what)}")
        body = read_object(payload)
        role = _ROLES.get(what, MessageRole.READING)
        if role is MessageRole.COMMAND:
            return unread(device, role, arrival, body)
        ids = object_at(body, "end_device_ids")
        if ids.get("device_id") != device:
            raise DialectError(f"the message is of device {shown(ids.get('device_id'))}, and its topic of '{device}'")
        name = device if self._by == "device_id" else read_eui(ids.get("dev_eui"))
        if what == "up":
            return _uplink(name, body, arrival)
        at_ms, time_source, told = device_time(body.get("received_at"), arrival)
        remarks = (told,) if told else ()
        if what == "location/solved":
            place = object_at(object_at(body, "location_solved"), "location")
            if not place:
                raise DialectError("the message of a location has no location")
            values = location_values(place)
            return DialectMessage(name, role, at_ms, time_source, values, "", {}, {}, arrival.retained, remarks)
        extra = {key: value for key, value in body.items() if key not in ("end_device_ids", "received_at")}
        return DialectMessage(name, role, at_ms, time_source, {}, "", {}, extra, arrival.retained, remarks)


def _uplink(name: str, body: Mapping[str, Any], arrival: Arrival) -> DialectMessage:
    uplink = object_at(body, "uplink_message")
    if not uplink:
        raise DialectError("the message of an uplink has no uplink_message")
    at_ms, time_source, told = device_time(uplink.get("received_at", body.get("received_at")), arrival)
    frame = frame_bytes(uplink.get("frm_payload"), "frm_payload")
    radio, heard_by = radio_values(uplink.get("rx_metadata"), "rx_metadata")
    found = object_at(uplink, "decoded_payload")
    values, extra = decoded_values(found, radio)
    extra |= {key: uplink[key] for key in _KEPT if key in uplink}
    extra |= {"f_cnt": whole_at(uplink, "f_cnt"), "f_port": whole_at(uplink, "f_port")}
    extra |= {"bytes": frame, "gateways": heard_by}
    if frequency := number(object_at(uplink, "settings").get("frequency")):
        extra["frequency_hz"] = frequency
    remarks = [told] if told else []
    if body.get("simulated") is True:
        remarks.append("the uplink was simulated at the server")
    # A frame may say nothing but what concerns the network.
    role = MessageRole.READING if frame or found else MessageRole.STATE
    return DialectMessage(name, role, at_ms, time_source, values, "", {}, extra, arrival.retained, tuple(remarks))
