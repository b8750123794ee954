"""Tells when to ping, and when silence means that the connection is dead. Times are seconds of the caller's clock."""

from math import inf

_PING_AT = 0.9  # of the keep alive: a caller that ticks a little late still keeps the promise made in CONNECT


class KeepAlive:
    """Watches both directions, as the two ends of a half-open connection fail apart.

    What we sent keeps the server's timer from firing; what we heard shows that it is there. A publisher of QoS 0 that
    only ever sends would otherwise never learn that nobody is listening.
    """

    __slots__ = ("_asked", "_heard", "_interval_s", "_listening", "patience_s", "sent")

    def __init__(self) -> None:
        self.sent = 0.0
        self._heard = 0.0
        self._asked: float | None = None
        self._interval_s = 0
        self.patience_s = 0.0
        self._listening = True

    def start(self, now: float, patience_s: float) -> None:
        """Begin with CONNECT: an answer is due within `patience_s`."""
        self.sent = self._heard = self._asked = now
        self._interval_s = 0
        self.patience_s = patience_s
        self._listening = True

    def start_pinging(self, interval_s: int) -> None:
        """Ping from CONNACK on, unless `interval_s` is 0."""
        self._interval_s = interval_s
        # A second ping must not come late because we wait for the answer to the first.
        self.patience_s = min(self.patience_s, interval_s or inf)

    def note_received(self, now: float) -> None:
        """Note that something came; any packet will do: the answer to a ping may stand behind a queue of messages."""
        self._heard = now
        self._asked = None

    def note_ping_sent(self, now: float) -> None:
        """Note that PINGREQ was sent."""
        self.sent = self._asked = now

    @property
    def overdue(self) -> bool:
        """Tell whether the deadline is that of an answer, not that of the next ping."""
        return self._asked is not None and self._listening

    def deadline(self) -> float:
        """Return when something is to be done: a ping, or giving up."""
        if self._asked is not None and self._listening:
            return self._asked + self.patience_s
        if not self._interval_s:
            return inf
        oldest = min(self.sent, self._heard) if self._listening else self.sent
        return oldest + _PING_AT * self._interval_s

    def pause_listening(self) -> None:
        """Let silence prove nothing, as we have stopped reading; pings go on."""
        self._listening = False

    def resume_listening(self, now: float) -> None:
        """Give the server the full time to be heard, as we read again."""
        self._listening = True
        self._heard = now
        if self._asked is not None:
            self._asked = now
