"""The short form of `make realism`: tables beside real weather and devices, and faults found as easily in either."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.realism import detectors, footfall, judges, stations, trips
from benchmarks.realism.__main__ import (
    BEGIN,
    DEVICES_BEGIN,
    DEVICES_END,
    END,
    FOOTFALL_BEGIN,
    FOOTFALL_END,
    PAGE,
    TRIPS_BEGIN,
    TRIPS_END,
    statistics_table,
)
from benchmarks.realism.device_table import EXPECTED, device_table
from benchmarks.realism.weather_statistics import day_statistics, year_statistics
from devices.world.world import MonthlyClimate

pytestmark = [pytest.mark.documents, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

SEED = 31
# Years and places differ by so much: JFK, Newark and Greensboro by up to a fifth, and one year of ours from another.
WITHIN = {
    "pressure, sd of the change in 3 h (hPa)": 0.3,
    "pressure, autocorrelation at 12 h": 0.1,
    "humidity, mean in summer (%)": 7,
    "daily temperature anomaly, lag of a day": 0.2,
    "range of the day, July (°C)": 1.8,
    "temperature, sd of the change in 1 h (°C)": 0.2,
    "temperature and dew point, correlation in winter": 0.15,
    "semidiurnal tide (hPa)": 0.15,
}


@pytest.fixture(scope="module")
def normals() -> MonthlyClimate:
    return stations.airport("JFK").normals()


def test_a_year_of_ours_has_the_statistics_of_the_real_one(normals: MonthlyClimate) -> None:
    station = stations.airport("JFK")
    real = dict(year_statistics(station.readings))
    ours = dict(year_statistics(station.emulated(SEED, normals)))
    for name, within in WITHIN.items():
        assert ours[name] == pytest.approx(real[name], abs=within), name


def test_a_forest_hardly_tells_ours_from_the_real_one_but_the_first_worlds(normals: MonthlyClimate) -> None:
    station = stations.airport("JFK")
    judge = judges.Judge("short", lambda: judges.RandomForestClassifier(30, random_state=0, n_jobs=1), 1)

    def auc(climate: str | MonthlyClimate, version: int) -> float:
        learnt, tested = (station.emulated(seed, climate, version) for seed in (SEED, SEED + 1))
        return judges.area_under_curve(judge, station.readings, learnt, tested)

    assert auc(normals, 2) < 0.8
    assert auc("temperate", 1) > 0.95


def test_faults_are_found_as_easily_in_ours_as_in_the_real_one() -> None:
    here, neighbour = stations.airport("JFK"), stations.airport("EWR")
    spike, stuck = detectors.FAULTS["spike"], detectors.FAULTS["stuck"]
    faulty, wrong = detectors.with_fault(here.readings, spike, SEED)
    changed = (faulty != here.readings) & here.readings.notna()
    assert changed.temperature_c.to_numpy()[wrong].mean() > 0.9
    assert not changed[["humidity", "pressure_hpa"]].any(axis=None)
    faulty, wrong = detectors.with_fault(here.readings, stuck, SEED)
    assert faulty.temperature_c[wrong].groupby(faulty.index[wrong].date).nunique().max() == 1

    def found(pair: tuple[object, object]) -> dict[tuple[str, str], float]:
        return {(detector, fault): one.auc() for detector, fault, one in detectors.detection(*pair, SEED)}  # type: ignore[misc,arg-type]

    real, ours = found((here.readings, neighbour.readings)), found(detectors.pair_of_airports(SEED, here, neighbour))
    assert real.keys() == ours.keys()
    for key, auc in real.items():
        assert ours[key] == pytest.approx(auc, abs=0.12), key


def test_how_far_a_difference_may_be_off_is_told_by_blocks() -> None:
    hours = np.arange(24 * 365)
    wrong = hours % 120 >= 96
    draws = np.random.default_rng(SEED)
    blind, sharp = (detectors.Detection(draws.normal(size=len(hours)) + size * wrong, wrong) for size in (0, 3))
    mean, low, high = detectors.difference(blind, [sharp])
    assert 0.4 < low < mean < high < 0.6
    mean, low, high = detectors.difference(sharp, [sharp])
    assert mean == low == high == 0


def test_people_of_ours_come_as_the_real_ones_do() -> None:
    real = footfall.real_counts("183 K Road")
    assert 0.95 < real["count"].notna().mean() <= 1
    ours = footfall.emulated_counts(SEED, real)
    there, here = (dict(footfall.count_statistics(counts)) for counts in (real, ours))
    for name, within in (
        ("CV of days beside their weekday", 0.06),
        ("Saturday beside the mean day", 0.1),
        ("Sunday beside the mean day", 0.17),
        ("CV of an hour beside its day, beyond Poisson", 0.05),
    ):
        assert here[name] == pytest.approx(there[name], abs=within), name
    # How steady days are is each place's own: as in one of the counters (.47 to .89, and .25 to .76).
    others = [dict(footfall.count_statistics(footfall.real_counts(name))) for name in footfall.COUNTERS]
    for name in ("days, lag of a day", "days, lag of a week"):
        assert min(one[name] for one in others) - 0.1 < here[name] < max(one[name] for one in others) + 0.1, name
    assert here["counted a day, hours of 11 to 18"] == pytest.approx(there["counted a day, hours of 11 to 18"], rel=0.2)


def test_the_page_has_the_tables_that_the_command_writes() -> None:
    written = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    names = [name for name, _ in day_statistics(stations.seattle_days())]
    names += [line.split("|")[1].strip() for line in statistics_table([stations.airport("JFK")], ((SEED, SEED),))[2:]]
    names += [judge.name for judge in judges.JUDGES] + list(detectors.DETECTORS)
    for name in names:
        assert f"| {name} |" in written
    written = PAGE.read_text(encoding="utf-8").partition(FOOTFALL_BEGIN)[2].partition(FOOTFALL_END)[0]
    for name, _ in footfall.count_statistics(footfall.real_counts(footfall.COUNTERS[0])):
        assert f"| {name} |" in written
    written = PAGE.read_text(encoding="utf-8").partition(TRIPS_BEGIN)[2].partition(TRIPS_END)[0]
    for name in trips.CYCLE:
        assert f"| {name} |" in written
    for picture in re.findall(r"\((images/[^)]+)\)", written):
        assert (Path(PAGE).parent / picture).stat().st_size < 300_000


# `world: 2` is within, `world: 1` beyond: by what is expected, and what some days of few devices leave to chance.
DEVICES_WITHIN = {
    "departures of one vehicle, concentration within the hour (0 to 1)": (0, 0.5),
    "trips a vehicle and day": (2.4, 4.4),
    "driving of a vehicle and day (min)": (28, 90),
    "trips, skewness of the length": (0.8, 20),
    "driving in an hour from 0 to 4 h, of the day's (%)": (0, 1),
    "accelerations of .5 to 1 m/s² beside those next to them": (0.4, 1.2),
    "brakings that are the same half a second later (%)": (0, 40),
    "jerk over half a second, 99th percentile (m/s³)": (0.1, 1.5),
    "greatest sideways acceleration (m/s²)": (1, 4.01),
    "fastest vehicle (km/h)": (60, 165),
    "hard brakings that are less than .04 g beyond the threshold of .28 g (%)": (20, 80),
    "heights of a satellite in 8 h, most of one number (degrees)": (20, 91),
    "epochs at full seconds (%)": (100, 100),
    "epochs of which GGA says as many satellites as the message (%)": (100, 100),
    "geoid at Paris (m)": (40, 50),
    "one satellite more, of which the mean HDOP rises (%)": (0, 0),
    "room, storms a day read every 1 s": (0, 8),
    "room, greatest change of the pressure in 10 s (hPa)": (0.05, 0.3),
    "two units of a site outdoors, sd of the difference (°C)": (0.1, 0.8),
    "status messages of a device that stays connected, an hour": (11, 13),
    "people who come from 20 to 9 h (%)": (0, 0),
    "readings of cameras with more vehicles than passed (%)": (0.5, 20),
    "coloured vehicles that cameras see, night beside day": (0.1, 0.65),
}
AS_BEFORE = {
    "register path, filter 16: autocorrelation from one conversion to the next": (0.85, 0.97),
}


def test_devices_of_the_second_world_are_as_expected_where_those_of_the_first_are_not() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in device_table([SEED], short=True)[2:]]
    found = {label: (float(before), float(now)) for label, before, now in rows}
    assert found.keys() == EXPECTED.keys()
    for label, (low, high) in DEVICES_WITHIN.items():
        before, now = found[label]
        assert low <= now <= high, (label, now)
        assert not low <= before <= high, (label, before)
    for label, (low, high) in AS_BEFORE.items():
        assert all(low <= value <= high for value in found[label]), label


def test_the_page_has_the_table_of_devices_that_the_command_writes() -> None:
    written = PAGE.read_text(encoding="utf-8").partition(DEVICES_BEGIN)[2].partition(DEVICES_END)[0]
    for label, (expected, source) in EXPECTED.items():
        assert re.search(
            rf"^\| {re.escape(label)} \| .* \| {re.escape(expected)} \| {re.escape(source)} \|$", written, re.M
        )


def test_a_forest_hardly_tells_a_trip_of_a_private_car_from_one_of_a_survey() -> None:
    cars = trips.emulated_trips(SEED, "private", 120)
    found = {one.name: one for one in trips.survey_statistics(cars, SEED)}
    assert found["length, Kolmogorov-Smirnov distance at the classes"].ours < 0.1
    assert found["area under the curve: random forest, classes of length and hour, day"].ours < 0.75
    shares = [one for name, one in found.items() if name.startswith("trips below")]
    assert len(shares) == len(trips.SURVEY_KM) - 1
    assert all(one.real is not None and abs(one.ours - one.real) < 10 for one in shares)
    wheel = {one.name: one for one in trips.speed_statistics(cars, SEED)}
    assert wheel.keys() == trips.CYCLE.keys()
    assert wheel["mean speed (km/h)"].ours == pytest.approx(trips.CYCLE["mean speed (km/h)"], rel=0.25)
