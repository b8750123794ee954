"""Says what routing makes of a message: an event with its route, or the reason why it goes nowhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bridge.message.event import Event
from bridge.routing.sampling import Sampler
from bridge.routing.validation import PayloadValidator
from bridge.sinks.settings import Target
from bridge.spool.message import SpooledMessage


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """Holds one row of the table, ready for use."""

    filter: str
    match: tuple[tuple[str, frozenset[str | int | bool]], ...]
    targets: Mapping[str, Target]
    """Sink -> where it leads there; a sink that is missing does not get the message."""
    drop: bool = False
    sampler: Sampler | None = None
    validator: PayloadValidator | None = None
    reads_payload: bool = False
    """Whether a template of its targets names a field of the payload."""
    has_rules: bool = False
    """Whether there is more to it than where it leads."""
    expired: Literal["deliver", "dead_letter"] = "deliver"
    """What becomes of a message whose expiry is over when its turn comes."""

    def matches(self, fields: Mapping[str, Any]) -> bool:
        """Return whether the payload has the values this route asks for."""
        for name, values in self.match:
            value = fields.get(name)
            if not isinstance(value, str | int) or (value not in values):
                return False
        return True


@dataclass(slots=True, eq=False)
class RoutedEvent(Event):
    """Adds the route to an event; all sinks share it."""

    route: Route


@dataclass(frozen=True, slots=True, eq=False)
class Unroutable:
    """Says that a message can go nowhere, and why."""

    message: SpooledMessage
    reason: str
    sinks: frozenset[str] | None = None
    """Those that miss it; None for all of them, because not even its route is known."""

    def concerns(self, sink: str) -> bool:
        """Return whether this sink would have got it."""
        return self.sinks is None or sink in self.sinks


@dataclass(frozen=True, slots=True, eq=False)
class Dropped:
    """Says that a rule leaves a message out of every sink, and which."""

    message: SpooledMessage
    rule: str
