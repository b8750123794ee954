"""Holds what waits in a queue: the first messages in memory, those behind them, if they are too many, as ids alone.

Whoever has to wait for long evicts what it has in memory: a byte or two a message stay, and the messages are read
from the spool again, in order, when their turn comes. Pure; reading is a function that is given.
"""

from collections import deque
from collections.abc import Callable, Sequence

from bridge.routing.routed import RoutedEvent

Fetch = Callable[[Sequence[int]], list[RoutedEvent]]
"""Reads messages by id, in this order; those that are no longer to be delivered are not in the answer."""
_RELOAD_AT_ONCE = 500
"""Messages read again in one go: some milliseconds, for which everything else on the loop waits."""


class MemoryBudget:
    """Counts how much one sink has in memory."""

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self.messages = 0
        self.bytes = 0

    def reserve(self, routed: RoutedEvent) -> None:
        """Note that a message is in memory now."""
        self.messages += 1
        self.bytes += len(routed.message.payload)

    def release(self, routed: RoutedEvent) -> None:
        """Note that it is not any more."""
        self.messages -= 1
        self.bytes -= len(routed.message.payload)

    @property
    def available(self) -> int:
        """Return how many messages more may be taken into memory."""
        return self._max_messages - self.messages if self.bytes < self._max_bytes else 0


class IdQueue:
    """Holds ids in order of arrival, each as the distance from the one before it, seven bits a byte."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._count = 0
        self._first = 0
        self._last = 0

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """Bytes it takes."""
        return len(self._data)

    def append(self, number: int) -> None:
        """Add the next id; mostly, but not always, greater than the one before."""
        step = number - self._last
        self._last = number
        self._count += 1
        rest = step << 1 if step >= 0 else (-step << 1) - 1  # the sign in the lowest bit
        while rest > 0x7F:
            self._data.append(rest & 0x7F | 0x80)
            rest >>= 7
        self._data.append(rest)

    def pop_ids(self, limit: int) -> list[int]:
        """Remove and return the first ids, at most `limit`."""
        taken: list[int] = []
        value = shift = position = 0
        while len(taken) < limit and position < len(self._data):
            byte = self._data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                self._first += value >> 1 if not value & 1 else -(value + 1 >> 1)
                taken.append(self._first)
                value = shift = 0
        del self._data[:position]
        self._count -= len(taken)
        return taken


class MessageBuffer:
    """A queue of messages, the front of which is in memory."""

    def __init__(self, budget: MemoryBudget, fetch: Fetch) -> None:
        self._budget = budget
        self._fetch = fetch
        self.messages: deque[RoutedEvent] = deque()
        """In memory; `reload` fills it up from what was evicted."""
        self._evicted: deque[IdQueue] = deque()  # one after the other, none empty

    def __len__(self) -> int:
        return len(self.messages) + self.evicted

    @property
    def evicted(self) -> int:
        """Return how many messages are not in memory."""
        return sum(map(len, self._evicted))

    def enqueue(self, routed: RoutedEvent) -> None:
        """Add the next message, which is in memory: behind evicted ones it gives that up."""
        if self._evicted:
            self._evicted[-1].append(routed.message.id)
            self._budget.release(routed)
        else:
            self.messages.append(routed)

    def reload(self, wanted: int) -> None:
        """Have the first `wanted` messages in memory, or as many as one short read brings."""
        wanted = min(wanted, _RELOAD_AT_ONCE)
        while self._evicted and len(self.messages) < wanted:
            ids = self._evicted[0].pop_ids(wanted - len(self.messages))
            if not self._evicted[0]:
                self._evicted.popleft()
            for routed in self._fetch(ids):
                self._budget.reserve(routed)
                self.messages.append(routed)

    def evict(self, keep: int) -> int:
        """Give up the memory of all but the first `keep`; return how many messages that were."""
        surplus = len(self.messages) - keep
        if surplus <= 0:
            return 0
        ids = IdQueue()
        for routed in [self.messages.pop() for _ in range(surplus)][::-1]:
            ids.append(routed.message.id)
            self._budget.release(routed)
        self._evicted.appendleft(ids)
        return surplus
