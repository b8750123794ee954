"""Tides of the pressure: what the sun's heat raises in the air every day, at the same hours by the sun."""

import numpy as np

from devices.world.random import Floats
from devices.world.sun import declination_rad

# Semidiurnal: 1.16 hPa cos³ of the latitude, highest at 9:44 and 21:44 by the sun (Haurwitz and Cowley, 1973); a
# little more over North America.
_HALF_DAY_HPA, _HALF_DAY_HIGHEST_H = 1.22, 9.75
# The diurnal one is driven from below, on land, and less on a coast. The third, highest at 2:20, 10:20 and 18:20 in
# winter, is the other way round and weaker in summer. Both after New York, Greensboro, Miami and Gatwick.
_DAY_HPA_PER_K, _DAY_HIGHEST_H, _DAY_COAST = 0.13, 6.5, 0.4
_THIRD_HPA, _THIRD_HIGHEST_H = (0.10, 0.32), 2.35
_WINTER = float(np.sin(np.radians(23.44)) * np.sin(np.radians(40)))


def tides_hpa(latitude: Floats, hour: Floats, days: Floats, heated_k: Floats, coast: Floats) -> Floats:
    """Return the tides at hours by the sun, at days since 1970, where the day's course has a range of `heated_k`."""
    parallel = np.cos(np.radians(latitude))
    half_day = _HALF_DAY_HPA * parallel**3 * np.cos(np.pi / 6 * (hour - _HALF_DAY_HIGHEST_H))
    range_hpa = _DAY_HPA_PER_K * (1 - _DAY_COAST * coast) * heated_k
    day = range_hpa * parallel**2 * np.cos(np.pi / 12 * (hour - _DAY_HIGHEST_H))
    winter = -np.sin(declination_rad(days)) * np.sin(np.radians(latitude)) / _WINTER
    third_hpa = (_THIRD_HPA[0] * np.abs(winter) + _THIRD_HPA[1] * winter) * parallel
    return np.asarray(half_day + day + third_hpa * np.cos(np.pi / 4 * (hour - _THIRD_HIGHEST_H)))
