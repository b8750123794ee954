"""The components of a world that several kinds of device share are made once a world, on first use.

What they are depends on the world's version, here and nowhere below: `_MODELS` has a row a version. Where the sensors
of a kind differ as well, a table beside that kind has them by `World.version`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from devices.world.atmosphere import WaveAtmosphere
from devices.world.drifting_cells import DriftingCells
from devices.world.rare_days import RareDays
from devices.world.roads import Roads
from devices.world.satellites import Constellation
from devices.world.traffic import Traffic
from devices.world.vehicles.day_trips import DayTripPlanner
from devices.world.vehicles.drivers import Drivers
from devices.world.vehicles.schedule import HourlySchedule
from devices.world.vehicles.trip_cache import TripCache
from devices.world.vehicles.trips import TripPlanner
from devices.world.vehicles.vehicles import Vehicles
from devices.world.weather import Atmosphere
from devices.world.world import SiteArrays, World


@dataclass(frozen=True, slots=True)
class _Models:
    """Names what one version of the world is made of."""

    atmosphere: Callable[[World], Atmosphere]
    rare_days: Callable[[World, SiteArrays, Atmosphere], RareDays] | None
    planner: Callable[[World, SiteArrays, Roads, Traffic, Atmosphere, Drivers, RareDays | None], TripPlanner]


def _hourly_trips(
    world: World,
    site_arrays: SiteArrays,
    roads: Roads,
    traffic: Traffic,
    atmosphere: Atmosphere,
    drivers: Drivers,
    _rare_days: RareDays | None,
) -> TripPlanner:
    schedule = HourlySchedule(drivers)
    return TripPlanner(
        world.seed, site_arrays, roads, traffic, atmosphere.weather, drivers, schedule, world.speed_boost
    )


_MODELS: Mapping[int, _Models] = {
    1: _Models(atmosphere=DriftingCells, rare_days=None, planner=_hourly_trips),
    2: _Models(atmosphere=WaveAtmosphere, rare_days=RareDays, planner=DayTripPlanner),
}


@dataclass(frozen=True, slots=True)
class Components:
    """Weather, roads and who drives on them."""

    atmosphere: Atmosphere
    site_arrays: SiteArrays
    roads: Roads
    traffic: Traffic
    drivers: Drivers
    vehicles: Vehicles
    constellation: Constellation
    rare_days: RareDays | None
    """Snow and events in town; None where no site has any."""


@lru_cache(16)
def components(world: World) -> Components:
    """Return the components of this world."""
    models = _MODELS[world.version]
    site_arrays = SiteArrays(world)
    roads, drivers = Roads(world.seed, site_arrays), Drivers(world.seed, site_arrays)
    atmosphere = models.atmosphere(world)
    is_holiday = world.is_holiday if world.version > 1 else None
    rare_days = None
    if models.rare_days is not None and any(site.snow or site.town_events for site in world.sites):
        rare_days = models.rare_days(world, site_arrays, atmosphere)
    traffic = Traffic(world.seed, site_arrays, roads, atmosphere.weather, is_holiday, rare_days)
    planner = models.planner(world, site_arrays, roads, traffic, atmosphere, drivers, rare_days)
    cache = TripCache(planner, roads, sum(map(len, world.vehicles.values())))
    vehicles = Vehicles(roads, planner, cache, world.vehicles)
    return Components(atmosphere, site_arrays, roads, traffic, drivers, vehicles, Constellation(site_arrays), rare_days)
