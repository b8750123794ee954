"""Breaks the circuit to a destination that fails, tells the log and the metrics, and whoever has to hear of it.

Closed: everybody may write. Open: nobody, for a while that grows. Half-open: one queue may write one message, the
probe; what becomes of it closes the breaker or opens it again. Time is given, in seconds.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import IntEnum
from itertools import count

from bridge.delivery.backoff import delay_s
from bridge.delivery.queue import BatchOutcome
from bridge.metrics import BridgeMetrics
from bridge.sinks.base import Retry
from bridge.sinks.settings import RetryConfig
from edgewire import logs
from edgewire.backoff import Backoff
from edgewire.redact import show_url


class BreakerState(IntEnum):
    """Names where a breaker stands, as the metric has it."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class CircuitBreaker:
    """Decides who may write: `allow` before a write, `record_failure` or `record_success` after it. Pure."""

    def __init__(self, backoff: Backoff, pause_s: float, open_after: int) -> None:
        """Take `pause_s`, the wait after an answer that only a person can change, which opens it at once."""
        self._backoff = backoff
        self._pause_s = pause_s
        self._open_after = open_after
        self._failures = 0  # in a row
        self._retries = 0
        self._due = 0.0
        self.state = BreakerState.CLOSED
        self.opened = 0
        """How often it went from closed to open."""
        self.last_error: str | None = None
        """What the last write failed with; None once one did not."""

    def wait_s(self, now: float) -> float | None:
        """Return how long until a write may begin; None for not before the probe under way is back."""
        if self.state is BreakerState.CLOSED:
            return 0.0
        return max(self._due - now, 0.0) if self.state is BreakerState.OPEN else None

    def allow(self, limit: int, now: float) -> int:
        """Return how many messages the next write may have, 0 for none; of an open breaker that is the probe."""
        if self.state is BreakerState.CLOSED:
            return limit
        if self.state is BreakerState.OPEN and now >= self._due:
            self.state = BreakerState.HALF_OPEN
            return 1
        return 0

    def release_probe(self) -> None:
        """Give the probe back: who had it has nothing to send after all."""
        if self.state is BreakerState.HALF_OPEN:
            self.state = BreakerState.OPEN

    def record_failure(self, error: Retry, now: float, uniform: float, *, probe: bool = False) -> None:
        """Note that a write has shown the destination to fail. `uniform` in [0, 1) spreads the next attempt."""
        self._failures += 1
        self.last_error = error.reason
        if self.state is not BreakerState.CLOSED and not probe:
            return  # a write that was under way when it opened
        if self.state is BreakerState.CLOSED and self._failures < self._open_after and not error.needs_operator:
            return
        self.opened += self.state is BreakerState.CLOSED
        self.state = BreakerState.OPEN
        self._due = now + delay_s(error, self._backoff, self._pause_s, self._retries, uniform)
        self._retries += 1

    def record_success(self, *, well: bool) -> None:
        """Note that a write has shown the destination to work; `well` if it did something with at least one message."""
        self.state = BreakerState.CLOSED
        self.last_error = None
        self._failures = 0
        if well:
            self._retries = 0


class DestinationBreaker:
    """The breaker of one destination; the queues DESTINATION and DESTINATION#SHARD lead to the same."""

    def __init__(self, sink: str, name: str, retry: RetryConfig, metrics: BridgeMetrics, rng: random.Random) -> None:
        """`name` is for people and metrics, so there is no secret in it."""
        self.name = name
        self.breaker = CircuitBreaker(
            Backoff(retry.base / 1000, retry.cap / 1000), retry.pause / 1000, retry.open_after
        )
        self.listeners: list[Callable[[], None]] = []
        """Called when the breaker lets writes through again, or when somebody else may have the probe."""
        self._metrics = metrics
        self._labels = (sink, name)
        self._rng = rng
        self._log = logs.get(f"sink.{sink}")
        metrics.init_destination(*self._labels)

    def record_outcome(self, outcome: BatchOutcome, written: int, now: float, *, probe: bool) -> None:
        """Note what became of a write of so many messages."""
        breaker, before, failing = self.breaker, self.breaker.state, self.breaker.last_error is not None
        done = bool(outcome.delivered or outcome.rejected)
        # Where every one of several devices fails it is not the devices, but where others get through meanwhile.
        shared = next(iter(outcome.device_errors.values())) if outcome.doubtful_devices > 1 and not done else None
        # A probe that fails, if only for its device, shows nothing that works.
        failed_probe = next(iter(outcome.device_errors.values()), None) if probe and not done else None
        error = outcome.queue_error or shared or failed_probe
        if done or not error:
            breaker.record_success(well=done)
        if error:
            breaker.record_failure(error, now, self._rng.random(), probe=probe)
            self._metrics.paused.labels(*self._labels).set(error.needs_operator)
        self._log_transition(before, needs_operator=bool(error and error.needs_operator), written=written)
        if breaker.state is not before or (failing and breaker.last_error is None):
            self._notify_listeners()

    def release_probe(self) -> None:
        """Give the probe back, for somebody else who waits."""
        self.breaker.release_probe()
        self._notify_listeners()

    @property
    def last_error(self) -> str | None:
        """Say why it takes nothing, in one sentence; None when it does."""
        breaker = self.breaker
        if breaker.last_error is None or breaker.state is BreakerState.CLOSED:
            return breaker.last_error
        return f"{breaker.last_error}; the breaker of {self.name} is open, a probe is sent now and then"

    def _log_transition(self, before: BreakerState, *, needs_operator: bool, written: int) -> None:
        breaker = self.breaker
        if breaker.state is before:
            return
        self._metrics.breaker_state.labels(*self._labels).set(breaker.state)
        if before is BreakerState.CLOSED:
            self._metrics.breaker_opened.labels(*self._labels).inc()
            write_log = self._log.error if needs_operator else self._log.warning
            write_log("delivery waits, the breaker is open", destination=self.name, reason=breaker.last_error)
        elif breaker.state is BreakerState.CLOSED:
            self._metrics.paused.labels(*self._labels).set(0)
            self._log.info("delivery goes on, the breaker is closed", destination=self.name, messages=written)

    def _notify_listeners(self) -> None:
        for listener in self.listeners:
            listener()


class DestinationBreakers:
    """Holds the breakers of one sink, each made when its first message comes."""

    def __init__(self, sink: str, retry: RetryConfig, metrics: BridgeMetrics, rng: random.Random) -> None:
        self._sink = sink
        self._retry = retry
        self._metrics = metrics
        self._rng = rng
        self._known: dict[str, DestinationBreaker] = {}
        self._shown_names: set[str] = set()
        self._shown_times: Counter[str] = Counter()

    def for_queue(self, queue_key: str) -> DestinationBreaker:
        """Return the breaker of the destination that a queue leads to."""
        name = queue_key.partition("#")[0]
        if name not in self._known:
            shown = self._take_name(name)
            self._known[name] = DestinationBreaker(self._sink, shown, self._retry, self._metrics, self._rng)
        return self._known[name]

    def _take_name(self, name: str) -> str:
        """Return a destination as it may be shown; two that differ in a secret alone are told apart by a number."""
        shown = show_url(name)
        self._shown_times[shown] += 1
        numbered = (f"{shown} ({number})" if number > 1 else shown for number in count(self._shown_times[shown]))
        free = next(one for one in numbered if one not in self._shown_names)
        self._shown_names.add(free)
        return free

    def remove_metrics(self) -> None:
        """Tell no longer what is measured of its destinations now: the sink ends."""
        for name in self._shown_names:
            for gauge in (self._metrics.breaker_state, self._metrics.paused):
                with suppress(KeyError):
                    gauge.remove(self._sink, name)

    def problems(self) -> Iterator[str]:
        """Say why some take nothing, one sentence each."""
        return (one.last_error for one in self._known.values() if one.last_error)
