"""People counter at a shop door: visits, single crossings, and counts per interval."""

from typing import Annotated, Literal

from pydantic import Field

from edgewire.config_errors import text_matching
from edgewire.messages.base import EXAMPLE_TIME, Examples, Measurement, UtcTime, example_head

Weekday = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
TimeSlot = Annotated[
    str, text_matching(r"^\d\d:\d\d–\d\d:\d\d$", "two times of day, as 07:00–09:59"), Field(examples=["07:00–09:59"])
]
Count = Annotated[int, Field(ge=0)]


class FootTrafficSession(Measurement):
    """One visit, reported when the visitor leaves; weekday and slot are those of the entry."""

    event_type: Literal["foot_traffic"]
    customer_id: Annotated[str, text_matching(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", "a UUID in lower case")]
    entry_time: UtcTime
    exit_time: UtcTime
    trip_duration_minutes: Annotated[float, Field(ge=0)]
    """From the entry to the exit; emulated counters round to whole minutes."""
    weekday: Weekday
    time_slot: TimeSlot


SESSION_EXAMPLES: Examples = (
    example_head("people-0001", 40)
    | {
        "event_type": "foot_traffic",
        "customer_id": "3b9f6f0e-6d5c-4b57-9a51-3a1f0c2a7d44",
        "entry_time": "2026-03-02T07:52:30.000Z",
        "exit_time": EXAMPLE_TIME,
        "trip_duration_minutes": 22,
        "weekday": "Monday",
        "time_slot": "07:00–09:59",
    },
)


class FootTrafficCrossing(Measurement):
    """One person through the door, in either direction."""

    event_type: Literal["entry", "exit"]
    time: UtcTime
    weekday: Weekday
    time_slot: TimeSlot


CROSSING_EXAMPLES: Examples = (
    example_head("people-0001", 39)
    | {"event_type": "exit", "time": EXAMPLE_TIME, "weekday": "Monday", "time_slot": "07:00–09:59"},
)


class FootTrafficCount(Measurement):
    """What the counter saw in one interval and since its day began."""

    event_type: Literal["count"]
    interval_s: Annotated[float, Field(gt=0)]
    entries: Count
    exits: Count
    total_entries: Count
    """Since local midnight."""
    total_exits: Count
    occupancy: int
    """Entries less exits since local midnight; counting errors let it drift, below zero too, as on real counters."""


COUNT_EXAMPLES: Examples = (
    example_head("people-0001", 41)
    | {
        "event_type": "count",
        "interval_s": 300.0,
        "entries": 4,
        "exits": 3,
        "total_entries": 61,
        "total_exits": 48,
        "occupancy": 13,
    },
)
