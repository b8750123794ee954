"""The types of driving events, and how each is detected.

A new type is one function and one entry of `EVENT_TYPES`, here or in a module of the user's (`event_module`): the
function says in which rows the event holds, and its attributes there, which become fields of the message.
"""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import isfinite

import numpy as np
from pydantic import Field

from devices.sensors.user_module import call_type, load_attribute
from devices.world.random import Flags, Floats, Hashes, Ints, extend, uniform
from devices.world.vehicles.vehicles import Motion, PeakAcceleration
from devices.world.weather import Weather
from edgewire.config import Config, DurationMs
from edgewire.errors import ConfigError
from edgewire.messages.telematics import TelematicsEvent

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
    headways: Callable[[Ints], Floats]
    """Tells the time gap (s) to the vehicle ahead in these rows: five vehicles in six stand or crawl."""
    weather: Callable[[], Weather]
    """Tells all of the weather; no type of ours asks."""
    density: Floats
    hour: Floats
    """Local time of day."""
    times: Ints
    bits: Hashes
    """Random bits of each report."""

    @property
    def headway_s(self) -> Floats:
        """Return the time gap to the vehicle ahead, in every row."""
        return self.headways(np.arange(len(self.times)))

    @property
    def air(self) -> Weather:
        """Return the weather around the vehicles."""
        return self.weather()

    def uniform(self, name: str) -> Floats:
        """Return a number in [0, 1) for each report; other names have other numbers."""
        return uniform(extend(self.bits, zlib.crc32(name.encode())))


Attributes = dict[str, Floats]
Detection = tuple[Flags, Attributes]


@dataclass(frozen=True, slots=True)
class EventType:
    """A type of event. The heaviest that holds is the message's `event_type`; all add to the risk."""

    name: str
    weight: float
    detect: Callable[[DrivingState], Detection]
    drawn: Callable[[DrivingState, Floats], Attributes] | None = None
    """The attributes of an event that its chance brings about (`event_chances`), for an excess of 1 on average."""


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
    rows = np.flatnonzero(state.moving.speed_ms >= _MOVING_MS)
    headway = state.headways(rows)
    near, distance = np.zeros(len(state.times), dtype=np.bool_), np.zeros(len(state.times))
    near[rows] = headway < state.thresholds.following_s
    distance[rows] = np.round(headway * state.moving.speed_ms[rows], 1)
    return near, {"following_distance_m": distance}


def speeding(state: DrivingState) -> Detection:
    """Detect a speed above the road's limit by more than the threshold, for a while already."""
    over = np.maximum(state.over_limit_mph, 0).round(1)
    return state.lasting_over_mph > state.thresholds.over_speed_mph, {"over_speed_mph": over}


def late_night_driving(state: DrivingState) -> Detection:
    """Detect driving from 23 to 5 h, local time."""
    late = (state.hour >= _LATE_FROM_H) | (state.hour < _LATE_TO_H)
    return late & (state.moving.speed_ms >= _MOVING_MS), {}


def random_event(name: str, *, weight: float, chance: float, **attributes: tuple[float, float]) -> EventType:
    """Return a type that a report shows by chance while the vehicle drives, with attributes drawn from ranges.

    `random_event("harsh_accel", weight=2.5, chance=0.05, accel_g=(0.3, 1.0))`
    """

    def detect(state: DrivingState) -> Detection:
        found = {
            field: np.round(low + (high - low) * state.uniform(f"{name}/{field}"), 2)
            for field, (low, high) in attributes.items()
        }
        return state.moving.on_trip & (state.uniform(f"{name}/chance") < chance), found

    return EventType(name, weight, detect)


def _harder_braking(state: DrivingState, excess: Floats) -> Attributes:
    return {"braking_g": np.minimum(state.thresholds.braking_g * (1 + excess / 3), 1.2).round(2)}


def _sharper_turn(state: DrivingState, excess: Floats) -> Attributes:
    return {"lateral_g": np.minimum(state.thresholds.lateral_g * (1 + excess / 4), 1.0).round(2)}


def _nearer(state: DrivingState, excess: Floats) -> Attributes:
    gap_s = state.thresholds.following_s * np.exp(-excess / 3)
    return {"following_distance_m": np.round(gap_s * np.maximum(state.moving.speed_ms, _MOVING_MS), 1)}


def _faster(state: DrivingState, excess: Floats) -> Attributes:
    return {"over_speed_mph": np.minimum(state.thresholds.over_speed_mph * (1 + excess / 2), 60.0).round(1)}


EVENT_TYPES = (
    EventType("hard_braking", 5.0, hard_braking, _harder_braking),
    EventType("aggressive_turn", 4.0, aggressive_turn, _sharper_turn),
    EventType("tailgating", 3.0, tailgating, _nearer),
    EventType("speeding", 2.0, speeding, _faster),
    EventType("late_night_driving", 1.0, late_night_driving),
)
PING = "ping"
"""What a report without any event is called."""
_ATTRIBUTES = {"braking_g", "lateral_g", "following_distance_m", "over_speed_mph"}
_OWN_FIELDS = frozenset(TelematicsEvent.model_fields) - _ATTRIBUTES


@lru_cache(16)
def event_types_of(path: str | None) -> tuple[EventType, ...]:
    """Return the types there are, with those of a user's module; raises `ConfigError` where that has none."""
    if path is None:
        return EVENT_TYPES
    types = load_attribute(path, "EVENT_TYPES")
    if not isinstance(types, list | tuple) or not all(isinstance(one, EventType) for one in types):
        raise ConfigError(f"{path}: EVENT_TYPES needs to be a list of EventType")
    # One of a name that there is already takes its place.
    named = {kind.name: kind for kind in (*EVENT_TYPES, *(_guarded(path, kind) for kind in types))}
    wrong = next((name for name in named if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name == PING), None)
    if wrong is not None:
        raise ConfigError(f"{path}: '{wrong}' is no name of an event type: write lower_case, and not {PING}")
    light = next((kind for kind in types if not (isfinite(kind.weight) and kind.weight >= 0)), None)
    if light is not None:
        raise ConfigError(f"{path}: '{light.name}' has the weight {light.weight}: write a number of at least 0")
    return tuple(named.values())


def _guarded(path: str, kind: EventType) -> EventType:
    """Return a user's type, whose mistakes are told in a sentence that names it."""

    def detect(state: DrivingState) -> Detection:
        found: Detection = call(len(state.times), _OWN_FIELDS, kind.detect, state)
        return found

    call = partial(call_type, f"{path}: the type '{kind.name}'")
    given = kind.drawn
    if given is None:
        return replace(kind, detect=detect)

    def drawn(state: DrivingState, excess: Floats) -> Attributes:
        found: Attributes = call(len(state.times), _OWN_FIELDS, given, state, excess)
        return found

    return replace(kind, detect=detect, drawn=drawn)
