"""Keeps requests what they were: one whose fate is not known is sent again as it was, under the same key.

A server that remembers keys can then answer the second attempt without storing anything twice. Pure.
"""

from collections.abc import Sequence
from hashlib import blake2b

from bridge.routing.routed import RoutedEvent


class PendingRequests:
    """Holds for each queue the messages of the request that has to be sent again first."""

    def __init__(self) -> None:
        self._message_ids: dict[str, list[int]] = {}  # by queue key

    def remember(self, queue_key: str, request: Sequence[RoutedEvent]) -> None:
        """Keep a request that was not answered for good."""
        self._message_ids[queue_key] = [event.message.id for event in request]

    def recall(self, queue_key: str, batch: Sequence[RoutedEvent]) -> list[int]:
        """Return where in `batch` the messages of the pending request are, in its order, and forget it.

        Empty where there is none or it is not whole. They come first within their devices, because they were first
        before.
        """
        pending = self._message_ids.pop(queue_key, None)
        if not pending:
            return []
        positions = {event.message.id: position for position, event in enumerate(batch)}
        found = [positions[number] for number in pending if number in positions]
        return found if len(found) == len(pending) else []


def batch_key(bridge: str, request: Sequence[RoutedEvent]) -> str:
    """Return the Idempotency-Key of a batch: the bridge, first and last message, and a digest of the ids of all.

    Without the digest another choice of messages between the same two would be taken for a repetition and be lost.
    """
    ids = "\n".join([event.message_id for event in request]).encode()
    first, last = request[0].message.id, request[-1].message.id
    return f"{bridge}:{first}-{last}:{blake2b(ids, digest_size=12).hexdigest()}"
