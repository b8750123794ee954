"""Homie 5: devices with nodes, nodes with properties, each a retained topic, described in one JSON document.

Read in the Homie convention 5.0 (homieiot.github.io), and 4.0 for what both have. Quirks: an empty payload deletes a
topic, and the byte 00 is the empty text; `true` and `false` have small letters; only the root of a tree of devices has
a will, so its children are lost with it whatever they have said; `/set` is never retained.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple

import orjson
from pydantic import Field

from edgewire.config import Config
from edgewire.config_errors import text_matching
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, Value, unread
from edgewire.dialects.encoder import (
    CommandOutcome,
    DeviceNames,
    DialectCommand,
    MessageTemplate,
    Publication,
    seconds_argument,
)
from edgewire.dialects.kind_fields import KindField, kind_fields
from edgewire.dialects.measured_names import measured_value, spoken_name
from edgewire.dialects.payload_template import fill_names
from edgewire.dialects.values import number, read_json, read_object, read_text, shown

_VERSION = "5"
_ONLINE = frozenset({"init", "ready", "alert"})
_STATES = _ONLINE | {"disconnected", "sleeping", "lost"}
_MOST_DEVICES = 100_000
_MOST_PROPERTIES = 1000
_NOT_IN_WORDS = re.compile(r"[^a-z0-9]+")
_EMPTY_TEXT = b"\x00"
_LONGEST_TEXT = 1000


class HomieOptions(Config):
    """Says below which topic devices are."""

    domain: Annotated[
        str,
        Field(min_length=1, max_length=100),
        text_matching(r"^[^/+#$\x00]+$", "one level of a topic, without / + # $"),
    ] = "homie"
    """The first level of all topics."""


class _Property(NamedTuple):
    datatype: str
    unit: str
    format: str
    role: MessageRole
    """Of what it says: what can be set of a device is no reading of it."""


class _Described(NamedTuple):
    root: str
    """The device whose will speaks for this one; empty where it is the root itself."""
    properties: Mapping[str, _Property]
    """By `NODE/PROPERTY`."""


class HomieDecoder:
    """Reads what devices publish below a domain. A value has the unit that its device's description says."""

    def __init__(self, options: HomieOptions | None = None) -> None:
        self._prefix = f"{(options or HomieOptions()).domain}/{_VERSION}/"
        self.filters = (f"{self._prefix}#",)
        self.version = 0
        """Grows when a device has described itself."""
        self._devices: dict[str, _Described] = {}
        self._lost: dict[str, None] = {}
        """Devices that are lost, or have gone: their children are not there either."""

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        levels = topic.removeprefix(self._prefix).split("/")
        if not topic.startswith(self._prefix) or len(levels) < 2 or not all(levels):
            raise DialectError(f"topic '{topic}' is none of Homie 5: they are {self._prefix}DEVICE and what is below")
        device, *rest = levels
        match rest:
            case _ if device == "$broadcast":
                return unread(device, MessageRole.COMMAND, arrival, {"/".join(rest): _text(payload)})
            case ["$state"]:
                return self._state(device, payload, arrival)
            case ["$description"]:
                return self._description(device, payload, arrival)
            case [("$log" | "$alert") as attribute, name]:
                return unread(device, MessageRole.STATE, arrival, {f"{attribute[1:]}_{name}": _text(payload)})
            case [node, name] if node[0] != "$" and name[0] != "$":
                return self._value(device, node, name, payload, arrival)
            case [node, name, "$target"]:
                return unread(device, MessageRole.STATE, arrival, {f"{node}/{name} target": _text(payload)})
            case [node, name, "set"]:
                return unread(device, MessageRole.COMMAND, arrival, {f"{node}/{name}": _text(payload)})
        raise DialectError(f"topic '{topic}' is none of Homie 5: it has neither an attribute nor NODE/PROPERTY")

    def _state(self, device: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        state = read_text(payload)
        if not state:
            return unread(device, MessageRole.STATE, arrival, {"removed": True})
        if state not in _STATES:
            raise DialectError(f"$state is {shown(state)}: it is one of {', '.join(sorted(_STATES))}")
        if state in ("lost", "disconnected"):
            if len(self._lost) < _MOST_DEVICES:
                self._lost[device] = None
        else:
            self._lost.pop(device, None)
        root = self._devices[device].root if device in self._devices else ""
        if root in self._lost and state != "lost":
            remark = f"it says {state}, and is lost with its root {root}"
            message = unread(
                device, MessageRole.AVAILABILITY, arrival, {"state": state}, {"online": False, "state": "lost"}
            )
            return message._replace(remarks=(remark,))
        return unread(device, MessageRole.AVAILABILITY, arrival, {}, {"online": state in _ONLINE, "state": state})

    def _description(self, device: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        self.version += 1
        if not payload:
            self._devices.pop(device, None)
            return unread(device, MessageRole.DESCRIPTION, arrival, {"removed": True})
        body = read_object(payload)
        version = body.get("homie")
        if not isinstance(version, str) or version.partition(".")[0] != _VERSION:
            raise DialectError(f"the description is of Homie {shown(version)}, and 5 is read")
        described = _Described(_word(body, "root"), dict(_properties(body)))
        if len(self._devices) < _MOST_DEVICES or device in self._devices:
            self._devices[device] = described
        return unread(device, MessageRole.DESCRIPTION, arrival, body)

    def _value(self, device: str, node: str, name: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        described = self._devices.get(device)
        known = described.properties.get(f"{node}/{name}") if described is not None else None
        role = MessageRole.READING if known is None else known.role
        if not payload:
            # The topic is deleted.
            return unread(device, role, arrival, {}, {})._replace(sensor=node)
        word = _NOT_IN_WORDS.sub("_", name.lower()).strip("_") or "value"
        where = f"{node}/{name}"
        if known is not None and known.datatype == "json":
            message = unread(device, role, arrival, {word: read_json(payload)})
            return message._replace(sensor=node)
        said = _text(payload)
        remarks: list[str] = []
        value = _guessed(said) if known is None else _typed(said, known, where, remarks)
        values: dict[str, Value] = {}
        if value is not None:
            canonical, value, told = measured_value(word, value, known.unit if known is not None else "")
            values[canonical] = value
            is_number = not isinstance(value, bool | str)
            remarks += [told] if told else []
            if known is None and is_number:
                remarks.append(f"{where}: its description was not seen, so its unit is not known")
        return unread(device, role, arrival, {}, values)._replace(sensor=node, remarks=tuple(remarks))


def _text(payload: bytes) -> str:
    if payload == _EMPTY_TEXT:
        return ""
    try:
        return payload.decode()[:_LONGEST_TEXT]
    except UnicodeDecodeError:
        raise DialectError(f"payload is no UTF-8: {shown(payload)}") from None


def _word(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""


def _properties(body: Mapping[str, Any]) -> Iterator[tuple[str, _Property]]:
    """Yield the properties that a description has. Raises `DialectError`."""
    nodes = body.get("nodes") or {}
    if not isinstance(nodes, dict):
        raise DialectError(f"the description's nodes are {shown(nodes)}, and no object")
    count = 0
    for node, what in nodes.items():
        properties = what.get("properties") or {} if isinstance(what, dict) else None
        if not isinstance(properties, dict):
            raise DialectError(f"the description's node {shown(node)} is {shown(what)}: an object with properties")
        for name, one in properties.items():
            count += 1
            if count > _MOST_PROPERTIES:
                raise DialectError(f"the description has more than {_MOST_PROPERTIES:,} properties")
            if not isinstance(one, dict):
                raise DialectError(f"the description's property {shown(name)} is {shown(one)}, and no object")
            words = _word(one, "datatype"), _word(one, "unit"), _word(one, "format")
            yield f"{node}/{name}", _Property(*words, _role_of(one))


def _role_of(described: Mapping[str, Any]) -> MessageRole:
    if described.get("settable") is True:
        return MessageRole.STATE
    return MessageRole.EVENT if described.get("retained") is False else MessageRole.READING


def _guessed(said: str) -> Value | None:
    if said in ("true", "false"):
        return said == "true"
    try:
        return number(said)
    except DialectError:
        return said


def _typed(said: str, known: _Property, where: str, remarks: list[str]) -> Value | None:
    """Return a value as its property's datatype has it. Raises `DialectError`."""
    match known.datatype:
        case "integer" | "float":
            try:
                read = number(said)
            except DialectError:
                raise DialectError(f"property {where} says {shown(said)}, and is of type {known.datatype}") from None
            if read is None:
                remarks.append(f"{where}: {said!r} is no {known.datatype} of Homie")
            elif known.datatype == "integer" and not isinstance(read, int):
                remarks.append(f"{where}: {said} is no whole number, and its type is integer")
            return read
        case "boolean":
            if said not in ("true", "false"):
                raise DialectError(f"property {where} says {shown(said)}: a boolean is true or false, in small letters")
            return said == "true"
        case "enum":
            allowed = known.format.split(",")
            if said not in allowed:
                raise DialectError(f"property {where} says {shown(said)}: it is one of {shown(known.format)}")
    return said


_SETTINGS = "device"
"""The node of what devices have beside their sensor."""


class HomieEncoder:
    """Writes what a device publishes: its description, a property for each value, and what can be set of it.

    The interval between readings is a property that can be set, and `reboot` one that is not retained.
    """

    events: tuple[MessageTemplate, ...] = ()

    def __init__(self, options: HomieOptions, kind: str) -> None:
        """Raises `DialectError` for a kind without values."""
        self._prefix = f"{options.domain}/{_VERSION}/{{id}}"
        fields = kind_fields(kind, "Homie")
        words = [spoken_name(field.name)[0] for field in fields]
        self._kind = kind
        self._properties: dict[str, dict[str, Any]] = {}
        messages = []
        for field, word in zip(fields, words, strict=True):
            is_alone = words.count(word) == 1
            name = (word if is_alone else field.name).replace("_", "-")
            self._properties[name] = _described(field)
            needs = (field.name,) if field.is_optional else ()
            messages.append(
                MessageTemplate(f"{self._prefix}/{kind}/{name}", {"from": field.name}, retain=True, needs=needs)
            )
        self.messages = tuple(messages)

    def state(self, names: DeviceNames, status: Mapping[str, Any], *, is_first: bool = True) -> Iterator[Publication]:
        """Yield the state, and as a device comes its description, between `init` and `ready`."""
        match status["state"]:
            case "online":
                yield self._attribute("$state", b"init", names)
                yield self._attribute("$description", self._description(names, status), names)
                yield self._attribute("$state", b"ready", names)
            case "sleeping":
                yield self._attribute("$state", b"sleeping", names)
            case _:
                yield self._attribute("$state", b"disconnected", names)

    def will(self, names: DeviceNames) -> Publication:
        """Return the retained `lost`."""
        return self._attribute("$state", b"lost", names)

    def command_topics(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the topics of what can be set."""
        return tuple(f"{self._filled(names)}/{_SETTINGS}/{name}/set" for name in _SETTABLE)

    def answer_filters(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the topics of what was set, and of the log, which says why something was not."""
        return (
            *(f"{self._filled(names)}/{_SETTINGS}/{name}" for name in _SETTABLE),
            f"{self._filled(names)}/$log/warn",
        )

    def read_command(self, names: DeviceNames, topic: str, payload: bytes) -> DialectCommand | None:
        """Return what is to be set; None for all else."""
        name = topic.removeprefix(f"{self._filled(names)}/{_SETTINGS}/").removesuffix("/set")
        said = payload[:40].decode(errors="replace")
        match name:
            case "interval":
                # What is no number of seconds is refused by the device, as one that is out of range is.
                return DialectCommand("set_interval", {"interval": seconds_argument(said)}, name)
            case "reboot" if said == "true":
                return DialectCommand("reboot", {}, name)
        return None

    def answer(self, names: DeviceNames, command: DialectCommand, outcome: CommandOutcome) -> Iterator[Publication]:
        """Yield the property as it is now, or in the log why it could not be set."""
        if outcome.error is not None:
            said = f"{_SETTINGS}/{command.name}: {outcome.error}".encode()
            yield Publication(f"{self._filled(names)}/$log/warn", said, retain=False, qos=0)
        elif command.name == "interval":
            yield self._attribute(f"{_SETTINGS}/interval", f"{outcome.interval_s:g}".encode(), names)

    def _filled(self, names: DeviceNames) -> str:
        return fill_names(self._prefix, names)

    def _attribute(self, name: str, payload: bytes, names: DeviceNames) -> Publication:
        return Publication(f"{self._filled(names)}/{name}", payload, retain=True, qos=2)

    def _description(self, names: DeviceNames, status: Mapping[str, Any]) -> bytes:
        nodes = {
            self._kind: {"name": self._kind, "properties": self._properties},
            _SETTINGS: {"name": "Device", "properties": _SETTABLE},
        }
        body = {"homie": "5.0", "name": names["id"], "nodes": nodes}
        return orjson.dumps({**body, "version": zlib.crc32(orjson.dumps(body))})


_SETTABLE: Mapping[str, Mapping[str, Any]] = {
    "interval": {"name": "Interval", "datatype": "float", "format": "0.01:604800", "unit": "s", "settable": True},
    "reboot": {"name": "Reboot", "datatype": "boolean", "settable": True, "retained": False},
}
"""What can be set of each device, as its description has it."""
_DATATYPES: Mapping[type, str] = {int: "integer", float: "float", bool: "boolean", str: "string"}


def _described(field: KindField) -> dict[str, Any]:
    unit = spoken_name(field.name)[1]
    return {"name": field.name, "datatype": _DATATYPES[field.type]} | ({"unit": unit} if unit else {})
