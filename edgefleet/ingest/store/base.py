"""Says what a store promises, whichever database is behind it. Nothing here knows of HTTP or of a database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from edgewire.errors import EdgefleetError


class StoreError(EdgefleetError):
    """Says that the store cannot be opened, read or written; names it. What was being written is not stored."""


class StoreBusy(StoreError):
    """Says that more is waiting to be written than the store takes; nothing was stored, trying again later helps."""


class NewMessage(NamedTuple):
    """Holds a valid message on its way into the store. Its id is (device_id, boot, seq)."""

    device_id: str
    boot: int
    seq: int
    kind: str
    timestamp_ms: int
    """When it was measured, in milliseconds since 1970 UTC."""
    payload: str
    """JSON, as it was received."""

    @property
    def id(self) -> str:
        """Return the message id in its text form."""
        return f"{self.device_id}:{self.boot}:{self.seq}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """Holds what one request brings: the messages to store, and how many were refused before, by kind."""

    received_ms: int
    messages: Sequence[NewMessage] = ()
    rejected: Mapping[str, int] = field(default_factory=dict)


class StoredMessage(NamedTuple):
    """Holds a message as the store has it; `payload` is None where it was not asked for."""

    cursor: int
    """Its place in the order of arrival."""
    device_id: str
    boot: int
    seq: int
    kind: str
    timestamp_ms: int
    received_ms: int
    payload: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Says which messages to read, in the order of arrival."""

    after: int = 0
    """Only those with a greater cursor."""
    limit: int = 1000
    kind: str | None = None
    device_ids: Sequence[str] = ()
    """Of these devices; none: of all."""
    boot: int | None = None
    since_ms: int | None = None
    """Measured at this time or later."""
    until_ms: int | None = None
    """Measured before this time."""
    received_since_ms: int | None = None
    """Arrived at this time or later."""
    received_until_ms: int | None = None
    """Arrived before this time."""
    payload: bool = True


@dataclass(slots=True)
class StoreCounts:
    """Counts what became of the messages of one kind since the store was made."""

    stored: int = 0
    redelivered: int = 0
    """Came again and were already stored."""
    rejected: int = 0


class MessageStore(Protocol):
    """Keeps every message once. Any number of calls may be under way at the same time."""

    async def add(self, delivery: Delivery) -> list[bool]:
        """Store the messages in one transaction; return for each whether it is new (False: its id was known).

        Returns only after the commit. Raises `StoreError`, and then nothing of the delivery is stored.
        """
        ...

    async def read(self, query: Query) -> list[StoredMessage]:
        """Return one page. Cursors grow in the order of commits: a page read once never gains a message later."""
        ...

    async def counts(self) -> dict[str, StoreCounts]:
        """Return the counts by kind; a kind that never came is missing."""
        ...

    async def check(self) -> None:
        """Raise `StoreError` unless the store could be written now."""
        ...

    async def close(self) -> None:
        """Finish what was accepted, then let go of the database."""
        ...
