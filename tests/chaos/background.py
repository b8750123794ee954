"""An event loop in a thread of its own: the proxies and the HTTP front run there, while a run blocks as it likes."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

Result = TypeVar("Result")


class Background:
    """A loop for the length of a `with` block."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-loop", daemon=True)

    def wait(self, work: Coroutine[Any, Any, Result], timeout_s: float = 20) -> Result:
        """Run a coroutine there and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def do(self, work: Callable[[], Result]) -> Result:
        """Call a function there, between two events, and wait for its result."""

        async def call() -> Result:
            return work()

        return self.wait(call())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.wait(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
