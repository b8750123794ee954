"""People counter at a shop door: every crossing and every visit as it happens, and counts at each interval.

A visit gives three messages: an entry, an exit, and at the moment of the exit the session that joins them. These are
true; the counts miss a few people in each direction, so the occupancy drifts as that of real counters does.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from devices.sensors.base import Events, Population
from devices.sensors.columns import Columns, DictionaryColumn, TimeColumn
from devices.sensors.kind import DeviceKind
from devices.sensors.packed_events import PackedEvents
from devices.sensors.people.events import VisitEvent, VisitState, visit_columns, visit_events_of
from devices.sensors.people.visit_windows import AHEAD_MS, KnownVisits, VisitWindows
from devices.sensors.people.visits import ENTRY, SESSION, VisitDay, VisitMessages, customer_ids
from devices.world.random import Hashes, Ints, hash_bits
from devices.world.shops import Shops
from devices.world.world import DAY_MS, HOUR_MS, World
from edgewire.clock import parse_ms
from edgewire.config import Config
from edgewire.config_errors import text_matching

_WEEKDAYS = ("Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday")  # from 1970-01-01
_MOST_CUSTOMERS = 200_000
_DAYS_KEPT = 3
_LIVE_MS, _LIVE_SHOPS = 1000, 20_000
"""A live run asks for no more at once, and has no more shops: an export of many asks for as little, and needs whole
days."""
_TOTALS_AT_ONCE = 200_000
_SUMS_KEPT = 64
_TOTALS_KEPT = 8
_COUNTS_KEPT, _COUNTS_OF_ONE_KEPT = 8, 8192
"""Messages before an instant: devices that were reset, or rebooted, ask for those before that again and again."""
_FEW = 4
"""Shops whose past days are drawn one by one."""


class PeopleSettings(Config):
    """The shop that is counted."""

    daily_customers: float = Field(default=1000, gt=0, le=_MOST_CUSTOMERS)
    """On an average day."""
    daily_variation: float = Field(default=0.10, ge=0, le=2)
    """Relative spread of the day's total."""
    fixed_daily_total: bool = False
    """Exactly `daily_customers` every day, whatever the weekday and the weather."""
    accuracy: float = Field(default=0.97, gt=0, le=1)
    """Chance that the counts see a person go through the door; in and out independently. Makers claim 95 to 98 %."""
    holidays: tuple[
        Annotated[str, text_matching(r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$", "a month and a day, such as 12-25")],
        ...,
    ] = (
        "01-01",
        "12-25",
    )
    """Month and day."""
    holiday_level: float = Field(default=0.1, ge=0, le=3)
    """Share of the usual customers who come on a holiday."""
    event_module: str | None = None
    """Python file with types of visits, as a list `EVENT_TYPES`: sessions have their names in `events`, and their
    attributes. Relative to the scenario's; it is run with the program's rights."""


class PeopleSensor:
    """Many counters with the same settings, each at a shop of its own."""

    def __init__(self, settings: PeopleSettings, population: Population) -> None:
        self._interval = population.interval_ms
        self._sites = population.sites
        self._accuracy = settings.accuracy
        self._powered_on_ms = population.powered_on_ms
        self._event_types = visit_events_of(settings.event_module)
        self._shops = Shops(
            population.keys,
            population.sites,
            settings.daily_customers,
            settings.daily_variation,
            settings.fixed_daily_total,
            tuple((int(date[:2]), int(date[3:])) for date in settings.holidays),
            settings.holiday_level,
        )
        self._day = lru_cache(_DAYS_KEPT)(self._make_day)
        self._windows = lru_cache(_DAYS_KEPT)(self._make_windows)
        self._can_be_live = self.lookback_ms <= AHEAD_MS and len(self._sites) <= _LIVE_SHOPS
        self._is_live = self._can_be_live
        self._messages_of_day = lru_cache(_TOTALS_KEPT)(self._count_day)
        self._counts_of_all = lru_cache(_COUNTS_KEPT)(self._make_counts_of_all)
        self._count_of_one = lru_cache(_COUNTS_OF_ONE_KEPT)(self._make_count_of_one)
        # VisitMessages since a day, by the day before which they are counted; of one world and first day.
        self._sums: dict[int, Ints] = {}
        self._sums_of: tuple[World, int] | None = None

    @property
    def lookback_ms(self) -> int:
        """The longest interval that one counts."""
        return int(self._interval.max(initial=0))

    def sample(self, world: World, ids: Ints, times: Ints) -> Columns:
        """Return the counts of the interval that ends at each reading, and since local midnight."""
        sites, begins = self._sites[ids], times - self._interval[ids]
        last, first = (world.local_ms(sites, moment) // DAY_MS for moment in (times, begins))
        totals = np.zeros((2, len(ids)), dtype=np.int64)
        recent = np.zeros((2, len(ids)), dtype=np.int64)
        longest = int((last - first).max(initial=0))
        for day in np.unique(np.minimum(first[:, None] + np.arange(longest + 1), last[:, None])).tolist():
            today, began, between = last == day, first == day, (first <= day) & (last > day)
            asked = ids[today | began | between]
            visits = self._visits(world, day, asked, int(begins.min()), int(times.max()))
            totals[:, today] = visits.counted_until(ids[today], times[today])
            recent[:, today] += totals[:, today]
            recent[:, between] += visits.counted_all(ids[between])
            recent[:, began] -= visits.counted_until(ids[began], begins[began])
        return {
            "event_type": ["count"] * len(ids),
            "interval_s": np.round(self._interval[ids] / 1000, 3),
            "entries": recent[0],
            "exits": recent[1],
            "total_entries": totals[0],
            "total_exits": totals[1],
            "occupancy": totals[0] - totals[1],
        }

    def events(self, world: World, ids: Ints, start_ms: int, stop_ms: int) -> Events:
        """Return crossings and sessions in [start_ms, stop_ms)."""
        owners: list[Ints] = []
        times: list[Ints] = []
        fields: list[PackedEvents] = []
        self._is_live = self._can_be_live and stop_ms - start_ms <= _LIVE_MS
        first, last = self._days(world, ids, start_ms), self._days(world, ids, stop_ms - 1)
        for day in range(int(first.min()), int(last.max()) + 1):
            visits = self._visits(world, day, ids[(first <= day) & (day <= last)], start_ms, stop_ms)
            messages = visits.messages(ids, start_ms, stop_ms)
            owners.append(messages.owner)
            times.append(messages.due_ms)
            keys = self._shops.keys[ids[messages.owner]]
            fields.append(_fields(world.seed, day, keys, messages, self._event_types))
        owner = np.concatenate(owners)
        order = np.argsort(owner, kind="stable")
        return Events(owner[order], np.concatenate(times)[order], PackedEvents.concat(fields).take(order))

    def event_count(self, world: World, ids: Ints, start_ms: int, stop_ms: int) -> Ints:
        """Count three messages a visit of whole days, and of the first and the last day what lies in the window."""
        first, last = self._days(world, ids, start_ms), self._days(world, ids, stop_ms)
        counts = np.zeros(len(ids), dtype=np.int64)
        for day in np.unique(last).tolist():
            rows = np.flatnonzero(last == day)
            counts[rows] = self._count_before(world, day, ids[rows], stop_ms)
            begun = rows[first[rows] == day]
            counts[begun] -= self._count_before(world, day, ids[begun], start_ms)
        later = first < last
        if later.any():
            for day in np.unique(first[later]).tolist():
                rows = np.flatnonzero(later & (first == day))
                counts[rows] += self._messages_of_day(world, day)[ids[rows]]
                counts[rows] -= self._count_before(world, day, ids[rows], start_ms)
            low, high = int(first[later].min()), int(last[later].max())
            counts[later] += self._messages(world, low + 1, high)[ids[later]]
            # Sites in different zones may have begun or ended on different days.
            for day in range(low + 1, int(first[later].max()) + 1):
                rows = np.flatnonzero(later & (first >= day))
                counts[rows] -= self._messages_of_day(world, day)[ids[rows]]
            for day in range(int(last[later].min()), high):
                rows = np.flatnonzero(later & (last <= day))
                counts[rows] -= self._messages_of_day(world, day)[ids[rows]]
        return counts

    def _count_before(self, world: World, day: int, ids: Ints, time_ms: int) -> Ints:
        """Count the messages of shops on a day before an instant: windows move on with what is asked, never back."""
        if not self._is_live:
            return self._day(world, day).count_before(ids, time_ms)
        known = self._known(world, day, ids, time_ms, time_ms)
        if known.covers(ids, time_ms, time_ms):
            return known.count_before(ids, time_ms)
        if len(ids) > _FEW:
            return self._counts_of_all(world, day, time_ms)[ids]
        return np.array([self._count_of_one(world, day, one, time_ms) for one in ids.tolist()])

    def _make_counts_of_all(self, world: World, day: int, time_ms: int) -> Ints:
        everyone = np.arange(len(self._sites))
        return self._make_windows(world, day).reach(everyone, time_ms, time_ms).count_before(everyone, time_ms)

    def _make_count_of_one(self, world: World, day: int, one: int, time_ms: int) -> int:
        shop = self._shops.take(slice(one, one + 1))
        alone = VisitDay(world, shop, day, self._accuracy, self._powered_on_ms)
        return int(alone.count_before(np.array([0]), time_ms)[0])

    def _visits(self, world: World, day: int, ids: Ints, begin_ms: int, end_ms: int) -> VisitDay | KnownVisits:
        """Return who knows of these shops what was between two instants: windows, which never move back, or the day."""
        if self._is_live and end_ms - begin_ms <= self.lookback_ms + _LIVE_MS:
            known = self._known(world, day, ids, begin_ms, end_ms)
            if known.covers(ids, begin_ms, end_ms):
                return known
        return self._day(world, day)

    def _known(self, world: World, day: int, ids: Ints, begin_ms: int, end_ms: int) -> KnownVisits:
        """Return what is known of the minutes ahead, which move on where [begin_ms, end_ms] is later."""
        windows = self._windows(world, day)
        known = windows.known
        return windows.reach(ids, begin_ms, end_ms) if known.is_behind(ids, end_ms) else known

    def _messages(self, world: World, first_day: int, stop_day: int) -> Ints:
        """Count the messages of each shop in the days [first_day, stop_day), from the nearest answer there was before.

        Windows move on, but devices that were reset ask for the day of that as well, again and again.
        """
        if self._sums_of != (world, first_day):
            self._sums_of, self._sums = (world, first_day), {}
        day = max((known for known in self._sums if known <= stop_day), default=first_day)
        total = self._sums[day].copy() if day in self._sums else np.zeros(len(self._sites), dtype=np.int64)
        step = max(1, _TOTALS_AT_ONCE // max(1, len(self._sites)))
        while day < stop_day:
            days = np.arange(day, min(day + step, stop_day))
            total += 3 * self._shops.totals(world, days).sum(axis=1)
            day = int(days[-1]) + 1
        while len(self._sums) >= _SUMS_KEPT:
            del self._sums[next(iter(self._sums))]
        self._sums[stop_day] = total
        return total.copy()

    def _count_day(self, world: World, day: int) -> Ints:
        return np.asarray(3 * self._shops.totals(world, np.array([day]))[:, 0])

    def _make_day(self, world: World, day: int) -> VisitDay:
        return VisitDay(world, self._shops, day, self._accuracy, self._powered_on_ms)

    def _make_windows(self, world: World, day: int) -> VisitWindows:
        return VisitWindows(world, self._shops, day, self._accuracy, self._powered_on_ms, self.lookback_ms)

    def _days(self, world: World, ids: Ints, time_ms: int) -> Ints:
        """Return the local day of each shop."""
        days = np.array([int(zone.from_utc(np.array([time_ms]))[0]) // DAY_MS for zone in world.local])
        return np.asarray(days[self._sites[ids]])


# Slots of three hours, the first of a day from 01:00; the one from 22:00 reaches past midnight.
_SLOTS = [f"{start:02d}:00–{(start + 2) % 24:02d}:59" for start in (1, 4, 7, 10, 13, 16, 19, 22)]


def _fields(seed: int, day: int, keys: Hashes, messages: VisitMessages, types: tuple[VisitEvent, ...]) -> PackedEvents:
    """Return what these messages say; weekday and time slot are in UTC, as all their times."""
    is_session = messages.sorts == SESSION
    session, crossing = np.flatnonzero(is_session), np.flatnonzero(~is_session)
    entries, exits, sorts = messages.entries_ms[session], messages.exits_ms[session], messages.sorts[crossing]
    sessions: Columns = {
        "event_type": DictionaryColumn(np.zeros(len(session), dtype=np.int64), ("foot_traffic",)),
        "customer_id": customer_ids(seed, day, keys[session], messages.numbers[session]),
        "entry_time": TimeColumn(entries),
        "exit_time": TimeColumn(exits),
        "trip_duration_minutes": np.rint((exits - entries) / 60_000).astype(np.int64),
        **_calendar(entries),
    }
    if types:
        bits = hash_bits(seed, "shop/visit", keys[session], day, messages.numbers[session])
        sessions |= visit_columns(types, VisitState(entries, exits, bits))
    moments = np.where(sorts == ENTRY, messages.entries_ms[crossing], messages.exits_ms[crossing])
    crossings: Columns = {
        "event_type": DictionaryColumn((sorts != ENTRY).astype(np.int64), ("entry", "exit")),
        "time": TimeColumn(moments),
        **_calendar(moments),
    }
    rows = np.empty(len(is_session), dtype=np.int64)
    rows[session], rows[crossing] = np.arange(len(session)), np.arange(len(crossing))
    return PackedEvents((crossings, sessions), is_session.astype(np.int64), rows)


def _calendar(moments: Ints) -> Columns:
    return {
        "weekday": DictionaryColumn(moments // DAY_MS % 7, _WEEKDAYS),
        "time_slot": DictionaryColumn((moments % DAY_MS // HOUR_MS - 1) % 24 // 3, _SLOTS),
    }


def _restamped(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event whose weekday, time slot and duration follow from the times in it."""
    entry, leave = event.get("entry_time"), event.get("exit_time")
    moment = parse_ms(entry or event["time"])
    calendar = {"weekday": _WEEKDAYS[moment // DAY_MS % 7], "time_slot": _slot(moment)}
    if entry is None or leave is None:
        return event | calendar
    return event | {"trip_duration_minutes": round((parse_ms(leave) - moment) / 60_000)} | calendar


def _slot(moment_ms: int) -> str:
    return _SLOTS[(moment_ms % DAY_MS // HOUR_MS - 1) % 24 // 3]


def _busier(settings: Mapping[str, Any], factor: float) -> Mapping[str, Any]:
    """Return settings by which so many times as many customers come, as far as there is room for them."""
    daily = float(settings.get("daily_customers", PeopleSettings().daily_customers)) * factor
    return {**settings, "daily_customers": min(max(daily, 1e-3), _MOST_CUSTOMERS)}


KIND = DeviceKind(
    "people",
    PeopleSettings,
    PeopleSensor,
    busier=_busier,
    restamp_event=_restamped,
    counts_interval=True,
    counted_fields=("entries", "exits", "total_entries", "total_exits", "occupancy"),
    plot_labels={"occupancy": "people inside"},
    plot_profile=("entries", "entries an hour and door"),
    summary={"event_type": "{}", "trip_duration_minutes": "{} min", "occupancy": "{} inside", "time_slot": "{}"},
    colour="blue",
    memory_bytes=160 * 2**10,  # shoppers of three days
    reading_s=60e-6,
    busy_from_h=10,
)
