"""The dew point: of what it is made, how near it comes to the temperature, and what gives a month its mean humidity."""

import numpy as np

from devices.world.random import Floats, hash_bits, normal, uniform
from devices.world.weather import vapour_pressure_hpa

WARMTH = (0.75, 0.50)
"""The temperature of the air mass: of what the waves carry, in the coldest months and the warmest; the rest is own."""
# The dew point: of those two, of moisture alone and of clouds, in the coldest months and the warmest. Correlated with
# the temperature by .9 in winter and .2 to .5 in summer, as in New York, Miami and Gatwick. What parts them in winter
# is the clouds', and gone within half a day: of the depression .4, .2 is left after 12 and 24 h (eight stations).
_COLD, _WARM = (0.78, 0.50, 0.10, 0.38), (0.52, 0.10, 0.83, 0.10)
CLOUD_AT = np.array([-2.2, -1.0, -0.3, 0.4, 1.2, 2.2])
CLEARNESS = np.array([1.55, 1.45, 1.2, 0.85, 0.5, 0.35])
"""Of the cover, in deviations of its index, what the day's course is beside that of a usual day."""
RAIN_CLOSES = 0.65
"""Of the depression, what rain takes away; clouds that thicken before it, and what has fallen after it, do as well."""
CLOSES_BEFORE, CLOSES_WITHIN = 0.3, 0.9
"""In deviations of the index of rain: how much sooner than the rain this begins, and within what it is all there."""
_CLEAR_AT_PERCENT, _CLEAR_SHARE = (40.0, 68.0), (0.1, 1.0)
# The dew point nears the temperature, and does not exceed it: within about this depression, and to the least.
_CLOSE_C, _LEAST_C = 1.1, 0.3
_LEAST_RATE = 0.01
# Beyond the coldest months and the warmest, as long as no part has a weight below zero.
_WARM_FROM, _WARM_TO = -0.13, 1.2
_DRAWS = 1024


def cloudiness(humidity: Floats) -> Floats:
    """Return how far clouds make days differ in a month of this mean relative humidity (percent): 1 = as in New York.

    A dry month is a clear one. In Seville's summer (45 %) days are alike, and from 68 % on they are not.
    """
    return np.asarray(np.interp(humidity, _CLEAR_AT_PERCENT, _CLEAR_SHARE))


def clearness(cloud: Floats, cloudy: Floats) -> Floats:
    """Return the day's course beside that of a usual day, by the index of clouds and a month's `cloudiness`."""
    return np.asarray(1 + cloudy * (np.interp(cloud, CLOUD_AT, CLEARNESS) - 1))


def warmth(parts: Floats, summer: Floats) -> Floats:
    """Return the temperature of the air mass in deviations of its parts (carried, and the air's own: rows)."""
    carried = _carried(summer)
    return np.asarray(carried * parts[0] + np.sqrt(1 - carried * carried) * parts[1])


def _carried(summer: Floats) -> Floats:
    return np.asarray(WARMTH[0] + (WARMTH[1] - WARMTH[0]) * summer)


def dew_deviation(parts: Floats, warm: Floats, skew: Floats) -> Floats:
    """Return the dew point in deviations of its parts (carried, the air's own, moisture, clouds: rows).

    `warm` is 0 in the coldest months and 1 in the warmest. The warmer the sea, the nearer its air is to the most that
    it can hold: the deviation is skewed by -3 x `skew`, and of mean 0 and variance 1 all the same.
    """
    weights = [cold + (other - cold) * warm for cold, other in zip(_COLD, _WARM, strict=True)]
    total = weights[0] * parts[0] + weights[1] * parts[1] + weights[2] * parts[2] + weights[3] * parts[3]
    deviation = total / np.sqrt(weights[0] ** 2 + weights[1] ** 2 + weights[2] ** 2 + weights[3] ** 2)
    rate = np.maximum(skew, _LEAST_RATE)
    square = rate * rate
    return np.asarray((np.exp(square / 2) - np.exp(-rate * deviation)) / np.sqrt(np.exp(2 * square) - np.exp(square)))


def dew_warm_of(correlation: Floats, summer: Floats) -> Floats:
    """Return `warm` of `dew_deviation` for correlations of temperature and dew point, as near to them as can be."""
    warm = np.linspace(_WARM_FROM, _WARM_TO, 60)
    weights = np.array([cold + (other - cold) * warm for cold, other in zip(_COLD, _WARM, strict=True)])
    weights = weights / np.sqrt((weights**2).sum(axis=0))
    carried = _carried(summer)
    found = carried[:, None] * weights[0] + np.sqrt(1 - carried**2)[:, None] * weights[1]
    return np.array([np.interp(-goal, -one, warm) for goal, one in zip(correlation, found, strict=True)])


def depression_c(difference_c: Floats) -> Floats:
    """Return the depression of the dew point, above zero: far from it as it is, and near it less and less."""
    return np.asarray(_LEAST_C + _CLOSE_C * np.logaddexp(0, difference_c / _CLOSE_C))


def mean_depressions(
    temperature: Floats,
    spread: Floats,
    course: Floats,
    dew_spread: Floats,
    warm: Floats,
    skew: Floats,
    humidity: Floats,
    rain_from: float,
    summer: Floats,
    cloudy: Floats,
) -> Floats:
    """Return how far the dew point has to be below the temperature, in the mean, for these means of relative humidity.

    By bisection, over a sample of states of the weather and hours of the day that is always the same; a row a month.
    """
    carried, own, moist, overcast, rain = (_standard(number) for number in range(1, 6))
    cloud = 0.25 * carried + 0.5 * moist + 0.83 * overcast
    wet = 0.6 * cloud + 0.6 * rain
    closes = 1 - RAIN_CLOSES * np.clip((wet - rain_from + CLOSES_BEFORE) / CLOSES_WITHIN, 0, 1)
    hour = uniform(hash_bits(0, "atmosphere/hour", np.arange(_DRAWS)))
    day = np.cos(2 * np.pi * hour) / 2 * clearness(cloud, cloudy[:, None])
    departure = spread[:, None] * warmth(np.stack([carried, own]), summer[:, None]) + course[:, None] * day
    air = temperature[:, None] + departure
    dew = dew_spread[:, None] * dew_deviation(np.stack([carried, own, moist, overcast]), warm[:, None], skew[:, None])
    saturated = vapour_pressure_hpa(air)
    low, high = np.full(len(temperature), -10.0), np.full(len(temperature), 60.0)
    for _ in range(14):
        middle = (low + high) / 2
        gap = depression_c(departure - dew + middle[:, None]) * closes
        too_wet = (100 * vapour_pressure_hpa(air - gap) / saturated).mean(axis=1) > humidity
        low, high = np.where(too_wet, middle, low), np.where(too_wet, high, middle)
    return np.asarray((low + high) / 2)


def _standard(number: int) -> Floats:
    return normal(hash_bits(0, "atmosphere/sample", np.arange(_DRAWS), number))
