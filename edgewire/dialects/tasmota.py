"""Tasmota: what its sensors, its state and its answers say.

Read in the pages MQTT, Commands, BME280, DeepSleep and JSON-Status-Responses of Tasmota's documentation, and in its
source (xdrv_12_discovery, xsns_09_bmp). Quirks: a sensor that is not there says bare `nan` (Tasmota issue 4147) or
`null`; numbers were texts once (issue 52); firmware 7 has no `Info1` around what INFO1 says; Sonoff SC writes its
values beside `Time`; a second chip renames the first (issue 20589); the units of pressure, temperature and speed stand
once a message, and not at all where they are the default.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field

from edgewire.config import Config
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, Value, unread
from edgewire.dialects.times import device_time
from edgewire.dialects.topic_pattern import TopicPattern
from edgewire.dialects.units import to_canonical, unit_suffix
from edgewire.dialects.values import number, read_object, read_text, shown

_SENSOR_KEYS: Mapping[str, tuple[str, str, str]] = {
    "Temperature": ("temperature_c", "TempUnit", "C"),
    "DewPoint": ("dew_point_c", "TempUnit", "C"),
    "HeatIndex": ("heat_index_c", "TempUnit", "C"),
    "Humidity": ("humidity", "", "%"),
    "Pressure": ("pressure_hpa", "PressureUnit", "hPa"),
    "SeaPressure": ("sea_pressure_hpa", "PressureUnit", "hPa"),
    "Speed": ("speed_kmh", "SpeedUnit", "km/h"),
    "Illuminance": ("illuminance_lx", "", ""),
    "CarbonDioxide": ("co2_ppm", "", ""),
    "Voltage": ("voltage_v", "", "V"),
    "Current": ("current_a", "", "A"),
    "Power": ("power_w", "", "W"),
    "Total": ("energy_wh", "", "kWh"),
}
"""Key in a sensor's object -> canonical name, the key of the message that has its unit, and the unit without that."""
_UNIT_KEYS = frozenset({"TempUnit", "PressureUnit", "SpeedUnit"})
_KNOWN_TOPICS = 100_000
_TIME_KEYS = frozenset({"Time", "Epoch"})
_NO_VALUES = _UNIT_KEYS | _TIME_KEYS
_ANSWERS = re.compile(r"RESULT|STATUS\d*|POWER\d*|[A-Z][A-Z0-9]*")
_STATUS_SENSOR = ("StatusSNS", "StatusSTS")
_UPTIME = re.compile(r"(\d{1,6})T(\d\d):(\d\d):(\d\d)")


class TasmotaOptions(Config):
    """Says how the devices are set up, where that is not the default."""

    full_topic: Annotated[str, Field(max_length=100)] = "%prefix%/%topic%/"
    """As the command `FullTopic` sets it."""
    prefixes: tuple[str, str, str] = ("cmnd", "stat", "tele")
    """As the commands `Prefix1`, `Prefix2` and `Prefix3` set them."""


class TasmotaDecoder:
    """Reads what Tasmota devices publish: SENSOR, STATE, INFO, LWT, answers and discovery."""

    def __init__(self, options: TasmotaOptions | None = None) -> None:
        """Raises `DialectError` for a full topic without `%topic%` or `%prefix%`."""
        options = options or TasmotaOptions()
        pattern = options.full_topic.strip("/")
        for token in ("%prefix%", "%topic%"):
            if token not in pattern:
                raise DialectError(f"full_topic '{options.full_topic}' has no {token}: devices could not be told apart")
        for token in ("prefix", "topic", "hostname", "id"):
            pattern = pattern.replace(f"%{token}%", f"{{{token}}}")
        cmnd, stat, tele = options.prefixes
        self._topics = TopicPattern(pattern + "/{name}", deep=frozenset({"topic"}))
        self._prefixes = {cmnd: "cmnd", stat: "stat", tele: "tele"}
        self._known: dict[str, tuple[str, str, str]] = {}
        self._discovery = TopicPattern("tasmota/discovery/{mac}/{name}")
        if len(self._prefixes) < 3:
            raise DialectError("prefixes: two of them are the same, so commands could not be told from answers")

    @property
    def filters(self) -> tuple[str, ...]:
        """Return the filters of telemetry, of answers and of discovery; commands are not among them."""
        found = []
        for prefix, meaning in self._prefixes.items():
            if meaning != "cmnd":
                found.append(
                    TopicPattern(self._topics.text.replace("{prefix}", prefix), deep=frozenset({"topic"})).filter
                )
        return (*found, self._discovery.filter)

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        known = self._known.get(topic) or self._levels(topic)
        if known is None:
            found = self._discovery.match(topic)
            if found is None:
                raise DialectError(f"topic '{topic}' is not of the form {self._topics.text.replace('{name}', 'NAME')}")
            return _description(found["mac"], found["name"], payload, arrival)
        meaning, device, name = known
        if name == "SENSOR" and meaning == "tele":
            return _reading(device, read_object(payload, lenient=True), arrival)
        if meaning == "cmnd":
            return unread(device, MessageRole.COMMAND, arrival, {name: read_text(payload)})
        if name == "LWT":
            return _availability(device, payload, arrival)
        if meaning == "tele" and (name == "STATE" or name.startswith("INFO")):
            return _state(device, read_object(payload, lenient=True), arrival)
        if _ANSWERS.fullmatch(name):
            return _answer(device, name, payload, arrival)
        raise DialectError(f"topic '{topic}': Tasmota publishes nothing under the name {shown(name)}")

    def _levels(self, topic: str) -> tuple[str, str, str] | None:
        """Return what the prefix means, the device, and the name, of a topic of a device; None for any other."""
        levels = self._topics.match(topic)
        meaning = self._prefixes.get(levels["prefix"]) if levels else None
        if levels is None or meaning is None:
            return None
        if len(self._known) >= _KNOWN_TOPICS:
            self._known.clear()
        self._known[topic] = found = meaning, levels["topic"], levels["name"].upper()
        return found


def _availability(device: str, payload: bytes, arrival: Arrival) -> DialectMessage:
    said = read_text(payload)
    if said not in ("Online", "Offline"):
        raise DialectError(f"LWT says {shown(said)}: neither Online nor Offline")
    return unread(device, MessageRole.AVAILABILITY, arrival, values={"online": said == "Online"})


def _reading(device: str, body: Mapping[str, Any], arrival: Arrival) -> DialectMessage:
    """Return what stands under SENSOR, or under StatusSNS in an answer."""
    at_ms, source, remark = device_time(body.get("Epoch", body.get("Time")), arrival)
    remarks = [remark] if remark else []
    sensors: dict[str, dict[str, Value]] = {}
    extra: dict[str, object] = {}
    loose: dict[str, Any] = {}
    for key, value in body.items():
        if type(value) is dict:
            if values := _sensor_values(key, value, body, extra, remarks):
                sensors[key] = values
        elif key in _SENSOR_KEYS:
            # Sonoff SC has no object for its sensor.
            loose[key] = value
        elif key not in _NO_VALUES and value is not None:
            extra[key] = value
    if loose and (values := _sensor_values("", loose, body, extra, remarks)):
        sensors[""] = values
    single = next(iter(sensors)) if len(sensors) == 1 else ""
    return DialectMessage(
        device,
        MessageRole.READING,
        at_ms,
        source,
        values=sensors[single] if len(sensors) == 1 else {},
        sensor=single,
        parts={} if len(sensors) == 1 else sensors,
        extra=extra,
        is_stale=arrival.retained,
        remarks=tuple(remarks),
    )


def _sensor_values(
    sensor: str, found: Mapping[str, Any], body: Mapping[str, Any], extra: dict[str, object], remarks: list[str]
) -> dict[str, Value]:
    """Return the values of a sensor; what has no canonical name goes into `extra`."""
    values: dict[str, Value] = {}
    for key, value in found.items():
        known = _SENSOR_KEYS.get(key)
        if known is None or isinstance(value, dict | list):
            if value is not None:
                extra[f"{sensor}.{key}" if sensor else key] = value
            continue
        read = value if type(value) is float else number(value)
        if read is None:
            continue
        name, unit_key, default = known
        unit = str(body.get(unit_key, default)) if unit_key else default
        converted = to_canonical(name, read, unit) if unit else read
        if converted is None:
            remarks.append(f"unit {shown(unit)} of {key} is not known: kept as it is")
            values[f"{name.rpartition('_')[0] or name}_{unit_suffix(unit)}"] = read
        else:
            values[name] = converted
    return values


def _state(device: str, body: Mapping[str, Any], arrival: Arrival) -> DialectMessage:
    """Return what STATE and INFO1 to INFO3 say."""
    at_ms, source, remark = device_time(body.get("Epoch", body.get("Time")), arrival)
    return DialectMessage(
        device,
        MessageRole.STATE,
        at_ms,
        source,
        values=dict(_state_values(body)),
        extra={key: value for key, value in body.items() if key not in _TIME_KEYS},
        is_stale=arrival.retained,
        remarks=(remark,) if remark and "Time" in body else (),
    )


def _state_values(body: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    # Firmware 7 has what INFO1 to INFO3 say without an object around it.
    info = {key: value for name in ("Info1", "Info2", "Info3") for key, value in _dict(body.get(name)).items()} or body
    uptime = number(body.get("UptimeSec"))
    if uptime is None and isinstance(body.get("Uptime"), str) and (found := _UPTIME.fullmatch(body["Uptime"])):
        days, hours, minutes, seconds = map(int, found.groups())
        uptime = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if uptime is not None:
        yield "uptime_s", uptime
    # RSSI is a quality in percent here; the field strength is Signal.
    if (signal := number(_dict(body.get("Wifi")).get("Signal"))) is not None:
        yield "rssi_dbm", signal
    if (supply := number(body.get("Vcc"))) is not None:
        yield "supply_v", supply
    for key, value in body.items():
        if re.fullmatch(r"POWER\d*", key) and value in ("ON", "OFF"):
            yield f"relay{key[5:]}_on", value == "ON"
    for key, name in (("Version", "firmware"), ("RestartReason", "reset_reason")):
        if isinstance(text := info.get(key), str):
            yield name, text
    if (boots := number(info.get("BootCount"))) is not None:
        yield "boot", boots


def _answer(device: str, name: str, payload: bytes, arrival: Arrival) -> DialectMessage:
    """Return what an answer says: a reading where it repeats SENSOR, the state where it repeats STATE."""
    if re.fullmatch(r"POWER\d*", name) and (said := payload.decode("utf-8", "replace")) in ("ON", "OFF"):
        return unread(device, MessageRole.STATE, arrival, values={f"relay{name[5:]}_on": said == "ON"})
    body = read_object(payload, lenient=True)
    sensors, state = (body.get(key) for key in _STATUS_SENSOR)
    if isinstance(sensors, dict):
        return _reading(device, sensors, arrival)
    if isinstance(state, dict):
        return _state(device, state, arrival)
    return unread(device, MessageRole.ANSWER, arrival, body)


def _description(mac: str, name: str, payload: bytes, arrival: Arrival) -> DialectMessage:
    """Return what discovery says. Its sensors' values are a sample of the past, and no reading."""
    if not payload:
        return unread(mac, MessageRole.DESCRIPTION, arrival, {"removed": True})
    body = read_object(payload, lenient=True)
    if name not in ("config", "sensors"):
        raise DialectError(f"discovery of '{mac}' has no part {shown(name)}")
    device = body.get("t") if name == "config" else mac
    return unread(device if isinstance(device, str) else mac, MessageRole.DESCRIPTION, arrival, body)


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else _EMPTY


_EMPTY: Mapping[str, Any] = MappingProxyType({})
