"""What the gps and the telematics unit of a vehicle have in common: a satellite receiver, a supply, a modem."""

from dataclasses import dataclass

import numpy as np

from devices.world import World
from devices.world.fleet import Motion
from devices.world.network import LANE
from devices.world.noise import smooth, smooth_of
from devices.world.parts import parts
from devices.world.places import METRES_PER_DEGREE
from devices.world.rng import Flags, Floats, Hashes, Ints, draw, further, normal, normals, uniform

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
_OPEN_HDOP, _USUAL_HDOP, _CANYON_HDOP, _DENSE_SKY = 0.85, 0.93, 2.1, 14.0
# The sky above and the street around, drawn at once.
_SKY, _SKY_MS = np.array([[0], [1]]), np.array([[240_000], [_CANYON_MS]])
_REACQUIRE_S = (1.0, 3.0)
"""A hot start after a tunnel."""
_LOST_HDOP = 99.99
_SPEED_SIGMA_MS, _HEADING_SIGMA_DEG = 0.05, 0.3
_COURSE_FROM_MS = 0.8
"""Slower than this a receiver leaves the course empty (73 of 73 static epochs of gpsd's captures)."""


@dataclass(frozen=True, slots=True)
class Fix:
    """What receivers make of the sky; one value a row."""

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


def receive(world: World, keys: Hashes, sites: Ints, times: Ints, moving: Motion, *, scale: float, losses: bool) -> Fix:
    """The fixes of receivers `keys` that move like this; errors are `scale` times the usual.

    HDOP, satellites and error go together: all three come from how much of the sky is open.
    """
    seed = world.seed
    canyon = parts(world).roads.canyon[sites, moving.road] * 1.0
    sky, street = smooth_of(draw(seed, "receiver/sky", _SKY, keys), times, _SKY_MS)
    shade = canyon * np.clip(0.6 + 0.5 * street, 0, 1.4)
    hdop = np.clip(_OPEN_HDOP + 0.1 * np.abs(sky) + _CANYON_HDOP * shade**2, 0.6, 12)
    satellites = np.clip(np.rint(_DENSE_SKY + 1.2 * sky - 7.0 * shade), 3, 24).astype(np.int64)
    known = ~_lost(world, keys, sites, times, moving) if losses else np.ones(len(keys), dtype=np.bool_)
    east, north, up = _errors_m(seed, keys, times, hdop / _USUAL_HDOP, shade, scale)
    white = draw(seed, "receiver/speed", keys, times)
    noise, swing = normals(white)
    speed = np.maximum(moving.speed_ms + _SPEED_SIGMA_MS * scale * noise, 0)
    places = parts(world).places
    return Fix(
        known,
        known & (satellites >= 4),
        np.clip(moving.latitude + north / METRES_PER_DEGREE, -90, 90),
        (moving.longitude + east / places.metres_per_longitude[sites] + 180) % 360 - 180,
        places.altitude_m[sites] + _VERTICAL * up,
        speed,
        (moving.heading_deg + _HEADING_SIGMA_DEG * scale * swing) % 360,
        known & (moving.speed_ms >= _COURSE_FROM_MS),
        np.where(known, hdop, _LOST_HDOP),
        np.where(known, satellites, (white % np.uint64(3)).astype(np.int64)),
    )


def battery_v(world: World, keys: Hashes, times: Ints, moving: Motion) -> Floats:
    """Supply of a vehicle in 10 mV: about 14.1 V while the generator charges, 12.6 V at rest."""
    drift = smooth(world.seed, "vehicle/battery", keys, times, 1_800_000)
    volts: Floats = np.where(moving.on_trip, 14.1 + 0.12 * drift, 12.55 + 0.06 * drift)
    return volts.round(2)


def signal_dbm(world: World, keys: Hashes, sites: Ints, times: Ints, moving: Motion) -> Ints:
    """Received signal of the modem: weaker in the country and in tunnels, shadowed over a minute, fading."""
    rural = parts(world).roads.plan.road_class[moving.road] == LANE
    shadow = smooth(world.seed, "modem/shadow", keys, times, 60_000)
    fading = normal(draw(world.seed, "modem/fading", keys, times))
    mean = -76 - 11 * rural - 25 * _in_tunnel(world, sites, moving)
    level: Ints = np.clip(np.rint(mean + 6 * shadow + 2.5 * fading), -118, -51).astype(np.int64)
    return level


def _errors_m(
    seed: int, keys: Hashes, times: Ints, dilution: Floats, shade: Floats, scale: float
) -> tuple[Floats, Floats, Floats]:
    """East, north and up."""
    slow = smooth_of(draw(seed, "receiver/error", _SOURCES, keys), times, _PERIODS_MS)
    drift, flicker, wall = slow.reshape(3, 3, -1)
    bits = draw(seed, "receiver/white", keys, times)
    white = np.stack([*normals(bits), normal(further(bits, 1))])
    open_sky = dilution * (_SLOW_M * drift + _FAST_M * flicker + _WHITE_M * white)
    east, north, up = scale * (open_sky + shade * _CANYON_BIAS_M * wall)
    return east, north, up


_SOURCES = np.arange(9)[:, None]
"""Three axes of each of the three slow errors, to be drawn at once."""
_PERIODS_MS = np.repeat([_SLOW_MS, _FAST_MS, _CANYON_MS], 3)[:, None]


def _in_tunnel(world: World, sites: Ints, moving: Motion) -> Flags:
    begin, end = parts(world).roads.tunnel_m[sites, moving.road].T
    return np.asarray((moving.along_m >= begin) & (moving.along_m <= end) & (end > 0))


def _lost(world: World, keys: Hashes, sites: Ints, times: Ints, moving: Motion) -> Flags:
    """In a tunnel, and until the receiver is back after it."""
    begin, end = parts(world).roads.tunnel_m[sites, moving.road].T
    shortest, longest = _REACQUIRE_S
    # The same for the whole passage: one draw an hour.
    patience = shortest + (longest - shortest) * uniform(draw(world.seed, "receiver/back", keys, times // 3_600_000))
    behind = patience * moving.speed_ms
    low = np.where(moving.forward, begin, begin - behind)
    high = np.where(moving.forward, end + behind, end)
    return np.asarray((moving.along_m >= low) & (moving.along_m <= high) & (end > 0))
