"""Decides when the spool is full, and tells how long the broker can hold what it then may not send. Pure."""

from collections import deque

from bridge.spool.config import SpoolConfig
from edgewire.config import humanize_duration

_REOPEN_SHARE = 0.95
"""A full spool takes messages again below this share of its limit."""

_RATE_S = 60.0
"""Over so long the rate is taken."""


class CapacityLimit:
    """Says whether nothing more may be taken in, and why: too many bytes, or too old a message."""

    def __init__(self, config: SpoolConfig) -> None:
        self._config = config
        self.full: str | None = None
        """Why the spool takes nothing; None when it does."""

    def configure(self, config: SpoolConfig) -> None:
        """Go on with other limits."""
        self._config = config

    def check(self, used_bytes: int, oldest_ms: int | None, now_ms: int) -> str | None:
        """Bring `full` up to date and return it."""
        config = self._config
        limit = config.max_bytes * _REOPEN_SHARE if self.full else config.max_bytes
        age_ms = 0 if oldest_ms is None else now_ms - oldest_ms
        if used_bytes >= limit:
            self.full = f"the spool holds {used_bytes:,} bytes and is full"
        elif config.max_age is not None and age_ms > config.max_age:
            self.full = f"a message has been in the spool for {humanize_duration(age_ms / 1000)}, spool.max_age is less"
        else:
            self.full = None
        return self.full


class BrokerQueueForecast:
    """Tells how long the broker's queue lasts, from the rate at which messages came before they were stopped."""

    def __init__(self, queue: int | None) -> None:
        """Take how many messages the broker queues for us, if that is known."""
        self.queue = queue
        self._seen: deque[tuple[float, int]] = deque()
        self._stopped: tuple[float, float] | None = None  # when, and the rate until then

    def record_commit(self, messages: int, full: bool, now: float) -> None:
        """Note that so many messages were committed at `now`, and whether the spool is full after it."""
        if messages:
            self._seen.append((now, messages))
        while self._seen and self._seen[0][0] < now - _RATE_S:
            self._seen.popleft()
        if not full:
            self._stopped = None
        elif self._stopped is None:
            self._stopped = (now, self._rate(now))

    def seconds_left(self, now: float) -> float | None:
        """Return the time until the broker begins to drop; None where it is not known or nothing is stopped."""
        if self._stopped is None or self.queue is None or not self._stopped[1]:
            return None
        since, rate = self._stopped
        return max(0.0, self.queue / rate - (now - since))

    def describe(self, now: float, session_expiry_s: float) -> str:
        """Say what the broker can do for us, for people."""
        left = self.seconds_left(now)
        expiry = f"it keeps the session for {humanize_duration(session_expiry_s)} after a disconnection"
        if left is not None and self._stopped:
            rate = f"{self._stopped[1]:,.0f} messages a second"
            return f"the broker's queue lasts about {humanize_duration(left)} more at {rate}; {expiry}"
        if self.queue is not None:
            return f"the broker queues {self.queue:,} messages; {expiry}"
        return f"set spool.broker_queue to the broker's limit to see how long that lasts; {expiry}"

    def _rate(self, now: float) -> float:
        if not self._seen:
            return 0.0
        return sum(messages for _, messages in self._seen) / max(now - self._seen[0][0], 1.0)
