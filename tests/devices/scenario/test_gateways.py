"""Gateways in a scenario: which devices they have, in which shard, and what is refused."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from devices.scenario.devices import Device, Shard, all_devices, devices_of_shard, login_names
from devices.scenario.scenario import Scenario
from devices.sensors.base import EPOCH_MS
from devices.timeline.timeline import Timeline
from edgefleet.doctor.needs import Needs
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError

SITES = [{"name": name, "latitude": 48.9, "longitude": 2.4} for name in ("a", "b")]


def scenario(*groups: dict[str, Any], **more: Any) -> Scenario:
    return Scenario.model_validate({"sites": SITES, "devices": [{"kind": "bme280"} | group for group in groups]} | more)


def by_gateway(devices: list[Device]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for device in devices:
        found.setdefault(device.client_id, []).append(device.device_id)
    return found


@pytest.mark.parametrize(
    ("group", "sizes"),
    [
        ({"gateway": {"count": 2, "devices": 3}}, [3, 3]),
        ({"gateway": {"devices": 3}, "count": 7}, [3, 3, 1]),
        ({"gateway": {"count": 2}, "count": 5}, [3, 2]),
        ({"gateway": {"count": 1}, "ids": ["x", "y"]}, [2]),
        ({"gateway": {"devices": 4}}, [1]),
        ({"dialect": "zigbee2mqtt", "count": 3}, [3]),
    ],
)
def test_devices_are_divided_among_gateways_in_their_order(group: dict[str, Any], sizes: list[int]) -> None:
    loaded = scenario(group)
    behind = by_gateway([device for device, _ in all_devices(loaded)])
    assert [len(ids) for ids in behind.values()] == sizes
    assert list(behind) == [f"gateway-{n:04d}" for n in range(1, len(sizes) + 1)]
    assert loaded.devices[0].connections == len(sizes)
    assert Needs.of(loaded).connections == len(sizes)


def test_a_gateway_is_at_one_site_and_changes_no_value_of_its_devices() -> None:
    plain, behind = scenario({"count": 6}), scenario({"count": 6, "gateway": {"devices": 3}})
    devices = [device for device, _ in all_devices(behind)]
    assert [device.site for device in devices] == ["a"] * 3 + ["b"] * 3
    assert [device.key for device in devices] == [device.key for device, _ in all_devices(plain)]


GROUPS: tuple[dict[str, Any], ...] = (
    {"count": 3, "id": "own-{n}"},
    {"count": 7, "gateway": {"devices": 2}},
    {"kind": "gps", "count": 2},
    {"kind": "people", "count": 5, "gateway": {"count": 2}},
)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 12])
def test_shards_keep_gateways_whole_and_have_every_device_once(count: int) -> None:
    loaded = scenario(*GROUPS)
    everyone = all_devices(loaded)
    whole = by_gateway([device for device, _ in everyone])
    seen: list[str] = []
    for index in range(count):
        shard = Shard(index, count)
        mine, numbers = devices_of_shard(everyone, shard)
        behind = by_gateway([device for device, _ in mine])
        assert all(whole[client_id] == ids for client_id, ids in behind.items())
        assert all(number % count == index for number in numbers)
        assert len(set(numbers)) == len(behind) == len(login_names(mine))
        seen += [device.device_id for device, _ in mine]
        needs = Needs.of(loaded, shard=shard)
        assert (needs.devices, needs.connections) == (len(mine), len(behind))
        assert [device.device_id for device in Timeline(loaded, 0, shard).devices] == [one.device_id for one, _ in mine]
    assert sorted(seen) == sorted(device.device_id for device, _ in everyone)


def test_without_gateways_shards_are_what_they_were() -> None:
    everyone = all_devices(scenario({"count": 10}))
    mine, numbers = devices_of_shard(everyone, Shard(1, 3))
    assert (list(mine), list(numbers)) == (everyone[1::3], [1, 4, 7])


def test_what_happens_to_a_connection_happens_to_all_devices_of_the_gateway() -> None:
    begin = parse_ms("2026-03-04T12:00:00Z")
    times = {"from": "2026-03-04T12:00:05Z", "to": "2026-03-04T12:00:06Z"}
    faults = [
        {"type": "silent_death", "kind": "bme280", "devices": ["bme280-0002"], **times},
        {"type": "reboot", "kind": "bme280", "devices": ["bme280-0005"], **times},
        {"type": "delay", "kind": "bme280", "rate": "60/h", "duration": "1m"},
    ]
    line = Timeline(scenario({"count": 6, "gateway": {"devices": 3}}, faults=faults), EPOCH_MS)
    begun = line.fault_transitions(begin, begin + 3_600_000, first=True)
    struck: dict[str, dict[int, set[int]]] = {}
    for one in begun:
        if one.begins:
            struck.setdefault(one.fault.type_name, {}).setdefault(one.at_ms, set()).add(one.position)
    assert list(struck["silent_death"].values()) == [{0, 1, 2}]
    assert list(struck["reboot"].values()) == [{4}]
    assert len(struck["delay"]) > 10
    assert all(positions in ({0, 1, 2}, {3, 4, 5}, {0, 1, 2, 3, 4, 5}) for positions in struck["delay"].values())
    assert np.unique([device.key for device in line.devices]).size == 6


OWN = {"topic": "x/{gateway}/{id}", "payload": {"t": "temperature_c"}}


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ({"gateway": {}}, "needs count, of the gateways, or devices"),
        ({"gateway": {"count": 3}, "count": 2}, "3 gateways for 2 devices"),
        ({"gateway": {"count": 4}, "count": 5}, "give devices instead"),
        ({"gateway": {"count": 1}, "count": 1001}, "may have 1,000"),
        ({"gateway": {"count": 2, "devices": 3}, "count": 5}, "leave one of the three out"),
        ({"gateway": {"count": 2, "devices": 3, "id": "g"}}, "needs {n} in it"),
        ({"gateway": {"devices": 2, "id": "g-{m}"}, "count": 2}, "is not a template"),
        ({"gateway": {"devices": 2}, "count": 2, "dialect": "tasmota"}, "has a connection of its own"),
        ({"gateway": {"devices": 2}, "count": 2, "dialect": "esphome"}, "has a connection of its own"),
        ({"gateway": {"devices": 2}, "count": 2, "dialect": "shelly"}, "has a connection of its own"),
        ({"kind": "gps", "gateway": {"devices": 2}, "count": 2, "dialect": "owntracks"}, "connection of its own"),
        ({"gateway": {"devices": 2}, "count": 4, "dialect": "zigbee2mqtt"}, "write {gateway} into base_topic"),
        ({"kind": "gps", "dialect": "zigbee2mqtt"}, "no sensor of Zigbee measures what a gps measures"),
        ({"dialect": "zigbee2mqtt", "discovery": {"form": "device"}}, "write form: single"),
        ({"dialect": {"dialect": "zigbee2mqtt", "base_topic": "z-{gateway}"}}, "is no level of a topic"),
        ({"dialect": {"dialect": "zigbee2mqtt", "base_topic": "z/{line}"}}, "nothing is called {line}"),
        ({"count": 2, **OWN}, "there is no {gateway}"),
        ({"gateway": {"devices": 2, "availability": {"topic": "x"}}, "count": 2}, "is of a format of your own"),
        ({"gateway": {"devices": 1, "availability": {"topic": "x"}}, "count": 2, **OWN}, "write {gateway} into it"),
        ({"gateway": {"devices": 2, "availability": {"topic": "x/{id}"}}, "count": 2, **OWN}, "{id} at a gateway"),
        ({"gateway": {"devices": 2, "availability": {"topic": "x/#"}}, "count": 2, **OWN}, "has a wildcard"),
        ({"gateway": {"devices": 2}, "count": 2, "standby": True}, "write standby: false"),
        ({"gateway": {"devices": 2}, "count": 2, "firmware": {"sleep": {"awake": "1s"}}}, "leave firmware.sleep out"),
        ({"standby": True, "dialect": "zigbee2mqtt"}, "these share their gateway's: write standby: false"),
        ({"dialect": "tasmota", "firmware": {"status_interval": "1m"}}, "leave firmware.status_interval out"),
        ({"count": 2, "standby": True, "topic": "x", "payload": {"i": "id", "t": "temperature_c"}}, "write {id} into"),
        ({"dialect": "sparkplug", "qos": 1}, "data of sparkplug has QoS 0 and no other: leave it out"),
        ({"dialect": "sparkplug", "standby": True}, "spoil each other's session in sparkplug"),
        ({"dialect": "sparkplug", "standby": True, "gateway": {"count": 1}}, "these share their gateway's"),
        ({"dialect": {"dialect": "sparkplug", "group": "a/b"}}, "one level of a topic"),
        ({"dialect": {"dialect": "sparkplug", "group": "{line}"}}, "nothing is called {line}"),
        ({"dialect": {"dialect": "sparkplug", "host_id": "a+"}}, "one level of a topic"),
        ({"dialect": "sparkplug", "ids": ["a/b"]}, "no level of a topic may have"),
        ({"dialect": "sparkplug", "discovery": "homeassistant"}, "not in sparkplug"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(group: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        scenario(group)
    assert said in str(raised.value)


def test_a_gateway_and_a_device_have_different_ids() -> None:
    with pytest.raises(ConfigError, match="two devices are called 'gateway-0001'"):
        all_devices(scenario({"ids": ["gateway-0001"]}, {"count": 2, "gateway": {"devices": 2}}))
