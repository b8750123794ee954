"""The world that devices measure: weather, roads and vehicles, shops. Pure functions of (seed, entity, time)."""

from devices.world.site import Site
from devices.world.world import World

__all__ = ["Site", "World"]
