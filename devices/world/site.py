"""A place where devices stand, and its local time."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from pydantic import AfterValidator, Field, StringConstraints

from devices.world.rng import Ints
from edgewire.config import Config
from edgewire.messages.topics import SITE

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
_QUARTER_MS = HOUR_MS // 4
"""Offsets of zones change on quarter hours of UTC at the finest."""


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError("is not a time zone; write a name of the IANA database, such as Europe/Paris") from None
    return name


class Site(Config):
    """A town, plant or shop: devices of one site share weather, roads and customers."""

    name: Annotated[str, StringConstraints(pattern=rf"^{SITE}$")]
    """A level of the devices' topics."""
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    altitude_m: float = Field(default=50, ge=-430, le=9000)
    timezone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    climate: Literal["temperate", "mediterranean", "desert", "tropical", "subarctic"] = "temperate"
    """What the weather outdoors is like; by the latitude, the seasons are the south's in the south."""


def weekday(days: Ints) -> Ints:
    """0 for Monday to 6 for Sunday, of days since 1970-01-01, which was a Thursday."""
    return np.asarray((days + 3) % 7)


class LocalTime:
    """Local wall-clock milliseconds of a zone: UTC plus the offset in force, looked up once a quarter hour of time."""

    def __init__(self, timezone: str) -> None:
        self._zone = ZoneInfo(timezone)
        self._offsets: dict[int, int] = {}

    def of(self, times_ms: Ints) -> Ints:
        """Local milliseconds of these instants; `// DAY_MS` is the local day, `% DAY_MS` the time of day."""
        quarters, inverse = np.unique(times_ms // _QUARTER_MS, return_inverse=True)
        offsets = np.array([self._offset_ms(int(quarter)) for quarter in quarters], dtype=np.int64)
        return np.asarray(times_ms + offsets[inverse])

    def day_starts_ms(self, days: Ints) -> Ints:
        """Instant at which each local day begins (days since 1970-01-01): midnight, or the first of two."""
        as_utc = days * DAY_MS
        start = as_utc - np.maximum(*(self.of(near) - near for near in (as_utc - DAY_MS, as_utc + DAY_MS)))
        # Where clocks change around midnight, which there may be none of (Santiago, Havana), the day begins later.
        while (is_early := self.of(start) // DAY_MS < days).any():
            start = start + is_early * _QUARTER_MS
        return np.asarray(start)

    def _offset_ms(self, quarter: int) -> int:
        known = self._offsets.get(quarter)
        if known is None:
            moment = datetime.fromtimestamp(quarter * 900, UTC).astimezone(self._zone)
            offset = moment.utcoffset()
            assert offset is not None
            known = self._offsets[quarter] = round(offset.total_seconds() * 1000)
        return known
