"""Days of vehicles as they are drawn: when each trip begins, where it leads, and how long it is wished to take."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from devices.world.random import Floats, Ints

TRIPS_A_DAY = 28
"""Numbers of trips that a day has; the last is never driven."""
DAY_BEGINS_H = 4
"""Local time, as in travel surveys."""
NEVER_MS = 1 << 30
"""After the end of any day, and within 32 bits."""


SNOW_SLOWS = 0.55
"""By how much longer a trip takes through deep snow, in which vehicles drive at two thirds of their speed."""


class DayConditions(NamedTuple):
    """Tells of the snow and the event in town on some days, a row each."""

    snow_at: Callable[[Floats], Floats]
    """Returns how much snow lies on the roads at an hour of local time of each: 0 none, 1 as much as slows."""
    event_size: Floats
    """Beside a usual event; 0 where there is none."""
    event_begins_h: Floats
    """Hour of local time."""
    event_ends_h: Floats


@dataclass(frozen=True, slots=True)
class DrawnDays:
    """Hold days of vehicles, a row each; a trip that is not driven never begins, and leads nowhere.

    Those that are driven stand first, the last trip of a day is never driven, and who drives no more stays where he is.
    """

    begins_ms: Ints
    """When the time of each trip begins, after that of the day."""
    nodes: Ints
    """Where each begins, and where the last ends."""
    wished_s: Floats
    """How long each is wished to take on free roads."""

    @classmethod
    def without_trips(cls, places: Ints) -> "DrawnDays":
        """Return the days of vehicles that stand at these nodes."""
        return cls(
            np.full((len(places), TRIPS_A_DAY), NEVER_MS, dtype=np.int64),
            np.repeat(places[:, None], TRIPS_A_DAY + 1, axis=1),
            np.zeros((len(places), TRIPS_A_DAY)),
        )

    def set(self, rows: Ints, days: "DrawnDays") -> None:
        """Put days in the place of these rows."""
        self.begins_ms[rows], self.nodes[rows], self.wished_s[rows] = days.begins_ms, days.nodes, days.wished_s
