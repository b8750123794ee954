"""Waits for what must come: what did not is a failed assertion, and has no second try as a time-out has."""

import time
from collections.abc import Callable

from tests.waiting import PATIENCE_S


def until(condition: Callable[[], bool], what: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Block until `condition` holds. Raises `AssertionError` that says `what()`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what()}"
        time.sleep(0.1)
