"""Speed profiles of links: positions, speeds and times that agree."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.world.vehicles.kinematics import SpeedProfile

speeds = st.floats(0, 30)


rides = st.builds(
    lambda length, enter, wished, leave, up, down: SpeedProfile.fitted(
        *(np.array([value]) for value in (length, enter, max(wished, enter, leave, 3), leave, up, down))
    ),
    st.floats(1200, 5000), speeds, speeds, speeds, st.floats(0.8, 2), st.floats(1, 6),
)  # fmt: skip


@given(rides)
def test_a_ride_covers_its_link_with_speed_as_the_derivative_of_distance(profile: SpeedProfile) -> None:
    duration = float(profile.duration_s[0])
    times = np.linspace(0, duration, 4001)
    step = times[1]
    distance, speed, acceleration = SpeedProfile(
        *(np.repeat(column, len(times)) for column in profile.columns())
    ).state_at(times)
    assert distance[0] == 0
    assert distance[-1] == pytest.approx(profile.length_m[0], rel=1e-6)
    assert speed[0] == pytest.approx(profile.enter_ms[0])
    assert speed[-2] == pytest.approx(profile.leave_ms[0], abs=6 * step + 0.01)
    assert np.abs(np.diff(distance) / step - (speed[1:] + speed[:-1]) / 2)[:-1].max() < 0.1 + 7 * step
    assert np.abs(np.diff(speed))[:-1].max() <= (7 * step) + 1e-6
    assert np.abs(acceleration).max() <= max(profile.slow_down_ms2[0], profile.speed_up_ms2[0]) + 0.5


@given(rides, st.floats(0.01, 0.99))
def test_a_point_of_a_link_is_passed_when_the_ride_is_there(profile: SpeedProfile, share: float) -> None:
    point = profile.length_m * share
    assert profile.state_at(profile.arrival_s(point))[0] == pytest.approx(point, abs=0.01)
