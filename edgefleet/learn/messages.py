"""What was heard of an installation, and why some of it is of no use."""

from dataclasses import dataclass, field
from typing import NamedTuple

from edgewire.errors import EdgefleetError


class NothingLearned(EdgefleetError):
    """A capture has nothing of which a device could be made; says why."""


class CapturedMessage(NamedTuple):
    """Holds a message as a subscriber heard it."""

    topic: str
    payload: bytes
    at_ms: int
    """When it was heard, milliseconds since 1970 UTC."""
    qos: int = 0
    is_retained: bool = False


@dataclass(slots=True)
class UnusedMessages:
    """Counts the messages of which nothing was learned, by the reason, with the place of the first of each."""

    counts: dict[str, int] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, place: str = "", count: int = 1) -> None:
        """Count messages with a reason, which names nothing that the messages say."""
        self.counts[reason] = self.counts.get(reason, 0) + count
        if place:
            self.places.setdefault(reason, place)

    @property
    def total(self) -> int:
        """Return how many there are."""
        return sum(self.counts.values())

    def lines(self) -> list[str]:
        """Return a line for each reason, the most frequent first."""
        ordered = sorted(self.counts.items(), key=lambda entry: -entry[1])
        return [
            f"{count:,}: {reason}" + (f" (first in {self.places[reason]})" if reason in self.places else "")
            for reason, count in ordered
        ]


@dataclass(slots=True)
class Heard:
    """Holds all that was heard, within bounds, in the order of time."""

    messages: list[CapturedMessage] = field(default_factory=list)
    unused: UnusedMessages = field(default_factory=UnusedMessages)
    read: int = 0
    """Messages that there were, those of no use among them."""
    stopped_at: str = ""
    """Which bound was reached, in words; empty where none was."""
