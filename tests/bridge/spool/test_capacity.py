"""When the spool is full, and what the broker can hold then."""

from pathlib import Path

import pytest

from bridge.spool.capacity import BrokerQueueForecast, CapacityLimit
from bridge.spool.config import SpoolConfig


def test_the_limits(tmp_path: Path) -> None:
    limits = CapacityLimit(SpoolConfig(path=tmp_path / "spool.db", max_bytes=100_000, max_age="1h"))
    assert limits.check(99_999, None, 0) is None
    assert limits.check(100_000, None, 0) == "the spool holds 100,000 bytes and is full"
    assert limits.check(96_000, None, 0)  # not before there is some room
    assert limits.check(94_000, None, 0) is None
    assert limits.check(0, 1000, 3_601_000) is None
    assert limits.check(0, 1000, 9_001_000) == "a message has been in the spool for 2 h, spool.max_age is less"
    assert limits.check(0, 9_000_000, 9_001_000) is None


def test_what_the_broker_can_hold_is_told_from_the_rate_before() -> None:
    forecast = BrokerQueueForecast(30_000)
    for second in range(100):
        forecast.record_commit(500, False, second)
    assert forecast.seconds_left(100) is None
    assert forecast.describe(100, 7200) == (
        "the broker queues 30,000 messages; it keeps the session for 2 h after a disconnection"
    )
    forecast.record_commit(0, True, 100)
    assert forecast.seconds_left(100) == pytest.approx(60, rel=0.05)
    forecast.record_commit(0, True, 120)
    assert forecast.seconds_left(120) == pytest.approx(40, rel=0.05)
    assert forecast.seconds_left(1000) == 0
    assert "lasts about 40 s more at 500 messages a second" in forecast.describe(120, 60)
    forecast.record_commit(10, False, 130)
    assert forecast.seconds_left(130) is None
    assert "set spool.broker_queue" in BrokerQueueForecast(None).describe(0, 60)
