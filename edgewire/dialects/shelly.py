"""Shelly: the RPC of the second and later generations, and the plain topics of the first.

Read in shelly-api-docs (Mqtt, Notifications, RPCProtocol) and, for the first generation, in shellyteacher4domo (issues
17, 18), ioBroker.shelly and ha-shellies-discovery. Quirks: 999 is no reading (openhab-addons issue 14360); the will is
retained by some firmwares and not by others; `src` stays the device's id where a prefix of one's own is set
(ioBroker.shelly issue 896); `sys.unixtime` is null before the clock is set; a device on USB says a battery of 0 %; a
`bthomesensor` tells neither quantity nor unit (node-red-contrib-shelly issue 200). The temperature of the first
generation's H&T is in the unit of its settings, which no message tells: `temperature_unit` does.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal

from edgewire.config import Config
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, Value, unread
from edgewire.dialects.times import device_time
from edgewire.dialects.units import to_canonical
from edgewire.dialects.values import number, read_object, read_text, shown

_COMPONENT = re.compile(r"([a-z][a-z0-9_]*)(?::(\d{1,5}))?")
_NO_READING = 999
"""What a probe that is not there reads, in °C and %, see the module."""

_COMPONENT_KEYS: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "temperature": (("tC", "temperature_c"),),
        "humidity": (("rh", "humidity"),),
        "devicepower": (("battery.V", "battery_v"), ("battery.percent", "battery_pct")),
        "illuminance": (("lux", "illuminance_lx"),),
        "voltmeter": (("voltage", "voltage_v"),),
        "switch": (
            ("apower", "power_w"),
            ("voltage", "voltage_v"),
            ("current", "current_a"),
            ("aenergy.total", "energy_wh"),
        ),
        "pm1": (
            ("apower", "power_w"),
            ("voltage", "voltage_v"),
            ("current", "current_a"),
            ("aenergy.total", "energy_wh"),
        ),
        "wifi": (("rssi", "rssi_dbm"),),
        "sys": (("uptime", "uptime_s"),),
    }
)
"""Kind of component -> path of a value in it, and its canonical name."""
_COMPONENT_FLAGS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"switch": ("output", "relay_on"), "input": ("state", "input_on"), "smoke": ("alarm", "smoke"),
     "flood": ("alarm", "water_leak")}
)  # fmt: skip

_GEN1 = re.compile(r"shellies/(?P<device>[^/]+)/(?P<name>.+)")
_GEN1_VALUES: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(pattern), name, unit)
    for pattern, name, unit in (
        (r"sensor/temperature", "temperature_c", "set"),
        (r"sensor/humidity", "humidity", "%"),
        (r"sensor/battery", "battery_pct", "%"),
        (r"sensor/lux", "illuminance_lx", ""),
        (r"temperature", "chip_temperature_c", "C"),
        (r"temperature_f", "chip_temperature_c", "F"),
        (r"ext_temperature/(?P<id>\d+)", "temperature_c", "C"),
        (r"ext_temperature_f/(?P<id>\d+)", "temperature_c", "F"),
        (r"ext_humidity/(?P<id>\d+)", "humidity", "%"),
        (r"(?:relay|emeter)/(?P<id>\d+)/power", "power_w", "W"),
        (r"relay/(?P<id>\d+)/energy", "energy_wh", "Wmin"),
        (r"(?:emeter/(?P<id>\d+)/)?voltage", "voltage_v", "V"),
    )
)
"""Below `shellies/ID/` -> canonical name and unit; "set" is the unit of the device's settings."""


class ShellyOptions(Config):
    """Says how the devices are set up, where that is not the default."""

    temperature_unit: Literal["C", "F"] = "C"
    """The unit that first-generation H&T sensors are set to."""


class ShellyDecoder:
    """Reads what Shelly devices publish. A device is its topic prefix."""

    filters = ("+/events/rpc", "+/online", "+/status/#", "+/rpc", "shellies/#")

    def __init__(self, options: ShellyOptions | None = None) -> None:
        self._options = options or ShellyOptions()

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        if topic.startswith("shellies/"):
            return self._first_generation(topic, payload, arrival)
        prefix, _, name = topic.rpartition("/")
        if name == "online" and prefix:
            return _availability(prefix, payload, arrival)
        if name == "rpc" and prefix.endswith("/events"):
            return _notification(prefix.removesuffix("/events"), read_object(payload), arrival)
        if name == "rpc" and prefix:
            return _frame(prefix, read_object(payload), arrival)
        device, found, component = topic.partition("/status/")
        if found and device and "/" not in component:
            return _components(
                device, MessageRole.READING, {component: read_object(payload)}, (None, arrival), extra={}
            )
        raise DialectError(f"topic '{topic}' is none of Shelly: they end in /online, /rpc or /status/COMPONENT")

    def _first_generation(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        if topic in ("shellies/announce", "shellies/command"):
            body = {"text": read_text(payload)} if topic.endswith("command") else read_object(payload)
            device = body.get("id")
            role = MessageRole.COMMAND if topic.endswith("command") else MessageRole.DESCRIPTION
            return unread(device if isinstance(device, str) else "", role, arrival, body)
        found = _GEN1.fullmatch(topic)
        if not found:
            raise DialectError(f"topic '{topic}' names no device: it is shellies/ID/…")
        device, name = found["device"], found["name"]
        if name == "online":
            return _availability(device, payload, arrival)
        if name in ("announce", "info"):
            return unread(device, MessageRole.DESCRIPTION, arrival, read_object(payload))
        if name.endswith("command"):
            return unread(device, MessageRole.COMMAND, arrival, {name: read_text(payload)})
        said = read_text(payload)
        for pattern, canonical, unit in _GEN1_VALUES:
            if match := pattern.fullmatch(name):
                return self._plain_value(device, canonical, unit, match.groupdict().get("id"), said, arrival)
        if (relay := re.fullmatch(r"relay/(\d+)", name)) and said in ("on", "off", "overpower"):
            role, values = MessageRole.STATE, {f"relay{relay[1]}_on": said == "on"}
            return unread(device, role, arrival, {name: said}, values)
        return unread(device, MessageRole.STATE, arrival, {name: said})

    def _plain_value(
        self, device: str, name: str, unit: str, sensor: str | None, said: str, arrival: Arrival
    ) -> DialectMessage:
        read = number(said)
        values: dict[str, Value] = {}
        if read is not None and not (read == _NO_READING and name in ("temperature_c", "humidity")):
            unit = self._options.temperature_unit if unit == "set" else unit
            converted = to_canonical(name, read, unit) if unit else read
            assert converted is not None  # the units of the table are all known
            values[name] = converted
        message = unread(device, MessageRole.READING, arrival, {}, values)
        return message if sensor is None else replace(message, sensor=sensor)


def _availability(device: str, payload: bytes, arrival: Arrival) -> DialectMessage:
    said = read_text(payload)
    if said not in ("true", "false"):
        raise DialectError(f"online says {shown(said)}: neither true nor false")
    return unread(device, MessageRole.AVAILABILITY, arrival, values={"online": said == "true"})


def _notification(device: str, body: Mapping[str, Any], arrival: Arrival) -> DialectMessage:
    method, params = body.get("method"), body.get("params")
    if not isinstance(params, dict) or not isinstance(method, str):
        raise DialectError(f"notification has no method and params: {shown(dict(body))}")
    extra = {"method": method, "src": body.get("src")}
    if method in ("NotifyStatus", "NotifyFullStatus"):
        components = {key: value for key, value in params.items() if isinstance(value, dict)}
        return _components(device, MessageRole.READING, components, (params.get("ts"), arrival), extra)
    if method == "NotifyEvent":
        at_ms, source, remark = device_time(params.get("ts"), arrival)
        events = params.get("events")
        first = events[0] if isinstance(events, list) and events and isinstance(events[0], dict) else {}
        values: dict[str, Value] = {"event": first["event"]} if isinstance(first.get("event"), str) else {}
        return DialectMessage(
            device,
            MessageRole.EVENT,
            at_ms,
            source,
            values=values,
            extra=extra | {"events": events},
            is_stale=arrival.retained,
            remarks=(remark,) if remark else (),
        )
    raise DialectError(f"notification {shown(method)} is none of Shelly's")


def _frame(device: str, body: Mapping[str, Any], arrival: Arrival) -> DialectMessage:
    """Return a request, or the answer to one."""
    if "method" in body:
        return unread(device, MessageRole.COMMAND, arrival, body)
    if "result" in body or "error" in body:
        # The topic is that of who asked; who answers says so itself.
        source = body.get("src")
        return unread(source if isinstance(source, str) else device, MessageRole.ANSWER, arrival, body)
    raise DialectError(f"RPC frame has neither method nor result nor error: {shown(dict(body))}")


def _components(
    device: str,
    role: MessageRole,
    components: Mapping[str, Mapping[str, Any]],
    when: tuple[object, Arrival],
    extra: Mapping[str, object],
) -> DialectMessage:
    """Return the values of components: those with number 0 or none are the device's, the others have their name."""
    written, arrival = when
    at_ms, source, remark = device_time(written, arrival)
    values: dict[str, Value] = {}
    parts: dict[str, dict[str, Value]] = {}
    unknown: dict[str, object] = {}
    for key, body in components.items():
        named = _COMPONENT.fullmatch(key)
        if not named or named[1] not in _COMPONENT_KEYS.keys() | _COMPONENT_FLAGS.keys():
            unknown[key] = body
            continue
        found = dict(_component_values(named[1], body))
        if named[2] in (None, "0"):
            values |= found
        elif found:
            parts[key] = found
    remarks = [remark] if remark else []
    remarks += [f"{key}: quantity and unit are not known" for key in unknown if key.startswith("bthomesensor")]
    return DialectMessage(
        device,
        role,
        at_ms,
        source,
        values=values,
        parts=parts,
        extra={**extra, **unknown},
        is_stale=arrival.retained,
        remarks=tuple(remarks),
    )


def _component_values(kind: str, body: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    battery, external = body.get("battery"), body.get("external")
    # On USB there may be none: it then says 0 % and a fraction of a volt.
    if isinstance(external, dict) and external.get("present") is True and isinstance(battery, dict):
        body = body if battery.get("percent") else {}
    for path, name in _COMPONENT_KEYS.get(kind, ()):
        found: Any = body
        for key in path.split("."):
            found = found.get(key) if isinstance(found, dict) else None
        read = number(found)
        no_reading = read == _NO_READING and name in ("temperature_c", "humidity")
        if read is not None and not no_reading:
            yield name, read
    if (flag := _COMPONENT_FLAGS.get(kind)) and isinstance(body.get(flag[0]), bool):
        yield flag[1], body[flag[0]]
