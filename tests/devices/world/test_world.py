"""Sites and local time: one world that all devices share."""

import numpy as np
import pytest
from pydantic import ValidationError

from devices.world.world import DAY_MS, HOUR_MS, LocalTime, Site, World
from edgewire.clock import parse_ms

MONDAY_MS = parse_ms("2026-03-02T00:00:00Z")


def site(name: str, latitude: float, longitude: float) -> Site:
    return Site(name=name, latitude=latitude, longitude=longitude)


def at(world: World, index: int, times: np.ndarray) -> np.ndarray:
    return np.full(len(times), index)


def test_local_time_follows_daylight_saving() -> None:
    paris = LocalTime("Europe/Paris")
    winter, summer = parse_ms("2026-03-29T00:59:59Z"), parse_ms("2026-03-29T01:00:00Z")
    assert (paris.from_utc(np.array([winter, summer])) - [winter, summer]).tolist() == [HOUR_MS, 2 * HOUR_MS]


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2026-07-01", "2026-12-31"])
def test_days_begin_at_local_midnight(day: str) -> None:
    paris = LocalTime("Europe/Paris")
    number = parse_ms(day) // DAY_MS
    start = paris.day_starts_ms(np.array([number]))
    assert paris.from_utc(start).tolist() == [number * DAY_MS]


@pytest.mark.parametrize(
    "zone", ["America/Santiago", "America/Havana", "Africa/Cairo", "Asia/Beirut", "Antarctica/Vostok", "Pacific/Apia"]
)
def test_a_day_begins_with_its_first_instant_where_clocks_change_at_midnight(zone: str) -> None:
    local = LocalTime(zone)
    days = parse_ms("2023-01-01") // DAY_MS + np.arange(3 * 365)
    starts = local.day_starts_ms(days)
    assert (local.from_utc(starts) // DAY_MS == days).all()
    assert (local.from_utc(starts - 1) // DAY_MS == days - 1).all()


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="is not a time zone"):
        Site(name="x", latitude=0, longitude=0, timezone="Mars/Olympus")
