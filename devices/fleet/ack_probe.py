"""How long the broker takes to acknowledge: measured on a sample, so that most messages cost nothing more."""

from typing import Protocol

from devices.fleet.histogram import Histogram

# One message in so many is timed.
EVERY = 16


class Publisher(Protocol):
    """What the probe needs of a device's connection; told apart by identity."""

    def __hash__(self) -> int: ...


class AckProbe:
    """Times one message a device at once. PUBACKs come in the order of the messages (MQTT 4.6), so they are counted."""

    def __init__(self) -> None:
        self.latency = Histogram()
        self._under_way: dict[Publisher, tuple[int, float]] = {}
        self._skipped = 0

    def is_due(self) -> bool:
        """Whether the message that is published now is one of the sample."""
        self._skipped += 1
        if self._skipped < EVERY:
            return False
        self._skipped = 0
        return True

    def published(self, publisher: Publisher, outstanding: int, now: float) -> None:
        """The newest of `outstanding` unacknowledged messages of this device went out just now."""
        if outstanding:
            self._under_way[publisher] = (outstanding, now)

    def acknowledged(self, publisher: Publisher, count: int, now: float) -> None:
        """So many more messages of this device were acknowledged."""
        outstanding, since = self._under_way[publisher]
        if count < outstanding:
            self._under_way[publisher] = (outstanding - count, since)
            return
        del self._under_way[publisher]
        self.latency.add([1000 * (now - since)])

    def lost(self, publisher: Publisher) -> None:
        """The connection broke: what is acknowledged on the next one tells of the outage, not of the broker."""
        self._under_way.pop(publisher, None)

    def __contains__(self, publisher: object) -> bool:
        return publisher in self._under_way
