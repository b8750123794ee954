"""The height of the sun."""

import numpy as np
import pytest

from devices.world.sun import sun_elevation_deg
from devices.world.world import Site, World
from edgewire.clock import parse_ms

HOUR_MS = 3_600_000


DAY_MS = 24 * HOUR_MS


def test_the_sun_is_highest_at_noon_and_low_in_winter() -> None:
    world = World.build(1, [Site(name="a", latitude=48.0, longitude=0.0)])
    for day, expected in (("2026-06-21", 65.4), ("2026-12-21", 18.6), ("2026-03-21", 42.0)):
        times = parse_ms(f"{day}T00:00:00Z") + np.arange(0, DAY_MS, 600_000)
        height = sun_elevation_deg(world, np.zeros(len(times), dtype=np.int64), times)
        assert height.max() == pytest.approx(expected, abs=1.0)
        assert times[height.argmax()] % DAY_MS == pytest.approx(12 * HOUR_MS, abs=600_000)
