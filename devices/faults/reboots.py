"""Reboots from the calendar, as functions of the time: when a device is down, and when its last boot began.

A boot is named by the second (since 2000) in which it begins, as the first one is, so it can be told for any moment
without counting the boots before it.
"""

from collections.abc import Sequence

import numpy as np

from devices.faults.assigned import AssignedFault
from devices.faults.schedule import NEVER_MS
from devices.world.random import Flags, Ints


class RebootSchedule:
    """The reboots of one kind of device, since `since_ms`, when the devices were powered on."""

    def __init__(self, reboots: Sequence[AssignedFault], since_ms: int) -> None:
        self._reboots = reboots
        self._since_ms = since_ms

    def is_down(self, positions: Ints, times: Ints) -> Flags:
        """Return whether each device is resetting at each time."""
        down = np.zeros(len(times), dtype=np.bool_)
        for assigned in self._reboots:
            down |= assigned.is_there(positions, times)
        return down

    def last_reboot_ms(self, positions: Ints, times: Ints) -> Ints:
        """Return when the last boot of each device by each time began; `NEVER_MS` where that was at power-on."""
        found = np.full(len(times), NEVER_MS)
        for assigned in self._reboots:
            rows = np.flatnonzero(assigned.has[positions])
            ends = assigned.last_end(positions[rows], times[rows], self._since_ms)
            found[rows] = np.maximum(found[rows], ends)
        return found

    def reset_reason(self, position: int, booted_ms: int) -> str:
        """Return why a device began the boot at that moment."""
        where, when = np.array([position]), np.array([booted_ms])
        for assigned in self._reboots:
            reason = assigned.fault.reset_reason
            if assigned.has[position] and assigned.last_end(where, when, self._since_ms)[0] == booted_ms and reason:
                return reason
        return "power_on"
