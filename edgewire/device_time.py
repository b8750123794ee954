"""Maps the time of emulated devices onto that of the wall: one scale, or several, one after the other. Pure.

Where the scale changes while a run goes on, the mapping is piecewise linear, continuous and strictly increasing, so
that every moment of the devices' time has one of the wall's, and the other way round. What devices say hangs on their
time alone; the mapping says only when it is said.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


class DeviceTime:
    """Holds how fast the devices' time passes, since when.

    Devices' times are ms since 1970 UTC; of the wall's time it knows the ms that have passed since the run began.
    """

    def __init__(self, begun_ms: int, scale: float, changes: Iterable[tuple[int, float]] = ()) -> None:
        """Begin at `begun_ms` with `scale`; each of the `changes` is a device time and the scale from then on.

        Raises `ValueError` as `change_scale`.
        """
        self._begins = [begun_ms]
        self._scales = [scale]
        self._elapsed = [0.0]
        for at_ms, one in changes:
            self.change_scale(at_ms, one)

    def change_scale(self, at_ms: int, scale: float) -> None:
        """Let time pass at another scale as of `at_ms`. Raises `ValueError` where that is before the last change."""
        if at_ms < self._begins[-1]:
            raise ValueError(f"{at_ms} is before {self._begins[-1]}, when the scale was changed last")
        if not scale > 0:
            raise ValueError(f"{scale} is no scale: time passes forwards")
        elapsed_ms = self.elapsed_ms(at_ms)
        self._begins.append(at_ms)
        self._scales.append(scale)
        self._elapsed.append(elapsed_ms)

    @property
    def changes(self) -> Sequence[tuple[int, float]]:
        """Return the changes since the run began: device time, scale."""
        return list(zip(self._begins[1:], self._scales[1:], strict=True))

    @property
    def count(self) -> int:
        """Return how many changes there are."""
        return len(self._begins) - 1

    @property
    def fastest(self) -> float:
        """Return the greatest of the scales."""
        return max(self._scales)

    @property
    def last_scale(self) -> float:
        """Return the scale that holds in the end."""
        return self._scales[-1]

    def scale_at(self, device_ms: int) -> float:
        """Return how fast time passes from a device time on."""
        return self._scales[max(0, bisect_right(self._begins, device_ms) - 1)]

    def next_change_ms(self, device_ms: int) -> int | None:
        """Return when the scale changes first after a device time; None where it does not."""
        place = bisect_right(self._begins, device_ms)
        return self._begins[place] if place < len(self._begins) else None

    def elapsed_ms(self, device_ms: int) -> float:
        """Return how long of the wall's time after the run's begin a device time is; before it, less than 0."""
        place = max(0, bisect_right(self._begins, device_ms) - 1)
        return self._elapsed[place] + (device_ms - self._begins[place]) / self._scales[place]

    def all_elapsed_ms(self, device_ms: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the same of many."""
        place = np.maximum(0, np.searchsorted(self._begins, device_ms, side="right") - 1)
        begins, scales, elapsed = (np.array(one) for one in (self._begins, self._scales, self._elapsed))
        found: NDArray[np.float64] = elapsed[place] + (device_ms - begins[place]) / scales[place]
        return found

    def device_ms(self, elapsed_ms: float) -> int:
        """Return the device time after so long of the wall's time since the run's begin."""
        place = max(0, bisect_right(self._elapsed, elapsed_ms) - 1) if len(self._begins) > 1 else 0
        return self._begins[place] + round((elapsed_ms - self._elapsed[place]) * self._scales[place])
