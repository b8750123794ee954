"""Waits for what a test has begun: as long as a busy machine may need, and names what did not come."""

import asyncio
import time
from collections.abc import Callable

PATIENCE_S = 90.0
"""Less than the limit of a test, 120 s, so that what did not come is named and not the limit alone."""


def until(condition: Callable[[], object], what: str = "", timeout_s: float = PATIENCE_S) -> None:
    """Block until `condition` holds. Raises `TimeoutError` that says `what` did not come."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(_complaint(what, timeout_s))
        time.sleep(0.02)


async def eventually(condition: Callable[[], object], what: str = "", timeout_s: float = PATIENCE_S) -> None:
    """Let the loop run until `condition` holds. Raises `TimeoutError` that says `what` did not come."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(_complaint(what, timeout_s))
        await asyncio.sleep(0.002)


def _complaint(what: str, timeout_s: float) -> str:
    return f"did not happen within {timeout_s:g} s" + (f": {what}" if what else "")
