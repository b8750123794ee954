"""Scenario files: what is read, and what a user is told about one that is wrong."""

import re
from collections import Counter
from pathlib import Path

import orjson
import pytest

from devices.scenario.devices import Shard
from devices.scenario.loading import load_scenario
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.timeline.timeline import Timeline
from edgewire import config
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError

SMALLEST = "devices: [{kind: bme280, count: 3}]"


def parse(text: str) -> Scenario:
    return config.parse_config(text, Scenario, name="fleet.yaml")


def ids(scenario: Scenario, shard: Shard | None = None) -> list[str]:
    return [device.device_id for device in Timeline(scenario, 0, shard).devices]


def test_the_smallest_scenario() -> None:
    scenario = parse(SMALLEST)
    assert scenario.broker == "mqtt://127.0.0.1:1883"
    assert ids(scenario) == ["bme280-0001", "bme280-0002", "bme280-0003"]


def test_numbers_go_on_from_group_to_group_of_a_kind() -> None:
    text = "devices: [{kind: gps, count: 2}, {kind: bme280, count: 1}, {kind: gps, count: 1}]"
    assert ids(parse(text)) == ["gps-0001", "gps-0002", "bme280-0001", "gps-0003"]


def test_own_ids() -> None:
    text = "devices: [{kind: bme280, ids: [kitchen, hall]}, {kind: bme280, count: 1, id: 'bme280_fake_{n:03d}'}]"
    assert ids(parse(text)) == ["kitchen", "hall", "bme280_fake_003"]


def test_devices_are_spread_over_sites_and_vehicles_stay_together() -> None:
    text = """
    sites: [{name: a, latitude: 1, longitude: 2}, {name: b, latitude: 3, longitude: 4}]
    devices: [{kind: gps, count: 4}, {kind: telematics, count: 4}, {kind: traffic, count: 2, site: b}]
    """
    devices = Timeline(parse(text), 0).devices
    assert [device.site for device in devices] == ["a", "b", "a", "b", "a", "b", "a", "b", "b", "b"]
    assert [device.ordinal for device in devices[:8]] == [0, 1, 2, 3, 0, 1, 2, 3]


def test_shards_share_out_all_devices() -> None:
    scenario = parse("devices: [{kind: bme280, count: 10}, {kind: gps, count: 5}]")
    parts = [ids(scenario, Shard(index, 4)) for index in range(4)]
    assert sorted(name for part in parts for name in part) == sorted(ids(scenario))


@pytest.mark.parametrize("text", ["3/3", "0", "a/b", "-1/2", "1/0", "", "0/1000001", f"0/{'9' * 5000}"])
def test_no_shard(text: str) -> None:
    with pytest.raises(ConfigError, match="shard"):
        Shard.parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SMALLEST + "\nsead: 1", "unknown key 'sead', did you mean 'seed'?"),
        (
            "devices: [{kind: bme280, count: -1}]",
            "devices[0].count: Input should be greater than or equal to 1, got -1",
        ),
        (
            "devices: [{kind: bmp, count: 1}]",
            "devices[0].kind: is not a kind of device; there are bme280, traffic, gps",
        ),
        (
            "devices: [{kind: gps, count: 1, ids: [a]}]",
            "devices[0]: ids lists the devices one by one; leave out count, or ids",
        ),
        (
            "devices: [{kind: bme280, settings: {temperature_c: {low: 3, high: 5}}}]",
            "key 'devices[0].settings.temperature_c.drift' is missing",
        ),
        ("devices: [{kind: gps, count: 2, id: unit}]", "devices[0].id: needs {n} in it"),
        ("devices: [{kind: gps, count: 2, id: 'unit-{m}'}]", "devices[0].id: 'unit-{m}' is not a template"),
        ("devices: [{kind: gps, count: 1, interval: often}]", "devices[0].interval: 'often' is no duration"),
        ("devices: [{kind: gps, count: 1, colour: red}]", "unknown key 'devices[0].colour'"),
        (
            "devices: [{kind: bme280, count: 1, settings: {nois: 1}}]",
            "unknown key 'devices[0].settings.nois', did you mean 'noise'?",
        ),
        ("devices: [{kind: gps, count: 1, site: mars}]", "devices[0].site: 'mars' is not one of default"),
        ("devices: []", "devices: is empty: write at least one"),
        (
            "broker: [mqtt://a, mqtt://a:1883]\ndevices: [{kind: gps}]",
            "broker: broker mqtt://a:1883 is in the list twice; leave one out",
        ),
        (
            "standby_after: 60s\ndevices: [{kind: gps}]",
            "standby_after: no device stands by: write standby: true beside",
        ),
        ("insecure: true\ndevices: [{kind: gps}]", "insecure: no broker is dialled with TLS"),
        ("seed: 1", "key 'devices' is missing"),
        (SMALLEST + "\nbroker: localhost", "broker: "),
        (SMALLEST + "\ntime_scale: 0", "time_scale: Input should be greater than or equal to 0.001, got 0"),
        (SMALLEST + "\nkeep_alive: .inf", "keep_alive: a duration is 100 years at the most"),
        (SMALLEST + "\nstart: 1999-12-31", "start: boots are counted as of 2000-01-01"),
    ],
)
def test_a_fault_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(text)
    assert re.sub(r"fleet\.yaml:\d+: ", "fleet.yaml: ", str(error.value)).startswith(f"fleet.yaml: {said}")
    assert "\n" not in str(error.value)


def test_twins_are_refused() -> None:
    with pytest.raises(ConfigError, match="two devices are called 'a'"):
        Timeline(parse("devices: [{kind: gps, ids: [a]}, {kind: bme280, ids: [a]}]"), 0)


@pytest.mark.parametrize("name", ["scenarios/mixed.yaml", "edgefleet/demo.yaml"])
def test_shipped_scenarios_are_sound(name: str) -> None:
    scenario = load_scenario(Path(__file__).parents[3] / name)
    assert {device.kind for device in Timeline(scenario, 0).devices} == {
        "bme280",
        "traffic",
        "gps",
        "telematics",
        "people",
    }


def test_durations_that_are_not_given_are_those_of_the_reference() -> None:
    scenario = Scenario(devices=[{"kind": "bme280", "count": 1}])
    assert (scenario.keep_alive, scenario.session_expiry) == (60_000, 3_600_000)


def test_a_distant_start_is_the_one_that_is_written() -> None:
    start = parse(SMALLEST + "\nstart: 9999-12-31").start
    assert start is not None
    assert start.isoformat() == "9999-12-31T00:00:00+00:00"


@pytest.mark.slow
def test_the_vehicle_data_set_spreads_over_days_roads_weathers_and_risk() -> None:
    scenario = load_scenario(Path(__file__).parents[3] / "scenarios/vehicles.yaml")
    timeline = Timeline(scenario, EPOCH_MS)
    assert 100_000 / timeline.rate_per_s > 5 * 86_400
    # Every twelfth hour of six days, which 100,000 records span.
    begins = [parse_ms("2026-03-01T00:00:00Z") + half_day * 12 * 3_600_000 for half_day in range(12)]
    rows = [orjson.loads(payload) for begin in begins for payload in timeline.batch(begin, begin + 3_600_000).payload]
    for kind in ("gps", "telematics"):
        mine = [row for row in rows if row["device_id"].startswith(kind)]
        share = {
            name: Counter(row[name] for row in mine) for name in ("weather", "road_type", "time_of_day", "risk_label")
        }
        assert {"sunny", "rainy"} <= set(share["weather"])
        assert set(share["road_type"]) == {"city", "highway", "rural"}
        assert len(share["time_of_day"]) >= 3
        assert 0.02 < share["risk_label"]["risky"] / len(mine) < 0.2
