"""CloudEvents 1.0 on MQTT: structured in JSON on any version, and binary on MQTT 5, with the attributes as properties.

Read in the CloudEvents specification 1.0.2 (MQTT protocol binding, JSON event format). Quirks: the Content Type says
whether a message of MQTT 5 is structured, and one of 3.1.1 always is; the binary form has no `ce` before the names of
its attributes; the specification's own sample repeats `datacontenttype` as a user property, where the Content Type
counts. A list of events in one message, the batch of other bindings, is taken apart into one message for each.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Literal

import orjson

from edgewire.config import Config
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, Value
from edgewire.dialects.cbor import read_cbor
from edgewire.dialects.encoder import DividedPayload, MessageTemplate
from edgewire.dialects.kind_fields import event_mapping, kind_fields
from edgewire.dialects.plain_values import plain_value, plain_values
from edgewire.dialects.readings_encoder import ReadingsEncoder
from edgewire.dialects.times import device_time
from edgewire.dialects.topic_check import TopicTemplate
from edgewire.dialects.values import MAX_PAYLOAD, read_json, read_text, shown
from edgewire.messages import Channel
from edgewire.messages.cloudevents import CONTENT_TYPE, DATA_CONTENT_TYPE
from edgewire.messages.topics import ROOT

MAX_EVENTS = 1000
"""In one message."""
_FAMILY = "application/cloudevents"
"""What the Content Type of all structured messages begins with."""
_REQUIRED = ("specversion", "id", "source", "type")
_OWN = frozenset({"specversion", "source", "time", "datacontenttype", "data", "data_base64"})
"""Attributes that are not told beside the values: they are told elsewhere."""
_LONGEST = 2000
_MOST_ATTRIBUTES = 100
_USER_INFO = re.compile(r"(?<=//)[^/@]*@")


class CloudEventsOptions(Config):
    """Says what names the device, and where and how emulated devices publish."""

    device: Literal["source", "subject"] = "source"
    """The attribute that names the device: an event without a `subject` is refused where it is that."""
    mode: Literal["structured", "binary"] = "structured"
    """In which emulated devices write; `binary` on a connection of MQTT 5, and structured on one of 3.1.1."""
    topic: TopicTemplate = "cloudevents/{id}/{kind}"
    """Of emulated devices, with names in braces: `{id}`, `{site}`, `{kind}`, `{mac}`."""
    source: TopicTemplate = "/{id}"
    """Of the events of emulated devices, likewise."""


class _EventSplitter:
    """Takes lists of events apart."""

    def split_payload(self, payload: bytes) -> list[bytes]:
        """Return each event of a list, or this payload alone where it is none, or has more than are allowed."""
        if not payload.lstrip().startswith(b"["):
            return [payload]
        try:
            events = read_json(payload)
        except DialectError:
            return [payload]
        if not 1 <= len(events) <= MAX_EVENTS or not all(isinstance(one, dict) for one in events):
            return [payload]
        return [orjson.dumps(one) for one in events]


class CloudEventsDecoder:
    """Reads events. A device is the source of its events without slashes around, or their subject."""

    filters = ("cloudevents/#",)
    lists = _EventSplitter()
    reads_properties = True

    def __init__(self, options: CloudEventsOptions | None = None) -> None:
        self._by = (options or CloudEventsOptions()).device

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what an event says. Raises `DialectError`."""
        media_type = arrival.content_type.partition(";")[0].strip().lower()
        user = dict(arrival.user) if arrival.user else {}
        if not media_type.startswith(_FAMILY) and "specversion" in user:
            event: Mapping[str, Any] = user
            read = _checked(event)
            # The specification's sample has it as a property too, which may differ.
            values, extra, remark = _data(payload, media_type)
        else:
            event = _structured(payload, media_type)
            read = _checked(event)
            values, extra, remark = _structured_data(event)
        named = read["source"] if self._by == "source" else event.get("subject")
        if not isinstance(named, str) or not named:
            raise DialectError("the event has no subject, which is to name the device: see the option device")
        at_ms, time_source, told = device_time(event.get("time"), arrival)
        for name, value in event.items():
            if name not in _OWN and value is not None:
                extra[name] = value
        role = MessageRole.EVENT if read["type"].rpartition(".")[2] in ("event", "events") else MessageRole.READING
        device = _USER_INFO.sub("", named).strip("/") or named
        remarks = tuple(one for one in (told, remark, *_odd(event)) if one)
        return DialectMessage(device, role, at_ms, time_source, values, "", {}, extra, arrival.retained, remarks)


def _odd(event: Mapping[str, Any]) -> list[str]:
    version = event["specversion"]
    return [] if version == "1.0" else [f"an event of version {shown(version)} is read as one of 1.0"]


def _structured(payload: bytes, media_type: str) -> dict[str, Any]:
    """Return the event that a payload is. Raises `DialectError`."""
    if media_type.startswith(_FAMILY) and not media_type.endswith("json"):
        raise DialectError(f"the event is written as {shown(media_type)}, and {CONTENT_TYPE} is what is read")
    try:
        body = read_json(payload)
    except DialectError as error:
        if media_type.startswith(_FAMILY) or payload.lstrip()[:1] == b"{":
            raise
        raise DialectError(f"message is no CloudEvent: it has no property specversion, and its {error}") from None
    if isinstance(body, list):
        raise DialectError(
            f"a list of {len(body):,} events in one message, which were not taken apart as it came: a bridge does that,"
            f" for a subscription with decode: cloudevents and up to {MAX_EVENTS:,} events"
        )
    if not isinstance(body, dict) or "specversion" not in body:
        raise DialectError(
            f"message is no CloudEvent: it has no specversion, neither as property nor in {shown(payload)}"
        )
    return body


def _checked(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes that an event must have. Raises `DialectError`."""
    if len(event) > _MOST_ATTRIBUTES:
        raise DialectError(f"the event has {len(event):,} attributes, more than the {_MOST_ATTRIBUTES} allowed")
    found: dict[str, str] = {}
    for name in _REQUIRED:
        value = event.get(name)
        if not isinstance(value, str) or not value or len(value) > _LONGEST:
            what = "has no" if value is None or value == "" else f"has {shown(value)} for its"
            raise DialectError(f"the event {what} {name}, which is a text that each event has")
        found[name] = value
    if not found["specversion"].startswith("1."):
        raise DialectError(f"the event is of CloudEvents {shown(found['specversion'])}, and 1.0 is read")
    return found


_Read = tuple[dict[str, Value], dict[str, object], str]
"""Values, what is none, and a remark."""


def _structured_data(event: Mapping[str, Any]) -> _Read:
    media_type = event.get("datacontenttype") or DATA_CONTENT_TYPE
    if not isinstance(media_type, str):
        raise DialectError(f"datacontenttype is {shown(media_type)}, and no text")
    if event.get("data_base64") is None:
        data = event.get("data")
        # In JSON, data of any other type is a text.
        return _of_json(data) if not isinstance(data, str) else _of_text(data, media_type)
    if event.get("data") is not None:
        raise DialectError("the event has data and data_base64: one of them is allowed")
    try:
        return _data(base64.b64decode(event["data_base64"], validate=True), media_type)
    except (TypeError, ValueError, binascii.Error):
        raise DialectError(f"data_base64 is no base64: {shown(event['data_base64'])}") from None


def _data(payload: bytes, media_type: str) -> _Read:
    """Return what data of a type says."""
    if len(payload) > MAX_PAYLOAD:
        raise DialectError(f"payload of {len(payload):,} bytes is longer than the {MAX_PAYLOAD:,} allowed")
    media_type = media_type.partition(";")[0].strip().lower()
    if not payload:
        return {}, {}, ""
    if media_type in ("", "text/json") or media_type.endswith(("/json", "+json")):
        return _of_json(read_json(payload))
    if media_type.endswith(("/cbor", "+cbor")):
        return _of_json(read_cbor(payload))
    if media_type.startswith("text/"):
        return _of_text(read_text(payload), media_type)
    kept = base64.b64encode(payload).decode()
    return {}, {"data_base64": kept}, f"data of type {shown(media_type)} is kept as it is"


def _of_json(data: Any) -> _Read:
    if isinstance(data, dict):
        values, extra = plain_values(data)
        return values, extra, ""
    if isinstance(data, list):
        return {}, {"data": data}, ""
    value = plain_value(data)
    return ({} if value is None else {"value": value}), {}, ""


def _of_text(data: str, media_type: str) -> _Read:
    if media_type.partition(";")[0].strip().lower() != "text/plain":
        return _of_json(data)
    try:
        return _of_json(float(data))
    except ValueError:
        return _of_json(data)


class CloudEventsEncoder(ReadingsEncoder):
    """Writes an event for each reading: who measured is its source, kind and channel are its type.

    Its id is boot and number of the reading, so that it is the same however often it is sent.
    """

    def __init__(self, options: CloudEventsOptions, kind: str) -> None:
        """Raises `DialectError` for a kind without values."""
        self._options = options
        measured = {field.name: field.name for field in kind_fields(kind, "CloudEvents")}
        happened = event_mapping(kind)
        events = [self._template(Channel.EVENT, happened, MessageRole.EVENT)] if happened else []
        super().__init__([self._template(Channel.TELEMETRY, measured, MessageRole.READING)], events)

    def _template(self, channel: Channel, data: Mapping[str, Any], role: MessageRole) -> MessageTemplate:
        event = {
            "id": ["boot", "seq"],
            "specversion": {"const": "1.0"},
            "source": self._options.source,
            "type": f"{ROOT}.{{kind}}.{channel.value}",
            "time": "timestamp",
            "datacontenttype": {"const": DATA_CONTENT_TYPE},
            "data": dict(data),
        }
        return MessageTemplate(
            self._options.topic,
            event,
            role,
            properties={"content_type": CONTENT_TYPE},
            rewrite=_with_id,
            divide=_divided if self._options.mode == "binary" else None,
        )


def _with_id(payload: bytes) -> bytes:
    """Return an event whose id is one text; a template has a list of boot and number, first of all."""
    head, _, rest = payload.partition(b"]")
    return b'{"id":"%b"%b' % (head.removeprefix(b'{"id":[').replace(b",", b"-"), rest)


def _divided(payload: bytes) -> DividedPayload | None:
    """Return data and attributes of an event apart, as in the binary mode; None for what is none."""
    try:
        event = orjson.loads(payload)
        data, media_type = event.pop("data"), event.pop("datacontenttype")
    except (orjson.JSONDecodeError, AttributeError, KeyError):
        return None
    return DividedPayload(orjson.dumps(data), {"content_type": media_type, "user_property": tuple(event.items())})
