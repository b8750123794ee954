"""A format of the user's own, written down once: where each value of a device stands in topics and payloads.

`topic: plant/{site}/{id}/state` and `payload: {t: temperature_c, rh: {from: humidity}, ts: {from: timestamp, as:
epoch_ms}, fw: {const: "1.4"}}`. A text that is the name of a field stands for its value; other texts, numbers, booleans
and null are constants, which a reader does not look at. Keys that the mapping does not name are kept as they are.
`{each: …}` stands for a list, of what is in it for each reading of a message that has several (`reading_lists`).
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, PrivateAttr, model_validator

from edgewire.config import Config
from edgewire.dialects.base import (
    Arrival,
    DialectError,
    DialectMessage,
    MessageRole,
    NumberForm,
    SteadyPayload,
    TimeSource,
    Value,
)
from edgewire.dialects.reading_lists import EACH, ReadingLists, is_each
from edgewire.dialects.times import DeviceTime, device_instant, device_time
from edgewire.dialects.topic_check import shown_topic, topic_fault
from edgewire.dialects.topic_pattern import TopicPattern
from edgewire.dialects.units import QUANTITIES, known_units, quantity_of, to_canonical
from edgewire.dialects.values import NO_VALUE, Path, number, read_json, read_text, shown, value_at
from edgewire.messages import CONTRACT

MAX_LEAVES = 200
"""Values in one payload; a device with more sends several messages."""

_SAME_WORD = 0.85
"""Likeness from which a name is taken for another one that is misspelt."""
_DIGITS = re.compile(r"_?[0-9]+")
_KNOWN_TOPICS = 100_000
_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_IDENTITY = ("id", "site", "timestamp", "boot", "seq", "event_type")
LEAF_KEYS = frozenset({"from", "unit", "round", "as", "const", "missing", "optional", "fixed"})
"""A mapping that has no other keys is a field."""
MAX_DEPTH = 50
"""Objects and lists in each other: no device's message has so many, and readers of JSON may have a limit."""
_TIMES = ("iso", "epoch_s", "epoch_ms", "epoch_us", "local", "iso_local")

_BUILT_IN_FIELDS: frozenset[str] = frozenset(
    {*_IDENTITY}
    | {name for contract in CONTRACT.values() for message in contract.messages for name in message.model.model_fields}
    | {"dew_point_c", "battery_pct", "rssi_dbm", "link_quality", "accuracy_m", "uptime_s", "power_w", "energy_wh",
       "voltage_v", "current_a", "illuminance_lx", "co2_ppm", "relay_on", "firmware", "online"}
)  # fmt: skip
"""The fields of the message contract, and what other makers' devices have beside."""


class UnknownField(ValueError):
    """Says that a name in a payload is that of no field."""


def known_fields() -> frozenset[str]:
    """Return the names that a mapping may use, those of kinds that were added among them."""
    added = (message.model.model_fields for contract in CONTRACT.added for message in contract.messages)
    return _BUILT_IN_FIELDS.union(*added) if CONTRACT.added else _BUILT_IN_FIELDS


_SCALES: Mapping[str, float] = MappingProxyType({"epoch_s": 1000.0, "epoch_ms": 1.0, "epoch_us": 0.001})


_BY_ARRIVAL = TimeSource.ARRIVAL
_NO_PARTS: Mapping[str, Mapping[str, Value]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class MappedField:
    """Says where a field stands, and how it is written there."""

    path: Path
    name: str
    unit: str = ""
    """Empty: the unit of the name."""
    decimals: int | None = None
    time: Literal["", "iso", "epoch_s", "epoch_ms", "epoch_us", "local", "iso_local"] = ""
    missing: Any = None
    """What is written where there is no value."""
    is_optional: bool = False
    """Whether its key is left out there."""
    is_fixed: bool = False
    """Whether all its decimals are written, zeros at the end too, as C's printf does."""
    each_at: int = -1
    """Where in the path the place in a list of readings stands, which is the first there; negative outside of one."""

    @property
    def newest(self) -> Self:
        """Return the same field of the last reading of a list."""
        if self.each_at < 0:
            return self
        return replace(self, path=(*self.path[: self.each_at], -1, *self.path[self.each_at + 1 :]))


class OwnFormat(Config):
    """Describes the messages of devices in a format of the user's own; the same for who writes and who reads them."""

    topic: str
    """With names in braces: {id}, {site}, and any others; each takes one level, or a part of one."""
    payload: Any
    """A mapping, a list, or one field, where the payload is its bare value."""
    role: Literal["reading", "event"] = "reading"
    own_fields: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")], ...] = Field(
        default=(), max_length=MAX_LEAVES
    )
    """Names in the payload that the message contract does not have, such as those of a kind of your own."""
    _pattern: TopicPattern = PrivateAttr()
    _fields: tuple[MappedField, ...] = PrivateAttr()
    _lists: ReadingLists | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _understood(self) -> Self:
        try:
            self._pattern = TopicPattern(self.topic)
        except DialectError as error:
            raise ValueError(str(error)) from None
        if fault := topic_fault(self.topic, is_published=False):
            raise ValueError(f"topic '{shown_topic(self.topic)}' {fault}")
        try:
            fields = mapped_fields(self.payload, {*self._pattern.names, *self.own_fields})
        except UnknownField as error:
            raise ValueError(
                f"{error}. What a kind of your own measures is named in own_fields, beside payload"
            ) from None
        self._fields = fields
        if unused := {*self.own_fields}.difference(field.name for field in fields):
            raise ValueError(f"own_fields: '{min(unused)}' stands nowhere in payload")
        if inner := [field for field in fields if field.each_at >= 0]:
            self._lists = ReadingLists((field.path, field.each_at) for field in inner)
            if any(field.name == "timestamp" for field in inner):
                # One outside is that of the message.
                self._fields = tuple(one for one in fields if one.name != "timestamp" or one.each_at >= 0)
        if len(self._fields) > MAX_LEAVES:
            raise ValueError(f"payload has {len(self._fields)} fields, more than {MAX_LEAVES}: send several messages")
        names = [field.name for field in self._fields]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"payload: '{twice}' stands in two places: which of them would be read?")
        if "id" not in {*self._pattern.names, *names}:
            raise ValueError("neither topic nor payload says where the device's id stands: write {id} into the topic")
        if not {*names}.difference(_IDENTITY):
            raise ValueError("payload has no value of the device in it: name a field, such as temperature_c")
        return self

    @property
    def pattern(self) -> TopicPattern:
        """Return the topics."""
        return self._pattern

    @property
    def fields(self) -> tuple[MappedField, ...]:
        """Return the fields of the payload that are read, in its order."""
        return self._fields

    @property
    def lists(self) -> ReadingLists | None:
        """Return where its lists of readings are; None where a message is one reading."""
        return self._lists


class _Step(NamedTuple):
    """Says how one field of the payload is read; made once a format."""

    key: str | int | None
    """Where it stands, if that is on the top level; None where `field.path` says it."""
    name: str
    is_number: bool
    """Whether a number is taken as it is."""
    field: MappedField


class OwnFormatDecoder:
    """Reads messages by the mapping of an `OwnFormat`."""

    def __init__(self, form: OwnFormat) -> None:
        self._form = form
        self._role = MessageRole(form.role)
        self._is_bare = len(form.fields) == 1 and not form.fields[0].path
        self.lists = form.lists
        self._of_each = frozenset(one.name for one in form.fields if one.each_at >= 0).difference(_IDENTITY)
        self._known: dict[str, tuple[object, dict[str, Value]]] = {}
        # Keys of the top level that the mapping names, as fields or as constants.
        self._named = frozenset(form.payload) if isinstance(form.payload, dict) else frozenset()
        self._time = next((field for field in form.fields if field.name == "timestamp"), None)
        is_top = self._time is not None and len(self._time.path) == 1
        self._time_key = str(self._time.path[0]) if self._time is not None and is_top else ""
        self._is_in_ms = self._time is not None and self._time.time == "epoch_ms"
        self._steps = tuple(
            _Step(
                field.path[0] if len(field.path) == 1 and isinstance(form.payload, dict) else None,
                field.name,
                not field.unit and bool(quantity_of(field.name)),
                field,
            )
            for field in form.fields
            if field is not self._time
        )

    @property
    def filters(self) -> tuple[str, ...]:
        """Return the narrowest filter of its topics."""
        return (self._form.pattern.filter,)

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        known = self._known.get(topic) or self._levels(topic)
        if known is None:
            raise DialectError(f"topic '{topic}' is not of the form {self._form.topic}")
        device, levels = known
        body: Any = read_text(payload) if self._is_bare else read_json(payload, lenient=True)
        is_object = type(body) is dict
        if not (is_object or self._is_bare or isinstance(body, list)):
            raise DialectError(f"payload is no JSON object: {shown(payload)}")
        if self.lists is not None and not self.lists.has_reading(body):
            return self._nothing(device, arrival)
        values = levels.copy()
        for key, name, is_number, field in self._steps:
            value = body.get(key) if is_object and key is not None else value_at(body, field.path)
            if is_number and (type(value) is float or type(value) is int):
                values[name] = value
            elif value is not None and not (isinstance(value, str) and value.strip().lower() in NO_VALUE):
                values[name] = _value(field, value)
        if self.lists is not None and self._of_each.isdisjoint(values):
            return self._nothing(device, arrival)
        if self._time is None:
            at_ms, source, remark = arrival.received_ms, _BY_ARRIVAL, ""
        else:
            said = body.get(self._time_key) if is_object and self._time_key else value_at(body, self._time.path)
            at_ms, source, remark = self._read_time(said, arrival)
        if "id" in values:
            device = values.pop("id") or device
        if type(device) is not str and type(device) is not int:
            raise DialectError(f"the device's id is {shown(device)}")
        left: dict[str, object] = {}
        if is_object and not body.keys() <= self._named:
            left = {key: value for key, value in body.items() if key not in self._named}
        told = (remark,) if remark else ()
        return DialectMessage(
            str(device), self._role, at_ms, source, values, "", _NO_PARTS, left, arrival.retained, told
        )

    def steady(self, topic: str, payload: bytes) -> SteadyPayload | None:
        """Return where a message has its numbers and its time; None where it is one value alone."""
        if self._is_bare or topic not in self._known:
            return None
        numbers = {field.path: NumberForm.ANY for _, name, is_number, field in self._steps if is_number}
        if self._time is None:
            return SteadyPayload(numbers, None)
        return SteadyPayload(numbers, self._time.path, self._read_time)

    def _nothing(self, device: object, arrival: Arrival) -> DialectMessage:
        """Return a message without a reading: its list is empty, or has no value in it."""
        return DialectMessage(
            str(device or ""), self._role, arrival.received_ms, _BY_ARRIVAL, is_stale=arrival.retained
        )

    def _read_time(self, said: Any, arrival: Arrival) -> DeviceTime:
        assert self._time is not None
        if self._is_in_ms and type(said) is int:
            return device_instant(said, said, arrival)
        return _time(said, self._time, arrival)

    def _levels(self, topic: str) -> tuple[object, dict[str, Value]] | None:
        """Return the device that a topic names, and what else it says; None for a topic of another form."""
        levels = self._form.pattern.match(topic)
        if levels is None:
            return None
        if len(self._known) >= _KNOWN_TOPICS:
            self._known.clear()
        others: dict[str, Value] = {name: text for name, text in levels.items() if name != "id"}
        self._known[topic] = found = levels.get("id"), others
        return found


def _read_mapping(node: Any, path: Path, levels: set[str], each_at: int = -1) -> Iterator[MappedField]:
    """Yield the fields of a mapping, which is in a list of readings at a place of the path, or in none.

    Raises `ValueError` for what is none of it, with its place.
    """
    where = ".".join(map(str, path)) or "payload"
    if len(path) > MAX_DEPTH:
        raise ValueError(f"{'.'.join(map(str, path[:3]))}…: more than {MAX_DEPTH} objects or lists in each other")
    if isinstance(node, str):
        if _NAME.fullmatch(node):
            yield MappedField(path, _known(node, where, levels), each_at=each_at)
    elif isinstance(node, dict):
        if is_each(node, where):
            if each_at >= 0:
                raise ValueError(
                    f"{where}: each is inside another: a message has the readings of one list, or of several"
                )
            found = tuple(_read_mapping(node[EACH], (*path, 0), levels, len(path)))
            if not found:
                raise ValueError(f"{where}: each has no field in it: all its readings would be the same")
            yield from found
            return
        if node and node.keys() <= LEAF_KEYS:
            if (field := read_leaf(node, path, where, levels)) is not None:
                yield field if each_at < 0 else replace(field, each_at=each_at)
            return
        check_keys(node, where)
        for key, inner in node.items():
            yield from _read_mapping(inner, (*path, str(key)), levels, each_at)
    elif isinstance(node, list):
        for place, inner in enumerate(node):
            yield from _read_mapping(inner, (*path, place), levels, each_at)
    else:
        check_constant(node, where)


def check_keys(node: Mapping[Any, Any], where: str) -> None:
    """Raise `ValueError` for an object of a payload that has a key twice, or is a field with a key misspelt."""
    keys = [str(key) for key in node]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"{where}: has the key '{twice}' twice, as a text and as something else")
    if isinstance(node.get("from"), str) and node["from"] in known_fields():
        for key in keys:
            near = get_close_matches(key, LEAF_KEYS - node.keys(), 1, _SAME_WORD) if key not in LEAF_KEYS else []
            if near:
                raise ValueError(f"{where}: a field has no '{key}', did you mean '{near[0]}'?")


def check_constant(node: Any, where: str) -> None:
    """Raise `ValueError` for what stands in a payload as it is and is none of JSON."""
    if isinstance(node, dict | list):
        for key, inner in node.items() if isinstance(node, dict) else enumerate(node):
            if isinstance(node, dict) and not isinstance(key, str):
                raise ValueError(f"{where}: the key {key!r} of a constant is no text: put it in quotes")
            check_constant(inner, f"{where}.{key}")
    elif isinstance(node, float) and not math.isfinite(node):
        raise ValueError(f"{where}: {node} is no number of JSON: write null, or a text in quotes")
    elif isinstance(node, int) and not -(2**63) <= node < 2**64:
        raise ValueError(f"{where}: {node} has more than 64 bits: write it as a text, in quotes")
    elif node is not None and not isinstance(node, bool | int | float | str):
        what = f"a {type(node).__name__}" if isinstance(node, bytes | set) else repr(str(node))
        raise ValueError(f"{where}: {what} is neither a field nor a constant: write a text in quotes, or a number")


def read_leaf(node: dict[str, Any], path: Path, where: str, levels: set[str]) -> MappedField | None:
    if "const" in node:
        if len(node) > 1:
            raise ValueError(f"{where}: const stands alone, without {', '.join(sorted(node.keys() - {'const'}))}")
        check_constant(node["const"], where)
        return None
    name = node.get("from")
    if not isinstance(name, str):
        raise ValueError(f"{where}: from names the field that stands there")
    name = _known(name, where, levels)
    unit, decimals, time = node.get("unit", ""), node.get("round"), node.get("as", "")
    if time and (name != "timestamp" or time not in _TIMES):
        raise ValueError(f"{where}: as is for timestamp, and one of {', '.join(_TIMES)}")
    if decimals is not None and (type(decimals) is not int or not 0 <= decimals <= 15):
        raise ValueError(f"{where}: round is a number of decimals from 0 to 15")
    if unit and to_canonical(name, 0.0, str(unit)) is None:
        units = ", ".join(known_units(name)) or "none: it has no unit"
        raise ValueError(f"{where}: unit '{unit}' is not known for {name}: {units}")
    missing, optional, fixed = node.get("missing"), node.get("optional", False), node.get("fixed", False)
    if optional is not True and optional is not False:
        raise ValueError(f"{where}: optional is true or false: whether the key is left out where there is no value")
    if optional and missing is not None:
        raise ValueError(f"{where}: missing is what stands there without a value, and optional leaves the key out")
    if isinstance(missing, dict | list):
        raise ValueError(f"{where}: missing is a text, a number, true, false or null")
    if fixed is not True and fixed is not False:
        raise ValueError(f"{where}: fixed is true or false: whether all decimals of round are written")
    if fixed and decimals is None:
        raise ValueError(f"{where}: fixed writes all decimals, and round says how many")
    return MappedField(path, name, str(unit), decimals, time, missing, optional, fixed)


def _known(name: str, where: str, levels: set[str]) -> str:
    known = known_fields()
    if name in known or name in levels:
        return name
    near = get_close_matches(name, known, 1, _SAME_WORD)
    # A name with a unit at its end may be of a quantity that the contract does not have: temperature2_c, flow_m.
    has_unit = "_" in name and name.rpartition("_")[2] in QUANTITIES
    if has_unit and (not near or _DIGITS.sub("", name) in known):
        return name
    hint = f"did you mean '{near[0]}'?" if near else "nor does it end in a unit, as _c and _pct are."
    said = f"{where}: there is no field '{name}', {hint} A text that is meant as it stands is {{const: …}}"
    raise UnknownField(said)


def _value(field: MappedField, value: Any) -> Value | Any:
    """Return a value in the unit of its name; what is a text or flag by its name stays one."""
    if field.name in ("boot", "seq"):
        read = number(value)
        if type(read) is not int or not 0 <= read < 10**15:
            raise DialectError(f"{field.name} is {shown(value)}: it is a whole number from 0 on")
        return read
    if isinstance(value, bool | dict | list) or not (quantity_of(field.name) or field.unit):
        return value
    read = number(value)
    if read is None or not field.unit:
        return read
    return to_canonical(field.name, read, field.unit)


def _time(value: Any, field: MappedField, arrival: Arrival) -> DeviceTime:
    """Return the time of a message: a number has the unit that the mapping says, whatever its size."""
    if value is None or (isinstance(value, str) and value.strip().lower() in NO_VALUE):
        return arrival.received_ms, TimeSource.ARRIVAL, ""
    if field.time not in _SCALES:
        return device_time(value, arrival)
    read = number(value)
    if read is None:
        return arrival.received_ms, TimeSource.ARRIVAL, ""
    return device_instant(round(read * _SCALES[field.time]), value, arrival)


def mapped_fields(payload: Any, names: Collection[str]) -> tuple[MappedField, ...]:
    """Return the fields of a payload; `names` are fields beside those that every mapping may name.

    Raises `ValueError` for what is no payload, with its place.
    """
    fields = tuple(_read_mapping(payload, (), set(names)))
    _check_readings(fields)
    return fields


def _check_readings(fields: Collection[MappedField]) -> None:
    """Raise `ValueError` where the readings of a list would have no values, or none of their own of what each has."""
    inside = {field.name for field in fields if field.each_at >= 0}
    if not inside:
        return
    outside = {field.name for field in fields if field.each_at < 0}
    if inside <= {*_IDENTITY}:
        raise ValueError("each has no value of the device in it: name a field there, such as temperature_c")
    if "seq" in outside:
        raise ValueError("seq is the number of a reading, and each has its own: write it inside each")
    if "timestamp" in outside - inside:
        said = "timestamp is outside each: the readings before the last would have no time; write it inside"
        raise ValueError(f"{said}, or leave it out: then they have that of their arrival")
