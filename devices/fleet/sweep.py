"""The regular round over all devices: keep-alive pings, and the counts that are too dear to keep up to date.

It goes a few devices at a time, spread over the round, so that no message waits for it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from devices.fleet.connection import DeviceConnection

SLICE = 200
LARGEST_SLICE = 2000


@dataclass(slots=True)
class Gauges:
    """Sums over all devices."""

    connected: int = 0
    resting: int = 0
    inflight: int = 0
    buffered: int = 0
    stalled: int = 0
    dropped: int = 0
    reconnects: int = 0

    def add(self, connection: DeviceConnection) -> None:
        """Count one device."""
        firmware = connection.firmware
        waiting = len(firmware.outbox)
        if connection.is_online:
            self.connected += 1
            if waiting and connection.is_stalled:
                self.stalled += waiting
        elif connection.is_resting:
            self.resting += 1
        self.inflight += connection.session.inflight
        self.buffered += waiting
        self.dropped += firmware.dropped
        self.reconnects += max(0, connection.reconnects)


class Sweep:
    """Goes over the devices once every `period_s`; `gauges` are those of the last whole round."""

    def __init__(self, connections: Sequence[DeviceConnection], period_s: float) -> None:
        self._connections = connections
        self._period_s = period_s
        self.gauges = Gauges()

    async def run(self) -> None:
        """Go round until cancelled."""
        loop = asyncio.get_running_loop()
        everyone = self._connections
        pause_s = self._period_s * min(1.0, SLICE / max(1, len(everyone)))
        while True:
            began, done, gauges = loop.time(), 0, Gauges()
            while done < len(everyone):
                await asyncio.sleep(pause_s)
                # A busy loop wakes us late: then more of them at once, or the round would never end.
                due = round((loop.time() - began) / self._period_s * len(everyone))
                stop = max(done + 1, min(due, done + LARGEST_SLICE))
                for connection in everyone[done:stop]:
                    connection.tick()
                    gauges.add(connection)
                done = stop
            self.gauges = gauges
            if not everyone:
                await asyncio.sleep(self._period_s)

    def count(self) -> Gauges:
        """The gauges as they are now; takes long where there are many devices."""
        gauges = Gauges()
        for connection in self._connections:
            gauges.add(connection)
        self.gauges = gauges
        return gauges
