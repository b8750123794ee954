"""ThingsBoard: what devices say to it by themselves, or a gateway for many, with keys and values in JSON.

Read in ThingsBoard's documentation (MQTT device API; gateway API) and in the source of its transport (topics; short
topics `v2/…`; how JSON is read). Quirks: `v1/devices/me/…` names no device, as ThingsBoard knows it by its access
token; `ts` without `values` is a key as any other; a gateway's telemetry is a list for each device; one attribute is
answered as `value` where several are `values`; the topic of attributes goes both ways.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from edgewire.config import Config
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, TimeSource, unread
from edgewire.dialects.plain_values import plain_values
from edgewire.dialects.reading_lists import MAX_READINGS
from edgewire.dialects.times import device_instant
from edgewire.dialects.topic_check import TopicPrefix
from edgewire.dialects.topic_pattern import TopicPattern
from edgewire.dialects.values import read_json, read_object, shown

DEVICE_API, GATEWAY_API = "v1/devices/me", "v1/gateway"
_SHORT_API = "v2"
_APIS = tuple(tuple(api.split("/")) for api in (DEVICE_API, GATEWAY_API, _SHORT_API))
_LONG_NAMES: Mapping[str, str] = {"t": "telemetry", "a": "attributes"}
_LONGEST_NAME = 255
"""Of a device, as in ThingsBoard's database."""


class ThingsBoardOptions(Config):
    """Says what is before the topics, on a broker that is not ThingsBoard itself."""

    prefix: TopicPrefix = ""
    """Such as `{id}/`, which brokers call a mount point. With names in braces: `{id}`, `{site}`, `{kind}`, `{mac}`.
    Without `{id}` in it a device is the level before `v1`."""


class _Place(NamedTuple):
    """Says what a topic is for."""

    is_gateway: bool
    device: str
    """Empty where the topic does not say."""
    what: tuple[str, ...]
    """The levels behind those of the API."""


class ThingsBoardDecoder:
    """Reads what devices and gateways publish, and what ThingsBoard asks of them."""

    filters: tuple[str, ...] = (f"+/{DEVICE_API}/#", f"{DEVICE_API}/#", f"{GATEWAY_API}/#", f"+/{_SHORT_API}/#")

    def __init__(self, options: ThingsBoardOptions | None = None) -> None:
        prefix = (options or ThingsBoardOptions()).prefix
        self._pattern = TopicPattern(f"{prefix}{{below}}", deep=frozenset({"below"})) if "{id}" in prefix else None
        if self._pattern is not None:
            self.filters = tuple(
                self._pattern.filter.removesuffix("#") + f"{api}/#" for api in (DEVICE_API, GATEWAY_API, _SHORT_API)
            )

    def split_message(self, topic: str, payload: bytes) -> list[bytes]:
        """Return a payload for each device and reading, or this one alone where it has one or is not as it must be."""
        try:
            place = _place_of(topic, self._pattern)
            body = read_json(payload) if place.what[0] in ("telemetry", "attributes") and len(place.what) == 1 else None
        except DialectError:
            return [payload]
        parts: list[Any] = []
        if not place.is_gateway:
            parts = body if place.what == ("telemetry",) and isinstance(body, list) else []
        elif isinstance(body, dict) and place.what == ("telemetry",):
            parts = [{name: [one]} for name, told in body.items() if isinstance(told, list) for one in told]
            parts += [{name: told} for name, told in body.items() if not isinstance(told, list)]
        elif isinstance(body, dict) and not _is_from_server(body):
            parts = [{name: told} for name, told in body.items()]
        # One part of several devices: the others have told nothing.
        is_whole = len(parts) == len(body) == 1 if isinstance(body, dict) else len(parts) == 1
        return [payload] if is_whole or not 0 < len(parts) <= MAX_READINGS else [orjson.dumps(one) for one in parts]

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        place = _place_of(topic, self._pattern)
        return (_of_gateway if place.is_gateway else _of_device)(place, payload, arrival)


@lru_cache(1 << 16)
def _place_of(topic: str, pattern: TopicPattern | None) -> _Place:
    """Return what a topic is for. Raises `DialectError`."""
    named = None if pattern is None else pattern.match(topic)
    levels = (topic if named is None else named["below"]).split("/")
    for api in _APIS:
        for at in range(len(levels) - len(api)):
            if tuple(levels[at : at + len(api)]) == api:
                device = named["id"] if named is not None else levels[at - 1] if at else ""
                what = tuple(levels[at + len(api) :])
                if api == (_SHORT_API,):
                    what = _long_names(what)
                if what[0] and all(what):
                    return _Place("/".join(api) == GATEWAY_API, device, what)
    raise DialectError(
        f"topic '{topic}' is none of ThingsBoard: they have {DEVICE_API}/telemetry, {GATEWAY_API}/telemetry and others"
        " of these"
    )


def _long_names(what: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is behind `v2` as it is called in `v1`; `p` is protobuf and stays, `j` is JSON and does not."""
    match what:
        case [("t" | "a") as name]:
            return (_LONG_NAMES[name],)
        case [("t" | "a") as name, "j"]:
            return (_LONG_NAMES[name],)
        case ["r", ("req" | "res") as way, *rest] if rest:
            return ("rpc", {"req": "request", "res": "response"}[way], rest[-1])
        case ["a", ("req" | "res") as way, *rest] if rest:
            return ("attributes", {"req": "request", "res": "response"}[way], rest[-1])
    return what


def _is_from_server(body: Mapping[str, Any]) -> bool:
    """Return whether attributes are those that ThingsBoard tells a gateway of one of its devices."""
    return body.keys() == {"device", "data"} and isinstance(body["device"], str)


def _of_device(place: _Place, payload: bytes, arrival: Arrival) -> DialectMessage:
    device = place.device
    if not device:
        raise DialectError(
            f"the topic does not say which device speaks on {DEVICE_API}: ThingsBoard knows it by its access token;"
            " have the broker put a level before it, such as {id}/ by a mount point"
        )
    match place.what:
        case ["telemetry"]:
            return _telemetry(device, read_json(payload), arrival)
        case ["attributes"]:
            values, extra = plain_values(read_object(payload))
            return unread(device, MessageRole.STATE, arrival, extra, values)
        case ["attributes", "request", _]:
            return unread(device, MessageRole.STATE, arrival, {"asks_for": read_object(payload)})
        case ["attributes", "response", _]:
            return unread(device, MessageRole.COMMAND, arrival, read_object(payload))
        case ["rpc", "request", number]:
            return unread(device, MessageRole.COMMAND, arrival, {**_object(payload), "request": number})
        case ["rpc", "response", number]:
            return unread(device, MessageRole.ANSWER, arrival, {**_object(payload), "request": number})
        case ["claim" | "provision"]:
            # What it says is a secret.
            return unread(device, MessageRole.STATE, arrival, {place.what[0]: True})
    raise DialectError(f"{'/'.join(place.what)[:80]!r} is nothing that is read of ThingsBoard's device API, in JSON")


def _object(payload: bytes) -> dict[str, Any]:
    body = read_json(payload)
    return body if isinstance(body, dict) else {"data": body}


def _telemetry(device: str, body: Any, arrival: Arrival) -> DialectMessage:
    """Return one reading, with its time where it has one. Raises `DialectError`."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if body == []:
        raise DialectError("telemetry is an empty list: there is no reading in it")
    if isinstance(body, list):
        raise DialectError(
            f"{len(body):,} readings in one message, which were not taken apart as it came: a bridge does that with up"
            f" to {MAX_READINGS:,}, for a subscription with decode: thingsboard"
        )
    if not isinstance(body, dict):
        raise DialectError(f"telemetry is {shown(body)}, and no object of keys and values")
    at_ms, source = arrival.received_ms, TimeSource.ARRIVAL
    remarks: tuple[str, ...] = ()
    rest: dict[str, object] = {}
    if "ts" in body and "values" in body:
        inner, ts = body["values"], body["ts"]
        if not isinstance(inner, dict) or type(ts) is not int or not 0 <= ts < 1 << 63:
            raise DialectError(f"telemetry is {shown(body)}: ts is a number of milliseconds, and values an object")
        rest = {key: value for key, value in body.items() if key not in ("ts", "values")}
        at_ms, source, told = device_instant(ts, ts, arrival)
        remarks = (told,) if told else ()
        body = inner
    values, extra = plain_values(body)
    extra = rest | extra
    return DialectMessage(device, MessageRole.READING, at_ms, source, values, "", {}, extra, arrival.retained, remarks)


def _of_gateway(place: _Place, payload: bytes, arrival: Arrival) -> DialectMessage:
    body = read_object(payload)
    match place.what:
        case ["telemetry"]:
            name, told = _only_device(body)
            if not isinstance(told, list):
                raise DialectError(f"telemetry of {name!r} is {shown(told)}: a gateway's is a list for each device")
            return _telemetry(name, told, arrival)
        case ["attributes"] if not _is_from_server(body):
            name, told = _only_device(body)
            if not isinstance(told, dict):
                raise DialectError(f"attributes of {name!r} are {shown(told)}, and no object of keys and values")
            values, extra = plain_values(told)
            return unread(name, MessageRole.STATE, arrival, extra, values)
        case [("connect" | "disconnect") as what]:
            name = _device_of(body)
            return unread(name, MessageRole.AVAILABILITY, arrival, _without_device(body), {"online": what == "connect"})
        case ["attributes"] | ["attributes", "response"]:
            return unread(_device_of(body), MessageRole.COMMAND, arrival, _without_device(body))
        case ["attributes", "request"]:
            return unread(_device_of(body), MessageRole.STATE, arrival, {"asks_for": _without_device(body)})
        case ["rpc"]:
            # Only the answer has the number of the request beside the device.
            role = MessageRole.ANSWER if "id" in body else MessageRole.COMMAND
            return unread(_device_of(body), role, arrival, _without_device(body))
        case ["claim"]:
            name, _ = _only_device(body)
            return unread(name, MessageRole.STATE, arrival, {"claim": True})
    raise DialectError(f"{'/'.join(place.what)[:80]!r} is nothing that is read of ThingsBoard's gateway API, in JSON")


def _only_device(body: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the device of a gateway's message, and what is told of it. Raises `DialectError`."""
    if len(body) != 1:
        raise DialectError(
            f"the message tells of {len(body):,} devices: a bridge takes up to {MAX_READINGS:,} readings of them apart"
            " as they come, for a subscription with decode: thingsboard"
        )
    ((name, told),) = body.items()
    return _checked_name(name), told


def _device_of(body: Mapping[str, Any]) -> str:
    return _checked_name(body.get("device"))


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise DialectError(f"the device is {shown(name)}: its name is a text of 1 to {_LONGEST_NAME} letters")
    return name


def _without_device(body: Mapping[str, Any]) -> dict[str, object]:
    return {key: value for key, value in body.items() if key != "device"}
