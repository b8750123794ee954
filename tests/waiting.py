"""Waits for what a test has begun: as long as a busy machine may need, and names what did not come."""

import asyncio
import time
from collections.abc import Callable

PATIENCE_S = 90.0
"""Ten times what the slowest of them takes on a machine with nothing else to do."""


def until(condition: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Block until `condition` holds. Raises `TimeoutError` that says `what` did not come."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"did not happen within {timeout_s:g} s: {what}")
        time.sleep(0.02)


async def eventually(condition: Callable[[], bool], what: str = "", timeout_s: float = PATIENCE_S) -> None:
    """Let the loop run until `condition` holds. Raises `TimeoutError` that says `what` did not come."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"did not happen within {timeout_s:g} s: {what}")
        await asyncio.sleep(0.002)
