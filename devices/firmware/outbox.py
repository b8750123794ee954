"""Keeps readings that wait for a connection (store and forward), bounded in number and bytes.

A device that loses its broker keeps measuring. What does not fit any more is dropped by policy, and every drop
is remembered by its seq, because a reading that is gone without a trace could not be told from one that was lost.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from devices.firmware.config import OutboxConfig

NO_SEQ = -1
"""Stands in the place of a seq for what leaves instead of a reading that a fault has damaged."""


class Reading(NamedTuple):
    """Holds one message of a device, ready to be published."""

    seq: int
    topic: bytes
    payload: bytes
    qos: int
    boot: int
    address: int = -1
    """Where its format says how it is published; negative where there is nothing to say."""
    part: int = 0
    """Which part of a device with several parts it is of."""
    earlier: tuple[int, ...] = ()
    """Numbers of the readings before this one that are in the same message."""

    @property
    def seqs(self) -> tuple[int, ...]:
        """Return the numbers of all readings in the message, the oldest first."""
        return (*self.earlier, self.seq)


@dataclass(frozen=True, slots=True)
class ReadingsToken:
    """Marks a published message of several readings."""

    boot: int
    seqs: tuple[int, ...]


class Outbox:
    """Keeps readings first in, first out, within the limits of its config."""

    __slots__ = ("_bytes", "_config", "_earlier", "_queue")

    def __init__(self, config: OutboxConfig) -> None:
        self._config = config
        # Only while something waits: an empty deque takes as much memory as the rest of a device's firmware.
        self._queue: deque[Reading] | None = None
        self._bytes = 0
        # Readings that are in one message with another.
        self._earlier = 0

    def __len__(self) -> int:
        return len(self._queue) if self._queue else 0

    @property
    def readings(self) -> int:
        """Return how many readings are in its messages."""
        return len(self) + self._earlier

    @property
    def size_bytes(self) -> int:
        """Return how many payload bytes it holds."""
        return self._bytes

    def seqs(self, boot: int, part: int = 0) -> "SeqRanges":
        """Return the seqs of one boot that still wait; of a device with several parts, those of one part."""
        waiting = SeqRanges()
        for reading in self._queue or ():
            if reading.boot == boot and reading.part == part and reading.seq != NO_SEQ:
                for seq in reading.seqs:
                    waiting.add(seq)
        return waiting

    def push(self, reading: Reading) -> Sequence[Reading]:
        """Keep a reading; returns what is dropped for it, or itself, where the limits ask for it."""
        size = len(reading.payload)
        dropped: list[Reading] = []
        while self._queue and self._is_full(size) and self._config.when_full == "drop-oldest":
            dropped.append(self.pop())
        if self._is_full(size):
            return [*dropped, reading]
        if self._queue is None:
            self._queue = deque()
        self._queue.append(reading)
        self._bytes += size
        self._earlier += len(reading.earlier)
        return dropped

    def peek(self) -> Reading:
        """Return the oldest reading; raises `IndexError` when there is none."""
        return (self._queue or _NOTHING)[0]

    def pop(self) -> Reading:
        """Take the oldest reading; raises `IndexError` when there is none."""
        queue = self._queue or _NOTHING
        reading = queue.popleft()
        self._bytes -= len(reading.payload)
        self._earlier -= len(reading.earlier)
        if not queue:
            self._queue = None
        return reading

    def clear(self) -> Sequence[Reading]:
        """Take everything at once, the oldest first."""
        taken = tuple(self._queue or ())
        self._queue = None
        self._bytes = self._earlier = 0
        return taken

    def reverse(self) -> None:
        """Turn the order around: the newest leaves first."""
        if self._queue:
            self._queue.reverse()

    def _is_full(self, size: int) -> bool:
        config = self._config
        return len(self) >= config.max_messages or self._bytes + size > config.max_bytes


_NOTHING: deque[Reading] = deque()


class SeqRanges:
    """Holds a set of seqs that mostly come in runs, as inclusive ranges in the order they were added."""

    __slots__ = ("_ranges",)

    def __init__(self) -> None:
        # Of most devices they stay empty.
        self._ranges: list[list[int]] | None = None

    def add(self, seq: int) -> None:
        """Add one seq; one that follows the last extends its range."""
        if self._ranges is None:
            self._ranges = []
        if self._ranges and self._ranges[-1][1] + 1 == seq:
            self._ranges[-1][1] = seq
        else:
            self._ranges.append([seq, seq])

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self._ranges or ())

    def as_list(self) -> list[tuple[int, int]]:
        """Return `[(first, last), …]`, both included, as the run record holds them."""
        return [(first, last) for first, last in self._ranges or ()]


class FlushLimit:
    """Lets waiting readings leave, `per_second` on average, a second's worth at once at the most."""

    __slots__ = ("_at_s", "_credit", "_per_second")

    def __init__(self, per_second: float, now_s: float) -> None:
        self._per_second = per_second
        self._credit = 0.0
        self._at_s = now_s

    def allow(self, wanted: int, now_s: float) -> int:
        """Return how many may leave, of so many that could."""
        most = max(1.0, self._per_second)
        self._credit = min(most, self._credit + (now_s - self._at_s) * self._per_second)
        self._at_s = now_s
        allowed = min(wanted, int(self._credit))
        self._credit -= allowed
        return allowed
