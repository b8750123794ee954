"""Draws up the map of a run that is over: where its vehicles and devices were follows from scenario and time."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from devices.fleet.device_map import DeviceMap
from devices.scenario.device_group import DeviceGroup
from devices.scenario.devices import Device
from devices.scenario.scenario import Scenario
from devices.world.world import World
from edgefleet.control.run_map import (
    MOST_DEVICES,
    MapPlaces,
    join_places,
    list_devices,
    site_number,
    site_roads,
    site_weather,
)


class _Recorded(Protocol):
    @property
    def last(self) -> Scenario: ...

    @property
    def devices(self) -> list[tuple[Device, DeviceGroup]]: ...


class _Placed:
    """Is a device of which the map is asked; whether it was connected, no record tells."""

    __slots__ = ("device",)

    def __init__(self, device: Device) -> None:
        self.device = device


class RecordedMap:
    """Makes the map at an instant of the devices' time, or at the end of what is known."""

    def __init__(self, load: Callable[[], _Recorded], first_ms: int, last_ms: int) -> None:
        """Take who reads the scenario: it is asked once somebody looks, and may raise `ConfigError`.

        What is asked for another time than that of the run is told of its start or its end.
        """
        self._load = load
        self._first_ms, self._last_ms = first_ms, last_ms
        self._turn = asyncio.Lock()
        self._map: DeviceMap[_Placed] = DeviceMap()
        self._world: World | None = None
        self._devices: list[_Placed] = []
        self._total = 0

    async def sites(self, at_ms: int | None = None) -> list[dict[str, Any]]:
        """Return the sites with the weather they had."""
        world = await self._ready()
        return await asyncio.to_thread(site_weather, world, self._within(at_ms))

    async def roads(self, site: str) -> dict[str, Any]:
        """Return the roads of a site. Raises `ConfigError` where there is none of this name."""
        world = await self._ready()
        return await asyncio.to_thread(site_roads, world, site_number(world, site))

    async def devices(self) -> dict[str, Any]:
        """Return the devices that the map shows."""
        world = await self._ready()
        rows = [await self._locate(world, self._last_ms, with_ids=True)]
        return list_devices(rows, [site.name for site in world.sites], self._total)

    async def places(self, at_ms: int | None = None) -> MapPlaces:
        """Return where these devices were."""
        world = await self._ready()
        return join_places([await self._locate(world, self._within(at_ms), with_ids=False)])

    def _within(self, at_ms: int | None) -> int:
        return self._last_ms if at_ms is None else min(max(at_ms, self._first_ms), self._last_ms)

    async def _locate(self, world: World, at_ms: int, *, with_ids: bool) -> dict[str, Any]:
        return await self._map.locate(self._devices, lambda _: world, lambda _: "connected", at_ms, with_ids=with_ids)

    async def _ready(self) -> World:
        async with self._turn:
            if self._world is None:
                found = await asyncio.to_thread(self._load)
                self._total = len(found.devices)
                every = max(1, -(-self._total // MOST_DEVICES))
                self._devices = [_Placed(device) for device, _ in found.devices[::every]]
                scenario = found.last
                self._world = World.build(scenario.seed, tuple(scenario.sites), version=scenario.world)
            return self._world
