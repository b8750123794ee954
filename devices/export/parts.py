"""Cuts an export into parts that are made side by side: each is a stretch of one day (UTC), and has files of its own.

Where they are cut depends on how much the devices say and on nothing else, so that any number of processes, and exports
of other days of the same scenario, cut at the same times.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

DAY_MS = 86_400_000
PART_ROWS = 500_000
"""About how many readings a part has at the most."""
_PARTS_A_DAY = (1, 2, 3, 4, 6, 8, 12, 24, 48, 96, 144, 288, 720, 1440, 2880, 8640, 17_280, 86_400)


@dataclass(frozen=True, slots=True)
class Part:
    """Names the messages due in [from_ms, to_ms), which are of one day."""

    from_ms: int
    to_ms: int

    @property
    def date(self) -> str:
        """Return its day, as 2026-03-01."""
        return f"{self._begin:%Y-%m-%d}"

    @property
    def time(self) -> str:
        """Return when it begins on that day, as 060000 or 060000.250."""
        milliseconds = self.from_ms % 1000
        return f"{self._begin:%H%M%S}" + (f".{milliseconds:03d}" if milliseconds else "")

    @property
    def name(self) -> str:
        """Return a text that no other part of a data set has."""
        return f"{self.date}T{self.time}"

    @property
    def _begin(self) -> datetime:
        return datetime.fromtimestamp(self.from_ms // 1000, UTC)


def cut_parts(from_ms: int, to_ms: int, rate_per_s: float, part_rows: int = PART_ROWS) -> Iterator[Part]:
    """Yield the parts of [from_ms, to_ms) of devices that say so much, in turn."""
    rows_a_day = rate_per_s * DAY_MS / 1000
    a_day = next((count for count in _PARTS_A_DAY if rows_a_day / count <= part_rows), _PARTS_A_DAY[-1])
    length = DAY_MS // a_day
    at = from_ms
    while at < to_ms:
        end = min((at // length + 1) * length, to_ms)
        yield Part(at, end)
        at = end
