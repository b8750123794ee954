"""Says what a dialect makes of a message, and what a decoder is.

The values of a message have one name and one unit whatever dialect they came in: `temperature_c`, `speed_kmh`. What has
no value (`null`, `nan`, `unavailable`, a missing key) is left out: it is never 0 and never an error of its own.
"""

from collections.abc import Callable, Mapping
from enum import Enum, StrEnum, auto
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable
from zoneinfo import ZoneInfo

from edgewire.errors import EdgefleetError

Value = float | int | bool | str
"""A value of a device, in the unit that its name says."""


_NOTHING: Mapping[str, Any] = MappingProxyType({})


class DialectError(EdgefleetError):
    """A message is not what its dialect says it must be; says what is wrong with it."""


class MessageRole(StrEnum):
    """What a message of a device is for."""

    __hash__ = str.__hash__  # that of an enum is ten times as slow, and these are keys of what is asked every message

    READING = "reading"
    """Values that were measured."""
    EVENT = "event"
    """Something that happened."""
    AVAILABILITY = "availability"
    """Whether the device, or its gateway, is there."""
    STATE = "state"
    """What the device says of itself: uptime, radio, relays, version."""
    COMMAND = "command"
    """Something for the device to do."""
    ANSWER = "answer"
    """The device's answer to a command."""
    DESCRIPTION = "description"
    """What the device has, and in which units: no values."""


class TimeSource(StrEnum):
    """Where the time of a message is from."""

    __hash__ = str.__hash__  # see `MessageRole`

    DEVICE = "device"
    """The message has an instant, with its offset or in UTC."""
    ZONE = "zone"
    """The message has a local time, and the configuration its zone."""
    ARRIVAL = "arrival"
    """The message has no time, or one that cannot be placed: it is when it arrived."""


class Arrival(NamedTuple):
    """Says how a message arrived. A plain tuple, as is what it says: one is made for every message."""

    received_ms: int
    """Milliseconds since 1970 UTC."""
    retained: bool = False
    """Whether the broker had kept it: then it is the last known state, not a new reading."""
    zone: ZoneInfo | None = None
    """The zone of local times."""
    content_type: str = ""
    """That the message says it has, by MQTT 5, where the decoder `reads_properties`; empty where it says none."""
    user: tuple[tuple[str, str], ...] = ()
    """Its user properties, likewise."""


class DialectMessage(NamedTuple):
    """Holds what a message says."""

    device_id: str
    """The device's own name, as it stands in the topic or payload: it may hold what our ids may not."""
    role: MessageRole
    time_ms: int
    """When it was measured or said, milliseconds since 1970 UTC."""
    time_source: TimeSource
    values: Mapping[str, Value] = _NOTHING
    """By canonical name."""
    sensor: str = ""
    """Which of the device's sensors the values are of, by the name it has there; empty where they are the device's."""
    parts: Mapping[str, Mapping[str, Value]] = _NOTHING
    """The values of each sensor by its name, where a message has those of several; `values` are the device's then."""
    extra: Mapping[str, object] = _NOTHING
    """What the dialect has no canonical name for, as it came."""
    is_stale: bool = False
    """Whether these are values of the past that are shown again: retained, or out of a gateway's cache."""
    remarks: tuple[str, ...] = ()
    """What was read otherwise than it stands, and why, in words: a quirk of a firmware, an unknown unit."""


def unread(
    device_id: str,
    role: MessageRole,
    arrival: Arrival,
    extra: Mapping[str, object] | None = None,
    values: Mapping[str, Value] | None = None,
) -> DialectMessage:
    """Return a message that has no time of its own, and mostly no values."""
    received_ms, retained = arrival[:2]
    return DialectMessage(
        device_id, role, received_ms, TimeSource.ARRIVAL, values or {}, "", _NOTHING, extra or {}, retained
    )


class NumberForm(Enum):
    """Names which numbers are taken as they are, whatever they are."""

    ANY = auto()
    NOT_NEGATIVE = auto()
    NOT_MINUS_ONE = auto()
    LATITUDE = auto()
    LONGITUDE = auto()
    PRESSURE = auto()
    """From 300 to 1999, as hPa are."""


class SteadyPayload(NamedTuple):
    """Says what may differ in a payload so that another message on its topic says the same with other numbers."""

    numbers: Mapping[tuple[str | int, ...], NumberForm]
    """Path -> which numbers are taken as they are there, or not looked at; others there are another case."""
    time: tuple[str | int, ...] | None
    """Path of the time of the message; None where that of its arrival counts."""
    read_time: Callable[[Any, Arrival], tuple[int, TimeSource, str]] | None = None
    """Reads what stands there: milliseconds since 1970 UTC, where that is from, and a remark."""


class SteadyDecoder(Protocol):
    """Is a decoder that can say what may differ in payloads of a topic.

    Where it reads payloads otherwise after devices have described themselves, it has a `version` that grows then.
    """

    def steady(self, topic: str, payload: bytes) -> SteadyPayload | None:
        """Return it of a payload that it has read; None where it depends on more than that."""
        ...


class PayloadSplitter(Protocol):
    """Takes messages apart that say the readings of several devices, or several readings of one."""

    def split_payload(self, payload: bytes) -> list[bytes]:
        """Return a payload for each reading, or this one alone where it has one or is not as it must be."""
        ...


@runtime_checkable
class MessageSplitter(Protocol):
    """Takes messages apart of which the topic says what their payload is."""

    def split_message(self, topic: str, payload: bytes) -> list[bytes]:
        """Return a payload for each reading, or this one alone where it has one or is not as it must be."""
        ...


class DialectDecoder(Protocol):
    """Reads the messages of one dialect, and remembers what devices have described of themselves.

    Where a message may have several readings, it has `lists`, a `PayloadSplitter`, or is a `MessageSplitter`; where it
    reads the properties of MQTT 5, it has `reads_properties`, which is true.
    """

    @property
    def filters(self) -> tuple[str, ...]:
        """Return the topic filters that match everything this dialect publishes."""
        ...

    def decode(self, topic: str, payload: bytes, arrival: Arrival) -> DialectMessage:
        """Return what a message says. Raises `DialectError`."""
        ...
