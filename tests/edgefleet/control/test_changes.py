"""The scenario that a change of a group leads to is the one that a file would have had from the start."""

from typing import Any

import pytest

from devices.scenario.devices import expand_devices
from devices.scenario.scenario import Scenario
from edgefleet.control.changes import at_interval, group_names, group_number, in_standby, scaled
from edgewire.errors import ConfigError

GPS = {"kind": "gps", "count": 100, "interval": "1s"}


def scenario(*devices: dict[str, Any], **keys: Any) -> Scenario:
    return Scenario(devices=devices, **keys)


def test_200_of_100_are_the_same_as_of_a_fresh_200() -> None:
    before = scenario({"kind": "bme280", "count": 3}, GPS, seed=5)
    after, fresh = scaled(before, 1, 200), scenario({"kind": "bme280", "count": 3}, GPS | {"count": 200}, seed=5)
    assert [device for device, _ in expand_devices(after)] == [device for device, _ in expand_devices(fresh)]
    assert [device for device, _ in expand_devices(scaled(after, 1, 100))] == [
        device for device, _ in expand_devices(before)
    ]


def test_a_group_is_called_by_its_kind_and_by_a_number_where_there_are_several() -> None:
    several = scenario(GPS, {"kind": "bme280"}, GPS | {"id": "van-{n}"})
    assert group_names(several) == ["gps.1", "bme280", "gps.2"]
    assert [group_number(several, name) for name in group_names(several)] == [0, 1, 2]
    with pytest.raises(ConfigError, match=r"there are several of gps: name one of gps\.1, gps\.2"):
        group_number(several, "gps")
    with pytest.raises(ConfigError, match="there is no 'bme', did you mean 'bme280'"):
        group_number(several, "bme")


def test_a_rate_is_that_of_the_whole_group_in_wall_time() -> None:
    fast = scenario(GPS)
    assert at_interval(fast, 0, None, 50, 10).devices[0].interval == 20_000
    assert at_interval(fast, 0, 250, None, 10).devices[0].interval == 250
    with pytest.raises(ConfigError, match="and 10ms is the shortest: scale the group first"):
        at_interval(fast, 0, None, 1e6, 10)


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ({"kind": "gps", "ids": ["a", "b"]}, "are listed one by one in the scenario"),
        ({"kind": "gps", "id": "the-only-one"}, "are listed one by one"),
        ({"kind": "bme280", "dialect": "zigbee2mqtt", "count": 2}, "share the connections of gateways"),
    ],
)
def test_groups_that_cannot_be_scaled_say_why(group: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        scaled(scenario(group), 0, 5)


def test_a_group_stands_by_and_does_no_longer() -> None:
    before = scenario(GPS, {"kind": "bme280"}, standby_after="5s", standby=True)
    one = in_standby(before, 0, False)
    assert [one.standby_after_ms(group) for group in one.devices] == [None, 5000]
    none = in_standby(one, 1, False)
    assert [none.standby_after_ms(group) for group in none.devices] == [None, None]
    again = in_standby(one, 0, True)
    assert [again.standby_after_ms(group) for group in again.devices] == [5000, 5000]
    with pytest.raises(ConfigError, match="standby needs a connection for each device"):
        in_standby(scenario({"kind": "bme280", "dialect": "zigbee2mqtt", "count": 2}), 0, True)


def test_what_contradicts_the_rest_of_the_group_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs one text for all, or one for each of the 5 devices"):
        scaled(scenario({"kind": "gps", "count": 2, "fields": {"room": ["a", "b"]}}), 0, 5)
    with pytest.raises(ConfigError, match="must be shorter than the interval"):
        at_interval(scenario({"kind": "gps", "interval": "5s", "jitter": "1s"}), 0, 500, None, 1)
    with pytest.raises(ConfigError, match="several intervals in turn"):
        at_interval(scenario({"kind": "gps", "intervals": ["5s", "9s"]}), 0, 500, None, 1)
