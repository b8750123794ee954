"""One lane of a sink: what may be written next, so that no message of a device overtakes another. Pure; time is given.

A message that has to be tried again goes back to where it was, and holds back its device alone or the whole lane, as
the sink says. A device that fails again and again is tried with one message at a time.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.delivery.backoff import delay_s
from bridge.delivery.buffer import Fetch, MemoryBudget, MessageBuffer
from bridge.routing.routed import RoutedEvent
from bridge.sinks.base import Failures, Rejected, Retry, Scope
from edgewire.backoff import Backoff


@dataclass(slots=True)
class _Held:
    """The messages of a device whose first one waits to be tried again."""

    backlog: MessageBuffer
    retries: int = 0
    due: float = 0.0
    why: Retry | None = None
    """Of its own trouble, which others of the lane do not have."""


@dataclass(slots=True)
class BatchOutcome:
    """What became of a batch."""

    delivered: list[RoutedEvent] = field(default_factory=list)
    rejected: list[tuple[RoutedEvent, Rejected, int]] = field(default_factory=list)
    """With the number of attempts."""
    retried: Counter[str] = field(default_factory=Counter)
    """Messages by cause."""
    queue_error: Retry | None = None
    """Why the queue as a whole has to wait."""
    devices: dict[str, Retry] = field(default_factory=dict)
    """Devices that have to wait alone, and why."""
    operator_errors: dict[str, Retry] = field(default_factory=dict)
    """Those of them that wait for a person, told once."""


class DeliveryQueue:
    """`push` at any time; `take` a batch, write it, `complete` it, and only then `take` the next. Times in seconds."""

    def __init__(self, backoff: Backoff, pause_s: float, window: MemoryBudget, fetch: Fetch) -> None:
        """`pause_s` is the wait after an answer that only a person can change."""
        self._backoff = backoff
        self._pause_s = pause_s
        self._window = window
        self._fetch = fetch
        self._ready = MessageBuffer(window, fetch)
        self._held: dict[str, _Held] = {}
        self._attempts: dict[int, int] = {}
        self._retries = 0
        self._resume = 0.0

    def push(self, routed: RoutedEvent) -> None:
        """The next message of this lane."""
        self._ready.push(routed)

    def hurry(self) -> None:
        """The lane need not wait for its destination any longer."""
        self._resume = 0.0

    def park(self, keep: int, *, stalled: bool) -> int:
        """Give up the memory of what has to wait, all of the lane if it is `stalled`; returns how many messages."""
        freed = self._ready.park(keep) if stalled else 0
        return freed + sum(held.backlog.park(1) for held in self._held.values() if stalled or held.retries)

    def waiting_devices(self, retries: int) -> dict[str, str]:
        """Devices that wait alone for a person, or were tried again in vain this often, and why."""
        return {
            device: held.why.reason
            for device, held in self._held.items()
            if held.why and (held.why.needs_operator or held.retries >= retries)
        }

    def wait_s(self, now: float) -> float | None:
        """How long until `take` may have something; None for not before the next `push`."""
        if len(self._ready):
            earliest = 0.0
        elif self._held:
            earliest = min(held.due for held in self._held.values())
        else:
            return None
        return max(earliest - now, self._resume - now, 0.0)

    def take(self, limit: int, now: float) -> list[RoutedEvent]:
        """The next batch; empty while everything has to wait."""
        batch: list[RoutedEvent] = []
        if now < self._resume:
            return batch
        if self._held:
            self._take_held(batch, limit, now)
        self._ready.load(limit - len(batch))
        ready = self._ready.messages
        while ready and len(batch) < limit:
            routed = ready.popleft()
            held = self._held.get(routed.device_id) if self._held else None
            if held is not None and (len(held.backlog) or held.due > now):
                held.backlog.push(routed)
            else:
                batch.append(routed)
        return batch

    def complete(self, batch: Sequence[RoutedEvent], failures: Failures, now: float, uniform: float) -> BatchOutcome:
        """Take note of what became of the batch that was taken last. `uniform` in [0, 1) spreads the next attempt."""
        if not failures and not self._held and not self._attempts:
            self._retries = 0
            return BatchOutcome(delivered=list(batch))
        outcome = BatchOutcome()
        again: list[tuple[RoutedEvent, Retry]] = []
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

    def _take_held(self, batch: list[RoutedEvent], limit: int, now: float) -> None:
        gone: list[str] = []
        for device, held in self._held.items():
            if held.due <= now and len(batch) < limit:
                wanted = min(limit - len(batch), 1 if held.retries else limit)
                held.backlog.load(wanted)
                messages = held.backlog.messages
                if not messages:
                    gone.append(device)  # none of its parked messages is to be delivered any more
                batch += [messages.popleft() for _ in range(min(wanted, len(messages)))]
        for device in gone:
            del self._held[device]

    def _release(self, batch: Sequence[RoutedEvent], again: list[tuple[RoutedEvent, Retry]]) -> None:
        """Devices that got through are no longer held, once nothing of theirs is left behind."""
        failed = {routed.device_id for routed, _ in again}
        for device in {routed.device_id for routed in batch} & self._held.keys():
            held = self._held[device]
            if device not in failed:
                held.retries = 0
                held.due = 0.0
                held.why = None
                if not len(held.backlog):
                    del self._held[device]

    def _hold(self, again: list[tuple[RoutedEvent, Retry]], now: float, uniform: float, outcome: BatchOutcome) -> None:
        """Put messages back in front of what follows them, and decide who waits how long."""
        for routed, _ in again:
            if routed.device_id not in self._held:
                self._held[routed.device_id] = _Held(MessageBuffer(self._window, self._fetch))
        for routed, _ in reversed(again):
            self._held[routed.device_id].backlog.messages.appendleft(routed)
        for routed, retry in again:
            if retry.scope is Scope.DEVICE:
                outcome.devices[routed.device_id] = retry
            else:
                outcome.queue_error = outcome.queue_error or retry
        for device, retry in outcome.devices.items():
            held = self._held[device]
            held.due = now + self._delay(retry, held.retries, uniform)
            held.retries += 1
            if retry.needs_operator and not (held.why and held.why.needs_operator):
                outcome.operator_errors[device] = retry
            held.why = retry
        if outcome.queue_error:
            self._resume = now + self._delay(outcome.queue_error, self._retries, uniform)
            self._retries += 1

    def _delay(self, retry: Retry, retries: int, uniform: float) -> float:
        return delay_s(retry, self._backoff, self._pause_s, retries, uniform)
