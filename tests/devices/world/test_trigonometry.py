"""Cosines and sines are those of numpy but for the last bits, and angles within a turn are those of `%`."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from devices.world.trigonometry import cosine, cosine_sine, within_turn

angles = st.lists(st.floats(-100, 100) | st.sampled_from([0.0, np.pi / 2, np.pi, 2 * np.pi]), min_size=1, max_size=20)
degrees = st.lists(
    st.floats(-360, 719.9) | st.sampled_from([0.0, -0.0, -1e-18, 360.0, np.nextafter(360, 0)]), min_size=1, max_size=20
)


@given(angles)
def test_cosines_and_sines_are_numpys_but_for_the_last_bits(listed: list[float]) -> None:
    angle = np.array(listed)
    across, up = cosine_sine(angle)
    assert np.abs(across - np.cos(angle)).max() <= 4e-16
    assert np.abs(up - np.sin(angle)).max() <= 4e-16
    assert np.abs(cosine(angle) - np.cos(angle)).max() <= 4e-16


@given(angles)
def test_an_angle_has_the_same_bits_in_any_company(listed: list[float]) -> None:
    alone = [cosine_sine(np.array([angle])) for angle in listed]
    across, up = cosine_sine(np.array(listed))
    assert across.tolist() == [each[0][0] for each in alone]
    assert up.tolist() == [each[1][0] for each in alone]


@given(degrees)
def test_angles_within_a_turn_are_those_of_the_remainder(listed: list[float]) -> None:
    found, expected = within_turn(np.array(listed)), np.array(listed) % 360
    assert found.tolist() == expected.tolist()
    assert np.signbit(found).tolist() == np.signbit(expected).tolist()
