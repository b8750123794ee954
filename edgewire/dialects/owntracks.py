"""OwnTracks: positions, transitions and waypoints of phones.

Read in the OwnTracks booklet (tech/json, features/encrypt) and the source of the Android app. Quirks: the will stands
on the topic of positions and has none (mqttwarn issue 105), and Android's has no time; `vel` was in m/s in iOS 8.3.0
(ios issue 345), which nothing in the message tells; floats for whole numbers (android issue 629); `acc`, `alt`, `cog`,
`vac` and `vel` are absent when they are 0, so a missing one is no value; a recorder was sent lines and objects without
`_type` (recorder issue 374).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from edgewire.config import Config
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, Value, unread
from edgewire.dialects.times import device_time
from edgewire.dialects.topic_pattern import TopicPattern
from edgewire.dialects.values import number, read_object, shown

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
_ROLES: Mapping[str, MessageRole] = MappingProxyType(
    {
        "location": MessageRole.READING,
        "transition": MessageRole.EVENT,
        "lwt": MessageRole.AVAILABILITY,
        "waypoint": MessageRole.DESCRIPTION,
        "waypoints": MessageRole.DESCRIPTION,
        "card": MessageRole.DESCRIPTION,
        "configuration": MessageRole.ANSWER,
        "status": MessageRole.STATE,
        "cmd": MessageRole.COMMAND,
        "request": MessageRole.COMMAND,
        "steps": MessageRole.READING,
        "beacon": MessageRole.READING,
    }
)
"""`_type` -> what the message is for."""
_BELOW = ("event", "waypoint", "waypoints", "status", "dump", "cmd", "info", "step", "beacon", "request")
"""What may follow the topic of a device."""


class OwnTracksOptions(Config):
    """Has nothing that can be set: the topics are OwnTracks' own."""


class OwnTracksDecoder:
    """Reads what OwnTracks apps publish. A device is `USER/DEVICE`."""

    filters = ("owntracks/#",)

    def __init__(self, options: OwnTracksOptions | None = None) -> None:
        del options
        self._topics = TopicPattern("owntracks/{user}/{device}")
        self._below = TopicPattern("owntracks/{user}/{device}/{name}")

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        levels = self._topics.match(topic) or self._below.match(topic)
        if levels is None or levels.get("name", "cmd") not in _BELOW:
            raise DialectError(
                f"topic '{topic}' is none of OwnTracks: they are owntracks/USER/DEVICE and what is below"
            )
        device = f"{levels['user']}/{levels['device']}"
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
        if role in (MessageRole.READING, MessageRole.EVENT):
            return _position(device, role, body, arrival)
        if role is MessageRole.AVAILABILITY:
            return unread(device, role, arrival, body, {"online": False})
        return unread(device, role, arrival, body)


def _position(device: str, role: MessageRole, body: Mapping[str, Any], arrival: Arrival) -> DialectMessage:
    if body.get("tst") is None:
        raise DialectError(f"a {body['_type']} has no tst: when it was is not known")
    at_ms, source, remark = device_time(body["tst"], arrival)
    values: dict[str, Value] = {}
    for key, (name, factor) in _KEYS.items():
        if key in body and (read := number(body[key])) is not None:
            values[name] = read if factor == 1 else round(read * factor, 9)
    if body["_type"] == "location":
        _check_place(values)
    if isinstance(event := body.get("event"), str):
        values["event"] = event
    return DialectMessage(
        device,
        role,
        at_ms,
        source,
        values=values,
        extra={key: value for key, value in body.items() if key not in _KEYS} | {"tid": _tracker_id(device, body)},
        is_stale=arrival.retained,
        remarks=(remark,) if remark else (),
    )


def _check_place(values: Mapping[str, Value]) -> None:
    for name, most in (("latitude", 90), ("longitude", 180)):
        found = values.get(name)
        if not isinstance(found, int | float) or abs(found) > most:
            raise DialectError(f"a location's {name} is {shown(found)}")


def _tracker_id(device: str, body: Mapping[str, Any]) -> str:
    """Return the two letters that a map shows: the last ones of the topic where none are sent."""
    tid = body.get("tid")
    return tid if isinstance(tid, str) and tid else device[-2:]
