"""Holds the parts of a fleet: the devices of the start, and those that came together later, each with its timeline."""

import asyncio
import math
from collections.abc import Iterator

from devices.faults.labels import Label
from devices.fleet.device_client import DeviceClient
from devices.fleet.latency import Histogram
from devices.fleet.part import FleetPart


class FleetParts:
    """Runs the parts side by side, in one time."""

    def __init__(self, first: FleetPart) -> None:
        self._parts = [first]
        # Of the devices that came later.
        self._part_of: dict[DeviceClient, FleetPart] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._stop = asyncio.Event()
        self._began = 0.0
        self._duration_s = math.inf

    def __iter__(self) -> Iterator[FleetPart]:
        return iter(self._parts)

    @property
    def is_running(self) -> bool:
        """Return whether readings are emitted, and others may join."""
        return self._tasks is not None and not self._stop.is_set()

    @property
    def emitted(self) -> int:
        """Return how many readings were emitted."""
        return sum(part.emitted for part in self._parts)

    @property
    def computed_until_ms(self) -> int:
        """Return the devices' time before which everything is computed, or being computed, in every part."""
        return max(part.pacer.computed_until_ms for part in self._parts)

    def have_reached(self, at_ms: int) -> bool:
        """Return whether everything due before a device time is computed, or being computed, in every part."""
        return all(part.has_reached(at_ms) for part in self._parts)

    def pass_barrier(self, at_ms: int) -> None:
        """Let every part go on beyond a device time."""
        for part in self._parts:
            part.pacer.pass_barrier(at_ms)

    def lag(self) -> Histogram:
        """Return how late messages were handed to their connections."""
        lag = Histogram()
        for part in self._parts:
            lag.merge(part.pacer.lag)
        return lag

    def labels(self) -> list[Label]:
        """Return the ground truth of what was emitted so far: the faults that show in it."""
        if len(self._parts) == 1:
            return self._parts[0].labels()
        labels = [label for part in self._parts for label in part.labels()]
        return sorted(labels, key=lambda label: (label.start_ms, label.device_id))

    def part_with(self, client: DeviceClient) -> FleetPart:
        """Return the part that a device belongs to."""
        return self._part_of.get(client, self._parts[0])

    def add_part(self, part: FleetPart) -> None:
        """Let one more part run."""
        assert self._tasks is not None, "only while the others run"
        self._parts.append(part)
        for client in part.clients:
            self._part_of[client] = self._part_of[client.carrier] = part
        self._begin(self._tasks, part)

    async def run_parts(self, began: float, duration_s: float, stop: asyncio.Event) -> None:
        """Emit from the event loop's time `began`, for `duration_s`, until `stop` is set or none has more to say."""
        self._began, self._duration_s, self._stop = began, duration_s, stop
        try:
            # It waits for those that join meanwhile, too.
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for part in self._parts:
                    self._begin(tasks, part)
        finally:
            self._tasks = None

    def _begin(self, tasks: asyncio.TaskGroup, part: FleetPart) -> None:
        tasks.create_task(part.run_part(self._began, self._duration_s, self._stop), name="part")
