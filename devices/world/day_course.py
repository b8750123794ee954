"""The course of the temperature over a day, by the sun."""

import numpy as np

from devices.world.random import Floats
from devices.world.sun import declination_rad, solar_hour

# The temperature is lowest at sunrise, and highest this long after noon, but not later than this before sunset.
_WARMEST_AFTER_NOON_H, _WARMEST_BEFORE_SUNSET_H = 2.6, 1.7
# Dew and ground take the first sun; then the shallow cold air of the night is gone within two hours, and what is heated
# is deeper and deeper. That rise is s² (6 - 8 s + 3 s²) of the share s of its time; the rest is a sine of the share to
# a power that is more on long days. After sunset air cools by a half in four hours. All after Greensboro, Gatwick and
# Newark in winter and summer.
_QUICK_RISE, _QUICK_RISE_MEAN = 0.7, 0.6
_RISE_DELAY, _RISE_DELAY_PER_H, _QUICK_SHARE, _COOLING_H = 0.78, 0.08, 0.15, (1.5, 6.8)
# On the coast the temperature is highest earlier by so many hours.
_COAST_EARLIER_H = 0.9


def day_course(latitude: Floats, longitude: Floats, days: Floats, coast: Floats | float = 0.0) -> Floats:
    """Return the daily course of the temperature beside the day's mean, which has a range of 1, at days since 1970.

    It rises from sunrise, slowly in the first hour, to the warmest; then falls, more and more quickly until the sun
    sets, and from there as what cools by radiation, with no bend in between. On a coast (1) it is warmest earlier.
    """
    tangent = np.tan(np.radians(np.clip(latitude, -66, 66))) * np.tan(declination_rad(days))
    half_day = np.clip(np.arccos(np.clip(-tangent, -1, 1)) * (12 / np.pi), 3.0, 8.5)
    sunrise = 12 - half_day
    warmest = 12 + np.minimum(_WARMEST_AFTER_NOON_H, half_day - _WARMEST_BEFORE_SUNSET_H) - _COAST_EARLIER_H * coast
    rise, afternoon, night = warmest - sunrise, 12 + half_day - warmest, 24 - 2 * half_day
    since = (solar_hour(longitude, days) - sunrise) % 24
    delay = _RISE_DELAY + _RISE_DELAY_PER_H * half_day
    risen = np.minimum(since / rise, 1)
    quick_rise = risen**2 * (6 - 8 * risen + 3 * risen**2)
    rising = _QUICK_RISE * quick_rise + (1 - _QUICK_RISE) * np.sin(np.pi / 2 * risen**delay)
    quick, slow = np.exp(-night / _COOLING_H[0]), np.exp(-night / _COOLING_H[1])
    floor = _QUICK_SHARE * quick + (1 - _QUICK_SHARE) * slow
    cooling = (1 - floor) / (_QUICK_SHARE / _COOLING_H[0] + (1 - _QUICK_SHARE) / _COOLING_H[1])
    bend = 1 / (afternoon * (2 * cooling + afternoon))
    at_sunset = 1 - bend * afternoon**2
    fallen = 1 - bend * np.minimum(since - rise, afternoon) ** 2
    dark = np.maximum(since - rise - afternoon, 0)
    left = _QUICK_SHARE * np.exp(-dark / _COOLING_H[0]) + (1 - _QUICK_SHARE) * np.exp(-dark / _COOLING_H[1])
    cooled = at_sunset * (left - floor) / (1 - floor)
    course = np.where(since < rise, rising, np.where(since < rise + afternoon, fallen, cooled))
    mean_rise = _QUICK_RISE * _QUICK_RISE_MEAN + (1 - _QUICK_RISE) * (_RISE_MEAN[0] + _RISE_MEAN[1] * delay)
    nights = _QUICK_SHARE * _COOLING_H[0] * (1 - quick) + (1 - _QUICK_SHARE) * _COOLING_H[1] * (1 - slow)
    mean_night = (nights - floor * night) / (1 - floor)
    mean = rise * mean_rise + afternoon - bend * afternoon**3 / 3 + at_sunset * mean_night
    return np.asarray(course - mean / 24)


def _mean_of_rise() -> tuple[float, float]:
    share = (np.arange(1000) + 0.5) / 1000
    low, high = (float(np.sin(np.pi / 2 * share**delay).mean()) for delay in (1.0, 1.5))
    slope = (high - low) / 0.5
    return low - slope, slope


_RISE_MEAN = _mean_of_rise()
"""Mean of the rise by its delay, a line: right to .003."""
