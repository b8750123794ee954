"""Tables of monthly normals: what they make of the air, and what is said of those that cannot be taken."""

from pathlib import Path

import numpy as np
import pytest

from devices.scenario.climate_file import read_monthly
from devices.scenario.loading import load_scenario
from devices.scenario.scenario import Scenario
from devices.world.components import components
from devices.world.world import DAY_MS, HOUR_MS, World
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError

HEAD = "month,temperature_c,range_c,spread_c,humidity,pressure_hpa,pressure_spread_hpa"
ROWS = [f"{month},{10 + month},7,2.5,{50 + month},1015,6" for month in range(1, 13)]


def table(tmp_path: Path, lines: list[str]) -> Path:
    path = tmp_path / "normals.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_table_of_normals_is_the_climate_of_its_site(tmp_path: Path) -> None:
    path = table(tmp_path, ["# of our own roof", HEAD, *ROWS])
    site = {"name": "roof", "latitude": 47, "longitude": 8, "altitude_m": 0, "climate": {"monthly": str(path)}}
    scenario = Scenario.model_validate({"world": 2, "sites": [site], "devices": [{"kind": "bme280"}]})
    world = World.build(1, scenario.sites, version=2)
    times = parse_ms("2026-01-01T00:00:00Z") + np.arange(0, 3 * 365 * DAY_MS, HOUR_MS)
    month = times.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64) % 12
    air = components(world).atmosphere.outdoor_air(np.zeros(len(times), dtype=np.int64), times)
    for rows, number in ((month == 2, 3), (month == 7, 8)):
        assert air.temperature_c[rows].mean() == pytest.approx(10 + number, abs=2)
        assert air.humidity[rows].mean() == pytest.approx(50 + number, abs=9)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "is empty; write a head and twelve lines"),
        (["month,temperature_c"], ":1: has no column range_c"),
        ([HEAD + ",wind", *ROWS], ":1: column 'wind' is not one of"),
        ([HEAD + ",humidity", *ROWS], ":1: column humidity is there twice; keep one of them"),
        ([HEAD, *ROWS[:-1]], "month 12 is missing"),
        ([HEAD, *ROWS, ROWS[0]], ":14: month 1 is there twice"),
        ([HEAD, "1,warm,7,2,50,1015,6"], ":2: temperature_c is 'warm'; write a number"),
        ([HEAD, "1,nan,7,2,50,1015,6"], ":2: temperature_c is nan; it is from -80 to 60"),
        ([HEAD, "1,10,7,2,150,1015,6"], ":2: humidity is 150; it is from 2 to 99"),
        ([HEAD, "1,10,7"], ":2: has 3 values and the head 7"),
        (
            [HEAD + ",dew_point_correlation", "1,10,7,2,50,1015,6,1.2"],
            ":2: dew_point_correlation is 1.2; it is from -1 to 1",
        ),
        ([HEAD, "1.5,10,7,2,50,1015,6"], ":2: month is 1.5"),
    ],
)
def test_what_cannot_be_taken_is_told_with_file_and_line(tmp_path: Path, lines: list[str], said: str) -> None:
    path = table(tmp_path, lines)
    with pytest.raises(ValueError, match=r"normals\.csv") as caught:
        read_monthly(path)
    assert said in str(caught.value)


def test_files_that_are_none_or_too_large_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read_monthly(tmp_path / "none.csv")
    (tmp_path / "large.csv").write_bytes(b"#" * 100_001)
    with pytest.raises(ValueError, match="more than 100,000 bytes"):
        read_monthly(tmp_path / "large.csv")
    (tmp_path / "latin.csv").write_bytes(b"\xe9")
    with pytest.raises(ValueError, match="not text in UTF-8"):
        read_monthly(tmp_path / "latin.csv")


def test_the_file_names_the_scenario_that_cannot_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scenario = tmp_path / "s.yaml"
    place = "{name: a, latitude: 47, longitude: 8, climate: %s}"
    for version, climate, said in (
        (2, "{monthly: none.csv}", "none.csv: cannot be read"),
        (1, "Cfa", "Cfa is not of world: 1: leave that out"),
        (2, "Cfc", "is not a climate"),
    ):
        scenario.write_text(f"world: {version}\nsites: [{place % climate}]\ndevices: [{{kind: bme280}}]\n")
        with pytest.raises(ConfigError, match=said):
            load_scenario(scenario)
