"""Keeps requests what they were: one whose fate is not known is sent again as it was, under the same key.

A server that remembers keys can then answer the second attempt without storing anything twice. Pure.
"""

from collections.abc import Collection, Iterable, Sequence
from hashlib import blake2b

from bridge.routing.routed import RoutedEvent


class PendingRequests:
    """Holds for each queue the messages of the request that has to be sent again first."""

    def __init__(self) -> None:
        self._requests: dict[str, list[int]] = {}  # by queue key

    def remember(self, queue_key: str, request: Sequence[RoutedEvent]) -> None:
        """Keep a request that was not answered for good."""
        self._requests[queue_key] = [event.message.id for event in request]

    def recall(self, queue_key: str, batch: Sequence[RoutedEvent]) -> list[int]:
        """Return where in `batch` the messages of the pending request are, in its order; they come first within their
        devices, because they were first before. Empty where there is none, or where it is not whole.

        It is forgotten unless none of its messages is in the batch: then others have their turn before it.
        """
        pending = self._requests.get(queue_key)
        if not pending:
            return []
        positions = {event.message.id: position for position, event in enumerate(batch)}
        found = [positions[number] for number in pending if number in positions]
        if found:
            del self._requests[queue_key]
        return found if len(found) == len(pending) else []


class MaybeTaken:
    """Holds the messages that are to be sent again and that the server may have, its answer being lost or none."""

    def __init__(self) -> None:
        self._ids: set[int] = set()

    def lines(self, request: Sequence[RoutedEvent]) -> Collection[int]:
        """Return which lines of a request may have been taken before."""
        if not self._ids:
            return ()
        return {line for line, event in enumerate(request) if event.message.id in self._ids}

    def add(self, events: Iterable[RoutedEvent]) -> None:
        """Note that the server may have these."""
        self._ids.update([event.message.id for event in events])

    def discard(self, events: Iterable[RoutedEvent]) -> None:
        """Forget what is delivered or given up."""
        if self._ids:
            self._ids.difference_update([event.message.id for event in events])


def batch_key(bridge: str, request: Sequence[RoutedEvent]) -> str:
    """Return the Idempotency-Key of a batch: the bridge, first and last message, and a digest of the ids of all.

    Without the digest another choice of messages between the same two would be taken for a repetition and be lost.
    """
    ids = "\n".join([event.message_id for event in request]).encode()
    first, last = request[0].message.id, request[-1].message.id
    return f"{bridge}:{first}-{last}:{blake2b(ids, digest_size=12).hexdigest()}"
