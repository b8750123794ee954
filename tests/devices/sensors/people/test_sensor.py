"""People counter: sessions, crossings and counts that agree, with the statistics of real doors."""

import itertools
from collections import Counter
from typing import Any

import numpy as np
import orjson
import pytest

from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from devices.world.components import components
from devices.world.random import hash_bits
from devices.world.shops import Shops
from devices.world.world import Site, World
from edgewire.clock import iso_ms, parse_ms

MONDAY_MS = parse_ms("2026-03-02T00:00:00Z")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def readings(from_ms: int, to_ms: int, *groups: dict[str, Any], seed: int = 5) -> list[dict[str, Any]]:
    timeline = Timeline(Scenario(seed=seed, devices=groups), from_ms)
    return [orjson.loads(payload) for payload in timeline.batch(from_ms, to_ms).payload]


class TestPeople:
    def test_a_session_agrees_with_its_two_crossings(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + DAY_MS, {"kind": "people", "count": 1, "interval": "1h"})
        sessions = [row for row in rows if row["event_type"] == "foot_traffic"]
        crossings = Counter((row["event_type"], row["time"]) for row in rows if row["event_type"] in ("entry", "exit"))
        assert len(sessions) > 500
        assert (
            Counter(("entry", row["entry_time"]) for row in sessions)
            + Counter(("exit", row["exit_time"]) for row in sessions)
            == crossings
        )
        for row in sessions:
            minutes = (parse_ms(row["exit_time"]) - parse_ms(row["entry_time"])) / 60_000
            assert type(row["trip_duration_minutes"]) is int
            assert row["trip_duration_minutes"] == pytest.approx(minutes, abs=0.501)
            assert row["timestamp"] == row["exit_time"]
            assert row["weekday"] == "Monday"
            first, last = row["time_slot"].split("–")
            assert first <= row["entry_time"][11:16] <= last or first > last

    def test_counts_agree_with_the_crossings(self) -> None:
        group = {"kind": "people", "count": 1, "interval": "7m", "settings": {"accuracy": 1}}
        rows = readings(MONDAY_MS, MONDAY_MS + DAY_MS, group)
        counts = [row for row in rows if row["event_type"] == "count"]
        for before, row in itertools.pairwise(counts):
            window = [
                other["event_type"] for other in rows
                if other["event_type"] in ("entry", "exit") and before["timestamp"] < other["time"] <= row["timestamp"]
            ]  # fmt: skip
            assert (row["entries"], row["exits"]) == (window.count("entry"), window.count("exit"))
            assert row["occupancy"] == row["total_entries"] - row["total_exits"]
        assert counts[-1]["total_entries"] == counts[0]["total_entries"] + sum(row["entries"] for row in counts[1:])

    @pytest.mark.slow
    def test_knobs(self) -> None:
        def visits(**settings: object) -> list[int]:
            group = {"kind": "people", "count": 4, "interval": "1d", "settings": settings}
            rows = readings(MONDAY_MS, MONDAY_MS + 7 * DAY_MS, group)
            return [
                sum(row["event_type"] == "foot_traffic" and row["entry_time"] < end for row in rows)
                for end in (iso_ms(MONDAY_MS + DAY_MS), iso_ms(MONDAY_MS + 7 * DAY_MS))
            ]

        assert visits(daily_customers=250, fixed_daily_total=True) == [1000, 7000]
        quiet, busy = visits(daily_customers=50)[1], visits(daily_customers=500)[1]
        assert busy / quiet == pytest.approx(10, rel=0.15)

    @pytest.mark.slow
    def test_shops_are_busiest_about_noon_and_on_fridays(self) -> None:
        group = {"kind": "people", "count": 3, "interval": "1d"}
        rows = readings(MONDAY_MS, MONDAY_MS + 14 * DAY_MS, group)
        entries = [row for row in rows if row["event_type"] == "entry"]
        hours = Counter(int(row["time"][11:13]) for row in entries)
        days = Counter(row["weekday"] for row in entries)
        assert hours.most_common(1)[0][0] in (12, 13, 14)
        assert hours[12] > 5 * hours[7]
        assert days["Friday"] > days["Monday"] > 0
        dwell = sorted(row["trip_duration_minutes"] for row in rows if row["event_type"] == "foot_traffic")
        # Euclid: median dwell 14.8 to 17.1 minutes.
        assert 14 < dwell[len(dwell) // 2] < 17.5

    @pytest.mark.slow
    def test_counts_miss_people_so_occupancy_drifts(self) -> None:
        group = {"kind": "people", "count": 20, "interval": "1d", "settings": {"daily_customers": 2000}}
        rows = readings(MONDAY_MS, MONDAY_MS + 2 * DAY_MS, group)
        counts = [row for row in rows if row["event_type"] == "count"]
        seen = sum(row["entries"] for row in counts[20:])
        exact = readings(
            MONDAY_MS, MONDAY_MS + 2 * DAY_MS, {**group, "settings": {"daily_customers": 2000, "accuracy": 1}}
        )
        there = [row for row in exact if row["event_type"] == "count"]
        # Makers claim 95 to 98 %.
        assert 0.95 < seen / sum(row["entries"] for row in there[20:]) < 0.98
        late = [(row, ideal) for row, ideal in zip(counts, there, strict=True) if ideal["total_entries"]]
        assert any(row["occupancy"] != ideal["occupancy"] for row, ideal in late)
        assert [row for row in rows if row["event_type"] != "count"] == [
            row for row in exact if row["event_type"] != "count"
        ]

    def test_an_interval_of_several_days_counts_all_of_them(self) -> None:
        settings = {"daily_customers": 100, "fixed_daily_total": True, "accuracy": 1}
        rows = readings(
            MONDAY_MS, MONDAY_MS + 9 * DAY_MS, {"kind": "people", "count": 1, "interval": "3d", "settings": settings}
        )
        assert max(row["entries"] for row in rows if row["event_type"] == "count") > 250

    def test_holidays_are_quiet(self) -> None:
        group = {
            "kind": "people",
            "count": 2,
            "interval": "1d",
            "settings": {"holidays": ["03-03"], "holiday_level": 0.2},
        }
        rows = readings(MONDAY_MS, MONDAY_MS + 2 * DAY_MS, group)
        days = Counter(row["weekday"] for row in rows if row["event_type"] == "entry")
        assert 0.1 < days["Tuesday"] / days["Monday"] < 0.35

    def test_dwell_is_lognormal(self) -> None:
        rows = readings(MONDAY_MS, MONDAY_MS + 3 * DAY_MS, {"kind": "people", "count": 4, "interval": "1d"})
        sessions = [row for row in rows if row["event_type"] == "foot_traffic"]
        dwell = np.log([(parse_ms(row["exit_time"]) - parse_ms(row["entry_time"])) / 60_000 for row in sessions])
        # Euclid: median 14.8 to 17.1 minutes, sigma 0.89 to 0.92 (a day's end cuts a few short), 9 to 11 % below 5 min.
        assert 14.5 < np.exp(np.median(dwell)) < 17.1
        assert 0.84 < dwell.std() < 0.94
        assert 0.08 < (dwell < np.log(5)).mean() < 0.13


@pytest.mark.slow
@pytest.mark.parametrize("date", ["2026-03-29", "2026-10-25"])
def test_seq_has_no_gaps_over_days_on_which_clocks_change(date: str) -> None:
    start = parse_ms(f"{date}T00:00:00Z") - 6 * HOUR_MS
    zones = {"a": "Europe/Paris", "b": "Pacific/Kiritimati", "c": "Pacific/Niue"}
    scenario = Scenario(
        seed=3,
        sites=[{"name": name, "latitude": 0, "longitude": 0, "timezone": zone} for name, zone in zones.items()],
        devices=[{"kind": "people", "count": 6, "interval": "7h", "settings": {"daily_customers": 300}}],
    )
    timeline = Timeline(scenario, start)
    whole = timeline.batch(start, start + 48 * HOUR_MS).payload
    parts = [timeline.batch(start + hour * HOUR_MS, start + (hour + 1) * HOUR_MS).payload for hour in range(48)]
    assert [payload for part in parts for payload in part] == whole
    for number in range(1, 7):
        rows = [row for row in map(orjson.loads, whole) if row["device_id"] == f"people-{number:04d}"]
        assert [row["seq"] for row in rows] == list(range(len(rows)))


def test_an_hour_is_the_same_alone_where_clocks_change_at_midnight() -> None:
    # People come at that hour in the first world alone.
    scenario = Scenario(
        world=1,
        sites=[{"name": "a", "latitude": -33.4, "longitude": -70.6, "timezone": "America/Santiago"}],
        devices=[{"kind": "people", "count": 1, "interval": "1h", "settings": {"daily_customers": 9000}}],
    )
    # Of the day from 04:00 UTC, which has no first hour; the one before has its last until then.
    begin = parse_ms("2026-09-06T03:00:00Z")
    timeline = Timeline(scenario, begin - DAY_MS)
    whole = timeline.batch(begin - HOUR_MS, begin + 2 * HOUR_MS)
    hour = [text for due, text in zip(whole.due_ms, whole.payload, strict=True) if 0 <= due - begin < HOUR_MS]
    assert timeline.batch(begin, begin + HOUR_MS).payload == hour
    assert len(hour) > 20


def test_the_years_before_are_counted_once_for_all_resets(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = Scenario(
        devices=[{"kind": "people", "count": 4, "interval": "1h", "settings": {"daily_customers": 100}}],
        faults=[{"type": "reboot", "kind": "people", "rate": "1/day", "duration": "1m..5m"}],
    )
    days, totals = [], Shops.totals

    def counted(shops: Shops, world: World, asked: np.ndarray) -> np.ndarray:
        days.append(len(asked))
        return totals(shops, world, asked)

    monkeypatch.setattr(Shops, "totals", counted)
    timeline = Timeline(scenario, parse_ms("2025-03-02T00:00:00Z"))
    for day in range(3):
        timeline.batch(MONDAY_MS + day * DAY_MS, MONDAY_MS + (day + 1) * DAY_MS)
    assert 365 < sum(days) < 3 * 365


class TestOverDispersion:
    """Bourke St Mall, Melbourne, 2015-16 (realism.md section 4), and four counters in Auckland; seed 5."""

    def test_days_are_as_uneven_and_as_alike_as_real_ones(self) -> None:
        world = World.build(5, [Site(name="a", latitude=48.1, longitude=-1.4)])
        shops = Shops(hash_bits(1, "shop", np.arange(20)), np.zeros(20, dtype=np.int64), 30_000, 0.15)
        totals = shops.totals(world, MONDAY_MS // DAY_MS + np.arange(364)).reshape(20, 52, 7).astype(float)
        shares = 100 * totals.sum(axis=(0, 1)) / totals.sum()
        # The source's are 13.1, 13.1, 13.9, 14.9, 16.9, 15.5, 12.6 %; doors are open for .88 of a day, and of a Sunday
        # for .72, and who would come while they are locked does not. Week-ends are the mean of five counters.
        for found, share in zip(shares, (13.6, 13.6, 14.4, 15.5, 17.6, 15.4, 9.8), strict=True):
            assert found == pytest.approx(share, abs=0.5)
        relative = (totals / totals.mean(axis=1, keepdims=True)).reshape(20, 364)
        assert relative.std() == pytest.approx(0.15, abs=0.02)
        lags = [np.corrcoef(shop[:-1], shop[1:])[0, 1] for shop in relative]
        # Melbourne has .69, Auckland .47, .47, .51 and .89.
        assert np.mean(lags) == pytest.approx(0.61, abs=0.1)
        assert min(lags) > 0.3
        assert max(lags) < 0.93
        assert max(lags) - min(lags) > 0.2

    @pytest.mark.slow
    def test_hourly_fano_factor_and_shares(self) -> None:
        world = World.build(5, [Site(name="a", latitude=48.1, longitude=-1.4)])
        # The source's effects of day and hour (CV 0.15 and 0.06) make a Fano factor of 58 at 2184 visitors an hour.
        shops = Shops(hash_bits(1, "shop", np.arange(6)), np.zeros(6, dtype=np.int64), 21_650, 0.15)
        counts = hourly_entries(shops, world, MONDAY_MS // DAY_MS + 7 * np.arange(52)).astype(float)
        busy = counts[:, :, 11:18]
        assert busy.mean() == pytest.approx(2184, rel=0.05)
        # About 58, from some 420 Mondays to Thursdays. With 0.69 between successive days they tell of a variance what
        # 420 (1 - 0.69**2) / (1 + 0.69**2) = 149 independent ones do: 12 % of standard error, twice that either way.
        # Where hours are as uneven as the most uneven ones in Auckland (CV .15) it is 99.
        assert 44 < (busy.var(axis=0) / busy.mean(axis=0)).mean() < 105
        # What is left of an hour beside its day's total and Poisson: Melbourne has a CV of .06, Auckland .08 to .15.
        usual = busy.sum(axis=0, keepdims=True) / busy.sum(axis=(0, 2), keepdims=True)
        expected = busy.sum(axis=2, keepdims=True) * usual
        left = np.sqrt((busy / expected).var(axis=(0, 2)) - (1 / expected).mean(axis=(0, 2)))
        assert left.min() > 0.05
        assert left.max() < 0.16
        assert np.ptp(left) > 0.02
        shares = 100 * counts.sum(axis=(0, 1)) / counts.sum()
        # The mall has 11 % of its day before 9 and after 20 h, when shops are closed.
        for hour, share in ((9, 3.2), (13, 12.0), (17, 10.1), (19, 4.8)):
            assert shares[hour] == pytest.approx(share / 0.89, abs=0.7)
        assert shares[:9].sum() + shares[20:].sum() == 0

    @pytest.mark.slow
    @pytest.mark.parametrize("longitude", [0.0, 150.0])
    def test_rain_empties_the_hours_in_which_it_falls(self, longitude: float) -> None:
        # The second shop's clock shows UTC, as that of a site without a time zone does: ten hours from the sun's time.
        world = World.build(5, [Site(name="a", latitude=48.1, longitude=longitude)])
        shops = Shops(hash_bits(1, "shop", np.arange(20)), np.zeros(20, dtype=np.int64), 3000, 0.05)
        days = MONDAY_MS // DAY_MS + 7 * np.arange(40)
        counts = hourly_entries(shops, world, days)[:, :, 9:20].sum(axis=1).astype(float)
        hours = (days[:, None] * DAY_MS + np.arange(9, 20) * HOUR_MS + HOUR_MS // 2).ravel()
        rain = components(world).atmosphere.weather(np.zeros(len(hours), dtype=np.int64), hours).rain.reshape(40, 11)
        relative = counts / counts.mean(axis=0)
        # Within a day, an hour of heavy rain (1) has a fifth less than a dry one; and rainy days have fewer visits.
        within = relative / relative.mean(axis=1, keepdims=True)
        wetter = rain - rain.mean(axis=1, keepdims=True)
        assert wetter.std() > 0.05
        assert np.polyfit(wetter.ravel(), within.ravel(), 1)[0] == pytest.approx(-0.2, abs=0.06)
        assert np.polyfit(rain.mean(axis=1), relative.mean(axis=1), 1)[0] < -0.08


def hourly_entries(shops: Shops, world: World, days: np.ndarray) -> np.ndarray:
    """Entries by day, shop and hour of the day (UTC)."""
    found = []
    for day in days.tolist():
        visits = shops.visits(world, day)
        hour = (visits.entries_ms - day * DAY_MS) // HOUR_MS
        found.append(np.bincount(visits.shops * 24 + hour, minlength=24 * len(shops.keys)).reshape(-1, 24))
    return np.array(found)
