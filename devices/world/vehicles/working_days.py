"""What vehicles do that somebody works with: rounds of a delivery van from its depot, fares of a taxi.

No survey of single days of vans was found in a package, so their figures are by judgement, within the rules that there
are: a break of 45 minutes after four and a half hours at the wheel (Regulation (EC) 561/2006, Article 7), and shifts of
eight to ten hours. Of taxis there are 10,000 fares of Chicago in 2022 (`modeldata`): their hours, lengths and airports.
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
class Fares:
    """Holds who rides in a taxi: when, how far and where to. In between it waits where the last one got off."""

    demand: Floats
    """[kind of day, hour from 4 o'clock on], beside the usual of working hours: Monday to Thursday, Friday, Saturday,
    Sunday."""
    way_m: tuple[float, float]
    """How far they ride, lognormal: median and sigma."""
    airport: float
    """Share of those who set out elsewhere that ride to the airport; it is in a village."""


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
    """Share of the stops that are in villages, on the days of most and on those of one in four; not of fares."""
    fares: Fares | None = None
    """Who is waited for, at stands; a vehicle without any stays as long as it has to."""


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
# Share of a day's fares by the hour, %: Chicago's, but those from 22 to 4 h doubled by judgement, as others than taxis
# drive people home at night there. The day's fares beside those of a working day; of Chicago .55 and .5.
_FARES = np.array([
    [0.1, 0.2, 1.0, 3.3, 7.8, 7.3, 6.6, 5.4, 6.4, 6.5, 6.6, 7.5, 8.2, 9.0, 8.3, 6.4, 4.3, 2.8, 2.6, 1.4, 0.8, 0.4, 0.2,
     0.1],
    [0.1, 0.3, 1.3, 2.6, 5.2, 5.5, 5.0, 6.4, 7.9, 6.4, 6.8, 7.0, 8.0, 9.7, 9.2, 6.9, 4.5, 3.7, 4.4, 4.0, 2.4, 1.4, 0.6,
     0.2],
    [0.1, 0.2, 0.6, 1.1, 2.2, 3.8, 4.6, 4.9, 6.2, 7.9, 8.0, 6.8, 6.8, 9.0, 9.4, 8.7, 6.5, 5.0, 6.4, 7.0, 4.2, 2.2, 1.6,
     0.5],
    [0.3, 0.4, 1.2, 1.0, 2.8, 3.2, 5.6, 6.0, 6.3, 7.6, 7.5, 8.0, 8.3, 7.2, 7.5, 8.4, 6.7, 4.0, 3.6, 2.0, 1.0, 0.4, 0.2,
     0.1],
])  # fmt: skip
_FARES_A_DAY = np.array([1.0, 1.0, 0.75, 0.65])
_USUAL_SHARE = 6.9
_KIND_OF_DAY = np.array([0, 0, 0, 0, 1, 2, 3])
TAXI = Duty(
    works=(0.92, 0.93, 0.93, 0.94, 0.96, 0.96, 0.88),
    shifts=((0.6, 5.8, 0.4, 19.0), (0.25, 6.5, 0.8, 10.0), (0.15, 16.0, 0.7, 10.0)),
    length_sigma_h=0.5,
    breaks_h=(4.5, 10.3, 15.0),
    break_s=(2700.0, 0.2),
    stay_s=(1000.0, 0.8),
    drive_s=(800.0, 0.45),
    halt_s=(75.0, 0.5),
    outside=(0.0, 0.0),
    fares=Fares(_FARES * _FARES_A_DAY[:, None] / _USUAL_SHARE, way_m=(2240.0, 0.76), airport=0.16),
)
"""More than half of the taxis have two drivers, one by day and one by night. They stay as long as it takes at a usual
hour until somebody comes; one fare in eight has a further call on the way, of `drive_s`."""

DUTIES: Mapping[VehicleUse, Duty] = {"delivery": DELIVERY, "taxi": TAXI}

_OFTEN_OUTSIDE = 0.25
_VILLAGES = np.arange(FIRST_VILLAGE, NODES)
_DEPOTS = 2
"""Of a site."""
# By how much trips take longer than on free roads, for traffic, lights and bends, and how far it is from one halt to
# the next (s): as the ways of a week turned out, so that hardly any stay is too short.
_SLOWNESS, _SPARE_S, _LEG_S = 1.55, 120.0, 175.0
_LEAST_STAY_H = 0.02
_CALLS_ON_THE_WAY = 0.125
_NEARLY, _FEWER_OUTSIDE = 0.15, 0.5
"""By how much a way may be other than it is wished, of its length; and how much more, to end in town."""
_SNOW_KEEPS_IN = 0.15
"""Of the vehicles, in deep snow; by judgement half as many as of private cars."""
_SNOW_FARES = 0.3
"""So many fewer fares come in deep snow, as of all traffic."""


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
    # Vans are where land is cheap, taxis where people are.
    places = _VILLAGES if duty.fares is None else TOWN_NODES
    depot = places[_choice(depots, len(places))]
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
    fares = duty.fares
    if fares is not None:
        airport = _VILLAGES[_choice(hash_bits(seed, "duty/airport", site_keys), len(_VILLAGES))]
        drive = np.where(uniform(extend(trip, 5)) < _CALLS_ON_THE_WAY, drive, 0.0)
        wait_for = _Waiting(fares.demand, _KIND_OF_DAY[weekdays])
    for number in range(TRIPS_A_DAY - 1):
        is_last = (hour >= ends) | (number == TRIPS_A_DAY - 2)
        if fares is None:
            goal = _stop(outside[number], extend(trip[number], 4), node, depot)
        else:
            goal = _fare_to(fares, plan, extend(trip[number], 4), node, airport)
        goal = np.where(is_last, depot, goal)
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
        rests = arrives + np.where(is_due, pause[number], 0.0) / 3600
        taken = taken + is_due
        if fares is None:
            leaves = rests + stay[number] / 3600
        else:
            # Whose shift ends without anybody coming goes home.
            comes = wait_for(rests, stay[number] / 3600 / (1 - _SNOW_FARES * snow))
            leaves = np.minimum(comes, np.maximum(ends, rests))
        hour = np.maximum(np.minimum(leaves, _LATEST_RETURN_H), arrives + _LEAST_STAY_H)
        node = np.where(goes, goal, node)
        if conditions is not None:
            snow = conditions.snow_at(hour)
    return found


class _Waiting:
    """Waiting for fares, of whom so many come in an hour as the demand says."""

    def __init__(self, demand: Floats, kinds: Ints) -> None:
        """`demand` is by kind of day and hour, and `kinds` of the days that are drawn."""
        self._kinds = kinds
        self._hours = DAY_BEGINS_H + np.arange(demand.shape[1] + 1)
        # Something always comes.
        self._come = np.concatenate([np.zeros((len(demand), 1)), np.cumsum(np.maximum(demand, 0.01), axis=1)], axis=1)

    def __call__(self, since_h: Floats, usual_h: Floats) -> Floats:
        """Return when somebody comes, who at a usual hour would after `usual_h`; the day's end if nobody does."""
        found = np.empty(len(since_h))
        for kind, come in enumerate(self._come):
            rows = np.flatnonzero(self._kinds == kind)
            found[rows] = np.interp(np.interp(since_h[rows], self._hours, come) + usual_h[rows], come, self._hours)
        return found


def _fare_to(fares: Fares, plan: Plan, bits: Hashes, node: Ints, airport: Ints) -> Ints:
    """Return where those who get in at these nodes ride: nearly as far as they wish, or to the airport.

    Out of town, at the airport too, they ride to town.
    """
    median, sigma = fares.way_m
    wished = np.log(median) + sigma * normal(extend(bits, 0))
    metres = plan.metres[node]
    off = np.abs(np.log(np.maximum(metres, 1.0)) - wished[:, None])
    off += _NEARLY * uniform(extend(bits[:, None], np.arange(1, 1 + NODES)))
    off[:, len(TOWN_NODES) :] += _FEWER_OUTSIDE
    goal = np.where(metres > 0, off, np.inf).argmin(axis=1)
    goal = np.where(uniform(extend(bits, 1 + NODES)) < fares.airport, airport, goal)
    in_town = TOWN_NODES[_choice(extend(bits, 2 + NODES), len(TOWN_NODES))]
    return np.asarray(np.where(node >= len(TOWN_NODES), in_town, goal))


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
