"""What a person, a supervisor or a signal asks of a bridge that runs."""

import asyncio
from collections.abc import Callable

from bridge.config import BridgeConfig


class Orders:
    """Events to set. `reread` gives the configuration of a reload; it raises `ConfigError`."""

    def __init__(self, stop: asyncio.Event, reread: Callable[[], BridgeConfig] | None = None) -> None:
        self.stop = stop
        """End in order: the broker keeps the session, and queues."""
        self.reload = asyncio.Event()
        """Go on with the configuration as it is in its file now."""
        self.drain = asyncio.Event()
        """Deliver everything, end the session, and end."""
        self.reread = reread

    async def next(self) -> str:
        """The next order but `stop`: "drain" or "reload"."""
        waiting = {asyncio.create_task(event.wait()) for event in (self.reload, self.drain)}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        if self.drain.is_set():
            return "drain"
        self.reload.clear()
        return "reload"
