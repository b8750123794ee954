"""Decides what may be written next in one queue of a sink: no message of a device overtakes another. Time is given.

A message that has to be tried again goes back to where it was, and holds back its device alone or the whole queue, as
the sink says. A device that fails again and again is tried with one message at a time.

Where a destination fails with a message that was alone in its batch, that may be the message's doing, whatever the sink
says: its device is suspect. The others have their turn first; once one of them gets through, the suspect waits alone.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bridge.delivery.backoff import delay_s
from bridge.delivery.buffer import Fetch, MemoryBudget, MessageBuffer
from bridge.routing.routed import RoutedEvent
from bridge.sinks.base import Failures, Rejected, Remark, Retry, Scope
from edgewire.backoff import Backoff


@dataclass(slots=True)
class _BlockedDevice:
    """The messages of a device whose first one waits to be tried again."""

    buffer: MessageBuffer
    retries: int = 0
    failed_at: int = 0
    """Of the writes that did something, how many were before it failed by itself."""
    due: float = 0.0
    last_error: Retry | None = None
    """Its own, which others of the queue do not have."""

    def take(self, wanted: int) -> list[RoutedEvent]:
        """Remove and return its next messages; none where none of its evicted ones is to be delivered any more."""
        self.buffer.reload(wanted)
        messages = self.buffer.messages
        return [messages.popleft() for _ in range(min(wanted, len(messages)))]


@dataclass(slots=True)
class BatchOutcome:
    """Tells what became of a batch."""

    delivered: list[RoutedEvent] = field(default_factory=list)
    rejected: list[tuple[RoutedEvent, Rejected, int]] = field(default_factory=list)
    """With the number of attempts."""
    remarks: list[Remark] = field(default_factory=list)
    """Of messages that are delivered."""
    retried: Counter[str] = field(default_factory=Counter)
    """Messages by cause."""
    queue_error: Retry | None = None
    """Why the queue as a whole has to wait."""
    device_errors: dict[str, Retry] = field(default_factory=dict)
    """Devices that have to wait alone, and why."""
    doubtful_devices: int = 0
    """Those of them since whose first failure nobody else got through: it may be the destination that fails."""
    operator_errors: dict[str, Retry] = field(default_factory=dict)
    """Those of them that wait for a person, told once."""


class DeliveryQueue:
    """Keeps the order: `enqueue` at any time; `take_batch`, write it, `complete_batch`, then the next. In seconds."""

    def __init__(self, backoff: Backoff, pause_s: float, budget: MemoryBudget, fetch: Fetch) -> None:
        """Take the waits between attempts; `pause_s` is that after an answer which only a person can change."""
        self._backoff = backoff
        self._pause_s = pause_s
        self._budget = budget
        self._fetch = fetch
        self._ready = MessageBuffer(budget, fetch)
        self._blocked: dict[str, _BlockedDevice] = {}
        self._suspects: dict[str, None] = {}  # blocked devices, the one that was tried last at the end
        self._attempts: dict[int, int] = {}
        self._retries = 0
        self._resume = 0.0
        self._successes = 0  # writes that did something with a message while others waited

    def __len__(self) -> int:
        """Return how many messages wait for their first attempt."""
        return len(self._ready)

    def enqueue(self, routed: RoutedEvent) -> None:
        """Add the next message."""
        self._ready.enqueue(routed)

    def retry_now(self) -> None:
        """Wait for the destination no longer."""
        self._resume = 0.0

    def evict(self, keep: int, *, stalled: bool) -> int:
        """Give up the memory of what has to wait, everything if it is `stalled`; return how many messages."""
        freed = self._ready.evict(keep) if stalled else 0
        return freed + sum(blocked.buffer.evict(1) for blocked in self._blocked.values() if stalled or blocked.retries)

    def waiting_devices(self, retries: int) -> dict[str, str]:
        """Return the devices that wait alone for a person, or were tried again in vain this often, and why."""
        return {
            device: blocked.last_error.reason
            for device, blocked in self._blocked.items()
            if blocked.last_error and (blocked.last_error.needs_operator or blocked.retries >= retries)
        }

    def wait_s(self, now: float) -> float | None:
        """Return how long until `take_batch` may have something; None for not before the next `enqueue`."""
        if len(self._ready):
            earliest = 0.0
        elif self._blocked:
            earliest = min(blocked.due for blocked in self._blocked.values())
        else:
            return None
        return max(earliest - now, self._resume - now, 0.0)

    def take_batch(self, limit: int, now: float, *, probe: bool = False) -> list[RoutedEvent]:
        """Return the next batch, empty while everything has to wait; of a `probe` that tries the destination, one."""
        batch: list[RoutedEvent] = []
        if now < self._resume:
            return batch
        if probe:
            return self._take_probe(now)
        if self._suspects and (batch := self._take_suspect(now, convicted=True)):
            return batch
        if self._blocked:
            self._take_from_blocked(batch, limit, now)
        self._take_ready(batch, limit, now)
        return batch or (self._take_suspect(now, convicted=False) if self._suspects else batch)

    def complete_batch(
        self, batch: Sequence[RoutedEvent], failures: Failures, now: float, uniform: float
    ) -> BatchOutcome:
        """Take note of what became of the batch that was taken last. `uniform` in [0, 1) spreads the next attempt."""
        if not failures and not self._blocked and not self._attempts:
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
            if isinstance(failure, Rejected):
                outcome.rejected.append((routed, failure, earlier + 1))
                continue
            outcome.delivered.append(routed)
            if failure is not None:
                outcome.remarks.append(failure)
        if len(again) < len(batch):
            self._retries = 0
            self._successes += 1
        self._unblock_devices(batch, again)
        if self._suspects and len(again) < len(batch):
            self._convict_suspects(now, uniform)
        self._requeue(again, now, uniform, outcome, alone=len(batch) == 1)
        return outcome

    def _take_probe(self, now: float) -> list[RoutedEvent]:
        """Return one message, of a device that has not failed by itself where there is one.

        One that fails for ever would else be asked again and again, and the others never.
        """
        due = [device for device, blocked in self._blocked.items() if blocked.due <= now]
        well = (one for one in due if not self._blocked[one].retries and one not in self._suspects)
        if batch := self._take_first(well):
            return batch
        self._take_ready(batch, 1, now)
        batch = batch or self._take_suspect(now, convicted=False)
        failed = (one for one in due if one in self._blocked and self._blocked[one].retries)
        return batch or self._take_first(sorted(failed, key=lambda one: self._blocked[one].due))

    def _take_first(self, devices: Iterable[str]) -> list[RoutedEvent]:
        """Return the next message of the first of these blocked devices that has one."""
        for device in devices:
            if batch := self._blocked[device].take(1):
                return batch
            del self._blocked[device]
            self._suspects.pop(device, None)
        return []

    def _take_ready(self, batch: list[RoutedEvent], limit: int, now: float) -> None:
        self._ready.reload(limit - len(batch))
        ready = self._ready.messages
        while ready and len(batch) < limit:
            routed = ready.popleft()
            blocked = self._blocked.get(routed.device_id) if self._blocked else None
            if blocked is not None and (len(blocked.buffer) or blocked.due > now):
                blocked.buffer.enqueue(routed)
            else:
                batch.append(routed)

    def _take_suspect(self, now: float, *, convicted: bool) -> list[RoutedEvent]:
        """Return the next message of a suspect, alone: of one that waits alone, or of one that does not yet."""
        for device in list(self._suspects):
            blocked = self._blocked[device]
            if blocked.due <= now and bool(blocked.retries) is convicted:
                if batch := blocked.take(1):
                    return batch
                del self._blocked[device], self._suspects[device]
        return []

    def _convict_suspects(self, now: float, uniform: float) -> None:
        """Let suspects wait alone from now on: another message got through since they did not."""
        for device in self._suspects:
            blocked = self._blocked[device]
            if not blocked.retries:
                blocked.due = now + self._backoff.delay(0, uniform)
                blocked.retries = 1

    def _take_from_blocked(self, batch: list[RoutedEvent], limit: int, now: float) -> None:
        gone: list[str] = []
        for device, blocked in self._blocked.items():
            if blocked.due <= now and len(batch) < limit and device not in self._suspects:
                taken = blocked.take(min(limit - len(batch), 1 if blocked.retries else limit))
                batch += taken
                if not taken:
                    gone.append(device)
        for device in gone:
            del self._blocked[device]

    def _unblock_devices(self, batch: Sequence[RoutedEvent], again: list[tuple[RoutedEvent, Retry]]) -> None:
        """Let go of the devices that got through, once nothing of theirs is left behind."""
        failed = {routed.device_id for routed, _ in again}
        for device in {routed.device_id for routed in batch} & self._blocked.keys():
            blocked = self._blocked[device]
            if device not in failed:
                blocked.retries = 0
                blocked.due = 0.0
                blocked.last_error = None
                self._suspects.pop(device, None)
                if not len(blocked.buffer):
                    del self._blocked[device]

    def _requeue(
        self,
        again: list[tuple[RoutedEvent, Retry]],
        now: float,
        uniform: float,
        outcome: BatchOutcome,
        *,
        alone: bool,
    ) -> None:
        """Put messages back in front of what follows them, and decide who waits how long."""
        for routed, _ in again:
            if routed.device_id not in self._blocked:
                self._blocked[routed.device_id] = _BlockedDevice(MessageBuffer(self._budget, self._fetch))
        for routed, _ in reversed(again):
            self._blocked[routed.device_id].buffer.messages.appendleft(routed)
        for routed, retry in again:
            convicted = routed.device_id in self._suspects and self._blocked[routed.device_id].retries
            if retry.scope is Scope.DEVICE or convicted:
                outcome.device_errors[routed.device_id] = retry
            else:
                outcome.queue_error = outcome.queue_error or retry
                if alone:
                    self._suspects.pop(routed.device_id, None)
                    self._suspects[routed.device_id] = None
        for device, retry in outcome.device_errors.items():
            blocked = self._blocked[device]
            blocked.due = now + self._delay(retry, blocked.retries, uniform)
            if not blocked.retries:
                blocked.failed_at = self._successes
            outcome.doubtful_devices += blocked.failed_at == self._successes
            blocked.retries += 1
            if retry.needs_operator and not (blocked.last_error and blocked.last_error.needs_operator):
                outcome.operator_errors[device] = retry
            blocked.last_error = retry
        if outcome.queue_error:
            self._resume = now + self._delay(outcome.queue_error, self._retries, uniform)
            self._retries += 1

    def _delay(self, retry: Retry, retries: int, uniform: float) -> float:
        return delay_s(retry, self._backoff, self._pause_s, retries, uniform)
