"""Traffic of the second world: holidays are Sundays, and no road is much faster than a free one."""

import numpy as np
import pytest

from devices.world.components import components
from devices.world.roads import CLASSES, KMH
from devices.world.world import HOUR_MS, Site, World
from edgewire.clock import parse_ms


def test_the_morning_of_a_holiday_is_a_sundays() -> None:
    pytest.importorskip("holidays")
    world = World.build(4, [Site(name="a", latitude=48.9, longitude=2.4, country="FR")], version=2)
    traffic = components(world).traffic

    def at_eight(date: str) -> float:
        moment = np.array([parse_ms(f"{date}T08:00:00Z")])
        return float(traffic.flow_on_all_roads(np.array([0]), moment).vehicles_per_hour.mean())

    assert at_eight("2026-07-14") < 0.5 * at_eight("2026-07-07")


@pytest.mark.parametrize("seed", [1, 4])
def test_free_traffic_has_an_end(seed: int) -> None:
    world = World.build(seed, [Site(name="a", latitude=48.9, longitude=2.4)], version=2)
    roads = components(world).roads
    times = parse_ms("2026-03-02T00:00:00Z") + np.arange(72) * HOUR_MS
    flow = components(world).traffic.flow_on_all_roads(np.zeros(72, dtype=np.int64), times)
    free = np.array([kind.free_kmh * KMH for kind in CLASSES])[roads.plan.road_class]
    assert (flow.speed_ms / free).max() < 1.15
    assert np.median(flow.speed_ms / free) < 1
