"""Lets devices leave a fleet that goes on: each hands in what it has, says goodbye, and is gone."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from devices.fleet.device_client import DeviceClient
from devices.fleet.shutdown import GRACE_S, POLL_S


class Departures:
    """Holds the devices that are about to leave; `on_gone` is told of each that has."""

    def __init__(self, monotonic_s: Callable[[], float], on_gone: Callable[[DeviceClient], None]) -> None:
        self._monotonic_s = monotonic_s
        self._on_gone = on_gone
        # When each leaves though it has not handed in everything.
        self._deadlines: dict[DeviceClient, float] = {}
        self._changed = asyncio.Event()

    def begin(self, clients: Sequence[DeviceClient]) -> None:
        """Let devices hand in what they have: they measure no more."""
        for client in clients:
            client.begin_leave()
            self._deadlines[client] = self._monotonic_s() + GRACE_S
        self._changed.set()

    async def run_departures(self) -> None:
        """See off those that are ready, until cancelled."""
        while True:
            self._changed.clear()
            now_s = self._monotonic_s()
            for client, deadline_s in list(self._deadlines.items()):
                if not client.is_retired and (client.is_drained or now_s >= deadline_s):
                    client.retire()
                if client.is_gone:
                    del self._deadlines[client]
                    self._on_gone(client)
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S if self._deadlines else None):
                    await self._changed.wait()
