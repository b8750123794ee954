"""The components of a world that several kinds of device share are made once a world, on first use."""

from dataclasses import dataclass
from functools import lru_cache, partial

from devices.world.roads import Roads
from devices.world.traffic import Traffic
from devices.world.vehicles.drivers import Drivers
from devices.world.vehicles.trip_cache import TripCache
from devices.world.vehicles.trips import TripPlanner
from devices.world.vehicles.vehicles import Vehicles
from devices.world.weather import weather
from devices.world.world import SiteArrays, World


@dataclass(frozen=True, slots=True)
class Components:
    """Roads and who drives on them."""

    site_arrays: SiteArrays
    roads: Roads
    traffic: Traffic
    drivers: Drivers
    vehicles: Vehicles


@lru_cache(16)
def components(world: World) -> Components:
    """Return the components of this world."""
    site_arrays = SiteArrays(world)
    roads, drivers = Roads(world.seed, site_arrays), Drivers(world.seed, site_arrays)
    air = partial(weather, world)
    traffic = Traffic(world.seed, site_arrays, roads, air)
    planner = TripPlanner(world.seed, site_arrays, roads, traffic, air, drivers, world.speed_boost)
    cache = TripCache(planner, sum(map(len, world.vehicles.values())))
    return Components(site_arrays, roads, traffic, drivers, Vehicles(roads, planner, cache, world.vehicles))
