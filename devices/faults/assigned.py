"""A fault of the calendar among the devices of a timeline."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.faults.base import Fault
from devices.faults.schedule import FaultSchedule
from devices.world.random import Hashes
from devices.world.world import World

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class AssignedFault:
    """One fault of the calendar, and whom of this timeline it befalls."""

    fault: Fault
    type: str
    stream: str
    schedule: FaultSchedule
    has: Bools
    """By position in the timeline."""
    keys: Hashes
    """What its random windows are drawn by, likewise."""
    worlds: tuple[World, World] | None = None
    """Of a burst: the world without it, and with it."""
