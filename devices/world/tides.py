"""Tides of the pressure: what the sun's heat raises in the air every day, at the same hours by the sun."""

import numpy as np

from devices.world.random import Floats
from devices.world.sun import declination_rad

# Semidiurnal: 1.2 hPa at the equator, highest at 9:44 and 21:44 by the sun (Haurwitz and Cowley, 1973, with 1.16 and
# the cosine's third power); this power, and that it is more in winter, after seven stations from 26 to 57 degrees.
_HALF_DAY_HPA, _HALF_DAY_POWER, _HALF_DAY_HIGHEST_H, _HALF_DAY_WINTER = 1.2, 2.6, 9.75, 0.12
# The diurnal one is driven by what the ground heats. Within 30 degrees of the equator, where a day is longer than half
# a pendulum day, it leaves upwards (Chapman and Lindzen, 1970); beyond, it stays below.
_DAY_HPA_PER_K, _DAY_POWER, _DAY_HIGHEST_H = 0.165, 3, 6.1
_DAY_LEFT, _DAY_LEFT_AT_DEG = (0.2, 1.0), (24.0, 37.0)
# The third, highest at 2:20, 10:20 and 18:20 in winter, is the other way round and weaker in summer; the fourth is one
# of winter alone. Both after the same stations.
_THIRD_HPA, _THIRD_HIGHEST_H = (0.13, 0.42), 2.35
_FOURTH_HPA, _FOURTH_HIGHEST_H = 0.13, 4.6
_WINTER = float(np.sin(np.radians(23.44)) * np.sin(np.radians(40)))


def tides_hpa(latitude: Floats, hour: Floats, days: Floats, heated_k: Floats) -> Floats:
    """Return the tides at hours by the sun, at days since 1970, where the day's course has a range of `heated_k`."""
    parallel = np.cos(np.radians(latitude))
    winter = -np.sin(declination_rad(days)) * np.sin(np.radians(latitude)) / _WINTER
    half_day = _HALF_DAY_HPA * (1 + _HALF_DAY_WINTER * winter) * parallel**_HALF_DAY_POWER
    day = _DAY_HPA_PER_K * np.interp(np.abs(latitude), _DAY_LEFT_AT_DEG, _DAY_LEFT) * heated_k * parallel**_DAY_POWER
    third = (_THIRD_HPA[0] * np.abs(winter) + _THIRD_HPA[1] * winter) * parallel**3
    fourth = _FOURTH_HPA * np.maximum(winter, 0) * parallel**2
    return np.asarray(
        day * np.cos(np.pi / 12 * (hour - _DAY_HIGHEST_H))
        + half_day * np.cos(np.pi / 6 * (hour - _HALF_DAY_HIGHEST_H))
        + third * np.cos(np.pi / 4 * (hour - _THIRD_HIGHEST_H))
        + fourth * np.cos(np.pi / 3 * (hour - _FOURTH_HIGHEST_H))
    )
