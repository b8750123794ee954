"""Draws up the map of a run: its sites with their roads and weather, and where its devices are at the moment.

What is asked of the processes is kept for a while, however many look: to know where vehicles are takes time that is
the fleet's.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from devices.fleet.device_map import NOWHERE, STATES, UNIT_M
from devices.fleet.steering import LocateDevices
from devices.scenario.scenario import Scenario
from devices.world.components import components
from devices.world.roads import CLASSES
from devices.world.sun import sun_elevation_deg
from devices.world.world import World
from edgefleet.launch.requests import Shards
from edgewire.errors import ConfigError, ServiceUnavailable

PLACES_S = 2.0
REST = 8
"""Times as long as the processes have taken they are not asked again."""
MOST_DEVICES = 50_000
"""That are drawn one by one; of more than these every second, third and so on is."""
MOST_SITES = 1000
WEATHER_S = 5.0


class MapPlaces(NamedTuple):
    """Holds where the devices are: east and north of their sites as int16 each, then a byte of state each."""

    version: str
    """Of the list of devices, `RunMap.devices`, that they are in the order of."""
    at_ms: int
    """The devices' time."""
    content: bytes


class RunMap:
    """Makes the map, on the event loop of the run."""

    def __init__(self, shards: Shards, scenario: Callable[[], Scenario], device_time_ms: Callable[[], int]) -> None:
        self._shards = shards
        self._scenario = scenario
        self._device_time_ms = device_time_ms
        self._turn = asyncio.Lock()
        self._places: MapPlaces | None = None
        self._due_s = -math.inf
        self._world: World | None = None
        self._sites: list[dict[str, Any]] = []
        self._sites_due_s = -math.inf

    async def devices(self) -> dict[str, Any]:
        """Return the devices that the map shows: ids, and numbers of their kinds and sites."""
        rows = await self._ask(with_ids=True)
        kinds = [kind for row in rows for kind in row["kinds"]]
        sites = [site for row in rows for site in row["sites"]]
        kind_names, site_names = sorted(set(kinds)), [site.name for site in self._scenario().sites]
        number_of_kind, number_of_site = _numbers(kind_names), _numbers(site_names)
        return {
            "version": _version(rows),
            "of": self._total(),
            "kinds": kind_names,
            "sites": site_names,
            "states": STATES,
            "unit_m": UNIT_M,
            "nowhere": NOWHERE,
            "ids": [one for row in rows for one in row["ids"]],
            "kind": [number_of_kind[one] for one in kinds],
            "site": [number_of_site.get(one, 0) for one in sites],
        }

    async def places(self) -> MapPlaces:
        """Return where these devices are, as it was at most `PLACES_S` ago, or longer where that is dear to know."""
        async with self._turn:
            if self._places is None or time.monotonic() >= self._due_s:
                begun_s = time.monotonic()
                rows = await self._ask(with_ids=False)
                content = b"".join(row[name] for name in ("east", "north", "states") for row in rows)
                at_ms = max((row["at_ms"] for row in rows), default=self._device_time_ms())
                self._places = MapPlaces(_version(rows), at_ms, content)
                now_s = time.monotonic()
                self._due_s = begun_s + max(PLACES_S, REST * (now_s - begun_s))
            return self._places

    async def sites(self) -> list[dict[str, Any]]:
        """Return the sites with the weather they have."""
        async with self._turn:
            if time.monotonic() >= self._sites_due_s:
                self._sites = await asyncio.to_thread(_weather, self._current_world(), self._device_time_ms())
                self._sites_due_s = time.monotonic() + WEATHER_S
            return self._sites

    async def roads(self, site: str) -> dict[str, Any]:
        """Return the roads of a site in metres east and north of it. Raises `ConfigError` where there is none."""
        async with self._turn:
            world = self._current_world()
            number = _numbers([one.name for one in world.sites]).get(site)
            if number is None:
                raise ConfigError(f"site: there is no '{site[:100]}': GET /v1/map/sites lists them")
            return await asyncio.to_thread(_roads, world, number)

    async def _ask(self, *, with_ids: bool) -> Sequence[dict[str, Any]]:
        answer = await self._shards.ask(LocateDevices(with_ids=with_ids, every=-(-self._total() // MOST_DEVICES)))
        if not answer.rows:
            raise ServiceUnavailable("no device is there yet")
        return answer.rows

    def _total(self) -> int:
        return max(1, sum(group.size for group in self._scenario().devices))

    def _current_world(self) -> World:
        scenario = self._scenario()
        sites = tuple(scenario.sites[:MOST_SITES])
        if self._world is None or self._world.sites != sites:
            self._world = World.build(scenario.seed, sites, version=scenario.world)
        return self._world


def _numbers(names: Sequence[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


def _version(rows: Sequence[dict[str, Any]]) -> str:
    return "-".join(str(row["version"]) for row in rows)


def _weather(world: World, at_ms: int) -> list[dict[str, Any]]:
    numbers = np.arange(len(world.sites))
    times = np.full(len(numbers), at_ms, dtype=np.int64)
    atmosphere = components(world).atmosphere
    weather, air = atmosphere.weather(numbers, times), atmosphere.outdoor_air(numbers, times)
    columns = zip(
        world.sites,
        weather.conditions(),
        *(
            np.round(column, 1).tolist()
            for column in (air.temperature_c, air.humidity, air.pressure_hpa, weather.wind, weather.rain)
        ),
        np.round(sun_elevation_deg(world, numbers, times), 1).tolist(),
        strict=True,
    )
    return [
        {
            "site": site.name,
            "latitude": site.latitude,
            "longitude": site.longitude,
            "conditions": conditions,
            "temperature_c": temperature,
            "humidity": humidity,
            "pressure_hpa": pressure,
            "wind_ms": wind,
            "rain": rain,
            "sun_deg": sun,
        }
        for site, conditions, temperature, humidity, pressure, wind, rain, sun in columns
    ]


def _roads(world: World, site: int) -> dict[str, Any]:
    roads = components(world).roads
    first = roads.first_xy[site]
    last = first + roads.unit_xy[site] * roads.length_m[site][:, None]
    lines = np.rint(np.concatenate([first, last], axis=1)).astype(np.int64)
    return {
        "classes": [{"road_type": kind.road_type, "limit_kmh": kind.limit_kmh} for kind in CLASSES],
        "lines": [[*line, kind] for line, kind in zip(lines.tolist(), roads.plan.road_class.tolist(), strict=True)],
    }
