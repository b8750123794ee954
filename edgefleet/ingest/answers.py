"""Models what the service answers: they make the OpenAPI page; the fast paths write the same JSON directly."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Answer(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class Error(_Answer):
    """Why a request was refused."""

    error: str
    """One sentence."""


class Posted(_Answer):
    """What became of one message."""

    id: str
    """`{device_id}:{boot}:{seq}`"""
    status: Literal["stored", "known"]


class NotPosted(Error):
    """Why one message was refused."""

    id: str | None = None
    """Of a conflict only."""
    status: Literal["conflict"] | None = None
    """Another message is stored under the same id, with other content."""


class Item(_Answer):
    """What became of one line of a batch."""

    line: int
    """From 0, as sent."""
    status: Literal["stored", "known", "rejected", "conflict"]
    id: str | None
    """Null where a rejected line does not say it."""
    error: str | None = None
    """Why it was rejected, or what it is in conflict with; only there."""


class BatchPosted(_Answer):
    """What became of a batch. `stored`, `known`, `rejected` and `conflicts` add up to the lines that are not empty."""

    stored: int
    known: int
    rejected: int
    conflicts: int
    """Lines under whose id other content is stored; theirs is not."""
    unlisted: int
    """Lines that are rejected or in conflict and not among the `items`, which list the first thousand of them."""
    items: list[Item]
    """The lines that are rejected or in conflict; with `?items=all` those that are stored or known, too."""


class KindStats(_Answer):
    """Messages of one kind since the store was made."""

    stored: int = 0
    redelivered: int = 0
    """Came again and were already stored."""
    rejected: int = 0
    conflicts: int = 0
    """Came under an id that is stored with other content, and were not stored: a boot counter may have been reset."""


class Stats(KindStats):
    """Totals, and the same by kind; "unknown" counts rejected messages whose kind could not be told."""

    kinds: dict[str, KindStats]


class StoredRow(_Answer):
    """A stored message. Times are in milliseconds since 1970 UTC."""

    cursor: int
    """Its place in the order of arrival."""
    id: str
    kind: str
    device_id: str
    boot: int
    seq: int
    timestamp_ms: int
    """When it was measured."""
    received_ms: int
    """When this service had received it."""
    payload: dict[str, Any] | None = None
    """As received; left out with `payload=false`."""
    conflict_ms: int | None = None
    """When other content last came under its id, and was refused; left out where none did."""


class Page(_Answer):
    """Messages in the order of arrival."""

    messages: list[StoredRow]
    next: int | None
    """Where more may follow: the `after` of the next page."""


class Health(_Answer):
    """Alive or ready."""

    status: Literal["ok"]
