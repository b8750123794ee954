"""Keeps requests what they were: one whose fate is not known is sent again as it was, under the same key.

A server that remembers keys can then answer the second attempt without storing anything twice. Pure.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from bridge.routing.routed import RoutedEvent


class Resend(NamedTuple):
    """Tells which messages of a batch are a request that was sent before."""

    positions: list[int]
    """In its order; empty where there is none or it is not whole. They come first within their devices, because they
    were first before."""
    maybe_taken: bool = False
    """Whether the server may have taken it before."""


class PendingRequests:
    """Holds for each queue the messages of the request that has to be sent again first."""

    def __init__(self) -> None:
        self._requests: dict[str, tuple[list[int], bool]] = {}  # by queue key

    def remember(self, queue_key: str, request: Sequence[RoutedEvent], *, maybe_taken: bool) -> None:
        """Keep a request that was not answered for good."""
        self._requests[queue_key] = [event.message.id for event in request], maybe_taken

    def recall(self, queue_key: str, batch: Sequence[RoutedEvent]) -> Resend:
        """Return where in `batch` the messages of the pending request are, and forget it."""
        pending, maybe_taken = self._requests.pop(queue_key, ([], False))
        if not pending:
            return Resend([])
        positions = {event.message.id: position for position, event in enumerate(batch)}
        found = [positions[number] for number in pending if number in positions]
        return Resend(found, maybe_taken) if len(found) == len(pending) else Resend([])


def batch_key(bridge: str, request: Sequence[RoutedEvent]) -> str:
    """Return the Idempotency-Key of a batch: the bridge, first and last message, and a digest of the ids of all.

    Without the digest another choice of messages between the same two would be taken for a repetition and be lost.
    """
    ids = "\n".join([event.message_id for event in request]).encode()
    first, last = request[0].message.id, request[-1].message.id
    return f"{bridge}:{first}-{last}:{blake2b(ids, digest_size=12).hexdigest()}"
