"""Shelly: the RPC of the second and later generations, and the plain topics of the first.

Read in shelly-api-docs (Mqtt, Notifications, RPCProtocol) and, for the first generation, in shellyteacher4domo (issues
17, 18), ioBroker.shelly and ha-shellies-discovery. Quirks: 999 is no reading (openhab-addons issue 14360); the will is
retained by some firmwares and not by others; `src` stays the device's id where a prefix of one's own is set
(ioBroker.shelly issue 896); `sys.unixtime` is null before the clock is set; a device on USB says a battery of 0 %; a
`bthomesensor` tells neither quantity nor unit (node-red-contrib-shelly issue 200). The temperature of the first
generation's H&T is in the unit of its settings, which no message tells: `temperature_unit` does.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeGuard

import orjson
from pydantic import Field

from edgewire.clock import parse_ms
from edgewire.config import Config
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, Value, unread
from edgewire.dialects.encoder import (
    CommandOutcome,
    DeviceNames,
    DialectCommand,
    MessageTemplate,
    Publication,
    home_address,
)
from edgewire.dialects.payload_template import fill_names
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

_VITALS = frozenset({"rssi_dbm", "uptime_s", "battery_v", "battery_pct"})
"""What a message without anything else tells no more than the state of the device with."""

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
    topic_prefix: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^+#\x00]*[^+#\x00/]$")] = "{id}"
    """Before `/events/rpc` and `/online` in the topics of emulated devices. With names in braces: `{id}`, `{site}`."""
    rpc_ntf: bool = True
    """Whether emulated devices send NotifyStatus."""
    status_ntf: bool = False
    """Whether emulated devices send the state of each component below `/status`."""


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
    if values and not parts and values.keys() <= _VITALS:
        role = MessageRole.STATE
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


_MODEL, _APP, _GENERATION = "S3SN-0U12A", "HTG3", 3
_VERSION = "1.4.4"
_FIRMWARE_ID = "20241011-114449/1.4.4-g6d2a586"
_LONGEST_SOURCE = 200
_USUAL_RSSI_DBM = -65
_NO_HANDLER, _FAILED_PRECONDITION = 404, -109
_READ = MappingProxyType(
    {
        "shelly.getstatus": "",
        "temperature.getstatus": "temperature:0",
        "humidity.getstatus": "humidity:0",
        "devicepower.getstatus": "devicepower:0",
        "sys.getstatus": "sys",
        "wifi.getstatus": "wifi",
    }
)
"""Method that reads, in small letters, and the component that it reads; all for an empty one."""
_TEMPERATURE: Mapping[str, Any] = {
    "id": 0,
    "tC": {"from": "temperature_c", "round": 1},
    "tF": {"from": "temperature_c", "unit": "°F", "round": 1},
}
_HUMIDITY: Mapping[str, Any] = {"id": 0, "rh": {"from": "humidity", "round": 1}}
_WIFI: Mapping[str, Any] = {"rssi": "rssi_dbm"}
_POWER: Mapping[str, Any] = {
    "id": 0,
    "battery": {"V": {"from": "supply_v", "round": 2}, "percent": {"from": "battery_pct", "round": 0}},
    "external": {"present": False},
}
_MEASURED: Mapping[str, Mapping[str, Any]] = MappingProxyType({"temperature:0": _TEMPERATURE, "humidity:0": _HUMIDITY})


class ShellyEncoder:
    """Writes what a sensor of the second and later generations publishes, and answers its RPC.

    It measures temperature and humidity: no Shelly has a pressure, which is left out.
    """

    events: tuple[MessageTemplate, ...] = ()

    def __init__(self, options: ShellyOptions, kind: str) -> None:
        """Raises `DialectError` for a kind that no Shelly is, and for options with which it would say nothing."""
        if kind != "bme280":
            raise DialectError(f"no Shelly measures what a {kind} measures; use bme280, for temperature and humidity")
        if not (options.rpc_ntf or options.status_ntf):
            raise DialectError("rpc_ntf and status_ntf are both off: such a device says nothing of what it measures")
        self._prefix = options.topic_prefix
        self.messages = tuple(self._messages(options))

    def _messages(self, options: ShellyOptions) -> Iterator[MessageTemplate]:
        prefix, in_rpc = options.topic_prefix, options.rpc_ntf
        if in_rpc:
            yield self._notification({**_MEASURED, "wifi": _WIFI}, MessageRole.READING)
            yield self._notification({"devicepower:0": _POWER}, MessageRole.STATE, ("battery_pct",))
        if options.status_ntf:
            # Where both are on, the notification is what counts: this says the same again.
            role = MessageRole.STATE if in_rpc else MessageRole.READING
            for component, body in _MEASURED.items():
                yield MessageTemplate(f"{prefix}/status/{component}", body, role)
            yield MessageTemplate(f"{prefix}/status/devicepower:0", _POWER, MessageRole.STATE, needs=("battery_pct",))

    def _notification(
        self, components: Mapping[str, Any], role: MessageRole, needs: tuple[str, ...] = ()
    ) -> MessageTemplate:
        params = {"ts": {"from": "timestamp", "as": "epoch_s", "round": 2}, **components}
        frame = {"src": "{id}", "dst": f"{self._prefix}/events", "method": {"const": "NotifyStatus"}, "params": params}
        return MessageTemplate(f"{self._prefix}/events/rpc", frame, role, needs=needs)

    def state(self, names: DeviceNames, status: Mapping[str, Any], *, is_first: bool = True) -> Iterator[Publication]:
        """Yield `online`, and as a device comes all that it has, with values of what it does not measure alone."""
        is_online = status["state"] == "online"
        yield Publication(self._filled("/online", names), b"true" if is_online else b"false", retain=True)
        if is_online:
            yield self._full_status(names, status)

    def will(self, names: DeviceNames) -> Publication:
        """Return the retained `false`."""
        return Publication(self._filled("/online", names), b"false", retain=True)

    def command_topics(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the topics of requests, and of the plain command."""
        return self._filled("/rpc", names), self._filled("/command", names)

    def read_command(self, names: DeviceNames, topic: str, payload: bytes) -> DialectCommand | None:
        """Return what a request asks for; None for what is no request, or says not where its answer goes."""
        if topic == self._filled("/command", names):
            is_known = payload.strip() == b"status_update"
            return DialectCommand("", {}, "status_update", wants_reading=True) if is_known else None
        try:
            frame = read_object(payload)
        except DialectError:
            return None
        method, source = frame.get("method"), frame.get("src")
        if not isinstance(method, str) or not _is_source(source) or frame.get("id") is None:
            return None
        who = orjson.dumps({"id": frame["id"], "dst": source}).decode()
        name = method.lower()
        if name == "shelly.reboot":
            return DialectCommand("reboot", {}, name, who)
        return DialectCommand("", {}, name if name in _ANSWERED else method, who, wants_reading=name in _READ)

    def answer(self, names: DeviceNames, command: DialectCommand, outcome: CommandOutcome) -> Iterator[Publication]:
        """Yield the response to whoever asked; the state of each component where that is what is asked for."""
        said = dict(_said_components(outcome.readings))
        if command.name == "status_update":
            for component, body in said.items():
                yield Publication(self._filled(f"/status/{component}", names), orjson.dumps(body), retain=False)
            return
        request = orjson.loads(command.argument)
        response: dict[str, Any] = {"id": request["id"], "src": names["id"], "dst": request["dst"]}
        if command.name not in _ANSWERED:
            response["error"] = {"code": _NO_HANDLER, "message": f"No handler for {command.name}"}
        elif outcome.error is not None:
            response["error"] = {"code": _FAILED_PRECONDITION, "message": outcome.error}
        elif command.name == "shelly.getdeviceinfo":
            response["result"] = _device_info(names)
        elif command.name == "shelly.reboot":
            response["result"] = None
        else:
            everything = _own_components(names, outcome.status) | said
            wanted = _READ[command.name]
            if not wanted:
                response["result"] = everything
            elif wanted in everything:
                response["result"] = everything[wanted]
            else:
                response["error"] = {"code": _NO_HANDLER, "message": f"No handler for {command.name}"}
        yield Publication(f"{request['dst']}/rpc", orjson.dumps(response), retain=False)

    def _full_status(self, names: DeviceNames, status: Mapping[str, Any]) -> Publication:
        params: dict[str, Any] = {"ts": _seconds(status)} | _own_components(names, status)
        # A value here would be a reading that nobody has counted: it comes with the first one.
        params |= {"temperature:0": {"id": 0, "tC": None, "tF": None}, "humidity:0": {"id": 0, "rh": None}}
        frame = {
            "src": names["id"],
            "dst": self._filled("/events", names),
            "method": "NotifyFullStatus",
            "params": params,
        }
        return Publication(self._filled("/events/rpc", names), orjson.dumps(frame), retain=False)

    def _filled(self, below: str, names: DeviceNames) -> str:
        return fill_names(self._prefix, names) + below


_ANSWERED = _READ.keys() | {"shelly.getdeviceinfo", "shelly.reboot"}


def _is_source(source: object) -> TypeGuard[str]:
    """Return whether a response can be published below this."""
    if not isinstance(source, str) or not 0 < len(source) <= _LONGEST_SOURCE:
        return False
    return source.isprintable() and not set("+#").intersection(source)


def _said_components(readings: Sequence[Publication]) -> Iterator[tuple[str, Any]]:
    """Yield the components that the messages of a reading have."""
    for one in readings:
        body = orjson.loads(one.payload)
        if one.topic.endswith("/events/rpc"):
            yield from ((key, value) for key, value in body["params"].items() if ":" in key)
        else:
            yield one.topic.rpartition("/")[2], body


def _own_components(names: DeviceNames, status: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a device knows without measuring."""
    uptime = round(status.get("uptime_s", 0))
    unix_s = _seconds(status)
    components: dict[str, Any] = {
        "ble": {},
        "cloud": {"connected": False},
        "mqtt": {"connected": True},
        "sys": {
            "mac": names["mac"],
            "restart_required": False,
            "time": None if unix_s is None else datetime.fromtimestamp(unix_s, UTC).strftime("%H:%M"),
            "unixtime": None if unix_s is None else round(unix_s),
            "uptime": uptime,
            "ram_size": 256_000,
            "ram_free": 120_000,
            "fs_size": 1_048_576,
            "fs_free": 700_416,
            "cfg_rev": 1,
            "available_updates": {},
        },
        "wifi": {
            "sta_ip": home_address(names),
            "status": "got ip",
            "ssid": "edge",
            "rssi": status.get("rssi_dbm", _USUAL_RSSI_DBM),
        },
        "ws": {"connected": False},
    }
    if "battery_pct" in status:
        battery = {"V": status["battery_v"], "percent": round(status["battery_pct"])}
        components["devicepower:0"] = {"id": 0, "battery": battery, "external": {"present": False}}
    return components


def _device_info(names: DeviceNames) -> dict[str, Any]:
    return {
        "name": None,
        "id": names["id"],
        "mac": names["mac"],
        "slot": 0,
        "model": _MODEL,
        "gen": _GENERATION,
        "fw_id": _FIRMWARE_ID,
        "ver": _VERSION,
        "app": _APP,
        "auth_en": False,
        "auth_domain": None,
    }


def _seconds(status: Mapping[str, Any]) -> float | None:
    """Return the device's time in seconds since 1970 UTC; None before it knows it."""
    text = status.get("timestamp")
    return parse_ms(text) / 1000 if isinstance(text, str) else None
