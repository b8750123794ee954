"""Store-and-forward memory: readings that wait for a connection, bounded in number and bytes.

A device that loses its broker keeps measuring. What does not fit any more is dropped by policy, and every drop
is remembered by its seq, because a reading that is gone without a trace could not be told from one that was lost.
"""

from collections import deque
from typing import Literal, NamedTuple

from pydantic import Field

from edgewire.config import Config, SizeBytes


class OutboxConfig(Config):
    """How much a device can keep while it is offline."""

    max_messages: int = Field(default=1000, ge=1)
    max_bytes: SizeBytes = Field(default=256 * 1024, ge=1024)
    when_full: Literal["drop-oldest", "drop-newest"] = "drop-oldest"


class Reading(NamedTuple):
    """One message of a device, ready to be published."""

    seq: int
    topic: bytes
    payload: bytes
    qos: int


class Outbox:
    """First in, first out, within the limits of its config; `dropped` holds what did not fit."""

    __slots__ = ("_bytes", "_config", "_queue", "dropped")

    def __init__(self, config: OutboxConfig) -> None:
        self._config = config
        # An empty deque alone takes 600 bytes, and of most devices the outbox stays empty.
        self._queue: deque[Reading] | None = None
        self._bytes = 0
        self.dropped = SeqRanges()

    def __len__(self) -> int:
        return len(self._queue) if self._queue else 0

    @property
    def size_bytes(self) -> int:
        """Payload bytes held."""
        return self._bytes

    def seqs(self) -> "SeqRanges":
        """The seqs that still wait."""
        waiting = SeqRanges()
        for reading in self._queue or ():
            waiting.add(reading.seq)
        return waiting

    def push(self, reading: Reading) -> None:
        """Keep a reading; drops it or the oldest ones where the limits ask for it."""
        size = len(reading.payload)
        while self._queue and self._is_full(size) and self._config.when_full == "drop-oldest":
            self.dropped.add(self.pop().seq)
        if self._is_full(size):
            self.dropped.add(reading.seq)
            return
        if self._queue is None:
            self._queue = deque()
        self._queue.append(reading)
        self._bytes += size

    def peek(self) -> Reading:
        """The oldest reading; raises `IndexError` when there is none."""
        if self._queue is None:
            raise IndexError("the outbox is empty")
        return self._queue[0]

    def pop(self) -> Reading:
        """Take the oldest reading; raises `IndexError` when there is none."""
        if self._queue is None:
            raise IndexError("the outbox is empty")
        reading = self._queue.popleft()
        self._bytes -= len(reading.payload)
        if not self._queue:
            self._queue = None
        return reading

    def _is_full(self, size: int) -> bool:
        config = self._config
        return len(self) >= config.max_messages or self._bytes + size > config.max_bytes


class SeqRanges:
    """A set of seqs that mostly come in runs, kept as inclusive ranges in the order they were added."""

    __slots__ = ("_ranges",)

    def __init__(self) -> None:
        self._ranges: list[list[int]] = []

    def add(self, seq: int) -> None:
        """Note one seq; one that follows the last extends its range."""
        if self._ranges and self._ranges[-1][1] + 1 == seq:
            self._ranges[-1][1] = seq
        else:
            self._ranges.append([seq, seq])

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self._ranges)

    def as_list(self) -> list[tuple[int, int]]:
        """`[(first, last), …]`, both included, as the run record holds them."""
        return [(first, last) for first, last in self._ranges]
