"""Writes what Zigbee2MQTT publishes for its devices, and answers what is asked of it.

After zigbee2mqtt.io (MQTT topics and messages; WSDCGQ11LM); the texts of `bridge/info` and of answers to requests are
from memory of Zigbee2MQTT 2. The devices are that sensor of Aqara's: it measures temperature, humidity and pressure,
has a battery, and reports by itself: no value of it can be set or asked for. Its exposes were compared with those of
zigbee-herdsman-converters 26.112.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from edgewire.dialects.base import DialectError, MessageRole
from edgewire.dialects.encoder import (
    CommandOutcome,
    DeviceNames,
    DialectCommand,
    GatewayRequest,
    MessageTemplate,
    Publication,
)
from edgewire.dialects.home_assistant_discovery import HomeAssistantDiscovery
from edgewire.dialects.kind_fields import measures
from edgewire.dialects.payload_template import fill_names
from edgewire.dialects.values import read_json, read_text
from edgewire.dialects.zigbee2mqtt import Zigbee2MqttOptions

_VERSION, _COMMIT = "2.1.1", "2cdb2d3a"
_MODEL, _VENDOR = "WSDCGQ11LM", "Aqara"
_DESCRIPTION = "Temperature and humidity sensor"
_LONGEST_NAME = 200
_MOST_SHOWN = 500

_FIELDS: Mapping[str, Any] = {
    "temperature": {"from": "temperature_c", "round": 2},
    "humidity": {"from": "humidity", "round": 2},
    "pressure": {"from": "pressure_hpa", "round": 1},
    "battery": {"from": "battery_pct", "round": 0, "optional": True},
    "voltage": {"from": "supply_v", "unit": "mV", "round": 0, "optional": True},
    "linkquality": {"from": "link_quality", "round": 0},
}
_OF_BATTERY = frozenset({"battery", "voltage"})
_EXPOSES: Sequence[tuple[str, str, str, str, dict[str, Any]]] = (
    (
        "battery",
        "Battery",
        "%",
        "Remaining battery in %, can take up to 24 hours before reported",
        {"value_min": 0, "value_max": 100},
    ),
    ("temperature", "Temperature", "°C", "Measured temperature value", {}),
    ("humidity", "Humidity", "%", "Measured relative humidity", {}),
    ("pressure", "Pressure", "hPa", "The measured atmospheric pressure", {}),
    ("voltage", "Voltage", "mV", "Voltage of the battery in millivolts", {}),
    ("linkquality", "Linkquality", "lqi", "Link quality (signal strength)", {"value_min": 0, "value_max": 255}),
)
"""Key, label, unit and description of what the sensor exposes."""
_DIAGNOSTIC = frozenset({"battery", "voltage", "linkquality"})
_CLASSES: Mapping[str, str] = {
    "temperature": "temperature",
    "humidity": "humidity",
    "pressure": "atmospheric_pressure",
    "battery": "battery",
    "voltage": "voltage",
}
_LAST_SEEN: Mapping[str, Any] = {
    "ISO_8601": {"from": "timestamp", "as": "iso"},
    "ISO_8601_local": {"from": "timestamp", "as": "iso_local"},
    "epoch": {"from": "timestamp", "as": "epoch_ms"},
}


class Zigbee2MqttEncoder:
    """Writes the messages of sensors behind a gateway, and those of the gateway."""

    events: tuple[MessageTemplate, ...] = ()

    def __init__(self, options: Zigbee2MqttOptions, kind: str) -> None:
        """Raises `DialectError` for a kind that no Zigbee sensor is."""
        if kind != "bme280" and not measures(kind, ("temperature_c", "humidity", "pressure_hpa")):
            raise DialectError(f"no sensor of Zigbee measures what a {kind} measures; use bme280")
        self._options = options
        self.discovery: HomeAssistantDiscovery | None = None
        """How the gateway describes its devices to Home Assistant; None where it does not."""
        self.messages = tuple(self._messages())

    @property
    def base_topic(self) -> str:
        """Return what is before all topics."""
        return self._options.base_topic

    def _messages(self) -> Iterator[MessageTemplate]:
        topic = f"{self.base_topic}/{{id}}"
        seen = _LAST_SEEN.get(self._options.last_seen)
        if self._options.output != "attribute":
            yield MessageTemplate(topic, {**_FIELDS, **({} if seen is None else {"last_seen": seen})})
        if self._options.output == "json":
            return
        for key, field in _FIELDS.items():
            plain = {name: value for name, value in field.items() if name != "optional"}
            needs = (field["from"],) if key in _OF_BATTERY else ()
            yield MessageTemplate(f"{topic}/{key}", plain, MessageRole.READING, needs=needs)
        if seen is not None:
            # It says nothing that was measured, and so it is no reading.
            yield MessageTemplate(f"{topic}/last_seen", seen, MessageRole.STATE)

    # -- a device

    def state(self, names: DeviceNames, status: Mapping[str, Any], *, is_first: bool = True) -> Iterator[Publication]:
        """Yield the availability, and as a device comes what it is to Home Assistant."""
        is_online = status["state"] == "online"
        if self._options.availability != "disable":
            payload = self._told("online" if is_online else "offline")
            yield Publication(self._topic("{id}/availability", names), payload, retain=True)
        if is_online and self.discovery is not None:
            yield from self._configurations(names, self.discovery)

    def will(self, names: DeviceNames) -> None:
        """Return none: the connection is the gateway's."""
        return

    def command_topics(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the filters of what is set and asked for."""
        return self._topic("{id}/set/#", names), self._topic("{id}/get/#", names)

    def answer_filters(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the topic on which the gateway says what came of a command."""
        return (self._topic("bridge/logging", names),)

    def read_command(self, names: DeviceNames, topic: str, payload: bytes) -> DialectCommand | None:
        """Return what is to be set or asked for; nothing is done, as the sensor takes nothing."""
        action, _, key = topic.removeprefix(self._topic("{id}/", names)).partition("/")
        return DialectCommand("", {}, action, orjson.dumps(_asked(key, payload)).decode())

    def answer(self, names: DeviceNames, command: DialectCommand, outcome: CommandOutcome) -> Iterator[Publication]:
        """Yield an error to the log for each key, as the gateway finds no converter for it."""
        for key, value in orjson.loads(command.argument).items():
            shown = orjson.dumps(value).decode()[:_MOST_SHOWN]
            said = f"No converter available for '{command.name}' '{key}' ({shown})"
            body = {"level": "error", "message": f"z2m: {said}", "namespace": "z2m"}
            yield Publication(self._topic("bridge/logging", names), orjson.dumps(body), retain=False)

    # -- the gateway

    def gateway_state(
        self, gateway: DeviceNames, devices: Sequence[DeviceNames], status: Mapping[str, Any]
    ) -> Iterator[Publication]:
        """Yield the gateway's state, and as it comes what it is and has."""
        is_online = status["state"] == "online"
        topic = self._topic("bridge/state", gateway)
        yield Publication(topic, self._told("online" if is_online else "offline"), retain=True)
        if is_online:
            yield self._said("bridge/info", gateway, self._info(gateway))
            yield self._said("bridge/devices", gateway, _devices(gateway, devices))
            yield self._said("bridge/groups", gateway, [])

    def gateway_will(self, gateway: DeviceNames) -> Publication:
        """Return the retained `offline`."""
        return Publication(self._topic("bridge/state", gateway), self._told("offline"), retain=True)

    def gateway_filters(self, gateway: DeviceNames) -> tuple[str, ...]:
        """Return the filters of requests to the gateway, and of commands to whichever device."""
        return tuple(self._topic(below, gateway) for below in ("bridge/request/#", "+/set/#", "+/get/#"))

    def gateway_answer_filters(self, gateway: DeviceNames) -> tuple[str, ...]:
        """Return all below its base: a device that is given another name speaks under that from then on."""
        return (self._topic("#", gateway),)

    def read_request(
        self, gateway: DeviceNames, devices: Sequence[DeviceNames], topic: str, payload: bytes
    ) -> GatewayRequest | None:
        """Return the response to a request, and what is to be done for it."""
        request = topic.removeprefix(self._topic("bridge/request/", gateway))
        if request == topic or not request:
            return None
        try:
            asked = _asked("value", payload)
        except DialectError:
            asked = {}
        try:
            data, renamed = _carry_out(request.lower(), asked, [names["id"] for names in devices])
        except _RequestRefused as refused:
            response = {"data": {}, "status": "error", "error": str(refused)}
            data, renamed = {}, None
        else:
            response = {"data": data, "status": "ok"}
        if "transaction" in asked:
            response["transaction"] = asked["transaction"]
        answer = self._said(f"bridge/response/{request}", gateway, response, retain=False)
        found = next((names for names in devices if renamed and names["id"] == renamed[0]), None)
        named = None if found is None or renamed is None else (found["device"], renamed[1])
        is_restart = request.lower() == "restart" and response["status"] == "ok"
        return GatewayRequest((answer,), named, is_restart)

    def told_names(
        self, gateway: DeviceNames, devices: Sequence[DeviceNames], topic: str, payload: bytes
    ) -> Mapping[str, str]:
        """Return how the list of devices calls them: it knows them by their addresses, whoever has renamed them."""
        if topic != self._topic("bridge/devices", gateway):
            return {}
        try:
            listed = read_json(payload)
        except DialectError:
            return {}
        names = {
            one.get("ieee_address"): one.get("friendly_name")
            for one in (listed if isinstance(listed, list) else ())
            if isinstance(one, dict) and isinstance(one.get("ieee_address"), str)
        }
        called = ((one["device"], names.get(_ieee_address(one))) for one in devices)
        return {device: name for device, name in called if isinstance(name, str) and _is_friendly(name)}

    # -- what is said

    def _topic(self, below: str, names: DeviceNames) -> str:
        return fill_names(f"{self.base_topic}/{below}", names)

    def _told(self, state: str) -> bytes:
        """Return whether something is there: 1.x said it in plain text."""
        return state.encode() if self._options.availability == "plain" else orjson.dumps({"state": state})

    def _said(self, below: str, names: DeviceNames, body: object, *, retain: bool = True) -> Publication:
        return Publication(self._topic(below, names), orjson.dumps(body), retain=retain, qos=0)

    def _info(self, gateway: DeviceNames) -> dict[str, Any]:
        return {
            "version": _VERSION,
            "commit": _COMMIT,
            "coordinator": {
                "ieee_address": _ieee_address(gateway),
                "type": "zStack3x0",
                "meta": {"maintrel": 1, "majorrel": 2, "minorrel": 7, "product": 1, "revision": 20230507},
            },
            "network": {"channel": 11, "pan_id": 6754, "extended_pan_id": "0xdddddddddddddddd"},
            "log_level": "info",
            "permit_join": False,
            "restart_required": False,
            "config": {
                "mqtt": {"base_topic": fill_names(self.base_topic, gateway), "server": "mqtt://localhost:1883"},
                "advanced": {"output": self._options.output, "last_seen": self._options.last_seen},
                "availability": {"enabled": self._options.availability != "disable"},
                "homeassistant": {"enabled": self.discovery is not None},
            },
        }

    def _configurations(self, names: DeviceNames, discovery: HomeAssistantDiscovery) -> Iterator[Publication]:
        """Yield a configuration an entity, in the words in which Zigbee2MQTT writes them."""
        address = _ieee_address(names)
        is_plain = self._options.availability == "plain"
        places = ["bridge/state"] if self._options.availability == "disable" else ["bridge/state", "{id}/availability"]
        template: dict[str, str] = {} if is_plain else {"value_template": "{{ value_json.state }}"}
        shared = {
            "availability": [{"topic": self._topic(place, names), **template} for place in places],
            "availability_mode": "all",
            "device": {
                "identifiers": [f"zigbee2mqtt_{address}"],
                "manufacturer": _VENDOR,
                "model": _DESCRIPTION,
                "model_id": _MODEL,
                "name": names["id"],
            },
            "origin": {"name": "Zigbee2MQTT", "sw": _VERSION, "url": "https://www.zigbee2mqtt.io"},
        }
        for key, label, unit, _, _ in _EXPOSES:
            topic = self._topic("{id}", names)
            body: dict[str, Any] = {
                **shared,
                **({"device_class": _CLASSES[key]} if key in _CLASSES else {}),
                **({"entity_category": "diagnostic"} if key in _DIAGNOSTIC else {}),
                **({"name": label} if key not in _CLASSES else {}),
                "enabled_by_default": key not in ("voltage", "linkquality"),
                "object_id": f"{names['id']}_{key}",
                "state_class": "measurement",
                "unique_id": f"{address}_{key}_zigbee2mqtt",
                "unit_of_measurement": unit,
            }
            if self._options.output == "attribute":
                body["state_topic"] = f"{topic}/{key}"
            else:
                body |= {"state_topic": topic, "value_template": f"{{{{ value_json.{key} }}}}"}
            where = f"{discovery.prefix}/sensor/{address}/{key}/config"
            yield Publication(where, orjson.dumps(body), retain=True)


class _RequestRefused(Exception):
    """Raised for what Zigbee2MQTT answers with an error; says which."""


def _asked(key: str, payload: bytes) -> dict[str, Any]:
    """Return the object of a message; what is none is the value of a key."""
    try:
        found = read_json(payload) if payload else None
    except DialectError:
        found = read_text(payload)
    if isinstance(found, dict) and not (key and key != "value"):
        return found
    return {key or "state": found}


def _carry_out(
    request: str, asked: Mapping[str, Any], devices: Sequence[str]
) -> tuple[dict[str, Any], tuple[str, str] | None]:
    """Return the data of the response, and the device that is renamed, with its new name."""
    match request:
        case "health_check":
            return {"healthy": True}, None
        case "permit_join":
            seconds = asked.get("time", asked.get("value"))
            if isinstance(seconds, bool):
                seconds = 254 if seconds else 0
            if not isinstance(seconds, int) or not 0 <= seconds <= 254:
                raise _RequestRefused("Invalid payload")
            return {"time": seconds}, None
        case "restart":
            return {}, None
        case "options":
            if not isinstance(asked.get("options"), dict):
                raise _RequestRefused("Invalid payload")
            return {"restart_required": False}, None
        case "device/options":
            if not isinstance(asked.get("options"), dict) or "id" not in asked:
                raise _RequestRefused("Invalid payload")
            name = _known(asked["id"], devices)
            return {"from": {}, "to": asked["options"], "id": name, "restart_required": False}, None
        case "device/rename":
            renamed = _renaming(asked, devices)
            return {"from": renamed[0], "to": renamed[1], "homeassistant_rename": False}, renamed
        case _:
            raise _RequestRefused(f"an emulated gateway does not know the request '{request}'"[:_MOST_SHOWN])


def _renaming(asked: Mapping[str, Any], devices: Sequence[str]) -> tuple[str, str]:
    to = asked.get("to")
    if "from" not in asked or not isinstance(to, str):
        raise _RequestRefused("Invalid payload")
    before = _known(asked["from"], devices)
    if not _is_friendly(to):
        raise _RequestRefused(f"Failed to rename '{before}': '{to[:_LONGEST_NAME]}' is not a friendly name")
    if to in devices or to == "bridge":
        raise _RequestRefused(f"friendly_name '{to}' is already in use")
    return before, to


def _is_friendly(name: str) -> bool:
    return 0 < len(name) <= _LONGEST_NAME and name.isprintable() and not set("+#/").intersection(name)


def _known(name: object, devices: Sequence[str]) -> str:
    if not isinstance(name, str) or name not in devices:
        raise _RequestRefused(f"Device '{str(name)[:_LONGEST_NAME]}' does not exist")
    return name


def _ieee_address(names: DeviceNames) -> str:
    """Return an address with the prefix of the maker of the sensor's chip."""
    return f"0x00158d{names['mac'][2:].lower()}"


def _devices(gateway: DeviceNames, devices: Sequence[DeviceNames]) -> list[dict[str, Any]]:
    """Return the list of devices, the coordinator first."""
    coordinator: dict[str, Any] = {
        "ieee_address": _ieee_address(gateway),
        "type": "Coordinator",
        "network_address": 0,
        "supported": True,
        "disabled": False,
        "friendly_name": "Coordinator",
        "definition": None,
        "interview_completed": True,
        "interviewing": False,
        "interview_state": "SUCCESSFUL",
        "endpoints": {},
    }
    return [coordinator, *(_device(names) for names in devices)]


def _device(names: DeviceNames) -> dict[str, Any]:
    return {
        "ieee_address": _ieee_address(names),
        "type": "EndDevice",
        "network_address": int(names["mac"][-4:], 16),
        "supported": True,
        "disabled": False,
        "friendly_name": names["id"],
        "definition": {
            "source": "native",
            "model": _MODEL,
            "vendor": _VENDOR,
            "description": _DESCRIPTION,
            "exposes": exposed(),
            "options": [],
            "supports_ota": False,
        },
        "power_source": "Battery",
        "model_id": "lumi.weather",
        "manufacturer": "LUMI",
        "interview_completed": True,
        "interviewing": False,
        "interview_state": "SUCCESSFUL",
        "endpoints": {"1": {"bindings": [], "clusters": {"input": [], "output": []}, "configured_reportings": []}},
    }


def exposed() -> list[dict[str, Any]]:
    """Return what the sensor exposes: all of it is published, and nothing can be set or asked for (`access` 1)."""
    return [
        {
            "type": "numeric",
            "name": key,
            "label": label,
            "property": key,
            "access": 1,
            "unit": unit,
            "description": description,
            **({"category": "diagnostic"} if key in _DIAGNOSTIC else {}),
            **bounds,
        }
        for key, label, unit, description, bounds in _EXPOSES
    ]
