"""Azure IoT Hub: messages with a bag of properties in their topic, the twin of a device, and direct methods.

Read in Azure IoT Hub's documentation (MQTT; device twins; direct methods; message format). Quirks: a bag is split
before it is decoded, and decoded once; `$` is `%24` or stands as it is; some write `?` before the bag; topics of the
twin and of methods name no device, as the hub knows who is connected.
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote

from pydantic import Field

from edgewire.config import Config, DurationMs
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, unread
from edgewire.dialects.platform_limits import PlatformLimits
from edgewire.dialects.timed_object import reported_state, timed_reading
from edgewire.dialects.topic_check import TopicPrefix
from edgewire.dialects.topic_pattern import TopicPattern
from edgewire.dialects.values import MAX_PAYLOAD, read_json, read_object, shown

AZURE_LIMITS = PlatformLimits(
    platform="Azure IoT Hub",
    maximum_qos=1,
    payload_bytes=256 * 1024,
    client_id_bytes=128,
    keep_alive_s=(1, 1177),
    messages_per_s=None,
    names_by_client_id=True,
)
"""Limits of one connection; how many messages a hub takes in a second is a matter of its tier."""
AZURE_IOT = "azure-iot"
API_VERSION = "2021-04-12"
HUB = "$iothub"
_CREATED, _KIND = "iothub-creation-time-utc", "iothub-MessageType"
_CHARSETS: Mapping[str, str] = MappingProxyType({"utf-8": "", "utf-16": "utf-16", "utf-32": "utf-32"})
_MOST_PROPERTIES = 200
_NO_PROPERTIES: Mapping[str, str | None] = MappingProxyType({})


class AzureIotOptions(Config):
    """Says what is in and before the topics, and how devices log in to a hub."""

    prefix: TopicPrefix = ""
    """Of a broker that is not the hub, such as `{id}/`: topics of twins and methods name no device there. Without
    `{id}` in it a device is the level before `$iothub`."""
    properties: dict[str, str] = Field(default={}, max_length=32)
    """Of all messages of emulated devices, beside content type and encoding."""
    hub: str = Field(default="", max_length=250, pattern=r"^[A-Za-z0-9.-]*$")
    """Host name of the hub in user names and tokens; empty: the broker's."""
    token_lifetime: DurationMs = Field(default=3_600_000, ge=5_000, le=86_400_000)
    """Of a token that is made of a device's key (column `sas_key` of `identities`); it is renewed before it ends."""


class _Place(NamedTuple):
    """Says what a topic is for."""

    device: str
    """Empty where the topic does not say."""
    what: tuple[str, ...]
    bag: Mapping[str, str | None]


class AzureIotDecoder:
    """Reads messages of devices and to them, and where the topic names the device also twins and methods."""

    def __init__(self, options: AzureIotOptions | None = None) -> None:
        prefix = (options or AzureIotOptions()).prefix
        self._pattern = TopicPattern(f"{prefix}{{below}}", deep=frozenset({"below"})) if "{id}" in prefix else None
        before = "" if self._pattern is None else self._pattern.filter.removesuffix("#")
        self.filters = (f"{before}devices/+/messages/#", f"{before or '+/'}{HUB}/#")

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        place = _place_of(topic, self._pattern)
        if not place.device:
            raise DialectError(
                f"the topic does not say which device speaks on {HUB}: the hub knows who is connected; have the broker"
                " put a level before it, such as {id}/ by a mount point"
            )
        match place.what:
            case ["events"]:
                return _telemetry(place, payload, arrival)
            case ["devicebound"]:
                return unread(place.device, MessageRole.COMMAND, arrival, {**_any(payload), **_told(place.bag)})
            case ["twin", "GET"]:
                return unread(place.device, MessageRole.STATE, arrival, {"asks_for": "twin"})
            case ["twin", "PATCH", "properties", "reported"]:
                return reported_state(place.device, read_object(payload), arrival)
            case ["twin", "PATCH", "properties", "desired"]:
                desired = {"desired": read_object(payload), **_told(place.bag)}
                return unread(place.device, MessageRole.COMMAND, arrival, desired)
            case ["twin", "res", status]:
                return unread(place.device, MessageRole.STATE, arrival, {**_told(place.bag), "status": status})
            case ["methods", "POST", name]:
                asked = {"method": name, **_any(payload), **_told(place.bag)}
                return unread(place.device, MessageRole.COMMAND, arrival, asked)
            case ["methods", "res", status]:
                answered = {"status": status, **_any(payload), **_told(place.bag)}
                return unread(place.device, MessageRole.ANSWER, arrival, answered)
        raise DialectError(f"{'/'.join(place.what)[:80]!r} is nothing that is read of Azure IoT Hub")


@lru_cache(1 << 16)
def _place_of(topic: str, pattern: TopicPattern | None) -> _Place:
    """Return what a topic is for. Raises `DialectError`."""
    named = None if pattern is None else pattern.match(topic)
    levels = (topic if named is None else named["below"]).split("/")
    for at in range(len(levels) - 3):
        match levels[at : at + 4]:
            case ["devices", device, "messages", ("events" | "devicebound") as what] if device:
                return _Place(device, (what,), read_bag("/".join(levels[at + 4 :])))
    if HUB in levels[:-1]:
        at = levels.index(HUB)
        *below, bag = levels[at + 1 :]
        device = named["id"] if named is not None else levels[at - 1] if at else ""
        if below:
            return _Place(device, tuple(below), read_bag(bag))
    raise DialectError(f"topic '{topic}' is none of Azure IoT Hub: they are devices/ID/messages/… and {HUB}/…")


def read_bag(written: str) -> Mapping[str, str | None]:
    """Return the properties of a topic, split before they are decoded; None is one without a value.

    Raises `DialectError` for more than a message has.
    """
    text = written.removeprefix("?")
    if not text:
        return _NO_PROPERTIES
    pairs = text.split("&")
    if len(pairs) > _MOST_PROPERTIES:
        raise DialectError(f"the topic has {len(pairs):,} properties, more than the {_MOST_PROPERTIES} allowed")
    found: dict[str, str | None] = {}
    for pair in pairs:
        name, is_there, value = pair.partition("=")
        found[unquote(name)] = unquote(value) if is_there else None
    return found


def _told(bag: Mapping[str, str | None]) -> dict[str, object]:
    return {"properties": dict(bag)} if bag else {}


def _any(payload: bytes) -> dict[str, object]:
    """Return what a payload says whose form is the sender's."""
    if not payload:
        return {}
    try:
        return {"data": read_json(payload)}
    except DialectError:
        return {"bytes": len(payload)}


def _telemetry(place: _Place, payload: bytes, arrival: Arrival) -> DialectMessage:
    bag = place.bag
    if bag.get(_KIND) == "Will":
        return unread(place.device, MessageRole.AVAILABILITY, arrival, _told(bag), {"online": False})
    media_type = (bag.get("$.ct") or "application/json").partition(";")[0].strip().lower()
    if not media_type.endswith(("/json", "+json")):
        message = unread(place.device, MessageRole.READING, arrival, {"bytes": len(payload), **_told(bag)})
        return message._replace(remarks=(f"data of type {shown(media_type)} is not read",))
    found = timed_reading(place.device, read_object(_in_utf8(payload, bag.get("$.ce"))), arrival, bag.get(_CREATED))
    return found._replace(extra={**found.extra, **_told(bag)})


def _in_utf8(payload: bytes, charset: str | None) -> bytes:
    """Return a payload in the encoding that JSON has here. Raises `DialectError`."""
    name = (charset or "utf-8").strip().lower()
    if name not in _CHARSETS:
        raise DialectError(f"the content encoding is {shown(charset)}: it is one of {', '.join(_CHARSETS)}")
    if not _CHARSETS[name] or len(payload) > MAX_PAYLOAD:
        return payload
    try:
        return payload.decode(_CHARSETS[name]).encode()
    except UnicodeError:
        raise DialectError(f"payload is no {name}, which its content encoding says: {shown(payload)}") from None
