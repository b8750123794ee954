"""Names what an event had in MQTT and its body does not show: the topic, and of bytes the user properties too."""

import re
from urllib.parse import quote

from bridge.message.event import Event
from bridge.message.user_properties import load_properties

_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_MOST = 32
_LONGEST = 4_000
"""Bytes of all values together: servers limit what they take of headers."""


def mqtt_attributes(event: Event) -> list[tuple[str, str]]:
    """Return names and values; none of a message in the format of the contract, whose topic says nothing more.

    A user property that would make them too many or too long is left out, and so is one whose name has no letter.
    """
    if not event.topic_info.is_foreign:
        return []
    found = [("mqtt_topic", event.message.topic)]
    if event.is_raw and event.message.properties:
        size = 0
        for name, value in load_properties(event.message.properties).user[:_MOST]:
            key = _NOT_IN_NAMES.sub("_", name.lower()).strip("_")
            size += len(key) + len(value.encode())
            if key and size <= _LONGEST:
                found.append((f"mqtt_user_{key}", value))
    return found


def http_attributes(event: Event) -> dict[str, str]:
    """Return the same as headers of HTTP, in which what is outside ASCII is percent-encoded."""
    return {
        name.replace("_", "-"): quote(value, safe="/ !#$&'()*+,:;=?@[]~|<>{}^`\"")
        for name, value in mqtt_attributes(event)
    }
