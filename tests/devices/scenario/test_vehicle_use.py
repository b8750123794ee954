"""What vehicles are driven for: said by a unit in them, and by two the same."""

import re
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from devices.scenario.changes import compare_scenarios
from devices.scenario.devices import all_devices
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from devices.world.world import VEHICLE_USES
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError

MONDAY_MS = parse_ms("2026-03-02T10:00:00Z")


def scenario(gps: dict[str, Any], telematics: dict[str, Any], world: int = 2) -> Scenario:
    groups = [
        {"kind": "gps", "count": 3, "settings": gps},
        {"kind": "telematics", "count": 5, "interval": "10s", "settings": telematics},
    ]
    return Scenario(seed=4, world=world, devices=groups)


@pytest.mark.parametrize(("gps", "telematics"), [({"use": "taxi"}, {}), ({"use": "taxi"}, {"use": "taxi"})])
def test_a_vehicle_is_what_either_unit_says(gps: dict[str, Any], telematics: dict[str, Any]) -> None:
    numbers, uses = Timeline(scenario(gps, telematics), MONDAY_MS).world.uses[0]
    assert numbers.tolist() == list(range(5 if telematics else 3))
    assert set(np.array(VEHICLE_USES)[uses]) == {"taxi"}


def test_two_units_that_contradict_each_other_are_named() -> None:
    said = "gps-0001 and telematics-0001 ride in one vehicle, which is private and taxi: write the same for both"
    with pytest.raises(ConfigError, match=re.escape(said)):
        all_devices(scenario({"use": "private"}, {"use": "taxi"}))


def test_the_first_world_has_no_uses() -> None:
    said = "vehicles of world: 1 are all driven alike: leave that out, or use"
    with pytest.raises(ValidationError, match=re.escape(said)):
        scenario({"use": "private"}, {}, world=1)


def test_a_use_that_there_is_not_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ValidationError, match="delivery"):
        scenario({"use": "lorry"}, {})


def test_both_units_of_a_vehicle_follow_its_use() -> None:
    def readings(gps: dict[str, Any]) -> dict[str, list[bytes]]:
        timeline = Timeline(scenario(gps, {}), MONDAY_MS)
        batch = timeline.batch(MONDAY_MS, MONDAY_MS + 3_600_000)
        found: dict[str, list[bytes]] = {device.device_id: [] for device in timeline.devices}
        for position, payload in zip(batch.device, batch.payload, strict=True):
            found[timeline.devices[position].device_id].append(payload)
        return found

    vans, taxis = readings({"use": "delivery"}), readings({"use": "taxi"})
    differ = {name for name, payloads in vans.items() if payloads != taxis[name]}
    assert differ <= {f"{kind}-000{number}" for kind in ("gps", "telematics") for number in (1, 2, 3)}
    assert any(name.startswith("telematics") for name in differ)


def test_units_come_anew_when_their_vehicle_is_another_ones() -> None:
    change = compare_scenarios(scenario({}, {}), scenario({"use": "private"}, {}))
    assert set(change.replaced) == {f"{kind}-000{number}" for kind in ("gps", "telematics") for number in (1, 2, 3)}
    assert change.kept == 2
