"""Edge traffic camera: what passed its line of sight since its last report."""

from typing import Annotated

from pydantic import Field

from edgewire.messages.base import Examples, Measurement, Payload, example_head

Count = Annotated[int, Field(ge=0)]
SpeedKmh = Annotated[float, Field(ge=0, le=400)]
Seconds = Annotated[float, Field(ge=0)]


class InterArrivalStats(Payload):
    """Gaps between successive vehicles (headways), in seconds; null with fewer than two vehicles."""

    mean: Seconds | None
    min: Seconds | None
    max: Seconds | None
    std: Seconds | None


class TrafficEvent(Measurement):
    """The vehicles counted in one interval. Speeds are in km/h and null when nothing passed."""

    interval_s: Annotated[float, Field(gt=0)]
    """Length of the interval that ends at `timestamp`."""
    uptime: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the interval in which the camera could see; a count of 0 with uptime 0 means blind, not empty."""
    vehicle_count: Count
    avg_speed: SpeedKmh | None
    min_speed: SpeedKmh | None
    max_speed: SpeedKmh | None
    color_counts: dict[str, Count]
    class_counts: dict[str, Count] = {}
    direction_counts: dict[str, Count] = {}
    inter_arrival_stats: InterArrivalStats
    traffic_density_score: Annotated[float, Field(ge=0, le=1)]
    """0 = empty road, 1 = jam density."""
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    """Average score of the detections; null when there were none."""


TRAFFIC_EXAMPLES: Examples = (
    example_head("camera-0003", 12)
    | {
        "interval_s": 60.0,
        "uptime": 1.0,
        "vehicle_count": 3,
        "avg_speed": 47.2,
        "min_speed": 41.0,
        "max_speed": 53.9,
        "color_counts": {"white": 2, "black": 1},
        "class_counts": {"car": 3},
        "direction_counts": {"north": 2, "south": 1},
        "inter_arrival_stats": {"mean": 14.1, "min": 6.3, "max": 21.9, "std": 7.8},
        "traffic_density_score": 0.08,
    },
    example_head("camera-0003", 13)
    | {
        "interval_s": 60.0,
        "vehicle_count": 0,
        "avg_speed": None,
        "min_speed": None,
        "max_speed": None,
        "color_counts": {},
        "inter_arrival_stats": {"mean": None, "min": None, "max": None, "std": None},
        "traffic_density_score": 0.0,
    },
)
