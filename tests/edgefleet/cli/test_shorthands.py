"""Options that change single keys of a scenario, in every command that loads one."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from devices.scenario.loading import load_scenario
from devices.scenario.scenario import Scenario
from edgefleet.cli import app
from edgefleet.cli.shorthands import ScenarioShorthands
from edgewire.errors import ConfigError

SCENARIOS = Path(__file__).parents[3] / "scenarios"


def load(name: str) -> Scenario:
    return load_scenario(SCENARIOS / f"{name}.yaml")


def test_a_shorthand_changes_one_key() -> None:
    assert ScenarioShorthands(drivers=25).apply(load("telematics")).devices[0].size == 25
    shop = ScenarioShorthands(daily_customers=500, daily_variation=0.0, fixed_daily_total=True).apply(
        load("foot-traffic")
    )
    assert shop.devices[0].settings == {"daily_customers": 500, "daily_variation": 0.0, "fixed_daily_total": True}
    assert ScenarioShorthands(device_id="kitchen").apply(load("bme280")).devices[0].ids == ("kitchen",)
    mixed = ScenarioShorthands(drivers=7).apply(load("mixed"))
    assert [group.size for group in mixed.devices] == [100, 20, 60, 7, 10]
    assert ScenarioShorthands().apply(load("mixed")) == load("mixed")


@pytest.mark.parametrize(
    ("shorthands", "name", "said"),
    [
        (ScenarioShorthands(drivers=3), "bme280", "--drivers: there is no telematics among the devices"),
        (ScenarioShorthands(daily_variation=0.0), "bme280", "--daily-variation: there is no people among"),
        (ScenarioShorthands(device_id="x"), "mixed", "--device-id: there are 5 groups of devices"),
        (ScenarioShorthands(device_id="a/b"), "bme280", "--device-id a/b: a device id has letters"),
    ],
)
def test_a_shorthand_for_what_is_not_there_is_refused(shorthands: ScenarioShorthands, name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        shorthands.apply(load(name))


@pytest.mark.parametrize(
    ("shorthands", "gateway", "said"),
    [
        (
            ScenarioShorthands(drivers=3),
            {"count": 2, "devices": 5},
            "--drivers: gateway: 2 gateways of 5 devices are 10",
        ),
        (ScenarioShorthands(drivers=3), {"count": 5}, "--drivers: gateway.count: 5 gateways for 3 devices: some would"),
        (
            ScenarioShorthands(device_id="x"),
            {"count": 2, "devices": 5},
            "--device-id: gateway: 2 gateways of 5 devices",
        ),
    ],
)
def test_devices_that_fit_no_gateway_are_refused(
    shorthands: ScenarioShorthands, gateway: dict[str, int], said: str
) -> None:
    group = {"kind": "telematics", "count": 10, "gateway": gateway}
    with pytest.raises(ConfigError, match=f"{said}.*; or change the scenario itself"):
        shorthands.apply(Scenario.model_validate({"devices": [group]}))


@pytest.mark.parametrize("command", ["run", "generate", "doctor", "forget", "provision"])
def test_every_command_with_a_fleet_has_them(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    needs = {"provision": ["--out", "x"]}.get(command, [])
    result = CliRunner().invoke(app, [command, str(SCENARIOS / "bme280.yaml"), "--drivers", "3", *needs])
    assert "--drivers: there is no telematics among the devices" in str(result.exception)


def test_a_shorthand_counts_devices_and_not_their_parts() -> None:
    vans = Scenario.model_validate(
        {"devices": [{"device": [{"kind": "gps"}, {"kind": "telematics"}], "name": "van", "count": 2}]}
    )
    assert [group.size for group in ScenarioShorthands(drivers=5).apply(vans).devices] == [5, 5]
    assert [group.ids for group in ScenarioShorthands(device_id="v").apply(vans).devices] == [("v",), ("v",)]
