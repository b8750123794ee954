"""What vehicles do that somebody works with: rounds of a delivery van from its depot, fares of a taxi.

No survey of single days of such vehicles was found in a package, so the figures are by judgement, within the rules that
there are: a break of 45 minutes after four and a half hours at the wheel (Regulation (EC) 561/2006, Article 7), and
shifts of eight to ten hours.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from devices.world.random import Flags, Floats, Hashes, Ints, extend, hash_bits, normal, uniform
from devices.world.roads import FIRST_VILLAGE, NODES, TOWN_NODES, Plan
from devices.world.vehicles.drawn_days import DAY_BEGINS_H, SNOW_SLOWS, TRIPS_A_DAY, DayConditions, DrawnDays
from devices.world.world import HOUR_MS, VehicleUse

# No trip but the way back begins later; that ends by 27 h, which is 3 o'clock.
_LATEST_TRIP_H, _LATEST_RETURN_H = 25.4, 26.4


@dataclass(frozen=True, slots=True)
class Duty:
    """Holds how a vehicle of one use works; hours are local, of the day that begins at 4 o'clock."""

    works: tuple[float, ...]
    """Chance to work, Monday to Sunday; holidays are Sundays."""
    shifts: tuple[tuple[float, float, float, float], ...]
    """Share of the vehicles, and when they begin, with deviation, and for how long they work (h)."""
    length_sigma_h: float
    breaks_h: tuple[float, ...]
    """When breaks are due after the beginning."""
    break_s: tuple[float, float]
    """How long they are, lognormal: median and sigma, as of all that follows."""
    stay_s: tuple[float, float]
    """At the end of a trip, the engine off."""
    drive_s: tuple[float, float]
    """What a trip takes on free roads, where it does not lead further straight."""
    halt_s: tuple[float, float]
    """Within a trip, the engine idling."""
    outside: tuple[float, float]
    """Share of the stops that are in villages, on the days of most and on those of one in four."""


DELIVERY = Duty(
    works=(0.95, 0.96, 0.96, 0.96, 0.95, 0.5, 0.12),
    shifts=((0.68, 7.4, 0.6, 9.0), (0.12, 4.9, 0.3, 8.5), (0.12, 13.2, 0.5, 8.5), (0.08, 17.6, 0.3, 8.4)),
    length_sigma_h=0.5,
    breaks_h=(4.3,),
    break_s=(2700.0, 0.15),
    stay_s=(210.0, 0.85),
    drive_s=(480.0, 0.45),
    halt_s=(60.0, 0.6),
    outside=(0.06, 0.6),
)
"""Two in three vans set out in the morning, the others early, at noon or in the evening."""
TAXI = Duty(
    works=(0.92, 0.93, 0.93, 0.94, 0.96, 0.96, 0.88),
    shifts=((0.6, 5.3, 0.4, 20.8), (0.25, 6.0, 0.8, 10.0), (0.15, 16.0, 0.7, 10.0)),
    length_sigma_h=0.5,
    breaks_h=(4.5, 10.3, 15.0),
    break_s=(2700.0, 0.2),
    stay_s=(540.0, 0.8),
    drive_s=(800.0, 0.45),
    halt_s=(75.0, 0.5),
    outside=(0.1, 0.3),
)
"""More than half of the taxis have two drivers, one by day and one by night."""

DUTIES: Mapping[VehicleUse, Duty] = {"delivery": DELIVERY, "taxi": TAXI}

_OFTEN_OUTSIDE = 0.25
_VILLAGES = np.arange(FIRST_VILLAGE, NODES)
_DEPOTS = 2
"""Of a site; they are in villages, where the land is cheap."""
# By how much trips take longer than on free roads, for traffic, lights and bends, and how far it is from one halt to
# the next (s): as the ways of a week turned out, so that hardly any stay is too short.
_SLOWNESS, _SPARE_S, _LEG_S = 1.55, 120.0, 175.0
_LEAST_STAY_H = 0.02
_SNOW_KEEPS_IN = 0.15
"""Of the vehicles, in deep snow; by judgement half as many as of private cars."""


def draw_working_days(
    duty: Duty,
    plan: Plan,
    seed: int,
    site_keys: Hashes,
    vehicles: Ints,
    days: Ints,
    weekdays: Ints,
    conditions: DayConditions | None = None,
) -> DrawnDays:
    """Return the days (since 1970) of vehicles, which fall on these weekdays; public holidays are Sundays.

    A vehicle sets out from its depot, drives from stop to stop until its shift is over, and comes back. In snow it
    comes to fewer stops, if it sets out at all.
    """
    own = hash_bits(seed, "duty/vehicle", site_keys, vehicles)
    today = hash_bits(seed, "duty/day", site_keys, vehicles, days)
    trip = hash_bits(seed, "duty/trip", site_keys, vehicles, days, np.arange(TRIPS_A_DAY - 1)[:, None])
    depots = hash_bits(seed, "duty/depot", site_keys, (own % np.uint64(_DEPOTS)).astype(np.int64))
    depot = _VILLAGES[_choice(depots, len(_VILLAGES))]
    found = DrawnDays.without_trips(depot)
    hour, ends = _shift(duty, own, today)
    snow = np.zeros(len(days)) if conditions is None else conditions.snow_at(hour)
    goes = uniform(extend(today, 0)) < np.array(duty.works)[weekdays] * (1 - _SNOW_KEEPS_IN * snow)
    due = hour + np.array([*duty.breaks_h, np.inf])[:, None] + 0.3 * normal(extend(today, 3))
    taken = np.zeros(len(days), dtype=np.int64)
    is_outside = np.array(duty.outside)[(uniform(extend(today, 4)) < _OFTEN_OUTSIDE).astype(np.int64)]
    outside = uniform(extend(trip, 0)) < is_outside
    drive, stay, pause = (
        _lognormal(extend(trip, row), kind) for row, kind in enumerate((duty.drive_s, duty.stay_s, duty.break_s), 1)
    )
    node, each = depot, np.arange(len(days))
    for number in range(TRIPS_A_DAY - 1):
        is_last = (hour >= ends) | (number == TRIPS_A_DAY - 2)
        goal = np.where(is_last, depot, _stop(outside[number], extend(trip[number], 4), node, depot))
        goes = goes & (goal != node)
        rows = np.flatnonzero(goes)
        found.begins_ms[rows, number] = ((hour - DAY_BEGINS_H) * HOUR_MS).astype(np.int64)[rows]
        found.nodes[rows, number + 1 :] = goal[rows, None]
        # Back to the depot it goes straight.
        wished, direct = np.where(is_last, 0.0, drive[number]), plan.seconds[node, goal]
        found.wished_s[rows, number] = wished[rows]
        halts = np.maximum(wished - direct, 0) / _LEG_S
        slowness = _SLOWNESS * (1 + SNOW_SLOWS * snow)
        arrives = hour + (_SPARE_S + slowness * np.maximum(direct, wished) + halts * _mean(duty.halt_s)) / 3600
        is_due = hour >= due[taken, each]
        stays = stay[number] + np.where(is_due, pause[number], 0.0)
        taken = taken + is_due
        hour = np.maximum(np.minimum(arrives + stays / 3600, _LATEST_RETURN_H), arrives + _LEAST_STAY_H)
        node = np.where(goes, goal, node)
        if conditions is not None:
            snow = conditions.snow_at(hour)
    return found


def _shift(duty: Duty, own: Hashes, today: Hashes) -> tuple[Floats, Floats]:
    """Return when vehicles set out, and from when on they go back (h)."""
    share, begin, sigma, length = np.array(duty.shifts).T
    # What is left over by rounding is the last one's.
    which = np.minimum(np.searchsorted(np.cumsum(share), uniform(extend(own, 0)), side="right"), len(share) - 1)
    swing = np.clip(0.8 * normal(extend(own, 1)) + 0.6 * normal(extend(today, 1)), -2.5, 2.5)
    begins = np.maximum(begin[which] + sigma[which] * swing, DAY_BEGINS_H + 0.05 + 0.1 * uniform(extend(today, 5)))
    ends = begins + length[which] + duty.length_sigma_h * np.clip(normal(extend(today, 2)), -2.5, 2.5)
    return begins, np.minimum(ends, _LATEST_TRIP_H - 0.3 * uniform(extend(today, 6)))


def _stop(outside: Flags, bits: Hashes, node: Ints, depot: Ints) -> Ints:
    """Return a stop in town or in a village, other than where the vehicle is, and than its depot."""
    first, count = np.where(outside, FIRST_VILLAGE, TOWN_NODES[0]), np.where(outside, len(_VILLAGES), len(TOWN_NODES))
    offset = (bits % count.astype(np.uint64)).astype(np.int64)
    stop = first + offset
    for _ in range(2):
        offset = np.where((stop == node) | (stop == depot), (offset + 1) % count, offset)
        stop = first + offset
    return stop


def _lognormal(bits: Hashes, kind: tuple[float, float]) -> Floats:
    median, sigma = kind
    return np.asarray(median * np.exp(sigma * np.clip(normal(bits), -2, 2)))


def _mean(kind: tuple[float, float]) -> float:
    median, sigma = kind
    return float(median * np.exp(sigma**2 / 2))


def _choice(bits: Hashes, count: int) -> Ints:
    return (bits % np.uint64(count)).astype(np.int64)
