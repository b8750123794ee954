"""How devices of a dialect were heard to speak it: the options that an emulated group of them needs."""

from collections.abc import Mapping, Sequence
from typing import Any

from edgefleet.learn.decoding import SPARKPLUG, Read
from edgewire.dialects.base import MessageRole
from edgewire.dialects.sparkplug_payload import read_payload

_MOST_BEHIND = 100
"""Devices of an emulated gateway, where nothing tells how many a real one has."""
_PLAIN_PROPERTIES = frozenset({"$.ct", "$.ce"})
"""What emulated devices write into each bag of Azure IoT: type and encoding of the payload."""


def speaking_of(name: str, told: Sequence[Read]) -> Mapping[str, Any] | None:
    """Return the options of the dialect as one device speaks it; None where emulated ones would not speak alike."""
    readings = [one for one in told if one.found.role is MessageRole.READING and one.found.values]
    topics = {one.heard.topic for one in readings}
    match name:
        case "sparkplug":
            numbered = any(
                metric.name is None for one in readings[:1] for metric in read_payload(one.heard.payload).metrics
            )
            return {} if numbered else {"aliases": False}
        case "thingsboard":
            if all(topic.startswith("v1/gateway/") for topic in topics):
                return {}
            levels = [topic.split("/") for topic in topics]
            # Of a prefix the level before `v1` is the device.
            return {"prefix": "{id}/"} if all(one[1:3] == ["v1", "devices"] for one in levels) else None
        case "aws-iot":
            return {"readings": "shadow"} if all(one.startswith("$aws/things/") for one in topics) else None
        case "azure-iot":
            bags = [one.found.extra.get("properties") for one in readings]
            return {} if all(isinstance(one, dict) and _PLAIN_PROPERTIES.issuperset(one) for one in bags) else None
    return {}


def gateway_of(name: str, told: Sequence[Read]) -> Mapping[str, Any] | None:
    """Return the gateway of devices that are behind one; None where each has a connection of its own."""
    devices = {one.found.device_id for one in told}
    if name == SPARKPLUG and any(one.heard.topic.split("/")[2:3] == ["DDATA"] for one in told):
        nodes = {device.rpartition("/")[0] for device in devices}
        return {"devices": max(1, round(len(devices) / len(nodes)))}
    if name == "thingsboard" and any(one.heard.topic.startswith("v1/gateway/") for one in told):
        return {"devices": min(len(devices), _MOST_BEHIND)}
    return None
