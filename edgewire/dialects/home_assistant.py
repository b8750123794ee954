"""Home Assistant's discovery: what entities there are, on which topics, in which units, and how to read their values.

Read in home-assistant.io (MQTT integration, device_tracker.mqtt) and the source of its core. Quirks: `None` is no value
and an empty text is ignored (core pull request 87004); the unit `C` is refused since 2025.7 (core issue 146957) and
read as °C here; `º` is not `°` (issue 4278); templates come as `value_json.a.b` and as `value_json['a']['b']` (Tasmota
issue 9436), with filters; `~` stands for a base only as first or last letter, and only in keys that end in `topic`; one
bare `nan` would break every entity of a topic (awtrix-ng issue 9) and is one missing value here.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import orjson
from pydantic import Field

from edgewire.config import Config
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, TimeSource, Value, unread
from edgewire.dialects.entity_registry import Availability, Entity, EntityRegistry, is_on
from edgewire.dialects.templates import AS_IT_IS, WHOLE, read_template
from edgewire.dialects.units import linear_units, quantity_of, to_canonical, unit_suffix
from edgewire.dialects.values import NO_VALUE, number, read_json, read_object, read_text, scaled, shown, value_at
from edgewire.mqtt.filters import filter_matches

_LONG_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "atype": "automation_type",
        "avty": "availability",
        "avty_mode": "availability_mode",
        "avty_t": "availability_topic",
        "avty_tpl": "availability_template",
        "cmd_t": "command_topic",
        "cmps": "components",
        "curr_hum_t": "current_humidity_topic",
        "curr_hum_tpl": "current_humidity_template",
        "curr_temp_t": "current_temperature_topic",
        "curr_temp_tpl": "current_temperature_template",
        "dev": "device",
        "dev_cla": "device_class",
        "exp_aft": "expire_after",
        "json_attr_t": "json_attributes_topic",
        "o": "origin",
        "obj_id": "object_id",
        "p": "platform",
        "pl": "payload",
        "pl_avail": "payload_available",
        "pl_not_avail": "payload_not_available",
        "pl_off": "payload_off",
        "pl_on": "payload_on",
        "pos_t": "position_topic",
        "pos_tpl": "position_template",
        "stat_on": "state_on",
        "stat_off": "state_off",
        "src_type": "source_type",
        "stat_cla": "state_class",
        "stat_val_tpl": "state_value_template",
        "stat_t": "state_topic",
        "t": "topic",
        "temp_stat_t": "temperature_state_topic",
        "temp_stat_tpl": "temperature_state_template",
        "temp_unit": "temperature_unit",
        "uniq_id": "unique_id",
        "unit_of_meas": "unit_of_measurement",
        "val_tpl": "value_template",
        "ids": "identifiers",
        "cns": "connections",
        "mf": "manufacturer",
        "mdl": "model",
        "sw": "sw_version",
        "hw": "hw_version",
    }
)
_CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "temperature": "temperature_c",
        "humidity": "humidity",
        "pressure": "pressure_hpa",
        "atmospheric_pressure": "pressure_hpa",
        "battery": "battery_pct",
        "signal_strength": "rssi_dbm",
        "speed": "speed_kmh",
        "wind_speed": "speed_kmh",
        "distance": "distance_m",
        "voltage": "voltage_v",
        "current": "current_a",
        "power": "power_w",
        "energy": "energy_wh",
        "duration": "duration_s",
        "illuminance": "illuminance_lx",
        "carbon_dioxide": "co2_ppm",
    }
)
"""Device class -> canonical name; an entity of another class, or of none, has its own."""
_FLAG_CLASSES: Mapping[str, str] = MappingProxyType(
    {"battery": "battery_low", "moisture": "water_leak", "motion": "occupancy"}
)
"""Device class -> name of what is on or off, where that is not the class itself."""
_DEFAULT_UNITS: Mapping[str, str] = MappingProxyType(
    {"humidity": "%", "battery_pct": "%", "illuminance_lx": "lx", "co2_ppm": "ppm"}
)
"""Units of those quantities that have one only."""
_FURTHER: Mapping[str, tuple[tuple[str, str, str], ...]] = MappingProxyType(
    {
        "climate": (
            ("current_temperature_topic", "current_temperature_template", "temperature_c"),
            ("temperature_state_topic", "temperature_state_template", "target_temperature_c"),
            ("current_humidity_topic", "current_humidity_template", "humidity"),
        ),
        "cover": (("position_topic", "position_template", "position_pct"),),
    }
)
"""Component -> keys of topic and template of what it tells beside its state, and the canonical name of that."""
_EVENTS = frozenset({"event", "device_automation"})
"""Components that tell what happened."""
_TRACKER_KEYS: Mapping[str, str] = MappingProxyType(
    {"latitude": "latitude", "longitude": "longitude", "gps_accuracy": "accuracy_m", "battery_level": "battery_pct"}
)
_LARGEST_ANGLES: Mapping[str, int] = MappingProxyType({"latitude": 90, "longitude": 180})
_IN_WORDS = frozenset({"date", "enum", "timestamp"})
"""Device classes of sensors that are no numbers."""
_ON_OFF = frozenset({"binary_sensor", "switch", "siren", "fan", "light", "humidifier"})
_NO_PARTS: Mapping[str, Any] = MappingProxyType({})
_READING, _BY_ARRIVAL = MessageRole.READING, TimeSource.ARRIVAL
_LARGEST = 1e18
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


class HomeAssistantOptions(Config):
    """Says how discovery is set up, where that is not the default."""

    discovery_prefix: Annotated[str, Field(min_length=1, max_length=100)] = "homeassistant"


class HomeAssistantDecoder:
    """Learns entities from discovery, and reads whatever they publish on the topics that it names."""

    def __init__(self, options: HomeAssistantOptions | None = None, registry: EntityRegistry | None = None) -> None:
        self.discovery_prefix = self._prefix = (options or HomeAssistantOptions()).discovery_prefix
        """What is before the topics on which devices describe themselves."""
        self.registry = EntityRegistry() if registry is None else registry

    @property
    def filters(self) -> tuple[str, ...]:
        """Return the filter of discovery; the entities' own topics must be subscribed to beside it."""
        return (f"{self._prefix}/#",)

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        if topic == f"{self._prefix}/status":
            return _own_state(payload, arrival)
        if topic.startswith(f"{self._prefix}/") and topic.endswith("/config"):
            return self.learn(topic, payload, arrival)
        entities = self.registry.entities_on(topic)
        if not entities:
            raise DialectError(f"no configuration names topic '{topic}': its unit and device are not known")
        return read_entities(entities, topic, payload, arrival)

    def learn(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Remember what a configuration describes. Raises `DialectError`."""
        if not payload:
            self.registry.learn(topic, ())
            return unread("", MessageRole.DESCRIPTION, arrival, {"removed": True})
        entities, body = read_config(topic.removeprefix(f"{self._prefix}/"), payload)
        self.registry.learn(topic, entities)
        device = entities[0].device_id if entities else ""
        message = unread(device, MessageRole.DESCRIPTION, arrival, body)
        problems = tuple(f"{entity.key}: {entity.problem}" for entity in entities if entity.problem)
        return message._replace(remarks=problems)


def _own_state(payload: bytes, arrival: Arrival) -> DialectMessage:
    """Return whether Home Assistant itself is there."""
    said = read_text(payload)
    if said not in ("online", "offline", ""):
        raise DialectError(f"Home Assistant's status says {shown(said)}: neither online nor offline")
    return unread("", MessageRole.AVAILABILITY, arrival, values={"online": said == "online"} if said else {})


def read_config(topic: str, payload: bytes) -> tuple[tuple[Entity, ...], Mapping[str, Any]]:
    """Return the entities of a configuration, whose topic is given less its prefix. Raises `DialectError`."""
    levels = topic.split("/")
    if len(levels) not in (3, 4):
        raise DialectError(f"configuration on '{topic}': it is COMPONENT/[NODE/]OBJECT/config")
    component, object_id = levels[0], levels[-2]
    body = _expand(read_object(payload))
    if body.get("migrate_discovery") is True:
        return (), body
    if component != "device":
        return tuple(_entities(component, object_id, body, object_id)), body
    if not isinstance(body.get("components"), dict) or not isinstance(body.get("device"), dict):
        raise DialectError("a device's configuration has no device, or no components")
    shared = {key: value for key, value in body.items() if key != "components"}
    entities: list[Entity] = []
    for key, described in body["components"].items():
        # What names its platform only is removed.
        if isinstance(described, dict) and len(described) > 1 and isinstance(described.get("platform"), str):
            entities += _entities(described["platform"], key, shared | described, object_id)
    return tuple(entities), body


def read_entities(
    entities: tuple[Entity, ...], topic: str, payload: bytes, arrival: Arrival, device: str = "", sensor: str = ""
) -> DialectMessage:
    """Return the values that a payload has for the entities of its topic; `device` and `sensor` where these are known
    by other names. Raises `DialectError`."""
    first = entities[0]
    if not filter_matches(first.state_topic, topic) and (
        told := [o for e in entities for o in e.availability if o.topic == topic]
    ):
        return unread(first.device_id, MessageRole.AVAILABILITY, arrival, values={"online": _is_online(told, payload)})
    device = device or first.device_id
    remarks: list[str] = []
    if len(entities) == 1:
        values = _entity_values(first, topic, payload, remarks)
        sensor = sensor or first.key
        if not values and first.problem and not is_on(first.attributes_topic, topic):
            raise DialectError(f"{first.key}: {first.problem}")
        role = MessageRole.EVENT if first.component in _EVENTS else MessageRole.READING
        return DialectMessage(
            device, role, arrival.received_ms, TimeSource.ARRIVAL, values, sensor, _NO_PARTS, _NO_PARTS,
            arrival.retained, tuple(remarks) if remarks else (),
        )  # fmt: skip
    found = {one.key: values for one in entities if (values := _entity_values(one, topic, payload, remarks))}
    problems = [
        f"{one.key}: {one.problem}" for one in entities if one.problem and not is_on(one.attributes_topic, topic)
    ]
    if problems and len(problems) == len(entities):
        raise DialectError("; ".join(problems[:3]))
    role = MessageRole.EVENT if all(one.component in _EVENTS for one in entities) else MessageRole.READING
    message = unread(device, role, arrival)._replace(sensor=sensor, remarks=(*remarks, *problems))
    names = [name for values in found.values() for name in values]
    if len(set(names)) == len(names):
        return message._replace(values={name: value for part in found.values() for name, value in part.items()})
    return message._replace(parts=found)


class PlainNumber(NamedTuple):
    """Says what a topic's payload means that is nothing but a number, as most are.

    Reading it so takes half the time of `read_entities`, which reads everything else, and with the same result.
    """

    device: str
    sensor: str
    name: str
    """Canonical."""
    factor: float
    offset: float

    def read(self, payload: bytes, arrival: Arrival) -> DialectMessage | None:
        """Return what it says; None where it is no number in JSON's notation."""
        try:
            found = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return None
        device, sensor, name, factor, offset = self
        if not ((type(found) is float or type(found) is int) and -_LARGEST < found < _LARGEST):
            return None
        values = {name: found if factor == 1 and offset == 0 else round(found * factor + offset, 9)}
        received_ms, retained = arrival[:2]
        return DialectMessage(
            device, _READING, received_ms, _BY_ARRIVAL, values, sensor, _NO_PARTS, _NO_PARTS, retained, ()
        )


def plain_number(entities: Sequence[Entity], topic: str, device: str, sensor: str) -> PlainNumber | None:
    """Return what a number on a topic means, as `read_entities` would read it; None where it takes more to say that."""
    entity = entities[0]
    if (
        len(entities) > 1
        or entity.component in _ON_OFF
        or entity.path is not None
        or entity.scale is not AS_IT_IS
        or entity.decimals is not None
        or entity.problem
        or is_on(entity.attributes_topic, topic)
        or not is_on(entity.state_topic, topic)
    ):
        return None
    remarks: list[str] = []
    name, _ = convert(entity.name, 1.0, entity.unit, remarks)
    if remarks or (entity.name not in _CLASSES.values() and not (entity.unit or entity.is_number)):
        return None
    unit = entity.unit or _DEFAULT_UNITS.get(entity.name, "")
    factor, offset = linear_units(entity.name, unit) if quantity_of(entity.name) else (1.0, 0.0)
    return PlainNumber(device or entity.device_id, sensor or entity.key, name, factor, offset)


def _entity_values(entity: Entity, topic: str, payload: bytes, remarks: list[str]) -> dict[str, Value]:
    """Return the values that a payload has for an entity. Raises `DialectError`."""
    if is_on(entity.attributes_topic, topic) and entity.component == "device_tracker":
        return dict(_tracker_values(read_object(payload, lenient=True)))
    if entity.problem or not is_on(entity.state_topic, topic):
        return {}
    body = None if entity.path is None else read_json(payload, lenient=True)
    read = _entity_value(entity, body, payload, remarks)
    return {} if read is None else {read[0]: read[1]}


def canonical_name(device_class: str, key: str) -> str:
    """Return the canonical name of an entity's value: by its class, else its own name."""
    return _CLASSES.get(device_class) or _NOT_IN_NAMES.sub("_", key.lower()).strip("_") or "value"


def _flag_name(device_class: str, key: str) -> str:
    """Return the name of what is on or off: of a class that says what it means, else the entity's own."""
    known = device_class in ("smoke", "gas", "occupancy", "presence", "vibration", "tamper")
    return _FLAG_CLASSES.get(device_class) or (device_class if known else canonical_name("", key))


def convert(name: str, read: float, unit: str, remarks: list[str]) -> tuple[str, float]:
    """Return a value in the unit of its canonical name; under another name, with a remark, where that is not known."""
    unit = unit or _DEFAULT_UNITS.get(name, "")
    if not quantity_of(name):
        has_unit = not unit or f"_{name}".endswith(f"_{unit_suffix(unit)}")
        return (name if has_unit else f"{name}_{unit_suffix(unit)}"), read
    if unit and (converted := to_canonical(name, read, unit)) is not None:
        return name, converted
    remarks.append(f"{name}: unit {shown(unit)} is not known: kept as it is" if unit else f"{name}: no unit is given")
    stem = name.rpartition("_")[0] or name
    return (f"{stem}_{unit_suffix(unit)}" if unit else stem), read


def _entities(component: str, key: str, body: Mapping[str, Any], object_id: str) -> Iterator[Entity]:
    """Yield an entity, and what it tells on topics beside its state's as more of them."""
    whole = _entity(component, key, body, object_id)
    further = [
        (_text(body, topic), _text(body, template), name) for topic, template, name in _FURTHER.get(component, ())
    ]
    if whole.state_topic or whole.attributes_topic or not any(topic for topic, _, _ in further):
        yield whole
    for topic, template, name in further:
        if topic:
            read = read_template(template)
            unit = _text(body, "temperature_unit") if name.endswith("_c") else "%"
            yield replace(
                whole, key=f"{key}_{name.rpartition('_')[0] or name}", component="sensor", name=name, unit=unit,
                state_topic=topic, path=read.path, problem=read.problem, attributes_topic="", is_number=True,
                scale=read.scale, decimals=read.decimals,
            )  # fmt: skip


def _entity(component: str, key: str, body: Mapping[str, Any], object_id: str) -> Entity:
    device = body.get("device") if isinstance(body.get("device"), dict) else {}
    template = read_template(_text(body, "value_template") or _text(body, "state_value_template"))
    path, scale, problem, _ = template
    if path is None and not problem and scale is AS_IT_IS:
        # What these write has a schema of its own.
        path = ("event_type",) if component == "event" else ("state",) if body.get("schema") == "json" else None
    state_topic = _text(body, "topic" if component == "device_automation" else "state_topic")
    attributes_topic = _text(body, "json_attributes_topic")
    if not (state_topic or attributes_topic):
        problem = problem or "it has no state topic"
    return Entity(
        _device_id(device or {}, object_id),
        key,
        component,
        "event"
        if component in _EVENTS
        else _flag_name(_text(body, "device_class"), key)
        if component in _ON_OFF
        else canonical_name(_text(body, "device_class"), key),
        _text(body, "unit_of_measurement"),
        state_topic,
        path,
        problem,
        attributes_topic,
        tuple(_availability(body)),
        (_word(body, "state_on", "payload_on", "payload") or "ON", _word(body, "state_off", "payload_off") or "OFF"),
        component == "sensor"
        and bool(_text(body, "state_class") or _text(body, "device_class") not in ("", *_IN_WORDS)),
        scale,
        template.decimals,
    )


def _availability(body: Mapping[str, Any]) -> Iterator[Availability]:
    """Yield what a configuration says under `availability`, and beside it under `availability_topic`."""
    for found in (body, *body.get("availability", ())):
        keys = ("availability_topic", "availability_template") if found is body else ("topic", "value_template")
        topic, template = (_text(found, key) for key in keys)
        if topic:
            path, _, problem, _ = read_template(template)
            online = _text(found, "payload_available") or "online"
            yield Availability(topic, online, _text(found, "payload_not_available") or "offline", path, problem)


def _is_online(told: Sequence[Availability], payload: bytes) -> bool:
    """Return what a payload says of whether its device is there. Raises `DialectError`."""
    said: object = None
    for one in told:
        said = read_text(payload) if one.path is None else value_at(read_json(payload, lenient=True), one.path)
        if not one.problem and said in (one.online, one.offline):
            return said == one.online
    raise DialectError(
        told[0].problem or f"availability says {shown(said)}: neither {told[0].online} nor {told[0].offline}"
    )


def _device_id(device: Mapping[str, Any], object_id: str) -> str:
    """Return the first identifier of a device, else its address, else the name in the topic."""
    identifiers = device.get("identifiers")
    if isinstance(identifiers, list) and identifiers:
        identifiers = identifiers[0]
    if isinstance(identifiers, str) and identifiers:
        return identifiers
    connections = device.get("connections")
    if isinstance(connections, list) and connections and isinstance(connections[0], list) and len(connections[0]) > 1:
        return str(connections[0][1])
    return object_id


def _entity_value(entity: Entity, body: Any, payload: bytes, remarks: list[str]) -> tuple[str, Value] | None:
    """Return name and value that a payload has for an entity; None where it has none."""
    found = read_text(payload) if entity.path is None else value_at(body, entity.path)
    if found is None or (isinstance(found, str) and found.strip().lower() in NO_VALUE):
        return None
    if entity.component == "device_automation":
        # Of several on a topic each is told by a text of its own.
        return (entity.name, str(found)) if str(found) == entity.on_off[0] else None
    if entity.component in _ON_OFF:
        on, off = entity.on_off
        text = str(found)
        if text not in (on, off):
            raise DialectError(f"{entity.key} says {shown(text)}: neither {on} nor {off}")
        return entity.name, text == on
    if entity.name not in _CLASSES.values() and not (entity.unit or entity.is_number) and isinstance(found, str | bool):
        return entity.name, found
    read = found if type(found) is float or type(found) is int else number(found)
    if read is not None and entity.scale is not AS_IT_IS:
        read = scaled(read, *entity.scale)
    if read is not None and entity.decimals is not None:
        read = int(read) if entity.decimals == WHOLE else round(read, entity.decimals)
    return None if read is None else convert(entity.name, read, entity.unit, remarks)


def _tracker_values(body: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    for key, name in _TRACKER_KEYS.items():
        if (read := number(body.get(key))) is not None:
            if abs(read) > _LARGEST_ANGLES.get(name, math.inf):
                raise DialectError(f"a tracker's {name} is {shown(read)}")
            yield name, read


def _expand(found: object) -> dict[str, Any]:
    """Return a configuration with the long names of its keys, and its topics without `~`."""
    if not isinstance(found, dict):
        return {}
    body = {_LONG_NAMES.get(key, key): value for key, value in found.items()}
    base = body.pop("~", None)
    for key, value in body.items():
        if key == "device" and isinstance(value, dict):
            body[key] = {_LONG_NAMES.get(name, name): inner for name, inner in value.items()}
        elif key == "components" and isinstance(value, dict):
            inherited = {"~": base} if isinstance(base, str) else {}
            body[key] = {name: _expand(inherited | inner) for name, inner in value.items() if isinstance(inner, dict)}
        elif key == "availability":
            listed = value if isinstance(value, list) else [value]
            body[key] = [_with_base(_expand(item), base) for item in listed]
    return _with_base(body, base)


def _with_base(body: dict[str, Any], base: object) -> dict[str, Any]:
    if not isinstance(base, str):
        return body
    for key, value in body.items():
        if key.endswith("topic") and isinstance(value, str):
            if value.startswith("~"):
                value = base + value[1:]
            elif value.endswith("~"):
                value = value[:-1] + base
            body[key] = value
    return body


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""


def _word(body: Mapping[str, Any], *keys: str) -> str:
    """Return what a state is compared with; `true` is what Home Assistant's templates make of JSON's: True."""
    found = next((body[key] for key in keys if body.get(key) is not None), "")
    return str(found) if isinstance(found, str | bool | int | float) else ""
