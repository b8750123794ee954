"""The noise that is found for a series has its moments, whatever the series is made of."""

import numpy as np
import pytest

from devices.world.noise import fractal_noise, smooth_noise
from devices.world.random import Floats
from edgefleet.learn.moments import measure
from edgefleet.learn.noise_fit import fit_noise

READINGS, INTERVAL_MS = 120, 10_000


def series(period_ms: int, *, is_smooth: bool = False, white: float = 0.0, vary: float = 0.0) -> list[Floats]:
    """Return what 40 devices say whose noise is known."""
    rng = np.random.default_rng(3)
    course = smooth_noise if is_smooth else fractal_noise
    times = np.arange(READINGS, dtype=np.int64) * INTERVAL_MS
    found = []
    for device in range(40):
        values = course(9, "seen", np.full(READINGS, device, dtype=np.uint64), times, period_ms)
        found.append(values + rng.normal(0, white, READINGS) + rng.normal(0, vary))
    return found


@pytest.mark.parametrize("is_smooth", [False, True])
def test_a_period_is_found_again(is_smooth: bool) -> None:
    found = fit_noise(measure(series(120_000, is_smooth=is_smooth)), READINGS, INTERVAL_MS)
    assert found.is_smooth is is_smooth
    assert 80_000 <= found.period_ms <= 160_000
    assert found.slow == pytest.approx(1, abs=0.15)
    assert found.vary < 0.2


def test_noise_of_each_reading_is_told_from_a_slow_course() -> None:
    found = fit_noise(measure(series(600_000, white=1.0)), READINGS, INTERVAL_MS)
    assert found.fast == pytest.approx(1, abs=0.15)
    assert found.slow == pytest.approx(1, abs=0.4)


def test_devices_that_differ_are_told_from_noise() -> None:
    found = fit_noise(measure(series(20_000, vary=5.0)), READINGS, INTERVAL_MS)
    assert found.vary == pytest.approx(5, rel=0.3)
    assert found.slow + found.fast < 1.5


def test_readings_that_have_nothing_to_do_with_those_before() -> None:
    rng = np.random.default_rng(4)
    found = fit_noise(measure([rng.normal(0, 2, READINGS) for _ in range(20)]), READINGS, INTERVAL_MS)
    assert (found.slow, found.period_ms) == (0, 0)
    assert found.fast == pytest.approx(2, rel=0.1)
