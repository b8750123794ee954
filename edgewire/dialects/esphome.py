"""ESPHome: one topic an entity, with a bare value; units stand in the discovery alone.

Read in the page MQTT of ESPHome's documentation and its source (mqtt_component, mqtt_sensor). Quirks: a sensor without
a value says `nan`, retained (Home Assistant core issue 98096), or `None` (esphome pull request 7768); a text sensor
publishes under `sensor/`; a light's state is JSON; names outside ASCII once gave `sensor//state` (issue 4508); an
entity may have a topic of its own, which only its discovery tells.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any

import orjson
from pydantic import Field

from edgewire.config import Config
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, Value, unread
from edgewire.dialects.commandless_encoder import CommandlessEncoder
from edgewire.dialects.encoder import (
    DeviceNames,
    MessageTemplate,
    Publication,
    home_address,
)
from edgewire.dialects.entities import ENTITIES, TEXTS, VITALS, FieldEntity, entities_of, topic_level
from edgewire.dialects.entity_registry import EntityRegistry
from edgewire.dialects.home_assistant import (
    HomeAssistantDecoder,
    HomeAssistantOptions,
    PlainNumber,
    plain_number,
    read_entities,
)
from edgewire.dialects.payload_template import fill_names
from edgewire.dialects.values import NO_VALUE, number, read_object, read_text, shown

_COMPONENTS = (
    "alarm_control_panel", "binary_sensor", "button", "climate", "cover", "date", "datetime", "event", "fan", "light",
    "lock", "number", "select", "sensor", "switch", "text", "text_sensor", "time", "update", "valve", "water_heater",
)  # fmt: skip
_STATE = re.compile(
    rf"(?P<device>.+)/(?P<component>{'|'.join(_COMPONENTS)})/(?P<object>[^/]*)(?:/(?P<part>[a-z_]+))?"
    r"/(?P<what>state|command)",
    re.DOTALL,
)
"""A cover's position, a fan's speed, what a thermostat measures are a level lower."""
_BELOW = (
    "action", "current_humidity", "current_temperature", "direction", "fan_mode", "mode", "oscillation", "position",
    "preset", "preset_mode", "speed_level", "swing_mode", "target_humidity", "target_temperature",
    "target_temperature_high", "target_temperature_low", "tilt",
)  # fmt: skip
_PART_STATE = re.compile(
    rf"(?P<device>.+?)/(?P<component>{'|'.join(_COMPONENTS)})/(?P<object>[^/]*)/(?P<part>{'|'.join(_BELOW)})"
    r"/(?P<what>state|command)",
    re.DOTALL,
)
"""What is known to be a level lower; an entity may be called as its component is."""
_FLAGS: Mapping[str, Mapping[str, bool]] = MappingProxyType(
    {
        **{name: MappingProxyType({"ON": True, "OFF": False}) for name in ("binary_sensor", "switch", "fan")},
        "lock": MappingProxyType({"LOCKED": True, "UNLOCKED": False}),
    }
)
_ON_THE_WAY = frozenset({"JAMMED", "LOCKING", "UNLOCKING"})
"""What a lock says that is neither locked nor unlocked."""
_PARTS: Mapping[str, str] = MappingProxyType(
    {"current_temperature": "temperature_c", "target_temperature": "target_temperature_c",
     "current_humidity": "humidity", "target_humidity": "target_humidity_pct", "position": "position_pct"}
)  # fmt: skip
"""Level below an entity -> canonical name: a thermostat works in °C, whatever it shows, and the others in %."""
_KNOWN_TOPICS = 100_000
_DISCOVER = "esphome/discover/"
_CALIBRATED = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


_Levels = tuple[str, str, str, str, bool]
"""Device, component, object, what is below it, and whether it is a command."""


class EsphomeOptions(Config):
    """Says how the nodes are set up, where that is not the default."""

    discovery_prefix: Annotated[str, Field(min_length=1, max_length=100)] = "homeassistant"
    """Of the topics of Home Assistant's discovery."""
    topic_prefix: Annotated[str, Field(max_length=100)] = ""
    """What stands before `/sensor/…` in topics, less the node's name; `home` for `home/porch/sensor/…`."""
    discovery: bool = True
    """Whether emulated nodes describe themselves to Home Assistant, and below `esphome/discover`."""
    wifi_signal: bool = False
    """Whether emulated nodes have a sensor of their radio's signal."""


class EsphomeDecoder:
    """Reads what ESPHome nodes publish, with the units that their discovery gave. A device is its topic prefix."""

    def __init__(self, options: EsphomeOptions | None = None) -> None:
        self._options = options or EsphomeOptions()
        self.discovery_prefix = self._options.discovery_prefix
        """What is before the topics on which nodes describe themselves."""
        self.registry = EntityRegistry()
        self._known: dict[str, _Levels] = {}
        self._plain: dict[str, PlainNumber] = {}
        """Topic -> what its number means, as known since the last configuration."""
        self._config_prefix = f"{self._options.discovery_prefix}/"
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
            f"{base}/+/+/+/state",
            f"{base}/debug",
            f"{self._options.discovery_prefix}/+/+/+/config",
            _DISCOVER + "+",
        )

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        plain = self._plain.get(topic)
        if plain is not None and (message := plain.read(payload, arrival)) is not None:
            return message
        if topic.startswith(self._config_prefix) and topic.endswith("/config"):
            self._plain.clear()
            return self._discovery.learn(topic, payload, arrival)
        if topic.startswith(_DISCOVER):
            extra = read_object(payload) if payload else {"removed": True}
            return unread(topic.removeprefix(_DISCOVER), MessageRole.DESCRIPTION, arrival, extra)
        device, _, last = topic.rpartition("/")
        if last == "status" and device:
            return self._availability(self._name(device), payload, arrival)
        if last == "debug" and device:
            return unread(self._name(device), MessageRole.STATE, arrival, {"log": payload.decode("utf-8", "replace")})
        found = self._known.get(topic) or self._levels(topic)
        if found is None:
            return self._own_topic(topic, payload, arrival)
        device, component, name, part, is_command = found
        if is_command:
            what = f"{name}/{part}" if part else name
            return unread(device, MessageRole.COMMAND, arrival, {what: read_text(payload)})
        if entities := self.registry.entities_on(topic):
            if plain is None and (plain := plain_number(entities, topic, device, name)) is not None:
                if len(self._plain) >= _KNOWN_TOPICS:
                    self._plain.clear()
                self._plain[topic] = plain
            return read_entities(entities, topic, payload, arrival, device, name)
        return _undescribed(device, component, name, part, payload, arrival)

    def _levels(self, topic: str) -> _Levels | None:
        """Take a topic apart; None for one that is none of ESPHome's own."""
        found = _PART_STATE.fullmatch(topic) or _STATE.fullmatch(topic)
        if found is None:
            return None
        if len(self._known) >= _KNOWN_TOPICS:
            self._known.clear()
        device, part = self._name(found["device"]), found["part"] or ""
        self._known[topic] = levels = device, found["component"], found["object"], part, found["what"] == "command"
        return levels

    def _name(self, device: str) -> str:
        prefix = f"{self._options.topic_prefix}/" if self._options.topic_prefix else ""
        return device.removeprefix(prefix)

    def _own_topic(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        if not (entities := self.registry.entities_on(topic)):
            raise DialectError(f"topic '{topic}' is none of ESPHome, and no discovery names it")
        return read_entities(entities, topic, payload, arrival)

    def _availability(self, device: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        said = read_text(payload)
        if said not in ("online", "offline", ""):
            raise DialectError(f"status says {shown(said)}: neither online nor offline")
        # What was retained is cleared by an empty text, which tells nothing.
        return unread(device, MessageRole.AVAILABILITY, arrival, values={"online": said == "online"} if said else {})


def _undescribed(device: str, component: str, name: str, part: str, payload: bytes, arrival: Arrival) -> DialectMessage:
    """Return a value whose discovery was not seen: under its own name, as its quantity and unit are not known."""
    if payload.lstrip()[:1] == b"{":
        return _object(device, component, name, payload, arrival)
    said = read_text(payload)
    name = name or "value"
    values: dict[str, Value] = {}
    remarks: tuple[str, ...] = ()
    if component == "lock" and said in _ON_THE_WAY:
        values[f"{name}_state"] = said
    elif component in _FLAGS and not part:
        if said.lower() not in NO_VALUE:
            if said not in _FLAGS[component]:
                words = " nor ".join(_FLAGS[component])
                raise DialectError(f"{component} '{name}' says {shown(said)}: neither {words}")
            values[name] = _FLAGS[component][said]
    elif said.lower() not in NO_VALUE:
        # A text sensor's state comes under the same topic.
        read = number(said) if _CALIBRATED.fullmatch(said) else None
        if part in _PARTS and read is not None:
            values[_PARTS[part]] = read
        else:
            own = f"{name}_{part}" if part else name
            values[own] = said if read is None else read
            told = f"{own}: its discovery was not seen, so its quantity and unit are not known"
            remarks = (told,) * (read is not None)
    return unread(device, MessageRole.READING, arrival, None, values)._replace(sensor=name, remarks=remarks)


def _object(device: str, component: str, name: str, payload: bytes, arrival: Arrival) -> DialectMessage:
    """Return the state of a light or an update, or an event, which stand in JSON."""
    body = read_object(payload)
    happened = body.get("event_type")
    if component == "event" and isinstance(happened, str):
        message = unread(device, MessageRole.EVENT, arrival, {}, {"event": happened})
    else:
        on = body.get("state")
        values: dict[str, Value] = {name or "value": on == "ON"} if on in ("ON", "OFF") else {}
        message = unread(device, MessageRole.STATE, arrival, body, values)
    return message._replace(sensor=name)


_VERSION = "2024.11.0"
_BOARD = "nodemcuv2"
_NO_VALUE = "nan"
_DERIVED = frozenset({"dew_point_c"})
"""What the component of a sensor does not measure."""


class EsphomeEncoder(CommandlessEncoder):
    """Writes what an ESPHome node publishes: a retained message for each of its sensors, and its discovery.

    A node takes no commands: these nodes have no switch, and no sensor can be asked.
    """

    events: tuple[MessageTemplate, ...] = ()

    def __init__(self, options: EsphomeOptions, kind: str) -> None:
        """Raises `DialectError` for a kind that is no numbers at an interval."""
        if kind == "telematics" or not entities_of(kind).numbers:
            raise DialectError(
                f"ESPHome's sensors are numbers at an interval, and {kind} "
                f"{'tells events' if kind in TEXTS else 'has none'}; there are "
                f"{', '.join(sorted(ENTITIES.keys() - {'telematics'}))}"
            )
        self._options = options
        self._prefix = f"{options.topic_prefix}/{{id}}" if options.topic_prefix else "{id}"
        self._entities = tuple(one for one in entities_of(kind).numbers if one.field not in _DERIVED)
        self._vitals = tuple(one for one in VITALS if one.field == "battery_pct" or options.wifi_signal)
        self.messages = tuple(self._message(one) for one in (*self._entities, *self._vitals))

    def leave_out_vitals(self) -> None:
        """Say nothing of the node itself: another component says it."""
        self._vitals = ()
        self.messages = tuple(map(self._message, self._entities))

    def _message(self, entity: FieldEntity) -> MessageTemplate:
        payload = {"from": entity.field, "round": entity.decimals, "fixed": True, "missing": _NO_VALUE}
        needs = (entity.field,) if entity.field == "battery_pct" else ()
        role = MessageRole.STATE if entity in self._vitals else MessageRole.READING
        topic = f"{self._prefix}/sensor/{entity.object_id}/state"
        return MessageTemplate(topic, payload, role, retain=True, needs=needs)

    def state(self, names: DeviceNames, status: Mapping[str, Any], *, is_first: bool = True) -> Iterator[Publication]:
        """Yield `status`, and as a node comes its description and that of each of its sensors."""
        is_online = status["state"] == "online"
        yield Publication(self._status_topic(names), b"online" if is_online else b"offline", retain=True, qos=0)
        if not (is_online and self._options.discovery):
            return
        node = topic_level(names["id"])
        yield Publication(_DISCOVER + node, orjson.dumps(_node(names)), retain=True, qos=2)
        for entity in (*self._entities, *self._vitals):
            if entity.field == "battery_pct" and "battery_pct" not in status:
                continue
            topic = f"{self._options.discovery_prefix}/sensor/{node}/{entity.object_id}/config"
            yield Publication(topic, orjson.dumps(self._configuration(entity, names)), retain=True, qos=0)

    def will(self, names: DeviceNames) -> Publication:
        """Return the retained `offline`."""
        return Publication(self._status_topic(names), b"offline", retain=True, qos=0)

    def _status_topic(self, names: DeviceNames) -> str:
        return fill_names(self._prefix, names) + "/status"

    def _configuration(self, entity: FieldEntity, names: DeviceNames) -> dict[str, Any]:
        mac, prefix = names["mac"].lower(), fill_names(self._prefix, names)
        written: dict[str, Any] = {"dev_cla": entity.device_class} if entity.device_class else {}
        if entity.unit:
            written["unit_of_meas"] = entity.unit
        written |= {
            "stat_cla": entity.state_class,
            "name": entity.name,
            "stat_t": f"{prefix}/sensor/{entity.object_id}/state",
            "avty_t": f"{prefix}/status",
            "uniq_id": f"{mac}-sensor-{_fnv1(entity.name):08x}",
        }
        if entity.is_diagnostic:
            written["ent_cat"] = "diagnostic"
        written["dev"] = {
            "ids": mac,
            "name": names["id"],
            "sw": f"{_VERSION} (Nov 20 2024, 10:00:00)",
            "mdl": _BOARD,
            "mf": "Espressif",
            "cns": [["mac", mac]],
        }
        return written


def _node(names: DeviceNames) -> dict[str, Any]:
    return {
        "ip": home_address(names),
        "name": names["id"],
        "friendly_name": names["id"],
        "port": 6053,
        "version": _VERSION,
        "mac": names["mac"].lower(),
        "platform": "ESP8266",
        "board": _BOARD,
        "network": "wifi",
    }


def _fnv1(text: str) -> int:
    """Return the 32-bit FNV-1 hash by which ESPHome tells entities apart."""
    found = 2166136261
    for letter in text.encode():
        found = (found * 16777619 & 0xFFFFFFFF) ^ letter
    return found
