"""CloudEvents 1.0 (https://github.com/cloudevents/spec): the attributes of a message, and its structured JSON form.

The id is the id of the message, the same through every retry and restart; with the source it is unique.
"""

import orjson

from bridge.message.event import Address
from bridge.message.user_properties import trace_context
from bridge.routing.routed import RoutedEvent

CONTENT_TYPE = "application/cloudevents+json"


BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"


def binary_attributes(address: Address) -> list[tuple[str, str]]:
    """The attributes that are the same for every message of a topic; `id` and `time` are the message's own."""
    return [("specversion", "1.0"), ("type", address.type), ("source", address.source)]


def structured(routed: RoutedEvent, data: bytes) -> bytes:
    """The event in JSON with `data`, which is JSON, inside."""
    address = routed.address
    head = {
        "specversion": "1.0",
        "type": address.type,
        "source": address.source,
        "id": routed.message_id,
        "time": routed.timestamp,
        "datacontenttype": "application/json",
    }
    if routed.message.properties:
        head.update(trace_context(routed.message.properties))  # CloudEvents Distributed Tracing extension
    return orjson.dumps(head)[:-1] + b',"data":' + data + b"}"
