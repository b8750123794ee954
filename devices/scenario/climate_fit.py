"""Makes a table of monthly normals of a station's own readings, for a site's `climate: {monthly: FILE.csv}`."""

import csv
import math
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devices.scenario.climate_file import BOUNDS
from devices.world.climates import DEW_POINT, MONTHLY, MONTHS, middles
from devices.world.random import Flags, Floats, Ints
from devices.world.weather import dew_point_c
from devices.world.world import DAY_MS, HOUR_MS
from edgewire.bounded_lines import bounded_lines
from edgewire.clock import parse_ms

TIME, TEMPERATURE, HUMIDITY, PRESSURE = "timestamp", "temperature_c", "humidity", "pressure_hpa"
COLUMNS = (TIME, TEMPERATURE, HUMIDITY, PRESSURE)
"""What a file of readings has: those of an export of `bme280` are named so."""
_HOW = f"{','.join(COLUMNS)} and a line a reading"
LEAST_DAYS = 10
"""Of a month: days that count."""
_LEAST_PARTS, _PART_H = 6, 3
_MOST_LINES, _LONGEST_LINE = 10_000_000, 100_000
# What can be read outdoors; what is said of that which cannot.
_READABLE = {
    TEMPERATURE: (-90.0, 60.0, "it is in °C"),
    HUMIDITY: (0.0, 110.0, "it is relative, in percent"),
    PRESSURE: (300.0, 1100.0, "it is in hPa"),
}
# A month's mean relative humidity below this is a share of 1 rather than percent.
_LEAST_HUMIDITY = 1.5
_LAPSE_K_PER_M = 0.0065  # ICAO standard atmosphere
# Of the variance of days that are alike by .6, .3 and .15 from one to the next ones, what the mean of a month takes.
_MEAN_TAKES = 0.11
_YEAR_DAYS = 365.2425
_GRAVITY_MOLAR_MASS_R = 9.80665 * 0.0289644 / 8.31446  # K/m, barometric formula


@dataclass(frozen=True, slots=True)
class StationReadings:
    """The readings of one station, in the order of time; what is missing is not a number."""

    path: Path
    times_ms: Ints
    temperature_c: Floats
    humidity: Floats
    pressure_hpa: Floats


@dataclass(frozen=True, slots=True)
class FittedClimate:
    """Twelve rows of normals, January first, and how many days each is of."""

    rows: list[dict[str, float]]
    days: list[int]


def read_station(path: Path) -> StationReadings:
    """Return the readings in a CSV file with the columns of `COLUMNS`; further columns are left out.

    Raises `ValueError` that names the file and the line. An empty cell is a reading that is missing.
    """
    times = array("q")
    values = {name: array("d") for name in _READABLE}
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.reader(bounded_lines(lines, path, longest=_LONGEST_LINE))
            where = _columns(path, next(rows, []))
            for cells in rows:
                if not cells or cells[0].startswith("#"):
                    continue
                at = f"{path}:{rows.line_num}"
                if rows.line_num > _MOST_LINES:
                    raise ValueError(f"{at}: there are more than {_MOST_LINES:,} lines; give one an hour")
                if len(cells) <= max(where.values()):
                    raise ValueError(f"{at}: has {len(cells)} values; write one for each column of the head")
                times.append(_read_time(at, cells[where[TIME]], times))
                for name in _READABLE:
                    values[name].append(_read_value(at, name, cells[where[name]]))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); name a CSV file of readings") from None
    except (UnicodeDecodeError, csv.Error):
        raise ValueError(
            f"{path}: is not a CSV file in UTF-8; write {','.join(COLUMNS)} and a line a reading"
        ) from None
    if not times:
        raise ValueError(f"{path}: has no reading; write {_HOW}")
    return StationReadings(path, np.array(times), *(np.array(values[name]) for name in _READABLE))


def _columns(path: Path, head: list[str]) -> dict[str, int]:
    names = [name.strip() for name in head]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise ValueError(f"{path}:1: has no column {missing[0]}; the head has {','.join(COLUMNS)} in any order")
    if twins := [name for name in COLUMNS if names.count(name) > 1]:
        raise ValueError(f"{path}:1: column {twins[0]} is there twice; keep one of them")
    return {name: names.index(name) for name in COLUMNS}


def _read_time(at: str, cell: str, times: "array[int]") -> int:
    try:
        time_ms = parse_ms(cell.strip())
    except (ValueError, OverflowError):
        raise ValueError(f"{at}: {TIME} is '{cell.strip()[:40]}'; write ISO 8601: 2026-03-01T12:00:00Z") from None
    if times and time_ms <= times[-1]:
        raise ValueError(
            f"{at}: {TIME} {cell.strip()[:40]} is not after that of the reading before; sort the file by time, and"
            " leave one station in it"
        )
    return time_ms


def _read_value(at: str, name: str, cell: str) -> float:
    if not cell.strip():
        return math.nan
    low, high, unit = _READABLE[name]
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"{at}: {name} is '{cell.strip()[:40]}'; write a number, or nothing") from None
    if not low <= value <= high:
        raise ValueError(f"{at}: {name} is {cell.strip()[:40]}; {unit}, from {low:g} to {high:g}")
    return value


def fit_climate(found: StationReadings, longitude: float, altitude_m: float) -> FittedClimate:
    """Return the normals of these readings; raises `ValueError` where a month has too few days, or none can be so.

    Days are those by the sun. A day counts that has readings of temperature and humidity in six of its eight parts of
    three hours, and of pressure in such parts on ten days of a month. Each mean is of the hours that have its value:
    of a barometer that is silent in the rain, the other hours alone would make a climate dry. `altitude_m` is that of
    the station if its pressure is the station's own, and 0 if it is that at sea level.
    """
    times = found.times_ms + round(longitude / 15 * HOUR_MS)
    known = np.isfinite(found.temperature_c) & np.isfinite(found.humidity)
    whole = known & np.isfinite(found.pressure_hpa)
    days, counts = _days(times[whole])
    month_of = _month(days * DAY_MS)
    usable = [int((counts & (month_of == month)).sum()) for month in range(MONTHS)]
    scarce = [f"{month} has {number}" for month, number in enumerate(usable, 1) if number < LEAST_DAYS]
    if scarce:
        raise ValueError(
            f"{found.path}: month {', '.join(scarce[:3])} of the {LEAST_DAYS} days that are needed of each; a day"
            f" counts that has whole readings in {_LEAST_PARTS} of its 8 stretches of {_PART_H} hours; give a year"
        )
    warm, humidity = found.temperature_c[known], found.humidity[known]
    column_k = found.temperature_c[whole] + 273.15 + _LAPSE_K_PER_M * altitude_m / 2
    sea_level = found.pressure_hpa[whole] * np.exp(_GRAVITY_MOLAR_MASS_R * altitude_m / column_k)
    pressure_month = _month(times[whole])
    days, counts = _days(times[known])
    day_of = np.searchsorted(days, times[known] // DAY_MS)
    month_of = _month(days * DAY_MS)
    ends = np.flatnonzero(np.diff(day_of, prepend=-1))
    ranges = np.maximum.reduceat(warm, ends) - np.minimum.reduceat(warm, ends)
    dew_points = dew_point_c(warm, np.minimum(humidity, 100))
    means, dews = (np.add.reduceat(one, ends) / np.bincount(day_of) for one in (warm, dew_points))
    months = [counts & (month_of == month) for month in range(MONTHS)]
    warmth, dew = (_without_seasons(days, one, months) for one in (means, dews))
    takes = np.sqrt(1 - _MEAN_TAKES)
    rows = []
    for month in range(MONTHS):
        here = months[month]
        hours, pressures = here[day_of], sea_level[pressure_month == month]
        rows.append(
            {
                "temperature_c": float(means[here].mean()),
                "range_c": float(ranges[here].mean()),
                "spread_c": float(warmth[here].std() / takes),
                "humidity": float(np.minimum(humidity[hours], 100).mean()),
                "pressure_hpa": float(pressures.mean()),
                "pressure_spread_hpa": float(pressures.std()),
                "dew_point_spread_c": float(dew[here].std() / takes),
                "dew_point_correlation": _correlation(warmth[here], dew[here]),
            }
        )
    _check(found.path, rows)
    return FittedClimate([{name: round(value, 2) for name, value in row.items()} for row in rows], usable)


def _month(times_ms: Ints) -> Ints:
    """Return the month of each instant, 0 for January."""
    return np.asarray(times_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64) % MONTHS)


def _days(times_ms: Ints) -> tuple[Ints, Flags]:
    """Return the days since 1970 that have readings, and whether each has them in enough of its parts."""
    days, day_of = np.unique(times_ms // DAY_MS, return_inverse=True)
    parts = np.unique(day_of * 8 + times_ms % DAY_MS // (_PART_H * HOUR_MS))
    return days, np.bincount(parts // 8, minlength=len(days)) >= _LEAST_PARTS


def _without_seasons(days: Ints, means: Floats, months: list[Flags]) -> Floats:
    """Return daily means less the course of the seasons.

    That course goes through the middles of the months, as that of a climate does. A line through the days of a month
    itself would take weather for season: a fifth of the deviation.
    """
    monthly = np.array([means[here].mean() for here in months])
    course = np.interp((days / _YEAR_DAYS % 1) * MONTHS, np.arange(MONTHS) + 0.5, middles(monthly), period=MONTHS)
    return np.asarray(means - course)


def _correlation(first: Floats, second: Floats) -> float:
    """Return the correlation, 0 where one of them does not vary."""
    both = float(first.std() * second.std())
    return float(np.cov(first, second, bias=True)[0, 1] / both) if both > 0 else 0.0


def _check(path: Path, rows: list[dict[str, float]]) -> None:
    for month, row in enumerate(rows, 1):
        if row["humidity"] < _LEAST_HUMIDITY:
            raise ValueError(f"{path}: humidity of month {month} is {row['humidity']:.2f} in the mean; write percent")
        for name in (*MONTHLY, *DEW_POINT):
            low, high = BOUNDS[name]
            if not low <= row[name] <= high:
                raise ValueError(
                    f"{path}: {name} of month {month} comes to {row[name]:.2f}; a climate has {low:g} to {high:g}:"
                    " see whether the units and the altitude are right"
                )
