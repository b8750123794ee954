"""The circuit breaker of one destination. Pure; time is given, in seconds.

Closed: everybody may write. Open: nobody, for a while that grows. Half-open: one lane may write one message, the probe;
what becomes of it closes the breaker or opens it again.
"""

from enum import IntEnum

from bridge.sinks.base import Retry
from edgewire.backoff import Backoff


class State(IntEnum):
    """As the metric has it."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """`permit` before a write, `failed` or `answered` after it."""

    def __init__(self, backoff: Backoff, pause_s: float, open_after: int) -> None:
        """`pause_s` is the wait after an answer that only a person can change, which opens it at once."""
        self._backoff = backoff
        self._pause_s = pause_s
        self._open_after = open_after
        self._failures = 0  # in a row
        self._retries = 0
        self._due = 0.0
        self.state = State.CLOSED
        self.opened = 0
        """How often it went from closed to open."""
        self.reason: str | None = None
        """What the last write failed with; None once one did not."""

    def wait_s(self, now: float) -> float | None:
        """How long until a write may begin; None for not before the probe under way is back."""
        if self.state is State.CLOSED:
            return 0.0
        return max(self._due - now, 0.0) if self.state is State.OPEN else None

    def permit(self, limit: int, now: float) -> int:
        """How many messages the next write may have, 0 for none; of a breaker that is open it is the probe."""
        if self.state is State.CLOSED:
            return limit
        if self.state is State.OPEN and now >= self._due:
            self.state = State.HALF_OPEN
            return 1
        return 0

    def withdraw(self) -> None:
        """Who had the probe has nothing to send after all."""
        if self.state is State.HALF_OPEN:
            self.state = State.OPEN

    def failed(self, trouble: Retry, now: float, uniform: float, *, probe: bool = False) -> None:
        """A write has shown that the destination is in trouble. `uniform` in [0, 1) spreads the next attempt."""
        self._failures += 1
        self.reason = trouble.reason
        if self.state is not State.CLOSED and not probe:
            return  # a write that was under way when it opened
        if self.state is State.CLOSED and self._failures < self._open_after and not trouble.configuration:
            return
        self.opened += self.state is State.CLOSED
        self.state = State.OPEN
        self._due = now + delay_s(trouble, self._backoff, self._pause_s, self._retries, uniform)
        self._retries += 1

    def answered(self, *, well: bool) -> None:
        """A write has shown that the destination works; `well` if it did something with at least one message."""
        self.state = State.CLOSED
        self.reason = None
        self._failures = 0
        if well:
            self._retries = 0


def delay_s(retry: Retry, backoff: Backoff, pause_s: float, retries: int, uniform: float) -> float:
    """The wait before the next attempt, of which there were `retries` before."""
    if retry.configuration:
        return pause_s
    drawn = backoff.delay(retries, uniform)
    return retry.after_s + min(drawn, backoff.base_s) if retry.after_s is not None else drawn
