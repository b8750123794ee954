"""Shelly: the RPC of the second and later generations, and the plain topics of the first.

Read in shelly-api-docs (Mqtt, Notifications, RPCProtocol) and, for the first generation, in shellyteacher4domo (issues
17, 18), ioBroker.shelly and ha-shellies-discovery. Quirks: 999 is no reading (openhab-addons issue 14360); the will is
retained by some firmwares and not by others; `src` stays the device's id where a prefix of one's own is set
(ioBroker.shelly issue 896); `sys.unixtime` is null before the clock is set; a device on USB says a battery of 0 %; a
`bthomesensor` tells neither quantity nor unit (node-red-contrib-shelly issue 200). The temperature of the first
generation's H&T is in the unit of its settings, which no message tells: `temperature_unit` does. The
`temperature:0` of a meter is that of the meter itself (ioBroker.shelly issue 787), and a prefix of one's own may begin
with `shellies/` too (ha-shellies-discovery-gen2 issue 649).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, TypeGuard

import orjson
from pydantic import Field

from edgewire.clock import parse_ms
from edgewire.config import Config
from edgewire.config_errors import text_matching
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
from edgewire.dialects.encoder import (
    CommandOutcome,
    DeviceNames,
    DialectCommand,
    MessageTemplate,
    Publication,
    home_address,
)
from edgewire.dialects.kind_fields import measures
from edgewire.dialects.payload_template import fill_names
from edgewire.dialects.times import device_time
from edgewire.dialects.units import to_canonical
from edgewire.dialects.values import number, read_json, read_object, read_text, shown

_NO_READING = 999
"""What a probe that is not there reads, in °C and %, see the module."""

_METERED: Mapping[str, str] = {
    "apower": "power_w",
    "voltage": "voltage_v",
    "current": "current_a",
    "freq": "frequency_hz",
    "pf": "power_factor",
    "aenergy.total": "energy_wh",
    "ret_aenergy.total": "energy_returned_wh",
    "temperature.tC": "chip_temperature_c",
}
_ONE_PHASE: Mapping[str, str] = {
    "act_power": "power_w",
    "aprt_power": "apparent_power_va",
    "voltage": "voltage_v",
    "current": "current_a",
    "freq": "frequency_hz",
    "pf": "power_factor",
}
_LINES = ("a", "b", "c")
_LIGHTS = ("light", "rgb", "rgbw", "cct", "rgbcct")


def _of_line(name: str, line: str) -> str:
    """Return a name for one line of three: `power_w` of `a` is `power_a_w`."""
    stem, _, unit = name.rpartition("_")
    return f"{stem}_{line}_{unit}"


_COMPONENT_KEYS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "temperature": {"tC": "temperature_c"},
        "humidity": {"rh": "humidity"},
        "devicepower": {"battery.V": "battery_v", "battery.percent": "battery_pct"},
        "illuminance": {"lux": "illuminance_lx"},
        "voltmeter": {"voltage": "voltage_v"},
        "switch": _METERED,
        **{light: {**_METERED, "brightness": "brightness_pct"} for light in _LIGHTS},
        "input": {"percent": "input_pct", "counts.total": "count", "freq": "frequency_hz"},
        "presencezone": {"num_objects": "object_count"},
        "cover": {**_METERED, "current_pos": "position_pct"},
        "pm1": _METERED,
        "em1": _ONE_PHASE,
        "em1data": {"total_act_energy": "energy_wh", "total_act_ret_energy": "energy_returned_wh"},
        "em": {
            "total_act_power": "power_w",
            "total_aprt_power": "apparent_power_va",
            "total_current": "current_a",
            "n_current": "current_n_a",
            **{
                f"{line}_{key}": f"{name}_{line}" if name == "power_factor" else _of_line(name, line)
                for line in _LINES
                for key, name in _ONE_PHASE.items()
            },
        },
        "emdata": {
            "total_act": "energy_wh",
            "total_act_ret": "energy_returned_wh",
            **{f"{line}_total_act_energy": f"energy_{line}_wh" for line in _LINES},
            **{f"{line}_total_act_ret_energy": f"energy_returned_{line}_wh" for line in _LINES},
        },
        "bthomedevice": {"battery": "battery_pct", "rssi": "rssi_dbm"},
        "thermostat": {"current_C": "temperature_c", "target_C": "target_temperature_c"},
        "blutrv": {"battery": "battery_pct", "rssi": "rssi_dbm", "target_C": "target_temperature_c",
                   "current_C": "temperature_c"},
        "wifi": {"rssi": "rssi_dbm"},
        "sys": {"uptime": "uptime_s"},
    }
)  # fmt: skip
"""Kind of component -> path of a value in it, and its canonical name."""
_HEARD = "shelly-blu"
"""The event of the script ble-shelly-blu.js for gateways."""
_HEARD_KEYS: Mapping[str, str] = MappingProxyType(
    {"temperature": "temperature_c", "humidity": "humidity", "battery": "battery_pct", "rssi": "rssi_dbm",
     "illuminance": "illuminance_lx"}
)  # fmt: skip
_NO_KEYS: Mapping[str, str] = MappingProxyType({})
_COMPONENT_FLAGS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"switch": ("output", "relay_on"), **dict.fromkeys(_LIGHTS, ("output", "light_on")), "input": ("state", "input_on"),
     "smoke": ("alarm", "smoke"), "flood": ("alarm", "water_leak"), "presence": ("state", "presence"),
     "presencezone": ("value", "presence")}
)  # fmt: skip
_KINDS = frozenset({*_COMPONENT_KEYS, *_COMPONENT_FLAGS})
_READING, _STATE = MessageRole.READING, MessageRole.STATE
_OF_THE_DEVICE = frozenset(
    {"sys", "wifi", "eth", "cloud", "mqtt", "ws", "ble", "bthome", "bthomecontrol", "script", "matter", "knx", "ui",
     "modbus", "serial", "dali", "plugs_ui", "pill", "virtual", "cury_ui", "service"}
)  # fmt: skip
"""Kinds of components that measure nothing."""
_ALL_KINDS = _KINDS | _OF_THE_DEVICE
_METERED_BY = frozenset(f"{kind}:{number}" for kind in ("em", "em1") for number in range(10))
"""Components of a meter."""
_KNOWN_NAMES = 100_000
_METER = re.compile(r"shelly(?:pro|plus)?(?:3em|em)")
"""Names of meters, whose `temperature:0` is that of the device itself."""

_VITALS = frozenset({"rssi_dbm", "uptime_s", "battery_v", "battery_pct"})
"""What a message without anything else tells no more than the state of the device with."""

_NEVER_NEGATIVE = frozenset({"position_pct", "tilt_deg", "illuminance_lx", "battery_pct", "gas_ppm", "humidity"})
"""Names under which the first generation says -1 where it does not know: a roller without calibration, no tilt."""
_GEN1 = re.compile(r"shellies/(?P<device>[^/]+)/(?P<name>.+)")
_GEN2_BELOW = re.compile(
    r".+/(?:events/rpc|rpc|status(?:/[a-z0-9_]+:\d+|/sys|/wifi|/cloud|/mqtt|/ws|/ble|/eth)?|debug/log)"
)
"""Topics of the second generation, whose prefix may begin with `shellies/` as well."""
_GEN1_VALUES: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(pattern), name, unit)
    for pattern, name, unit in (
        (r"sensor/temperature", "temperature_c", "set"),
        (r"sensor/humidity", "humidity", "%"),
        (r"sensor/battery", "battery_pct", "%"),
        (r"sensor/lux", "illuminance_lx", ""),
        (r"sensor/concentration", "gas_ppm", ""),
        (r"sensor/tilt", "tilt_deg", ""),
        (r"temperature", "chip_temperature_c", "C"),
        (r"temperature_f", "chip_temperature_c", "F"),
        (r"ext_temperature/(?P<id>\d+)", "temperature_c", "C"),
        (r"ext_temperature_f/(?P<id>\d+)", "temperature_c", "F"),
        (r"ext_humidity/(?P<id>\d+)", "humidity", "%"),
        # A Shelly 2 has one meter for both relays.
        (r"(?:relay|emeter|roller|light|white|color|meter)(?:/(?P<id>\d+))?/power", "power_w", "W"),
        (r"(?:relay|emeter|roller|light|white|color|meter)(?:/(?P<id>\d+))?/energy", "energy_wh", "Wmin"),
        (r"emeter/(?P<id>\d+)/returned_energy", "energy_returned_wh", "Wmin"),
        (r"emeter/(?P<id>\d+)/total", "energy_wh", "Wh"),
        (r"emeter/(?P<id>\d+)/total_returned", "energy_returned_wh", "Wh"),
        (r"emeter/(?P<id>\d+)/reactive_power", "reactive_power_var", ""),
        (r"emeter/(?P<id>\d+)/pf", "power_factor", ""),
        (r"emeter/(?P<id>\d+)/current", "current_a", "A"),
        (r"emeter_n/current", "current_n_a", "A"),
        (r"(?:emeter/(?P<id>\d+)/)?voltage", "voltage_v", "V"),
        (r"adc/(?P<id>\d+)", "voltage_v", "V"),
        (r"roller/(?P<id>\d+)/pos", "position_pct", ""),
    )
)
"""Below `shellies/ID/` -> canonical name and unit; "set" is the unit of the device's settings."""
_GEN1_FLAGS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"sensor/flood", "water_leak"),
        (r"sensor/smoke", "smoke"),
        (r"sensor/motion", "occupancy"),
        (r"sensor/vibration", "vibration"),
        (r"sensor/(?:state|dwIsOpened)", "open"),
        (r"(?:input|ext_switch)/(?P<id>\d+)", "input_on"),
    )
)
_SWITCHED = re.compile(r"(relay|light|white|color)/(\d+)")
_GEN1_WORDS: Mapping[str, bool] = MappingProxyType(
    {"true": True, "false": False, "1": True, "0": False, "open": True, "close": False}
)


class ShellyOptions(Config):
    """Says how the devices are set up, where that is not the default."""

    temperature_unit: Literal["C", "F"] = "C"
    """The unit that first-generation H&T sensors are set to."""
    topic_prefix: Annotated[
        str,
        Field(min_length=1, max_length=200),
        text_matching(r"^[^+#\x00]*[^+#\x00/]$", "a topic without + and #, and without / at its end"),
    ] = "{id}"
    """Before `/events/rpc` and `/online` in the topics of emulated devices. With names in braces: `{id}`, `{site}`."""
    rpc_ntf: bool = True
    """Whether emulated devices send NotifyStatus."""
    status_ntf: bool = False
    """Whether emulated devices send the state of each component below `/status`."""


_ENDS = ("events/rpc", "online", "status/#", "rpc", "announce", "debug/log")
_KNOWN_TOPICS = 100_000
_MOST_LEVELS = 6
"""Of a topic prefix; what is read has no limit, but a filter that can bring nothing is told by these."""


class ShellyDecoder:
    """Reads what Shelly devices publish. A device is its topic prefix."""

    filters = (
        "shellies/#",
        *("+/" * levels + end for levels in range(1, _MOST_LEVELS + 1) for end in _ENDS),
    )

    def __init__(self, options: ShellyOptions | None = None) -> None:
        self._options = options or ShellyOptions()
        self._notifiers: dict[str, str] = {}
        """Topic -> device, of those that have notified: taking a topic apart costs as much as reading it."""

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        notifier = self._notifiers.get(topic)
        if notifier is not None:
            return _notification(notifier, read_object(payload), arrival)
        if topic.startswith("shellies/") and not _GEN2_BELOW.fullmatch(topic):
            return self._first_generation(topic, payload, arrival)
        prefix, _, name = topic.rpartition("/")
        if name == "online" and prefix:
            return _availability(prefix, payload, arrival)
        if name == "rpc" and prefix.endswith("/events"):
            if len(self._notifiers) >= _KNOWN_TOPICS:
                self._notifiers.clear()
            self._notifiers[topic] = notifier = prefix.removesuffix("/events")
            return _notification(notifier, read_object(payload), arrival)
        if name == "rpc" and prefix:
            return _frame(prefix, read_object(payload), arrival)
        device, found, component = topic.rpartition("/status/")
        if found and device and "/" not in component:
            return _components(device, {component: read_object(payload)}, (None, arrival), {})
        if name == "status" and prefix:
            body = read_object(payload)
            if _GEN1.fullmatch(topic) and not any(key.partition(":")[0] in _ALL_KINDS for key in body):
                return _first_generation_status(prefix.removeprefix("shellies/"), body, arrival)
            return _components(prefix, body, (None, arrival), {})
        if topic.endswith("/debug/log"):
            return unread(
                topic.removesuffix("/debug/log"),
                MessageRole.STATE,
                arrival,
                {"log": payload.decode("utf-8", "replace")},
            )
        if name == "announce" and prefix:
            return unread(prefix, MessageRole.DESCRIPTION, arrival, read_object(payload))
        device, found, command = topic.partition("/command")
        if found and device and command[:1] in ("", "/"):
            return unread(device, MessageRole.COMMAND, arrival, {topic.removeprefix(f"{device}/"): read_text(payload)})
        raise DialectError(f"topic '{topic}' is none of Shelly: they end in /online, /rpc or /status/COMPONENT")

    def steady(self, topic: str, payload: bytes) -> SteadyPayload | None:
        """Return where a notification has its numbers and its time; None of any other message."""
        body = read_object(payload) if topic in self._notifiers else {}
        params = body.get("params")
        if body.get("method") not in ("NotifyStatus", "NotifyFullStatus") or type(params) is not dict:
            return None
        if type(params.get("ts")) not in (int, float):
            return None
        numbers: dict[tuple[str | int, ...], NumberForm] = {}
        for name, values in params.items():
            found = _component(name)
            if type(values) is not dict or not found.is_known or found.kind == "devicepower":
                continue
            read = {path: canonical for path, _, _, canonical in found.paths}
            outer = {first for _, first, inner, _ in found.paths if inner}
            for key in values.keys() - outer:
                # What has no name is not looked at.
                is_air = read.get(key) in ("temperature_c", "humidity")
                numbers["params", name, key] = NumberForm.NOT_MINUS_ONE if is_air else NumberForm.ANY
        return SteadyPayload(numbers, ("params", "ts"), device_time)

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
        if payload.lstrip()[:1] in (b"{", b"["):
            return _first_generation_object(device, name, payload, arrival)
        said = read_text(payload)
        for pattern, canonical, unit in _GEN1_VALUES:
            if match := pattern.fullmatch(name):
                return self._plain_value(device, canonical, unit, match.groupdict().get("id"), said, arrival)
        for pattern, canonical in _GEN1_FLAGS:
            if (match := pattern.fullmatch(name)) and said in _GEN1_WORDS:
                message = unread(device, MessageRole.READING, arrival, {}, {canonical: _GEN1_WORDS[said]})
                return message._replace(sensor=match.groupdict().get("id") or "")
        if (relay := _SWITCHED.fullmatch(name)) and said in ("on", "off", "overpower"):
            of = "relay" if relay[1] == "relay" else "light"
            return unread(device, MessageRole.STATE, arrival, {name: said}, {f"{of}{relay[2]}_on": said == "on"})
        return unread(device, MessageRole.STATE, arrival, {name: said})

    def _plain_value(
        self, device: str, name: str, unit: str, sensor: str | None, said: str, arrival: Arrival
    ) -> DialectMessage:
        read = number(said)
        values: dict[str, Value] = {}
        is_none = read is not None and (
            (read == _NO_READING and name in ("temperature_c", "humidity")) or (read < 0 and name in _NEVER_NEGATIVE)
        )
        if read is not None and not is_none:
            unit = self._options.temperature_unit if unit == "set" else unit
            converted = to_canonical(name, read, unit) if unit else read
            assert converted is not None  # the units of the table are all known
            values[name] = converted
        message = unread(device, MessageRole.READING, arrival, {}, values)
        return message if sensor is None else message._replace(sensor=sensor)


def _availability(device: str, payload: bytes, arrival: Arrival) -> DialectMessage:
    said = read_text(payload)
    if said not in ("true", "false", ""):
        raise DialectError(f"online says {shown(said)}: neither true nor false")
    # What was retained is cleared by an empty text, which tells nothing.
    return unread(device, MessageRole.AVAILABILITY, arrival, values={"online": said == "true"} if said else {})


def _notification(device: str, body: Mapping[str, Any], arrival: Arrival) -> DialectMessage:
    method, params = body.get("method"), body.get("params")
    if not isinstance(params, dict) or not isinstance(method, str):
        raise DialectError(f"notification has no method and params: {shown(dict(body))}")
    extra = {"method": method, "src": body.get("src")}
    if method in ("NotifyStatus", "NotifyFullStatus"):
        return _components(device, params, (params.get("ts"), arrival), extra)
    if method == "NotifyEvent":
        at_ms, source, remark = device_time(params.get("ts"), arrival)
        events = params.get("events")
        first = events[0] if isinstance(events, list) and events and isinstance(events[0], dict) else {}
        values: dict[str, Value] = {"event": first["event"]} if isinstance(first.get("event"), str) else {}
        component = first.get("component")
        if isinstance(heard := first.get("data"), dict) and first.get("event") == _HEARD:
            component = heard.get("address", component)
            values |= _heard_values(heard)
        return DialectMessage(
            device,
            MessageRole.EVENT,
            at_ms,
            source,
            values=values,
            sensor=component if isinstance(component, str) else "",
            extra=extra | {"events": events},
            is_stale=arrival.retained,
            remarks=(remark,) if remark else (),
        )
    raise DialectError(f"notification {shown(method)} is none of Shelly's")


def _heard_values(heard: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    """Yield what a script of a gateway has heard of a sensor by Bluetooth."""
    for key, name in _HEARD_KEYS.items():
        if not isinstance(value := heard.get(key), bool | dict | list) and (read := number(value)) is not None:
            yield name, read


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
    components: Mapping[str, Any],
    when: tuple[object, Arrival],
    extra: Mapping[str, object],
) -> DialectMessage:
    """Return the values of components: those with number 0 or none are the device's, the others have their name.

    What is no object is none of a component.
    """
    written, arrival = when
    at_ms, source, remark = device_time(written, arrival)
    values: dict[str, Value] = {}
    parts: dict[str, Mapping[str, Value]] = {}
    unknown: dict[str, object] = {}
    role = _STATE
    for key, body in components.items():
        if type(body) is not dict:
            continue
        kind, is_known, measures, is_first, paths = _component(key)
        if measures:
            role = _READING
        if not is_known:
            unknown[key] = body
            continue
        found = _component_values(kind, paths, body)
        if key == "temperature:0" and found and _is_meter(device, components, extra):
            found = {"chip_temperature_c": found["temperature_c"]}
        if is_first:
            # What two components call the same is that of the first: each may have a chip.
            values = found | values if values else found
        elif found:
            parts[key] = found
    if values and not parts and values.keys() <= _VITALS:
        role = _STATE
    remarks = [remark] if remark else []
    if unknown:
        remarks += [f"{key}: quantity and unit are not known" for key in unknown if key.startswith("bthomesensor")]
    told = tuple(remarks) if remarks else ()
    more = {**extra, **unknown} if unknown else extra if values or parts else {}
    return DialectMessage(device, role, at_ms, source, values, "", parts, more, arrival.retained, told)


def _is_meter(device: str, components: Mapping[str, object], extra: Mapping[str, object]) -> bool:
    """Return whether a device is a meter: by its own name, as its topic may have another, or by what it measures."""
    return not components.keys().isdisjoint(_METERED_BY) or _is_named_meter(str(extra.get("src") or device))


@lru_cache(_KNOWN_NAMES)
def _is_named_meter(name: str) -> bool:
    return _METER.match(name) is not None


_Paths = tuple[tuple[str, str, str, str], ...]


class _Component(NamedTuple):
    """Says what a component is, by its key; known once a key, because every message has several."""

    kind: str
    is_known: bool
    measures: bool
    """Whether it is more than a state of the device."""
    is_first: bool
    """Whether its values are the device's: it has the number 0, or none."""
    paths: _Paths
    """Path of a value, the same taken apart, and its canonical name."""


@lru_cache(_KNOWN_NAMES)
def _component(key: str) -> _Component:
    kind, _, number_text = key.partition(":")
    return _Component(
        kind,
        kind in _KINDS and (number_text.isdecimal() or key == kind),
        kind not in _OF_THE_DEVICE,
        number_text in ("", "0"),
        tuple((path, *path.partition(".")[::2], name) for path, name in _COMPONENT_KEYS.get(kind, _NO_KEYS).items()),
    )


def _component_values(kind: str, paths: _Paths, body: dict[str, Any]) -> dict[str, Value]:
    if kind == "devicepower":
        # On USB there may be no battery: it then says 0 % and a fraction of a volt.
        battery, external = body.get("battery"), body.get("external")
        on_usb = isinstance(external, dict) and external.get("present") is True
        if on_usb and isinstance(battery, dict) and not battery.get("percent"):
            return {}
    values: dict[str, Value] = {}
    for path, outer, inner, name in paths:
        found: Any = body.get(path)
        if found is None:
            found = within.get(inner) if inner and type(within := body.get(outer)) is dict else None
            if found is None:
                continue
        read = found if type(found) is float or type(found) is int else number(found)
        if read is not None and not (read == _NO_READING and name in ("temperature_c", "humidity")):
            values[name] = read
    if kind in _COMPONENT_FLAGS and isinstance(body.get((flag := _COMPONENT_FLAGS[kind])[0]), bool):
        values[flag[1]] = body[flag[0]]
    return values


def _first_generation_object(device: str, name: str, payload: bytes, arrival: Arrival) -> DialectMessage:
    """Return an event of an input, or the state of a part, which stand in JSON."""
    body = read_json(payload)
    happened = body.get("event") if isinstance(body, dict) and name.startswith("input_event/") else None
    if isinstance(happened, str) and happened:
        message = unread(device, MessageRole.EVENT, arrival, {name: body}, {"event": happened})
        return message._replace(sensor=name.removeprefix("input_event/"))
    return unread(device, MessageRole.STATE, arrival, {name: body})


_STATUS_NUMBERS: Mapping[str, str] = {
    "lux": "illuminance_lx",
    "bat": "battery_pct",
    "bat_voltage": "battery_v",
    "pos": "position_pct",
}
_STATUS_FLAGS: Mapping[str, str] = {"motion": "occupancy", "vibration": "vibration"}
_STATUS_TEMPERATURES: Mapping[str, str] = {"tmp": "temperature_c", "target_t": "target_temperature_c"}


def _first_generation_status(device: str, body: dict[str, Any], arrival: Arrival) -> DialectMessage:
    """Return the status of a Motion or a TRV, which say all they have in one object."""
    values: dict[str, Value] = {}
    for key, name in _STATUS_NUMBERS.items():
        if (read := number(body.get(key))) is not None and read >= 0:
            values[name] = read
    for key, name in _STATUS_FLAGS.items():
        if isinstance(body.get(key), bool):
            values[name] = body[key]
    for key, name in _STATUS_TEMPERATURES.items():
        found = body.get(key)
        if not isinstance(found, dict) or found.get("is_valid") is False or found.get("enabled") is False:
            continue
        converted = None if (read := number(found.get("value"))) is None else to_canonical(name, read, _unit_of(found))
        if converted is not None:
            values[name] = converted
    extra = {key: value for key, value in body.items() if key not in _STATUS_NUMBERS and key not in _STATUS_FLAGS}
    return unread(device, MessageRole.READING if values else MessageRole.STATE, arrival, extra, values)


def _unit_of(temperature: Mapping[str, Any]) -> str:
    unit = temperature.get("units")
    return unit if isinstance(unit, str) else ""


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
        if kind != "bme280" and not measures(kind, ("temperature_c", "humidity")):
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

    def answer_filters(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the filter of what `status_update` shows; not where responses go, for that the request says."""
        return (self._filled("/status/+", names),)

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
