"""Reads the times of recorded rows: ISO 8601 with an offset or in a time zone, and numbers since 1970."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

_MICROSECONDS, _NANOSECONDS, _MILLISECONDS = 1e14, 1e17, 1e11
"""From which size on a number is of these: as seconds it would be of the year 5138, as ms the same, and so on."""
_EARLIEST_MS, _LATEST_MS = -2_208_988_800_000, 4_102_444_800_000  # 1900, 2100


def time_divisor(value: float) -> float:
    """Return by what a number since 1970 is divided to be milliseconds."""
    size = abs(value)
    if size >= _NANOSECONDS:
        return 1e6
    if size >= _MICROSECONDS:
        return 1e3
    return 1.0 if size >= _MILLISECONDS else 1e-3


def read_time_ms(value: Any, zone: ZoneInfo | None) -> int:
    """Return a time as ms since 1970 UTC; raises `ValueError` with what is wrong."""
    found = _number(value)
    if found is None:
        text = str(value).strip()
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            said = "is no time: write ISO 8601, such as 2026-03-01T12:00:00Z, or a number since 1970"
            raise ValueError(f"'{text[:40]}' {said}") from None
        if moment.tzinfo is None:
            if zone is None:
                raise ValueError(f"'{text[:40]}' has no offset: write timezone: and its zone, or UTC, under replay")
            moment = moment.replace(tzinfo=zone)
        return check_time(round(moment.timestamp() * 1000))
    if not abs(found) < float("inf"):
        raise ValueError(f"'{str(value)[:40]}' is no time")
    return check_time(round(found / time_divisor(found)))


def check_time(time_ms: int) -> int:
    """Return the time; raises `ValueError` where it is not of this century or the last."""
    if not _EARLIEST_MS <= time_ms <= _LATEST_MS:
        raise ValueError("is no time between 1900 and 2100")
    return time_ms


def _number(value: Any) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
