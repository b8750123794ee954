"""Computes the wait before another attempt: exponential backoff with full jitter, or as the answer says. Pure."""

from bridge.sinks.base import Retry
from edgewire.backoff import Backoff


def delay_s(retry: Retry, backoff: Backoff, pause_s: float, retries: int, uniform: float) -> float:
    """Return the wait before the next attempt, of which there were `retries` before; `uniform` in [0, 1) spreads it."""
    if retry.needs_operator:
        return pause_s
    drawn = backoff.delay(retries, uniform)
    return retry.after_s + min(drawn, backoff.base_s) if retry.after_s is not None else drawn
