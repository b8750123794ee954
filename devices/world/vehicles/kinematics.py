"""Motion along one link of road: speed up, keep the speed, slow down, wait; in closed form, so at any time directly."""

from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from devices.world.random import Flags, Floats, Ints

# Nobody keeps a speed exactly: it swings by some 3 % while cruising, over about 17 seconds.
_RIPPLE_SHARE, _RIPPLE_S = 0.03, 17.0
_OMEGA = 2 * np.pi / _RIPPLE_S


@dataclass(frozen=True, slots=True)
class SpeedProfile:
    """Rides over links, one an element: m, m/s and m/s². Cruising speed is at least that at both ends."""

    length_m: Floats
    enter_ms: Floats
    cruise_ms: Floats
    leave_ms: Floats
    speed_up_ms2: Floats
    slow_down_ms2: Floats
    OWN_COLUMNS: ClassVar[int] = 4
    """How many `own_columns` there are."""

    @classmethod
    def fitted(
        cls, length_m: Floats, enter_ms: Floats, wished_ms: Floats, leave_ms: Floats, up_ms2: Floats, down_ms2: Floats
    ) -> "SpeedProfile":
        """Return the rides at the wished speed, or as near to it as speeding up and slowing down fit into the link."""
        reach = 2 * up_ms2 * down_ms2 * length_m + down_ms2 * enter_ms**2 + up_ms2 * leave_ms**2
        cruise = np.minimum(wished_ms, np.sqrt(reach / (up_ms2 + down_ms2)))
        return cls(length_m, enter_ms, cruise, leave_ms, up_ms2, down_ms2)

    @classmethod
    def along(cls, length_m: Floats, enter_ms: Floats, bends_m: tuple[Floats, Floats], own: Floats) -> "SpeedProfile":
        """Return the rides of which that, and `own_columns` [column, ride], is known.

        `bends_m` is what of each link belongs to the bends at its beginning and its end where a vehicle does not stop.
        """
        cruise, leave, up, down = own
        return cls(length_m, enter_ms, cruise, leave, up, down)

    def own_columns(self) -> tuple[Floats, ...]:
        """Return the fields that do not follow from the roads, nor from the ride before, the leaving speed second."""
        return self.cruise_ms, self.leave_ms, self.speed_up_ms2, self.slow_down_ms2

    def take(self, rows: Flags | Ints) -> "SpeedProfile":
        """Return some of the rides."""
        return type(self)(*(column[rows] for column in self.columns()))

    def replaced(self, rows: Ints, others: "SpeedProfile") -> "SpeedProfile":
        """Return the rides with some of them exchanged."""
        columns = [column.copy() for column in self.columns()]
        for column, other in zip(columns, others.columns(), strict=True):
            column[rows] = other
        return type(self)(*columns)

    def columns(self) -> tuple[Floats, ...]:
        """Return the fields in their order."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def sped_up(self, factor: Floats) -> "SpeedProfile":
        """Return the same rides in less time: speeds times the factor, accelerations times its square."""
        return SpeedProfile(
            self.length_m,
            self.enter_ms * factor,
            self.cruise_ms * factor,
            self.leave_ms * factor,
            self.speed_up_ms2 * factor**2,
            self.slow_down_ms2 * factor**2,
        )

    def braking_ms2(self, since_s: Floats, until_s: Floats) -> Floats:
        """Return the greatest deceleration of slowing down, of which some is between two moments: it is steady."""
        return self.peak_braking_ms2

    @property
    def peak_braking_ms2(self) -> Floats:
        """Return the greatest deceleration of slowing down."""
        return self.slow_down_ms2

    @property
    def tail_s(self) -> Floats | float:
        """Tell how long the rest of the link takes after slowing down."""
        return 0.0

    @property
    def phases_s(self) -> tuple[Floats, Floats, Floats]:
        """Tell how long speeding up, cruising and slowing down take."""
        up = (self.cruise_ms - self.enter_ms) / self.speed_up_ms2
        down = (self.cruise_ms - self.leave_ms) / self.slow_down_ms2
        used = (self.enter_ms + self.cruise_ms) / 2 * up + (self.cruise_ms + self.leave_ms) / 2 * down
        return up, np.maximum(self.length_m - used, 0) / self.cruise_ms, down

    @property
    def duration_s(self) -> Floats:
        """Return the time from one end to the other, without waiting."""
        up, cruise, down = self.phases_s
        return up + cruise + down

    def state_at(self, elapsed_s: Floats) -> tuple[Floats, Floats, Floats]:
        """Return distance from the link's beginning, speed and acceleration; at rest before and after the ride."""
        up, cruise, down = self.phases_s
        first = np.clip(elapsed_s, 0, up)
        second = np.clip(elapsed_s - up, 0, cruise)
        third = np.clip(elapsed_s - up - cruise, 0, down)
        shift, swing, jolt = self._ripple(second, cruise)
        distance = (
            (self.enter_ms + 0.5 * self.speed_up_ms2 * first) * first
            + self.cruise_ms * second
            + (self.cruise_ms - 0.5 * self.slow_down_ms2 * third) * third
            + shift
        )
        speed = self.enter_ms + self.speed_up_ms2 * first - self.slow_down_ms2 * third + swing
        moving = (elapsed_s >= 0) & (elapsed_s < up + cruise + down)
        acceleration = np.where(
            elapsed_s < up, self.speed_up_ms2, np.where(elapsed_s < up + cruise, jolt, -self.slow_down_ms2)
        )
        return np.minimum(distance, self.length_m), np.where(moving, np.maximum(speed, 0), 0.0), acceleration * moving

    def arrival_s(self, distance_m: Floats) -> Floats:
        """Tell when a point of the link is passed, seconds after its beginning."""
        up, cruise, _ = self.phases_s
        up_m = (self.enter_ms + self.cruise_ms) / 2 * up
        to_go = np.maximum(distance_m - up_m - self.cruise_ms * cruise, 0)
        early = (np.sqrt(self.enter_ms**2 + 2 * self.speed_up_ms2 * distance_m) - self.enter_ms) / self.speed_up_ms2
        late = (
            self.cruise_ms - np.sqrt(np.maximum(self.cruise_ms**2 - 2 * self.slow_down_ms2 * to_go, 0))
        ) / self.slow_down_ms2
        seconds = np.where(
            distance_m < up_m, early, up + np.clip((distance_m - up_m) / self.cruise_ms, 0, cruise) + late
        )
        # Cruising swings a little about its mean: two steps of Newton's method.
        for _ in range(2):
            distance, speed, _ = self.state_at(seconds)
            seconds = np.where(speed > 1, seconds - (distance - distance_m) / np.maximum(speed, 1), seconds)
        return np.asarray(seconds)

    def _ripple(self, cruised_s: Floats, cruise_s: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the displacement that fades in and out over the cruise, and its two derivatives."""
        amplitude = _RIPPLE_SHARE * self.cruise_ms / _OMEGA
        k = np.pi / np.maximum(cruise_s, 1e-3)
        fade, fade1, fade2 = (
            np.sin(k * cruised_s) ** 2,
            k * np.sin(2 * k * cruised_s),
            2 * k * k * np.cos(2 * k * cruised_s),
        )
        # Below a swing's length the fading itself would be a jolt.
        amplitude = amplitude * np.clip(cruise_s / _RIPPLE_S - 0.5, 0, 1)
        sine, cosine = np.sin(_OMEGA * cruised_s), np.cos(_OMEGA * cruised_s)
        return (
            amplitude * fade * sine,
            amplitude * (fade1 * sine + fade * _OMEGA * cosine),
            amplitude * (fade2 * sine + 2 * fade1 * _OMEGA * cosine - fade * _OMEGA**2 * sine),
        )
