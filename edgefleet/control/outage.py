"""Takes the broker that came with the run away for a while."""

import asyncio
from contextlib import suppress

from edgefleet.embedded import Broker
from edgewire.errors import ServiceUnavailable


class BrokerOutages:
    """Stops an embedded broker and has it come back; one outage at a time."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._task: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    @property
    def is_under_way(self) -> bool:
        """Return whether the broker is away."""
        return self._task is not None and not self._task.done()

    @property
    def name(self) -> str:
        """Return which broker it is."""
        return self._broker.name

    async def begin(self, seconds: float) -> "asyncio.Task[None]":
        """Take it away; return what ends when it is back, with `ServiceUnavailable` where it does not come."""
        self._over.clear()
        stopping = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._stop_and_start(seconds, stopping), name="broker outage")
        await stopping
        return self._task

    async def end_now(self) -> None:
        """Have it back, where it is away."""
        self._over.set()
        if self._task is not None:
            with suppress(ServiceUnavailable):
                await self._task

    async def _stop_and_start(self, seconds: float, stopped: "asyncio.Future[None]") -> None:
        await asyncio.to_thread(self._broker.terminate)
        stopped.set_result(None)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
        await asyncio.to_thread(self._broker.start)
