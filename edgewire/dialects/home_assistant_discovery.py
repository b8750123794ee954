"""Describes devices to Home Assistant, whatever format they speak: the other direction of `home_assistant`.

What a device is, stands in retained configurations below a prefix: one for all that it has (since 2024.11), or one for
each. A payload that has no value is empty or `None` to Home Assistant, and a message of another kind on the topic of a
sensor is passed over by a template that gives an empty text.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from pydantic import Field

from edgewire.config import Config
from edgewire.config_errors import text_matching
from edgewire.dialects.base import DialectError
from edgewire.dialects.encoder import DeviceNames, MessageTemplate, Publication
from edgewire.dialects.entities import VITALS, FieldEntity, entities_of, topic_level
from edgewire.dialects.own_format import MappedField, mapped_fields
from edgewire.dialects.payload_template import fill_names
from edgewire.dialects.values import Path

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_UNITS: Mapping[str, str] = {
    "c": "°C", "cel": "°C", "celsius": "°C", "°c": "°C", "f": "°F", "°f": "°F", "fahrenheit": "°F", "k": "K",
    "hpa": "hPa", "mbar": "mbar", "bar": "bar", "pa": "Pa", "kpa": "kPa", "mmhg": "mmHg", "inhg": "inHg", "psi": "psi",
    "km/h": "km/h", "kmh": "km/h", "kph": "km/h", "m/s": "m/s", "mph": "mph", "kn": "kn", "kt": "kn", "knots": "kn",
    "ft/s": "ft/s", "m": "m", "km": "km", "cm": "cm", "mm": "mm", "ft": "ft", "mi": "mi", "v": "V", "mv": "mV",
    "%": "%", "dbm": "dBm", "°": "°", "deg": "°",
}  # fmt: skip
"""Unit of a mapping, in small letters -> as Home Assistant has it."""
_ORIGIN = {"name": "edgefleet"}


class HomeAssistantDiscovery(Config):
    """Says how devices describe themselves to Home Assistant."""

    form: Literal["device", "single"] = "device"
    """`device`: one configuration for all that a device has, since Home Assistant 2024.11; `single`: one for each."""
    prefix: Annotated[
        str,
        Field(min_length=1, max_length=100),
        text_matching(r"^[^/+#\x00][^+#\x00]*$", "a topic without + and #, and without / before it"),
    ] = "homeassistant"
    """Of the topics of discovery, as Home Assistant has it set."""


class AvailabilityTopic(NamedTuple):
    """Says where a device tells whether it is there."""

    topic: str
    online: str
    offline: str
    template: str = ""


class Spoken(NamedTuple):
    """Holds what a format says, as discovery needs it."""

    messages: Sequence[MessageTemplate]
    events: Sequence[MessageTemplate] = ()
    availability: AvailabilityTopic | None = None
    other_topics: Sequence[str] = ()
    """Topics on which something comes that is not in `messages`."""
    gateway: AvailabilityTopic | None = None
    """Where the gateway that the device is behind tells whether it is there: without it the device is not."""


class _Place(NamedTuple):
    topic: str
    field: MappedField
    is_shared: bool
    """Whether messages come on the topic that do not have the field."""


class DiscoveryWriter:
    """Writes the configurations of devices of one kind, by the places at which a format has their values."""

    def __init__(
        self,
        options: HomeAssistantDiscovery,
        kind: str,
        spoken: Spoken,
        known: Collection[str],
        *,
        part: str = "",
        model: str = "",
    ) -> None:
        """Take the names of the fields of readings from `known`.

        With a `part`, they are those of one part of a device of this `model`, whose other parts are described as well.
        Raises `DialectError` where the format says nothing that Home Assistant could show.
        """
        self._options = options
        self._kind = kind
        self._model = model or kind
        # What another part has may be called the same.
        self._own = f"{topic_level(part)}_" if part else ""
        self._called = f"{part} " if part not in ("", kind) else ""
        self._event = _event_message(spoken.events)
        on_topic = Counter(message.topic for message in (*spoken.messages, *spoken.events))
        self._places: dict[str, _Place] = {}
        for message in spoken.messages:
            for field in mapped_fields(message.payload, known):
                self._places.setdefault(field.name, _Place(message.topic, field.newest, on_topic[message.topic] > 1))
        shown = {one.field for one in chain(*entities_of(kind))}
        if not shown.intersection(self._places):
            raise DialectError(f"Home Assistant could show nothing of what is said of a {kind}: no value has a place")

    @property
    def status_topic(self) -> str:
        """Return the topic on which Home Assistant tells that it has started."""
        return f"{self._options.prefix}/status"

    def describe(self, names: DeviceNames, status: Mapping[str, Any], spoken: Spoken) -> Iterator[Publication]:
        """Yield the configurations of a device; `spoken` has its own topics, and `status` what it tells of itself."""
        components = dict(self._components(names, status, spoken))
        device = {"ids": [names["id"]], "name": names["id"], "mf": "edgefleet", "mdl": self._model}
        shared: dict[str, Any] = {"dev": device | {"sw": str(status["firmware"])}, "o": _ORIGIN}
        node, prefix = topic_level(names["id"]), self._options.prefix
        if self._options.form == "device":
            body = {**shared, "cmps": components}
            yield Publication(f"{prefix}/device/{node}/config", orjson.dumps(body), retain=True)
            return
        for key, component in components.items():
            body = {name: value for name, value in component.items() if name != "p"} | shared
            yield Publication(f"{prefix}/{component['p']}/{node}/{key}/config", orjson.dumps(body), retain=True)

    def _components(
        self, names: DeviceNames, status: Mapping[str, Any], spoken: Spoken
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        told = spoken.availability
        there = _availability([one for one in (told, spoken.gateway) if one is not None])
        others = set(spoken.other_topics)
        is_placed = {"latitude", "longitude"} <= self._places.keys()
        if is_placed:
            key = f"{self._own}position"
            yield key, {"p": "device_tracker", "name": "Position", **self._tracker(names, others), **there} | {
                "uniq_id": f"{names['id']}_{key}", "src_type": "gps",
            }  # fmt: skip
        shown = entities_of(self._kind)
        for entity in (*chain(*shown), *VITALS):
            place = self._places.get(entity.field)
            if place is None or (is_placed and entity.field in ("latitude", "longitude")):
                continue
            if entity.field == "battery_pct" and "battery_pct" not in status:
                continue
            topic = fill_names(place.topic, names)
            name = entity.name if entity in VITALS else f"{self._called}{entity.name}"
            written = {"p": "sensor", "name": name, "stat_t": topic} | _sensor(entity, place.field)
            if entity in shown.flags:
                # A template writes JSON's true as Python does; a bare payload is what was published.
                on, off = ("True", "False") if place.field.path else ("true", "false")
                written |= {"p": "binary_sensor", "pl_on": on, "pl_off": off}
                if entity.device_class:
                    written["dev_cla"] = entity.device_class
            if template := _template(place.field, is_shared=place.is_shared or topic in others):
                written["val_tpl"] = template
            # Of its vitals a device has one each, whichever part says them.
            key = entity.object_id if entity in VITALS else f"{self._own}{entity.object_id}"
            yield key, written | {"uniq_id": f"{names['id']}_{key}"} | there
        for field, place_of in (("rssi_dbm", told), ("battery_pct", told)):
            # Of the message contract: what a device tells of itself stands in its status.
            if place_of is None or not place_of.template or field not in status or field in self._places:
                continue
            entity = next(one for one in VITALS if one.field == field)
            written = {"p": "sensor", "name": entity.name, "stat_t": place_of.topic} | _sensor(entity, None)
            # A last will has none.
            template = f"{{{{ value_json.{field} if value_json.{field} is defined else '' }}}}"
            written |= {"val_tpl": template, "uniq_id": f"{names['id']}_{entity.object_id}"}
            yield entity.object_id, written | there
        if self._event is not None:
            topic, types = self._event
            event = {"p": "event", "name": "Door", "stat_t": fill_names(topic, names), "evt_typ": list(types)}
            yield f"{self._own}door", event | {"uniq_id": f"{names['id']}_{self._own}door"} | there
        if told is not None:
            yield (
                "connection",
                {
                    **_availability([] if spoken.gateway is None else [spoken.gateway]),
                    "p": "binary_sensor",
                    "name": "Connection",
                    "dev_cla": "connectivity",
                    "ent_cat": "diagnostic",
                    "stat_t": told.topic,
                    "pl_on": told.online,
                    "pl_off": told.offline,
                    "uniq_id": f"{names['id']}_connection",
                }
                | ({"val_tpl": told.template} if told.template else {}),
            )

    def _tracker(self, names: DeviceNames, others: set[str]) -> dict[str, Any]:
        """Return where the attributes of a tracker stand: in the payload as it is, or made of it by a template."""
        latitude, longitude = self._places["latitude"], self._places["longitude"]
        topic = fill_names(latitude.topic, names)
        if (latitude.field.path, longitude.field.path) == (("latitude",), ("longitude",)) and topic not in others:
            return {"json_attr_t": topic}
        keys = {"latitude": "latitude", "longitude": "longitude", "accuracy_m": "gps_accuracy"}
        found = [
            f"'{name}': {_expression(self._places[field].field.path)}"
            for field, name in keys.items()
            if field in self._places and self._places[field].topic == latitude.topic
        ]
        template = f"{{{{ {{{', '.join(found)}}} | tojson }}}}"
        if topic in others or latitude.is_shared:
            guard = _is_there(latitude.field.path)
            template = f"{{{{ ({{{', '.join(found)}}} if {guard} else {{}}) | tojson }}}}"
        return {"json_attr_t": topic, "json_attr_tpl": template}


def _sensor(entity: FieldEntity, field: MappedField | None) -> dict[str, Any]:
    """Return class and unit of a sensor, in the unit in which its format says it."""
    written: dict[str, Any] = {}
    unit = entity.unit
    if field is not None and field.unit:
        unit = "MV" if field.unit.strip() == "MV" else _UNITS.get(field.unit.strip().lower(), "")
    if entity.device_class and unit:
        written["dev_cla"] = entity.device_class
    if entity.unit:
        # Home Assistant refuses a class with a unit that it does not know; without a class any text is a unit.
        written["unit_of_meas"] = unit or (field.unit if field is not None else "")
    if entity.state_class:
        decimals = entity.decimals if field is None or field.decimals is None else field.decimals
        written |= {"stat_cla": entity.state_class, "sug_dsp_prc": decimals}
    if entity.is_diagnostic:
        written["ent_cat"] = "diagnostic"
    return written


def _template(field: MappedField, *, is_shared: bool) -> str:
    if not field.path:
        return ""
    where = _expression(field.path)
    if is_shared:
        return f"{{{{ {where} if {_is_there(field.path)} else '' }}}}"
    return f"{{{{ {where} | default(none) }}}}" if field.is_optional else f"{{{{ {where} }}}}"


def _expression(path: Path) -> str:
    """Return a path as a template names it."""
    steps = (f".{step}" if isinstance(step, str) and _IDENTIFIER.fullmatch(step) else f"[{step!r}]" for step in path)
    return "value_json" + "".join(steps)


def _is_there(path: Path) -> str:
    """Return the condition that a payload has something at a path."""
    return " and ".join(f"{_expression(path[:depth])} is defined" for depth in range(1, len(path) + 1))


def _availability(told: Sequence[AvailabilityTopic]) -> dict[str, Any]:
    if len(told) > 1:
        return {"avty": [_availability_of(one, "t", "val_tpl") for one in told], "avty_mode": "all"}
    return _availability_of(told[0], "avty_t", "avty_tpl") if told else {}


def _availability_of(told: AvailabilityTopic, topic: str, template: str) -> dict[str, Any]:
    written: dict[str, Any] = {topic: told.topic}
    if told.template:
        written[template] = told.template
    if (told.online, told.offline) != ("online", "offline"):
        written |= {"pl_avail": told.online, "pl_not_avail": told.offline}
    return written


def _event_message(events: Iterable[MessageTemplate]) -> tuple[str, tuple[str, ...]] | None:
    """Return topic and types of events whose payload Home Assistant takes as it is: with an `event_type` at its top."""
    for message in events:
        payload = message.payload
        if isinstance(payload, dict) and payload.get("event_type") in ("event_type", {"from": "event_type"}):
            return message.topic, ("entry", "exit", "foot_traffic")
    return None
