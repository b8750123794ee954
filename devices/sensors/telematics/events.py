"""The types of driving events, and how each is detected.

A new type is one function and one entry of `EVENT_TYPES`: the function says in which rows the event holds, and its
attributes there, which become fields of the message.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from devices.world.random import Flags, Floats, Ints
from devices.world.vehicles.vehicles import Motion, PeakAcceleration
from devices.world.weather import Weather
from edgewire.config import Config, DurationMs

G_MS2 = 9.80665
MPH = 0.44704
"""Metres a second in a mile an hour."""
# Teltonika takes no harsh event below 10 km/h.
_MOVING_MS = 10 / 3.6
_LATE_FROM_H, _LATE_TO_H = 23.0, 5.0


class Thresholds(Config):
    """Thresholds from which on something is an event."""

    braking_g: float = Field(default=0.28, gt=0)
    """Hard braking, in g; Teltonika's default is 2.7 m/s²."""
    lateral_g: float = Field(default=0.35, gt=0)
    """Aggressive turn, in g; Teltonika's default is 3.4 m/s²."""
    over_speed_mph: float = Field(default=5, gt=0)
    """Speeding: above the limit by more than this."""
    speeding_for: DurationMs = Field(default=10_000, ge=0)
    """Speeding: for as long as this."""
    following_s: float = Field(default=1.0, gt=0)
    """Tailgating: less time than this to the vehicle ahead; two seconds are advised."""


@dataclass(frozen=True, slots=True)
class DrivingState:
    """Hold all that an event can depend on; one value a row."""

    thresholds: Thresholds
    moving: Motion
    peak: PeakAcceleration
    """The harshest since the last report."""
    over_limit_mph: Floats
    """Speed above the limit of the road."""
    lasting_over_mph: Floats
    """The lesser of that now and `speeding_for` ago."""
    headway_s: Floats
    """Time gap to the vehicle ahead."""
    air: Weather
    density: Floats
    hour: Floats
    """Local time of day."""
    times: Ints


Attributes = dict[str, Floats]
Detection = tuple[Flags, Attributes]


@dataclass(frozen=True, slots=True)
class EventType:
    """A type of event. The heaviest that holds is the message's `event_type`; all add to the risk."""

    name: str
    weight: float
    detect: Callable[[DrivingState], Detection]


def hard_braking(state: DrivingState) -> Detection:
    """Detect a deceleration above the threshold since the last report."""
    braking = np.round(state.peak.braking_ms2 / G_MS2, 2)
    return braking >= state.thresholds.braking_g, {"braking_g": braking}


def aggressive_turn(state: DrivingState) -> Detection:
    """Detect a lateral acceleration above the threshold since the last report."""
    lateral = np.round(np.maximum(state.peak.lateral_ms2, state.moving.lateral_ms2) / G_MS2, 2)
    return lateral >= state.thresholds.lateral_g, {"lateral_g": lateral}


def tailgating(state: DrivingState) -> Detection:
    """Detect less time to the vehicle ahead than the threshold."""
    distance = np.round(state.headway_s * state.moving.speed_ms, 1)
    near = state.headway_s < state.thresholds.following_s
    return near & (state.moving.speed_ms >= _MOVING_MS), {"following_distance_m": distance}


def speeding(state: DrivingState) -> Detection:
    """Detect a speed above the road's limit by more than the threshold, for a while already."""
    over = np.maximum(state.over_limit_mph, 0).round(1)
    return state.lasting_over_mph > state.thresholds.over_speed_mph, {"over_speed_mph": over}


def late_night_driving(state: DrivingState) -> Detection:
    """Detect driving from 23 to 5 h, local time."""
    late = (state.hour >= _LATE_FROM_H) | (state.hour < _LATE_TO_H)
    return late & (state.moving.speed_ms >= _MOVING_MS), {}


EVENT_TYPES = (
    EventType("hard_braking", 5.0, hard_braking),
    EventType("aggressive_turn", 4.0, aggressive_turn),
    EventType("tailgating", 3.0, tailgating),
    EventType("speeding", 2.0, speeding),
    EventType("late_night_driving", 1.0, late_night_driving),
)
PING = "ping"
"""What a report without any event is called."""
