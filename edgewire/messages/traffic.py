"""Edge traffic camera: what passed its line of sight since its last report."""

from typing import Annotated

from pydantic import Field

from edgewire.messages.base import Measurement, Payload

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
