"""ESPHome: one topic an entity, with a bare value; units stand in the discovery alone.

Read in the page MQTT of ESPHome's documentation and its source (mqtt_component, mqtt_sensor). Quirks: a sensor without
a value says `nan`, retained (Home Assistant core issue 98096), or `None` (esphome pull request 7768); a text sensor
publishes under `sensor/`; names outside ASCII once gave `sensor//state` (issue 4508); an entity may have a topic of its
own, which only its discovery tells.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from edgewire.config import Config
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, Value, unread
from edgewire.dialects.home_assistant import EntityRegistry, HomeAssistantDecoder, HomeAssistantOptions, read_entities
from edgewire.dialects.values import NO_VALUE, number, read_object, read_text, shown

_STATE = re.compile(r"(?P<device>.+)/(?P<component>[a-z_]+)/(?P<object>[^/]*)/(?P<what>state|command)", re.DOTALL)
_FLAGS: Mapping[str, Mapping[str, bool]] = MappingProxyType(
    {
        component: MappingProxyType({"ON": True, "OFF": False})
        for component in ("binary_sensor", "switch", "fan", "light")
    }
)
_DISCOVER = "esphome/discover/"
_CALIBRATED = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


class EsphomeOptions(Config):
    """Says how the nodes are set up, where that is not the default."""

    discovery_prefix: Annotated[str, Field(min_length=1, max_length=100)] = "homeassistant"
    topic_prefix: Annotated[str, Field(max_length=100)] = ""
    """What stands before `/sensor/…` in topics, less the node's name; `home` for `home/porch/sensor/…`."""


class EsphomeDecoder:
    """Reads what ESPHome nodes publish, with the units that their discovery gave. A device is its topic prefix."""

    def __init__(self, options: EsphomeOptions | None = None) -> None:
        self._options = options or EsphomeOptions()
        self.registry = EntityRegistry()
        self._discovery = HomeAssistantDecoder(
            HomeAssistantOptions(discovery_prefix=self._options.discovery_prefix), self.registry
        )

    @property
    def filters(self) -> tuple[str, ...]:
        """Return the filters of nodes whose names are one level, below the prefix that is set, and of discovery."""
        base = f"{self._options.topic_prefix}/+" if self._options.topic_prefix else "+"
        return (
            f"{base}/status",
            f"{base}/+/+/state",
            f"{self._options.discovery_prefix}/+/+/+/config",
            _DISCOVER + "+",
        )

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        if topic.startswith(f"{self._options.discovery_prefix}/") and topic.endswith("/config"):
            return self._discovery.learn(topic, payload, arrival)
        if topic.startswith(_DISCOVER):
            extra = read_object(payload) if payload else {"removed": True}
            return unread(topic.removeprefix(_DISCOVER), MessageRole.DESCRIPTION, arrival, extra)
        device, _, last = topic.rpartition("/")
        if last == "status" and device:
            return self._availability(self._name(device), payload, arrival)
        found = _STATE.fullmatch(topic)
        if found is None:
            return self._own_topic(topic, payload, arrival)
        device = self._name(found["device"])
        if found["what"] == "command":
            return unread(device, MessageRole.COMMAND, arrival, {found["object"]: read_text(payload)})
        if entities := self.registry.entities_on(topic):
            message = read_entities(entities, topic, payload, arrival)
            return replace(message, device_id=device, sensor=found["object"])
        return _undescribed(device, found["component"], found["object"], payload, arrival)

    def _name(self, device: str) -> str:
        prefix = f"{self._options.topic_prefix}/" if self._options.topic_prefix else ""
        return device.removeprefix(prefix)

    def _own_topic(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        if not (entities := self.registry.entities_on(topic)):
            raise DialectError(f"topic '{topic}' is none of ESPHome, and no discovery names it")
        return read_entities(entities, topic, payload, arrival)

    def _availability(self, device: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        said = read_text(payload)
        if said not in ("online", "offline"):
            raise DialectError(f"status says {shown(said)}: neither online nor offline")
        return unread(device, MessageRole.AVAILABILITY, arrival, values={"online": said == "online"})


def _undescribed(device: str, component: str, name: str, payload: bytes, arrival: Arrival) -> DialectMessage:
    """Return a value whose discovery was not seen: under its own name, as its quantity and unit are not known."""
    said = read_text(payload)
    name = name or "value"
    values: dict[str, Value] = {}
    remarks: tuple[str, ...] = ()
    if component in _FLAGS:
        if said not in _FLAGS[component]:
            raise DialectError(f"{component} '{name}' says {shown(said)}: neither ON nor OFF")
        values[name] = _FLAGS[component][said]
    elif said.lower() not in NO_VALUE:
        # A text sensor's state comes under the same topic.
        read = number(said) if _CALIBRATED.fullmatch(said) else None
        values[name] = said if read is None else read
        remarks = (f"{name}: its discovery was not seen, so its quantity and unit are not known",) * (read is not None)
    return replace(unread(device, MessageRole.READING, arrival, None, values), sensor=name, remarks=remarks)
