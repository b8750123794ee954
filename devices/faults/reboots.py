"""Reboots from the calendar, as functions of the time: when a device is down, and when its last boot began.

A boot is named by the second (since 2000) in which it begins, as the first one is, so it can be told for any moment
without counting the boots before it.
"""

from collections.abc import Sequence

import numpy as np

from devices.faults.assigned import AssignedFault, Bools
from devices.faults.connection_faults import Reboot
from devices.faults.schedule import NEVER_MS
from devices.world.random import Ints


class RebootSchedule:
    """The reboots of one kind of device, since `since_ms`, when the devices were powered on."""

    def __init__(self, seed: int, reboots: Sequence[AssignedFault], since_ms: int) -> None:
        self._seed = seed
        self._reboots = reboots
        self._since_ms = since_ms

    def is_down(self, positions: Ints, times: Ints) -> Bools:
        """Whether each device is resetting at each time."""
        down = np.zeros(len(times), dtype=np.bool_)
        for placed in self._reboots:
            rows = np.flatnonzero(placed.has[positions])
            windows = placed.schedule.at(self._seed, placed.stream, placed.keys[positions[rows]], times[rows])
            down[rows] |= windows.holds(times[rows])
        return down

    def last(self, positions: Ints, times: Ints) -> Ints:
        """When the last boot of each device by each time began; `NEVER_MS` where that was at power-on."""
        found = np.full(len(times), NEVER_MS)
        for placed in self._reboots:
            rows = np.flatnonzero(placed.has[positions])
            ends = self._ends(placed, positions[rows], times[rows])
            found[rows] = np.maximum(found[rows], ends)
        return found

    def reason(self, position: int, booted_ms: int) -> str:
        """Why a device began the boot at that moment."""
        where, when = np.array([position]), np.array([booted_ms])
        for placed in self._reboots:
            if placed.has[position] and self._ends(placed, where, when)[0] == booted_ms:
                assert isinstance(placed.fault, Reboot)
                return placed.fault.reason
        return "power_on"

    def _ends(self, placed: AssignedFault, positions: Ints, times: Ints) -> Ints:
        keys = placed.keys[positions]
        return placed.schedule.last_end(self._seed, placed.stream, keys, times, self._since_ms)
