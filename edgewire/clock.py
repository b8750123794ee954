"""Makes time an argument: who needs it takes a `Clock`, so a test can move it.

Instants on the wire and in the world are whole milliseconds since 1970 UTC (`int`): they compare exactly,
and the same reading has the same bytes wherever it is computed.
"""

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

FIRST_MS = -62_135_596_800_000
LAST_MS = 253_402_300_799_999
"""The years 1 to 9999, which is as far as ISO 8601 with four digits goes."""


class Clock(Protocol):
    """Tells the time of the day, and a monotonic time for durations."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970 UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back."""
        ...


class SystemClock:
    """Reads the machine's own clocks."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970 UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back."""
        return time.monotonic()


def iso_ms(instant_ms: int) -> str:
    """Return ISO 8601 UTC with milliseconds, as every timestamp on the wire: `2026-03-01T12:00:00.000Z`."""
    return f"{_iso_second(instant_ms // 1000)}.{instant_ms % 1000:03d}Z"


@lru_cache(4096)
def _iso_second(instant_s: int) -> str:
    """Return a whole second; those of now are asked for again and again."""
    return f"{datetime.fromtimestamp(instant_s, UTC):%Y-%m-%dT%H:%M:%S}"


def parse_ms(text: str) -> int:
    """Return milliseconds since 1970 UTC of an ISO 8601 text; a text without an offset is UTC.

    Raises `ValueError` for anything else.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
