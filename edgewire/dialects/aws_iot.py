"""AWS IoT Core: telemetry on topics of one's own, and the shadows of things on those that are reserved for them.

Read in AWS IoT's developer guide (MQTT; reserved topics; device shadows; commands; lifecycle events) and in its
quotas. Quirks: what a device reports comes again in `accepted` and `documents`; `delta` and `accepted` have one
version, and come in any order; the time of a shadow is in seconds, that of lifecycle events in milliseconds.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field

from edgewire.config import Config
from edgewire.config_errors import text_matching
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, TimeSource, unread
from edgewire.dialects.platform_limits import PlatformLimits
from edgewire.dialects.timed_object import reported_state, timed_reading
from edgewire.dialects.times import device_instant
from edgewire.dialects.topic_pattern import TopicPattern
from edgewire.dialects.values import read_object, shown

AWS_LIMITS = PlatformLimits(
    platform="AWS IoT Core",
    maximum_qos=1,
    payload_bytes=128 * 1024,
    client_id_bytes=128,
    keep_alive_s=(30, 1200),
    messages_per_s=100,
    topic_bytes=256,
    topic_levels=8,
    # What names the rule of Basic Ingest does not count.
    free_levels=(("$aws/rules/", 3),),
)
"""Quotas of one connection; an account has more of them."""
_THINGS, _COMMANDS, _PRESENCE = "$aws/things/", "$aws/commands/", "$aws/events/presence/"


class AwsIotOptions(Config):
    """Says on which topics devices tell their readings, and how."""

    topic: Annotated[
        str,
        Field(min_length=1, max_length=256),
        text_matching(r"^[^+#\x00]*\{id\}[^+#\x00]*$", "a topic with {id} in it, and without + and #"),
    ] = "dt/edgefleet/{site}/{id}/{kind}"
    """Of readings, with names in braces: `{id}`, `{site}`, `{kind}`, `{mac}`."""
    readings: Literal["topic", "shadow"] = "topic"
    """Where emulated devices tell their readings: on that topic, or as what their shadow has as reported."""
    shadow: Annotated[
        str,
        text_matching(r"^[A-Za-z0-9:_-]{0,64}$", "up to 64 letters, digits and : _ -, or empty for the classic one"),
    ] = ""
    """Name of the shadow of emulated devices; empty for the classic one. Shadows of all names are read."""
    commands: bool = True
    """Whether emulated devices listen to AWS IoT Commands; an account that has none may cut them off for it."""


class AwsIotDecoder:
    """Reads telemetry, shadows, commands and lifecycle events of things. A thing is the device."""

    def __init__(self, options: AwsIotOptions | None = None) -> None:
        """Raises `DialectError` for a topic of which no pattern can be made."""
        self._pattern = TopicPattern((options or AwsIotOptions()).topic)
        self.filters = (self._pattern.filter, f"{_THINGS}+/shadow/#", f"{_COMMANDS}+/+/executions/#", f"{_PRESENCE}#")

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        if not topic.startswith("$aws/") or topic.startswith("$aws/rules/"):
            return self._telemetry(topic, payload, arrival)
        levels = topic.split("/")
        match levels:
            case ["$aws", "things", thing, "shadow", "name", name, *what] if thing and name and what:
                return _shadow(thing, name, "/".join(what), payload, arrival)
            case ["$aws", "things", thing, "shadow", *what] if thing and what:
                return _shadow(thing, "", "/".join(what), payload, arrival)
            case ["$aws", "commands", ("things" | "clients"), device, "executions", number, *what] if device and what:
                return _command(device, number, what, payload, arrival)
            case ["$aws", "events", "presence", ("connected" | "disconnected") as event, client] if client:
                return _presence(client, event, payload, arrival)
        raise DialectError(f"topic '{topic}' is none that is read of AWS IoT: shadows, commands and presence are")

    def _telemetry(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        device = _device_of(topic, self._pattern)
        if device is None:
            raise DialectError(f"topic '{topic}' is not as '{self._pattern.text}', which the option topic says")
        return timed_reading(device, read_object(payload), arrival)


@lru_cache(1 << 16)
def _device_of(topic: str, pattern: TopicPattern) -> str | None:
    found = pattern.match(topic)
    return None if found is None else found["id"]


def _shadow(thing: str, name: str, what: str, payload: bytes, arrival: Arrival) -> DialectMessage:
    sensor = {"shadow": name} if name else {}
    match what:
        case "get" | "delete":
            return unread(thing, MessageRole.STATE, arrival, {**sensor, "asks_for": what})
        case "update":
            return _updated(thing, sensor, read_object(payload), arrival)
        case "update/delta":
            body = read_object(payload)
            return unread(thing, MessageRole.COMMAND, arrival, {**sensor, **_described(body), "delta": _state(body)})
        case "update/rejected" | "get/rejected" | "delete/rejected":
            body = read_object(payload)
            code = body.get("code")
            if type(code) is not int:
                raise DialectError(f"the code of what was rejected is {shown(code)}, and no number")
            told = {key: value for key, value in body.items() if key in ("message", "clientToken")}
            return unread(thing, MessageRole.ANSWER, arrival, {**sensor, **told, "code": code})
        case "update/accepted" | "get/accepted" | "update/documents" | "delete/accepted":
            # What the platform says of the shadow, after the device has said it itself.
            body = read_object(payload)
            if what == "update/documents":
                current = body.get("current")
                body = current if isinstance(current, dict) else {}
            state = {} if what == "delete/accepted" else _state(body)
            return _with_time(unread(thing, MessageRole.STATE, arrival, {**sensor, **_described(body), **state}), body)
    raise DialectError(f"'{what[:80]}' is nothing that is read of a shadow")


def _updated(thing: str, shadow: Mapping[str, str], body: Mapping[str, Any], arrival: Arrival) -> DialectMessage:
    """Return what a device reports of itself, or an application wants of it. Raises `DialectError`."""
    state = _state(body)
    reported, desired = (state.get(key) for key in ("reported", "desired"))
    for key, told in (("reported", reported), ("desired", desired)):
        if told is not None and not isinstance(told, dict):
            raise DialectError(f"state.{key} is {shown(told)}, and no object")
    about = {**shadow, **_described(body)}
    if not isinstance(reported, dict):
        return unread(thing, MessageRole.COMMAND, arrival, {**about, "desired": desired})
    if isinstance(desired, dict):
        about["desired"] = desired
    found = reported_state(thing, reported, arrival)
    return found._replace(extra={**about, **found.extra})


def _state(body: Mapping[str, Any]) -> Mapping[str, Any]:
    state = body.get("state")
    if not isinstance(state, dict):
        raise DialectError(f"the shadow's state is {shown(state)}, and no object")
    return state


def _described(body: Mapping[str, Any]) -> dict[str, object]:
    version = body.get("version")
    if version is not None and type(version) is not int:
        raise DialectError(f"the shadow's version is {shown(version)}, and no number")
    return {key: body[key] for key in ("version", "clientToken") if body.get(key) is not None}


def _with_time(message: DialectMessage, body: Mapping[str, Any]) -> DialectMessage:
    at_s = body.get("timestamp")
    if type(at_s) is not int or not 0 <= at_s < 1 << 40:
        return message
    at_ms, source, _ = device_instant(at_s * 1000, at_s, Arrival(message.time_ms))
    return message._replace(time_ms=at_ms, time_source=source)


def _command(device: str, number: str, what: list[str], payload: bytes, arrival: Arrival) -> DialectMessage:
    match what:
        case ["request"] | ["request", _]:
            # Its format is the sender's: what is no JSON is a command all the same.
            try:
                body: dict[str, Any] = read_object(payload)
            except DialectError:
                body = {"bytes": len(payload)}
            return unread(device, MessageRole.COMMAND, arrival, {"execution": number, **body})
        case ["response", ("json" | "cbor")]:
            if what[1] == "cbor":
                return unread(device, MessageRole.ANSWER, arrival, {"execution": number, "bytes": len(payload)})
            return unread(device, MessageRole.ANSWER, arrival, {"execution": number, **read_object(payload)})
        case ["response", ("accepted" | "rejected") as verdict, *_]:
            return unread(device, MessageRole.STATE, arrival, {"execution": number, "response": verdict})
    raise DialectError(f"'{'/'.join(what)[:80]}' is nothing that is read of AWS IoT Commands")


def _presence(client: str, event: str, payload: bytes, arrival: Arrival) -> DialectMessage:
    body = read_object(payload)
    extra: dict[str, object] = {
        key: value for key, value in body.items() if key in ("disconnectReason", "clientInitiatedDisconnect")
    }
    message = unread(client, MessageRole.AVAILABILITY, arrival, extra, {"online": event == "connected"})
    at_ms = body.get("timestamp")
    if type(at_ms) is not int or not 0 <= at_ms < 1 << 50:
        return message
    placed, source, told = device_instant(at_ms, at_ms, arrival)
    is_placed = source is TimeSource.DEVICE
    return message._replace(time_ms=placed, time_source=source, remarks=() if is_placed else (told,))
