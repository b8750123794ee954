"""Keeps the MQTT 5 properties that go with a message through the spool: content type and user properties.

As JSON, `{"content_type": …, "user": [[name, value], …]}`; most messages have none and cost nothing.
"""

import re
from typing import NamedTuple

import orjson

from edgewire.mqtt import Properties

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE_LENGTH = 512

Pairs = tuple[tuple[str, str], ...]


class UserProperties(NamedTuple):
    """Holds what a message brings besides its payload."""

    content_type: str | None
    user: Pairs

    def user_property(self, name: str) -> str | None:
        """Return the first user property of this name, in any case, as header names are compared."""
        wanted = name.lower()
        return next((value for key, value in self.user if key.lower() == wanted), None)

    def lookup(self, name: str) -> str | None:
        """Return what a template means by `property.NAME`: the content type, or a user property."""
        return self.content_type if name == "content_type" else self.user_property(name)


NO_PROPERTIES = UserProperties(None, ())


def dump_properties(properties: Properties) -> bytes | None:
    """Return the properties of a PUBLISH as they are spooled; None where there is nothing to keep."""
    content_type, user = properties.get("content_type"), properties.get("user_property")
    if content_type is None and not user:
        return None
    document: dict[str, object] = {"user": user or ()}
    if content_type is not None:
        document["content_type"] = content_type
    return orjson.dumps(document)


def load_properties(dumped: bytes | None) -> UserProperties:
    """Return what `dump_properties` was given."""
    if not dumped:
        return NO_PROPERTIES
    document = orjson.loads(dumped)
    return UserProperties(document.get("content_type"), tuple((name, value) for name, value in document["user"]))


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
