"""The map of a run: sites, roads, weather, and devices in few bytes, asked for as rarely as it is dear."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from devices.fleet.steering import FleetAnswer, FleetRequest, LocateDevices
from devices.scenario.changes import ScenarioChange
from devices.scenario.scenario import Scenario
from devices.world.components import components
from devices.world.world import World
from edgefleet.control import run_map
from edgefleet.control.run_map import RunMap
from edgewire.errors import ConfigError

SITES = [{"name": "north", "latitude": 60, "longitude": 10}, {"name": "south", "latitude": -30, "longitude": 20}]
SCENARIO = Scenario(sites=SITES, devices=[{"kind": "gps", "count": 3}])
NOW_MS = 1_772_000_000_000


class TwoProcesses:
    """Answers as a run of two processes does, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: Counter[LocateDevices] = Counter()

    async def ask(self, request: FleetRequest) -> FleetAnswer:
        assert isinstance(request, LocateDevices)
        self.asked[request] += 1
        rows = [part_row(3, [1, 2], [5, 6], "ab"), part_row(4, [3], [7], "c")]
        return FleetAnswer(devices=3, rows=rows)

    async def apply(self, scenario: Scenario) -> ScenarioChange:
        raise NotImplementedError


def part_row(version: int, east: list[int], north: list[int], ids: str) -> dict[str, Any]:
    places = {name: np.array(values, dtype="<i2").tobytes() for name, values in (("east", east), ("north", north))}
    named = {"ids": [*ids], "kinds": ["gps"] * len(ids), "sites": ["south"] * len(ids)}
    return {"version": version, "at_ms": NOW_MS, "states": bytes(len(ids)), **places, **named}


def map_of(shards: TwoProcesses) -> RunMap:
    return RunMap(shards, lambda: SCENARIO, lambda: NOW_MS)


async def test_all_processes_make_one_map_and_are_not_asked_for_every_look() -> None:
    shards = TwoProcesses()
    drawn = map_of(shards)
    devices = await drawn.devices()
    assert (devices["ids"], devices["version"]) == (["a", "b", "c"], "3-4")
    assert [devices["sites"][number] for number in devices["site"]] == ["south"] * 3
    for _ in range(5):
        places = await drawn.places()
    assert shards.asked == {LocateDevices(with_ids=True): 1, LocateDevices(): 1}
    assert places.version == devices["version"]
    assert np.frombuffer(places.content[:12], dtype="<i2").tolist() == [1, 2, 3, 5, 6, 7]
    assert places.content[12:] == bytes(3)


async def test_of_very_many_devices_a_part_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_map, "MOST_DEVICES", 2)
    shards = TwoProcesses()
    await map_of(shards).places()
    assert [*shards.asked] == [LocateDevices(every=2)]


async def test_sites_have_weather_and_roads() -> None:
    drawn = map_of(TwoProcesses())
    north, south = await drawn.sites()
    assert (north["site"], south["latitude"]) == ("north", -30)
    assert north["temperature_c"] < south["temperature_c"]  # February
    assert {north["conditions"], south["conditions"]} <= {"sunny", "rainy", "foggy"}
    roads = components(World.build(SCENARIO.seed, SCENARIO.sites, version=SCENARIO.world)).roads
    lines = np.array((await drawn.roads("south"))["lines"])
    assert np.abs(np.hypot(*(lines[:, 2:4] - lines[:, :2]).T) - roads.length_m[1]).max() < 2
    with pytest.raises(ConfigError, match="there is no 'east'"):
        await drawn.roads("east")
