"""How many devices a second may begin to connect: pure, `now` is seconds of the caller's clock.

A broker that is overrun with handshakes answers later and later until they time out, and each timed-out handshake comes
again. So slow answers halve the rate, and quick ones bring it back.
"""

# An answer to CONNECT that takes longer shows that handshakes queue up.
SLOW_S = 1.0
# Handshakes that began before a change say nothing about it.
SETTLE_S = 1.0
FASTER = 1.5
LEAST_PER_S = 1.0


class Ramp:
    """`per_second` is the rate now; it never exceeds the one given."""

    def __init__(self, per_second: float) -> None:
        self._limit = per_second
        self._changed = 0.0
        self._slowed_since: float | None = None
        self._slowed_s = 0.0
        self.per_second = per_second

    def answered(self, latency_s: float, now: float) -> None:
        """The broker accepted a device, so long after it was dialled."""
        if latency_s > SLOW_S:
            self.failed(now)
        elif self.per_second < self._limit and now - self._changed >= SETTLE_S:
            self._change(min(self._limit, self.per_second * FASTER), now)

    def failed(self, now: float) -> None:
        """The broker did not answer, or said that it has no room now."""
        if now - self._changed >= SETTLE_S:
            self._change(max(min(LEAST_PER_S, self._limit), self.per_second / 2), now)

    def slowed_s(self, now: float) -> float:
        """How long the rate has been below its limit, in all."""
        return self._slowed_s + (0.0 if self._slowed_since is None else now - self._slowed_since)

    def _change(self, per_second: float, now: float) -> None:
        self._changed = now
        self.per_second = per_second
        if per_second < self._limit and self._slowed_since is None:
            self._slowed_since = now
        elif per_second >= self._limit and self._slowed_since is not None:
            self._slowed_s += now - self._slowed_since
            self._slowed_since = None
