"""GPS unit of a vehicle."""

import numpy as np
from pydantic import Field

from devices.sensors.base import Columns, Ints, Population, nullable
from devices.sensors.nmea import sentences
from devices.sensors.vehicle import battery_v, drive, receive, signal_dbm
from devices.world import World
from devices.world.rng import draw
from edgewire.config import Config

# Receivers leave the course empty below walking pace.
_COURSE_FROM_KMH = 4.0
_SKY_MS = 1_800_000


class Settings(Config):
    """What an operator of a GPS unit may choose."""

    decimals: int = Field(default=6, ge=3, le=8)
    """Of latitude and longitude: 6 is about 0.1 m."""
    nmea: bool = False
    """Whether messages carry the receiver's NMEA sentences beside the position."""


class GpsSensor:
    """Many GPS units with the same settings; unit n rides in vehicle n."""

    def __init__(self, settings: Settings, population: Population) -> None:
        self._decimals = settings.decimals
        self._nmea = settings.nmea
        self._population = population

    def sample(self, world: World, ids: Ints, times: Ints) -> Columns:
        """Fixes; without one, position, speed and heading are None."""
        sites, vehicles = self._population.sites[ids], self._population.ordinals[ids]
        moving = drive(world, sites, vehicles, times)
        fix = receive(world, moving, sites, vehicles, times)
        speed = np.round(moving.speed_ms * 3.6, 1)
        heading = np.round(moving.heading_deg, 1) % 360
        known = fix.has_fix
        columns: Columns = {
            "vehicle_id": [f"V{number:04d}" for number in vehicles.tolist()],
            "fix": np.select([~known, ~fix.is_3d], ["none", "2d"], "3d").tolist(),
            "latitude": nullable(np.round(fix.latitude, self._decimals), known),
            "longitude": nullable(np.round(fix.longitude, self._decimals), known),
            "altitude_m": nullable(np.round(fix.altitude_m, 1), known & fix.is_3d),
            "speed_kmh": nullable(speed, known),
            "heading_deg": nullable(heading, known & (speed >= _COURSE_FROM_KMH)),
            "hdop": fix.hdop,
            "satellites": fix.satellites,
            "battery_v": battery_v(world, sites, vehicles, times),
            "signal_dbm": signal_dbm(world, sites, vehicles, times),
        }
        if self._nmea:
            columns["nmea"] = self._sentences(world, ids, times, columns)
        return columns

    def _sentences(self, world: World, ids: Ints, times: Ints, columns: Columns) -> list[list[str]]:
        """The same epoch as the receiver words it."""
        # Satellites cross the sky in hours; which are used changes every half of one.
        first = draw(world.seed, "gps/satellites", self._population.sites[ids], times // _SKY_MS) % np.uint64(32)
        names = ("latitude", "longitude", "altitude_m", "speed_kmh", "heading_deg")
        rows = zip(
            times.tolist(),
            *(columns[name] for name in names),
            np.asarray(columns["hdop"]).tolist(),
            np.asarray(columns["satellites"]).tolist(),
            (first + np.uint64(1)).tolist(),
            strict=True,
        )
        return [sentences(*row) for row in rows]
