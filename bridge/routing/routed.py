"""A message and its way: what routing finds out once, and every sink uses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from bridge.routing.sampling import Sample
    from bridge.routing.validation import Check
    from bridge.sinks.settings import Target
    from bridge.spool.message import SpooledMessage
from bridge.message.event import Address


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One row of the table."""

    filter: str
    match: tuple[tuple[str, frozenset[str | int | bool]], ...]
    targets: "Mapping[str, Target]"
    """Sink -> where it leads there; a sink that is missing does not get the message."""
    drop: bool = False
    sample: "Sample | None" = None
    check: "Check | None" = None
    reads_payload: bool = False
    """Whether a template of its targets names a field of the payload."""
    has_rules: bool = False
    """Whether there is more to it than where it leads."""

    def matches(self, fields: Mapping[str, Any]) -> bool:
        """Whether the payload has the values this route asks for."""
        for name, values in self.match:
            value = fields.get(name)
            if not isinstance(value, str | int) or (value not in values):
                return False
        return True


@dataclass(slots=True, eq=False)
class RoutedEvent:
    """A message with its way, shared by all sinks."""

    message: "SpooledMessage"
    address: Address
    route: Route
    device_id: str
    message_id: str
    """`{device_id}:{boot}:{seq}`."""
    timestamp: str
    """When it was measured, as in the payload."""
    _fields: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def fields(self) -> dict[str, Any]:
        """The payload decoded; kept once somebody has asked."""
        if self._fields is None:
            self._fields = orjson.loads(self.message.payload)
        return self._fields


@dataclass(frozen=True, slots=True, eq=False)
class Unroutable:
    """A message that can go nowhere, and why."""

    message: "SpooledMessage"
    reason: str
    sinks: frozenset[str] | None = None
    """Those that miss it; None for all of them, because not even its route is known."""

    def concerns(self, sink: str) -> bool:
        """Whether this sink would have got it."""
        return self.sinks is None or sink in self.sinks


@dataclass(frozen=True, slots=True, eq=False)
class Dropped:
    """A message that a rule leaves out of every sink, and which."""

    message: "SpooledMessage"
    rule: str
