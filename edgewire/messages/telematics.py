"""Telematics unit of a vehicle: driving events and pings."""

from typing import Annotated, Literal

from pydantic import Field

from edgewire.config_errors import text_matching
from edgewire.messages.base import EXAMPLE_TIME, Examples, Measurement, UtcTime, example_head
from edgewire.messages.gps import Latitude, Longitude

G = Annotated[float, Field(ge=0, le=10)]


class TelematicsEvent(Measurement):
    """One event of a driver's trip. `event_type` is the gravest of the `events` that hold at once.

    Known types: hard_braking, aggressive_turn, speeding, tailgating, late_night_driving, ping. The set is open:
    a new type brings its own attributes, which are kept.
    """

    event_id: Annotated[str, text_matching(r"^[0-9a-f]{32}$", "32 hexadecimal digits")]
    """A UUID as 32 hexadecimal digits."""
    driver_id: str
    trip_id: str
    ts: UtcTime
    """The same instant as `timestamp`, under the name that telematics consumers know."""
    event_type: Annotated[
        str, text_matching(r"^[a-z][a-z0-9_]*$", "lower-case letters, digits and '_', a letter first")
    ]
    events: list[str] = []
    """Every type that holds at this instant, gravest first."""
    latitude: Latitude | None
    longitude: Longitude | None
    speed_mph: Annotated[float, Field(ge=0, le=250)]
    heading_deg: Annotated[int, Field(ge=0, le=359)]
    period_minute: Annotated[int, Field(ge=0)]
    """Whole minutes since the unit was powered on; in an export of one that always ran, since midnight UTC."""
    braking_g: G | None = None
    lateral_g: G | None = None
    over_speed_mph: Annotated[float, Field(ge=0)] | None = None
    following_distance_m: Annotated[float, Field(ge=0)] | None = None
    weather: Literal["sunny", "rainy", "foggy"] | None = None
    road_type: Literal["city", "highway", "rural"] | None = None
    traffic_density: Annotated[float, Field(ge=0, le=1)] | None = None
    time_of_day: Literal["rush_hour", "late_night", "daytime", "evening"] | None = None
    battery_v: Annotated[float, Field(ge=0, le=60)] | None = None
    signal_dbm: Annotated[int, Field(ge=-150, le=0)] | None = None
    risk_label: Literal["safe", "risky"] | None = None
    """Ground truth: whether this record shows risky driving."""


TELEMATICS_EXAMPLES: Examples = (
    example_head("telematics-0007", 58)
    | {
        "event_id": "5f0c1d0b2a9e4c6f8b7d3e1a90c4f2d6",
        "driver_id": "D0007",
        "trip_id": "D0007-0003",
        "ts": EXAMPLE_TIME,
        "event_type": "hard_braking",
        "events": ["hard_braking", "tailgating"],
        "latitude": 48.85661,
        "longitude": 2.35222,
        "speed_mph": 19.7,
        "heading_deg": 273,
        "period_minute": 14,
        "braking_g": 0.52,
        "following_distance_m": 6.1,
        "weather": "rainy",
        "road_type": "city",
        "traffic_density": 0.64,
        "time_of_day": "rush_hour",
        "risk_label": "risky",
    },
)
