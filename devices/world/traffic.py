"""Traffic on the roads of a world: how much, how fast, how dense, at any time.

Volume is a Cox process's intensity: the week's profile, times an effect of the day, times a correlated effect of the
hour, as counts on real streets vary far more than Poisson's. Speed follows from density after Greenshields.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from devices.world.demand import DAY_SIGMA, HOUR_SIGMA, demand
from devices.world.knots import Knots
from devices.world.network import CLASSES, KMH
from devices.world.noise import smooth_of
from devices.world.places import Places
from devices.world.rng import Floats, Ints, draw, normal
from devices.world.roads import Roads
from devices.world.site import DAY_MS, MINUTE_MS
from devices.world.weather import Weather

_STEP_MS = 10 * MINUTE_MS
# Rain and fog keep some at home and slow down the others; FHWA quotes 2 to 17 % less speed in rain.
_RAIN_DEMAND, _RAIN_SPEED, _FOG_SPEED = 0.10, 0.16, 0.15
_FREE_MS = np.array([kind.free_kmh * KMH for kind in CLASSES])
# Of the day's effect, what the whole town has in common.
_TOWN_SHARE = 0.6
# The hour's effect lasts so long that counts of successive hours correlate by .1 to .25 (Telraam: .07-.26).
_HOUR_EFFECT_MS = 45 * MINUTE_MS
# What makes a road slow besides density: roadworks, a slow lorry, school's end. Count and speed correlate by -.25 on
# Telraam's streets, far less than density alone would make them.
_PACE_SIGMA, _PACE_MS = 0.18, 90 * MINUTE_MS


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
        """Some of them."""
        return Flow(*(getattr(self, field.name)[rows] for field in fields(self)))


class Traffic:
    """The traffic of a world, by site and number of the road there."""

    def __init__(self, seed: int, places: Places, roads: Roads, weather: Callable[[Ints, Ints], Weather]) -> None:
        self._seed = seed
        self._places = places
        self._roads = roads
        self._weather = weather
        self._count = len(roads.plan.ends)
        self._knots = Knots(self._compute, width=3, step_ms=_STEP_MS)

    def at(self, sites: Ints, roads: Ints, times_ms: Ints) -> Flow:
        """Traffic on roads of these sites at these instants."""
        return Flow(*self._knots.at(sites * self._count + roads, times_ms).T)

    def on_all_roads(self, sites: Ints, times_ms: Ints) -> Flow:
        """Traffic on every road of each site, as arrays [row, road], at the ten minutes in which each instant is."""
        roads = (sites * self._count)[:, None] + np.arange(self._count)
        times = np.broadcast_to(times_ms[:, None], roads.shape)
        found = self._knots.nearest(roads.ravel(), times.ravel())
        return Flow(*found.reshape(*roads.shape, 3).transpose(2, 0, 1))

    def _compute(self, entities: Ints, times_ms: Ints) -> Floats:
        sites, roads = np.divmod(entities, self._count)
        local = self._places.local_ms(sites, times_ms)
        air = self._weather(sites, times_ms)
        road_class = self._roads.plan.road_class[roads]
        mean = self._roads.peak_vph[sites, roads] * demand(local) * (1 - _RAIN_DEMAND * air.rain)
        keys = self._places.keys[sites]
        days = local // DAY_MS
        day = normal(draw(self._seed, "traffic/day", keys, days))
        own_day = normal(draw(self._seed, "traffic/day/road", keys, roads, days))
        hour = smooth_of(draw(self._seed, "traffic/hour", keys, roads), local, _HOUR_EFFECT_MS)
        pace = smooth_of(draw(self._seed, "traffic/pace", keys, roads), local, _PACE_MS)
        day = np.sqrt(_TOWN_SHARE) * day + np.sqrt(1 - _TOWN_SHARE) * own_day
        vehicles = mean * _factor(DAY_SIGMA, day) * _factor(HOUR_SIGMA, hour)
        density = greenshields_density(vehicles / self._roads.capacity_vph[sites, roads])
        # Beyond capacity fewer get through than wish to.
        vehicles = np.minimum(vehicles, self._roads.capacity_vph[sites, roads] * 4 * density * (1 - density))
        free = _FREE_MS[road_class] * (1 - _RAIN_SPEED * air.rain) * (1 - _FOG_SPEED * air.mist)
        return np.stack([vehicles, free * (1 - density) * _factor(_PACE_SIGMA, pace), density], axis=1)


def _factor(sigma: float, deviations: Floats) -> Floats:
    """Lognormal factor with mean 1."""
    return np.asarray(np.exp(sigma * deviations - sigma**2 / 2))


def greenshields_density(load: Floats) -> Floats:
    """Share of the jam density at which a road carries this share of its capacity: v = vf (1 - k/kj).

    More than its capacity it cannot carry; what arrives beyond makes it denser, up to 0.85.
    """
    free = (1 - np.sqrt(1 - np.minimum(load, 1))) / 2
    return np.asarray(free + 0.35 * (1 - np.exp(-2 * np.maximum(load - 1, 0))))
