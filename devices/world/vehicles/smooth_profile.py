"""Motion along one link of road as people drive it: without jolts, steadily through bends, in a queue by waves.

Speeding up and slowing down follow 3q² - 2q³ over their time, so the acceleration is a parabola that begins and ends at
0, 1.5 times as high as its mean; distances and durations are those of a steady acceleration of the same mean.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from devices.world.random import Floats
from devices.world.trigonometry import cosine_sine
from devices.world.vehicles.kinematics import SpeedProfile

PEAK = 1.5
"""Greatest by mean acceleration."""
_NEWTON_STEPS, _SLOWEST_MS, _NEAR_M = 25, 0.3, 1e-4


@dataclass(frozen=True, slots=True)
class SmoothProfile(SpeedProfile):
    """Rides over links; `speed_up_ms2` and `slow_down_ms2` are means over their phases."""

    lead_m: Floats
    """What of the link belongs to the bend at its beginning, and is driven at the speed of entering."""
    tail_m: Floats
    """What belongs to the bend at its end, and is driven at the speed of leaving."""
    swing_share: Floats
    """By how much of its mean the speed swings while cruising: little on a free road, much in dense traffic."""
    swing_s: Floats
    """Period of that."""
    OWN_COLUMNS: ClassVar[int] = 6

    @classmethod
    def between_bends(
        cls,
        length_m: Floats,
        speeds_ms: tuple[Floats, Floats, Floats],
        up_ms2: Floats,
        down_ms2: Floats,
        bends_m: tuple[Floats, Floats],
        swing: tuple[Floats, Floats],
    ) -> "SmoothProfile":
        """Return the rides at the wished speed, or as near to it as speeding up and slowing down fit into the link.

        `speeds_ms` are those of entering, wished, and of leaving.
        """
        enter, wished, leave = speeds_ms
        open_m = np.maximum(length_m - bends_m[0] - bends_m[1], 1.0)
        # Who is too fast for the end of the link, or too slow, does what it takes.
        down = np.maximum(down_ms2, 1.02 * (enter**2 - leave**2) / (2 * open_m))
        up = np.maximum(up_ms2, 1.02 * (leave**2 - enter**2) / (2 * open_m))
        reach = 2 * up * down * open_m + down * enter**2 + up * leave**2
        cruise = np.maximum(np.minimum(wished, np.sqrt(reach / (up + down))), np.maximum(enter, leave))
        return cls(length_m, enter, cruise, leave, up, down, *bends_m, *swing)

    @classmethod
    def along(cls, length_m: Floats, enter_ms: Floats, bends_m: tuple[Floats, Floats], own: Floats) -> "SmoothProfile":
        """Return the rides of which that, and `own_columns` [column, ride], is known."""
        cruise, leave, up, down, swing_share, swing_s = own
        return cls(length_m, enter_ms, cruise, leave, up, down, *bends_m, swing_share, swing_s)

    def own_columns(self) -> tuple[Floats, ...]:
        """Return the fields that do not follow from the roads, nor from the ride before, the leaving speed second."""
        return *SpeedProfile.own_columns(self), self.swing_share, self.swing_s

    def sped_up(self, factor: Floats) -> "SmoothProfile":
        """Return the same rides in less time: speeds times the factor, accelerations times its square."""
        return SmoothProfile(
            self.length_m,
            self.enter_ms * factor,
            self.cruise_ms * factor,
            self.leave_ms * factor,
            self.speed_up_ms2 * factor**2,
            self.slow_down_ms2 * factor**2,
            self.lead_m,
            self.tail_m,
            self.swing_share,
            self.swing_s / factor,
        )

    @property
    def peak_braking_ms2(self) -> Floats:
        """Return the greatest deceleration of slowing down."""
        return PEAK * self.slow_down_ms2

    def braking_ms2(self, since_s: Floats, until_s: Floats) -> Floats:
        """Return the greatest deceleration of slowing down between two moments after the link's beginning."""
        lead, up, cruise, down = self._phases()
        first, last = (
            np.clip((each - lead - up - cruise) / np.maximum(down, 1e-6), 0, 1) for each in (since_s, until_s)
        )
        # It is greatest half-way, or where that is nearest.
        share = np.clip(0.5, first, last)
        return np.asarray(self.slow_down_ms2 * 6 * share * (1 - share))

    @property
    def tail_s(self) -> Floats:
        """Tell how long the bend at the end takes."""
        return _time_of(self.tail_m, self.leave_ms)

    @property
    def phases_s(self) -> tuple[Floats, Floats, Floats]:
        """Tell how long the bend at the beginning and speeding up, cruising, and slowing down take."""
        lead, up, cruise, down = self._phases()
        return lead + up, cruise, down

    @property
    def duration_s(self) -> Floats:
        """Return the time from one end to the other, without waiting."""
        lead, up, cruise, down = self._phases()
        return lead + up + cruise + down + self.tail_s

    def state_at(self, elapsed_s: Floats) -> tuple[Floats, Floats, Floats]:
        """Return distance from the link's beginning, speed and acceleration; at rest before and after the ride."""
        lead, up, cruise, down = self._phases()
        tail = self.tail_s
        cruises = lead + up
        slows = cruises + cruise
        leaves = slows + down
        rising = np.clip((elapsed_s - lead) / np.maximum(up, 1e-6), 0, 1)
        cruised = np.clip(elapsed_s - cruises, 0, cruise)
        falling = np.clip((elapsed_s - slows) / np.maximum(down, 1e-6), 0, 1)
        gain, loss = self.cruise_ms - self.enter_ms, self.cruise_ms - self.leave_ms
        shift, swing, jolt = self._swing(cruised, cruise)
        distance = (
            self.enter_ms * np.clip(elapsed_s, 0, lead)
            + up * (self.enter_ms * rising + gain * _covered(rising))
            + self.cruise_ms * cruised
            + down * (self.cruise_ms * falling - loss * _covered(falling))
            + self.leave_ms * np.clip(elapsed_s - leaves, 0, tail)
            + shift
        )
        speed = self.enter_ms + gain * _eased(rising) - loss * _eased(falling) + swing
        moving = (elapsed_s >= 0) & (elapsed_s < leaves + tail)
        acceleration = (
            self.speed_up_ms2 * 6 * rising * (1 - rising)
            - self.slow_down_ms2 * 6 * falling * (1 - falling)
            + np.where((elapsed_s > cruises) & (elapsed_s < slows), jolt, 0.0)
        )
        return (
            np.clip(distance, 0, self.length_m),
            np.where(moving, np.maximum(speed, 0), 0.0),
            acceleration * moving,
        )

    def arrival_s(self, distance_m: Floats) -> Floats:
        """Tell when a point of the link is passed, seconds after its beginning: Newton's method within a bracket."""
        low, high = np.zeros_like(distance_m), self.duration_s
        seconds = high * distance_m / self.length_m
        rides: SpeedProfile = self
        rows, goal = np.arange(len(seconds)), distance_m
        for _ in range(_NEWTON_STEPS):
            distance, speed, _ = rides.state_at(seconds[rows])
            # Each ride is left alone once it is found, whatever others there are.
            sought = np.flatnonzero(np.abs(distance - goal) > _NEAR_M)
            if not len(sought):
                break
            rows, rides, goal = rows[sought], rides.take(sought), goal[sought]
            distance, speed, before = distance[sought], speed[sought], seconds[rows]
            ahead = distance > goal
            low[rows], high[rows] = np.where(ahead, low[rows], before), np.where(ahead, before, high[rows])
            step = before - (distance - goal) / np.maximum(speed, _SLOWEST_MS)
            within = (step > low[rows]) & (step < high[rows])
            seconds[rows] = np.where(within, step, (low[rows] + high[rows]) / 2)
        return np.asarray(seconds)

    def _phases(self) -> tuple[Floats, Floats, Floats, Floats]:
        up = (self.cruise_ms - self.enter_ms) / self.speed_up_ms2
        down = (self.cruise_ms - self.leave_ms) / self.slow_down_ms2
        used = (self.enter_ms + self.cruise_ms) / 2 * up + (self.cruise_ms + self.leave_ms) / 2 * down
        free_m = np.maximum(self.length_m - self.lead_m - self.tail_m - used, 0)
        return _time_of(self.lead_m, self.enter_ms), up, free_m / self.cruise_ms, down

    def _swing(self, cruised_s: Floats, cruise_s: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the displacement that fades in and out over the cruise, and its two derivatives."""
        omega = 2 * np.pi / self.swing_s
        # Below a swing's length the fading itself would be a jolt.
        amplitude = self.swing_share * self.cruise_ms / omega * np.clip(cruise_s / self.swing_s - 0.5, 0, 1)
        k = np.pi / np.maximum(cruise_s, 1e-3)
        half = k * cruised_s
        cosine_half, sine_half = cosine_sine(half)
        fade, fade1, fade2 = sine_half**2, 2 * k * sine_half * cosine_half, 2 * k * k * (1 - 2 * sine_half**2)
        cosine, sine = cosine_sine(omega * cruised_s)
        return (
            amplitude * fade * sine,
            amplitude * (fade1 * sine + fade * omega * cosine),
            amplitude * (fade2 * sine + 2 * fade1 * omega * cosine - fade * omega**2 * sine),
        )


def _time_of(distance_m: Floats, speed_ms: Floats) -> Floats:
    return np.where(distance_m > 0, distance_m / np.maximum(speed_ms, 0.1), 0.0)


def _eased(share: Floats) -> Floats:
    return share * share * (3 - 2 * share)


def _covered(share: Floats) -> Floats:
    """Return the integral of `_eased`."""
    return share**3 * (1 - share / 2)
