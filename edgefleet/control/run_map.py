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
        return list_devices(rows, [site.name for site in self._scenario().sites], self._total())

    async def places(self, at_ms: int | None = None) -> MapPlaces:
        """Return where these devices are, as it was at most `PLACES_S` ago, or longer where that is dear to know."""
        _require_now(at_ms)
        async with self._turn:
            if self._places is None or time.monotonic() >= self._due_s:
                begun_s = time.monotonic()
                self._places = join_places(await self._ask(with_ids=False))
                now_s = time.monotonic()
                self._due_s = begun_s + max(PLACES_S, REST * (now_s - begun_s))
            return self._places

    async def sites(self, at_ms: int | None = None) -> list[dict[str, Any]]:
        """Return the sites with the weather they have."""
        _require_now(at_ms)
        async with self._turn:
            if time.monotonic() >= self._sites_due_s:
                self._sites = await asyncio.to_thread(site_weather, self._current_world(), self._device_time_ms())
                self._sites_due_s = time.monotonic() + WEATHER_S
            return self._sites

    async def roads(self, site: str) -> dict[str, Any]:
        """Return the roads of a site in metres east and north of it. Raises `ConfigError` where there is none."""
        async with self._turn:
            world = self._current_world()
            number = site_number(world, site)
            return await asyncio.to_thread(site_roads, world, number)

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


def _require_now(at_ms: int | None) -> None:
    if at_ms is not None:
        raise ConfigError("at_ms: a run that goes on tells how it is now: leave it out")


def site_number(world: World, site: str) -> int:
    """Return the number of the site of this name; raises `ConfigError`."""
    number = number_names([one.name for one in world.sites]).get(site)
    if number is None:
        raise ConfigError(f"site: there is no '{site[:100]}': GET /v1/map/sites lists them")
    return number


def number_names(names: Sequence[str]) -> dict[str, int]:
    """Return the place of each name."""
    return {name: number for number, name in enumerate(names)}


def list_devices(rows: Sequence[dict[str, Any]], site_names: Sequence[str], total: int) -> dict[str, Any]:
    """Return the devices of a map by what each process has told of its own; `total` are all that there are."""
    kinds = [kind for row in rows for kind in row["kinds"]]
    sites = [site for row in rows for site in row["sites"]]
    kind_names = sorted(set(kinds))
    number_of_kind, number_of_site = number_names(kind_names), number_names(site_names)
    return {
        "version": _version(rows),
        "of": total,
        "kinds": kind_names,
        "sites": site_names,
        "states": STATES,
        "unit_m": UNIT_M,
        "nowhere": NOWHERE,
        "ids": [one for row in rows for one in row["ids"]],
        "kind": [number_of_kind[one] for one in kinds],
        "site": [number_of_site.get(one, 0) for one in sites],
    }


def join_places(rows: Sequence[dict[str, Any]]) -> MapPlaces:
    """Return where the devices of all processes are."""
    content = b"".join(row[name] for name in ("east", "north", "states") for row in rows)
    return MapPlaces(_version(rows), max(row["at_ms"] for row in rows), content)


def _version(rows: Sequence[dict[str, Any]]) -> str:
    return "-".join(str(row["version"]) for row in rows)


def site_weather(world: World, at_ms: int) -> list[dict[str, Any]]:
    """Return the sites of a world with the weather that they have at an instant of it."""
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


def site_roads(world: World, site: int) -> dict[str, Any]:
    """Return the roads of a site, in metres east and north of it."""
    roads = components(world).roads
    first = roads.first_xy[site]
    last = first + roads.unit_xy[site] * roads.length_m[site][:, None]
    lines = np.rint(np.concatenate([first, last], axis=1)).astype(np.int64)
    return {
        "classes": [{"road_type": kind.road_type, "limit_kmh": kind.limit_kmh} for kind in CLASSES],
        "lines": [[*line, kind] for line, kind in zip(lines.tolist(), roads.plan.road_class.tolist(), strict=True)],
    }
