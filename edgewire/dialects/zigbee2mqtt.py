"""Zigbee2MQTT: a gateway that publishes for its devices.

Read in the source of Zigbee2MQTT 2.12.1 and on zigbee2mqtt.io. Quirks: a start publishes the cache again, which nothing
but `last_seen` tells (issue 3496); `null` for what was never seen (issue 9236); with `output: attribute` a topic a key,
null as an empty payload (issue 25978); 2.0 dropped plain texts of availability, `bridge/config` and `bridge/log` (pull
request 24200); batteries came as texts (issue 245). `voltage` is in mV of batteries and in V of plugs: the gateway's
list of devices says which, else the battery beside it. In 1.x `illuminance` was a logarithm and `illuminance_lux` the
lux.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from edgewire.config import Config
from edgewire.dialects.base import (
    Arrival,
    DialectError,
    DialectMessage,
    MessageRole,
    NumberForm,
    SteadyPayload,
    Value,
    unread,
)
from edgewire.dialects.home_assistant import convert
from edgewire.dialects.times import device_time
from edgewire.dialects.units import quantity_of, to_canonical
from edgewire.dialects.values import number, read_json, read_object, read_text, shown

_MAX_DEVICES = 20_000
"""A coordinator takes a few hundred; emulated gateways may have more."""
_MAX_GATEWAYS = 10_000
_LONGEST_NAME = 256
_NAMED = re.compile(r"\{[a-z_][a-z0-9_]*\}")

_NUMBERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "temperature": ("temperature_c", "°C"),
        "local_temperature": ("temperature_c", "°C"),
        "device_temperature": ("chip_temperature_c", "°C"),
        "cpu_temperature": ("chip_temperature_c", "°C"),
        "humidity": ("humidity", "%"),
        "soil_moisture": ("moisture_pct", "%"),
        "pressure": ("pressure_hpa", "hPa"),
        "battery": ("battery_pct", "%"),
        "linkquality": ("link_quality", ""),
        "illuminance": ("illuminance_lx", "lx"),
        "illuminance_lux": ("illuminance_lx", "lx"),
        "co2": ("co2_ppm", "ppm"),
        "pm25": ("pm2_5_ug_m3", "µg/m³"),
        "pm10": ("pm10_ug_m3", "µg/m³"),
        "power": ("power_w", "W"),
        "power_apparent": ("apparent_power_va", "VA"),
        "power_reactive": ("reactive_power_var", "VAR"),
        "power_factor": ("power_factor", ""),
        "ac_frequency": ("frequency_hz", "Hz"),
        "current": ("current_a", "A"),
        "energy": ("energy_wh", "kWh"),
        "produced_energy": ("energy_returned_wh", "kWh"),
    }
)
"""Key -> canonical name, and the unit where the gateway's list of devices gives none."""
_FLAGS = frozenset(
    {"occupancy", "contact", "water_leak", "smoke", "gas", "carbon_monoxide", "tamper", "battery_low", "vibration",
     "presence"}
)  # fmt: skip
_UPDATED = frozenset({"last_seen", "update", "update_available", "elapsed", "device"})
_ONLINE: Mapping[str, bool] = MappingProxyType({"online": True, "offline": False})
_LEAST_HPA = 250
"""The pressure of the air at 10 km; what is less is in another unit."""
_MILLIVOLTS = range(1000, 20_000)
"""What a battery's voltage can be in mV, and in V cannot."""
_READING, _EVENT = MessageRole.READING, MessageRole.EVENT
_NO_PARTS: Mapping[str, Mapping[str, Value]] = MappingProxyType({})
_NO_UNITS: Mapping[str, str] = MappingProxyType({})


class Zigbee2MqttOptions(Config):
    """Says how the gateway is set up, where that is not the default."""

    base_topic: Annotated[str, Field(min_length=1, max_length=100)] = "zigbee2mqtt"
    """Of several gateways with a name in braces as a level: `zigbee2mqtt/{gateway}`."""
    output: Literal["json", "attribute", "attribute_and_json"] = "json"
    """Of emulated devices: all values in one message, a message for each, or both. All are read."""
    availability: Literal["json", "plain", "disable"] = "json"
    """Of emulated gateways: as 2.x says it, as 1.x did, or not at all for devices. All are read."""
    last_seen: Literal["disable", "ISO_8601", "ISO_8601_local", "epoch"] = "disable"
    """Of emulated devices: whether messages have a time, and how it is written: in UTC, in the group's `timezone` with
    its offset, or in ms since 1970. All are read."""

    @field_validator("base_topic")
    @classmethod
    def _check_base(cls, base_topic: str) -> str:
        for level in base_topic.split("/"):
            if set("+#").intersection(level) or (set("{}").intersection(level) and not _NAMED.fullmatch(level)):
                raise ValueError(f"'{level}' is no level of a topic: a name, or one in braces such as {{gateway}}")
        return base_topic


class Zigbee2MqttDecoder:
    """Reads what gateways publish, and remembers their devices' names and units. A device is its friendly name."""

    def __init__(self, options: Zigbee2MqttOptions | None = None) -> None:
        self._base = (options or Zigbee2MqttOptions()).base_topic
        self.version = 0
        """Grows with what the list of devices says of their units."""
        self._units: dict[str, dict[str, str]] = {}
        self._devices: dict[str, str] = {}
        """Topic -> name, of devices that have said values; taking a topic apart costs as much as reading them."""
        # With a name in braces: the decoder of each gateway that was heard.
        levels = self._base.split("/")
        self._levels = [None if _NAMED.fullmatch(level) else level for level in levels]
        self._is_named = None in self._levels
        self._gateways: dict[str, Zigbee2MqttDecoder] = {}

    @property
    def filters(self) -> tuple[str, ...]:
        """Return the one filter of the gateways."""
        return ("/".join("+" if level is None else level for level in (*self._levels, "#")),)

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        speaker = self._devices.get(topic)
        if speaker is not None and payload:
            return self._reading(speaker, payload, arrival)
        if self._is_named:
            return self._gateway_of(topic).decode(topic, payload, arrival)
        name = topic.removeprefix(f"{self._base}/")
        if name == topic or not name or len(name) > _LONGEST_NAME:
            raise DialectError(f"topic '{topic}' is not below {self._base}/")
        if name.startswith("bridge/"):
            return self._bridge(name.removeprefix("bridge/"), payload, arrival)
        device, _, last = name.rpartition("/")
        if name not in self._units and device:
            if last == "availability":
                return _availability(device, payload, arrival)
            if last in ("set", "get"):
                return unread(device, MessageRole.COMMAND, arrival, {last: read_text(payload)})
            parent, _, above = device.rpartition("/")
            if parent and above in ("set", "get") and device not in self._units:
                return unread(parent, MessageRole.COMMAND, arrival, {f"{above}/{last}": read_text(payload)})
        if not payload:
            # A renamed device, or an attribute that is null.
            return unread(self._known(name)[0], MessageRole.READING, arrival)
        known, attribute = self._known(name)
        if attribute:
            return self._attribute(known, attribute, payload, arrival)
        message = self._reading(name, payload, arrival)
        if len(self._devices) < _MAX_DEVICES:
            self._devices[topic] = name
        return message

    def steady(self, topic: str, payload: bytes) -> SteadyPayload | None:
        """Return where a device's values have their numbers and their time; None of any other message."""
        speaker = self._devices.get(topic)
        body = read_json(payload, lenient=True) if speaker is not None else None
        if speaker is None or type(body) is not dict or body.get("action") or body.get("click"):
            return None
        units = self._units.get(speaker, _NO_UNITS)
        numbers: dict[tuple[str | int, ...], NumberForm] = {
            (key,): NumberForm.ANY for key in body if key in _SAME and key not in units
        }
        if "pressure" in body and "pressure" not in units:
            numbers["pressure",] = NumberForm.PRESSURE
        return SteadyPayload(numbers, ("last_seen",) if "last_seen" in body else None, device_time)

    def _gateway_of(self, topic: str) -> "Zigbee2MqttDecoder":
        levels = topic.split("/")[: len(self._levels)]
        if len(levels) < len(self._levels) or not all(
            own is None or own == level for own, level in zip(self._levels, levels, strict=True)
        ):
            raise DialectError(f"topic '{topic}' is not below {self._base}/")
        base = "/".join(levels)
        if (found := self._gateways.get(base)) is None:
            if len(self._gateways) >= _MAX_GATEWAYS:
                self._gateways.clear()
            self._gateways[base] = found = Zigbee2MqttDecoder()
            found._base = base
        return found

    def _known(self, name: str) -> tuple[str, str]:
        """Return which known device a topic is of, and the attribute it is for."""
        device, _, attribute = name.rpartition("/")
        return (device, attribute) if name not in self._units and device in self._units else (name, "")

    def _reading(self, name: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        device, _, attribute = name.rpartition("/")
        if device and payload.lstrip()[:1] != b"{":
            # A value alone, which may be a text without quotes.
            return self._attribute(device, attribute, payload, arrival)
        found = read_json(payload, lenient=True)
        if type(found) is not dict:
            raise DialectError(f"payload is no JSON object: {shown(payload)}")
        return self._values(name, found, arrival)

    def _attribute(self, device: str, attribute: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return the one value that a topic of its own has; text that is not JSON is a text."""
        return self._values(device, {attribute: _json_or_text(payload)}, arrival)

    def _values(self, device: str, body: Mapping[str, Any], arrival: Arrival) -> DialectMessage:
        units = self._units.get(device, _NO_UNITS)
        at_ms, source, remark = device_time(body.get("last_seen"), arrival)
        remarks = [remark] if remark else []
        values: dict[str, Value] = {}
        extra: dict[str, object] = {}
        for key, value in body.items():
            if key in _SAME and key not in units and (type(value) is int or type(value) is float):
                values[_SAME[key]] = value
            elif key == "pressure" and key not in units and type(value) in (int, float) and value > _LEAST_HPA:
                values["pressure_hpa"] = value
            elif key == "voltage" and type(value) is int and value in _MILLIVOLTS and not units and "battery" in body:
                values["battery_v"] = value / 1000
            elif value is not None and key not in _UPDATED:
                _read_value(key, value, body, units, values, extra, remarks)
        role = _READING
        if action := body.get("action") or body.get("click"):
            role = _EVENT
            values["event"] = str(action)
        told = tuple(remarks) if remarks else ()
        return DialectMessage(device, role, at_ms, source, values, "", _NO_PARTS, extra, arrival.retained, told)

    def _bridge(self, name: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what the gateway says of itself. Its own name is `bridge`."""
        if name == "state":
            return _availability("bridge", payload, arrival)
        if name == "devices":
            devices = read_json(payload)
            if not isinstance(devices, list):
                raise DialectError("bridge/devices is no list")
            self._learn(devices)
            return unread("bridge", MessageRole.DESCRIPTION, arrival, {"devices": devices})
        if name in ("log", "logging") or name.startswith("event"):
            return unread("bridge", MessageRole.EVENT, arrival, {name: _json_or_text(payload)})
        if name.startswith("response/"):
            return unread("bridge", MessageRole.ANSWER, arrival, {"request": name[9:], **read_object(payload)})
        if name.startswith(("request/", "config/")):
            return unread("bridge", MessageRole.COMMAND, arrival, {name: read_text(payload)})
        if name.startswith("networkmap"):
            # 1.x draws it as text.
            return unread("bridge", MessageRole.DESCRIPTION, arrival, {name: payload.decode("utf-8", "replace")})
        return unread("bridge", MessageRole.DESCRIPTION, arrival, {name: _json_or_text(payload)})

    def _learn(self, devices: list[Any]) -> None:
        """Remember the devices' names, and the units of what they expose."""
        units: dict[str, dict[str, str]] = {}
        for device in devices[:_MAX_DEVICES]:
            name = device.get("friendly_name") if isinstance(device, dict) else None
            if isinstance(name, str):
                definition = device.get("definition")
                exposed = _exposed_units(definition.get("exposes") if isinstance(definition, dict) else None)
                # What is as it would be without the list needs no second look.
                units[name] = {key: unit for key, unit in exposed if _is_telling(key, unit)}
        if units != self._units:
            self.version += 1
        self._units = units
        self._devices.clear()


def _read_value(
    key: str,
    value: object,
    body: Mapping[str, Any],
    units: Mapping[str, str],
    values: dict[str, Value],
    extra: dict[str, object],
    remarks: list[str],
) -> None:
    """Take in a value that may be anything; what has no canonical name goes into `extra`."""
    if key == "illuminance" and "illuminance_lux" in body:
        extra[key] = value  # 1.x had the logarithm here, and lux beside it
    elif key == "voltage" and not isinstance(value, dict | list):
        if (read := number(value)) is not None:
            # Without the list, a battery beside it tells that it is a battery's, and that is in mV.
            unit = units.get(key) or ("mV" if "battery" in body and round(read) in _MILLIVOLTS else "")
            if unit:
                name, read = convert("battery_v" if unit == "mV" else "voltage_v", read, unit, remarks)
                values[name] = read
            else:
                remarks.append("voltage: its unit is not known without the gateway's list of devices")
                values[key] = read
    elif key == "pressure" and key not in units and (read := number(value)) is not None and read < _LEAST_HPA:
        # Some devices say kPa, which only the list tells.
        remarks.append("pressure: its unit is not known without the gateway's list of devices")
        values[key] = read
    elif key == "local_temperature" and body.get("temperature") is not None:
        extra[key] = value  # a thermostat that is told of another sensor's
    elif key in _NUMBERS and not isinstance(value, dict | list | bool):
        name, unit = _NUMBERS[key]
        unit = units.get(key) or unit
        if (read := number(value)) is not None:
            if unit and quantity_of(name):
                name, read = convert(name, read, unit, remarks)
            values[name] = read
    elif (key == "state" or key.startswith("state_")) and value in ("ON", "OFF"):
        values[f"relay{key[5:]}_on"] = value == "ON"
    elif key in _FLAGS and isinstance(value, bool):
        values[key] = value
    elif key not in ("action", "click") or value:
        extra[key] = value


_SAME: Mapping[str, str] = {
    key: name
    for key, (name, unit) in _NUMBERS.items()
    if key not in ("illuminance", "pressure", "local_temperature")
    and (not unit or not quantity_of(name) or to_canonical(name, 1.0, unit) == 1.0)
}
"""Keys whose numbers are taken as they are, where the gateway's list of devices says nothing else. A dict, which is
asked for every key of every message."""


def _availability(device: str, payload: bytes, arrival: Arrival) -> DialectMessage:
    """Return whether a device or the gateway is there; 1.x said it in plain text."""
    text = read_text(payload)
    if not text:
        # That of a device with another name now is cleared.
        return unread(device, MessageRole.AVAILABILITY, arrival)
    if text.startswith("{"):
        text = str(read_object(payload).get("state"))
    if text not in _ONLINE:
        raise DialectError(f"availability says {shown(text)}: neither online nor offline")
    return unread(device, MessageRole.AVAILABILITY, arrival, values={"online": _ONLINE[text]})


def _json_or_text(payload: bytes) -> Any:
    try:
        return read_json(payload, lenient=True)
    except DialectError:
        return read_text(payload)


def _is_telling(key: str, unit: str) -> bool:
    """Return whether a unit says more than what a key means without it."""
    name, usual = _NUMBERS.get(key, ("", ""))
    return key == "voltage" or (unit != usual and bool(quantity_of(name)))


def _exposed_units(exposes: object) -> Iterator[tuple[str, str]]:
    for exposed in exposes if isinstance(exposes, list) else ():
        if not isinstance(exposed, dict):
            continue
        key, unit = exposed.get("property"), exposed.get("unit")
        if isinstance(key, str) and isinstance(unit, str):
            yield key, unit
        yield from _exposed_units(exposed.get("features"))
