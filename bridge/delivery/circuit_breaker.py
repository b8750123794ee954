"""The circuit breaker of one destination. Pure; time is given, in seconds.

Closed: everybody may write. Open: nobody, for a while that grows. Half-open: one lane may write one message, the probe;
what becomes of it closes the breaker or opens it again.


The destinations of one sink: a breaker each, what it tells the log and the metrics, and who has to hear of it."""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import IntEnum

from bridge.delivery.backoff import delay_s
from bridge.delivery.queue import BatchOutcome
from bridge.metrics import Metrics
from bridge.sinks.base import Retry
from bridge.sinks.settings import RetryConfig
from edgewire import logs
from edgewire.backoff import Backoff


class State(IntEnum):
    """As the metric has it."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class CircuitBreaker:
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
        if self.state is State.CLOSED and self._failures < self._open_after and not trouble.needs_operator:
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


class DestinationBreaker:
    """One destination; `LANE` and `LANE#PART` lead to the same."""

    def __init__(self, sink: str, name: str, retry: RetryConfig, metrics: Metrics, rng: random.Random) -> None:
        self.name = name
        self.breaker = CircuitBreaker(
            Backoff(retry.base / 1000, retry.cap / 1000), retry.pause / 1000, retry.open_after
        )
        self.changed: list[Callable[[], None]] = []
        """Called when the breaker lets writes through again, or when somebody else may have the probe."""
        self._metrics = metrics
        self._labels = (sink, name)
        self._rng = rng
        self._log = logs.get(f"sink.{sink}")
        metrics.breaker_state.labels(*self._labels).set(State.CLOSED)

    def note(self, outcome: BatchOutcome, written: int, now: float, *, probe: bool) -> None:
        """What became of a write of so many messages."""
        breaker, before, troubled = self.breaker, self.breaker.state, self.breaker.reason is not None
        done = bool(outcome.delivered or outcome.rejected)
        # Where every one of several devices fails it is not the devices.
        shared = next(iter(outcome.devices.values())) if len(outcome.devices) > 1 and not done else None
        trouble = outcome.queue_error or shared
        if done or not trouble:
            breaker.answered(well=done)
        if trouble:
            breaker.failed(trouble, now, self._rng.random(), probe=probe)
            self._metrics.paused.labels(*self._labels).set(trouble.needs_operator)
        self._tell(before, configuration=bool(trouble and trouble.needs_operator), written=written)
        if breaker.state is not before or (troubled and breaker.reason is None):
            self._wake()

    def withdraw(self) -> None:
        """Who had the probe has nothing to send."""
        self.breaker.withdraw()
        self._wake()

    @property
    def trouble(self) -> str | None:
        """Why it takes nothing, one sentence; None when it does."""
        breaker = self.breaker
        if breaker.reason is None or breaker.state is State.CLOSED:
            return breaker.reason
        return f"{breaker.reason}; the breaker of {self.name} is open, a probe is sent now and then"

    def _tell(self, before: State, *, configuration: bool, written: int) -> None:
        breaker = self.breaker
        if breaker.state is before:
            return
        self._metrics.breaker_state.labels(*self._labels).set(breaker.state)
        if before is State.CLOSED:
            self._metrics.breaker_opened.labels(*self._labels).inc()
            say = self._log.error if configuration else self._log.warning
            say("delivery waits, the breaker is open", destination=self.name, reason=breaker.reason)
        elif breaker.state is State.CLOSED:
            self._metrics.paused.labels(*self._labels).set(0)
            self._log.info("delivery goes on, the breaker is closed", destination=self.name, messages=written)

    def _wake(self) -> None:
        for tell in self.changed:
            tell()


class DestinationBreakers:
    """All of a sink, each made when its first message comes."""

    def __init__(self, sink: str, retry: RetryConfig, metrics: Metrics, rng: random.Random) -> None:
        self._sink = sink
        self._retry = retry
        self._metrics = metrics
        self._rng = rng
        self._known: dict[str, DestinationBreaker] = {}

    def of(self, lane: str) -> DestinationBreaker:
        """The destination of a lane."""
        name = lane.partition("#")[0]
        if name not in self._known:
            self._known[name] = DestinationBreaker(self._sink, name, self._retry, self._metrics, self._rng)
        return self._known[name]

    def forget(self) -> None:
        """The sink ends: what was measured of its destinations now is no longer told."""
        for name in self._known:
            for gauge in (self._metrics.breaker_state, self._metrics.paused):
                with suppress(KeyError):
                    gauge.remove(self._sink, name)

    def troubles(self) -> Iterator[str]:
        """Why some take nothing, one sentence each."""
        return (one.trouble for one in self._known.values() if one.trouble)
