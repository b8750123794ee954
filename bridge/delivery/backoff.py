"""The circuit breaker of one destination. Pure; time is given, in seconds.

Closed: everybody may write. Open: nobody, for a while that grows. Half-open: one lane may write one message, the probe;
what becomes of it closes the breaker or opens it again.
"""

from bridge.sinks.base import Retry
from edgewire.backoff import Backoff


def delay_s(retry: Retry, backoff: Backoff, pause_s: float, retries: int, uniform: float) -> float:
    """The wait before the next attempt, of which there were `retries` before."""
    if retry.needs_operator:
        return pause_s
    drawn = backoff.delay(retries, uniform)
    return retry.after_s + min(drawn, backoff.base_s) if retry.after_s is not None else drawn
