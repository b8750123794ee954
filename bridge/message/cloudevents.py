"""Makes CloudEvents of events: in binary form as headers of HTTP, in structured form as JSON."""

import base64

import orjson

from bridge.message.event import Event
from bridge.message.user_properties import trace_context
from edgewire.clock import iso_ms
from edgewire.messages.cloudevents import DATA_CONTENT_TYPE, topic_attributes


def binary_headers(event: Event) -> dict[str, str]:
    """Return the attributes of an event as headers."""
    attributes = topic_attributes(event.source, event.topic_info.type)
    headers = {f"ce-{name}": value for name, value in attributes.items()}
    headers |= {"ce-id": event.message_id, "ce-time": event.timestamp}
    if event.expires_ms is not None:
        headers["ce-expirytime"] = iso_ms(event.expires_ms)
    return headers


def structured(event: Event, data: bytes) -> bytes:
    """Return the event in JSON with `data` inside, which is JSON, or bytes that may be anything."""
    head = topic_attributes(event.source, event.topic_info.type) | {
        "id": event.message_id,
        "time": event.timestamp,
        "datacontenttype": event.content_type or DATA_CONTENT_TYPE,
    }
    if event.expires_ms is not None:
        head["expirytime"] = iso_ms(event.expires_ms)  # CloudEvents Expiry Time extension
    if event.message.properties:
        head.update(trace_context(event.message.properties))  # CloudEvents Distributed Tracing extension
    if event.topic_info.is_foreign:
        head["subject"] = event.message.topic
    if event.is_raw:
        return orjson.dumps(head | {"data_base64": base64.b64encode(data).decode()})
    return orjson.dumps(head)[:-1] + b',"data":' + data + b"}"
