"""Keeps the MQTT 5 properties that go with a message through the spool: content type, expiry and user properties.

As JSON, `{"content_type": …, "expiry": …, "user": [[name, value], …]}`; most messages have none and cost nothing. Of a
reading that came with others in one message it has the place among them, `"reading": [3, 6]`.
"""

import re
from typing import NamedTuple

import orjson

from edgewire.mqtt import Properties

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE_LENGTH = 512
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100}(;[\x20-\x7e]{1,200})?", re.ASCII)
_EXPIRY = b'"expiry":'
_READING = b'{"reading":'

Pairs = tuple[tuple[str, str], ...]


class UserProperties(NamedTuple):
    """Holds what a message brings besides its payload."""

    content_type: str | None
    user: Pairs
    expiry_s: int | None = None
    """Seconds after its receipt in which it is of use; the broker has taken off those it waited there."""

    def user_property(self, name: str) -> str | None:
        """Return the first user property of this name, in any case, as header names are compared."""
        wanted = name.lower()
        return next((value for key, value in self.user if key.lower() == wanted), None)

    def lookup(self, name: str) -> str | None:
        """Return what a template means by `property.NAME`: the content type, the expiry, or a user property."""
        if name == "expiry_s":
            return None if self.expiry_s is None else str(self.expiry_s)
        return self.content_type if name == "content_type" else self.user_property(name)


NO_PROPERTIES = UserProperties(None, ())


def dump_properties(properties: Properties) -> bytes | None:
    """Return the properties of a PUBLISH as they are spooled; None where there is nothing to keep."""
    content_type, user = properties.get("content_type"), properties.get("user_property")
    expiry_s = properties.get("message_expiry_interval")
    if content_type is None and expiry_s is None and not user:
        return None
    document: dict[str, object] = {"user": user or ()}
    if expiry_s is not None:
        document["expiry"] = expiry_s
    if content_type is not None:
        document["content_type"] = content_type
    return orjson.dumps(document)


def with_reading_place(dumped: bytes | None, number: int, count: int) -> bytes:
    """Return the properties of a message that is one reading, its place counted from 1, of several in one message."""
    place = b'{"reading":[%d,%d],' % (number, count)
    return place + (dumped[1:] if dumped else b'"user":[]}')


def reading_place(dumped: bytes | None) -> str:
    """Return which of several readings a message is, in words; an empty text where it came alone."""
    if not dumped or not dumped.startswith(_READING):
        return ""
    number, count = orjson.loads(dumped)["reading"]
    return f"reading {number} of {count}"


def load_properties(dumped: bytes | None) -> UserProperties:
    """Return what `dump_properties` was given."""
    if not dumped:
        return NO_PROPERTIES
    document = orjson.loads(dumped)
    user = tuple((name, value) for name, value in document["user"])
    return UserProperties(document.get("content_type"), user, document.get("expiry"))


def expires_ms(dumped: bytes | None, received_ms: int) -> int | None:
    """Return when a message is of no use any more, milliseconds since 1970 UTC; None for never, as most."""
    if not dumped or _EXPIRY not in dumped:
        return None
    expiry_s = load_properties(dumped).expiry_s
    return None if expiry_s is None else received_ms + expiry_s * 1000


def media_type(dumped: bytes | None) -> str | None:
    """Return the content type that a message says it has, where it is one that fits into any header."""
    if not dumped:
        return None
    found = load_properties(dumped).content_type
    return found if found is not None and _MEDIA_TYPE.fullmatch(found) else None


def trace_context(dumped: bytes | None) -> Pairs:
    """Return the headers of W3C Trace Context that a message brings, fit for any protocol; mostly none."""
    if not dumped:
        return ()
    properties = load_properties(dumped)
    parent, state = properties.user_property("traceparent"), properties.user_property("tracestate")
    if parent is None or not _TRACEPARENT.fullmatch(parent):
        return ()
    if state and len(state) <= _TRACESTATE_LENGTH and state.isascii() and state.isprintable():
        return ("traceparent", parent), ("tracestate", state)
    return (("traceparent", parent),)
