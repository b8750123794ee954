"""Rare days of a site: snow that lies on its roads, and events in town, for which many come and leave at once.

Snow is the weather's: what falls while it freezes, of the last 24 hours, as roads are cleared within a day. An event
is drawn for each day, by weekday. Where a site has neither (`snow`, `town_events`), nothing is computed.
"""

from typing import NamedTuple

import numpy as np

from devices.world.noise import KnotInterpolator
from devices.world.random import Flags, Floats, Hashes, Ints, hash_bits, normal, uniform
from devices.world.site_climate import SiteClimate
from devices.world.weather import Atmosphere
from devices.world.world import DAY_MS, HOUR_MS, Site, SiteArrays, World, weekday

SNOW_STEP_MS = 3 * HOUR_MS
_SNOW_STEPS = 8
_LONGEST_DAYS = 60
"""Beyond which the begin and the end of a window are not looked for, where it snows every day."""
# It falls as snow below this, and all of it one degree colder.
_FREEZES_C = 1.0
# Of what falls in a day, in steps of heavy precipitation: so much does not lie on a road, and more makes no difference.
_MELTS, _DEEP = 0.35, 1.4
# Months whose mean is so many deviations of a day above freezing have no snow.
_SNOWLESS_DEVIATIONS = 3.5

# Events by weekday, Monday to Sunday, as of a usual day: by judgement, of matches, concerts and fairs.
_EVENTS_ON = np.array([0.4, 0.4, 0.4, 0.4, 1.3, 2.6, 1.5])
_YEAR_DAYS = 365.2425
# From when to when one begins on a weekday and at the weekend, and how long it is, in hours of local time: all of it is
# over before midnight, so that a day has at most one.
_BEGINS_H, _LASTS_H = ((18.0, 20.0), (12.0, 19.0)), (2.0, 2.75)
_SIZE_SIGMA, _SIZES = 0.4, (0.4, 2.5)
# When people come by car and leave, and when they are in the shops, by hours beside the begin and the end.
_COME_H, _LEAVE_H, _SHOP_H = (-1.75, 0.25), (-0.25, 1.0), (-2.75, 0.0)


class TownEvents(NamedTuple):
    """Events of some sites and local days, a row each; in ms of local time since 1970."""

    happens: Flags
    begins_ms: Floats
    ends_ms: Floats
    size: Floats
    """Beside a usual one."""


class RareDays:
    """Tells of snow and events at the sites of one world."""

    def __init__(self, world: World, site_arrays: SiteArrays, atmosphere: Atmosphere) -> None:
        """Take the atmosphere that the snow falls from."""
        self._seed = world.seed
        self._keys: Hashes = site_arrays.keys
        self._world = world
        self._atmosphere = atmosphere
        self._months = np.stack([_snowy_months(site) for site in world.sites])
        self._events_a_year = np.array([site.town_events for site in world.sites], dtype=np.float64)
        self._fallen = KnotInterpolator(self._compute_fallen, width=1, step_ms=SNOW_STEP_MS)

    # -- snow

    def snow(self, sites: Ints, times_ms: Ints) -> Floats:
        """Return how much snow lies on the roads: 0 none, 1 as much as makes a difference."""
        lies = np.zeros(len(times_ms))
        rows = np.flatnonzero(self._may_snow(sites, times_ms))
        if len(rows):
            steps, within = np.divmod(times_ms[rows], SNOW_STEP_MS)
            before, after = (self._lying(sites[rows], steps + ahead) for ahead in (0, 1))
            lies[rows] = before + (after - before) * (within / SNOW_STEP_MS)
        return lies

    def snow_windows(self, site: int, from_ms: int, to_ms: int) -> list[tuple[int, int]]:
        """Return from when to when snow lies, of all times that touch [from_ms, to_ms): whole, not cut to it."""
        if not self._months[site].any():
            return []
        first, stop = from_ms // SNOW_STEP_MS, to_ms // SNOW_STEP_MS + 2
        # A thaw or a dry day ends it.
        earliest, latest = first - _LONGEST_DAYS * _SNOW_STEPS, stop + _LONGEST_DAYS * _SNOW_STEPS
        while first > earliest and self._lies_at(site, first, first + 1)[0]:
            first -= _SNOW_STEPS
        while stop < latest and self._lies_at(site, stop - 1, stop)[0]:
            stop += _SNOW_STEPS
        lies = np.concatenate([[False], self._lies_at(site, first, stop), [False]])
        # Between steps it is a line: it begins at the step before the first, and ends at the one after the last.
        begins = first - 1 + np.flatnonzero(~lies[:-1] & lies[1:])
        ends = first + np.flatnonzero(lies[:-1] & ~lies[1:])
        windows = zip((begins * SNOW_STEP_MS).tolist(), (ends * SNOW_STEP_MS).tolist(), strict=True)
        return [(begin, end) for begin, end in windows if begin < to_ms and end > from_ms]

    def _lies_at(self, site: int, first: int, stop: int) -> Flags:
        steps = np.arange(first, stop)
        return np.asarray(self.snow(np.full(len(steps), site), steps * SNOW_STEP_MS) > 0)

    def _lying(self, sites: Ints, steps: Ints) -> Floats:
        total = np.zeros(len(steps))
        for back in range(_SNOW_STEPS):
            left = 1 - back / _SNOW_STEPS
            total += left * self._fallen.previous(sites, (steps - back) * SNOW_STEP_MS)[:, 0]
        return np.asarray(np.clip((total - _MELTS) / (_DEEP - _MELTS), 0, 1))

    def _compute_fallen(self, sites: Ints, times_ms: Ints) -> Floats:
        rain = self._atmosphere.weather(sites, times_ms).rain
        warm = self._atmosphere.outdoor_air(sites, times_ms).temperature_c
        return np.asarray((rain * np.clip(_FREEZES_C - warm, 0, 1))[:, None])

    def _may_snow(self, sites: Ints, times_ms: Ints) -> Flags:
        months = times_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64) % 12
        return np.asarray(self._months[sites, months])

    # -- events

    def events(self, sites: Ints, days: Ints) -> TownEvents:
        """Return the events of these sites and local days (since 1970)."""
        keys, of_week = self._keys[sites], weekday(days)
        draw = [hash_bits(self._seed, f"town/event{name}", keys, days) for name in ("", "/when", "/length", "/size")]
        happens = uniform(draw[0]) < self._events_a_year[sites] / _YEAR_DAYS * _EVENTS_ON[of_week]
        earliest, latest = np.array(_BEGINS_H)[(of_week >= 5).astype(np.int64)].T
        begins = days * DAY_MS + HOUR_MS * (earliest + (latest - earliest) * uniform(draw[1]))
        lasts = HOUR_MS * (_LASTS_H[0] + (_LASTS_H[1] - _LASTS_H[0]) * uniform(draw[2]))
        size = np.clip(np.exp(_SIZE_SIGMA * normal(draw[3])), *_SIZES)
        return TownEvents(happens, begins, begins + lasts, size)

    def drivers(self, sites: Ints, local_ms: Ints) -> Floats:
        """Return how many drive to an event or home from it, beside the most of a usual one."""
        event = self.events(sites, local_ms // DAY_MS)
        come, leave = _hump(local_ms - event.begins_ms, _COME_H), _hump(local_ms - event.ends_ms, _LEAVE_H)
        return np.where(event.happens, event.size * (come + leave), 0.0)

    def shoppers(self, sites: Ints, local_ms: Ints) -> Floats:
        """Return how many are in the shops before an event, beside the most of a usual one."""
        event = self.events(sites, local_ms // DAY_MS)
        return np.where(event.happens, event.size * _hump(local_ms - event.begins_ms, _SHOP_H), 0.0)

    def event_windows(self, site: int, from_ms: int, to_ms: int) -> list[tuple[int, int]]:
        """Return from when (UTC) the first come to the shops or by car to when the last are home, whole."""
        zone = self._world.local[site]
        first, last = zone.from_utc(np.array([from_ms, to_ms])) // DAY_MS
        days = np.arange(first, last + 1)
        event = self.events(np.full(len(days), site), days)
        days = days[event.happens]
        local = event.begins_ms + HOUR_MS * min(_COME_H[0], _SHOP_H[0]), event.ends_ms + HOUR_MS * _LEAVE_H[1]
        ahead = zone.from_utc(days * DAY_MS + DAY_MS // 2) - (days * DAY_MS + DAY_MS // 2)
        begins, ends = (np.floor(times[event.happens]).astype(np.int64) - ahead for times in local)
        windows = zip(begins.tolist(), ends.tolist(), strict=True)
        return [(begin, end) for begin, end in windows if begin < to_ms and end > from_ms]


def _snowy_months(site: Site) -> Flags:
    months = np.zeros(12, dtype=np.bool_)
    if site.snow:
        normals = dict(zip(("temperature", "range", "spread"), SiteClimate(site).table, strict=False))
        coldest = normals["temperature"] - _SNOWLESS_DEVIATIONS * normals["spread"]
        months = np.asarray(coldest < _FREEZES_C)
    return months


def _hump(since_ms: Floats, span_h: tuple[float, float]) -> Floats:
    """Return 1 in the middle of a span, and 0 at its ends and beyond."""
    share = (since_ms / HOUR_MS - span_h[0]) / (span_h[1] - span_h[0])
    return np.where((share > 0) & (share < 1), np.sin(np.pi * share) ** 2, 0.0)
