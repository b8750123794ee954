"""GPS unit of a vehicle: its position, as the receiver sees it."""

from typing import Annotated, Literal

from pydantic import Field

from edgewire.messages.base import Examples, Measurement, example_head

Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
HeadingDeg = Annotated[float, Field(ge=0, lt=360)]


class GpsPosition(Measurement):
    """One fix, or the lack of one (`fix` "none": position, speed and heading are null)."""

    vehicle_id: str
    fix: Literal["none", "2d", "3d"]
    latitude: Latitude | None
    longitude: Longitude | None
    altitude_m: float | None
    speed_kmh: Annotated[float, Field(ge=0, le=400)] | None
    heading_deg: HeadingDeg | None
    """Course over ground; null when too slow to tell, as receivers leave it empty."""
    hdop: Annotated[float, Field(ge=0, le=99.99)]
    """Horizontal dilution of precision; 99.99 without a fix."""
    satellites: Annotated[int, Field(ge=0, le=64)]
    """Satellites used in the fix."""
    battery_v: Annotated[float, Field(ge=0, le=60)] | None = None
    """Supply voltage in volts."""
    signal_dbm: Annotated[int, Field(ge=-150, le=0)] | None = None
    """Received signal strength of the modem in dBm."""
    weather: Literal["sunny", "rainy", "foggy"] | None = None
    """This and what follows: where the unit is told what surrounds its vehicle."""
    road_type: Literal["city", "highway", "rural"] | None = None
    traffic_density: Annotated[float, Field(ge=0, le=1)] | None = None
    time_of_day: Literal["rush_hour", "late_night", "daytime", "evening"] | None = None
    risk_label: Literal["safe", "risky"] | None = None
    """Ground truth: whether the driving since the last report was risky."""
    nmea: list[str] | None = None
    """The epoch as NMEA 0183 sentences, where the unit passes them on."""


GPS_EXAMPLES: Examples = (
    example_head("gps-0007", 4021)
    | {
        "vehicle_id": "V0007",
        "fix": "3d",
        "latitude": 48.85661,
        "longitude": 2.35222,
        "altitude_m": 38.4,
        "speed_kmh": 31.7,
        "heading_deg": 273.5,
        "hdop": 0.9,
        "satellites": 11,
        "battery_v": 13.8,
        "signal_dbm": -79,
    },
    example_head("gps-0007", 4022)
    | {
        "vehicle_id": "V0007",
        "fix": "none",
        "latitude": None,
        "longitude": None,
        "altitude_m": None,
        "speed_kmh": None,
        "heading_deg": None,
        "hdop": 99.99,
        "satellites": 2,
    },
)
