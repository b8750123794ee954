"""A shard has the devices that it has where all are made, and makes no others where it need not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.scenario import shard_devices
from devices.scenario.devices import Shard, all_devices, devices_of_shard, emulated, vehicle_sites, vehicle_uses
from devices.scenario.scenario import Scenario
from devices.scenario.shard_devices import ShardDevices
from edgewire.errors import ConfigError

SITES = [
    {"name": name, "latitude": 48.8, "longitude": 2.3, "timezone": "Europe/Paris"} for name in ("here", "there", "far")
]
KINDS = ["bme280", "traffic", "gps", "telematics", "people"]
PLAIN = st.fixed_dictionaries(
    {"kind": st.sampled_from(KINDS), "count": st.integers(1, 9), "qos": st.integers(0, 1)},
    optional={"site": st.sampled_from(["here", "far"]), "interval": st.sampled_from(["1s", "25s"])},
)
OTHER = st.sampled_from(
    [
        {"kind": "gps", "count": 4, "id": "van-{n:03d}"},
        {"kind": "gps", "ids": ["gps-77", "van"]},
        {"kind": "bme280", "count": 3, "hardware": ["bme280-0001"]},
        {"kind": "telematics", "count": 3, "settings": {"use": "taxi"}},
        {"kind": "bme280", "count": 7, "gateway": {"id": "hub-{n}", "devices": 3}},
    ]
)


@given(st.lists(PLAIN, min_size=1, max_size=4), st.lists(OTHER, max_size=1), st.integers(1, 7), st.data())
def test_a_shard_has_what_it_has_where_all_are_made(
    plain: list[dict[str, Any]], other: list[dict[str, Any]], count: int, data: st.DataObject
) -> None:
    made = Scenario(sites=SITES, devices=[*other, *plain])
    shard = Shard(data.draw(st.integers(0, count - 1)), count)
    found, everyone = ShardDevices(made, shard), all_devices(made)
    mine, numbers = devices_of_shard(emulated(everyone), shard)
    assert [(device, id(group)) for device, group in found.mine] == [(device, id(group)) for device, group in mine]
    assert list(found.connection_numbers) == list(numbers)
    assert found.vehicle_sites == vehicle_sites(everyone)
    assert found.vehicle_uses == vehicle_uses(everyone)


def test_of_others_nothing_is_made_where_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(_: Scenario) -> None:
        raise AssertionError("all devices were made")

    monkeypatch.setattr(shard_devices, "all_devices", too_much)
    made = Scenario(devices=[{"kind": kind, "count": 7} for kind in KINDS])
    found = [ShardDevices(made, Shard(index, 3)) for index in range(3)]
    assert sum(len(one.mine) for one in found) == 35
    assert {len(one.vehicle_sites) for one in found} == {7}


def test_two_devices_of_one_id_are_refused_though_they_are_in_other_shards() -> None:
    groups = [{"kind": "bme280", "count": 3}, {"kind": "gps", "ids": ["bme280-0001"]}]
    with pytest.raises(ConfigError, match="bme280-0001"):
        ShardDevices(Scenario(devices=groups), Shard(2, 4))
