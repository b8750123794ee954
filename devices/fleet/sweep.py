"""The regular round over all devices: keep-alive pings, and the counts that are too dear to keep up to date.

It goes a few devices at a time, spread over the round, so that no message waits for it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from devices.fleet.connection import DeviceConnection

SLICE = 200


@dataclass(slots=True)
class Gauges:
    """Sums over all devices."""

    connected: int = 0
    inflight: int = 0
    buffered: int = 0
    stalled: int = 0
    dropped: int = 0
    reconnects: int = 0

    def add(self, connection: DeviceConnection) -> None:
        """Count one device."""
        outbox = connection.firmware.outbox
        if connection.is_online:
            self.connected += 1
            self.stalled += len(outbox)
        self.inflight += connection.session.inflight
        self.buffered += len(outbox)
        self.dropped += connection.firmware.dropped
        self.reconnects += max(0, connection.reconnects)


class Sweep:
    """Goes over the devices once every `period_s`; `gauges` are those of the last whole round."""

    def __init__(self, connections: Sequence[DeviceConnection], period_s: float) -> None:
        self._connections = connections
        self._period_s = period_s
        self.gauges = Gauges()

    async def run(self) -> None:
        """Go round until cancelled."""
        starts = range(0, len(self._connections), SLICE)
        pause_s = self._period_s / max(1, len(starts))
        while True:
            gauges = Gauges()
            for start in starts:
                for connection in self._connections[start : start + SLICE]:
                    connection.tick()
                    gauges.add(connection)
                await asyncio.sleep(pause_s)
            self.gauges = gauges

    def count(self) -> Gauges:
        """The gauges as they are now; takes long where there are many devices."""
        gauges = Gauges()
        for connection in self._connections:
            gauges.add(connection)
        self.gauges = gauges
        return gauges
