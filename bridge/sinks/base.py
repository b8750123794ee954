"""Defines the contract of a sink. A sink delivers and says what came of it; it owns no loop, no backoff, no books.

docs/sinks.md tells how to add one: a file with its settings, its target in a route and a class that keeps this
contract, and a row in the table of `bridge.sinks.registry`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from bridge.routing.routed import RoutedEvent
from bridge.sinks.settings import SinkConfig, Target
from edgewire.clock import Clock
from edgewire.errors import ServiceUnavailable


class NotConnected(ServiceUnavailable):
    """The sink cannot go on as it is: the runner calls `close`, then `connect`, and writes the batch again."""


class Scope(StrEnum):
    """Says what has to wait when a message is to be tried again."""

    DEVICE = "device"
    """The messages of its device; others go on."""
    QUEUE = "queue"
    """All messages of its queue: it is the destination that fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Says that a message is not delivered but may be: try again."""

    cause: str
    """One word or status code, for metrics."""
    reason: str
    """One sentence, for logs and people."""
    scope: Scope = Scope.QUEUE
    after_s: float | None = None
    """Not earlier than this, because the destination said so."""
    needs_operator: bool = False
    """Only a person can change this answer: retry slowly and raise an alarm."""
    maybe_taken: bool = False
    """The destination may have the message all the same: its answer was lost, or said nothing of it."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Says that the sink will never take this message."""

    reason: str


@dataclass(frozen=True, slots=True)
class Remark:
    """Says that a message is delivered, and what an operator should know about it all the same."""

    cause: str
    """One word, for metrics."""
    reason: str
    """One sentence, for logs and people."""


Failure = Retry | Rejected | Remark

Failures = Mapping[int, Failure]
"""By position in the batch, what was not delivered, or was with a `Remark`."""

NO_FAILURES: Failures = {}


def stops_queue(failure: Failure) -> bool:
    """Return whether nothing else of the queue may be sent before what failed so."""
    return isinstance(failure, Retry) and failure.scope is Scope.QUEUE


class Sink(Protocol):
    """Delivers to a destination. Several queues may be written at the same time, but never one queue twice."""

    name: str
    batch_messages: int
    """The most messages in one `write`."""
    linger_s: float
    """How long after the one before a batch that is not full begins: what comes after a pause does not wait."""
    last_error: str | None
    """What the sink itself knows to be wrong while a write is waiting; None when all is well."""

    @property
    def config(self) -> SinkConfig:
        """Return its part of the configuration."""

    @property
    def destinations(self) -> Sequence[str]:
        """Return those that are known before the first message: they are counted from the start."""

    def queue_key(self, event: RoutedEvent) -> str | None:
        """Return the key of the queue that a message waits in, or None if its route does not lead here.

        Messages of one queue are written in order and wait for each other; queues are independent. All messages of a
        device with the same destination must be in one queue. A key is DESTINATION, or DESTINATION#SHARD where several
        queues lead to one destination: when one of these gets through, the others try again at once. There must be
        few: a queue has a task, so none is named for a device.
        """

    async def connect(self) -> None:
        """Get ready to write. Raises `ServiceUnavailable` (tried again) or `ConfigError` (the bridge stops)."""

    async def write(self, queue_key: str, batch: Sequence[RoutedEvent]) -> Failures:
        """Deliver `batch`, and return when the fate of every message is known.

        Whatever is not in the answer, or only with a `Remark`, is safe at its destination. Where a message is to be
        tried again, later ones of its device are too. A message that a template cannot be filled in for is `Rejected`.
        Raises `NotConnected`. May be cancelled.
        """

    async def close(self) -> None:
        """Let go of everything; what was being written counts as not delivered. `connect` may follow."""

    async def probe(self) -> str:
        """Reach the destination without writing, and say what answered; for `bridge check`.

        Raises `ServiceUnavailable` or `ConfigError`.
        """

    def preview(self, event: RoutedEvent) -> dict[str, Any]:
        """Return what `write` would send where, as JSON and without secrets; for `bridge route`. No I/O.

        Has at least `lane`, which is the queue's key, and `destination`; only for a message that has a queue.
        Raises `TemplateError`.
        """


@dataclass(frozen=True, slots=True)
class SinkKind:
    """Names the parts of a sink, in a row of the table."""

    name: str
    """The key of its settings in the configuration, and of its target in a route."""
    config: type[SinkConfig]
    target: type[Target]
    build: Callable[[Any, Sequence[Any], str, Clock], Sink]
    """Makes the sink of its settings, the targets of all routes, the name of the bridge, and a clock.

    No I/O. Raises `ConfigError`."""
