"""The one world that all devices of a scenario share: its seed, its sites with their local time, and its vehicles."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from devices.world.climates import DEW_POINT
from devices.world.public_holidays import PublicHolidays
from devices.world.random import Flags, Floats, Ints, hash_bits
from devices.world.runs import distinct
from edgewire.config import Config
from edgewire.config_errors import closest, text_matching
from edgewire.messages.base import NAME_WORDS
from edgewire.messages.topics import SITE

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
METRES_PER_DEGREE = 111_320.0
"""Of latitude, and of longitude at the equator."""
_QUARTER_MS = HOUR_MS // 4
"""Offsets of zones change on quarter hours of UTC at the finest."""


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # the last of `Europe`, a folder, and of what is long
        raise ValueError("is not a time zone; write a name of the IANA database, such as Europe/Paris") from None
    return name


PLAIN_CLIMATES = ("temperate", "mediterranean", "desert", "tropical", "subarctic")
KOEPPEN_CLIMATES = ("Af", "Aw", "BWh", "BSk", "Csa", "Csb", "Cfa", "Cfb", "Dfb", "Dfc", "ET")


def _known_climate(name: str) -> str:
    known = (*PLAIN_CLIMATES, *KOEPPEN_CLIMATES)
    if name not in known:
        raise ValueError(f"is not a climate{closest(name, known)}; there are {', '.join(known)}")
    return name


def _known_country(code: str) -> str:
    PublicHolidays.of(code)
    return code


class MonthNormals(Config):
    """The climate of a place in one month."""

    temperature_c: float = Field(ge=-80, le=60)
    """Mean of all hours."""
    range_c: float = Field(gt=0, le=40)
    """Mean of the days' maximum less their minimum."""
    spread_c: float = Field(gt=0, le=20)
    """Deviation of the daily means from one day to another."""
    humidity: float = Field(ge=2, le=99)
    """Mean relative humidity, in percent."""
    pressure_hpa: float = Field(ge=950, le=1070)
    """Mean at sea level."""
    pressure_spread_hpa: float = Field(gt=0, le=25)
    """Deviation of all hours."""
    rain_share: float = Field(default=0.1, gt=0, le=0.6)
    """Share of the hours with rain."""
    dew_point_spread_c: float | None = Field(default=None, gt=0, le=20)
    """Deviation of the daily means of the dew point; `null`: what is usual at this temperature."""
    dew_point_correlation: float | None = Field(default=None, ge=-1, le=1)
    """Of the daily means of temperature and dew point with each other; `null`: what is usual in this season."""


class MonthlyClimate(Config):
    """A climate by a table of the site's own normals."""

    monthly: tuple[MonthNormals, ...] = Field(min_length=12, max_length=12)
    """A CSV file with the columns `month`, `temperature_c`, `range_c`, `spread_c`, `humidity`, `pressure_hpa` (at sea
    level), `pressure_spread_hpa` and, if you like, `rain_share`, `dew_point_spread_c` and `dew_point_correlation`; or
    twelve rows here, January first."""

    @model_validator(mode="after")
    def _dew_point_of_all_months_or_of_none(self) -> Self:
        for name in DEW_POINT:
            without = [month for month, row in enumerate(self.monthly, 1) if getattr(row, name) is None]
            if 0 < len(without) < len(self.monthly):
                raise ValueError(f"{name} of month {without[0]} is missing; write it for all twelve or for none")
        return self


class Site(Config):
    """A town, plant or shop: devices of one site share weather, roads and customers."""

    name: Annotated[str, text_matching(rf"^{SITE}$", NAME_WORDS)]
    """A level of the devices' topics."""
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    altitude_m: float = Field(default=50, ge=-430, le=9000)
    timezone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    country: Annotated[str, AfterValidator(_known_country)] | None = None
    """Whose public holidays are kept, ISO 3166: `FR`, or with a part of the country, `US-NY`. It takes the package
    `holidays`; without it no day is a holiday."""
    coast: float = Field(default=0, ge=0, le=1)
    """How much the sea is felt: 1 at its shore, where its breeze comes before noon, 0 some 30 km inland."""
    snow: bool = False
    """Whether snow can lie on its roads, which slows traffic, and keeps vehicles and customers away: after what falls
    while it freezes, by its weather. It is labelled: docs/faults.md."""
    town_events: float = Field(default=0, ge=0, le=100)
    """How many events in town a year has, such as matches and concerts, for which many come and leave by car and fill
    the shops before. They are labelled."""
    climate: Annotated[str, AfterValidator(_known_climate)] | MonthlyClimate = "temperate"
    """What the weather outdoors is like: temperate, mediterranean, desert, tropical or subarctic, or
    one of Köppen's classes Af, Aw, BWh, BSk, Csa, Csb, Cfa, Cfb, Dfb, Dfc and ET. Seasons are the south's in the
    south. `{monthly: FILE.csv}` is a table of your own."""


def weekday(days: Ints) -> Ints:
    """Return 0 for Monday to 6 for Sunday, of days since 1970-01-01, which was a Thursday."""
    return np.asarray((days + 3) % 7)


class LocalTime:
    """Local wall-clock milliseconds of a zone: UTC plus the offset in force, looked up once a quarter hour of time."""

    def __init__(self, timezone: str) -> None:
        self._zone = ZoneInfo(timezone)
        self._offsets: dict[int, int] = {}

    def from_utc(self, times_ms: Ints) -> Ints:
        """Return the local milliseconds of these instants; `// DAY_MS` is the local day, `% DAY_MS` the time of day."""
        quarters, _, places = distinct(times_ms // _QUARTER_MS)
        offsets = np.array([self._offset_ms(int(quarter)) for quarter in quarters], dtype=np.int64)
        return np.asarray(times_ms + offsets[places])

    def day_starts_ms(self, days: Ints) -> Ints:
        """Return the instant at which each local day begins (days since 1970-01-01): midnight, or the first of two."""
        as_utc = days * DAY_MS
        start = as_utc - np.maximum(*(self.from_utc(near) - near for near in (as_utc - DAY_MS, as_utc + DAY_MS)))
        # Where clocks change around midnight, which there may be none of (Santiago, Havana), the day begins later.
        while (is_early := self.from_utc(start) // DAY_MS < days).any():
            start = start + is_early * _QUARTER_MS
        return np.asarray(start)

    def _offset_ms(self, quarter: int) -> int:
        known = self._offsets.get(quarter)
        if known is None:
            moment = datetime.fromtimestamp(quarter * 900, UTC).astimezone(self._zone)
            offset = moment.utcoffset()
            assert offset is not None
            known = self._offsets[quarter] = round(offset.total_seconds() * 1000)
        return known


VehicleUse = Literal["delivery", "private", "taxi"]
VEHICLE_USES: tuple[VehicleUse, ...] = get_args(VehicleUse)

SpeedBoost = Callable[[Ints, Ints, Ints, Ints], Floats]
"""How much faster than usual vehicles (site, ordinal) are driven on the whole stretch from one instant to another, in
standard deviations of the road's speeds; a row each, 0 for as usual."""


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Everything in it is a pure function of (seed, entity, time); this only says what there is."""

    seed: int
    sites: tuple[Site, ...]
    local: tuple[LocalTime, ...]
    """Local time of each site."""
    vehicles: Mapping[int, Ints]
    """Numbers of the fleet's vehicles at each site, by the site's position in `sites`, ascending."""
    speed_boost: SpeedBoost | None = None
    """Who is in a burst of speeding when; None where nobody ever is."""
    version: int = 2
    """Which models it is made of, 1 or 2: `devices.world.components` has a table of them."""
    uses: Mapping[int, tuple[Ints, Ints]] = field(default_factory=dict)
    """Numbers of those vehicles at each site of which is said what they are driven for, ascending, and the position of
    that in `VEHICLE_USES`."""

    @classmethod
    def build(
        cls,
        seed: int,
        sites: Sequence[Site],
        vehicles: Mapping[int, str] | Iterable[tuple[int, str]] = (),
        *,
        everywhere: int = 0,
        version: int = 2,
        uses: Mapping[tuple[int, str], VehicleUse] | None = None,
    ) -> "World":
        """Return a world with these sites; `vehicles` are numbers of vehicles, each with its site's name.

        The first `everywhere` numbers are at every site beside. `version` says which models it is made of, `uses` what
        some of the vehicles are driven for.
        """
        at: dict[str, set[int]] = {site.name: set(range(everywhere)) for site in sites}
        for ordinal, site in vehicles.items() if isinstance(vehicles, Mapping) else vehicles:
            at[site].add(ordinal)
        return cls(
            seed,
            tuple(sites),
            tuple(LocalTime(site.timezone) for site in sites),
            {index: np.array(sorted(at[site.name]), dtype=np.int64) for index, site in enumerate(sites)},
            version=version,
            uses=_by_site([site.name for site in sites], uses or {}),
        )

    def local_ms(self, sites: Ints, times_ms: Ints) -> Ints:
        """Return the local wall-clock milliseconds at each site and instant."""
        if len(self.local) == 1:
            return self.local[0].from_utc(times_ms)
        local = np.empty_like(times_ms)
        for site in np.unique(sites):
            rows = sites == site
            local[rows] = self.local[site].from_utc(times_ms[rows])
        return local

    def is_holiday(self, sites: Ints, days: Ints) -> Flags:
        """Tell which local days (since 1970) are public holidays of the sites' countries."""
        found = np.zeros(len(days), dtype=np.bool_)
        for index, site in enumerate(self.sites):
            if site.country is not None:
                rows = np.flatnonzero(sites == index)
                found[rows] = PublicHolidays.of(site.country).include(days[rows])
        return found


def _by_site(names: Sequence[str], uses: Mapping[tuple[int, str], VehicleUse]) -> Mapping[int, tuple[Ints, Ints]]:
    rows: dict[int, list[tuple[int, int]]] = {}
    for (number, site), use in sorted(uses.items()):
        rows.setdefault(names.index(site), []).append((number, VEHICLE_USES.index(use)))
    columns = {site: np.array(pairs, dtype=np.int64).T for site, pairs in rows.items()}
    return {site: (numbers, codes) for site, (numbers, codes) in columns.items()}


class SiteArrays:
    """Arrays with one entry a site. `keys` depends on a site's name alone, not on which other sites there are."""

    def __init__(self, world: World) -> None:
        sites = world.sites
        self.latitude = np.array([site.latitude for site in sites], dtype=np.float64)
        self.longitude = np.array([site.longitude for site in sites], dtype=np.float64)
        self.altitude_m = np.array([site.altitude_m for site in sites], dtype=np.float64)
        self.keys = np.array([hash_bits(0, f"site/{site.name}")[0] for site in sites], dtype=np.uint64)
        # Towards the poles a degree of longitude shrinks to nothing; a few metres are left to divide by.
        self.metres_per_longitude = METRES_PER_DEGREE * np.maximum(np.cos(np.radians(self.latitude)), 1e-4)
        self._world = world

    def local_ms(self, sites: Ints, times_ms: Ints) -> Ints:
        """Return the local wall-clock milliseconds at each site and instant."""
        return self._world.local_ms(sites, times_ms)
