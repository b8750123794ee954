"""What is compared of a year of a real station and an emulated one."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from devices.world.weather import dew_point_c


def year_statistics(year: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """Yield what the table has of a year of hours, by name."""
    pressure, warm, humidity = (year[name] for name in ("pressure_hpa", "temperature_c", "humidity"))
    date = year.index.floor("D")
    yield "pressure, sd of the change in 3 h (hPa)", pressure.diff(3).std()
    yield "pressure, greatest change in 3 h (hPa)", pressure.diff(3).abs().max()
    yield "pressure, kurtosis of the change in 3 h", pressure.diff(3).kurt()
    yield "dew point, kurtosis of the change in 3 h", dew_point(year).diff(3).kurt()
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
    anomaly = without_seasons(daily)
    yield "daily temperature anomaly, lag of a day", anomaly.autocorr(1)
    yield "daily temperature anomaly, kurtosis", anomaly.kurt()
    yield "range of the day, January (°C)", ranges[ranges.index.month == 1].mean()
    yield "range of the day, July (°C)", ranges[ranges.index.month == 7].mean()
    yield "temperature, sd of the change in 1 h (°C)", warm.diff().std()
    for name, months in (("winter", (12, 1, 2)), ("summer", (6, 7, 8))):
        rows = month.isin(months)
        yield f"temperature and dew point, correlation in {name}", warm[rows].corr(dew_point(year)[rows])
    rest = pressure - pressure.rolling(25, center=True, min_periods=20).mean()
    for name, hours in (("diurnal", 24), ("semidiurnal", 12)):
        wave = (rest * np.exp(2j * np.pi * year.index.hour / hours)).mean()
        yield f"{name} tide (hPa)", 2 * abs(wave)


def without_seasons(daily: pd.Series) -> pd.Series:
    """Return daily values less the course of the year, two harmonics."""
    angle = 2 * np.pi * daily.index.dayofyear.to_numpy() / 365.25
    course = np.stack([np.ones(len(daily)), *(f(n * angle) for n in (1, 2) for f in (np.cos, np.sin))], axis=1)
    known = daily.notna().to_numpy()
    return daily - course @ np.linalg.lstsq(course[known], daily[known], rcond=None)[0]


def dew_point(year: pd.DataFrame) -> pd.Series:
    """Return the dew point, which is no higher than the temperature."""
    found = dew_point_c(year.temperature_c.to_numpy(), year.humidity.clip(upper=100).to_numpy())
    return pd.Series(found, year.index)


def day_statistics(days: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """Yield what the table has of days of which only the highest and lowest temperature are known."""
    ranges = days.high - days.low
    anomaly = without_seasons((days.high + days.low) / 2)
    yield "daily temperature anomaly, lag of a day", anomaly.autocorr(1)
    for name, month in (("January", 1), ("July", 7)):
        yield f"range of the day, {name} (°C)", ranges[days.index.month == month].mean()
