"""How much traffic there is at an hour of the week, and how strongly single days and hours depart from it."""

import numpy as np

from devices.world.rng import Floats, Ints
from devices.world.site import DAY_MS, HOUR_MS, weekday

# Share of the day's cars by hour, % of 06-21 h: Telraam, two streets in Chateaubourg 2022 (CC BY 4.0). Those counters
# do not report the night; its hours are set by judgement to fall from the late evening's level.
_NIGHT = [0.9, 0.5, 0.4, 0.4, 0.6, 1.2]
_MON_FRI = [*_NIGHT, 2.8, 6.6, 7.0, 5.7, 5.4, 5.8, 6.9, 6.5, 6.0, 6.4, 8.3, 10.2, 10.1, 6.5, 3.5, 2.6, 2.0, 1.4]
_SATURDAY = [*_NIGHT, 1.2, 2.0, 4.0, 6.2, 8.2, 8.9, 7.9, 6.6, 7.6, 8.0, 8.5, 9.3, 9.4, 6.4, 3.5, 2.4, 2.0, 1.6]
_SUNDAY = [*_NIGHT, 1.0, 1.5, 2.7, 4.9, 7.0, 9.4, 9.3, 5.5, 6.1, 6.8, 7.5, 9.6, 10.9, 8.2, 5.6, 4.2, 2.2, 1.3]
# The day's total relative to a weekday's, same source.
_SATURDAY_LEVEL, _SUNDAY_LEVEL = 0.85, 0.57
_BUSIEST = max(_MON_FRI)
_PROFILE = np.array([_MON_FRI] * 5 + [[_SATURDAY_LEVEL * x for x in _SATURDAY], [_SUNDAY_LEVEL * x for x in _SUNDAY]])
_WEEK = _PROFILE.ravel() / _BUSIEST

DAY_SIGMA, HOUR_SIGMA = 0.13, 0.19
"""Spread of the logarithm of the day's and of the hour's effect. Telraam: CV of days 0.08-0.18, residual 0.10-0.25."""

# The tide into town and out of it: how far the share departs from a half, and what is left of that at weekends.
_LEAST_TIDE, _MORE_TIDE, _WEEKEND_TIDE = 0.06, 0.12, 0.2
_MORNING_HOUR, _EVENING_HOUR, _RUSH_WIDTH_H = 8.0, 17.0, 2.5


def demand(local_ms: Ints) -> Floats:
    """Usual traffic relative to the busiest hour of a weekday; between the middles of hours it is interpolated."""
    hour = local_ms / HOUR_MS - 0.5
    low = np.floor(hour).astype(np.int64)
    # 1970-01-01 was a Thursday.
    before, after = _WEEK[(low + 72) % 168], _WEEK[(low + 73) % 168]
    return np.asarray(before + (after - before) * (hour - low))


def inbound_share(local_ms: Ints, strength: Floats) -> Floats:
    """Share of the vehicles that drive into town: more in the morning, fewer in the evening, even at weekends.

    `strength` in [0, 1) is that of the place: Telraam's two streets turn from 0.59 at 8 h to 0.41 at 17 h, and from
    0.45 to 0.73 in the other direction.
    """
    days, within = np.divmod(local_ms, DAY_MS)
    hour = within / HOUR_MS
    tide = np.exp(-(((hour - _MORNING_HOUR) / _RUSH_WIDTH_H) ** 2)) - np.exp(
        -(((hour - _EVENING_HOUR) / _RUSH_WIDTH_H) ** 2)
    )
    level = np.where(weekday(days) < 5, 1.0, _WEEKEND_TIDE)
    return np.asarray(0.5 + (_LEAST_TIDE + _MORE_TIDE * strength) * tide * level)


def times_of_day(local_ms: Ints) -> list[str]:
    """late_night from 23 to 5 h, rush_hour from 7 to 10 and 16 to 19 h on weekdays, evening from 19 h, else daytime."""
    days, within = np.divmod(local_ms, DAY_MS)
    hour = within // HOUR_MS
    rush = (((hour >= 7) & (hour < 10)) | ((hour >= 16) & (hour < 19))) & (weekday(days) < 5)
    names: list[str] = np.select(
        [(hour >= 23) | (hour < 5), rush, hour >= 19], ["late_night", "rush_hour", "evening"], "daytime"
    ).tolist()
    return names
