"""What private cars do all day: from home to work, on errands, on rounds, and home again.

Their trips follow from who drives, the weekday and the holidays; snow keeps some at home, and an event brings some to
town.

The figures are set by judgement to what travel surveys report (NHTS 2017: 3.4 trips a driver and day, 60 minutes of
driving, a mean trip of 15 km and a median one of 7, departures with a peak at 7 to 8 and a broad one at 16 to 18 h,
under 1 % of the driving in each hour from 0 to 4), and lengths to the classes of Mobilität in Deutschland 2017.
"""

from collections.abc import Callable

import numpy as np

from devices.world.random import Flags, Floats, Hashes, Ints, extend, hash_bits, normal, uniform
from devices.world.roads import FIRST_VILLAGE, NODES, RING_NODES, TOWN_NODES, Plan
from devices.world.vehicles.drawn_days import DAY_BEGINS_H, SNOW_SLOWS, DayConditions, DrawnDays
from devices.world.world import HOUR_MS

_TRIPS = 11
"""The most of a day."""
_COMMUTER, _ON_ROUNDS, _FREE = range(3)
_PEOPLE = np.array([0.60, 0.68])
"""Bounds of the shares of those who commute, of those on rounds all day (deliveries, care); the rest is free."""
# Chance to work, Monday to Sunday.
_WORKS = np.array(
    [
        [0.88, 0.90, 0.90, 0.90, 0.84, 0.10, 0.05],
        [0.94, 0.95, 0.95, 0.95, 0.93, 0.30, 0.06],
        [0.0] * 7,
    ]
)
_GOES_OUT = np.array([0.78, 0.78, 0.79, 0.80, 0.82, 0.85, 0.74])
# When the first trip begins (h): of commuters by their habit, early, late or for the late shift; then of the others.
_HABITS = ((0.80, 7.6, 0.75), (0.93, 9.4, 1.1), (1.0, 13.3, 0.8))
_HABIT_SWING_H = 0.2
_ROUNDS_BEGIN_H = (7.5, 0.7)
_FREE_BEGIN_H = np.array([[10.3, 2.4]] * 5 + [[10.6, 2.3], [11.6, 2.3]])
# Stays (h): at work, full or part time; elsewhere as lognormals, median and sigma.
_FULL_TIME_H, _PART_TIME_H, _PART_TIME = (8.5, 0.7), (4.6, 0.7), 0.22
_ERRAND_H, _OUTING_H, _CALL_H, _AT_HOME_H = (0.6, 0.9), (1.5, 0.8), (0.3, 0.75), (1.3, 0.9)
# Chance that the next trip does not lead home.
_CHAIN, _CHAIN_ON_ROUNDS, _ROUNDS_END_H = 0.25, 0.9, 16.3
# Chance to go out again from home, by the hour from which it holds.
_AGAIN = ((0.0, 0.43), (15.0, 0.55), (17.0, 0.6), (19.0, 0.36), (20.5, 0.12), (22.0, 0.01))
# Beside that by the weekday, Monday to Sunday: most go out again on Friday.
_AGAIN_ON = np.array([0.96, 0.96, 0.98, 1.0, 1.1, 1.0, 0.95])
_LAST_RETURN_H = 26.2
# Time of a trip on free roads (s), lognormal: to work, on an errand, on a round; a long one, at week-ends more often.
_COMMUTE_S, _ERRAND_S, _CALL_S, _LONG_S = (360.0, 0.85), (150.0, 0.7), (300.0, 0.8), (2500.0, 0.65)
_LONG, _LONG_AT_WEEKEND = 0.48, 0.6
_LONGEST_S = 7200.0
_CHOICES = 6
_VILLAGES = np.arange(FIRST_VILLAGE, NODES)
_PLACES = np.array([*TOWN_NODES, *np.repeat(RING_NODES, 4), *_VILLAGES], dtype=np.int64)
"""Where cars go: into town, to the shops and works at the exits of its ring, and to villages."""
_LIVE_IN_TOWN = 0.5
"""Of the others, two in five live there as well, half at the ring, and a tenth in villages."""
# Deep snow keeps as many at home as are missing on the roads then. One in seven drives to a usual event, which is
# always at the same place in town, unless he is out by then; when they set out and leave, beside its begin and end. By
# judgement.
_SNOW_KEEPS_HOME, _GOES_TO_EVENT = 0.3, 0.15
_SET_OUT_H, _LEAVE_H = (-1.75, -0.25), (0.0, 0.75)
_BEFORE_EVENT_H = 1.0
"""Who would set out this long before, comes first."""
# A trip has this much more time than it takes on free roads; the rest is stay.
_SLOWNESS, _SPARE_S = 2.0, 300.0


def draw_private_days(
    plan: Plan,
    seed: int,
    site_keys: Hashes,
    vehicles: Ints,
    days: Ints,
    weekdays: Ints,
    conditions: DayConditions | None = None,
) -> DrawnDays:
    """Return the days (since 1970) of private cars, which fall on these weekdays; public holidays are Sundays."""
    drawing = _Drawing(plan, seed, site_keys, vehicles, days, weekdays)
    if conditions is not None:
        drawing.expect(conditions)
    for number in range(_TRIPS):
        drawing.add_trip(number)
    return drawing.found


class _Drawing:
    """Days being drawn, a row each: where the vehicle is, since when, and whether it goes on."""

    def __init__(self, plan: Plan, seed: int, site_keys: Hashes, vehicles: Ints, days: Ints, weekdays: Ints) -> None:
        self._seed, self._keys, self._vehicles, self._days = seed, site_keys, vehicles, days
        self._plan, self._weekday = plan, weekdays
        # Draws of all trips of the days at once, [trip, day], by stream.
        self._uniforms: dict[str, Floats] = {}
        self._normals: dict[str, Floats] = {}
        self._stops: list[Ints] = []
        rows = len(days)
        home = self._own("vehicle/home")
        in_town = uniform(extend(home, 1)) < _LIVE_IN_TOWN
        self._home = np.where(in_town, TOWN_NODES[_choice(home, len(TOWN_NODES))], _stop(home))
        self.found = DrawnDays.without_trips(self._home)
        who = np.searchsorted(_PEOPLE, uniform(self._own("driver/life")), side="right")
        works = uniform(self._today("day/works")) < _WORKS[who, self._weekday]
        self._commutes, self._rounds = works & (who == _COMMUTER), works & (who == _ON_ROUNDS)
        self._goes = works | (uniform(self._today("day/out")) < _GOES_OUT[self._weekday])
        self._hour = self._first_hour()
        self._node = self._home
        self._worked = np.zeros(rows, dtype=np.bool_)
        offers = np.stack([_stop(self._own(f"vehicle/work/{choice}")) for choice in range(_CHOICES)])
        self._work = self._destination(offers, _lognormal(normal(self._own("vehicle/way")), _COMMUTE_S))
        self._is_part_time = uniform(self._own("driver/time")) < _PART_TIME
        self._long_way = np.zeros(rows)
        self._snow_at: Callable[[Floats], Floats] = np.zeros_like
        # Who drives to an event: when, and when back.
        self._event_h, self._back_h = np.full(rows, np.inf), np.zeros(rows)
        self._to_event = self._at_event = np.zeros(rows, dtype=np.bool_)
        self._venue = self._home

    def expect(self, conditions: DayConditions) -> None:
        """Let snow and events change the days, before any trip is added."""
        self._snow_at = conditions.snow_at
        self._goes &= uniform(self._today("day/snow")) >= _SNOW_KEEPS_HOME * self._snow_at(self._hour)
        visits = uniform(self._today("day/event")) < np.minimum(_GOES_TO_EVENT * conditions.event_size, 1)
        out, back = uniform(self._today("day/event/out")), uniform(self._today("day/event/back"))
        self._event_h = np.where(visits, conditions.event_begins_h + _between(_SET_OUT_H, out), np.inf)
        self._back_h = conditions.event_ends_h + _between(_LEAVE_H, back)
        self._venue = TOWN_NODES[_choice(hash_bits(self._seed, "town/venue", self._keys), len(TOWN_NODES))]
        # Who has yet to work does so.
        self._set_out_to_event(np.full(len(self._hour), float(DAY_BEGINS_H)), ~self._commutes)

    def _set_out_to_event(self, since_h: Floats, can_go: Flags) -> None:
        """Let those who stand at home since then, and would not leave well before the event, set out to it next."""
        in_time = can_go & (since_h < self._event_h) & (self._event_h < np.inf)
        self._to_event = in_time & (~self._goes | (self._hour > self._event_h - _BEFORE_EVENT_H))
        self._hour = np.where(self._to_event, self._event_h, self._hour)
        self._goes = self._goes | self._to_event
        self._event_h = np.where(self._to_event, np.inf, self._event_h)

    def add_trip(self, number: int) -> None:
        """Add the trip of this number to the days that go on."""
        at_home = self._node == self._home
        # A day ends at home, while there are numbers left.
        goes = self._goes & (~at_home | (number < _TRIPS - 1))
        to_event = self._to_event
        to_work = at_home & self._commutes & ~self._worked & ~to_event
        chance = self._uniform("trip/chain", number)
        rounds = self._rounds & (self._hour < _ROUNDS_END_H)
        chains = chance < np.where(rounds, _CHAIN_ON_ROUNDS, np.where(self._hour < 20, _CHAIN, 0.0))
        chains &= ~self._at_event
        homeward = ~at_home & (~chains | (number >= _TRIPS - 2))
        at_weekend = self._weekday >= 5
        is_long = self._uniform("trip/long", number) < np.where(at_weekend, _LONG_AT_WEEKEND, _LONG)
        is_long &= ~to_work & ~to_event & ~rounds & (self._hour < 18.5) & at_home
        way = self._normal("trip/way", number)
        wish = np.where(rounds, _lognormal(way, _CALL_S), _lognormal(way, _ERRAND_S))
        wish = np.where(is_long, _lognormal(self._normal("trip/far", number), _LONG_S), wish)
        goal = self._destination(self._offers(number), wish)
        goal = np.where(homeward, self._home, np.where(to_work, self._work, goal))
        goal = np.where(to_event, self._venue, goal)
        goal = np.where(goal == self._node, TOWN_NODES[(np.searchsorted(TOWN_NODES, goal) + 1) % len(TOWN_NODES)], goal)
        direct = self._plan.seconds[self._node, goal]
        # Who has come a long way goes back one; to work and home from it leads the fastest.
        wish = np.where(homeward, self._long_way, np.where(to_work | to_event, 0.0, wish))
        wish = np.where(is_long | homeward, np.minimum(wish, _LONGEST_S), np.minimum(wish, 1.6 * direct))
        wish = np.where(self._hour > 20, 0.0, wish)
        rows = np.flatnonzero(goes)
        self.found.begins_ms[rows, number] = ((self._hour - DAY_BEGINS_H) * HOUR_MS).astype(np.int64)[rows]
        self.found.nodes[rows, number + 1] = goal[rows]
        self.found.wished_s[rows, number] = wish[rows]
        slowness = _SLOWNESS * (1 + SNOW_SLOWS * self._snow_at(self._hour))
        arrives = self._hour + (slowness * np.maximum(direct, wish) + _SPARE_S) / 3600
        self._long_way = np.where(is_long, wish, np.where(homeward, 0.0, self._long_way))
        stay = self._stay(number, to_work, rounds, homeward, at_weekend | (self._hour > 18))
        leaves = arrives + stay
        # Who is out at night comes home at last.
        latest = np.maximum(_LAST_RETURN_H - 5.5 * self._uniform("trip/late", number) ** 0.6, arrives + 0.05)
        leaves = np.where(homeward, leaves, np.minimum(leaves, latest))
        leaves = np.where(to_event, np.maximum(self._back_h, arrives + 0.5), leaves)
        again = self._uniform("trip/again", number) < (
            _by_hour(leaves) * _AGAIN_ON[self._weekday] * (1 - _SNOW_KEEPS_HOME * self._snow_at(leaves))
        )
        self._goes = goes & (~homeward | (again & (leaves < 22.5)))
        self._worked |= to_work & goes
        self._hour = np.where(goes, leaves, self._hour)
        self._node = np.where(goes, goal, self._node)
        self._at_event = to_event & goes
        self._set_out_to_event(arrives, goes & homeward)

    def _stay(self, number: int, to_work: Flags, rounds: Flags, homeward: Flags, is_free: Flags) -> Floats:
        """Return how long the vehicle stands where the trip leads (h)."""
        swing = self._normal("trip/stay", number)
        usual = np.where(self._is_part_time, *(mean + sigma * swing for mean, sigma in (_PART_TIME_H, _FULL_TIME_H)))
        errand = np.where(is_free, *(_lognormal(swing, kind) for kind in (_OUTING_H, _ERRAND_H)))
        stay = np.where(rounds, _lognormal(swing, _CALL_H), errand)
        stay = np.where(homeward, _lognormal(swing, _AT_HOME_H), stay)
        return np.maximum(np.where(to_work, usual, stay), 0.03)

    def _first_hour(self) -> Floats:
        """Return the local time at which the first trip begins (h)."""
        kind, swing = uniform(self._own("driver/habit")), normal(self._own("driver/hour"))
        today = normal(self._today("day/hour"))
        habit = np.zeros(len(kind))
        for below, mean, sigma in reversed(_HABITS):
            habit = np.where(kind < below, mean + sigma * swing, habit)
        habit = habit + _HABIT_SWING_H * today
        mean, sigma = _ROUNDS_BEGIN_H
        on_rounds = mean + sigma * swing + 0.3 * today
        free_mean, free_sigma = _FREE_BEGIN_H[self._weekday].T
        hour = np.where(self._commutes, habit, np.where(self._rounds, on_rounds, free_mean + free_sigma * today))
        return np.clip(hour, 4.6 + 0.5 * np.abs(today), 21.0)

    def _destination(self, offers: Ints, wish_s: Floats) -> Ints:
        """Return of the places that are on offer [some, day] the one to which the way is nearest to that wished for."""
        way = self._plan.seconds[self._node, offers]
        off = np.where(way > 0, np.abs(np.log(np.maximum(way, 1) / wish_s)), np.inf)
        best, each = off.argmin(axis=0), np.arange(len(wish_s))
        return np.where(np.isfinite(off[best, each]), offers[best, each], self._home)

    def _own(self, stream: str) -> Hashes:
        return hash_bits(self._seed, stream, self._keys, self._vehicles)

    def _today(self, stream: str) -> Hashes:
        return hash_bits(self._seed, stream, self._keys, self._vehicles, self._days, 0)

    def _each(self, stream: str) -> Hashes:
        """Return the draws of all trips, [trip, day]."""
        numbers = np.arange(_TRIPS)[:, None]
        return hash_bits(self._seed, stream, self._keys, self._vehicles, self._days, numbers)

    def _uniform(self, stream: str, number: int) -> Floats:
        if stream not in self._uniforms:
            self._uniforms[stream] = uniform(self._each(stream))
        return np.asarray(self._uniforms[stream][number])

    def _normal(self, stream: str, number: int) -> Floats:
        if stream not in self._normals:
            self._normals[stream] = normal(self._each(stream))
        return np.asarray(self._normals[stream][number])

    def _offers(self, number: int) -> Ints:
        """Return the places of which one may be the goal of a trip, [some, day]."""
        if not self._stops:
            self._stops = [_stop(self._each(f"trip/goal/{choice}")) for choice in range(_CHOICES)]
        return np.stack([stops[number] for stops in self._stops])


def _lognormal(swing: Floats, kind: tuple[float, float]) -> Floats:
    median, sigma = kind
    return np.asarray(median * np.exp(sigma * np.clip(swing, -3, 3)))


def _between(bounds: tuple[float, float], share: Floats) -> Floats:
    low, high = bounds
    return np.asarray(low + (high - low) * share)


def _stop(bits: Hashes) -> Ints:
    return _PLACES[_choice(bits, len(_PLACES))]


def _choice(bits: Hashes, count: int) -> Ints:
    return (bits % np.uint64(count)).astype(np.int64)


def _by_hour(hours: Floats) -> Floats:
    """Return the chance to go out again at these local times."""
    bounds, chances = np.array(_AGAIN).T
    return np.asarray(chances[np.searchsorted(bounds, hours, side="right") - 1])
