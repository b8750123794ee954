"""The gps and the telematics unit of a vehicle have this in common: a satellite receiver, a supply, a modem."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from devices.world.components import components
from devices.world.entity_draws import EntityDraws
from devices.world.noise import NoiseSources
from devices.world.random import Flags, Floats, Hashes, Ints, extend, hash_bits, normal, normals, uniform
from devices.world.roads import LANE
from devices.world.runs import Runs
from devices.world.satellites import FEWEST_USED, MOST_USED
from devices.world.trigonometry import within_turn
from devices.world.vehicles.vehicles import Motion
from devices.world.world import METRES_PER_DEGREE, World

# Error on each axis in m under an open sky: Ornstein-Uhlenbeck-like with 300 s and 30 s, and white. Together 2.03 m,
# which is the 2.4 m CEP of a u-blox MAX-M8Q with GPS and GLONASS (CEP = 1.1774 sigma); realism.md section 2.
_SLOW_M, _SLOW_MS = 1.9, 300_000
_FAST_M, _FAST_MS = 0.7, 30_000
_WHITE_M = 0.15
CEP_M = 1.1774 * float(np.sqrt(_SLOW_M**2 + _FAST_M**2 + _WHITE_M**2))
"""Half of the fixes under an open sky are nearer than this."""
_VERTICAL = 1.7
# Between high buildings signals arrive by way of walls: a bias of 5 to 30 m, satellites lost, HDOP up.
_CANYON_BIAS_M, _CANYON_MS = 9.0, 45_000
_OPEN_HDOP, _CANYON_HDOP, _DENSE_SKY = 0.85, 2.1, 14.0
# Mean dilution under an open sky, by the world: in the second, over latitudes and a day of the constellation.
_USUAL_HDOP = {1: 0.93, 2: 1.1}
_SKY_MS, _SUPPLY_MS, _SHADOW_MS = 240_000, 1_800_000, 60_000
# A canyon is as deep as the houses of each block are high; blocks are about this long. By judgement.
_BLOCK_M, _BLOCK_DEPTH = 100.0, (0.6, 1.4)
# Into a tunnel the last position is held for about two seconds; a hot start after it. Realism.md section 2.
_HELD_S = 2.0
_REACQUIRE_S = (1.0, 3.0)
# Time to the first fix: cold 26 s (u-blox MAX-M8Q) to 35 s (Teltonika's limit), warm below 25 s and hot below 1 s
# (Teltonika; u-blox has 1 s); the lower ends of the last two by judgement.
_FIRST_FIX_S = {"cold": (26.0, 35.0), "warm": (15.0, 25.0), "hot": (0.5, 1.0)}
# A fix is poor at first, until the satellites are found again one by one; by judgement.
_FRESH_HDOP, _FRESH_SATELLITES, FRESH_S = 1.6, 6.0, 8.0
_LOST_HDOP = 99.99
_SPEED_SIGMA_MS, _HEADING_SIGMA_DEG = 0.05, 0.3
_COURSE_FROM_MS = 0.8
"""Slower than this a receiver leaves the course empty (73 of 73 static epochs of gpsd's captures)."""
Start = Literal["cold", "warm", "hot"]


class PowerOn(NamedTuple):
    """Hold when receivers were powered on, and what they knew then."""

    at_ms: int
    start: Start


class UnitNoise(NamedTuple):
    """Hold what changes slowly around units, each of mean 0 and variance 1; [axis, row] or a value a row."""

    drift: Floats
    flicker: Floats
    """Errors on three axes, the slow and the fast."""
    sky: Floats
    supply: Floats
    shadow: Floats
    """Around the modem."""


@dataclass(frozen=True, slots=True)
class Fix:
    """Hold what receivers make of the sky; one value a row."""

    known: Flags
    """Whether there is a fix."""
    is_3d: Flags
    latitude: Floats
    longitude: Floats
    altitude_m: Floats
    speed_ms: Floats
    heading_deg: Floats
    has_heading: Flags
    hdop: Floats
    satellites: Ints


def unit_noise(world: World, keys: Hashes, times: Ints) -> UnitNoise:
    """Return what changes slowly around the units `keys` at these times; drawn at once, as most of it costs alike."""
    found = _noise_sources(world.seed).at(keys, times)
    return UnitNoise(found[0:3], found[3:6], *found[6:])


@lru_cache(16)
def _noise_sources(seed: int) -> NoiseSources:
    streams = (
        hash_bits(seed, "receiver/error", np.arange(6)),
        hash_bits(seed, "receiver/sky", 0),
        hash_bits(seed, "vehicle/battery"),
        hash_bits(seed, "modem/shadow"),
    )
    errors = [period for period in (_SLOW_MS, _FAST_MS) for _axis in range(3)]
    return NoiseSources(np.concatenate(streams), [*errors, _SKY_MS, _SUPPLY_MS, _SHADOW_MS])


@lru_cache(16)
def _canyon_noise_sources(seed: int) -> NoiseSources:
    """Return those of the errors on three axes by way of walls, and of how much of the sky a street leaves."""
    streams = hash_bits(seed, "receiver/error", np.arange(6, 9)), hash_bits(seed, "receiver/sky", 1)
    return NoiseSources(np.concatenate(streams), [_CANYON_MS] * 4)


def satellite_fix(
    world: World,
    keys: Hashes,
    sites: Ints,
    times: Ints,
    moving: Motion,
    power_on: PowerOn,
    noise: UnitNoise,
    *,
    scale: float,
    losses: bool,
    unfound: Floats | None = None,
) -> Fix:
    """Return the fixes of receivers `keys` that move like this; errors are `scale` times the usual.

    `unfound` is the share of satellites that they have yet to find again, 0 to 1; None: a fault made them lose none.
    HDOP, satellites and error go together: all three come from how much of the sky is open, and for how long.
    """
    seed = world.seed
    view = _sky_view(world, keys, sites, times, moving, power_on, losses)
    fresh = np.exp(-view.since_s / FRESH_S)
    if unfound is not None:
        fresh = np.maximum(fresh, unfound)
    draws = EntityDraws(seed, keys)
    canyons = _canyons(world, keys, sites, times, moving)
    shade = np.zeros(len(times))
    shade[canyons.rows] = canyons.shade
    if world.version == 1:
        hdop = np.clip(_OPEN_HDOP + 0.1 * np.abs(noise.sky) + _CANYON_HDOP * shade**2 + _FRESH_HDOP * fresh, 0.6, 12)
        dense = _DENSE_SKY + 1.2 * noise.sky - 7.0 * shade - _FRESH_SATELLITES * fresh
        satellites = np.clip(np.rint(dense), 3, 24).astype(np.int64)
    else:
        # Houses hide the low ones first, a fresh fix begins with the high ones: dilution follows from those left.
        visible, dilution = components(world).constellation.usable(sites, times)
        left = visible + 0.4 * noise.sky - 5.0 * shade - _FRESH_SATELLITES * fresh
        satellites = np.clip(np.rint(left), FEWEST_USED, np.clip(visible, FEWEST_USED, MOST_USED)).astype(np.int64)
        hdop = dilution(satellites)
    known = ~view.lost
    errors = _open_sky_errors_m(noise, draws.bits("receiver/white", times), hdop / _USUAL_HDOP[world.version])
    errors[:, canyons.rows] += canyons.bias_m
    east, north, up = scale * errors
    held = np.flatnonzero(view.held_m)
    course, held_m = np.radians(moving.heading_deg[held]), view.held_m[held]
    east[held] -= held_m * np.sin(course)
    north[held] -= held_m * np.cos(course)
    white = draws.bits("receiver/speed", times)
    flutter, swing = normals(white)
    speed = np.maximum(moving.speed_ms + _SPEED_SIGMA_MS * scale * flutter, 0)
    site_arrays = components(world).site_arrays
    return Fix(
        known,
        known & (satellites >= 4),
        np.clip(moving.latitude + north / METRES_PER_DEGREE, -90, 90),
        (moving.longitude + east / site_arrays.metres_per_longitude[sites] + 180) % 360 - 180,
        site_arrays.altitude_m[sites] + _VERTICAL * up,
        speed,
        within_turn(moving.heading_deg + _HEADING_SIGMA_DEG * scale * swing),
        known & (moving.speed_ms >= _COURSE_FROM_MS),
        np.where(known, hdop, _LOST_HDOP),
        np.where(known, satellites, (white % np.uint64(3)).astype(np.int64)),
    )


def battery_v(moving: Motion, noise: UnitNoise) -> Floats:
    """Return the supply of a vehicle in 10 mV: about 14.1 V while the generator charges, 12.6 V at rest."""
    volts: Floats = np.where(moving.on_trip, 14.1 + 0.12 * noise.supply, 12.55 + 0.06 * noise.supply)
    return volts.round(2)


def signal_dbm(world: World, keys: Hashes, sites: Ints, times: Ints, moving: Motion, noise: UnitNoise) -> Ints:
    """Return the received signal of the modem: weaker in the country and in tunnels, shadowed over a minute, fading."""
    rural = components(world).roads.plan.road_class[moving.road] == LANE
    fading = normal(EntityDraws(world.seed, keys).bits("modem/fading", times))
    mean = -76 - 11 * rural - 25 * _in_tunnel(world, sites, moving)
    level: Ints = np.clip(np.rint(mean + 6 * noise.shadow + 2.5 * fading), -118, -51).astype(np.int64)
    return level


def _open_sky_errors_m(noise: UnitNoise, bits: Hashes, dilution: Floats) -> Floats:
    """Return the errors to the east, north and up under an open sky; `bits` are other ones for each reading."""
    white = np.stack([*normals(bits), normal(extend(bits, 1))])
    return np.asarray(dilution * (_SLOW_M * noise.drift + _FAST_M * noise.flicker + _WHITE_M * white))


def _with_tunnel(world: World, sites: Ints, moving: Motion) -> tuple[Ints, Floats, Floats]:
    """Return the rows on roads that have a tunnel, and where along the road that begins and ends."""
    roads = components(world).roads
    rows = np.flatnonzero(roads.has_tunnel[sites, moving.road])
    begin, end = roads.tunnel_m[sites[rows], moving.road[rows]].T
    return rows, begin, end


def _in_tunnel(world: World, sites: Ints, moving: Motion) -> Flags:
    inside = np.zeros(len(sites), dtype=np.bool_)
    rows, begin, end = _with_tunnel(world, sites, moving)
    along = moving.along_m[rows]
    inside[rows] = (along >= begin) & (along <= end)
    return inside


class _SkyView(NamedTuple):
    """Hold what receivers see of the sky."""

    lost: Flags
    """Whether they have no fix."""
    since_s: Floats
    """For how long they have had one; endless where it has been long."""
    held_m: Floats
    """How far behind the vehicle the position stays that they hold."""


class _Canyons(NamedTuple):
    """Holds the readings between high buildings; two in three are in the open, and need no draws for this."""

    rows: Ints
    shade: Floats
    """Of each of these rows, how much of the sky is hidden."""
    bias_m: Floats
    """[axis, row] by how much signals that arrive by way of walls mislead."""


def _canyons(world: World, keys: Hashes, sites: Ints, times: Ints, moving: Motion) -> _Canyons:
    """Return which readings are between high buildings, block by block, and what comes of it."""
    roads, site_keys = components(world).roads, components(world).site_arrays.keys
    shallow, deep = _BLOCK_DEPTH
    rows = np.flatnonzero(roads.canyon[sites, moving.road])
    road, block = moving.road[rows], (moving.along_m[rows] / _BLOCK_M).astype(np.int64)
    blocks = EntityDraws(world.seed, site_keys[sites[rows]], road, block)
    depth = shallow + (deep - shallow) * uniform(blocks.bits("road/block"))
    noise = _canyon_noise_sources(world.seed).at(keys[rows], times[rows])
    shade = depth * np.clip(0.6 + 0.5 * noise[3], 0, 1.4)
    return _Canyons(rows, shade, shade * _CANYON_BIAS_M * noise[:3])


def _sky_view(
    world: World, keys: Hashes, sites: Ints, times: Ints, moving: Motion, power_on: PowerOn, losses: bool
) -> _SkyView:
    """Return the view of the sky: no fix until the first after power-on, nor in tunnels and just after them."""
    shortest, longest = _FIRST_FIX_S[power_on.start]
    runs = Runs(keys)
    bits = hash_bits(world.seed, "receiver/first", keys[runs.first], power_on.at_ms)
    first = runs.spread(shortest + (longest - shortest) * uniform(bits))
    # What a device would have read before it was powered on is that of one in order.
    since = np.where(times < power_on.at_ms, np.inf, (times - power_on.at_ms) / 1000 - first)
    lost, held = since < 0, np.zeros(len(times))
    if losses:
        rows, begin, end = _with_tunnel(world, sites, moving)
        along = moving.along_m[rows]
        inside = np.where(moving.forward[rows], along - begin, end - along)
        behind = np.flatnonzero(inside >= 0)
        rows, inside, beyond = rows[behind], inside[behind], (inside - (end - begin))[behind]
        shortest, longest = _REACQUIRE_S
        # The same for the whole passage: one draw an hour.
        bits = hash_bits(world.seed, "receiver/back", keys[rows], times[rows] // 3_600_000)
        back = shortest + (longest - shortest) * uniform(bits)
        speed = np.maximum(moving.speed_ms[rows], 1.0)
        holds = (inside < _HELD_S * speed) & (beyond <= 0)
        waits = np.minimum(since[rows], beyond / speed - back)
        lost[rows] |= (waits < 0) & ~holds
        since[rows], held[rows] = np.where(holds, np.inf, waits), np.where(holds, inside, 0.0)
    return _SkyView(lost, np.maximum(since, 0), held)
