"""Tasmota: what its sensors, its state and its answers say.

Read in the pages MQTT, Commands, BME280, DeepSleep, Zigbee and JSON-Status-Responses of Tasmota's documentation, and in
its source (support, support_tasmota, language, xdrv_12_discovery, xsns_09_bmp). Quirks: a sensor that is not there says
bare `nan` (Tasmota issue 4147) or `null`; numbers were texts once (issue 52); firmware 7 has no `Info1` around what
INFO1 says; Sonoff SC writes its values beside `Time`, and firmware 5 a meter's, under ENERGY (issue 1595); firmware 5
has several DS18x20 in one object (issue 1089); a second chip renames the first (issue 20589); meters of several phases
write lists (issue 22131); the units of pressure, temperature and speed stand once a message, in the firmware's
language, and not at all where they are the default, which is m/s for speed. The temperature of an ESP32, or of a
meter's chip, is not that of a room.
"""

import math
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from pydantic import Field

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
from edgewire.dialects.encoder import (
    CommandOutcome,
    DeviceNames,
    DialectCommand,
    MessageTemplate,
    Publication,
    home_address,
)
from edgewire.dialects.kind_fields import measures
from edgewire.dialects.times import device_time
from edgewire.dialects.topic_pattern import TopicPattern
from edgewire.dialects.units import linear_of, numbered, unit_suffix
from edgewire.dialects.values import number, read_object, read_text, scaled, shown

_SENSOR_KEYS: Mapping[str, tuple[str, str, str]] = {
    "Temperature": ("temperature_c", "TempUnit", "C"),
    "DewPoint": ("dew_point_c", "TempUnit", "C"),
    "HeatIndex": ("heat_index_c", "TempUnit", "C"),
    "Humidity": ("humidity", "", "%"),
    "Pressure": ("pressure_hpa", "PressureUnit", "hPa"),
    "SeaPressure": ("sea_pressure_hpa", "PressureUnit", "hPa"),
    "Speed": ("speed_kmh", "SpeedUnit", "m/s"),
    "Illuminance": ("illuminance_lx", "", ""),
    "CarbonDioxide": ("co2_ppm", "", ""),
    "eCO2": ("eco2_ppm", "", ""),
    "TVOC": ("tvoc_ppb", "", ""),
    "PM1": ("pm1_ug_m3", "", ""),
    "PM2.5": ("pm2_5_ug_m3", "", ""),
    "PM10": ("pm10_ug_m3", "", ""),
    "Moisture": ("moisture_pct", "", "%"),
    "Voltage": ("voltage_v", "", "V"),
    "Current": ("current_a", "", "A"),
    "Power": ("power_w", "", "W"),
    "Frequency": ("frequency_hz", "", ""),
    "Battery": ("battery_pct", "", "%"),
    "RSSI": ("rssi_dbm", "", ""),
}
"""Key in a sensor's object -> canonical name, the key of the message that has its unit, and the unit without that."""
_METER_KEYS: Mapping[str, tuple[str, str, str]] = {
    **_SENSOR_KEYS,
    "Total": ("energy_wh", "", "kWh"),
    "Yesterday": ("energy_yesterday_wh", "", "kWh"),
    "Today": ("energy_today_wh", "", "kWh"),
    "ApparentPower": ("apparent_power_va", "", ""),
    "ReactivePower": ("reactive_power_var", "", ""),
    "Factor": ("power_factor", "", ""),
}
"""Of the meter, whose object is called ENERGY."""
_ZIGBEE_KEYS: Mapping[str, tuple[str, str, str]] = {
    "Temperature": ("temperature_c", "TempUnit", "C"),
    "Humidity": ("humidity", "", "%"),
    "Pressure": ("pressure_hpa", "PressureUnit", "hPa"),
    "BatteryPercentage": ("battery_pct", "", "%"),
    "BatteryVoltage": ("battery_v", "", "V"),
    "LinkQuality": ("link_quality", "", ""),
}
"""Of a Zigbee device behind a Tasmota, whose `Power` is its switch, and whose `Illuminance` is no lux."""
_GPS_KEYS: Mapping[str, tuple[str, str, str]] = {
    "lat": ("latitude", "", ""),
    "lon": ("longitude", "", ""),
    "alt": ("altitude_m", "", "m"),
}
"""Of a receiver; the firmware says the accuracy of the height under `hAcc` and that of the place under `vAcc`."""
_METER, _ZIGBEE, _GPS = "ENERGY", "ZbReceived", "GPS"
_CHIPS = frozenset({"ESP32", "ADE7880", "ADE7953", "AXP192", "AXP2101", "BL0940", "BL0942", "BL09XX", "CSE7761"})
"""Objects whose temperature is that of a chip in the device."""
_SPECIAL = _CHIPS | {_METER, _ZIGBEE, _GPS}
"""Objects whose keys mean something else than those of sensors."""
_LONGEST_UNIT = 16
_MOST_PHASES = 8
_KNOWN_TOPICS = 100_000
_TIME_KEYS = frozenset({"Time", "Epoch"})
_NO_VALUES = frozenset({"TempUnit", "PressureUnit", "SpeedUnit", *_TIME_KEYS})
_NO_SENSORS: Mapping[str, Mapping[str, Value]] = MappingProxyType({})
_READING = MessageRole.READING
_ANSWERS = re.compile(r"[A-Z][A-Z0-9_]*")
_PRESSED = re.compile(r"(?:BUTTON|SWITCH)\d+T?")
_RELAY = re.compile(r"POWER(\d*)")
_STATUS_SENSOR = ("StatusSNS", "StatusSTS")
_UPTIME = re.compile(r"(\d{1,6})T(\d\d):(\d\d):(\d\d)")


class TasmotaOptions(Config):
    """Says how the devices are set up, where that is not the default."""

    full_topic: Annotated[str, Field(max_length=100)] = "%prefix%/%topic%/"
    """As the command `FullTopic` sets it."""
    prefixes: tuple[str, str, str] = ("cmnd", "stat", "tele")
    """As the commands `Prefix1`, `Prefix2` and `Prefix3` set them."""
    temperature_unit: Literal["C", "F"] = "C"
    """In which emulated devices say temperatures (SetOption8); read ones say it themselves."""
    pressure_unit: Literal["hPa", "mmHg", "inHg"] = "hPa"
    """In which emulated devices say the pressure (SetOption24 and 139)."""
    discovery: bool = True
    """Whether emulated devices describe themselves under `tasmota/discovery` (SetOption19 0)."""


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
        if name == _METER and meaning == "tele":
            meter = read_object(payload, lenient=True)
            return _reading(device, {_METER: meter, "Time": meter.get("Time")}, arrival)
        if meaning == "cmnd":
            return unread(device, MessageRole.COMMAND, arrival, {name: read_text(payload)})
        if name == "LWT":
            return _availability(device, payload, arrival)
        if meaning == "tele" and (name == "STATE" or name.startswith("INFO")):
            return _state(device, read_object(payload, lenient=True), arrival)
        if name == "LOGGING":
            return unread(device, MessageRole.STATE, arrival, {name: payload.decode("utf-8", "replace")})
        if (meaning == "tele" and name == "RESULT") or _PRESSED.fullmatch(name):
            return _happening(device, read_object(payload, lenient=True), arrival)
        if _ANSWERS.fullmatch(name):
            return _answer(device, name, payload, arrival)
        raise DialectError(f"topic '{topic}': Tasmota publishes nothing under the name {shown(name)}")

    def steady(self, topic: str, payload: bytes) -> SteadyPayload | None:
        """Return where a message of sensors has its numbers and its time; None of any other."""
        known = self._known.get(topic)
        if known is None or known[0] != "tele" or known[2] != "SENSOR":
            return None
        body = read_object(payload, lenient=True)
        units = body.get("TempUnit", "C"), body.get("PressureUnit", "hPa"), body.get("SpeedUnit", "m/s")
        if "Epoch" in body or type(body.get("Time")) is not str or not all(type(unit) is str for unit in units):
            return None
        same = _KNOWN_KEYS[units][""].same if units in _KNOWN_KEYS else {}
        numbers: dict[tuple[str | int, ...], NumberForm] = {
            (sensor, key): NumberForm.ANY
            for sensor, values in body.items()
            if type(values) is dict and sensor not in _SPECIAL
            for key in values
            if key in same
        }
        return SteadyPayload(numbers, ("Time",), device_time)

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
    if said not in ("Online", "Offline", ""):
        raise DialectError(f"LWT says {shown(said)}: neither Online nor Offline")
    # What was retained is cleared by an empty text, which tells nothing.
    return unread(device, MessageRole.AVAILABILITY, arrival, values={"online": said == "Online"} if said else {})


class _Key(NamedTuple):
    """Says what stands under a key of a sensor, in the units of the message."""

    name: str
    factor: float = 1
    offset: float = 0
    is_same: bool = True
    """Whether a number is taken as it is."""
    remark: str = ""


class _Keys(NamedTuple):
    """Says what stands under the keys of an object."""

    same: Mapping[str, str]
    """Key -> name, where a number is taken as it is."""
    all: Mapping[str, _Key]


_MessageKeys = Mapping[str, _Keys]
"""Object -> its keys; those of all others under an empty text."""


class _Found(NamedTuple):
    """Collects what a message says."""

    keys: _MessageKeys
    sensors: dict[str, dict[str, Value]]
    own: dict[str, Value]
    """Of the device."""
    extra: dict[str, object]
    remarks: list[str]


def _reading(device: str, body: dict[str, Any], arrival: Arrival) -> DialectMessage:
    """Return what stands under SENSOR, or under StatusSNS in an answer."""
    get = body.get
    at_ms, source, remark = device_time(body["Epoch"] if "Epoch" in body else get("Time"), arrival)
    units = get("TempUnit", "C"), get("PressureUnit", "hPa"), get("SpeedUnit", "m/s")
    try:
        keys = _KNOWN_KEYS[units]
    except (KeyError, TypeError):
        keys = _learn_keys(units)
    same = keys[""].same
    sensors: dict[str, dict[str, Value]] = {}
    own: dict[str, Value] = {}
    extra: dict[str, object] = {}
    remarks = [remark] if remark else []
    for key, value in body.items():
        if type(value) is dict:
            # Most are numbers under keys that are known; others are looked at one by one.
            values: dict[str, Value] = {}
            for inner, read in value.items():
                if inner in same and (type(read) is float or type(read) is int) and key not in _SPECIAL:
                    values[same[inner]] = read
                else:
                    _read_object(key, value, _Found(keys, sensors, own, extra, remarks))
                    break
            else:
                sensors[key] = values
        elif key not in _NO_VALUES and value is not None:
            if key in keys[""].all:
                # Sonoff SC has no object for its sensor.
                found = _Found(keys, sensors, own, extra, remarks)
                _read_value("", key, value, keys[""].all, sensors.setdefault("", {}), found)
            else:
                extra[key] = value
    told = tuple(remarks) if remarks else ()
    if len(sensors) == 1:
        name, values = sensors.popitem()
        values = own | values if own else values
        return DialectMessage(device, _READING, at_ms, source, values, name, _NO_SENSORS, extra, arrival.retained, told)
    parts = {name: values for name, values in sensors.items() if values}
    return DialectMessage(device, _READING, at_ms, source, own, "", parts, extra, arrival.retained, told)


def _read_object(sensor: str, body: dict[str, Any], found: _Found) -> None:
    """Take in the values of an object, which may have others in it."""
    keys = found.keys
    if sensor in _CHIPS:
        _read_chip(sensor, body, found)
        return
    if sensor == _GPS and body.get("lat") == body.get("lon") == 0:
        # It has not found itself yet.
        found.extra[sensor] = body
        return
    same, all_keys = keys[sensor] if sensor in keys else keys[""]
    values: dict[str, Value] = {}
    for key, value in body.items():
        if key in same and (type(value) is float or type(value) is int):
            values[same[key]] = value
        elif key in all_keys:
            _read_value(sensor, key, value, all_keys, values, found)
        elif type(value) is not dict:
            if value is not None and key != "Time":
                found.extra[f"{sensor}.{key}"] = value
        elif key in _CHIPS:
            _read_chip(key, value, found)
        elif sensor == _ZIGBEE and _ZIGBEE in keys:  # in one that is within another, nothing is known by its name
            _read_object(key, value, found._replace(keys={"": keys[_ZIGBEE]}))
        else:
            # DS18x20 of firmware 5 has its sensors in it.
            _read_object(f"{sensor}.{key}", value, found)
    if values:
        found.sensors[sensor] = values


def _read_value(
    sensor: str, key: str, value: object, keys: Mapping[str, _Key], values: dict[str, Value], found: _Found
) -> None:
    """Take in a value that may be anything: a list has a number a phase."""
    name, factor, offset, is_same, remark = keys[key]
    if isinstance(value, dict):
        found.extra[f"{sensor}.{key}" if sensor else key] = value
        return
    listed = value if isinstance(value, list) else [value]
    for place, item in enumerate(listed[:_MOST_PHASES], 1):
        if (read := number(item)) is not None:
            converted = read if is_same else scaled(read, factor, offset)
            values[numbered(name, place) if isinstance(value, list) else name] = converted
    if remark and remark not in found.remarks:
        found.remarks.append(remark)


def _read_chip(chip: str, body: dict[str, Any], found: _Found) -> None:
    """Take the temperature of a chip in the device as what it is; what else it says has no name."""
    for key, value in body.items():
        if key == "Temperature":
            _, factor, offset, is_same, _ = found.keys[""].all[key]
            if (read := number(value)) is not None:
                found.own["chip_temperature_c"] = read if is_same else scaled(read, factor, offset)
        elif value is not None:
            found.extra[f"{chip}.{key}"] = value


_KNOWN_KEYS: dict[tuple[str, str, str], _MessageKeys] = {}
"""What keys mean in messages with these units of temperature, pressure and speed."""
_MOST_UNITS = 1000


def _learn_keys(units: tuple[object, object, object]) -> _MessageKeys:
    """Return what keys mean in a message with these units; few are remembered, as they may be anything."""
    temperature, pressure, speed = (str(unit)[:_LONGEST_UNIT] for unit in units)
    by_key = {"TempUnit": temperature, "PressureUnit": pressure, "SpeedUnit": speed}
    tables = {"": _SENSOR_KEYS, _METER: _METER_KEYS, _ZIGBEE: _ZIGBEE_KEYS, _GPS: _GPS_KEYS}
    found: dict[str, _Keys] = {}
    for table, keys in tables.items():
        described = {key: _key(key, name, by_key.get(unit, default)) for key, (name, unit, default) in keys.items()}
        same = {key: one.name for key, one in described.items() if one.is_same and not one.remark}
        found[table] = _Keys(same, described)
    if len(_KNOWN_KEYS) >= _MOST_UNITS:
        _KNOWN_KEYS.clear()
    _KNOWN_KEYS[temperature, pressure, speed] = found
    return found


def _key(key: str, name: str, unit: str) -> _Key:
    if not unit:
        return _Key(name)
    linear = linear_of(name, unit)
    if linear is None:
        kept = f"{name.rpartition('_')[0] or name}_{unit_suffix(unit)}"
        return _Key(kept, remark=f"unit {shown(unit)} of {key} is not known: kept as it is")
    factor, offset = linear
    return _Key(name, factor, offset, is_same=(factor, offset) == (1, 0))


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
    if (charge := number(body.get("BatteryPercentage"))) is not None:
        yield "battery_pct", charge
    for key, value in body.items():
        if (relay := _RELAY.fullmatch(key)) and value in ("ON", "OFF"):
            yield f"relay{relay[1]}_on", value == "ON"
    for key, name in (("Version", "firmware"), ("RestartReason", "reset_reason")):
        if isinstance(text := info.get(key), str):
            yield name, text
    if (boots := number(info.get("BootCount"))) is not None:
        yield "boot", boots


def _happening(device: str, body: dict[str, Any], arrival: Arrival) -> DialectMessage:
    """Return what was received or pressed: by infrared, radio, a button, or a Zigbee device."""
    if isinstance(body.get(_ZIGBEE), dict):
        return _reading(device, body, arrival)
    at_ms, source, remark = device_time(body.get("Epoch", body.get("Time")), arrival)
    action = next((value for key in ("ACTION", "STATE", "TRIG") if isinstance(value := body.get(key), str)), None)
    return DialectMessage(
        device,
        MessageRole.EVENT,
        at_ms,
        source,
        values={} if action is None else {"event": action},
        extra={key: value for key, value in body.items() if key not in _TIME_KEYS},
        is_stale=arrival.retained,
        remarks=(remark,) if remark else (),
    )


def _pressed(body: Mapping[str, Any]) -> str:
    """Return what was done to a button or switch, which firmware 9 and later say where answers stand; else nothing."""
    for key, found in body.items():
        action = found.get("Action") if isinstance(found, dict) and _PRESSED.fullmatch(key.upper()) else None
        if isinstance(action, str):
            return action
    return ""


def _answer(device: str, name: str, payload: bytes, arrival: Arrival) -> DialectMessage:
    """Return what an answer says: a reading where it repeats SENSOR, the state where it repeats STATE."""
    if (relay := _RELAY.fullmatch(name)) and (said := payload.decode("utf-8", "replace")) in ("ON", "OFF"):
        return unread(device, MessageRole.STATE, arrival, values={f"relay{relay[1]}_on": said == "ON"})
    body = read_object(payload, lenient=True)
    if name == "RESULT" and (pressed := _pressed(body)):
        return unread(device, MessageRole.EVENT, arrival, body, {"event": pressed})
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


_MODULE = "Generic"
_GROUP_TOPIC = "tasmotas"
_TELE_PERIODS = range(10, 3601)
_DEFAULT_TELE_PERIOD_S = 300
_VERSION = "14.4.1(release-sensors)"
"""Of the firmware, in the form in which Tasmota says it."""
_TIME = {"from": "timestamp", "as": "local"}
_SENSORS: Mapping[str, tuple[str, Mapping[str, tuple[str, int, str]]]] = {
    "bme280": (
        "BME280",
        {
            "Temperature": ("temperature_c", 1, "temperature_unit"),
            "Humidity": ("humidity", 1, ""),
            "DewPoint": ("dew_point_c", 1, "temperature_unit"),
            "Pressure": ("pressure_hpa", 1, "pressure_unit"),
        },
    )
}
"""Kind -> the name of its driver's object, and key -> field, decimals by default (TempRes, HumRes and PressRes are 1),
and the option that has its unit."""


_AIR = ("temperature_c", "humidity", "pressure_hpa")
"""What a kind of one's own has to measure to be said as the sensor of the air is."""


class TasmotaEncoder:
    """Writes what a Tasmota device publishes: LWT, INFO, STATE and SENSOR, discovery, and the answers to commands."""

    events: tuple[MessageTemplate, ...] = ()

    def __init__(self, options: TasmotaOptions, kind: str) -> None:
        """Raises `DialectError` for options that no device can have, and for a kind that Tasmota has no driver of."""
        TasmotaDecoder(options)
        if kind not in _SENSORS and not measures(kind, _AIR):
            raise DialectError(f"Tasmota has no driver that says what a {kind} says; there is one for bme280")
        self._options = options
        self._driver, self._keys = _SENSORS[kind if kind in _SENSORS else "bme280"]
        self._prefixes = dict(zip(("cmnd", "stat", "tele"), options.prefixes, strict=True))
        self.messages = (
            MessageTemplate(self._topic("tele", "STATE"), _STATE, MessageRole.STATE),
            MessageTemplate(self._topic("tele", "SENSOR"), self._sensor_body()),
        )

    def state(self, names: DeviceNames, status: Mapping[str, Any], *, is_first: bool = True) -> Iterator[Publication]:
        """Yield LWT, and as a device comes the empty command that clears a retained one and discovery.

        INFO1 to INFO3 come once a boot.
        """
        is_online = status["state"] == "online"
        said = b"Online" if is_online else b"Offline"
        yield Publication(self._filled("tele", "LWT", names), said, retain=True, qos=0)
        if not is_online:
            return
        yield Publication(self._filled("cmnd", "POWER", names), b"", retain=False, qos=0)
        for place, body in enumerate(self._info(names, status) if is_first else (), start=1):
            yield self._json("tele", f"INFO{place}", {f"Info{place}": body}, names)
        if self._options.discovery:
            yield from self._discovery(names, has_battery="battery_pct" in status)

    def will(self, names: DeviceNames) -> Publication:
        """Return the retained `Offline`."""
        return Publication(self._filled("tele", "LWT", names), b"Offline", retain=True)

    def command_topics(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the filters of the device, of the group that all are in, and of the fallback topic."""
        own = self._filled("cmnd", "#", names)
        group, fallback = (
            self._filled("cmnd", "#", {**names, "id": topic}) for topic in (_GROUP_TOPIC, _fallback(names))
        )
        return (own, group, fallback)

    def answer_filters(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the filter of RESULT, and of what a command with an answer of its own is answered by."""
        return (self._filled("stat", "#", names),)

    def read_command(self, names: DeviceNames, topic: str, payload: bytes) -> DialectCommand | None:
        """Return what a command asks for; None for what is no text."""
        name = topic.rpartition("/")[2].upper()
        try:
            text = payload.decode().strip()
        except UnicodeDecodeError:
            return None
        if name == "POWER" and not text:
            # Its own, which clears what somebody retained there: it is not answered.
            return DialectCommand("", {}, name)
        is_query = text in ("", "?")
        if name == "TELEPERIOD" and not is_query:
            return _set_period(text)
        if name == "RESTART" and text in ("1", "99"):
            return DialectCommand("reboot", {}, name)
        if name in ("TELEPERIOD", "STATE", "STATUS"):
            return DialectCommand("", {}, name, "" if is_query else text, wants_reading=True)
        return DialectCommand("", {}, "")

    def answer(self, names: DeviceNames, command: DialectCommand, outcome: CommandOutcome) -> Iterator[Publication]:
        """Yield the answer under `stat`; a query of TelePeriod has STATE and SENSOR follow, as the device would."""
        said = dict(zip(("state", "sensor"), (orjson.loads(one.payload) for one in outcome.readings), strict=False))
        match command.name:
            case "TELEPERIOD":
                yield self._json("stat", "RESULT", {"TelePeriod": math.ceil(outcome.interval_s)}, names)
                if command.wants_reading:
                    yield from outcome.readings
            case "RESTART":
                yield self._json("stat", "RESULT", {"Restart": "Restarting"}, names)
            case "STATE":
                yield self._json("stat", "RESULT", said.get("state", {}), names)
            case "POWER":
                return
            case "STATUS":
                yield from self._status(command.argument, said, names)
            case _:
                yield self._json("stat", "RESULT", {"Command": "Unknown"}, names)

    def _status(self, number: str, said: Mapping[str, Any], names: DeviceNames) -> Iterator[Publication]:
        if number in ("", "0"):
            own = {"Module": 0, "DeviceName": names["id"], "FriendlyName": [names["id"]], "Topic": names["id"]}
            yield self._json("stat", "STATUS", {"Status": own}, names)
        if number in ("2", "0"):
            version = {"Version": _VERSION, "BuildDateTime": "2024-12-15T14:12:17", "Core": "2_7_8", "SDK": "2.2.2-dev"}
            yield self._json("stat", "STATUS2", {"StatusFWR": version}, names)
        if number in ("8", "10", "0"):
            name = f"STATUS{'10' if number == '0' else number}"
            yield self._json("stat", name, {"StatusSNS": said.get("sensor", {})}, names)
        if number in ("11", "0"):
            yield self._json("stat", "STATUS11", {"StatusSTS": said.get("state", {})}, names)
        if number not in ("", "0", "2", "8", "10", "11"):
            yield self._json("stat", "RESULT", {"Command": "Error"}, names)

    # -- what it says

    def _sensor_body(self) -> dict[str, Any]:
        options = self._options
        values: dict[str, Any] = {}
        for key, (field, decimals, unit_of) in self._keys.items():
            unit = str(getattr(options, unit_of)) if unit_of else ""
            values[key] = {"from": field, "round": 2 if unit == "inHg" else decimals} | ({"unit": unit} if unit else {})
        return {
            "Time": _TIME,
            self._driver: values,
            "PressureUnit": {"const": options.pressure_unit},
            "TempUnit": {"const": options.temperature_unit},
        }

    def _info(self, names: DeviceNames, status: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
        fallback = self._filled("cmnd", "", {**names, "id": _fallback(names)})
        group = self._filled("cmnd", "", {**names, "id": _GROUP_TOPIC})
        return (
            {"Module": _MODULE, "Version": _VERSION, "FallbackTopic": fallback, "GroupTopic": group},
            {"WebServerMode": "Admin", "Hostname": names["id"], "IPAddress": home_address(names)},
            {"RestartReason": _restart_reason(str(status["reset_reason"])), "BootCount": status["boot"]},
        )

    def _discovery(self, names: DeviceNames, *, has_battery: bool) -> Iterator[Publication]:
        mac, options = names["mac"], self._options
        config = {
            "ip": home_address(names),
            "dn": names["id"],
            "fn": [names["id"], *([None] * 7)],
            "hn": names["id"],
            "mac": mac,
            "md": _MODULE,
            "ty": 0,
            "if": 0,
            "cam": 0,
            "ofln": "Offline",
            "onln": "Online",
            "state": ["OFF", "ON", "TOGGLE", "HOLD"],
            "sw": _VERSION.partition("(")[0],
            "t": names["id"],
            "ft": options.full_topic,
            "tp": list(options.prefixes),
            "rl": [0] * 32,
            "swc": [-1] * 28,
            "swn": [None] * 28,
            "btn": [0] * 32,
            "so": {"4": 0, "11": 0, "13": 0, "17": 0, "20": 0, "30": 0, "68": 0, "73": 0, "82": 0, "114": 0, "117": 0},
            "lk": 0,
            "lt_st": 0,
            "bat": int(has_battery),
            "dslp": 0,
            "sho": [0] * 4,
            "sht": [[0, 0, 0]] * 4,
            "ver": 1,
        }
        # What it has is told by the keys; a reader takes what has a number here for a number, and no value is of a
        # reading that was accounted for.
        sensors = {
            "Time": "1970-01-01T00:00:00",
            self._driver: dict.fromkeys(self._keys, 0.0),
            "PressureUnit": options.pressure_unit,
            "TempUnit": options.temperature_unit,
        }
        for part, body in (("config", config), ("sensors", {"sn": sensors, "ver": 1})):
            yield Publication(f"tasmota/discovery/{mac}/{part}", orjson.dumps(body), retain=True, qos=0)

    def _topic(self, prefix: str, name: str) -> str:
        topic = self._options.full_topic.strip("/").replace("%prefix%", self._prefixes[prefix])
        return topic.replace("%topic%", "{id}").replace("%hostname%", "{id}").replace("%id%", "{mac}") + f"/{name}"

    def _filled(self, prefix: str, name: str, names: DeviceNames) -> str:
        return self._topic(prefix, name).replace("{id}", names["id"]).replace("{mac}", names["mac"])

    def _json(self, prefix: str, name: str, body: Mapping[str, Any], names: DeviceNames) -> Publication:
        return Publication(self._filled(prefix, name, names), orjson.dumps(body), retain=False, qos=0)


_STATE: Mapping[str, Any] = {
    "Time": _TIME,
    "Uptime": "uptime_clock",
    "UptimeSec": "uptime_s",
    "Vcc": {"from": "supply_v", "round": 3, "optional": True},
    "BatteryPercentage": {"from": "battery_pct", "round": 0, "optional": True},
    "Heap": 25,
    "SleepMode": {"const": "Dynamic"},
    "Sleep": 50,
    "LoadAvg": 19,
    "MqttCount": 1,
    "Wifi": {
        "AP": 1,
        "SSId": {"const": "edge"},
        "BSSId": {"const": "02:00:5E:00:53:01"},
        "Channel": 6,
        "Mode": {"const": "11n"},
        "RSSI": "wifi_quality_pct",
        "Signal": "rssi_dbm",
        "LinkCount": 1,
        "Downtime": {"const": "0T00:00:03"},
    },
}


def _set_period(text: str) -> DialectCommand:
    """Return what TelePeriod asks for: 0 is off, 1 the default, 2 to 9 are taken for 10."""
    if not text.isdecimal() or not text.isascii() or int(text) > _TELE_PERIODS[-1]:
        return DialectCommand("", {}, "")
    seconds = int(text)
    if not seconds:
        return DialectCommand("stop", {}, "TELEPERIOD")
    seconds = _DEFAULT_TELE_PERIOD_S if seconds == 1 else max(seconds, _TELE_PERIODS[0])
    return DialectCommand("set_interval", {"interval": f"{seconds}s"}, "TELEPERIOD")


def _fallback(names: DeviceNames) -> str:
    return f"DVES_{names['mac'][-6:]}_fb"


def _restart_reason(reason: str) -> str:
    reasons = {"power_on": "Power On", "command": "Software/System restart", "watchdog": "Hardware Watchdog"}
    return reasons.get(reason, reason.replace("_", " ").capitalize())
