"""OwnTracks: positions, transitions and waypoints of phones.

Read in the OwnTracks booklet (tech/json, features/encrypt) and the source of the Android app. Quirks: the will stands
on the topic of positions and has none (mqttwarn issue 105), and Android's has no time; `vel` was in m/s in iOS 8.3.0
(ios issue 345), which nothing in the message tells; floats for whole numbers (android issue 629); `acc`, `alt`, `cog`,
`vac` and `vel` are absent when they are 0, so a missing one is no value; a recorder was sent lines and objects without
`_type` (recorder issue 374); the first versions wrote all numbers as texts, `acc` with its unit.
"""

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any

import orjson
from pydantic import Field

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
from edgewire.dialects.encoder import CommandOutcome, DeviceNames, DialectCommand, MessageTemplate, Publication
from edgewire.dialects.payload_template import fill_names
from edgewire.dialects.times import device_time
from edgewire.dialects.topic_pattern import TopicPattern
from edgewire.dialects.values import number, read_object, scaled, shown

_KEYS: Mapping[str, tuple[str, float]] = {
    "lat": ("latitude", 1),
    "lon": ("longitude", 1),
    "acc": ("accuracy_m", 1),
    "alt": ("altitude_m", 1),
    "vac": ("vertical_accuracy_m", 1),
    "vel": ("speed_kmh", 1),
    "cog": ("heading_deg", 1),
    "batt": ("battery_pct", 1),
    "p": ("pressure_hpa", 10),
    "rad": ("radius_m", 1),
}
"""Key -> canonical name, and the factor to its unit: `p` is in kPa."""
_SAME: Mapping[str, str] = {key: name for key, (name, factor) in _KEYS.items() if factor == 1}
"""Those whose numbers are taken as they are. A dict, which is asked for every key of every message."""
_NEVER_NEGATIVE = frozenset({"acc", "vac", "vel", "cog", "batt", "p", "rad"})
_ROLES: Mapping[str, MessageRole] = MappingProxyType(
    {
        "location": MessageRole.READING,
        "transition": MessageRole.EVENT,
        "lwt": MessageRole.AVAILABILITY,
        "waypoint": MessageRole.DESCRIPTION,
        "waypoints": MessageRole.DESCRIPTION,
        "card": MessageRole.DESCRIPTION,
        "configuration": MessageRole.ANSWER,
        "dump": MessageRole.ANSWER,
        "status": MessageRole.STATE,
        "cmd": MessageRole.COMMAND,
        "request": MessageRole.COMMAND,
        "tour": MessageRole.COMMAND,
        "tours": MessageRole.COMMAND,
        "steps": MessageRole.READING,
        "beacon": MessageRole.READING,
    }
)
"""`_type` -> what the message is for."""
_READING, _EVENT = MessageRole.READING, MessageRole.EVENT
_NUMBERS = (int, float)
_NO_PARTS: Mapping[str, Mapping[str, Value]] = MappingProxyType({})
_KNOWN_TOPICS = 100_000
_BELOW = ("event", "waypoint", "waypoints", "status", "dump", "cmd", "info", "step", "beacon", "request")
"""What may follow the topic of a device."""


_Level = Annotated[
    str, Field(min_length=1, max_length=200), text_matching(r"^[^/+#\x00]+$", "one level of a topic, without / + #")
]


class OwnTracksOptions(Config):
    """Says which topics emulated devices have; what is read needs no options."""

    user: _Level = "{site}"
    """The level of the topic that names the user. With names in braces: `{site}`, `{id}`, `{n}`."""
    device: _Level = "{id}"
    """The level that names the device, likewise."""


_PLACES: Mapping[str, NumberForm] = {"lat": NumberForm.LATITUDE, "lon": NumberForm.LONGITUDE}


class OwnTracksDecoder:
    """Reads what OwnTracks apps publish. A device is `USER/DEVICE`."""

    filters = ("owntracks/#",)

    def __init__(self, options: OwnTracksOptions | None = None) -> None:
        del options
        self._topics = TopicPattern("owntracks/{user}/{device}")
        self._below = TopicPattern("owntracks/{user}/{device}/{name}")
        self._known: dict[str, str] = {}

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        device = self._known.get(topic) or self._device(topic)
        if not payload.strip():
            # A retained card or position is deleted so.
            return unread(device, MessageRole.DESCRIPTION, arrival, {"removed": True})
        body = read_object(payload)
        kind = body.get("_type")
        if kind == "encrypted":
            raise DialectError("payload is encrypted: what it says can be read only with the key of its owner")
        role = _ROLES.get(kind) if isinstance(kind, str) else None
        if role is None:
            raise DialectError(f"payload has no _type that OwnTracks has: it is {shown(kind)}")
        if role is _READING or role is _EVENT:
            return _position(device, role, body, arrival)
        if role is MessageRole.AVAILABILITY:
            return unread(device, role, arrival, body, {"online": False})
        return unread(device, role, arrival, body)

    def steady(self, topic: str, payload: bytes) -> SteadyPayload | None:
        """Return where a position has its numbers and its time; None of any other message."""
        body = read_object(payload) if topic in self._known else {}
        if body.get("_type") != "location":
            return None
        numbers: dict[tuple[str | int, ...], NumberForm] = {}
        for key in body:
            if key in _SAME:
                numbers[(key,)] = _PLACES.get(key) or (
                    NumberForm.NOT_NEGATIVE if key in _NEVER_NEGATIVE else NumberForm.ANY
                )
            elif key not in _KEYS:
                numbers[(key,)] = NumberForm.ANY
        return SteadyPayload(numbers, ("tst",), device_time)

    def _device(self, topic: str) -> str:
        """Return the device of a topic. Raises `DialectError` for one that is none of OwnTracks."""
        levels = self._topics.match(topic) or self._below.match(topic)
        if levels is None or levels.get("name", "cmd") not in _BELOW:
            raise DialectError(
                f"topic '{topic}' is none of OwnTracks: they are owntracks/USER/DEVICE and what is below"
            )
        if len(self._known) >= _KNOWN_TOPICS:
            self._known.clear()
        self._known[topic] = device = f"{levels['user']}/{levels['device']}"
        return device


def _position(device: str, role: MessageRole, body: Mapping[str, Any], arrival: Arrival) -> DialectMessage:
    if body.get("tst") is None:
        raise DialectError(f"a {body['_type']} has no tst: when it was is not known")
    at_ms, source, remark = device_time(body["tst"], arrival)
    values: dict[str, Value] = {}
    extra: dict[str, object] = {}
    for key, value in body.items():
        if key in _SAME and (type(value) is int or type(value) is float):
            # As most are; less than nothing is looked at below.
            if value >= 0 or key not in _NEVER_NEGATIVE:
                values[_SAME[key]] = value
        elif key not in _KEYS:
            extra[key] = value
        else:
            name, factor = _KEYS[key]
            if key == "acc" and isinstance(value, str):
                value = value.removesuffix("m")
            read = number(value)
            # Less than nothing is how iOS says that it does not know.
            if read is not None and (read >= 0 or key not in _NEVER_NEGATIVE):
                values[name] = read if factor == 1 else scaled(read, factor, 0)
    if body["_type"] == "location":
        _check_place(values)
    if isinstance(event := body.get("event"), str):
        values["event"] = event
    if not (isinstance(tid := extra.get("tid"), str) and tid):
        # The two letters that a map shows are the last ones of the topic where none are sent.
        extra["tid"] = device[-2:]
    told = (remark,) if remark else ()
    return DialectMessage(device, role, at_ms, source, values, "", _NO_PARTS, extra, arrival.retained, told)


def _check_place(values: Mapping[str, Value]) -> None:
    latitude, longitude = values.get("latitude"), values.get("longitude")
    if type(latitude) not in _NUMBERS or not -90 <= latitude <= 90:  # type: ignore[operator]
        raise DialectError(f"a location's latitude is {shown(latitude)}")
    if type(longitude) not in _NUMBERS or not -180 <= longitude <= 180:  # type: ignore[operator]
        raise DialectError(f"a location's longitude is {shown(longitude)}")


_ROOT = "owntracks"
_LOCATION_INTERVALS = ("moveModeLocatorInterval", "locatorInterval")
"""Keys of a configuration that say, in seconds, how often a position is taken."""


class OwnTracksEncoder:
    """Writes what the app on a phone publishes: where it is, what is known without it, and answers to its commands.

    Without a position there is nothing to say. The will has neither place nor time, as Android's has none.
    """

    events: tuple[MessageTemplate, ...] = ()

    def __init__(self, options: OwnTracksOptions, kind: str) -> None:
        """Raises `DialectError` for a kind that is no position, and for a topic that would be that of several."""
        if kind == "telematics":
            raise DialectError("OwnTracks has no word for what telematics tell, such as hard_braking; use gps")
        if kind != "gps":
            raise DialectError(f"OwnTracks tells where a phone is, and a {kind} measures something else; use gps")
        self._topic = f"{_ROOT}/{options.user}/{options.device}"
        self.messages = (
            MessageTemplate(
                self._topic,
                {**_LOCATION, "topic": self._topic},
                retain=True,
                needs=("latitude", "longitude"),
            ),
        )

    def state(self, names: DeviceNames, status: Mapping[str, Any], *, is_first: bool = True) -> tuple[Publication, ...]:
        """Return nothing: a phone says where it is, and its will that it is gone."""
        return ()

    def will(self, names: DeviceNames) -> Publication:
        """Return the `lwt`, which is not retained: the last position stays."""
        return Publication(self._filled("", names), b'{"_type":"lwt"}', retain=False, qos=0)

    def command_topics(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the one topic of commands."""
        return (self._filled("/cmd", names),)

    def answer_filters(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the topics of the app's status, configuration and places."""
        return tuple(self._filled(below, names) for below in ("/status", "/dump", "/waypoints"))

    def read_command(self, names: DeviceNames, topic: str, payload: bytes) -> DialectCommand | None:
        """Return what a `cmd` asks for; None for all that the app does not heed."""
        try:
            body = read_object(payload)
        except DialectError:
            return None
        if body.get("_type") != "cmd":
            return None
        match body.get("action"):
            case "reportLocation":
                return DialectCommand("", {}, "reportLocation", wants_reading=True)
            case ("status" | "dump" | "waypoints") as action:
                return DialectCommand("", {}, action)
            case "setConfiguration":
                return _set_interval(body.get("configuration"))
        return None

    def answer(self, names: DeviceNames, command: DialectCommand, outcome: CommandOutcome) -> Iterator[Publication]:
        """Yield the position with its reason, the app's status, configuration or places; nothing for what is set."""
        match command.name:
            case "reportLocation":
                for one in outcome.readings:
                    said = orjson.dumps(orjson.loads(one.payload) | {"t": "r"})
                    yield Publication(one.topic, said, retain=True)
            case "status":
                android = {"wifi": 0, "ps": 0, "bo": 0, "loc": 0, "hib": 0}
                yield self._json("/status", {"_type": "status", "android": android}, names)
            case "dump":
                every = math.ceil(outcome.interval_s)
                configuration = {
                    "_type": "configuration",
                    "deviceId": self._filled("", names).rpartition("/")[2],
                    "tid": names["tail"],
                    "monitoring": 2,
                    "pubTopicBase": "owntracks/%u/%d",
                } | dict.fromkeys(_LOCATION_INTERVALS, every)
                yield self._json("/dump", configuration, names)
            case "waypoints":
                yield self._json("/waypoints", {"_type": "waypoints", "waypoints": []}, names)

    def _filled(self, below: str, names: DeviceNames) -> str:
        return fill_names(self._topic, names) + below

    def _json(self, below: str, body: Mapping[str, Any], names: DeviceNames) -> Publication:
        return Publication(self._filled(below, names), orjson.dumps(body), retain=False)


_TIME = {"from": "timestamp", "as": "epoch_s"}
_LOCATION: Mapping[str, Any] = {
    "_type": {"const": "location"},
    "tst": _TIME,
    "lat": "latitude",
    "lon": "longitude",
    "acc": {"from": "accuracy_m", "round": 0},
    "created_at": _TIME,
    "t": {"const": "t"},
    "conn": {"const": "m"},
    "m": 2,
    "tid": "{tail}",
    "alt": {"from": "altitude_m", "round": 0, "optional": True},
    "vel": {"from": "speed_kmh", "round": 0, "optional": True},
    "cog": {"from": "heading_deg", "round": 0, "optional": True},
    "batt": {"from": "battery_pct", "round": 0, "optional": True},
}


def _set_interval(configuration: object) -> DialectCommand | None:
    """Return how often a configuration has positions taken; None where it does not say."""
    if not isinstance(configuration, dict):
        return None
    for key in _LOCATION_INTERVALS:
        seconds = configuration.get(key)
        if type(seconds) is int and 1 <= seconds <= 7 * 86_400:
            return DialectCommand("set_interval", {"interval": f"{seconds}s"}, "setConfiguration")
    return None
