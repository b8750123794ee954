"""Says what a store promises, whichever database is behind it. Nothing here knows of HTTP or of a database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

import orjson

from edgewire.errors import EdgefleetError


class StoreError(EdgefleetError):
    """Says that the store cannot be opened, read or written; names it. What was being written is not stored."""


class StoreBusy(StoreError):
    """Says that more is waiting to be written than the store takes; nothing was stored, trying again later helps."""


class StoreResult(StrEnum):
    """Says what became of a message that a store was given."""

    STORED = "stored"
    KNOWN = "known"
    """Its id was stored before, with the same content."""
    CONFLICT = "conflict"
    """Its id was stored before with other content, which is kept; this one is not stored."""


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
    conflict_ms: int | None = None
    """When other content last came under its id; None where none did."""


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
    conflict_since_ms: int | None = None
    """Other content came under their ids at this time or later."""
    payload: bool = True
    payload_bytes: int = 32 << 20
    """With which a page ends before it has `limit` messages, for there may be large ones among them."""


@dataclass(slots=True)
class StoreCounts:
    """Counts what became of the messages of one kind since the store was made."""

    stored: int = 0
    redelivered: int = 0
    """Came again and were already stored."""
    rejected: int = 0
    conflicts: int = 0
    """Came under an id that has other content, and are not stored."""

    def count(self, result: StoreResult) -> None:
        """Add a message that a store was given."""
        match result:
            case StoreResult.STORED:
                self.stored += 1
            case StoreResult.KNOWN:
                self.redelivered += 1
            case StoreResult.CONFLICT:
                self.conflicts += 1


class MessageStore(Protocol):
    """Keeps every message once. Any number of calls may be under way at the same time."""

    async def add(self, delivery: Delivery) -> list[StoreResult]:
        """Store the messages in one transaction; return for each what became of it.

        Returns only after the commit. Raises `StoreError`, and then nothing of the delivery is stored.
        """
        ...

    async def read(self, query: Query) -> list[StoredMessage]:
        """Return one page: of `limit` messages or `payload_bytes`, or what there is; see `is_full`.

        Cursors grow in the order of commits: a page read once never gains a message later.
        """
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


def is_full(page: Sequence[StoredMessage], query: Query) -> bool:
    """Return whether a page has all that it may have, so that more may follow."""
    size = sum(len(row.payload.encode()) for row in page if row.payload is not None)
    return len(page) == query.limit or size >= query.payload_bytes


def compare_payloads(stored: str, came: str) -> StoreResult:
    """Return whether a message that came under a known id is `KNOWN` or in `CONFLICT` with what is stored.

    The same JSON in another notation is the same content: a sender may have put it into an array, or another order.
    """
    if stored == came or _is_same(orjson.loads(stored), orjson.loads(came)):
        return StoreResult.KNOWN
    return StoreResult.CONFLICT


def _is_same(one: object, other: object) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    # To Python true is 1.
    return isinstance(one, bool) == isinstance(other, bool) and one == other
