"""What the gps and the telematics unit of a vehicle have in common: its receiver and its supply."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.world import World
from devices.world.noise import smooth
from devices.world.rng import Floats, Ints, draw, normal, uniform
from devices.world.roads import EARTH_M_PER_DEG, Motion, motion

_CITY_ROADS = (0, 3)
_TUNNEL_SHARE = 0.015


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
    u-blox MAX-M8Q. Between tall buildings HDOP rises; in a tunnel there is no fix.
    """
    entity = sites * 1_000_003 + vehicles
    canyon = np.isin(moving.roads, _CITY_ROADS) & (smooth(world.seed, "gps/canyon", entity, times, 90_000) > 1.1)
    tunnel_at = uniform(draw(world.seed, "road/tunnel", sites, moving.roads))
    in_tunnel = ((moving.around - tunnel_at) % 1.0 < _TUNNEL_SHARE) & (moving.roads == 1)
    hdop = np.clip(0.85 + 0.18 * np.abs(smooth(world.seed, "gps/sky", entity, times, 600_000)) + 2.4 * canyon, 0.6, 20)
    satellites = np.clip(np.rint(15 - 3.2 * (hdop - 0.8)), 4, 20).astype(np.int64)
    north, east = (_error_m(world, axis, entity, times) * hdop for axis in ("n", "e"))
    height = 100 + 1.7 * _error_m(world, "u", entity, times) * hdop
    return Fix(
        ~in_tunnel,
        satellites >= 5,
        np.where(in_tunnel, 99.99, np.round(hdop, 2)),
        np.where(in_tunnel, 0, satellites),
        moving.latitude + north / EARTH_M_PER_DEG,
        moving.longitude + east / (EARTH_M_PER_DEG * np.cos(np.radians(moving.latitude))),
        height,
    )


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
        1.9 * smooth(world.seed, f"gps/slow/{axis}", entity, times, 300_000)
        + 0.7 * smooth(world.seed, f"gps/fast/{axis}", entity, times, 30_000)
        + 0.15 * normal(draw(world.seed, f"gps/white/{axis}", entity, times))
    )
