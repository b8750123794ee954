"""`python -m benchmarks.realism`: writes tables and pictures of docs/realism.md; `--quick` prints a short form.

`--devices`, `--trips` and `--footfall` write tables of these alone, which take no station and a minute or two.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.realism import detectors, footfall, judges, plots, stations, trips
from benchmarks.realism.device_table import device_table
from benchmarks.realism.weather_statistics import day_statistics, year_statistics

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "realism.md"
BEGIN, END = "<!-- written by make realism: begin -->", "<!-- written by make realism: end -->"
DEVICES_BEGIN, DEVICES_END = (f"<!-- written by make realism: {word} of devices -->" for word in ("begin", "end"))
TRIPS_BEGIN, TRIPS_END = (f"<!-- written by make realism: {word} of trips -->" for word in ("begin", "end"))
FOOTFALL_BEGIN, FOOTFALL_END = (f"<!-- written by make realism: {word} of footfall -->" for word in ("begin", "end"))
SEEDS = ((101, 102), (103, 104))
"""Pairs: what a judge learns from, and what it is tested on."""


def main() -> None:
    """Write the page, or print what a short form has of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", action="store_true", help="the table of devices, with --quick a short form")
    parser.add_argument("--trips", action="store_true", help="the tables of trips")
    parser.add_argument("--footfall", action="store_true", help="the table of people in town")
    parser.add_argument("--quick", action="store_true", help="one station, one judge, one seed; print it")
    parser.add_argument("--epw", type=Path, help="print a year of another station, in the format of EnergyPlus")
    parser.add_argument("--climate", default="Cfa", help="Köppen's class of that station")
    parser.add_argument("--coast", type=float, default=0.0, help="of that station")
    options = parser.parse_args()
    if options.devices and options.quick:
        print("\n".join(device_table(SEEDS[0][:1], short=True)))
    elif options.devices or options.trips or options.footfall:
        for chosen, write in ((options.devices, write_devices), (options.trips, write_trips),
                              (options.footfall, write_footfall)):  # fmt: skip
            if chosen:
                write()
    elif options.quick:
        station = stations.airport("JFK")
        print("\n".join(statistics_table([station], SEEDS[:1])))
        print("\n".join(judges_table([station], SEEDS[:1], judges.JUDGES[:1])))
    elif options.epw:
        station = stations.energyplus(options.epw, options.climate, options.coast)
        print("\n".join(statistics_table([station], SEEDS)))
        print("\n".join(judges_table([station], SEEDS, judges.JUDGES)))
    else:
        write_page()
        write_footfall()
        write_trips()
        write_devices()


def write_page() -> None:
    """Write tables and pictures between the marks of the page."""
    found = [make() for make in stations.STATIONS.values()]
    lines = [
        f"Emulated are means of the seeds {_numbers()}, which no test has.",
        "",
        *statistics_table(found, SEEDS),
        "",
        *seattle_table(SEEDS),
        "",
        "![Two weeks of January and July, real and emulated](images/realism-weeks.svg)",
        "",
        "![A usual day, changes and autocorrelation, real and emulated](images/realism-spread.svg)",
        "",
        "### What judges make of it",
        "",
        *judges_table(found, SEEDS, judges.JUDGES),
        "",
        "### Stations that were looked at last",
        "",
        *held_out_table(SEEDS),
        "",
        "### Faults in real and in emulated air",
        "",
        f"Emulated are the seeds {_numbers(SEEDS[:1])}.",
        "",
        *faults_table(SEEDS[:1]),
    ]
    real = found[0]
    emulated = real.emulated(SEEDS[0][0], real.normals())
    plots.draw_fortnights(DOCS / "images" / "realism-weeks.svg", real.name, real.readings, emulated)
    plots.draw_spread(DOCS / "images" / "realism-spread.svg", real.name, real.readings, emulated)
    _replace_between(BEGIN, END, lines)
    print(f"{PAGE} and its pictures are written")


def write_devices() -> None:
    """Write the table of devices between its marks of the page."""
    means = f"Means of the seeds {_numbers()}."
    _replace_between(DEVICES_BEGIN, DEVICES_END, [means, "", *device_table([seed for pair in SEEDS for seed in pair])])
    print(f"the table of devices in {PAGE} is written")


def write_footfall() -> None:
    """Write the table of people in town between its marks of the page."""
    seeds = f"Emulated are the seeds {_numbers(SEEDS[:1])}."
    _replace_between(FOOTFALL_BEGIN, FOOTFALL_END, [seeds, "", *footfall_table(SEEDS[:1])])
    print(f"the table of people in town in {PAGE} is written")


def write_trips() -> None:
    """Write the tables of trips between their marks of the page."""
    seeds = [seed for pair in SEEDS for seed in pair]
    cars = {seed: trips.emulated_trips(seed, "private") for seed in seeds}
    tables = (
        ("private cars and a survey", (trips.survey_statistics(cars[seed], seed) for seed in seeds)),
        ("private cars at the wheel and a driving cycle", (trips.speed_statistics(cars[seed], seed) for seed in seeds)),
        ("taxis and those of Chicago", (trips.taxi_statistics(seed) for seed in seeds)),
    )
    lines = [f"Means of the seeds {_numbers()}."]
    for title, found in tables:
        lines += ["", *trips_table(title, found)]
    _replace_between(TRIPS_BEGIN, TRIPS_END, lines)
    print(f"the tables of trips in {PAGE} are written")


def trips_table(title: str, found: Iterable[Iterator[trips.Statistic]]) -> list[str]:
    """Return statistic | emulated | real, means over the seeds."""
    by_seed = [list(one) for one in found]
    columns: dict[str, dict[str, float]] = {"emulated": {}, "real": {}}
    for rows in zip(*by_seed, strict=True):
        columns["emulated"][rows[0].name] = float(np.mean([row.ours for row in rows]))
        if rows[0].real is not None:
            columns["real"][rows[0].name] = rows[0].real
    return _table(title, columns)


def _replace_between(begin: str, end: str, lines: list[str]) -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text("\n".join([before + begin, "", *lines, "", end + after]), encoding="utf-8")


def statistics_table(found: list[stations.Station], seeds: tuple[tuple[int, int], ...]) -> list[str]:
    """Return statistic, and for each station real | emulated."""
    columns = {}
    for station in found:
        normals = station.normals()
        columns[f"{station.name}, real"] = dict(year_statistics(station.readings))
        emulated = (station.emulated(seed, normals) for pair in seeds for seed in pair)
        columns[f"{station.name}, emulated"] = _mean(map(year_statistics, emulated))
    return _table("statistic", columns)


def seattle_table(seeds: tuple[tuple[int, int], ...]) -> list[str]:
    """Return the same of the days of Seattle, with a judge over windows of ten days."""
    real = stations.seattle_days()
    emulated = {seed: stations.emulated_seattle_days(seed) for pair in seeds for seed in pair}
    columns = {
        "Seattle 2012 to 2015, real": dict(day_statistics(real)),
        "`Csb`, emulated": _mean(map(day_statistics, emulated.values())),
    }
    judge = judges.Judge("random forest, ten days of highest and lowest", judges.forest, 10)
    columns["`Csb`, emulated"][f"area under the curve: {judge.name}"] = float(
        np.mean([judges.area_under_curve(judge, real, emulated[one], emulated[other], 1) for one, other in seeds])
    )
    return _table("statistic", columns)


def judges_table(
    found: list[stations.Station], seeds: tuple[tuple[int, int], ...], chosen: Iterable[judges.Judge]
) -> list[str]:
    """Return judge, and for each station the area under the curve, with two real ones for comparison."""
    years = {}
    for station in found:
        normals = station.normals()
        for seed in {seed for pair in seeds for seed in pair}:
            years[station.name, seed] = station.emulated(seed, normals)
            years[f"{station.name}, `world: 1`", seed] = station.emulated(seed, "temperate", 1)
    columns: dict[str, dict[str, float]] = {}
    for number, judge in enumerate(chosen):
        for station in found:
            names = [station.name] if number else [station.name, f"{station.name}, `world: 1`"]
            for name in names:
                auc = [
                    judges.area_under_curve(judge, station.readings, years[name, one], years[name, other])
                    for one, other in seeds
                ]
                columns.setdefault(name, {})[judge.name] = float(np.mean(auc))
        if {"JFK", "EWR"} <= {station.name for station in found}:
            here, other = (stations.airport(name).readings for name in ("JFK", "EWR"))
            columns.setdefault("JFK and EWR, both real", {})[judge.name] = judges.area_under_curve(
                judge, here, other, other
            )
    return _table("area under the curve", columns)


def held_out_table(seeds: tuple[tuple[int, int], ...]) -> list[str]:
    """Return judge, and the area under the curve of stations that were held back, every third hour of those of IWEC."""
    columns: dict[str, dict[str, float]] = {}
    found = [(stations.airport("LGA"), 1), *((station, 3) for station in stations.held_out())]
    for station, step in found:
        normals = station.normals()
        years = {seed: station.emulated(seed, normals)[::step] for pair in seeds for seed in pair}
        for judge in judges.JUDGES:
            auc = [
                judges.area_under_curve(judge, station.readings[::step], years[one], years[other], 24 // step)
                for one, other in seeds
            ]
            columns.setdefault(station.name, {})[judge.name] = float(np.mean(auc))
    return _table("area under the curve", columns)


def footfall_table(seeds: tuple[tuple[int, int], ...]) -> list[str]:
    """Return statistic, and for each counter real | emulated, with what judges make of days of hours."""
    columns: dict[str, dict[str, float]] = {}
    chosen = [judge for judge in judges.JUDGES[:2] if judge.days == 1]
    shown = {"": lambda counts: counts, ", beside the usual week": footfall.beside_usual_week}
    real_ones = [footfall.real_counts(name) for name in footfall.COUNTERS]
    for name, real in zip(footfall.COUNTERS, real_ones, strict=True):
        years = {seed: footfall.emulated_counts(seed, real) for pair in seeds for seed in pair}
        columns[f"{name}, real"] = dict(footfall.count_statistics(real))
        emulated = columns[f"{name}, emulated"] = _mean(map(footfall.count_statistics, years.values()))
        for judge in chosen:
            for said, show in shown.items():
                auc = [
                    judges.area_under_curve(
                        judge, show(real), show(years[one]), show(years[other]), len(footfall.HOURS)
                    )
                    for one, other in seeds
                ]
                emulated[f"area under the curve: {judge.name}{said}"] = float(np.mean(auc))
    for judge in chosen:
        for said, show in shown.items():
            first, second = (show(counts) for counts in real_ones[:2])
            columns[f"{footfall.COUNTERS[0]}, real"][f"area under the curve: {judge.name}{said}"] = (
                judges.area_under_curve(judge, first, second, second, len(footfall.HOURS))
            )
    return _table("statistic", columns)


def faults_table(seeds: tuple[tuple[int, int], ...]) -> list[str]:
    """Return detector and fault, and the area under the curve in real air and in emulated air, with how they differ."""
    here, neighbour = stations.airport("JFK"), stations.airport("EWR")
    real = {
        (detector, fault): found for detector, fault, found in
        detectors.detection(here.readings, neighbour.readings, seeds[0][0])
    }  # fmt: skip
    emulated: dict[tuple[str, str], list[detectors.Detection]] = {}
    for pair in seeds:
        for seed in pair:
            years = detectors.pair_of_airports(seed, here, neighbour)
            for detector, fault, found in detectors.detection(*years, seeds[0][0]):
                emulated.setdefault((detector, fault), []).append(found)
    lines = ["| detector | fault | real | emulated | emulated less real | 95 % of draws |", "|---" * 6 + "|"]
    for (detector, fault), one in sorted(real.items(), key=lambda row: list(detectors.DETECTORS).index(row[0][0])):
        mean, low, high = detectors.difference(one, emulated[detector, fault])
        areas = f"{one.auc():.2f} | {one.auc() + mean:.2f}"
        lines.append(f"| {detector} | {fault} | {areas} | {mean:+.2f} | {low:+.2f} to {high:+.2f} |")
    return lines


def _numbers(pairs: tuple[tuple[int, int], ...] = SEEDS) -> str:
    return ", ".join(str(seed) for pair in pairs for seed in pair)


def _table(title: str, columns: dict[str, dict[str, float]]) -> list[str]:
    labels = list(dict.fromkeys(label for column in columns.values() for label in column))
    lines = [f"| {title} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for label in labels:
        cells = (f"{column[label]:.2f}" if label in column else "" for column in columns.values())
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines


def _mean(years: Iterable[Iterator[tuple[str, float]]]) -> dict[str, float]:
    rows = pd.DataFrame([dict(year) for year in years])
    return {str(label): float(value) for label, value in rows.mean().items()}


if __name__ == "__main__":
    main()
