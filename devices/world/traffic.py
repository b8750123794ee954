"""Traffic on the roads of a world: how much, how fast and how dense at any time, and which way it flows.

Volume is a Cox process's intensity: the week's profile, times an effect of the day, times a correlated effect of the
hour, as counts on real streets vary far more than Poisson's. Speed follows from density after Greenshields.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from devices.world.noise import KnotInterpolator, smooth_noise_of
from devices.world.random import Flags, Floats, Ints, hash_bits, normal, uniform
from devices.world.rare_days import RareDays
from devices.world.roads import CLASSES, KMH, Roads
from devices.world.weather import Weather, distinct_moments
from devices.world.world import DAY_MS, HOUR_MS, MINUTE_MS, SiteArrays, weekday

# Share of the day's cars by hour, % of 06-21 h: Telraam, two streets in Chateaubourg 2022 (CC BY 4.0). Those counters
# do not report the night; its hours are set by judgement to fall from the late evening's level.
_NIGHT = [0.9, 0.5, 0.4, 0.4, 0.6, 1.2]
_MON_FRI = [*_NIGHT, 2.8, 6.6, 7.0, 5.7, 5.4, 5.8, 6.9, 6.5, 6.0, 6.4, 8.3, 10.2, 10.1, 6.5, 3.5, 2.6, 2.0, 1.4]
_SATURDAY = [*_NIGHT, 1.2, 2.0, 4.0, 6.2, 8.2, 8.9, 7.9, 6.6, 7.6, 8.0, 8.5, 9.3, 9.4, 6.4, 3.5, 2.4, 2.0, 1.6]
_SUNDAY = [*_NIGHT, 1.0, 1.5, 2.7, 4.9, 7.0, 9.4, 9.3, 5.5, 6.1, 6.8, 7.5, 9.6, 10.9, 8.2, 5.6, 4.2, 2.2, 1.3]
# The day's total relative to a weekday's, same source.
_SATURDAY_LEVEL, _SUNDAY_LEVEL = 0.85, 0.57
_BUSIEST = max(_MON_FRI)
_PROFILE = np.array([_MON_FRI] * 5 + [[_SATURDAY_LEVEL * x for x in _SATURDAY], [_SUNDAY_LEVEL * x for x in _SUNDAY]])
_WEEK = _PROFILE.ravel() / _BUSIEST

DAY_SIGMA, HOUR_SIGMA = 0.13, 0.19
"""Spread of the logarithm of the day's and of the hour's effect. Telraam: CV of days 0.08-0.18, residual 0.10-0.25."""

# The tide into town and out of it: how far the share departs from a half, and what is left of that at weekends.
_LEAST_TIDE, _MORE_TIDE, _WEEKEND_TIDE = 0.06, 0.12, 0.2
_MORNING_HOUR, _EVENING_HOUR, _RUSH_WIDTH_H = 8.0, 17.0, 2.5


def demand(local_ms: Ints) -> Floats:
    """Return the usual traffic relative to a weekday's busiest hour, interpolated between the middles of hours."""
    hour = local_ms / HOUR_MS - 0.5
    low = np.floor(hour).astype(np.int64)
    # 1970-01-01 was a Thursday.
    before, after = _WEEK[(low + 72) % 168], _WEEK[(low + 73) % 168]
    return np.asarray(before + (after - before) * (hour - low))


def inbound_share(local_ms: Ints, strength: Floats) -> Floats:
    """Return the share of vehicles that drive into town: more in the morning, fewer in the evening, even at weekends.

    `strength` in [0, 1) is that of the place: Telraam's two streets turn from 0.59 at 8 h to 0.41 at 17 h, and from
    0.45 to 0.73 in the other direction.
    """
    days, within = np.divmod(local_ms, DAY_MS)
    hour = within / HOUR_MS
    tide = np.exp(-(((hour - _MORNING_HOUR) / _RUSH_WIDTH_H) ** 2)) - np.exp(
        -(((hour - _EVENING_HOUR) / _RUSH_WIDTH_H) ** 2)
    )
    level = np.where(weekday(days) < 5, 1.0, _WEEKEND_TIDE)
    return np.asarray(0.5 + (_LEAST_TIDE + _MORE_TIDE * strength) * tide * level)


TIMES_OF_DAY = ("daytime", "late_night", "rush_hour", "evening")


def times_of_day(local_ms: Ints) -> Ints:
    """Return the time's position in `TIMES_OF_DAY`.

    late_night is 23-5 h, rush_hour 7-10 and 16-19 h on weekdays, evening from 19 h, else it is daytime.
    """
    days, within = np.divmod(local_ms, DAY_MS)
    hour = within // HOUR_MS
    rush = (((hour >= 7) & (hour < 10)) | ((hour >= 16) & (hour < 19))) & (weekday(days) < 5)
    return np.select([(hour >= 23) | (hour < 5), rush, hour >= 19], [1, 2, 3], 0)


_STEP_MS = 10 * MINUTE_MS
# Rain and fog keep some at home and slow down the others; FHWA quotes 2 to 17 % less speed in rain.
_RAIN_DEMAND, _RAIN_SPEED, _FOG_SPEED = 0.10, 0.16, 0.15
# Snow on the roads: FHWA has 5 to 40 % less speed in heavy snow, and counts that are lower by 7 to 56 % in storms.
_SNOW_DEMAND, _SNOW_SPEED = 0.30, 0.35
# What an event in town adds at its height, of a road's busiest hour, on a road that leads there and on others.
_EVENT_DEMAND, _EVENT_ELSEWHERE = 0.55, 0.25
_FREE_MS = np.array([kind.free_kmh * KMH for kind in CLASSES])
# Of the day's effect, what the whole town has in common.
_TOWN_SHARE = 0.6
# The hour's effect lasts so long that counts of successive hours correlate by .1 to .25 (Telraam: .07-.26).
_HOUR_EFFECT_MS = 45 * MINUTE_MS
# What makes a road slow besides density: roadworks, a slow lorry, school's end. Count and speed correlate by -.25 on
# Telraam's streets, far less than density alone would make them.
_PACE_SIGMA, _PACE_MS = 0.18, 90 * MINUTE_MS
_FASTER_SHARE = 0.2
# Traffic that is far from its capacity is hardly slower than free, unlike what Greenshields has: v = vf (1 - (k/kj)^n),
# after Pipes and Munjal. This n has the correlation of counts and speeds above.
_STEEPNESS = 1.8


@dataclass(frozen=True, slots=True)
class Flow:
    """Traffic on roads at some instants; one value a row."""

    vehicles_per_hour: Floats
    """Both ways together."""
    speed_ms: Floats
    """Mean speed."""
    density: Floats
    """Share of the jam density: 0 = empty, 0.5 = at capacity, towards 1 = jammed."""

    def take(self, rows: Ints) -> "Flow":
        """Return some of the rows."""
        return Flow(*(getattr(self, field.name)[rows] for field in fields(self)))


class Traffic:
    """The traffic of a world, by site and number of the road there."""

    def __init__(
        self,
        seed: int,
        site_arrays: SiteArrays,
        roads: Roads,
        weather: Callable[[Ints, Ints], Weather],
        is_holiday: Callable[[Ints, Ints], Flags] | None = None,
        rare_days: RareDays | None = None,
    ) -> None:
        """`is_holiday` tells it of sites and local days; without it there are none, nor an end to speeds."""
        self._rare_days = rare_days
        self._is_holiday = is_holiday
        self._seed = seed
        self._site_arrays = site_arrays
        self._roads = roads
        self._weather = weather
        self._count = len(roads.plan.ends)
        self._table = KnotInterpolator(self._compute, width=3, step_ms=_STEP_MS)

    def flow_at(self, sites: Ints, roads: Ints, times_ms: Ints) -> Flow:
        """Return the traffic on roads of these sites at these instants."""
        return Flow(*self._table.interpolate(sites * self._count + roads, times_ms).T)

    def flow_on_all_roads(self, sites: Ints, times_ms: Ints) -> Flow:
        """Return the traffic on every road of each site [row, road], at the ten minutes in which each instant is."""
        roads = (sites * self._count)[:, None] + np.arange(self._count)
        times = np.broadcast_to(times_ms[:, None], roads.shape)
        found = self._table.previous(roads.ravel(), times.ravel())
        return Flow(*found.reshape(*roads.shape, 3).transpose(2, 0, 1))

    def _compute(self, entities: Ints, times_ms: Ints) -> Floats:
        sites, roads = np.divmod(entities, self._count)
        local = self._site_arrays.local_ms(sites, times_ms)
        towns, moments, position = distinct_moments(sites, times_ms)
        air = self._weather(towns, moments).take(position)
        road_class = self._roads.plan.road_class[roads]
        usual = local
        if self._is_holiday is not None:
            # Holidays are Sundays.
            today = local // DAY_MS
            usual = local + np.where(self._is_holiday(sites, today), (6 - weekday(today)) * DAY_MS, 0)
        mean = self._roads.peak_vph[sites, roads] * demand(usual) * (1 - _RAIN_DEMAND * air.rain)
        keys = self._site_arrays.keys[sites]
        slowed: Floats | float = 1.0
        steepness = 1.0
        if self._rare_days is not None:
            snow = self._rare_days.snow(towns, moments)[position]
            mean, slowed = mean * (1 - _SNOW_DEMAND * snow), 1 - _SNOW_SPEED * snow
            leads_there = uniform(hash_bits(self._seed, "traffic/event", keys, roads))
            share = _EVENT_DEMAND * (_EVENT_ELSEWHERE + (1 - _EVENT_ELSEWHERE) * leads_there)
            mean = mean + self._roads.peak_vph[sites, roads] * share * self._rare_days.drivers(sites, local)
        days = local // DAY_MS
        day = normal(hash_bits(self._seed, "traffic/day", keys, days))
        own_day = normal(hash_bits(self._seed, "traffic/day/road", keys, roads, days))
        hour = smooth_noise_of(hash_bits(self._seed, "traffic/hour", keys, roads), local, _HOUR_EFFECT_MS)
        pace = smooth_noise_of(hash_bits(self._seed, "traffic/pace", keys, roads), local, _PACE_MS)
        if self._is_holiday is not None:
            # Much makes a road slower than usual, and hardly anything faster than free.
            pace = np.where(pace > 0, _FASTER_SHARE * pace, pace)
            steepness = _STEEPNESS
        day = np.sqrt(_TOWN_SHARE) * day + np.sqrt(1 - _TOWN_SHARE) * own_day
        vehicles = mean * _factor(DAY_SIGMA, day) * _factor(HOUR_SIGMA, hour)
        density = greenshields_density(vehicles / self._roads.capacity_vph[sites, roads])
        # Beyond capacity fewer get through than wish to.
        vehicles = np.minimum(vehicles, self._roads.capacity_vph[sites, roads] * 4 * density * (1 - density))
        free = _FREE_MS[road_class] * (1 - _RAIN_SPEED * air.rain) * (1 - _FOG_SPEED * air.mist) * slowed
        speed = free * (1 - density**steepness) * _factor(_PACE_SIGMA, pace)
        return np.stack([vehicles, speed, density], axis=1)


def _factor(sigma: float, deviations: Floats) -> Floats:
    """Return a lognormal factor with mean 1."""
    return np.asarray(np.exp(sigma * deviations - sigma**2 / 2))


def greenshields_density(load: Floats) -> Floats:
    """Return the share of the jam density at which a road carries this share of its capacity: v = vf (1 - k/kj).

    More than its capacity it cannot carry; what arrives beyond makes it denser, up to 0.85.
    """
    free = (1 - np.sqrt(1 - np.minimum(load, 1))) / 2
    return np.asarray(free + 0.35 * (1 - np.exp(-2 * np.maximum(load - 1, 0))))
