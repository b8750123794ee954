"""Who a device is hangs on its id: whoever is taken out of a scenario, all others say what they said before."""

from collections import defaultdict
from typing import Any

import orjson
import pytest

from devices.scenario.devices import Device, expand_devices
from devices.scenario.numbers import listed_number
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.errors import ConfigError

NOON_MS = 1_772_452_800_000  # 2026-03-02, a Monday
MINUTE_MS = 60_000
SITES = [
    {"name": "riverside", "latitude": 48.8566, "longitude": 2.3522},
    {"name": "harbour", "latitude": 53.5511, "longitude": 9.9937},
]
MIXED: list[dict[str, Any]] = [
    {"kind": "bme280", "ids": ["kitchen", "hall-2", "b3"], "interval": "60s"},
    {"kind": "traffic", "ids": ["c1", "c2", "c3"], "interval": "2m", "site": "harbour"},
    {"kind": "traffic", "ids": ["north-cam"], "interval": "2m"},
    {"kind": "gps", "ids": ["g1", "g2", "g3"], "interval": "60s", "site": "harbour", "settings": {"nmea": True}},
    {"kind": "gps", "ids": ["van-gps-a"], "interval": "60s"},
    {"kind": "telematics", "ids": ["t1", "t2", "t3", "van-telematics-a"], "interval": "60s", "site": "harbour"},
    {"kind": "people", "ids": ["door-a", "door-b"], "interval": "5m"},
]
FAULTS = [
    {"type": "bias", "kind": "telematics", "field": "battery_v", "offset": -3, "share": 0.5, "rate": "40/day",
     "duration": "5m..20m"},
    {"type": "burst", "kind": "gps", "share": 0.5, "rate": "20/day", "duration": "20m..50m"},
    {"type": "spike", "kind": "bme280", "field": "humidity", "size": 20, "chance": 0.3, "rate": "40/day",
     "duration": "5m..20m"},
]  # fmt: skip


def scenario(devices: list[dict[str, Any]], **keys: Any) -> Scenario:
    return Scenario.model_validate({"seed": 7, "sites": SITES, "devices": devices, "faults": FAULTS} | keys)


def said(built: Scenario, minutes: int = 60) -> dict[str, list[bytes]]:
    timeline = Timeline(built, NOON_MS - 5 * 3_600_000)
    batch = timeline.batch(NOON_MS, NOON_MS + minutes * MINUTE_MS)
    found: defaultdict[str, list[bytes]] = defaultdict(list)
    for position, payload in zip(batch.device, batch.payload, strict=True):
        found[timeline.devices[position].device_id].append(payload)
    return found


def without(device_id: str) -> list[dict[str, Any]]:
    groups = [group | {"ids": [one for one in group["ids"] if one != device_id]} for group in MIXED]
    return [group for group in groups if group["ids"]]


EVERYONE = [device_id for group in MIXED for device_id in group["ids"]]


@pytest.fixture(scope="module")
def before() -> dict[str, list[bytes]]:
    return said(scenario(MIXED))


@pytest.mark.slow
@pytest.mark.parametrize("device_id", EVERYONE)
def test_whoever_is_taken_out_all_others_say_what_they_said(device_id: str, before: dict[str, list[bytes]]) -> None:
    after = said(scenario(without(device_id)))
    assert set(after) == set(EVERYONE) - {device_id}
    for name, payloads in after.items():
        assert payloads == before[name], name


def test_hardware_in_the_place_of_a_device_leaves_a_fleet_from_templates_as_it_was() -> None:
    groups = [
        {"kind": "traffic", "count": 2, "interval": "60s"},
        {"kind": "gps", "count": 40, "id": "bus-{n}", "interval": "60s"},
        {"kind": "bme280", "count": 3, "interval": "60s"},
    ]
    swapped = [dict(group) for group in groups]
    swapped[1]["hardware"] = ["bus-17", "bus-40"]
    before, after = said(scenario(groups, faults=[]), 20), said(scenario(swapped, faults=[]), 20)
    assert set(before) - set(after) == {"bus-17", "bus-40"}
    assert all(before[name] == payloads for name, payloads in after.items())
    # The same ids, listed without the two, ride in the same vehicles.
    listed = [dict(group) for group in groups]
    listed[1] = {"kind": "gps", "ids": [name for name in after if name.startswith("bus")], "interval": "60s"}
    again = said(scenario(listed, faults=[]), 20)
    assert all(again[name] == payloads for name, payloads in after.items() if not name.startswith("traffic"))


def devices_of(groups: list[dict[str, Any]]) -> dict[str, Device]:
    return {device.device_id: device for device, _ in expand_devices(scenario(groups, faults=[]))}


@pytest.mark.parametrize(
    ("gps", "telematics"),
    [
        ("g3", "t3"),
        ("gps-0003", "telematics-0003"),
        ("bus_3", "unit-3"),
        ("north-gps-3", "north-telematics-3"),
        ("gps-alpha", "telematics-alpha"),
        ("g0", "t0"),
    ],
)
def test_units_with_one_number_or_name_ride_in_one_vehicle_of_one_site(gps: str, telematics: str) -> None:
    found = devices_of([{"kind": "gps", "ids": ["g9", gps]}, {"kind": "telematics", "ids": [telematics, "t8"]}])
    assert found[gps].ordinal == found[telematics].ordinal
    assert found[gps].site == found[telematics].site
    assert len({device.ordinal for device in found.values()}) == 3


def test_a_vehicle_is_named_by_its_number() -> None:
    built = scenario([{"kind": "gps", "ids": ["g1", "g3"]}, {"kind": "telematics", "ids": ["t3"]}], faults=[])
    rows = {name: orjson.loads(payloads[0]) for name, payloads in said(built, 5).items()}
    assert [rows["g1"]["vehicle_id"], rows["g3"]["vehicle_id"], rows["t3"]["driver_id"]] == ["V0000", "V0002", "D0002"]


def test_ids_of_several_words_and_numbers_never_share_a_vehicle() -> None:
    ids = [f"plant{plant}-gps-{number}" for plant in range(20) for number in range(50)]
    assert len({listed_number(device_id, "gps") for device_id in ids}) == 1000
    # Nor does one whose number a template of the kind has.
    found = devices_of([{"kind": "gps", "count": 5}, {"kind": "gps", "ids": ["van-3"]}])
    assert len({device.ordinal for device in found.values()}) == 6


@pytest.mark.parametrize(
    ("groups", "error"),
    [
        (
            [{"kind": "gps", "ids": ["north-1", "south-1"]}],
            "gps 'south-1' and 'north-1' would both ride in vehicle 1: give one another number",
        ),
        (
            [{"kind": "gps", "count": 3}, {"kind": "gps", "ids": ["x"], "vehicles": [2]}],
            "gps 'x' and number 2 of a template would both ride in vehicle 2",
        ),
        ([{"kind": "gps", "count": 3, "hardware": ["gps-0009"]}], "hardware: 'gps-0009' is not the id of a device"),
    ],
)
def test_two_units_of_a_kind_never_share_a_vehicle(groups: list[dict[str, Any]], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        Timeline(scenario(groups, faults=[]), 0)


def test_the_vehicles_of_listed_ids_can_be_said() -> None:
    found = devices_of([{"kind": "gps", "ids": ["north-1", "south-1"], "vehicles": [1, 2]}])
    assert [device.ordinal for device in found.values()] == [0, 1]
    with pytest.raises(ValueError, match=r"vehicles\s+needs one number for each of ids"):
        scenario([{"kind": "gps", "ids": ["a"], "vehicles": [1, 2]}])
    with pytest.raises(ValueError, match=r"vehicles\s+bme280 rides in none"):
        scenario([{"kind": "bme280", "ids": ["a"], "vehicles": [1]}])
