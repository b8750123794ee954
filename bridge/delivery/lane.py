"""One lane of a sink: what may be written next, so that no message of a device overtakes another. Pure; time is given.

A message that has to be tried again goes back to where it was, and holds back its device alone or the whole lane, as
the sink says.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.routing import Routed
from bridge.sinks.base import Failures, Rejected, Retry, Scope
from edgewire.backoff import Backoff


@dataclass(slots=True)
class _Held:
    """The messages of a device whose first one waits to be tried again."""

    messages: deque[Routed] = field(default_factory=deque)
    retries: int = 0
    due: float = 0.0


@dataclass(slots=True)
class Outcome:
    """What became of a batch."""

    delivered: list[Routed] = field(default_factory=list)
    rejected: list[tuple[Routed, Rejected, int]] = field(default_factory=list)
    """With the number of attempts."""
    retried: Counter[str] = field(default_factory=Counter)
    """Messages by cause."""
    trouble: Retry | None = None
    """Why the lane as a whole has to wait."""


class Lane:
    """`push` at any time; `take` a batch, write it, `complete` it, and only then `take` the next. Times in seconds."""

    def __init__(self, backoff: Backoff, pause_s: float) -> None:
        """`pause_s` is the wait after an answer that only a person can change."""
        self._backoff = backoff
        self._pause_s = pause_s
        self._ready: deque[Routed] = deque()
        self._held: dict[str, _Held] = {}
        self._attempts: dict[int, int] = {}
        self._retries = 0
        self._resume = 0.0

    def push(self, routed: Routed) -> None:
        """The next message of this lane."""
        self._ready.append(routed)

    def hurry(self) -> None:
        """The destination is known to work again: the lane need not wait for it any longer."""
        self._resume = 0.0

    def wait_s(self, now: float) -> float | None:
        """How long until `take` may have something; None for not before the next `push`."""
        if self._ready:
            earliest = 0.0
        elif self._held:
            earliest = min(held.due for held in self._held.values())
        else:
            return None
        return max(earliest - now, self._resume - now, 0.0)

    def take(self, limit: int, now: float) -> list[Routed]:
        """The next batch; empty while everything has to wait."""
        batch: list[Routed] = []
        if now < self._resume:
            return batch
        if self._held:
            self._take_held(batch, limit, now)
        ready = self._ready
        while ready and len(batch) < limit:
            routed = ready.popleft()
            held = self._held.get(routed.device_id) if self._held else None
            if held is not None and (held.messages or held.due > now):
                held.messages.append(routed)
            else:
                batch.append(routed)
        return batch

    def complete(self, batch: Sequence[Routed], failures: Failures, now: float, uniform: float) -> Outcome:
        """Take note of what became of the batch that was taken last. `uniform` in [0, 1) spreads the next attempt."""
        if not failures and not self._held and not self._attempts:
            self._retries = 0
            return Outcome(delivered=list(batch))
        outcome = Outcome()
        again: list[tuple[Routed, Retry]] = []
        for position, routed in enumerate(batch):
            failure = failures.get(position)
            if isinstance(failure, Retry):
                again.append((routed, failure))
                number = routed.message.id
                self._attempts[number] = self._attempts.get(number, 0) + 1
                outcome.retried[failure.cause] += 1
                continue
            earlier = self._attempts.pop(routed.message.id, 0)
            if failure is None:
                outcome.delivered.append(routed)
            else:
                outcome.rejected.append((routed, failure, earlier + 1))
        if len(again) < len(batch):
            self._retries = 0
        self._release(batch, again)
        self._hold(again, now, uniform, outcome)
        return outcome

    def _take_held(self, batch: list[Routed], limit: int, now: float) -> None:
        for held in self._held.values():
            if held.due <= now:
                while held.messages and len(batch) < limit:
                    batch.append(held.messages.popleft())

    def _release(self, batch: Sequence[Routed], again: list[tuple[Routed, Retry]]) -> None:
        """Devices that got through are no longer held, once nothing of theirs is left behind."""
        failed = {routed.device_id for routed, _ in again}
        for device in {routed.device_id for routed in batch} & self._held.keys():
            held = self._held[device]
            if device not in failed:
                held.retries = 0
                held.due = 0.0
                if not held.messages:
                    del self._held[device]

    def _hold(self, again: list[tuple[Routed, Retry]], now: float, uniform: float, outcome: Outcome) -> None:
        """Put messages back in front of what follows them, and decide who waits how long."""
        for routed, _ in again:
            self._held.setdefault(routed.device_id, _Held())
        for routed, _ in reversed(again):
            self._held[routed.device_id].messages.appendleft(routed)
        devices: dict[str, Retry] = {}
        for routed, retry in again:
            if retry.scope is Scope.DEVICE:
                devices[routed.device_id] = retry
            else:
                outcome.trouble = outcome.trouble or retry
        for device, retry in devices.items():
            held = self._held[device]
            held.due = now + self._delay(retry, held.retries, uniform)
            held.retries += 1
        if outcome.trouble:
            self._resume = now + self._delay(outcome.trouble, self._retries, uniform)
            self._retries += 1

    def _delay(self, retry: Retry, retries: int, uniform: float) -> float:
        if retry.configuration:
            return self._pause_s
        drawn = self._backoff.delay(retries, uniform)
        return retry.after_s + min(drawn, self._backoff.base_s) if retry.after_s is not None else drawn
