"""What the shared world says to fields of declared kinds: weather, sun, time, traffic, and people in shops.

`weather.temperature_c` is of the device's own site; behind an `@` stands another site, or the camera or people counter
whose road or shop it is: `traffic.flow@traffic-0002`, `people.inside@people-0001`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from devices.sensors.base import Neighbour, Population
from devices.sensors.people.sensor import PeopleSensor, PeopleSettings
from devices.sensors.traffic.view import camera_views
from devices.world.components import components
from devices.world.random import Floats, Hashes, Ints
from devices.world.roads import KMH
from devices.world.sun import sun_elevation_deg
from devices.world.world import DAY_MS, HOUR_MS, World, weekday
from edgewire.config_errors import closest
from edgewire.errors import ConfigError

_YEAR_BEGINS = "datetime64[Y]"


@dataclass(frozen=True, slots=True)
class Rows:
    """Says for which readings values are asked; every array has one entry a row."""

    world: World
    keys: Hashes
    sites: Ints
    times: Ints
    interval_ms: Ints

    def __len__(self) -> int:
        return len(self.times)


_Compute = Callable[[Rows], Floats]


def _air(name: str) -> _Compute:
    return lambda rows: np.asarray(
        getattr(components(rows.world).atmosphere.outdoor_air(rows.sites, rows.times), name), dtype=np.float64
    )


def _weather(name: str) -> _Compute:
    return lambda rows: np.asarray(
        getattr(components(rows.world).atmosphere.weather(rows.sites, rows.times), name), dtype=np.float64
    )


def _local_ms(rows: Rows) -> Ints:
    return rows.world.local_ms(rows.sites, rows.times)


def _hour(rows: Rows) -> Floats:
    return np.asarray(_local_ms(rows) % DAY_MS / HOUR_MS)


def _weekday(rows: Rows) -> Floats:
    return weekday(_local_ms(rows) // DAY_MS).astype(np.float64)


def _day_of_year(rows: Rows) -> Floats:
    days = (_local_ms(rows) // DAY_MS).astype("datetime64[D]")
    return np.asarray((days - days.astype(_YEAR_BEGINS)).astype(np.int64) + 1, dtype=np.float64)


def _holiday(rows: Rows) -> Floats:
    return rows.world.is_holiday(rows.sites, _local_ms(rows) // DAY_MS).astype(np.float64)


def _flow(name: str, factor: float = 1.0) -> _Compute:
    def compute(rows: Rows) -> Floats:
        roads = camera_views(rows.world, rows.keys, rows.sites).roads
        flow = components(rows.world).traffic.flow_at(rows.sites, roads, rows.times)
        return np.asarray(getattr(flow, name), dtype=np.float64) * factor

    return compute


class Signal(NamedTuple):
    """Says what the world is asked."""

    meaning: str
    """With its unit."""
    compute: _Compute | None
    """None of what a people counter tells, which `SignalReader` asks."""
    place: str = "site"
    """What may stand behind an `@`: a `site`, or the id of a device of this kind."""
    is_whole: bool = False


SIGNALS: Mapping[str, Signal] = {
    "weather.temperature_c": Signal("air temperature outdoors, °C", _air("temperature_c")),
    "weather.humidity": Signal("relative humidity outdoors, %", _air("humidity")),
    "weather.dew_point_c": Signal("dew point outdoors, °C", _air("dew_point_c")),
    "weather.pressure_hpa": Signal("air pressure at the site's altitude, hPa", _air("pressure_hpa")),
    "weather.wind_ms": Signal("mean wind at 10 m, m/s", _weather("wind")),
    "weather.rain": Signal("rain, 0 dry to 1 heavy", _weather("rain")),
    "weather.fog": Signal("fog, 0 clear to 1 dense", _weather("mist")),
    "sun.elevation_deg": Signal(
        "height of the sun, °; negative at night", lambda rows: sun_elevation_deg(rows.world, rows.sites, rows.times)
    ),
    "time.hour": Signal("local time of day, 0 to 24 h with fractions", _hour),
    "time.weekday": Signal("local day of the week, 0 Monday to 6 Sunday", _weekday, is_whole=True),
    "time.day_of_year": Signal("local day of the year, from 1", _day_of_year, is_whole=True),
    "time.holiday": Signal("1 on public holidays of the site's country, else 0", _holiday, is_whole=True),
    "traffic.flow": Signal("vehicles an hour on a road", _flow("vehicles_per_hour"), "traffic"),
    "traffic.speed_kmh": Signal("mean speed on that road, km/h", _flow("speed_ms", 1 / KMH), "traffic"),
    "traffic.density": Signal("how full that road is, 0 to 1", _flow("density"), "traffic"),
    "people.inside": Signal("people inside a shop, as its counter has it", None, "people", is_whole=True),
}
"""Name -> what it is. Without an `@` a road is one of the device's site, each device at its own; a shop that of the
site's first people counter."""


class SignalName(NamedTuple):
    """A signal taken apart."""

    signal: str
    at: str = ""
    """Site or device; empty for the device's own."""

    def __str__(self) -> str:
        return f"{self.signal}@{self.at}" if self.at else self.signal

    @classmethod
    def parse(cls, text: str) -> "SignalName":
        """Read `weather.temperature_c` or `people.inside@people-0001`; raises `ValueError` with a sentence."""
        name, mark, at = text.partition("@")
        if name not in SIGNALS:
            hint = closest(name, SIGNALS) or f"; there are {', '.join(SIGNALS)}"
            raise ValueError(f"the world has no signal '{name}'{hint}")
        if mark and not at:
            raise ValueError(f"'{text}' does not say where: behind @ stands a site, or a device that looks at it")
        return cls(name, at)


def _place_words(name: str) -> str:
    place = SIGNALS[name].place
    return "site" if place == "site" else f"site, and no id of a device of kind {place}"


def missing_place(
    name: SignalName, sites: Sequence[str], own: Collection[int], neighbours: Mapping[str, Neighbour]
) -> str:
    """Return why there is nothing that a signal asks for, empty where there is.

    `own` are the positions, among all `sites`, of those at which the devices are that ask.
    """
    place, is_counted = SIGNALS[name.signal].place, SIGNALS[name.signal].compute is None
    wanted = own
    if name.at:
        found = neighbours.get(name.at)
        if found is not None and found.kind == place:
            return ""
        if name.at not in sites:
            known = [*sites, *(one for one, other in neighbours.items() if other.kind == place)]
            hint = closest(name.at, known) or f"; there are {', '.join(known[:10])}"
            return f"'{name.at}' is no {_place_words(name.signal)}{hint}"
        wanted = [sites.index(name.at)]
    if is_counted:
        counted = {other.site for other in neighbours.values() if other.kind == place}
        for site in sorted(set(wanted) - counted):
            return (
                f"nobody counts people at the site '{sites[site]}': add a device of kind people there, or name one"
                f" that is elsewhere, such as {name.signal}@people-0001"
            )
    return ""


class SignalReader:
    """Reads signals for the devices of one sensor."""

    def __init__(self, population: Population) -> None:
        self._population = population
        self._counters: dict[str, PeopleSensor] = {}

    def read(self, name: SignalName, rows: Rows) -> Floats:
        """Return the values of a signal. Raises `ConfigError` where nothing is there that it asks for."""
        signal = SIGNALS[name.signal]
        if name.at:
            rows = self._moved(name, rows)
        if signal.compute is not None:
            return signal.compute(rows)
        return self._people_inside(name, rows)

    def check(self, name: SignalName, world: World) -> None:
        """Raise `ConfigError` where a signal asks for a site or a device that is not there."""
        sites, own = [site.name for site in world.sites], np.unique(self._population.sites).tolist()
        if fault := missing_place(name, sites, own, self._population.neighbours):
            raise ConfigError(f"{name}: {fault}")

    def _moved(self, name: SignalName, rows: Rows) -> Rows:
        """Return the rows as they are at another place."""
        site, neighbour = self._place(name, rows.world)
        sites = np.full_like(rows.sites, site)
        keys = rows.keys if neighbour is None else np.full(len(rows), neighbour.key, dtype=np.uint64)
        return Rows(rows.world, keys, sites, rows.times, rows.interval_ms)

    def _place(self, name: SignalName, world: World) -> tuple[int, Neighbour | None]:
        place, neighbours = SIGNALS[name.signal].place, self._population.neighbours
        found = neighbours.get(name.at) if place != "site" else None
        if found is not None and found.kind == place:
            return found.site, found
        return [site.name for site in world.sites].index(name.at), None

    def _people_inside(self, name: SignalName, rows: Rows) -> Floats:
        found = np.empty(len(rows))
        neighbours = self._population.neighbours
        if name.at in neighbours:
            return self._occupancy(name.at, rows.world, rows.times)
        for site in np.unique(rows.sites).tolist():
            of_site = np.flatnonzero(rows.sites == site)
            counter = next(one for one, other in neighbours.items() if other.kind == "people" and other.site == site)
            found[of_site] = self._occupancy(counter, rows.world, rows.times[of_site])
        return found

    def _occupancy(self, device_id: str, world: World, times: Ints) -> Floats:
        sensor = self._counters.get(device_id)
        if sensor is None:
            one = self._population.neighbours[device_id]
            sensor = self._counters[device_id] = PeopleSensor(
                PeopleSettings(**one.settings),
                Population(
                    np.array([one.key], dtype=np.uint64),
                    np.array([one.site]),
                    np.array([one.interval_ms]),
                    np.zeros(1, dtype=np.int64),
                    self._population.powered_on_ms,
                ),
            )
        counts = sensor.sample(world, np.zeros(len(times), dtype=np.int64), times)["occupancy"]
        return np.asarray(counts, dtype=np.float64)
