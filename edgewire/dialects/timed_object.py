"""Reads an object with values beside each other, and in one of its keys when they were measured."""

from collections.abc import Mapping
from typing import Any

from edgewire.dialects.base import Arrival, DialectMessage, MessageRole
from edgewire.dialects.plain_values import plain_values
from edgewire.dialects.times import device_time

TIME_KEY = "timestamp"
"""As the message contract has it: platforms' own times are of the arrival there."""


def timed_reading(device: str, body: Mapping[str, Any], arrival: Arrival, said_at: object = None) -> DialectMessage:
    """Return a reading at the time that the object says, or beside it `said_at`. Raises `DialectError`."""
    at_ms, source, told = device_time(body.get(TIME_KEY, said_at), arrival)
    values, extra = plain_values({key: value for key, value in body.items() if key != TIME_KEY})
    remarks = (told,) if told else ()
    return DialectMessage(device, MessageRole.READING, at_ms, source, values, "", {}, extra, arrival.retained, remarks)


def reported_state(device: str, reported: Mapping[str, Any], arrival: Arrival) -> DialectMessage:
    """Return what a device reports of itself in a shadow or a twin. Raises `DialectError`.

    What stands in objects is how the device is, as its settings are; what it measures stands beside them.
    """
    found = timed_reading(device, reported, arrival)
    return found if found.values else found._replace(role=MessageRole.STATE)
