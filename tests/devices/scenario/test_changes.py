"""What becomes of each device as a scenario changes, and which shard has it."""

from typing import Any

import pytest

from devices.scenario.changes import VEHICLES_NOTE, DeviceShares, compare_scenarios
from devices.scenario.devices import device_ids
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.errors import ConfigError

NOON_MS = 1_772_625_600_000
GROUP = {"kind": "bme280", "count": 4, "interval": "1s"}


def scenario(*groups: dict[str, Any], **keys: Any) -> Scenario:
    return Scenario.model_validate({"devices": list(groups) or [GROUP]} | keys)


def test_a_group_that_grows_or_shrinks_leaves_the_others_as_they_are() -> None:
    small, large = scenario(GROUP), scenario(GROUP | {"count": 6})
    grown = compare_scenarios(small, large)
    assert (grown.added, grown.removed, grown.replaced, grown.kept) == (("bme280-0005", "bme280-0006"), (), (), 4)
    shrunk = compare_scenarios(large, small)
    assert (shrunk.added, shrunk.removed, shrunk.kept) == ((), ("bme280-0005", "bme280-0006"), 4)
    assert compare_scenarios(small, small).is_empty


def test_an_interval_alone_is_told_and_anything_else_has_the_device_come_anew() -> None:
    faster = compare_scenarios(scenario(GROUP), scenario(GROUP | {"interval": "500ms"}))
    assert (faster.intervals, faster.replaced) == (dict.fromkeys(device_ids(scenario(GROUP)), 500), ())
    assert faster.summary() == "4 given another interval; 0 stay as they are"


@pytest.mark.parametrize(
    "changed",
    [
        {"devices": [GROUP | {"qos": 0}]},
        {"devices": [GROUP | {"settings": {"noise": False}}]},
        {"devices": [GROUP | {"dialect": "tasmota", "interval": "1s", "qos": 1}]},
        {"devices": [GROUP | {"jitter": "10ms"}]},
        {"outbox": {"max_messages": 5}},
        {"standby": True},
        {"sites": [{"name": "default", "latitude": 1.0, "longitude": 2.0}]},
        {
            "faults": [
                {
                    "type": "bias",
                    "kind": "bme280",
                    "field": "temperature_c",
                    "offset": 3.0,
                    "from": "2026-01-01T00:00:00Z",
                }
            ]
        },
    ],
    ids=str,
)
def test_whatever_else_decides_what_a_device_says_or_does_replaces_it(changed: dict[str, Any]) -> None:
    change = compare_scenarios(scenario(), Scenario.model_validate({"devices": [GROUP]} | changed))
    assert change.replaced == tuple(device_ids(scenario()))
    assert not change.kept


def test_a_fault_of_one_device_replaces_that_one() -> None:
    fault = {
        "type": "bias",
        "kind": "bme280",
        "field": "temperature_c",
        "offset": 3.0,
        "from": "2026-01-01T00:00:00Z",
        "devices": ["bme280-0002"],
    }
    change = compare_scenarios(scenario(), scenario(faults=[fault]))
    assert (change.replaced, change.kept) == (("bme280-0002",), 3)


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", 7), ("broker", "mqtt://elsewhere"), ("start", "2026-01-01T00:00:00Z"), ("time_scale", 2.0),
     ("keep_alive", "30s"), ("vehicles", 3), ("insecure", True)],
)  # fmt: skip
def test_what_cannot_change_is_named(key: str, value: object) -> None:
    old = scenario(broker="mqtts://here") if key == "insecure" else scenario()
    new = scenario(broker="mqtts://here", **{key: value}) if key == "insecure" else scenario(**{key: value})
    with pytest.raises(ConfigError, match=f"^{key} cannot change while the devices run: change it back"):
        compare_scenarios(old, new)


def test_receivers_that_are_heard_are_so_from_the_beginning() -> None:
    heard = {"kind": "gps", "count": 2, "settings": {"nmea": {"pty": "/tmp/{id}"}}}
    assert compare_scenarios(scenario(heard), scenario(heard, GROUP)).added == tuple(device_ids(scenario()))
    for other in ({**heard, "count": 3}, {**heard, "settings": {"nmea": {"pty": "auto"}}}, {**heard, "settings": {}}):
        with pytest.raises(ConfigError, match=r"^settings.nmea of gps-000\d cannot change while the devices run"):
            compare_scenarios(scenario(heard), scenario(other))


BEHIND = {"kind": "gps", "count": 4, "gateway": {"devices": 2}}


@pytest.mark.parametrize(
    "other",
    [
        [BEHIND | {"count": 6}],
        [BEHIND | {"count": 2}],
        [],
        [BEHIND | {"gateway": {"devices": 4}}],
        [BEHIND | {"qos": 0}],
    ],
)
def test_devices_behind_gateways_stay_as_they_are(other: list[dict[str, Any]]) -> None:
    said = r"^gps-000\d is behind gateway-000\d, and the devices of gateways cannot change while"
    with pytest.raises(ConfigError, match=said):
        compare_scenarios(scenario(BEHIND, GROUP), scenario(*other, GROUP))


def test_others_change_beside_gateways() -> None:
    change = compare_scenarios(scenario(BEHIND, GROUP), scenario(BEHIND, GROUP | {"count": 5}))
    assert (change.added, change.kept) == (("bme280-0005",), 8)


def test_cameras_that_stay_are_said_to_see_no_new_vehicles() -> None:
    cameras, units = {"kind": "traffic", "count": 2}, {"kind": "gps", "count": 2}
    assert compare_scenarios(scenario(cameras), scenario(cameras, units)).notes == (VEHICLES_NOTE,)
    assert compare_scenarios(scenario(GROUP), scenario(GROUP, units)).notes == ()


def test_who_has_a_device_keeps_it() -> None:
    first = scenario({"kind": "gps", "count": 3}, GROUP)
    before = DeviceShares(first, 2)
    change = compare_scenarios(first, scenario({"kind": "gps", "count": 4}, GROUP | {"count": 5}))
    after = before.dealt(change)
    assert {one: after.owner(one) for one in device_ids(first)} == {one: before.owner(one) for one in device_ids(first)}
    assert sorted([*after.device_ids(0), *after.device_ids(1)]) == sorted([*device_ids(first), *change.added])
    assert abs(len(after.device_ids(0)) - len(after.device_ids(1))) <= 1
    # One that was there before comes back to where it was.
    assert after.dealt(change).owner(change.added[0]) == after.owner(change.added[0])


def test_devices_that_come_later_say_what_they_say_in_a_whole_scenario() -> None:
    """Law 1: those of 100 that become 200 are the 200."""
    whole = scenario(GROUP | {"count": 6}, {"kind": "people", "count": 2, "interval": "1s"})
    later = compare_scenarios(scenario(GROUP), whole).added
    alone = Timeline(whole, NOON_MS, only=later)
    all_of_them = Timeline(whole, NOON_MS).batch(NOON_MS, NOON_MS + 5000)
    batch = alone.batch(NOON_MS, NOON_MS + 5000)
    ids = [device.device_id for device in Timeline(whole, NOON_MS).devices]
    assert [device.device_id for device in alone.devices] == list(later)
    assert batch.payload == [
        payload for at, payload in zip(all_of_them.device, all_of_them.payload, strict=True) if ids[at] in later
    ]
    kept = Timeline(scenario(GROUP), NOON_MS).batch(NOON_MS, NOON_MS + 5000)
    stay = set(device_ids(scenario(GROUP)))
    assert kept.payload == [
        payload for at, payload in zip(all_of_them.device, all_of_them.payload, strict=True) if ids[at] in stay
    ]
