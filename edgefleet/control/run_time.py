"""Knows the devices' time of a run that is controlled, as all its processes do, and waits for moments of it."""

import asyncio
from collections.abc import Callable, Sequence

from edgewire.clock import Clock, iso_ms
from edgewire.device_time import DeviceTime

START_LOOK_S = 0.05
LONGEST_WAIT_S = 1.0
"""Time may come to pass at another scale meanwhile."""
LEAD_S = 3.0
"""So far ahead another scale is announced: devices are computed up to two seconds ahead, and all processes have to know
of it before."""


class RunTime:
    """Holds when the run has begun, in the wall's time and the devices', and how fast the latter passes."""

    def __init__(self, scale: float, started_ms: Callable[[], int | None], from_ms: int | None, clock: Clock) -> None:
        """Begin with a scale; `started_ms` is None until it is known, `from_ms` where theirs begins with the wall's."""
        self._scale = scale
        self._started_ms = started_ms
        self._from_ms = from_ms
        self._clock = clock
        self._changes: list[tuple[int, float]] = []

    @property
    def changes(self) -> Sequence[tuple[int, float]]:
        """Return the changes of the scale so far: device time, scale."""
        return self._changes

    @property
    def scale(self) -> float:
        """Return how fast time passes now."""
        return self._mapping.scale_at(self.now_ms())

    @property
    def last_scale(self) -> float:
        """Return how fast it passes once all that is announced holds."""
        return self._mapping.last_scale

    @property
    def begun_ms(self) -> int:
        """Return the devices' time at which the run has begun."""
        return (self._started_ms() or self._clock.now_ms()) if self._from_ms is None else self._from_ms

    @property
    def _mapping(self) -> DeviceTime:
        return DeviceTime(self.begun_ms, self._scale, self._changes)

    def now_ms(self) -> int:
        """Return the devices' time now."""
        now_ms = self._clock.now_ms()
        return self._mapping.device_ms(now_ms - (self._started_ms() or now_ms))

    async def wait_for(self, at_ms: int, ahead_s: float) -> None:
        """Wait until so long a time of the devices has passed since the run began, less so many seconds of the wall."""
        while True:
            started_ms, now_ms = self._started_ms(), self._clock.now_ms()
            if started_ms is None:
                await asyncio.sleep(START_LOOK_S)
                continue
            left_s = (started_ms + self._mapping.elapsed_ms(self.begun_ms + at_ms) - now_ms) / 1000 - ahead_s
            if left_s <= 0:
                return
            await asyncio.sleep(min(left_s, LONGEST_WAIT_S))

    def change_scale(self, scale: float, moment_ms: int | None) -> int:
        """Let time pass at another scale as of a moment, or a little ahead of now; return the moment.

        Raises `ValueError` where that is before a change that is announced already.
        """
        last_ms = self._changes[-1][0] if self._changes else self.begun_ms
        if moment_ms is None:
            now_ms = self.now_ms()
            moment_ms = max(now_ms + round(LEAD_S * 1000 * self._mapping.scale_at(now_ms)), last_ms)
        if moment_ms < last_ms:
            raise ValueError(f"the time scale changes at {iso_ms(last_ms)} already: a change before is too late")
        self._changes.append((moment_ms, scale))
        return moment_ms
