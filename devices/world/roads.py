"""Roads around a site, the traffic on them, and the fleet's vehicles that drive there.

Every site has four ring roads. A vehicle of the fleet circles on one of them; its place on the ring is an explicit
function of time, so position, speed and acceleration agree with each other and can be had for any moment.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.world.noise import smooth
from devices.world.rng import Floats, Ints, draw, uniform
from devices.world.site import DAY_MS, HOUR_MS
from devices.world.weather import weather
from devices.world.world import World

EARTH_M_PER_DEG = 111_320.0


@dataclass(frozen=True, slots=True)
class RoadType:
    """What roads of one kind have in common."""

    name: str
    limit_kmh: float
    radius_m: float
    lanes: int
    sharpest_bend_per_m: float
    """Curvature of a bend of one standard deviation beyond the usual."""
    peak_flow_vph: float
    """Vehicles an hour at the busiest hour of a weekday, both directions."""
    speed_deviation: float
    """Relative spread of speeds; from the exceedance shares of DfT vehicle speed statistics 2022."""


ROADS = (
    RoadType("city", 50, 1500, 1, 0.020, 900, 0.20),
    RoadType("highway", 110, 9000, 3, 0.0025, 3600, 0.11),
    RoadType("rural", 80, 5000, 1, 0.009, 450, 0.18),
    RoadType("city", 30, 800, 1, 0.030, 400, 0.20),
)
"""By number of the road at its site."""

_LIMIT = np.array([road.limit_kmh for road in ROADS])
_LENGTH_M = np.array([2 * np.pi * road.radius_m for road in ROADS])
_RADIUS_M = np.array([road.radius_m for road in ROADS])
_BEND = np.array([road.sharpest_bend_per_m for road in ROADS])
_PEAK = np.array([road.peak_flow_vph for road in ROADS])

# Share of the day's cars by hour, % of 06-21 h: Telraam, two streets in Chateaubourg 2022 (CC BY 4.0). The night
# hours, which those counters do not report, are set to fall from the late evening's level to a tenth of it.
_NIGHT = [0.8, 0.4, 0.3, 0.3, 0.5, 1.1]
_WEEKDAY = [*_NIGHT, 2.8, 6.6, 7.0, 5.7, 5.4, 5.8, 6.9, 6.5, 6.0, 6.4, 8.3, 10.2, 10.1, 6.5, 3.5, 2.6, 1.8, 1.2]
_SATURDAY = [*_NIGHT, 1.2, 2.0, 4.0, 6.2, 8.2, 8.9, 7.9, 6.6, 7.6, 8.0, 8.5, 9.3, 9.4, 6.4, 3.5, 2.4, 1.9, 1.4]
_SUNDAY = [*_NIGHT, 1.0, 1.5, 2.7, 4.9, 7.0, 9.4, 9.3, 5.5, 6.1, 6.8, 7.5, 9.6, 10.9, 8.2, 5.6, 4.2, 2.0, 1.0]
_LEVEL = {5: 0.85, 6: 0.57}  # of a weekday's total, same source
_PROFILE = np.array(
    [
        np.array(_SATURDAY if day == 5 else _SUNDAY if day == 6 else _WEEKDAY) * _LEVEL.get(day, 1.0) / 10.2
        for day in range(7)
    ]
)
# Gives neighbouring hours the correlation that Telraam's residuals have: 0.07-0.26.
_HOUR_EFFECT_MS = 56 * 60_000
# Chosen for the correlation of an hour's count with its v85, -0.25 on the same streets.
_PACE_EFFECT = 0.15
# Vehicles of the fleet slow down with the day's demand, by up to this share of their free speed.
_RUSH_SLOWDOWN = 0.25


@dataclass(frozen=True, slots=True)
class Flow:
    """Traffic on roads at some moments; one value a row."""

    vehicles_per_hour: Floats
    speed_kmh: Floats
    """Mean speed."""
    density: Floats
    """Share of the jam density."""


def demand(local_ms: Ints) -> Floats:
    """Traffic demand relative to the busiest weekday hour; between full hours it is interpolated."""
    day = (local_ms // DAY_MS + 3) % 7  # 1970-01-01 was a Thursday
    hour = (local_ms % DAY_MS) / HOUR_MS - 0.5
    low = np.floor(hour).astype(np.int64)
    share = hour - low
    before = _PROFILE[np.where(low < 0, (day - 1) % 7, day), low % 24]
    after = _PROFILE[np.where(low >= 23, (day + 1) % 7, day), (low + 1) % 24]
    return np.asarray(before * (1 - share) + after * share)


def flow(world: World, sites: Ints, roads: Ints, times_ms: Ints) -> Flow:
    """Background traffic: demand x day effect x hour effect, slowed by density and rain.

    Day effect CV 0.13 and hour effect CV 0.17 (Telraam: 0.08-0.18 and 0.10-0.25); speed by Greenshields,
    v = vf (1 - k/kj), with the jam density at which the road's capacity is 1.6 times its peak flow. Works, parked
    vehicles and lights move the speed besides, so that count and speed go together as loosely as they really do.
    """
    local = world.local_ms(sites, times_ms)
    place = sites * len(ROADS) + roads
    day = np.exp(0.13 * smooth(world.seed, "traffic/day", place, local, DAY_MS))
    hour = np.exp(0.17 * smooth(world.seed, "traffic/hour", place, local, _HOUR_EFFECT_MS))
    pace = np.exp(_PACE_EFFECT * smooth(world.seed, "traffic/pace", place, local, 3 * HOUR_MS))
    air = weather(world, sites, times_ms)
    vehicles = _PEAK[roads] * demand(local) * day * hour * (1 - 0.15 * air.rain)
    saturation = np.clip(vehicles / (1.6 * _PEAK[roads]), 0, 0.999)
    relative = (1 + np.sqrt(1 - saturation)) / 2
    free = _LIMIT[roads] * (1 - 0.15 * air.rain - 0.10 * air.fog)
    return Flow(vehicles, free * relative * np.minimum(pace, 1.3), 1 - relative)


def inbound_share(local_ms: Ints, strength: Floats) -> Floats:
    """Share of the vehicles that drive into town: more in the morning, fewer in the evening, even at weekends.

    `strength` in [0, 1) is that of the place: Telraam's two streets turn from 0.59 at 8 h to 0.41 at 17 h, and from
    0.45 to 0.73 in the other direction.
    """
    hour = (local_ms % DAY_MS) / HOUR_MS
    workday = (local_ms // DAY_MS + 3) % 7 < 5
    tide = np.exp(-(((hour - 8) / 2.5) ** 2)) - np.exp(-(((hour - 17) / 2.5) ** 2))
    return np.asarray(0.5 + (0.06 + 0.12 * strength) * tide * np.where(workday, 1.0, 0.2))


@dataclass(frozen=True, slots=True)
class Motion:
    """Vehicles at some moments; one value a row."""

    distance_m: Floats
    """Driven along the road since 1970."""
    speed_ms: Floats
    acceleration_ms2: Floats
    """Along the road; braking is negative."""
    lateral_ms2: Floats
    heading_deg: Floats
    latitude: Floats
    longitude: Floats
    roads: Ints
    around: Floats
    """Position on the ring, 0 to 1."""


def road_of(world: World, sites: Ints, vehicles: Ints) -> Ints:
    """The road that each vehicle drives on."""
    return (draw(world.seed, "vehicle/road", sites, vehicles) % np.uint64(len(ROADS))).astype(np.int64)


def motion(world: World, sites: Ints, vehicles: Ints, times_ms: Ints) -> Motion:
    """Where the fleet's vehicles are and how they move."""
    roads = road_of(world, sites, vehicles)
    distance, speed, acceleration = _along(world, sites, vehicles, roads, times_ms)
    around = (distance / _LENGTH_M[roads]) % 1.0
    angle = 2 * np.pi * around
    latitude = np.array([site.latitude for site in world.sites])[sites]
    longitude = np.array([site.longitude for site in world.sites])[sites]
    north, east = _RADIUS_M[roads] * np.cos(angle), _RADIUS_M[roads] * np.sin(angle)
    # A ring is curved evenly; real roads have bends, tight ones now and then, always at the same place.
    bend = smooth(world.seed, "road/bends", sites * len(ROADS) + roads, (around * 400_000).astype(np.int64), 4000)
    curvature = 1 / _RADIUS_M[roads] + _BEND[roads] * np.maximum(0, bend - 0.8)
    return Motion(
        distance,
        speed,
        acceleration,
        speed**2 * curvature,
        np.degrees(angle + np.pi / 2) % 360,
        latitude + north / EARTH_M_PER_DEG,
        longitude + east / (EARTH_M_PER_DEG * np.cos(np.radians(latitude))),
        roads,
        around,
    )


def passages(world: World, site: int, road: int, around: float, from_ms: Ints, to_ms: Ints) -> Ints:
    """How many vehicles of the fleet pass a point of a road in each window (from, to]."""
    here = world.vehicles.get(site, np.empty(0, dtype=np.int64))
    on_road = here[road_of(world, np.full_like(here, site), here) == road] if len(here) else here
    if not len(on_road):
        return np.zeros(len(from_ms), dtype=np.int64)
    vehicles = np.repeat(on_road, len(from_ms))
    sites, roads = np.full_like(vehicles, site), np.full_like(vehicles, road)
    laps = [
        np.floor(_along(world, sites, vehicles, roads, np.tile(times, len(on_road)))[0] / _LENGTH_M[road] - around)
        for times in (from_ms, to_ms)
    ]
    # Within a braking manoeuvre a vehicle never rolls backwards, so laps only grow.
    return np.asarray((laps[1] - laps[0]).reshape(len(on_road), -1).sum(axis=0).astype(np.int64))


# A manoeuvre every five minutes at most: brake, then catch up; at its end the vehicle is where it would have been.
_SLOT_MS = 300_000
_MANOEUVRE_SHARE = 0.5


def _along(world: World, sites: Ints, vehicles: Ints, roads: Ints, times_ms: Ints) -> tuple[Floats, Floats, Floats]:
    """Distance in m, speed in m/s and acceleration in m/s² along the road."""
    temper = uniform(draw(world.seed, "driver/temper", sites, vehicles))
    cruise = _LIMIT[roads] / 3.6 * (0.82 + 0.25 * temper)
    # Solar time, not the zone's: when clocks change, a vehicle must not jump.
    solar_ms = (np.array([site.longitude for site in world.sites]) / 15 * HOUR_MS).astype(np.int64)
    day, within = np.divmod(times_ms + solar_ms[sites], DAY_MS)
    progress = np.interp(within, _DAY_POINTS_MS, _DAY_PROGRESS)
    pace = np.interp(within, _DAY_POINTS_MS, _DAY_PACE)
    start = uniform(draw(world.seed, "vehicle/start", sites, vehicles)) * _LENGTH_M[roads]
    seconds = times_ms / 1000
    distance = start + cruise * (day * _DAY_PROGRESS[-1] + progress)
    speed, acceleration = cruise * pace, np.zeros(len(times_ms))
    # Following others: two slow waves of speed, together never more than a third of it.
    for wave, (share, period_s) in enumerate(((0.16, 71.0), (0.10, 23.0))):
        phase = 2 * np.pi * uniform(draw(world.seed, "vehicle/wave", sites, vehicles, wave))
        omega = 2 * np.pi / (period_s * (0.8 + 0.4 * temper))
        amplitude = share * cruise * pace
        distance = distance + amplitude / omega * np.sin(omega * seconds + phase)
        speed = speed + amplitude * np.cos(omega * seconds + phase)
        acceleration = acceleration - amplitude * omega * np.sin(omega * seconds + phase)
    moved = _manoeuvre(world, sites, vehicles, times_ms, temper, cruise)
    return distance + moved[0], np.maximum(speed + moved[1], 0), acceleration + moved[2]


def _manoeuvre(
    world: World, sites: Ints, vehicles: Ints, times_ms: Ints, temper: Floats, cruise: Floats
) -> tuple[Floats, Floats, Floats]:
    """A dip in speed: the displacement -B (1 - u²)³ over u in [-1, 1], with its two derivatives."""
    slot, within = np.divmod(times_ms, _SLOT_MS)
    bits = draw(world.seed, "vehicle/manoeuvre", sites, vehicles, slot)
    happens = uniform(bits) < _MANOEUVRE_SHARE
    severity = uniform(draw(world.seed, "vehicle/severity", sites, vehicles, slot))
    half_s = 2.5 + 4.5 * uniform(draw(world.seed, "vehicle/halfwidth", sites, vehicles, slot))
    centre = 20_000 + (_SLOT_MS - 40_000) * uniform(draw(world.seed, "vehicle/when", sites, vehicles, slot))
    # The derivative of (1 - u²)³ peaks at 1.72: the dip takes at most 60 % of the speed.
    depth = 0.6 * cruise * 0.58 * half_s / 1.72 * severity * (0.5 + temper)
    # The second derivative peaks at 6 and falls to -4.8: no more than 6.6 m/s² of acceleration, 5.3 of braking.
    depth = np.minimum(depth, 1.1 * half_s**2)
    u = (within - centre) / 1000 / half_s
    inside = happens & (np.abs(u) < 1)
    rest = np.where(inside, 1 - u**2, 0.0)
    return (
        -depth * rest**3,
        depth * 6 * u * rest**2 / half_s,
        np.where(inside, depth * (6 * rest**2 - 24 * u**2 * rest) / half_s**2, 0.0),
    )


def _day_course() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Pace (share of the free speed) over a day, and its integral in seconds of free driving, every five minutes."""
    points = np.arange(0, DAY_MS + 1, 300_000)
    pace = 1 - _RUSH_SLOWDOWN * np.minimum(demand(points % DAY_MS), 1)
    steps = (pace[1:] + pace[:-1]) / 2 * 300
    return points.astype(np.float64), pace, np.concatenate([[0.0], np.cumsum(steps)])


_DAY_POINTS_MS, _DAY_PACE, _DAY_PROGRESS = _day_course()
