"""What the gps and the telematics unit of a vehicle have in common: its receiver and its supply."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.world import World
from devices.world.noise import fractal, smooth
from devices.world.rng import Floats, Ints, draw, normal, uniform
from devices.world.roads import EARTH_M_PER_DEG, ROADS, Motion, motion

_CITY_ROADS, _HIGHWAY = (0, 3), 1
_LENGTH_M = np.array([2 * np.pi * road.radius_m for road in ROADS])
_TUNNEL_SHARE = 0.015
_HOLD_S, _SETTLE_S, _JUMP_M = 2.0, 4.0, 12.0
_TRIP_OF_JUMP_MS = 300_000
# Street canyons come and go over blocks of this length.
_BLOCK_M = 150


@dataclass(frozen=True, slots=True)
class Fix:
    """What the receiver makes of the sky; one value a row."""

    has_fix: NDArray[np.bool_]
    is_3d: NDArray[np.bool_]
    hdop: Floats
    satellites: Ints
    latitude: Floats
    longitude: Floats
    altitude_m: Floats


def drive(world: World, sites: Ints, vehicles: Ints, times: Ints) -> Motion:
    """The true motion of these vehicles."""
    return motion(world, sites, vehicles, times)


def receive(world: World, moving: Motion, sites: Ints, vehicles: Ints, times: Ints) -> Fix:
    """The fix at each moment. Errors are correlated in time, and grow together with HDOP as satellites are lost.

    Per axis and at HDOP 1: 1.9 m over 300 s, 0.7 m over 30 s and 0.15 m of white noise, which is the 2.5 m CEP of a
    u-blox MAX-M8Q. In a street canyon HDOP rises, satellites go and reflections pull the position 5 to 30 m aside. In
    a tunnel the position is held for two seconds, then there is none until 1 to 3 s after its end (a hot start); the
    first positions after it are off and settle within seconds.
    """
    entity = sites * 1_000_003 + vehicles
    canyon, reflected_m = _canyon(world, sites, moving)
    held, lost, into_m, settling = _tunnel(world, sites, vehicles, moving)
    sky = np.abs(smooth(world.seed, "gps/sky", entity, times, 600_000))
    hdop = np.clip(0.85 + 0.18 * sky + 2.4 * canyon + 1.5 * settling, 0.6, 20)
    hdop = np.where(held, 6.0, hdop)
    satellites = np.clip(np.rint(15 - 3.2 * (hdop - 0.8)), 4, 20).astype(np.int64)
    heading = np.radians(moving.heading_deg)
    aside = [
        _error_m(world, axis, entity, times) * hdop
        + reflected_m * smooth(world.seed, f"gps/reflection/{axis}", entity, times, 20_000)
        + _JUMP_M * settling * normal(draw(world.seed, f"gps/jump/{axis}", entity, times // _TRIP_OF_JUMP_MS))
        for axis in ("n", "e")
    ]
    north = np.where(held, -into_m * np.cos(heading), aside[0])
    east = np.where(held, -into_m * np.sin(heading), aside[1])
    height = 100 + 1.7 * _error_m(world, "u", entity, times) * hdop
    return Fix(
        ~lost,
        satellites >= 5,
        np.where(lost, 99.99, np.round(hdop, 2)),
        np.where(lost, 0, satellites),
        moving.latitude + north / EARTH_M_PER_DEG,
        moving.longitude + east / (EARTH_M_PER_DEG * np.cos(np.radians(moving.latitude))),
        height,
    )


def _canyon(world: World, sites: Ints, moving: Motion) -> tuple[NDArray[np.bool_], Floats]:
    """Whether tall buildings stand at each place, and how far their reflections pull a position (m)."""
    metres = (moving.around * _LENGTH_M[moving.roads]).astype(np.int64)
    road = sites * len(ROADS) + moving.roads
    inside = np.isin(moving.roads, _CITY_ROADS) & (smooth(world.seed, "road/canyon", road, metres, _BLOCK_M) > 1.1)
    pull = 5 + 25 * uniform(draw(world.seed, "road/canyon/pull", road, metres // _BLOCK_M))
    return inside, np.where(inside, pull, 0.0)


def _tunnel(
    world: World, sites: Ints, vehicles: Ints, moving: Motion
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Floats, Floats]:
    """Whether the position is held, or lost; metres into the tunnel; and 1 just after reacquisition, falling to 0."""
    length = _LENGTH_M[moving.roads]
    begin = uniform(draw(world.seed, "road/tunnel", sites, moving.roads))
    into_m = ((moving.around - begin) % 1.0) * length
    tunnel_m = _TUNNEL_SHARE * length
    lap = np.floor(moving.distance_m / length - begin).astype(np.int64)
    wait_s = 1 + 2 * uniform(draw(world.seed, "gps/reacquire", sites, vehicles, lap))
    speed = np.maximum(moving.speed_ms, 1.0)
    has_tunnel = moving.roads == _HIGHWAY
    within = has_tunnel & (into_m < tunnel_m + wait_s * speed)
    held = has_tunnel & (into_m < _HOLD_S * speed)
    since_s = (into_m - tunnel_m) / speed - wait_s
    settling = np.where(has_tunnel & ~within, np.exp(-np.maximum(since_s, 0) / _SETTLE_S), 0.0)
    return held, within & ~held, into_m, np.where(settling > 0.01, settling, 0.0)


def battery_v(world: World, sites: Ints, vehicles: Ints, times: Ints) -> Floats:
    """Supply of a running engine: about 13.9 V, in steps of 10 mV."""
    entity = sites * 1_000_003 + vehicles
    return np.round(13.9 + 0.18 * smooth(world.seed, "vehicle/battery", entity, times, 1_800_000), 2)


def signal_dbm(world: World, sites: Ints, vehicles: Ints, times: Ints) -> Ints:
    """Received signal of the modem in dBm: shadowing over a minute, fading from sample to sample."""
    entity = sites * 1_000_003 + vehicles
    slow = smooth(world.seed, "vehicle/signal", entity, times, 60_000)
    fast = normal(draw(world.seed, "vehicle/fading", entity, times))
    return np.clip(np.rint(-79 + 8 * slow + 2.5 * fast), -113, -51).astype(np.int64)


def _error_m(world: World, axis: str, entity: Ints, times: Ints) -> Floats:
    return (
        1.9 * fractal(world.seed, f"gps/slow/{axis}", entity, times, 300_000)
        + 0.7 * smooth(world.seed, f"gps/fast/{axis}", entity, times, 30_000)
        + 0.15 * normal(draw(world.seed, f"gps/white/{axis}", entity, times))
    )
